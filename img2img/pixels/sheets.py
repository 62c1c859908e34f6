"""Pictures of pictures: rows to compare, grids of samples, points over the discriminator's scores,
animations.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from img2img.files import atomic_path
from img2img.pixels.color import resize
from img2img.pixels.images import from_array, write_photo
from img2img.pixels.xmp import DigitalSourceType, with_source_type

CONTACT_PX = 160  # height of the pictures on a contact sheet
_CAPTION_PX, _GAP_PX = 18, 6
_CONTACT_COLUMNS = 6  # of single pictures
_CELL_PX = CONTACT_PX + 2 * _GAP_PX


@dataclass(frozen=True)
class SheetGroup:
    """Pictures under a caption: cells of one or two (H,W,3) uint8 with a caption of their own; None
    for one that cannot be shown.
    """

    caption: str
    cells: Sequence[tuple[str, Sequence[np.ndarray | None]]]


def contact_sheet(groups: Sequence[SheetGroup]) -> np.ndarray:
    """Groups one below the other, six pictures in a row, or three cells of two: (H,W,3) in
    [0,1].
    """
    row_px = CONTACT_PX + _CAPTION_PX + _GAP_PX
    widest = [max((len(pictures) for _, pictures in group.cells), default=1) for group in groups]
    columns = [max(1, _CONTACT_COLUMNS // count) for count in widest]
    rows = [-(-len(group.cells) // n) for group, n in zip(groups, columns, strict=True)]
    height = sum(_CAPTION_PX + 2 * _GAP_PX + count * row_px for count in rows)
    sheet = Image.new("RGB", (_CONTACT_COLUMNS * _CELL_PX, height), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for group, in_row, count in zip(groups, columns, rows, strict=True):
        cell_px = _CONTACT_COLUMNS * _CELL_PX // in_row
        _write(draw, group.caption, (_GAP_PX, top + _GAP_PX), 14, sheet.width - 2 * _GAP_PX)
        top += _CAPTION_PX + 2 * _GAP_PX
        for number, (caption, pictures) in enumerate(group.cells):
            left, at = number % in_row * cell_px + _GAP_PX, top + number // in_row * row_px
            _write(draw, caption, (left, at + CONTACT_PX), 11, cell_px - 2 * _GAP_PX)
            for picture in pictures:
                small = _contact_picture(picture)
                sheet.paste(small, (left, at))
                left += small.width + _GAP_PX
        top += count * row_px
    return np.asarray(sheet, np.float32) / 255


def _contact_picture(picture: np.ndarray | None) -> Image.Image:
    """It fits into a square of `CONTACT_PX`; a crossed-out one in the place of none."""
    if picture is None:
        empty = Image.new("RGB", (CONTACT_PX, CONTACT_PX), (224, 224, 224))
        ImageDraw.Draw(empty).line((0, 0, CONTACT_PX, CONTACT_PX), (176, 0, 0), 2)
        return empty
    small = Image.fromarray(picture)
    small.thumbnail((CONTACT_PX, CONTACT_PX), Image.Resampling.LANCZOS)
    return small


def _write(
    draw: ImageDraw.ImageDraw, text: str, at: tuple[int, int], size_px: int, most_px: int
) -> None:
    """Text of at most this width; what has no room ends in an ellipsis."""
    font = ImageFont.load_default(size_px)
    text = text.encode("utf-8", "replace").decode()  # names of old systems are no UTF-8
    text = text.replace("×", "x")  # which Pillow's own font lacks
    if draw.textlength(text, font) > most_px:
        while text and draw.textlength(f"{text}…", font) > most_px:
            text = text[:-1]
        text += "…"
    draw.text(at, text, "black", font)


def rows_sheet(rows: Sequence[Sequence[Tensor]], most_px: int = 192) -> np.ndarray:
    """One row for each sequence of (B,C,H,W) tensors, of which the first picture is shown: (H,W,3)
    in [0,1].
    """
    return np.concatenate([np.concatenate([_cell(x, most_px) for x in row], 1) for row in rows], 0)


def grid_sheet(pictures: Tensor, columns: int | None = None) -> np.ndarray:
    """(N,1|3,H,W) as a grid, nearly square unless `columns` says otherwise, a white line between:
    (H,W,3) in [0,1].
    """
    columns = columns or int(np.ceil(np.sqrt(len(pictures))))
    cells = pictures.detach().float().cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    cells = np.pad(cells, ((0, -len(cells) % columns), (0, 0), (0, 0), (0, 0)), constant_values=1.0)
    cells = np.pad(cells, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)
    rows = cells.reshape(-1, columns, *cells.shape[1:])
    return np.concatenate([np.concatenate(list(row), 1) for row in rows], 0)


def points_sheet(
    fake: np.ndarray,
    real: np.ndarray,
    reach: float,
    surface: np.ndarray | None = None,
    side_px: int = 400,
) -> np.ndarray:
    """Points (N,2) in [-reach, reach]²: real green, fake orange, over D's scores (blue: fake)."""
    ground = np.full((side_px, side_px, 3), 1.0, np.float32)
    if surface is not None:
        ground = _heat(
            cv2.resize(
                surface.astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_LINEAR
            )
        )
    for points, color in ((real, (0.1, 0.55, 0.2)), (fake, (0.95, 0.45, 0.05))):
        places = (points / reach + 1) / 2 * (side_px - 1)
        for x, y in places[np.isfinite(places).all(1) & (np.abs(places) < 10 * side_px).all(1)]:
            cv2.circle(
                ground, (round(float(x)), round(side_px - 1 - float(y))), 2, color, -1, cv2.LINE_AA
            )
    return ground


def write_sheet(
    path: Path, sheet: np.ndarray, source_type: DigitalSourceType | None = None
) -> None:
    """(H,W,3) in [0,1] to a file, which states in its XMP that a network made the pixels where it
    did.
    """
    photo = from_array(np.rint(sheet.clip(0, 1) * 255).astype(np.uint8))
    write_photo(
        path, replace(photo, xmp=with_source_type(None, source_type)) if source_type else photo
    )


def write_animation(
    path: Path, frames: Sequence[Path], most: int = 60, frame_ms: int = 150
) -> None:
    """Sheets of one size as an animated GIF that rests on its last frame; at most `most` of them,
    evenly chosen.
    """
    if not frames:  # nothing was held out to look at
        return
    chosen = [
        frames[i]
        for i in np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int))
    ]
    pictures = [Image.open(p).convert("P", palette=Image.Palette.ADAPTIVE) for p in chosen]
    lengths = [frame_ms] * (len(pictures) - 1) + [10 * frame_ms]
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary, "GIF", save_all=True, append_images=pictures[1:], duration=lengths, loop=0
        )


def embedded(path: Path, most_px: int) -> str:
    """A sheet as a `data:` address for a page that stands alone: JPEG, its longer side at most
    `most_px`.
    """
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _heat(scores: np.ndarray) -> np.ndarray:
    """Scores to pale red (real) and pale blue (fake), white in the middle of their range."""
    middle, spread = np.median(scores), np.abs(scores - np.median(scores)).max() + 1e-12
    tone = ((scores - middle) / spread * 0.35)[..., None]
    red, blue = np.array([0.0, 1.0, 1.0], np.float32), np.array([1.0, 0.6, 0.0], np.float32)
    return (1 - np.clip(tone, 0, 1) * red - np.clip(-tone, 0, 1) * blue).astype(np.float32)


def _cell(x: Tensor, most_px: int) -> np.ndarray:
    x = x[:1, :3] if x.shape[1] >= 3 else x[:1, :1].expand(-1, 3, -1, -1)
    picture = resize(x, (most_px, most_px))[0].detach().float().cpu().permute(1, 2, 0).numpy()
    return np.pad(picture, ((2, 2), (2, 2), (0, 0)), constant_values=1.0)
