"""What can be seen of a photo without a network: its size, how many colours it has, how noisy it is."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from img2img.pixels.alpha import seen, uncounted
from img2img.pixels.images import Photo, as_srgb, to_float
from img2img.tasks.base import PhotoStatistics

_WINDOW_PX, _WINDOWS = 256, 4  # a large photo is judged by 4 × 4 windows, so that memory and time do not grow with it
_BLOCK_PX = 12
_FLATTEST = 5  # percentile of blocks: texture looks like noise everywhere but in the flattest ones
_BLOCK_BIAS = 0.86  # the flattest 5 % of blocks of pure noise show this much of its σ
_LOOK_PX, _LOOK_BLUR_PX = 128, 3.0
_TINT_DELTA = 2.0  # Lab units around a tint that compression and rounding explain
_DELTA_PER_NOISE = 2.0  # and further ones for each 1/255 of noise that is left in the blurred look


def statistics(photo: Photo, mask: np.ndarray | None = None) -> PhotoStatistics:
    """What the automatic plan asks about.

    Pixels under the mask (H,W), True = to be filled, do not count, nor do transparent ones.
    """
    width, height = photo.size
    photo = as_srgb(photo)
    rgb, left_out = seen(photo.rgb, photo.alpha, hole=mask), uncounted(photo.alpha, mask)
    noise = noise_sigma_255(rgb, left_out)
    return PhotoStatistics(width, height, mask is not None, count_tints(rgb, noise, left_out), noise)


def noise_sigma_255(rgb: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Gaussian σ on the 0-255 scale: median absolute response of Immerkær's (1996) operator in the flattest blocks."""
    found = [_block_sigmas(rgb[part], None if mask is None else mask[part]) for part in _windows(rgb.shape[:2])]
    channels = [sigmas[np.isfinite(sigmas)] for sigmas in np.concatenate(found).T]
    flattest = [np.percentile(sigmas, _FLATTEST) for sigmas in channels if len(sigmas)]
    return float(np.mean(flattest) / _BLOCK_BIAS) if flattest else 0.0


def _windows(size: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    if max(size) <= _WINDOW_PX * _WINDOWS:
        yield slice(None), slice(None)
        return
    rows, columns = (np.linspace(0, max(0, n - _WINDOW_PX), _WINDOWS).astype(int) for n in size)
    for top in sorted(set(rows)):
        for left in sorted(set(columns)):
            yield slice(top, top + _WINDOW_PX), slice(left, left + _WINDOW_PX)


def _block_sigmas(rgb: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """(blocks, 3) noise σ, NaN for blocks under the mask and for those clipped more than others, which hides noise."""
    values = to_float(np.ascontiguousarray(rgb)) * 255
    operator = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6  # σ in, σ out; straight edges vanish
    response = cv2.filter2D(values, -1, operator, borderType=cv2.BORDER_REFLECT)
    sigmas = np.median(np.abs(_blocks(response)), 1) / 0.6745
    if mask is not None:
        sigmas[_blocks(mask[..., None]).max(1)[:, 0]] = np.nan
    clipped = _blocks(np.logical_or(values <= 1, values >= 254)).mean(1)
    if len(clipped):
        sigmas[clipped > np.maximum(0.05, np.percentile(clipped, 20, axis=0))] = np.nan
    return sigmas


def _blocks(x: np.ndarray) -> np.ndarray:
    """(H,W,C) as (blocks, pixels, C), leaving out what does not fill a block at the right and below."""
    rows, columns = (n // _BLOCK_PX for n in x.shape[:2])
    whole = x[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
    parts = whole.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX, x.shape[2]).swapaxes(1, 2)
    return parts.reshape(rows * columns, _BLOCK_PX**2, x.shape[2])


def count_tints(rgb: np.ndarray, noise_sigma_255: float, mask: np.ndarray | None = None) -> int:
    """0: no colour; 1: one tint, that is, one hue whose chroma follows from lightness alone (sepia); 2: colours.

    Seen small and blurred, which takes most colour noise away; what is left of it widens the tolerance.
    """
    lab, factor = _look(rgb, mask)
    if len(lab) == 0:
        return 2
    noise_left = noise_sigma_255 * factor / (2 * np.sqrt(np.pi) * _LOOK_BLUR_PX)
    tolerance = _TINT_DELTA + _DELTA_PER_NOISE * noise_left
    if np.percentile(np.hypot(lab[:, 1], lab[:, 2]), 95) < tolerance:
        return 0
    by_lightness = [ab for ab in np.array_split(lab[np.argsort(lab[:, 0]), 1:], 16) if len(ab)]
    tints = np.stack([np.median(ab, 0) for ab in by_lightness])
    off = np.concatenate([np.hypot(*(ab - tint).T) for ab, tint in zip(by_lightness, tints, strict=True)])
    return 1 if np.percentile(off, 95) < tolerance and _one_hue(tints, tolerance) else 2


def _one_hue(tints: np.ndarray, tolerance: float) -> bool:
    """Whether all a*b* that are plainly not grey lie within 45° of their sum."""
    strong = tints[np.hypot(*tints.T) > 2 * tolerance]
    total = strong.sum(0)
    return bool((strong @ total >= 0.7 * np.hypot(*strong.T) * np.hypot(*total)).all())


def _look(rgb: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Lab (pixels, 3) of the photo shrunk and blurred, without what is masked; and the factor it was shrunk by."""
    height, width = rgb.shape[:2]
    factor = min(1.0, _LOOK_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    known = np.ones((height, width), np.float32) if mask is None else 1 - mask.astype(np.float32)
    shown = rgb if mask is None else rgb * ~mask[..., None]
    colour, weight = (_small(x, size) for x in (shown, known))
    look = colour / np.maximum(weight, 0.05)[..., None]
    return cv2.cvtColor(look.clip(0, 1), cv2.COLOR_RGB2LAB)[weight > 0.05], factor


def _small(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    small = to_float(cv2.resize(x, size, interpolation=cv2.INTER_AREA))
    return cv2.GaussianBlur(small, (0, 0), _LOOK_BLUR_PX)
