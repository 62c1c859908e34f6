"""Whether a picture has the continuous tones of a photo: text, line art, halftone and flat pictures
have not.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from img2img.pixels.images import to_float
from img2img.pixels.windows import SMALL_PX, reduced
from img2img.tasks.photo import Tones

_FLAT_BLUR_PX = 4.0  # so that noise is no contrast
_QUIET = 0.01  # standard deviation that is no heavy noise
# A large picture is measured in 4 × 4 windows: a halftone's dots must not be averaged.
_WINDOW_PX, _WINDOWS = 256, 4
_BINS, _FEW = 64, 6  # grey photos have 15 tones and more, pages and drawings 2 to 4
_PERIODIC_SHARE = 0.6  # halftones have 0.64 and more, grey photos 0.2 and at most 0.57 (brick)


def classify_tones(
    rgb: np.ndarray, mask: np.ndarray | None = None, small: np.ndarray | None = None
) -> Tones:
    """What kind of tones an RGB picture (H,W,3) has; pixels under the mask (H,W), True = hidden, do
    not count. `small` is the picture reduced to `SMALL_PX`, where it is known.
    """
    small, known = _reduced(reduced(rgb, SMALL_PX) if small is None else small, mask)
    if not known.any():
        return "flat"
    if _is_flat(cv2.GaussianBlur(small, (0, 0), _FLAT_BLUR_PX)[known]):
        # Under heavy noise a faint picture may lie.
        return "flat" if small[known].std() < _QUIET else "continuous"
    parts = list(_parts(rgb, mask)) or [(small, known)]
    values = np.concatenate([part[at] for part, at in parts])
    low, high = np.percentile(values, [0.5, 99.5])
    span = max(float(high - low), 1e-3)
    if _tone_count((values - low) / span) < _FEW:
        return "few"
    if np.median([_periodic_share((part - low) / span) for part, _ in parts]) > _PERIODIC_SHARE:
        return "halftone"
    lines = any(
        _is_ink_on_paper((part - low) / span, at) for part, at in [(small, known), parts[0]]
    )
    return "line art" if lines else "continuous"


def _is_flat(values: np.ndarray) -> bool:
    """Whether there is no contrast to see, relative to the brightness."""
    low, high = np.percentile(values, [1, 99])
    return bool(high - low < 0.06 * max(high, 1 / 32))


def _tone_count(values: np.ndarray) -> float:
    """The exponential of the entropy of the histogram: how many tones there are, each as frequent
    as the others.
    """
    share = np.histogram(values.clip(0, 1), _BINS, (0, 1))[0] / len(values)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _periodic_share(part: np.ndarray) -> float:
    """How much of the power of fine detail lies in a few frequencies, as that of a halftone's
    screen does.
    """
    part = part[:_WINDOW_PX, :_WINDOW_PX]
    if min(part.shape) < 32:
        return 0.0
    taper = np.hanning(part.shape[0])[:, None] * np.hanning(part.shape[1])
    power = np.abs(np.fft.rfft2((part - part.mean()) * taper)) ** 2
    frequency = np.hypot(np.fft.fftfreq(part.shape[0])[:, None], np.fft.rfftfreq(part.shape[1]))
    fine = np.sort(power[frequency > 1 / 16])
    if fine.sum() <= 1e-4 * power.sum():
        return 0.0
    return float(fine[-max(1, len(fine) // 500) :].sum() / fine.sum())


def _is_ink_on_paper(part: np.ndarray, known: np.ndarray) -> bool:
    """Whether one tone is the ground, and what differs from it is thin: ground is near
    everywhere.
    """
    values = part[known]
    if not len(values):
        return False
    count, edges = np.histogram(values, 128, (0, 1))
    wide = np.convolve(count, np.ones(5), "same")
    ground = edges[int(wide.argmax())] + 1 / 256
    paper = (np.abs(part - ground) < 0.03) | ~known
    share = paper[known].mean()
    if not 0.4 < share < 1:
        return False
    depth = cv2.distanceTransform((~paper).astype(np.uint8), cv2.DIST_L2, 3)[~paper]
    return bool(np.percentile(depth, 95) <= max(3.0, 0.01 * max(part.shape)))


def _reduced(rgb: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Blurred luma of a small picture, and what of it is known."""
    small = cv2.GaussianBlur(_luma(rgb), (0, 0), 1.0)
    if mask is None:
        return small, np.ones(small.shape, bool)
    return small, reduced(mask.astype(np.float32), SMALL_PX) < 0.5


def _parts(rgb: np.ndarray, mask: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Luma and what of it is known, at full size: windows of a large picture, or all of a small
    one.
    """
    size = rgb.shape[:2]
    window, count = (_WINDOW_PX, _WINDOWS) if max(size) > _WINDOW_PX * _WINDOWS else (max(size), 1)
    rows, columns = (
        sorted(set(np.linspace(0, max(0, n - window), count).astype(int))) for n in size
    )
    for box in [np.s_[y : y + window, x : x + window] for y in rows for x in columns]:
        luma = _luma(rgb[box])
        known = np.ones(luma.shape, bool) if mask is None else ~mask[box]
        if known.any():
            yield luma, known


def _luma(rgb: np.ndarray) -> np.ndarray:
    return to_float(np.ascontiguousarray(rgb)) @ np.array([0.299, 0.587, 0.114], np.float32)
