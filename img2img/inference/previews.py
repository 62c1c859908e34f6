"""Small pictures of photos and results for a page to show; results themselves are never touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from img2img.pixels.file_kind import size_in_header
from img2img.pixels.images import Photo, read_photo, to_pil

MOST_PX = 1600
_GROUND = (128, 128, 128)


def preview(photo: Photo, path: Path, most_px: int = MOST_PX) -> Path:
    """Write the photo as a JPEG of at most `most_px` a side."""
    picture = to_pil(replace(photo, is_grey=False))  # 8 bits, whatever the depth
    profile = picture.info.get("icc_profile")
    picture.thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
    return _saved(_on_white(picture), path, profile)


def pair(
    before: Path, after: Path, folder: Path, extend: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> tuple[Path, Path]:
    """Two previews of one size for the slider, of the photo's preview and the result's file."""
    result = read_photo(after)
    shown = preview(result, folder / "after.jpg")
    size = size_in_header(shown) or result.size
    if size_in_header(before) == size and not any(extend):
        return before, shown
    picture = to_pil(replace(read_photo(before), is_grey=False))
    canvas = _placed(picture, size, result.size, extend)
    return _saved(canvas, folder / "before.jpg", picture.info.get("icc_profile")), shown


def _placed(
    picture: Image.Image,
    size: tuple[int, int],
    full: tuple[int, int],
    extend: tuple[int, int, int, int],
) -> Image.Image:
    """The photo where it lies in the result, new borders grey."""
    ratio = size[0] / full[0]
    left, top, right, bottom = (round(side * ratio) for side in extend)
    inside = max(1, size[0] - left - right), max(1, size[1] - top - bottom)
    canvas = Image.new("RGB", size, _GROUND)
    canvas.paste(picture.convert("RGB").resize(inside, Image.Resampling.BICUBIC), (left, top))
    return canvas


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return ground.convert("RGB")


def _saved(picture: Image.Image, path: Path, profile: bytes | None) -> Path:
    picture.save(path, quality=92, subsampling=0, icc_profile=profile)
    return path


def smaller_preview(shown: Path, folder: Path, most_px: int) -> Path:
    """A smaller copy of a preview."""
    return preview(read_photo(shown), folder / "canvas.jpg", most_px)
