"""What flows from files to the training step: a Sample from a source, a Batch from a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from img2img.pixels.tensors import as_picture, as_tensor

__all__ = [
    "Batch",
    "EmptySample",
    "LabelledSample",
    "PairSample",
    "PhotoSample",
    "Sample",
    "UnpairedSample",
    "as_picture",
    "as_tensor",
    "collate",
    "sample_of",
    "sample_rng",
]

PictureChange = Callable[[list[np.ndarray]], list[np.ndarray]]
"""Crops, flips and the like: all pictures given at once are changed alike."""


@dataclass(frozen=True)
class EmptySample:
    """The number of a sample, for a task that draws all else from its random generator."""

    number: int
    """The sample's number in the run."""

    changed_alike: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Names of the pictures that are cropped and flipped together; each group by itself."""

    def augmented(self, change: PictureChange) -> Self:
        """The sample with its pictures changed."""
        changed: dict[str, Any] = {}
        for group in self.changed_alike:
            names = [name for name in group if getattr(self, name) is not None]
            pictures = change([getattr(self, name) for name in names])
            changed.update(zip(names, pictures, strict=True))
        return replace(self, **changed)


@dataclass(frozen=True)
class PhotoSample(EmptySample):
    """One photo."""

    photo: np.ndarray
    """(H,W,3) uint8 RGB"""
    _: KW_ONLY
    teacher: np.ndarray | None = None
    """What `train.teacher` makes of the same input: (H,W,3) uint16 RGB, on the pixels of `photo`"""

    changed_alike: ClassVar[tuple[tuple[str, ...], ...]] = (("photo", "teacher"),)


@dataclass(frozen=True)
class LabelledSample(PhotoSample):
    """A photo and its class."""

    label: int


@dataclass(frozen=True)
class PairSample(PhotoSample):
    """A photo and its partner of the same size; both are cropped alike."""

    other: np.ndarray
    """Side A, where `photo` is side B: (H,W,3) uint8 RGB, as large as `photo`"""

    changed_alike: ClassVar[tuple[tuple[str, ...], ...]] = (("photo", "other", "teacher"),)


@dataclass(frozen=True)
class UnpairedSample(PhotoSample):
    """A photo of side B and one of side A that have nothing to do with each other."""

    other: np.ndarray
    """Side A, of a size of its own: (H,W,3) uint8 RGB"""

    changed_alike: ClassVar[tuple[tuple[str, ...], ...]] = (("photo",), ("other",))


Sample = EmptySample | PhotoSample | LabelledSample | PairSample | UnpairedSample
"""What a source yields."""


def sample_of(reads: str, number: int, photo: np.ndarray, other: np.ndarray, label: int) -> Sample:
    """A sample such as a task reads: of a photo, a partner (or side A) and a class."""
    if reads == "none":
        return EmptySample(number)
    if reads == "label":
        return LabelledSample(number, photo, label)
    if reads == "photo":
        return PhotoSample(number, photo)
    return (PairSample if reads == "pair" else UnpairedSample)(number, photo, other)


@dataclass(frozen=True)
class Batch:
    """What a task makes of samples. Pictures are RGB in [0,1]; noise may reach beyond."""

    condition: Tensor
    """What the generator sees: (B,Cc,H,W)"""
    target: Tensor
    """What it should make of it: (B,3,H·scale,W·scale)"""
    mask: Tensor | None = None
    """(B,1,H,W), 1 = to be filled"""
    local_center: Tensor | None = None
    """(B,2) row and column of a pixel in the hole"""
    label: Tensor | None = None
    """(B,) class numbers"""
    code: Tensor | None = None
    """(B,K) InfoGAN's codes: one-hot, then continuous"""
    teacher: Tensor | None = None
    """What `train.teacher` makes of the condition: (B,3,H·scale,W·scale)"""

    def __len__(self) -> int:
        return len(self.condition)

    @property
    def pictures(self) -> dict[str, Tensor]:
        """Condition and target by name, where they are pictures: noise and points are 1×1."""
        found = {"condition": self.condition, "target": self.target}
        return {name: x for name, x in found.items() if x.shape[-2:] != (1, 1)}

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, pictures channels-last."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                # Unlike `contiguous`, it also sets the strides of one channel, which say what is
                # made of it together with others.
                layout = torch.channels_last if value.dim() == 4 else torch.preserve_format
                value = value.to(device, non_blocking=True, memory_format=layout)
            moved[field.name] = value
        return Batch(**moved)


def collate(items: Sequence[Batch]) -> Batch:
    """Join batches of one along the first axis."""
    joined: dict[str, Any] = {}
    for field in fields(Batch):
        values = [getattr(item, field.name) for item in items]
        joined[field.name] = None if values[0] is None else torch.cat(values)
    return Batch(**joined)


def sample_rng(seed: int, stream: int, number: int) -> np.random.Generator:
    """The generator of one sample: a pure function of its arguments, so any interruption gives the
    same stream.
    """
    return np.random.default_rng((seed, stream, number))
