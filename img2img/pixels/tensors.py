"""Between arrays and tensors, and between whole numbers and [0,1], for all that work on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Region = Literal["all", "hole", "known"]
ScoreFunction = Callable[[Tensor], Tensor]
"""A discriminator's scores of pictures (B,C,H,W): one each, (B,), or one a patch."""


def as_tensor(picture: np.ndarray) -> Tensor:
    """(H,W,C) or (H,W) array to a (1,C,H,W) float tensor, values unchanged; uint8 becomes [0,1]."""
    if picture.ndim == 2:
        picture = picture[..., None]
    scale = 1 / 255 if picture.dtype == np.uint8 else 1.0
    moved = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32)
    return torch.from_numpy(moved * np.float32(scale) if scale != 1 else moved)


def as_picture(tensor: Tensor) -> np.ndarray:
    """(C,H,W) or (1,C,H,W) tensor to an (H,W,C) float32 array."""
    if tensor.dim() == 4:
        tensor = tensor[0]
    return tensor.detach().float().cpu().permute(1, 2, 0).contiguous().numpy()


def as_uint8(x: Tensor) -> Tensor:
    """[0,1] of any shape, clipped and rounded to the nearest of 256 levels."""
    return (x.clamp(0, 1) * 255).round().byte()


def as_float(x: Tensor) -> Tensor:
    """uint8 and uint16 levels of any shape as float32 in [0,1]; floats pass as float32."""
    if x.dtype.is_floating_point:
        return x.float()
    return x.float() / (255 if x.dtype == torch.uint8 else 65535)


def masked_mean(values: Tensor, mask: Tensor | None, region: Region) -> Tensor:
    """Mean of (B,C,H,W) over all pixels, the missing ones (mask 1) or the known ones; 0 where the
    region is empty.
    """
    if region == "all":
        return values.mean()
    if mask is None:
        raise ValueError(f"region '{region}' needs a mask")
    weight = (mask if region == "hole" else 1 - mask).float()
    return (values * weight).sum() / (weight.sum() * values.shape[1]).clamp_min(1)
