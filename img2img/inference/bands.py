"""Blocks of a photo in three bands of frequency, by which noise is distinguished from texture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import cv2
import numpy as np

from img2img.pixels.images import to_float

# A large photo is measured in 4 × 4 windows, so that memory and time do not grow with it.
_WINDOW_PX, _WINDOWS = 256, 4
_WINDOW_STEP_PX = 96  # windows begin where a block of JPEG does, also when reduced 2, 3 or 4 times
_BLOCK_PX = 16
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Uncorrelated with the mean, if channels are independent.
_OPPONENT = np.array([[1, 1], [0, -2], [-1, 1]], np.float32)
# Immerkær 1996: σ in, σ out.
_FINE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
# The middle band lies between the first two, the coarse one between the last two.
_BLUR_PX = (0.6, 2.0, 4.0)
# Standard deviation of white noise of σ 1 in these bands.
_MIDDLE_GAIN, _COARSE_GAIN = 0.4382, 0.0948


@dataclass(frozen=True)
class Blocks:
    """What is measured of blocks, each (n,); bands as the σ of the white noise that would show as
    much.
    """

    mean: np.ndarray  # luma
    color: np.ndarray  # (n,3), mean RGB
    fine: np.ndarray  # luma, the highest frequencies
    middle: np.ndarray  # luma, about 2 to 8 px a period
    coarse: np.ndarray  # luma, about 8 to 20 px a period
    chroma: np.ndarray  # the middle band of R-Y and B-Y
    rgb_fine: np.ndarray  # mean of the channels
    rgb_middle: np.ndarray
    unevenness: np.ndarray  # energy of the strongest quarter over that of the mean one, middle band
    linked: np.ndarray  # correlation of lightness and color in the middle band, 0..1
    clipped: np.ndarray  # share of pixels at the ends of the range
    known: np.ndarray  # False where a pixel does not count

    def at(self, chosen: np.ndarray) -> Blocks:
        """The blocks of an index or a condition."""
        return Blocks(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.mean)


def measure_blocks(rgb: np.ndarray, mask: np.ndarray | None = None) -> Blocks:
    """Blocks of a photo (H,W,3), 8 or 16 bits or float in [0,1]; those that touch the mask (H,W),
    True, are unknown.
    """
    known = np.ones(rgb.shape[:2], bool) if mask is None else ~mask
    parts = [_blocks_of(rgb[part], known[part]) for part in windows(rgb.shape[:2])]
    return Blocks(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Blocks))
    )


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


def _blocks_of(rgb: np.ndarray, known: np.ndarray) -> Blocks:
    values = to_float(np.ascontiguousarray(rgb)) * 255
    sharp, soft, softer = (cv2.GaussianBlur(values, (0, 0), blur) for blur in _BLUR_PX)
    fine = _cut(cv2.filter2D(values, -1, _FINE, borderType=cv2.BORDER_REFLECT))
    middle = _cut((sharp - soft) / _MIDDLE_GAIN)
    coarse = _cut((soft - softer) / _COARSE_GAIN)
    pixels, luma = _cut(values), middle @ _LUMA
    chroma = middle[..., [0, 2]] - luma[..., None]
    opponent = middle @ _OPPONENT
    return Blocks(
        mean=(pixels @ _LUMA).mean(1),
        color=pixels.mean(1),
        fine=_rms(fine @ _LUMA),
        middle=_rms(luma),
        coarse=_rms(coarse @ _LUMA),
        chroma=np.sqrt((chroma**2).mean(1).sum(1)),
        rgb_fine=np.sqrt((fine**2).mean((1, 2))),
        rgb_middle=np.sqrt((middle**2).mean((1, 2))),
        unevenness=_unevenness(luma),
        linked=_correlation(middle.mean(2)[..., None], opponent).max(1),
        clipped=np.logical_or(pixels <= 1, pixels >= 254).all(2).mean(1),
        known=_cut(known[..., None]).min(1)[:, 0],
    )


def _cut(x: np.ndarray) -> np.ndarray:
    """(H,W,C) as (blocks, pixels, C), leaving out what does not fill a block at the right and
    below.
    """
    rows, columns = (n // _BLOCK_PX for n in x.shape[:2])
    whole = x[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
    parts = whole.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX, x.shape[2]).swapaxes(1, 2)
    return parts.reshape(rows * columns, _BLOCK_PX**2, x.shape[2])


def _rms(x: np.ndarray) -> np.ndarray:
    return np.sqrt((x**2).mean(1))


def _unevenness(x: np.ndarray) -> np.ndarray:
    half = _BLOCK_PX // 2
    quarters = (x**2).reshape(-1, 2, half, 2, half).mean((2, 4)).reshape(-1, 4)
    return quarters.max(1) / np.maximum(quarters.mean(1), 1e-9)


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs((x * y).mean(1)) / np.sqrt((x**2).mean(1) * (y**2).mean(1) + 1e-6)
