"""Penalties on the discriminator's gradient with respect to the picture that it scores. They run in
fp32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from img2img.pixels.tensors import ScoreFunction


def gradients(score: ScoreFunction, pictures: Tensor) -> Tensor:
    """∇ of each sample's mean score with respect to its picture, flattened to (B,N), differentiable
    once more.
    """
    with torch.autocast(pictures.device.type, enabled=False):
        pictures = pictures.detach().float().requires_grad_(True)
        scores = score(pictures).flatten(1).mean(1).sum()
        (slope,) = torch.autograd.grad(scores, pictures, create_graph=True)
    return slope.flatten(1)


def unit_norm_penalty(score: ScoreFunction, pictures: Tensor) -> Tensor:
    """Mean of (‖∇D(x̂)‖ - 1)²: Gulrajani et al. 2017, equation 3, where λ multiplies it."""
    # The norm's slope is infinite at 0, where a dead network lies.
    norms = (gradients(score, pictures).square().sum(1) + 1e-12).sqrt()
    return (norms - 1).square().mean()


def r1_penalty(score: ScoreFunction, real: Tensor) -> Tensor:
    """½ E‖∇D(x)‖² at real pictures: Mescheder et al. 2018, equation 9, where γ multiplies it."""
    return 0.5 * gradients(score, real).square().sum(1).mean()


def between(real: Tensor, fake: Tensor) -> Tensor:
    """x̂ = εx + (1-ε)G(z), one ε in [0,1] a sample (Gulrajani et al. 2017, algorithm 1)."""
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    return share * real + (1 - share) * fake


def around(real: Tensor) -> Tensor:
    """x + δ with δ ~ N(0, cI) (Kodali et al. 2017, equation 1); √c is half the data's standard
    deviation.
    """
    return real + 0.5 * real.std() * torch.randn_like(real)
