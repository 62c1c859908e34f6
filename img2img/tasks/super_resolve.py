"""Super-resolution: the network adds what bicubic enlargement lacks; back-projection ties the
result to its input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor

from img2img.data.sample import Batch, PhotoSample, as_picture, as_tensor
from img2img.pixels.color import downscale, upscale, y_channel
from img2img.pixels.psnr import psnr_db
from img2img.pixels.tensors import as_float, as_uint8
from img2img.tasks.base import MainMetric
from img2img.tasks.degradation import Degradation
from img2img.tasks.photo import PhotoStatistics, PhotoTask, Reason

SMALL_PX = 640  # a photo whose longer side is not above this asks to be enlarged


class SuperResolve(PhotoTask):
    """Small photo in, the same photo `factor` times as large out."""

    kind: Literal["super-resolve"] = "super-resolve"
    factor: int = Field(2, ge=2, le=16, description="enlargement")
    back_projections: int = Field(
        5, ge=0, le=20, description="rounds that make the reduced result equal its input"
    )

    degrade: Degradation | None = Field(
        None,
        description="small photos as they are found instead of well reduced ones; {}: as published "
        "for Real-ESRGAN. Take back_projections 0",
    )

    usual_scale: ClassVar[int] = 2
    tiles: ClassVar[bool] = True
    plan_order: ClassVar[int] = 40
    predicts_residual: ClassVar[bool] = True
    zeros_are: ClassVar[str] = "bicubic enlargement"
    verb: ClassVar[str] = "enlarge"
    main_metric: ClassVar[MainMetric] = MainMetric("psnr_y_db")

    @property
    def draws(self) -> bool:  # type: ignore[override]  # read only
        return self.degrade is not None

    @property
    def for_found_photos(self) -> bool:  # type: ignore[override]  # read only
        return self.degrade is not None

    @model_validator(mode="after")
    def _does_not_bring_damage_back(self) -> SuperResolve:
        if self.degrade is not None and self.back_projections:
            raise ValueError(
                "back_projections would bring back what degrade did to the input: set it to 0"
            )
        return self

    @property
    def scale(self) -> int:  # type: ignore[override]  # read only
        return self.factor

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        height, width = (n - n % self.factor for n in sample.photo.shape[:2])
        target = as_tensor(sample.photo[:height, :width])
        if self.degrade is None:
            small = downscale(target, self.factor)
        else:
            small = as_tensor(self.degrade(as_picture(target), rng, self.factor))
        return Batch(condition=as_float(as_uint8(small)), target=target)  # as a file would hold it

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return upscale(condition, self.factor) + prediction

    def finish(self, photo: Tensor, rgb: Tensor) -> Tensor:
        """Iterative back-projection (Irani & Peleg 1991): reduced again, the result agrees with its
        input.
        """
        for step_size in _step_sizes(self.back_projections):
            rgb = rgb + step_size * upscale(photo - downscale(rgb, self.factor), self.factor)
        return rgb.clamp(0, 1)

    @classmethod
    def applies(cls, photo: PhotoStatistics) -> Reason | None:
        if max(photo.width, photo.height) > SMALL_PX:
            return None
        finding = f"small ({photo.width}×{photo.height})"
        return Reason(f"it is {finding}", finding)

    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        fake, real = (y_channel(x) for x in (rgb.float().clamp(0, 1), batch.target.float()))
        return {"psnr_y_db": psnr_db(fake, real)}


def _step_sizes(rounds: int) -> list[float]:
    """Chebyshev's: they shrink any error of the network 90-fold in five rounds, steps of 1 only
    4-fold.

    "Enlarge, then reduce" has real eigenvalues between 0.23 and 1, for all factors; the lowest
    need long steps.
    """
    low, high = 0.23, 1.0
    nodes = [math.cos(math.pi * (2 * k + 1) / (2 * rounds)) for k in range(rounds)]
    return [2 / (high + low - (high - low) * node) for node in nodes]
