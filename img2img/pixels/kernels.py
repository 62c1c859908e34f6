"""Blur kernels of the second-order degradation model (Wang et al. 2021, "Real-ESRGAN", section 3):
odd squares of float32 that sum to 1.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

Shape = Literal["gaussian", "generalized", "plateau"]
SHAPES: tuple[tuple[Shape, float], ...] = (
    ("gaussian", 0.7),
    ("generalized", 0.15),
    ("plateau", 0.15),
)
"""With their shares, as published; of the Gaussians 0.45 / 0.7 are the same in all directions."""

_ISOTROPIC = {"gaussian": 0.45 / 0.7, "generalized": 0.8, "plateau": 0.8}
_ANGLES = 64  # of the integral that is Bessel's J1


def blur_kernel(
    shape: Shape, sigma_px: tuple[float, float], turn: float, beta: float, size_px: int
) -> np.ndarray:
    """A blur of σ along two axes that are turned by so many radians: exp(-½ d^(2β)), or the plateau
    1 / (1 + d^(2β)), of the distance d in σ; a Gaussian has β 1.
    """
    half = size_px // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    along = (math.cos(turn) * x + math.sin(turn) * y) / sigma_px[0]
    across = (math.cos(turn) * y - math.sin(turn) * x) / sigma_px[1]
    d = (along**2 + across**2) ** (1.0 if shape == "gaussian" else beta)
    kernel = 1 / (1 + d) if shape == "plateau" else np.exp(-d / 2)
    return (kernel / kernel.sum()).astype(np.float32)


def sinc_kernel(cutoff: float, size_px: int) -> np.ndarray:
    """The ideal low pass up to `cutoff` in radians a pixel, π at most, cut off to a square: it
    rings and overshoots (equation 4): cutoff · J1(cutoff · r) / (2π r).
    """
    half = size_px // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    r = np.hypot(x, y)
    t = (np.arange(_ANGLES) + 0.5) * (math.pi / _ANGLES)
    bessel = np.cos(t - cutoff * r[..., None] * np.sin(t)).mean(-1)
    kernel = cutoff * bessel / (2 * math.pi * np.maximum(r, 1e-9))
    kernel[half, half] = cutoff**2 / (4 * math.pi)
    return (kernel / kernel.sum()).astype(np.float32)


def random_blur(
    rng: np.random.Generator, sigma_px: tuple[float, float], size_px: tuple[int, int]
) -> np.ndarray:
    """One of the shapes, its size (odd), σ, angle and β drawn as published."""
    size = 2 * int(rng.integers(size_px[0] // 2, size_px[1] // 2 + 1)) + 1
    shares = [share for _, share in SHAPES]
    shape = SHAPES[int(rng.choice(len(SHAPES), p=shares))][0]
    first, second = rng.uniform(*sigma_px), rng.uniform(*sigma_px)
    turn, beta = rng.uniform(-math.pi, math.pi), 1.0
    if shape != "gaussian":
        most = 4.0 if shape == "generalized" else 2.0
        beta = (
            rng.uniform(0.5 if most == 4 else 1, 1) if rng.random() < 0.5 else rng.uniform(1, most)
        )
    if rng.random() < _ISOTROPIC[shape]:
        second = first
    return blur_kernel(shape, (first, second), turn, beta, size)


def random_sinc(rng: np.random.Generator, size_px: tuple[int, int]) -> np.ndarray:
    """A cutoff from π/3, of small kernels, or π/5 up to π."""
    size = 2 * int(rng.integers(size_px[0] // 2, size_px[1] // 2 + 1)) + 1
    return sinc_kernel(rng.uniform(math.pi / (3 if size < 13 else 5), math.pi), size)
