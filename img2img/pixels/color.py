"""Color spaces and the filters that tie sizes together, on (B,3,H,W) tensors, differentiable.

kornia is imported by what needs it: most photos are restored without, and it loads for long.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

AB_SCALE = 110.0  # a and b of sRGB colors stay within ±110


def to_lab(rgb: Tensor) -> Tensor:
    """RGB in [0,1] to CIE Lab (D65): L in [0,100], a and b about ±110."""
    from kornia.color import rgb_to_lab

    return rgb_to_lab(rgb)


def from_lab(lab: Tensor, clip: bool = True) -> Tensor:
    """CIE Lab to RGB, clipped to [0,1] by default."""
    from kornia.color import lab_to_rgb

    return lab_to_rgb(lab, clip=clip)


def to_grey(rgb: Tensor) -> Tensor:
    """RGB to its luma (B,1,H,W), weighted 0.299, 0.587 and 0.114."""
    from kornia.color import rgb_to_grayscale

    return rgb_to_grayscale(rgb)


def luminance(rgb: Tensor) -> Tensor:
    """L* / 100, (B,1,H,W) in [0,1]. Values outside [0,1] are clipped first: Lab is not defined
    there.
    """
    return to_lab(rgb.clamp(0, 1))[:, :1] / 100


def fit_gamut(lab: Tensor, rounds: int = 12) -> Tensor:
    """RGB in [0,1] of the same L*, chroma shrunk pixel by pixel towards grey as far as the gamut
    demands.

    Bisection on the chroma factor: clipping RGB instead would change L*, the one thing colorization
    promises to keep.
    """
    rgb = from_lab(lab, clip=False)
    outside = ~_in_gamut(rgb)
    rgb = rgb.clamp(0, 1)
    if outside.any():  # most photos have few such pixels, and a conversion costs more than to look
        pixels = lab.movedim(1, -1)[outside].T[None, :, None]
        rgb.movedim(1, -1)[outside] = _towards_grey(pixels, rounds)[0, :, 0].T
    return rgb


def _towards_grey(lab: Tensor, rounds: int) -> Tensor:
    """The same of pixels (1,3,1,N) that all lie outside."""
    luma, chroma = lab[:, :1], lab[:, 1:]
    low, high = torch.zeros_like(luma), torch.ones_like(luma)
    for _ in range(rounds):
        middle = (low + high) / 2
        fits = _in_gamut(from_lab(torch.cat((luma, chroma * middle), 1), clip=False))[:, None]
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return from_lab(torch.cat((luma, chroma * low), 1))


def _in_gamut(rgb: Tensor) -> Tensor:
    """(B,H,W) of (B,3,H,W)."""
    return ((rgb >= -1e-4) & (rgb <= 1 + 1e-4)).all(1)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bicubic (a = -0.5, as Pillow and the published baselines) to (height, width);
    fp32, not clipped.
    """
    if x.shape[-2:] == torch.Size(size):
        return x
    return F.interpolate(x.float(), size=size, mode="bicubic", antialias=True, align_corners=False)


def upscale(x: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement by a whole factor."""
    if torch.jit.is_tracing():
        return _upscale_by_convolution(x, scale)
    return resize(x, (x.shape[-2] * scale, x.shape[-1] * scale))


def _upscale_by_convolution(x: Tensor, scale: int) -> Tensor:
    """The same in operations that every format of graphs has: a filter for each of the scale² new
    pixels, and at the borders divided by the sum of the weights that lie inside.
    """
    # Distances of the nearest pixels, -2 to 2, from each of the `scale` places within a pixel.
    places = (np.arange(scale) + 0.5) / scale - 0.5
    t = np.abs(np.arange(-2, 3) - places[:, None])
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    along = np.where(t <= 1, near, np.where(t < 2, far, 0))
    outer = (along[:, None, :, None] * along[None, :, None, :]).reshape(scale**2, 1, 5, 5)
    filters = torch.from_numpy(outer.astype(np.float32)).to(x.device)

    def enlarged(picture: Tensor, channels: int) -> Tensor:
        taps = torch.cat([filters] * channels)
        return F.pixel_shuffle(F.conv2d(picture, taps, padding=2, groups=channels), scale)

    return enlarged(x.float(), int(x.shape[1])) / enlarged(torch.ones_like(x[:, :1].float()), 1)


def downscale(x: Tensor, scale: int) -> Tensor:
    """Antialiased bicubic reduction by a whole factor; height and width must be multiples of it."""
    return resize(x, (x.shape[-2] // scale, x.shape[-1] // scale))


def y_channel(rgb: Tensor) -> Tensor:
    """BT.601 studio-range luma of RGB in [0,1], (B,1,H,W) in [16/255, 235/255]: what
    super-resolution is scored on.
    """
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=rgb.dtype, device=rgb.device).view(
        1, 3, 1, 1
    )
    return ((rgb * weights).sum(1, keepdim=True) + 16) / 255
