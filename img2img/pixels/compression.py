"""How plainly the blocks of JPEG show: wherever their grid begins, and also in a photo that was
enlarged afterwards.
"""

from __future__ import annotations

import cv2
import numpy as np

from img2img.pixels.images import to_float
from img2img.pixels.windows import windows

# From here on the blocks of strong compression show: JPEG of quality 30 has 1.7 to 4, quality 75 at
# most 1.5, quality 10 from 3 up.
PLAIN_BLOCKS_255 = 2.0
_PERIOD_PX = 8
_ENLARGED = (1, 2, 3, 4)  # factors by which a compressed photo may have been enlarged
_MOST = 16.0  # of a step's 255: greater ones are edges of things
_CERTAIN = 3.0  # a grid stands out by this many times what the other phases differ by
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def blockiness_255(rgb: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Step in luma across the edges of JPEG's blocks beyond the steps within them, 0-255; 0 without
    a grid.

    `rgb` (H,W,3), 8 or 16 bits or float in [0,1]; pixels under the mask (H,W), True, do not count.
    """
    known = np.ones(rgb.shape[:2], bool) if mask is None else ~mask
    parts = [
        (to_float(np.ascontiguousarray(rgb[part])) @ _LUMA * 255, known[part])
        for part in windows(rgb.shape[:2])
    ]
    return max(_at_factor(parts, factor) for factor in _ENLARGED)


def _at_factor(parts: list[tuple[np.ndarray, np.ndarray]], factor: int) -> float:
    small = [_reduced(luma, known, factor) for luma, known in parts]
    across = _steps(small)
    down = _steps([(luma.T, known.T) for luma, known in small]) if across > 0 else 0.0
    return 0.0 if down <= 0 else (across + down) / 2


def _reduced(luma: np.ndarray, known: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    if factor == 1 or min(luma.shape) < factor:
        return luma, known
    size = (luma.shape[1] // factor, luma.shape[0] // factor)
    whole = (slice(size[1] * factor), slice(size[0] * factor))
    known_share = cv2.resize(known[whole].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return cv2.resize(luma[whole], size, interpolation=cv2.INTER_AREA), known_share > 0.999


def _steps(parts: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """What steps from one column to the next have beyond their neighbours at the phase where it is
    most; 0: no grid.
    """
    phases: list[list[np.ndarray]] = [[] for _ in range(_PERIOD_PX)]
    for luma, known in parts:
        excess = _excess(luma, known)
        for phase in range(_PERIOD_PX):
            phases[phase].append(excess[(phase - 2) % _PERIOD_PX :: _PERIOD_PX])
    columns = [np.concatenate(phase) for phase in phases]
    columns = [column[np.isfinite(column)] for column in columns]
    if min(map(len, columns)) < 4:
        return 0.0
    middle = np.array([np.median(column) for column in columns])
    at = int(middle.argmax())
    others = np.delete(middle, [at, (at - 1) % _PERIOD_PX, (at + 1) % _PERIOD_PX])
    step, chance = (
        float(middle[at] - others.mean()),
        float(columns[at].std() / np.sqrt(len(columns[at]))),
    )
    return step if step > _CERTAIN * max(others.std() + 0.05, chance) else 0.0


def _excess(luma: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For the steps 1, 2, … of (H,W), (W-3,): by how much they exceed those to their left and
    right; NaN without any.

    What is flat all around says nothing: a frame has no blocks, however strongly the picture in it
    was compressed.
    """
    if luma.shape[1] < 2 * _PERIOD_PX:
        return np.empty(0, np.float32)
    step = np.abs(np.diff(luma, axis=1))
    excess = np.clip(step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2, -_MOST, _MOST)
    alive = (
        cv2.dilate((step > 0.4).astype(np.uint8), np.ones((1, 2 * _PERIOD_PX + 1), np.uint8))[
            :, 1:-1
        ]
        > 0
    )
    counted = alive & known[:, :-3] & known[:, 1:-2] & known[:, 2:-1] & known[:, 3:]
    total, count = np.where(counted, excess, 0).sum(0), counted.sum(0)
    return np.divide(total, count, out=np.full(len(total), np.nan, np.float32), where=count > 0)
