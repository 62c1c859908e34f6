"""What can be seen of a photo without a network: its size, its colours, its noise, its compression."""

from __future__ import annotations

import cv2
import numpy as np

from img2img.inference.compression import blockiness_255
from img2img.inference.noise import heard_noise
from img2img.pixels.alpha import seen, uncounted
from img2img.pixels.images import Photo, as_srgb, to_float
from img2img.tasks.base import PhotoStatistics

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
    noise = heard_noise(rgb, left_out)
    return PhotoStatistics(
        width,
        height,
        mask is not None,
        count_tints(rgb, noise.sigma_255, left_out),
        noise.sigma_255,
        noise.correlated,
        blockiness_255(rgb, left_out),
    )


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
