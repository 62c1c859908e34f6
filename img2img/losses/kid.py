"""Kernel Inception Distance between sets of pictures (Bińkowski et al. 2018), on a perceptual
network's features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.losses.perceptual import STLPIPS, PerceptualNetwork, missing, perceptual_distance
from img2img.pixels.color import resize

MOST_PX = 768
_NETWORK: PerceptualNetwork = "stlpips_alex"  # which nothing here trains on


def kid(fake: Tensor, truth: Tensor) -> float:
    """Kernel distance of two sets of features, (n,d) and (m,d), n, m ≥ 2.

    Unbiased squared MMD with the kernel (x·y/d + 1)³: 0 expected for equal distributions (it can be
    slightly negative).
    """
    pairs = ((fake, fake), (truth, truth), (fake, truth))
    *within, across = ((x @ y.T / x.shape[1] + 1) ** 3 for x, y in pairs)
    # No sample is compared with itself.
    means = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in within]
    return float(means[0] + means[1] - 2 * across.mean())


@torch.no_grad()
def kid_features(rgb: Tensor) -> Tensor | None:
    """What KID compares of pictures (B,3,H,W): AlexNet's five maps, unit length a pixel, mean over
    pixels; (B,1152).

    Scaled so that the kernel's dot product over d is a mean cosine, 0 to 1. None when the weights
    are not here.
    """
    if missing(_NETWORK):
        return None
    network = perceptual_distance(_NETWORK).to(rgb.device)
    assert isinstance(network, STLPIPS)
    maps = network.features(at_most(rgb, MOST_PX))
    means = torch.cat([F.normalize(m, dim=1).mean((2, 3)) for m in maps], 1)
    return means.cpu().double() * (means.shape[1] / len(maps)) ** 0.5


def kid_of_sets(fake: Tensor, real: Tensor, batch: int = 100) -> float | None:
    """KID of many small pictures, (n,3,H,W) and (m,3,H,W), at least 24 px a side; None without the
    weights.
    """
    if missing(_NETWORK):
        return None
    sets = [
        torch.cat([f for x in p.split(batch) if (f := kid_features(x)) is not None])
        for p in (fake, real)
    ]
    return kid(*sets)


def at_most(rgb: Tensor, px: int) -> Tensor:
    """(B,C,H,W) shrunk so that the longer side is at most `px`."""
    height, width = rgb.shape[-2:]
    factor = px / max(height, width)
    if factor >= 1:
        return rgb
    return resize(rgb, (max(24, round(height * factor)), max(24, round(width * factor)))).clamp(
        0, 1
    )
