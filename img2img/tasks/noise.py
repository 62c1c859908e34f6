"""What tasks that make something of noise have in common: how a condition is drawn and put
together.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from img2img.errors import UserError
from img2img.pixels.sheets import grid_sheet
from img2img.pixels.xmp import DigitalSourceType
from img2img.tasks.base import Task


class FromNoise(Task):
    """The condition is (B, latent + labels + codes, 1, 1): normal noise, the label one-hot,
    InfoGAN's codes.
    """

    latent: int = Field(64, ge=1, description="normal numbers a picture is made of")
    labels: int = Field(0, ge=0, description="classes to ask for; 0: none")
    categorical: int = Field(0, ge=0, description="InfoGAN: values of its categorical code")
    continuous: int = Field(0, ge=0, description="InfoGAN: continuous codes, uniform in [-1,1]")

    from_noise: ClassVar[bool] = True
    set_based: ClassVar[bool] = True
    keeps_grey: ClassVar[bool] = False
    minimum_px: ClassVar[int] = 1
    zeros_are: ClassVar[str] = "mid-grey"
    verb: ClassVar[str] = "make it up"
    source_type: ClassVar[DigitalSourceType | None] = "trainedAlgorithmicMedia"

    @property
    def classes(self) -> int:
        return self.labels

    @property
    def code_sizes(self) -> tuple[int, int]:
        return self.categorical, self.continuous

    @property
    def condition_channels(self) -> int:
        return self.latent + self.labels + sum(self.code_sizes)

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

    def overview(self, made: Tensor, columns: int | None = None) -> np.ndarray:
        """All that was made as one picture, (H,W,3) in [0,1]."""
        return grid_sheet(made, columns)

    def prepare(self, photo: Tensor, mask: Tensor | None = None) -> Tensor:
        raise UserError(
            "this model makes pictures from noise, not from photos: use img2img generate --model …"
        )
