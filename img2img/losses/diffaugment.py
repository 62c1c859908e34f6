"""Differentiable augmentation of what the discriminator sees (Zhao et al. 2020, "DiffAugment"), for
few pictures.

Real and fake pictures are changed alike, in the steps of D and of G, so that D cannot learn the few
real ones by heart and the changes do not leak into the fake ones.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Augmentation = Literal["color", "translation", "cutout"]


def diffaugment(x: Tensor, kinds: tuple[Augmentation, ...], color_channels: int = 3) -> Tensor:
    """(B,C,H,W) with its first `color_channels` recolored and all of it moved and cut, drawn anew a
    sample.
    """
    if "color" in kinds:
        x = torch.cat([_color(x[:, :color_channels]), x[:, color_channels:]], 1)
    if not {"translation", "cutout"} & set(kinds):
        return x
    x = x - 0.5  # what is moved in and cut out is 0 in the published [-1,1]: mid-grey in our [0,1]
    if "translation" in kinds:
        x = _translation(x)
    return (_cutout(x) if "cutout" in kinds else x) + 0.5


def _color(x: Tensor) -> Tensor:
    """Brightness ±½, saturation 0-2, contrast ½-1½, as published for pictures in [-1,1]; ours are
    in [0,1].
    """
    brightness, saturation, contrast = (
        torch.rand(len(x), 1, 1, 1, device=x.device) for _ in range(3)
    )
    x = x + (brightness - 0.5) / 2
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * 2 * saturation
    middle = x.mean((1, 2, 3), keepdim=True)
    return middle + (x - middle) * (contrast + 0.5)


def _translation(x: Tensor, share: float = 0.125) -> Tensor:
    """Up to an eighth of the size each way; zeros come in."""
    height, width = x.shape[-2:]
    down, right = (
        torch.randint(-round(n * share), round(n * share) + 1, (len(x), 1)) for n in (height, width)
    )
    rows, columns = (torch.arange(n)[None] - shift for n, shift in ((height, down), (width, right)))
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None
    ]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    moved = torch.stack(
        [
            p[:, r][:, :, c]
            for p, r, c in zip(x, rows.to(x.device), columns.to(x.device), strict=True)
        ]
    )
    return moved * inside[:, None].to(moved)


def _cutout(x: Tensor, share: float = 0.5) -> Tensor:
    """One square of half the size, anywhere, becomes zero."""
    height, width = x.shape[-2:]
    kept = torch.ones(len(x), 1, height, width, device=x.device)
    for hole in kept:
        top, left = (int(torch.randint(n, ())) for n in (height, width))
        tall, wide = round(height * share), round(width * share)
        hole[
            :,
            max(0, top - tall // 2) : top + (tall + 1) // 2,
            max(0, left - wide // 2) : left + (wide + 1) // 2,
        ] = 0
    return x * kept
