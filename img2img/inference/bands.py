"""Blocks of a photo in three bands of frequency, by which noise is distinguished from texture."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np

from img2img.pixels.images import to_float
from img2img.pixels.windows import windows

_BLOCK_PX = 16
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Uncorrelated with the mean, if channels are independent.
_OPPONENT = np.array([[1, 1], [0, -2], [-1, 1]], np.float32)
_CHROMA = np.array([[1, 0, 0], [0, 0, 1]], np.float32) - _LUMA  # R-Y and B-Y
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


_NONE, _NO_COLOR = np.empty(0, np.float32), np.empty((0, 3), np.float32)
_NO_BLOCKS = Blocks(_NONE, _NO_COLOR, *(_NONE,) * 9, np.empty(0, bool))


def measure_blocks(rgb: np.ndarray, mask: np.ndarray | None = None) -> Blocks:
    """Blocks of a photo (H,W,3), 8 or 16 bits or float in [0,1]; those that touch the mask (H,W),
    True, are unknown.
    """
    known = np.ones(rgb.shape[:2], bool) if mask is None else ~mask
    parts = [_blocks_of(rgb[part], known[part]) for part in windows(rgb.shape[:2])]
    return Blocks(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Blocks))
    )


def _blocks_of(rgb: np.ndarray, known: np.ndarray) -> Blocks:
    rows, columns = (n // _BLOCK_PX for n in rgb.shape[:2])
    if not rows * columns:
        return _NO_BLOCKS
    values = to_float(np.ascontiguousarray(rgb)) * 255
    sharp, soft, softer = (cv2.GaussianBlur(values, (0, 0), blur) for blur in _BLUR_PX)
    fine = cv2.filter2D(values, -1, _FINE, borderType=cv2.BORDER_REFLECT)
    middle, coarse = (sharp - soft) / _MIDDLE_GAIN, (soft - softer) / _COARSE_GAIN
    luma = cv2.transform(middle, _LUMA[None])
    color = _means(values)
    quarters = _means(luma * luma, _BLOCK_PX // 2)
    quarters = quarters.reshape(rows, 2, columns, 2).swapaxes(1, 2).reshape(-1, 4)
    ends = np.asarray(np.logical_or(values <= 1, values >= 254).all(2), np.float32)
    return Blocks(
        mean=color @ _LUMA,
        color=color,
        fine=_rms(cv2.transform(fine, _LUMA[None])),
        middle=_rms(luma),
        coarse=_rms(cv2.transform(coarse, _LUMA[None])),
        chroma=_rms(cv2.transform(middle, _CHROMA)),
        rgb_fine=_rms(fine) / np.float32(3**0.5),
        rgb_middle=_rms(middle) / np.float32(3**0.5),
        unevenness=quarters.max(1) / np.maximum(quarters.mean(1), 1e-9),
        linked=_linked(middle),
        clipped=_means(ends)[:, 0],
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


def _linked(middle: np.ndarray) -> np.ndarray:
    """Correlation of lightness with the color that goes with it most."""
    lightness = cv2.transform(middle, np.full((1, 3), 1 / 3, np.float32))[..., None]
    opponent = cv2.transform(middle, np.ascontiguousarray(_OPPONENT.T))
    together = np.abs(_means(lightness * opponent))
    power = _means(lightness * lightness) * _means(opponent * opponent)
    return (together / np.sqrt(power + 1e-6)).max(1)
