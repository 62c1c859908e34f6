"""NIQE, the naturalness of a picture without its truth (Mittal, Soundararajan & Bovik, "Making a
'Completely Blind' Image Quality Analyzer", IEEE Signal Processing Letters 20(3), 2013).

Statistics of locally normalised luma in 96 px patches, at full and at half size, give a Gaussian;
NIQE is its distance to the Gaussian of 125 pristine photos. The pristine one is the authors', from
their release (`niqe_pristine.npz`, terms in `niqe_pristine.txt`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import gamma
from torch import Tensor
from torch.nn import functional as F

from img2img.pixels.color import y_channel

PATCH_PX = 96
LEAST_PX = 2 * PATCH_PX  # a side: four patches, the fewest here whose spread says something
_WINDOW_SIGMA_PX, _WINDOW_RADIUS_PX = 7 / 6, 3
# A flat spot is exactly 0. Rounding would give it a sign, and the fits count signs: with this, the
# value of the authors' MATLAB code is met to seven digits.
_FLAT = 1e-8
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # right, below, and the two diagonals

Array = NDArray[np.float64]


def niqe(rgb: Tensor) -> float | None:
    """NIQE of a picture, on BT.601 studio-range luma of whole numbers, as super-resolution
    reports it.

    Args:
        rgb: a picture, (1,3,H,W) in [0,1].

    Returns:
        About 2 to 5 for good photos, more for noisy, blurred or unnatural ones; lower is better.
        None below 192 px a side, and where fewer than two patches have texture.

    Example:
        >>> import torch
        >>> print(niqe(torch.rand(1, 3, 96, 300)))
        None
        >>> print(niqe(torch.full((1, 3, 192, 192), 0.5)))
        None
    """
    if min(rgb.shape[-2:]) < LEAST_PX:
        return None
    luma = (y_channel(rgb.double().cpu())[0, 0] * 255).round()
    features = patch_features(luma.numpy())
    textured = features[~np.isnan(features).any(1)]
    if len(textured) < 2:
        return None
    mean, covariance = pristine()
    offset = np.nanmean(features, 0) - mean
    pooled = (covariance + np.cov(textured, rowvar=False)) / 2  # equation 10
    return float(np.sqrt(offset @ np.linalg.pinv(pooled) @ offset))


@cache
def pristine() -> tuple[Array, Array]:
    """Mean (36,) and covariance (36,36) of the features of the authors' pristine photos."""
    with np.load(Path(__file__).with_name("niqe_pristine.npz")) as stored:
        return stored["mean"], stored["covariance"]


def patch_features(luma: Array) -> Array:
    """The 36 features of every whole 96 px patch of luma (H,W) in 0-255, (N,36): 18 at full size,
    18 at half.

    NaN where a patch has no texture to fit.
    """
    height, width = (n - n % PATCH_PX for n in luma.shape)
    luma = luma[:height, :width]
    return np.concatenate(
        [_at_one_scale(luma, PATCH_PX), _at_one_scale(_halved(luma), PATCH_PX // 2)], 1
    )


def _at_one_scale(luma: Array, patch_px: int) -> Array:
    """The 18 features of each patch, (N,18), one row of patches in memory at a time."""
    normalised = mscn(luma)
    height, width = luma.shape
    found = []
    for strip in normalised.reshape(height // patch_px, patch_px, width):
        patches = strip.reshape(patch_px, width // patch_px, patch_px).swapaxes(0, 1)
        shape, left, right = fit_aggd(patches)
        features = [shape, (left + right) / 2]
        for shift in _NEIGHBOURS:
            shape, left, right = fit_aggd(patches * np.roll(patches, shift, (1, 2)))
            skew = (right - left) * gamma(2 / shape) / gamma(1 / shape)  # equation 8
            features += [shape, skew, left, right]
        found.append(np.stack(features, 1))
    return np.concatenate(found)


def mscn(luma: Array) -> Array:
    """Mean-subtracted, contrast-normalised luma (equations 1 to 3): Gaussian window of 7 px,
    σ 7/6, edges repeated.
    """
    mean, square = (
        gaussian_filter(x, _WINDOW_SIGMA_PX, radius=_WINDOW_RADIUS_PX, mode="nearest")
        for x in (luma, luma * luma)
    )
    normalised = (luma - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)
    normalised[np.abs(normalised) < _FLAT] = 0
    return normalised


def _halved(luma: Array) -> Array:
    """Antialiased bicubic reduction to half, edges mirrored as MATLAB's `imresize` does."""
    margin = 8  # beyond the reach of the filter
    padded = torch.from_numpy(np.pad(luma, margin, mode="symmetric"))[None, None]
    half = F.interpolate(padded, scale_factor=0.5, mode="bicubic", antialias=True)[0, 0].numpy()
    return half[margin // 2 : -margin // 2, margin // 2 : -margin // 2]


@cache
def _shapes() -> tuple[Array, Array]:
    """The shapes that a fit chooses among, and the ratio Γ(2/α)² / (Γ(1/α) Γ(3/α)) of each, which
    rises with α.
    """
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))


def fit_aggd(patches: Array) -> tuple[Array, Array, Array]:
    """Asymmetric generalised Gaussians fitted to patches (N,h,w) by their moments (Lasmar et al.
    2009): shape α, left and right scale β, (N,) each.

    Scales are NaN, and the shape is the least one, where a patch has no values on one side.
    """
    left, right = np.minimum(patches, 0), np.maximum(patches, 0)
    area = patches[0].size
    left_square, right_square = ((x * x).sum((1, 2)) for x in (left, right))
    with np.errstate(invalid="ignore", divide="ignore"):
        left_std = np.sqrt(left_square / np.count_nonzero(left, (1, 2)))
        right_std = np.sqrt(right_square / np.count_nonzero(right, (1, 2)))
        lean = left_std / right_std
        absolute = ((right - left).sum((1, 2)) / area) ** 2
        ratio = absolute * area / (left_square + right_square)
    ratio *= (lean**3 + 1) * (lean + 1) / (lean**2 + 1) ** 2
    shapes, ratios = _shapes()
    above = np.clip(np.searchsorted(ratios, ratio), 1, len(ratios) - 1)
    nearest = np.where(ratio - ratios[above - 1] <= ratios[above] - ratio, above - 1, above)
    shape = shapes[np.where(np.isnan(ratio), 0, nearest)]
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left_std * scale, right_std * scale
