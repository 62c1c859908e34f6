"""How a photo of any size is looked at when it is measured: reduced as a whole, or in windows at
its own size.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

SMALL_PX = 512  # longer side at which a photo is looked at as a whole
# A large photo is measured in 4 × 4 windows, so that memory and time do not grow with it.
_WINDOW_PX, _WINDOWS = 256, 4
_WINDOW_STEP_PX = 96  # windows begin where a block of JPEG does, also when reduced 2, 3 or 4 times


def reduced(picture: np.ndarray, longest_px: int) -> np.ndarray:
    """(H,W) or (H,W,C) by mean, at its depth, so that its longer side is at most `longest_px`."""
    height, width = picture.shape[:2]
    factor = min(1.0, longest_px / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)


def windows(size: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """The parts of a picture (H,W) to look at: all of a small one, a grid of windows of a large
    one.
    """
    if max(size) <= _WINDOW_PX * _WINDOWS:
        yield slice(None), slice(None)
        return
    last = [max(0, n - _WINDOW_PX) for n in size]
    rows, columns = (
        np.linspace(0, n, _WINDOWS).astype(int) // _WINDOW_STEP_PX * _WINDOW_STEP_PX for n in last
    )
    for top in sorted(set(rows)):
        for left in sorted(set(columns)):
            yield slice(top, top + _WINDOW_PX), slice(left, left + _WINDOW_PX)
