"""Tasks that make pictures or points of noise: how a condition is drawn and put together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from img2img.conflicts import Conflict, RecipeContext
from img2img.pixels.images import quantise
from img2img.pixels.sheets import grid_sheet
from img2img.pixels.xmp import DigitalSourceType
from img2img.tasks.base import HeightWidth, Task


class NoiseTask(Task):
    """The condition is (B, latent + labels + codes, 1, 1): normal noise, the label one-hot,
    InfoGAN's codes. Needs an adversarial part, and no other losses.
    """

    latent: int = Field(64, ge=1, description="normal numbers that a picture comes from")
    labels: int = Field(0, ge=0, description="classes to ask for; 0: none")
    categorical: int = Field(0, ge=0, description="InfoGAN: values of its categorical code")
    continuous: int = Field(0, ge=0, description="InfoGAN: continuous codes, uniform in [-1,1]")

    if TYPE_CHECKING:  # a field of tasks that make pictures, and 1 of those that make points

        @property
        def size_px(self) -> int:
            """Side of the pictures; 1 for points."""

    condition_is_noise: ClassVar[bool] = True
    draws: ClassVar[bool] = True
    set_based: ClassVar[bool] = True
    has_pixels: ClassVar[bool] = True
    """Pictures have a height and a width, and values in [0,1]."""
    zeros_are: ClassVar[str] = "mid-grey"
    verb: ClassVar[str] = "make it up"
    source_type: ClassVar[DigitalSourceType | None] = "trainedAlgorithmicMedia"

    @property
    def classes(self) -> int:
        return self.labels

    @property
    def code_sizes(self) -> tuple[int, int]:
        """InfoGAN's codes: values of the categorical one, number of continuous ones."""
        return self.categorical, self.continuous

    @property
    def condition_channels(self) -> int:
        return self.latent + self.labels + sum(self.code_sizes)

    def output_size(self, size: HeightWidth) -> HeightWidth:
        return self.size_px, self.size_px

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        crop_px = context.crop_px
        if context.adversarial is None:
            problem = "is missing: noise has no target, only a discriminator can teach"
            yield Conflict("adversarial", problem)
        if context.losses:
            problem = "noise has no target to compare with; write losses: []"
            yield Conflict("losses.0.kind", f"'{context.losses[0]}': {problem}")
        if self.reads != "none" and crop_px != self.size_px:
            problem = f"is {crop_px}, and the task makes {self.size_px} px: write that"
            yield Conflict("data.crop_px", problem)

    def condition(
        self, noise: Tensor, label: Tensor | None = None, code: Tensor | None = None
    ) -> Tensor:
        """(B,latent), labels (B,) and codes (B,K) as the network takes them, (B,C,1,1)."""
        parts = [noise]
        if self.labels:
            assert label is not None, "the recipe's task has labels"
            parts.append(F.one_hot(label, self.labels).to(noise.dtype))
        if sum(self.code_sizes):
            assert code is not None, "the recipe's task has codes"
            parts.append(code)
        return torch.cat(parts, 1)[:, :, None, None]

    def draw_noise(self, rng: np.random.Generator) -> Tensor:
        """(1,latent) from N(0,1)."""
        return torch.from_numpy(rng.standard_normal((1, self.latent), dtype=np.float32))

    def draw_code(self, rng: np.random.Generator) -> Tensor | None:
        """(1,K): a value of the categorical code one-hot, and the continuous ones; None where there
        are none.
        """
        if not sum(self.code_sizes):
            return None
        code = np.zeros((1, sum(self.code_sizes)), np.float32)
        if self.categorical:
            code[0, rng.integers(self.categorical)] = 1
        code[0, self.categorical :] = rng.uniform(-1, 1, self.continuous)
        return torch.from_numpy(code)

    def finish(self, rgb: Tensor) -> Tensor:
        """What is written of decoded pictures."""
        return rgb.clamp(0, 1) if self.has_pixels else rgb

    def as_array(self, pictures: Tensor) -> np.ndarray:
        """Pictures (N,3,S,S) as (N,S,S,C) uint8, C as many as the network makes."""
        own = pictures[:, : self.prediction_channels].permute(0, 2, 3, 1)
        return quantise(own.numpy(), np.uint8)

    def overview(self, pictures: Tensor, columns: int | None = None) -> np.ndarray:
        """All of them as one picture, (H,W,3) in [0,1]."""
        return grid_sheet(pictures, columns)
