"""Restoration at the photo's own size, of damage that pairs show or that can be made of photos.

Most `1x` models of other people are of this task. Noise has a task of its own (denoise).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from img2img.data.sample import Batch, PairSample, PhotoSample, as_tensor
from img2img.pixels import degrade
from img2img.pixels.images import to_float
from img2img.tasks.base import COPIED, Reads
from img2img.tasks.degradation import Degradation
from img2img.tasks.photo import PhotoTask


class Restoration(PhotoTask):
    """Damaged photo in, the same photo restored."""

    kind: Literal["restoration"] = "restoration"
    source: Literal["pairs", "jpeg", "camera"] = Field(
        "pairs",
        description="where damaged photos come from: side A of pairs, JPEG of quality 10-90, or "
        "what a camera or scanner does (blur, noise or grain, JPEG)",
    )

    degrade: Degradation | None = Field(
        None, description="damaged photos are made by this instead; {}: as for Real-ESRGAN"
    )

    tiles: ClassVar[bool] = True
    plan_order: ClassVar[int] = 15
    predicts_residual: ClassVar[bool] = True
    zeros_are: ClassVar[str] = COPIED
    verb: ClassVar[str] = "restore"

    @property
    def draws(self) -> bool:  # type: ignore[override]  # read only
        return self.reads == "photo"

    @property
    def reads(self) -> Reads:
        return "pair" if self.source == "pairs" and self.degrade is None else "photo"

    def make_pair(self, sample: PhotoSample | PairSample, rng: np.random.Generator) -> Batch:
        if isinstance(sample, PairSample):
            damaged = sample.other
        elif self.degrade is not None:
            damaged = self.degrade(to_float(sample.photo), rng)
        elif self.source == "jpeg":
            damaged = degrade.jpeg(to_float(sample.photo), int(rng.integers(10, 91)))
        else:
            damaged = degrade.camera(to_float(sample.photo), rng)
        return Batch(condition=as_tensor(damaged), target=as_tensor(sample.photo))

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return condition + prediction
