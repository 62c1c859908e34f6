"""What flows from files to the training step: a Sample from a source, a Batch from a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """What a source yields: one photo, or a pair, or a label, and the sample's number in the run."""

    number: int
    photo: np.ndarray | None = None  # (H,W,3) uint8 RGB
    other: np.ndarray | None = (
        None  # the pair's condition side, as large as `photo` if they are a pair
    )
    label: int | None = None
    paired: bool = True  # `photo` and `other` belong together, and are cropped alike


@dataclass(frozen=True)
class Batch:
    """What a task makes of samples. Pictures are RGB in [0,1]; noise may reach beyond."""

    condition: Tensor  # (B,Cc,H,W)
    target: Tensor  # (B,3,H·scale,W·scale)
    mask: Tensor | None = None  # (B,1,H,W), 1 = to be filled
    local_center: Tensor | None = None  # (B,2) row and column of a pixel in the hole
    label: Tensor | None = None  # (B,) class numbers
    code: Tensor | None = None  # (B,K) InfoGAN's codes: one-hot, then continuous

    def __len__(self) -> int:
        return len(self.condition)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, pictures channels-last."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                value = value.to(device, non_blocking=True)
                value = (
                    value.contiguous(memory_format=torch.channels_last)
                    if value.dim() == 4
                    else value
                )
            moved[field.name] = value
        return Batch(**moved)


def collate(items: Sequence[Batch]) -> Batch:
    """Join batches of one along the first axis."""
    joined: dict[str, Any] = {}
    for field in fields(Batch):
        values = [getattr(item, field.name) for item in items]
        joined[field.name] = None if values[0] is None else torch.cat(values)
    return Batch(**joined)


def as_tensor(picture: np.ndarray) -> Tensor:
    """(H,W,C) or (H,W) array to a (1,C,H,W) float tensor, values unchanged (uint8 becomes [0,1])."""
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


def sample_rng(seed: int, stream: int, number: int) -> np.random.Generator:
    """The generator of one sample: a pure function of its arguments, so any interruption gives the
    same stream.
    """
    return np.random.default_rng((seed, stream, number))
