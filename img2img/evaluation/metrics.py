"""Numbers for pictures: plain functions on RGB tensors (1,3,H,W) in [0,1], each with its paper and
its range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import kornia.metrics
import numpy as np
import torch
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

from img2img.data.sample import as_picture
from img2img.evaluation.niqe import niqe as niqe
from img2img.losses.kid import MOST_PX, at_most
from img2img.losses.kid import kid as kid  # a metric like the others
from img2img.losses.kid import kid_features as kid_features
from img2img.losses.perceptual import PerceptualNetwork, missing, perceptual_distance
from img2img.pixels.chroma import FLAT, NEUTRAL, gradients
from img2img.pixels.color import to_lab, y_channel
from img2img.pixels.psnr import psnr_db as psnr_db
from img2img.pixels.tensors import masked_mean

PERCEPTUAL_METRICS: dict[PerceptualNetwork, str] = {
    "stlpips_alex": "ST-LPIPS AlexNet",
    "stlpips_vgg": "ST-LPIPS VGG",
    "lpips_alex": "LPIPS AlexNet",
}
_FORMER_SPELLING = {"colour ratio": "color ratio"}
_OPTIONAL: tuple[PerceptualNetwork, ...] = ("lpips_alex",)
_STRIP_ROWS = 256
_LEAST_GREY = 0.01  # share of a photo on which a mean of its greys says something
_NO_CHROMA = 0.05  # mean change of a*b* per pixel, ten times that of rounding to 8 bits


@dataclass(frozen=True)
class Column:
    """A number of a report: the field of its name in report.json and photos.csv, the direction in
    which it is better, and its digits after the point.
    """

    name: str
    better: Literal["higher", "lower"] | None
    digits: int

    @property
    def title(self) -> str:
        """The name with an arrow, as tables show it."""
        # fields keep the spelling they began with
        name = _FORMER_SPELLING.get(self.name, self.name)
        return name + {"higher": " ↑", "lower": " ↓", None: ""}[self.better]

    def text(self, value: float | None) -> str:
        """The value as a table shows it; a dash where there is none."""
        return "–" if value is None else f"{value:.{self.digits}f}"


def ssim(rgb: Tensor, truth: Tensor) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 px, σ 1.5, inside; mean of
    channels.

    Args:
        rgb: the result, (1,3,H,W) in [0,1], at least 11 px a side.
        truth: what it should be, of the same shape.

    Returns:
        -1 to 1 for equal pictures; higher is better.

    Example:
        >>> import torch
        >>> picture = torch.rand(1, 3, 16, 16)
        >>> round(ssim(picture, picture), 6)
        1.0
    """
    return float(kornia.metrics.ssim(rgb, truth, 11, padding="valid").mean())


def y_psnr_ssim(rgb: Tensor, truth: Tensor, border: int) -> tuple[float, float]:
    """PSNR and SSIM as super-resolution reports them, on BT.601 studio-range luma.

    Args:
        rgb: the result, (1,3,H,W) in [0,1].
        truth: what it should be, of the same shape.
        border: pixels cut from every side; papers cut as many as the scale.

    Returns:
        PSNR in dB and SSIM; higher is better.

    Example:
        >>> import torch
        >>> truth = torch.full((1, 3, 24, 24), 0.5)
        >>> broken = truth.clone()
        >>> broken[..., :2, :] = 0  # in the border
        >>> psnr, _ = y_psnr_ssim(broken, truth, border=2)
        >>> psnr  # equal inside
        100.0
    """
    inside = (..., slice(border, rgb.shape[-2] - border), slice(border, rgb.shape[-1] - border))
    ours, wanted = (y_channel(x.double())[inside].contiguous() for x in (rgb, truth))
    return psnr_db(ours, wanted), ssim(ours, wanted)


def hole_l1(rgb: Tensor, truth: Tensor, mask: Tensor) -> float:
    """Mean absolute difference over the channels of the missing pixels.

    Args:
        rgb: the result, (1,3,H,W) in [0,1].
        truth: what it should be, of the same shape.
        mask: (1,1,H,W), 1 where pixels were missing.

    Returns:
        0 for equal holes, at most 1; lower is better.

    Example:
        >>> import torch
        >>> truth, mask = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
        >>> mask[..., :4, :] = 1
        >>> hole_l1(truth + mask * 0.25, truth, mask)
        0.25
    """
    return float(masked_mean((rgb - truth).abs(), mask, "hole"))


def ciede2000(rgb: Tensor, truth: Tensor) -> float:
    """Mean CIEDE2000 color difference (Sharma et al. 2005).

    Args:
        rgb: the result, (1,3,H,W) in [0,1].
        truth: what it should be, of the same shape.

    Returns:
        0 for equal pictures, about 1 where it is just visible, 100 for black against white.

    Example:
        >>> import torch
        >>> black = torch.zeros(1, 3, 8, 8)
        >>> round(ciede2000(black, 1 - black), 2)
        100.0
    """
    first, second = as_picture(rgb), as_picture(truth)
    total = 0.0
    # in strips, because the many temporaries of a large photo would not fit
    for top in range(0, len(first), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        total += float(
            deltaE_ciede2000(rgb2lab(first[rows]), rgb2lab(second[rows])).sum(dtype=np.float64)
        )
    return total / (first.shape[0] * first.shape[1])


def colorfulness(rgb: Tensor) -> float:
    """Colorfulness after Hasler & Süsstrunk 2003, on the 0-255 scale.

    Args:
        rgb: a picture, (1,3,H,W) in [0,1].

    Returns:
        0 for grey; about 15 for slightly, 45 for averagely, 82 for highly colorful pictures.

    Example:
        >>> import torch
        >>> colorfulness(torch.full((1, 3, 8, 8), 0.5))
        0.0
    """
    red, green, blue = (rgb[0].double() * 255).unbind(0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = (red_green.var(correction=0) + yellow_blue.var(correction=0)).sqrt()
    return float(spread + 0.3 * (red_green.mean().square() + yellow_blue.mean().square()).sqrt())


def neutral_shift(rgb: Tensor, truth: Tensor) -> float | None:
    """The veil over greys: how far the mean a*, b* is from the truth's where the truth's C* is
    below 6.

    Args:
        rgb: the result, (1,3,H,W) in [0,1].
        truth: what it should be, of the same shape.

    Returns:
        A length in the a*b* plane, 0 for greys that stay grey, about 3 where a tint is just seen;
        None where less than 1 % of the truth is grey.

    Example:
        >>> import torch
        >>> grey = torch.full((1, 3, 8, 8), 0.5)
        >>> neutral_shift(grey, grey)
        0.0
    """
    ours, true = (to_lab(x.double())[:, 1:] for x in (rgb, truth))
    grey = true.norm(dim=1) < NEUTRAL
    if grey.double().mean() < _LEAST_GREY:
        return None
    return float((ours - true).movedim(1, -1)[grey].mean(0).norm())


def stray_edges(rgb: Tensor) -> float | None:
    """Halos: the share of all change of color that lies where lightness does not change, Σ‖∇a*b*‖
    where ‖∇L*‖ < 1 over Σ‖∇a*b*‖, from each pixel to those right and below.

    Args:
        rgb: a picture, (1,3,H,W) in [0,1].

    Returns:
        0 where colors end with things, 1 where all their edges are elsewhere; to be compared with
        the truth's. None of a grey picture.

    Example:
        >>> import torch
        >>> stray_edges(torch.full((1, 3, 8, 8), 0.5)) is None
        True
    """
    luma, chroma = gradients(to_lab(rgb.double()))
    if chroma.mean() < _NO_CHROMA:
        return None
    return float(chroma[luma < FLAT].sum() / chroma.sum())


def fid(fakes: Tensor, real: Tensor) -> float:
    """Fréchet distance of Gaussians fitted to two sets of features (Heusel et al. 2017, "GANs
    Trained by a Two Time-Scale Update Rule", equation 6): |μ₁-μ₂|² + tr(Σ₁ + Σ₂ - 2(Σ₁Σ₂)^½).

    It is biased upwards the more, the fewer samples there are, and says little with fewer than
    features; compare values of equal N alone. Called FID where the features are Inception's.

    Args:
        fakes: features, (N,d).
        real: features, (M,d).

    Returns:
        0 for sets of equal mean and covariance; lower is better. NaN of fewer than 2 samples.

    Example:
        >>> import torch
        >>> features = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
        >>> round(fid(features + 3, features), 6)  # equal covariances, 3 away in both features
        18.0
    """
    if min(len(fakes), len(real)) < 2:
        return float("nan")
    first, second = fakes.double(), real.double()
    spread, other = (x.T.cov().reshape(x.shape[1], -1) for x in (first, second))
    values, vectors = torch.linalg.eigh(spread)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # Σ₁Σ₂ and Σ₁^½ Σ₂ Σ₁^½ have the same eigenvalues, and this one is symmetric.
    shared = torch.linalg.eigvalsh(root @ other @ root).clamp(min=0).sqrt().sum()
    distance = (first.mean(0) - second.mean(0)).square().sum()
    return max(0.0, float(distance + spread.trace() + other.trace() - 2 * shared))


def perceptual_networks() -> dict[PerceptualNetwork, str | None]:
    """The perceptual networks to report, each with why it is not available, or None; optional ones
    only if they are.
    """
    reasons = {network: missing(network) for network in PERCEPTUAL_METRICS}
    return {
        network: reason
        for network, reason in reasons.items()
        if network not in _OPTIONAL or reason is None
    }


@torch.no_grad()
def perceptual(network: PerceptualNetwork, rgb: Tensor, truth: Tensor) -> list[float]:
    """Distances of pictures (B,3,H,W), at least 24 px a side, to one truth (1,3,H,W): 0 equal,
    about 1 unrelated.

    Pictures beyond 768 px are shrunk: the networks were fitted to patches, and their memory would
    grow with the photo. Raises UserError when the network's weights are not here.
    """
    distance = perceptual_distance(network).to(rgb.device)
    return [float(d) for d in distance(at_most(rgb, MOST_PX), at_most(truth, MOST_PX))]
