"""Chroma a*, b* of CIE Lab: enlarged along the edges of the luminance, told by classes of color
(bins) with an annealed mean, and how it changes where the luminance does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

NEUTRAL = 6.0  # C* below which a color counts as grey
FLAT = 1.0  # ΔL* from pixel to pixel below which there is no edge

# Values of a*, and of b*, whose pairs are the bins: fine near grey, where most of a photo lies,
# and as far as sRGB's blue. Each has its opposite, so that equal shares are grey.
_AXIS = (-108.0, -60.0, -36.0, -22.0, -13.0, -6.0, 0.0, 6.0, 13.0, 22.0, 36.0, 60.0, 108.0)
BINS = len(_AXIS) ** 2
_LOGITS = 10.0  # logits that a prediction of 1 stands for
_SURE = 1e-12  # least share that `encoded_bins` tells from none

_SIGMA_LUMINANCE = 0.03  # of 1
_STRIP_ROWS = 256  # so that memory does not grow with the photo

_TILT = 1.0  # standard deviation of how far another version leans, in logits of vivid colors
_STREAM = 7  # of randomness


# --- enlarging


def bilinear(chroma: Tensor, size: tuple[int, ...]) -> Tensor:
    """(B,C,h,w) at another (height, width)."""
    return F.interpolate(chroma, size=tuple(size), mode="bilinear", align_corners=False)


def bilinear_rows(chroma: Tensor, rows: slice, height: int) -> Tensor:
    """Some rows of (B,C,h,w) enlarged to a height, at its own width."""
    most = chroma.shape[-2] - 1
    places = (torch.arange(rows.start, rows.stop).to(chroma) + 0.5) * ((most + 1) / height) - 0.5
    places = places.clamp(0, most)
    above = places.long()
    share = (places - above)[:, None]
    below = chroma[..., (above + 1).clamp(max=most), :]
    return chroma[..., above, :] * (1 - share) + below * share


def joint_bilateral(chroma: Tensor, luminance: Tensor) -> Tensor:
    """Joint bilateral upsampling (Kopf et al. 2007, equation 3): chroma at the size of a luminance,
    which says where one thing ends and the next begins.

    Each pixel is a mean of the nearest 3×3 small ones, weighted by distance (a quadratic B-spline,
    which ends smoothly, so that no grid shows in skies) and by likeness of luminance.
    Differentiable with respect to the chroma.

    Args:
        chroma: (B,C,h,w).
        luminance: (B,1,H,W) in [0,1].

    Returns:
        (B,C,H,W); the chroma itself where the sizes are equal.
    """
    height = luminance.shape[-2]
    if chroma.shape[-2:] == luminance.shape[-2:]:
        return chroma
    small = F.interpolate(luminance.detach(), size=chroma.shape[-2:], mode="area")
    rows = height if torch.jit.is_tracing() else _STRIP_ROWS  # a graph takes any height
    strips = [
        _strip(chroma, small, luminance.detach(), top, min(top + rows, height))
        for top in range(0, height, rows)
    ]
    return torch.cat(strips, -2)


def _strip(chroma: Tensor, small: Tensor, luminance: Tensor, top: int, bottom: int) -> Tensor:
    """Rows of `joint_bilateral`."""
    height, width = luminance.shape[-2:]
    rows = _neighbours(torch.arange(top, bottom), height, chroma.shape[-2])
    columns = list(_neighbours(torch.arange(width), width, chroma.shape[-1]))
    pixels = luminance[..., top:bottom, :]
    total, weights = torch.zeros_like(pixels), torch.zeros_like(pixels)
    for y, weight_y in rows:
        for x, weight_x in columns:
            unlike = (pixels - small[..., y, :][..., x]).square()
            likeness = (-unlike / (2 * _SIGMA_LUMINANCE**2)).exp()
            # a pixel unlike all its neighbours still has some
            weight = (weight_y[:, None] * weight_x).to(pixels) * (likeness + 1e-6)
            total = total + weight * chroma[..., y, :][..., x]
            weights = weights + weight
    return total / weights


def _neighbours(at: Tensor, large: int, small: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Along one axis, for pixels at places `at` of a picture `large`: the three nearest of a
    `small` one, one after the other, and their weights.
    """
    places = (at + 0.5) * (small / large) - 0.5
    nearest = places.round()
    off = places - nearest  # -½ to ½
    weights = (0.5 * (0.5 - off).square(), 0.75 - off.square(), 0.5 * (0.5 + off).square())
    for step, weight in zip((-1, 0, 1), weights, strict=True):
        yield (nearest + step).clamp(0, small - 1).long(), weight


# --- classes of color


@cache
def _axis() -> Tensor:
    return torch.tensor(_AXIS)


@cache
def _centers() -> Tensor:
    """(BINS, 2): a*, b* of each bin."""
    return torch.cartesian_prod(_axis(), _axis())


def shares(chroma: Tensor) -> Tensor:
    """The bins (B,BINS,h,w) that colors (B,2,h,w) lie between, by nearness: they sum to 1, and
    their mean is the color (bilinear soft encoding; Zhang et al. 2016 take the 5 nearest).
    """
    a, b = (_along(part) for part in chroma.unbind(1))
    return (a[:, :, None] * b[:, None]).flatten(1, 2)


def _along(values: Tensor) -> Tensor:
    """(B,h,w) to the shares (B,13,h,w) of the axis' values; hats of height 1."""
    axis = _axis().to(values)
    values = values.clamp(axis[0], axis[-1])
    upper = torch.searchsorted(axis, values.contiguous()).clamp(1, len(axis) - 1)
    low, high = axis[upper - 1], axis[upper]
    share = ((values - low) / (high - low))[:, None]
    upper = upper[:, None]
    out = values.new_zeros(len(values), len(axis), *values.shape[1:])
    return out.scatter(1, upper - 1, 1 - share).scatter(1, upper, share)


def log_shares(prediction: Tensor) -> Tensor:
    """Log-probabilities of the bins (B,BINS,h,w) by a network's prediction about [-1,1]; equal ones
    of zeros.
    """
    return torch.log_softmax(prediction * _LOGITS, 1)


def annealed_mean(prediction: Tensor, temperature: float) -> Tensor:
    """Colors (B,2,h,w) of predicted bins: their mean after the distribution is sharpened (Zhang et
    al. 2016, equation 5): 1 is the mean, which is dull, near 0 the mode, which is spotty.

    Zeros give grey.
    """
    sharpened = torch.softmax(prediction * (_LOGITS / temperature), 1)
    return torch.einsum("bqhw,qc->bchw", sharpened, _centers().to(sharpened))


def encoded_bins(chroma: Tensor, temperature: float) -> Tensor:
    """The prediction (B,BINS,h,w) in [-1,1] that `annealed_mean` makes these colors of."""
    logits = temperature * shares(chroma).clamp_min(_SURE).log()
    return (1 + logits / _LOGITS).clamp(-1, 1)


def another_version(prediction: Tensor, seed: int, temperature: float) -> Tensor:
    """Predicted bins that lean to other colors, drawn by a seed.

    The distribution p(c) of a pixel becomes p(c)·exp(u·c / (|c| + 20)), normalised: where the
    network is sure little changes, where several colors are likely, another of them wins. The lean
    u is a Gaussian process over distributions with the kernel Σ √(p q) of the sharpened ones: what
    the network takes for the same thing leans the same way, and nothing shows where no edge is.
    """
    sharpened = torch.softmax(prediction * (_LOGITS / temperature), 1)
    drawn = np.random.default_rng([_STREAM, seed]).standard_normal((BINS, 2))
    lean = torch.einsum("bqhw,qc->bchw", sharpened.sqrt(), torch.from_numpy(drawn).to(sharpened))
    centers = _centers().to(prediction)
    directions = centers / (centers.norm(dim=1, keepdim=True) + 20)
    tilt = torch.einsum("bchw,qc->bqhw", lean, directions)
    return prediction + tilt * (_TILT / _LOGITS)


# --- where chroma changes


def gradients(lab: Tensor) -> tuple[Tensor, Tensor]:
    """‖∇L*‖ and ‖∇a*b*‖ of CIE Lab (B,3,H,W), from each pixel to those right and below, (B,1,H-1,
    W-1) each.
    """
    here = lab[..., :-1, :-1]
    across, down = lab[..., :-1, 1:] - here, lab[..., 1:, :-1] - here
    squares = across.square() + down.square()
    # smooth at zero, by less than anything that can be seen
    return (squares[:, :1] + 1e-8).sqrt(), (squares[:, 1:].sum(1, keepdim=True) + 1e-8).sqrt()
