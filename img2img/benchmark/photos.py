"""Photos of any size to measure with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from img2img.pixels.images import Photo, from_array, read_photo


def square_photo(source: Path, side_px: int) -> Photo:
    """A photo repeated to a square of this side; its top left corner where it is larger."""
    rgb = read_photo(source).rgb
    times = [-(-side_px // n) for n in rgb.shape[:2]]
    return from_array(np.ascontiguousarray(np.tile(rgb, (*times, 1))[:side_px, :side_px]))


def side_of(megapixels: float) -> int:
    """Side of a square of so many megapixels, in px."""
    return round((megapixels * 1e6) ** 0.5)
