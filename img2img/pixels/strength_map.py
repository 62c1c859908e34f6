"""How strongly each part of a photo is to be changed: a grey picture, white = full strength."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from img2img.errors import UserError
from img2img.pixels.images import PathLike, quantise, read_photo, to_float

_GREY_255 = 16  # channels further apart are a color; JPEG moves them less
_MOST_DISTORTION = 0.01  # of the aspect


def read_strength(path: PathLike, size: tuple[int, int]) -> np.ndarray:
    """(H,W) uint8 or uint16 of a photo of this (width, height): the top of it is full strength, 0
    none.

    The picture may be smaller or larger than the photo, of its aspect; transparency lies on white.
    UserError names the file and the fix.
    """
    picture = read_photo(path)
    (width, height), depth = picture.size, picture.rgb.dtype
    if abs(width * size[1] / (height * size[0]) - 1) > _MOST_DISTORTION:
        raise UserError(
            f"strength mask is {width}x{height}, photo is {size[0]}x{size[1]}",
            place=Path(path),
            remedy="draw it on the photo, or at its aspect",
        )
    rgb = quantise(picture.rgb, np.uint8) if depth.kind == "f" else picture.rgb
    if np.ptp(quantise(rgb, np.uint8), axis=2).max(initial=0) > _GREY_255:
        raise UserError(
            "strength mask has colors",
            place=Path(path),
            remedy="make it grey: white = full strength, black = none",
        )
    grey = rgb[..., 1]
    if picture.alpha is not None:
        share = to_float(picture.alpha)
        grey = quantise(to_float(grey) * share + (1 - share), rgb.dtype)
    return resampled(grey, size)


def resampled(strength: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same at another (width, height)."""
    if strength.shape[::-1] == size:
        return strength
    smaller = size[0] < strength.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(strength), size, interpolation=how)
