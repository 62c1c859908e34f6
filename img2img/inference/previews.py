"""Small pictures of photos and results for a page to show; results themselves are never touched."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from img2img.pixels.alpha import seen
from img2img.pixels.file_kind import size_in_header
from img2img.pixels.images import Photo, as_srgb, quantise, read_photo, to_pil

MOST_PX = 1600
_LEAST_PX = 256  # of the longer side of a pyramid's smallest level
_GROUND = (128, 128, 128)


def preview(photo: Photo, path: Path, most_px: int = MOST_PX) -> Path:
    """Write the photo as a JPEG of at most `most_px` a side."""
    picture = to_pil(replace(photo, is_grey=False))  # 8 bits, whatever the depth
    profile = picture.info.get("icc_profile")
    picture.thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
    return _saved(_on_white(picture), path, profile)


def thumbnail(photo: Photo, most_px: int) -> bytes:
    """The photo as a JPEG in sRGB of at most `most_px` a side, without its metadata."""
    picture = to_pil(replace(as_srgb(photo), alpha=None, is_grey=False, exif=None))
    picture.thumbnail((most_px, most_px), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def pyramid(path: Path) -> list[np.ndarray]:
    """A photo as (H,W,3), or with transparency (H,W,4), uint8 in sRGB, then means of 2 × 2 px of
    the one before as long as it is large. What alpha hides continues what is visible.
    """
    photo = as_srgb(read_photo(path))
    pixels = quantise(seen(photo.rgb, photo.alpha), np.uint8)
    if photo.alpha is not None:
        pixels = np.dstack([pixels, quantise(photo.alpha, np.uint8)])
    levels = [pixels]
    while max(pixels.shape[:2]) > _LEAST_PX:
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        half = pixels.shape[1] // 2, pixels.shape[0] // 2
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)
        levels.append(pixels)
    return levels


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
