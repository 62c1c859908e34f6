"""Photos together with what another model, the teacher, makes of them, read from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from img2img.data.sample import PhotoSample, Sample
from img2img.data.source import Source
from img2img.errors import UserError
from img2img.pixels.augment import Augment


@dataclass
class TaughtSource(Source):
    """A source whose photos come with a teacher's pictures of them."""

    source: Source
    augment: Augment
    pictures: Mapping[int, Path]
    """The teacher's pictures by item, (H,W,3) uint16, as `sized_sample` has the photo."""

    def __len__(self) -> int:
        return len(self.source)

    def key(self, index: int) -> str:
        return self.source.key(index)

    def files(self, index: int) -> tuple[Path, ...]:
        return self.source.files(index)

    def read(self, index: int, number: int) -> Sample:
        sample = sized_sample(self.source.read(index, number), self.augment)
        if index not in self.pictures:
            raise UserError("could not be read when the teacher was asked", field="train.teacher")
        # Mapped, not read: a crop needs a few rows of it.
        return replace(sample, teacher=np.load(self.pictures[index], mmap_mode="r"))


def sized_sample(sample: Sample, augment: Augment) -> PhotoSample:
    """A photo at the size that crops are cut from, where no chance has a part in that."""
    assert isinstance(sample, PhotoSample), "else the recipe is refused"
    rng = np.random.default_rng(0)  # of a range of one size
    return sample.augmented(lambda pictures: augment.sized(pictures, rng))
