"""Muon: orthogonalized momentum, so that a layer's weak directions learn as fast as strong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from img2img.training.adam import DenseAdam

MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic polynomial that drives singular values towards 1 (Jordan et al. 2024)."""
MATCHES_ADAM = 0.2
"""The root mean square of Adam's updates in practice (Liu et al. 2025)."""
WEIGHT_DECAY = 0.1
"""Updates never grow small by themselves: without decay weights grow until a run breaks up."""


class Muon(DenseAdam):
    """Muon (Jordan et al. 2024) for the weights of hidden layers, Adam for biases and the first and
    last layer.

    An update's root mean square is Adam's, so both share one learning rate, and weights decay (Liu
    et al. 2025, "Muon is Scalable for LLM Training", eq. 4). A convolution's weight is treated as a
    matrix of (first size, all others). Only the gradient's direction counts, so clipping its norm
    does not help against a rate that is too high.
    """

    def __init__(
        self, network: nn.Module, lr: float, betas: tuple[float, float], fused: bool
    ) -> None:
        super().__init__(network.parameters(), lr=lr, betas=betas, fused=fused)
        self.hidden = [p for p in network.parameters() if p.ndim >= 2][1:-1]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Adam's step without the hidden layers, then theirs."""
        gradients = [(p, p.grad) for p in self.hidden if p.grad is not None]
        for parameter, _ in gradients:
            parameter.grad = None
        loss = super().step(closure)
        rate = self.param_groups[0]["lr"]
        for parameter, gradient in gradients:
            parameter.grad = gradient
            momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
            momentum.lerp_(gradient, 1 - MOMENTUM)
            matrix = gradient.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov's look ahead
            scale = MATCHES_ADAM * max(matrix.shape) ** 0.5
            parameter.mul_(1 - rate * WEIGHT_DECAY)
            parameter.sub_(orthogonalized(matrix).reshape(parameter.shape), alpha=rate * scale)
        return loss


def orthogonalized(matrix: Tensor) -> Tensor:
    """UVᵀ of a matrix UΣVᵀ (R,C), nearly: singular values come out between 0.7 and 1.2
    (Newton-Schulz iterations).
    """
    a, b, c = COEFFICIENTS
    x = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if matrix.shape[0] > matrix.shape[1] else x
