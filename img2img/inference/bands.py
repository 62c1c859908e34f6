"""Blocks of a photo in three bands of frequency, by which noise is distinguished from texture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import reduce

import cv2
import numpy as np

from img2img.pixels.images import to_float
from img2img.pixels.windows import windows

_BLOCK_PX = 16
_STRIP_PIXELS = 1 << 17
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# The mean, and what is uncorrelated with it if channels are independent.
_LIGHTNESS_OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [1, 0, -1], [1, -2, 1]], np.float32)
_LUMA_CHROMA = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32) - _LUMA  # Y, R-Y and B-Y
_LUMA_CHROMA[0] = _LUMA
# Immerkær 1996: σ in, σ out.
_FINE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
# The middle band lies between the first two, the coarse one between the last two.
_BLUR_PX = (0.6, 2.0, 4.0)
_REACH_PX = 16  # of the widest
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


_NONE, _NO_COLOR = np.empty(0, np.float32), np.empty((0, 3), np.float32)
_NO_BLOCKS = Blocks(_NONE, _NO_COLOR, *(_NONE,) * 9, np.empty(0, bool))


def measure_blocks(rgb: np.ndarray, mask: np.ndarray | None = None) -> Blocks:
    """Blocks of a photo (H,W,3), 8 or 16 bits or float in [0,1]; those that touch the mask (H,W),
    True, are unknown.
    """
    known = np.ones(rgb.shape[:2], bool) if mask is None else ~mask
    parts = [
        _blocks_of(rgb[window][around], known[window][around], inside)
        for window in windows(rgb.shape[:2])
        for around, inside in _strips(*rgb[window].shape[:2])
    ]
    return Blocks(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Blocks))
    )


def _strips(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """The rows to filter of a part, and which of them to measure: a strip with what its blurs
    reach. Most of the time of larger arrays goes into getting them from the system.
    """
    step = max(1, _STRIP_PIXELS // width // _BLOCK_PX) * _BLOCK_PX
    for top in range(0, height, step):
        first, end = max(0, top - _REACH_PX), min(top + step, height)
        yield slice(first, end + _REACH_PX), slice(top - first, end - first)


def _blocks_of(rgb: np.ndarray, known: np.ndarray, inside: slice) -> Blocks:
    """Of the rows `inside` of a part."""
    rows, columns = (n // _BLOCK_PX for n in rgb[inside].shape[:2])
    if not rows * columns:
        return _NO_BLOCKS
    values = to_float(np.ascontiguousarray(rgb)) * 255
    sharp, soft = (cv2.GaussianBlur(values, (0, 0), blur)[inside] for blur in _BLUR_PX[:2])
    luma = cv2.transform(values, _LUMA[None])
    softer = cv2.GaussianBlur(luma, (0, 0), _BLUR_PX[2])[inside]
    fine = cv2.filter2D(values, -1, _FINE, borderType=cv2.BORDER_REFLECT)[inside]
    values, known = values[inside], known[inside]
    middle = (sharp - soft) / _MIDDLE_GAIN
    coarse = (cv2.transform(soft, _LUMA[None]) - softer) / _COARSE_GAIN
    # One channel after the other: many times faster than along a last axis of three.
    luma, *chroma = cv2.split(cv2.transform(middle, _LUMA_CHROMA))
    color = _means(values)
    quarters = _means(luma * luma, _BLOCK_PX // 2)
    quarters = quarters.reshape(rows, 2, columns, 2).swapaxes(1, 2).reshape(-1, 4)
    at_ends = [(channel <= 1) | (channel >= 254) for channel in cv2.split(values)]
    linked, energy = _linked(middle)
    return Blocks(
        mean=color @ _LUMA,
        color=color,
        fine=_rms(cv2.transform(fine, _LUMA[None])),
        middle=np.sqrt(quarters.mean(1)),
        coarse=_rms(coarse),
        chroma=_rms(cv2.merge(chroma)),
        rgb_fine=_rms(fine) / np.float32(3**0.5),
        rgb_middle=np.sqrt(energy) / np.float32(3**0.5),
        unevenness=quarters.max(1) / np.maximum(quarters.mean(1), 1e-9),
        linked=linked,
        clipped=_means(np.asarray(reduce(np.logical_and, at_ends), np.float32))[:, 0],
        known=_means(known.astype(np.float32)).min(1) > 1 - 0.5 / _BLOCK_PX**2,
    )


def _means(x: np.ndarray, side_px: int = _BLOCK_PX) -> np.ndarray:
    """The means of (H,W[,C]) over squares, (squares, C), leaving out what does not fill a block at
    the right and below.
    """
    rows, columns = (n // _BLOCK_PX * _BLOCK_PX for n in x.shape[:2])
    size = (columns // side_px, rows // side_px)
    means = cv2.resize(x[:rows, :columns], size, interpolation=cv2.INTER_AREA)
    return means.reshape(size[0] * size[1], -1)


def _rms(x: np.ndarray) -> np.ndarray:
    """(blocks,) root of the energy of all channels."""
    return np.sqrt(_means(x * x).sum(1))


def _linked(middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(blocks,) each: correlation of lightness with the color that goes with it most, and the
    energy of all channels.
    """
    lightness, *opponent = cv2.split(cv2.transform(middle, _LIGHTNESS_OPPONENT))
    power = _means(lightness * lightness)[:, 0]
    powers = [_means(color * color)[:, 0] for color in opponent]
    together = [np.abs(_means(lightness * color)[:, 0]) for color in opponent]
    linked = [t / np.sqrt(power * p + 1e-6) for t, p in zip(together, powers, strict=True)]
    # The three are orthogonal, with these squares of their lengths.
    return np.maximum(*linked), 3 * power + powers[0] / 2 + powers[1] / 6
