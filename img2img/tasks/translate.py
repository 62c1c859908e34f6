"""Picture-to-picture translation: from pairs (pix2pix, Isola et al. 2017) or without (CycleGAN, Zhu
et al. 2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from kornia.color import rgb_to_grayscale, sepia
from kornia.filters import canny, gaussian_blur2d
from pydantic import Field
from torch import Tensor

from img2img.conflicts import Conflict, RecipeContext
from img2img.data.sample import Batch, PairSample, PhotoSample, UnpairedSample, as_tensor
from img2img.pixels.alpha import BLEED
from img2img.pixels.color import resize
from img2img.pixels.images import Half
from img2img.pixels.xmp import DigitalSourceType
from img2img.tasks.base import HeightWidth, MainMetric, Reads, Task
from img2img.tasks.photo import PhotoTask, View, working_view
from img2img.tasks.unpaired import Direction, UnpairedTask

SEPIA_WHITE = 1.351  # what white becomes in the reddest channel: divided by it, nothing is cut off


class Translate(PhotoTask):
    """Condition picture in (a sketch, a label map), photo out."""

    kind: Literal["translate"] = "translate"
    source: Literal["pairs", "edges", "grey", "sepia", "blur", "downscale", "unpaired"] = Field(
        "pairs",
        description="pairs from files, conditions made from single photos, or two sides without "
        "pairs",
    )
    side_a: Literal["files", "edges", "grey", "sepia", "blur", "downscale"] = Field(
        "files",
        description="unpaired: trainA and trainB as they are, or A made from photos that B never "
        "shows",
    )
    direction: Direction = Field("AtoB", description="for pairs: which side is the condition")
    input_channels: Literal[1, 3] | None = Field(
        None,
        description="what the network sees: 3 is RGB, 1 its luma; 1 for edges and grey, else 3",
    )
    output_channels: Literal[1, 3] = Field(
        3, description="what the network predicts: 3 is RGB, 1 a grey picture"
    )
    edge_sigma_px: float = Field(
        2.0, gt=0, description="blur before Canny: larger gives fewer, longer lines"
    )
    working_px: int = Field(
        1024, ge=64, description="larger photos are shrunk to this for the network"
    )

    keeps_grey: ClassVar[bool] = False
    zeros_are: ClassVar[str] = "mid-grey"
    verb: ClassVar[str] = "translate"
    source_type: ClassVar[DigitalSourceType | None] = "trainedAlgorithmicMedia"

    @classmethod
    def for_fields(cls, fields: Mapping[str, Any]) -> type[Task]:
        return UnpairedTranslate if fields.get("source") == "unpaired" else cls

    @property
    def reads(self) -> Reads:
        return "pair" if self.source == "pairs" else "photo"

    @property
    def condition_made_as(self) -> str:
        """How conditions are made of photos; `pairs` and `files` are not."""
        return self.source

    @property
    def background(self) -> str:  # type: ignore[override]  # read only
        """Drawings and label maps lie on paper; a condition that is itself a photo continues what
        is visible.
        """
        drawn = self.condition_made_as in ("pairs", "edges")
        return "white" if drawn else BLEED

    @property
    def condition_channels(self) -> int:
        by_source = 1 if self.source in ("edges", "grey") else 3
        return self.input_channels or by_source

    @property
    def prediction_channels(self) -> int:
        return self.output_channels

    def make_pair(self, sample: PhotoSample | PairSample, rng: np.random.Generator) -> Batch:
        target = as_tensor(sample.photo)
        if isinstance(sample, PairSample):
            condition = as_tensor(sample.other)
            if self.direction == "BtoA":
                condition, target = target, condition
        else:
            condition = self.from_photo(target)
        if self.output_channels == 1:
            target = rgb_to_grayscale(target).expand(-1, 3, -1, -1)
        return Batch(condition=self.prepare(condition), target=target)

    def from_photo(self, photo: Tensor) -> Tensor:
        """The condition as a picture (B,3,H,W): black lines on white, grey, sepia, blurred, or
        shrunk to a quarter.
        """
        photo = photo.clamp(0, 1)
        if self.condition_made_as == "edges":
            return (1 - _edges(photo, self.edge_sigma_px)).expand(-1, 3, -1, -1)
        if self.condition_made_as == "grey":
            return rgb_to_grayscale(photo).expand(-1, 3, -1, -1)
        if self.condition_made_as == "sepia":
            return sepia(photo, rescale=False) / SEPIA_WHITE
        if self.condition_made_as == "blur":
            return gaussian_blur2d(photo, (13, 13), (3.0, 3.0))
        if self.condition_made_as == "downscale":
            height, width = photo.shape[-2:]
            return resize(resize(photo, (-(-height // 4), -(-width // 4))), (height, width))
        return photo

    def prepare(self, photo: Tensor) -> Tensor:
        if self.condition_channels == 3:
            return photo
        # What is made as edges or grey has three equal channels.
        return rgb_to_grayscale(photo) if self.input_channels else photo.mean(1, keepdim=True)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return ((prediction + 1) / 2).expand(-1, 3, -1, -1)

    def encode(self, batch: Batch) -> Tensor:
        return batch.target[:, : self.output_channels] * 2 - 1

    @property
    def condition_half(self) -> Half | None:
        if self.source != "pairs":
            return None
        return "left" if self.direction == "AtoB" else "right"

    def views(self, size: HeightWidth) -> list[View]:
        return [working_view(size, self.working_px)]


class UnpairedTranslate(Translate, UnpairedTask):
    """Translation with `source: unpaired`, both ways."""

    @property
    def reads(self) -> Reads:
        return "two sides" if self.side_a == "files" else "two halves"

    @property
    def condition_made_as(self) -> str:
        return self.side_a

    @property
    def main_metric(self) -> MainMetric:  # type: ignore[override]  # read only
        """B → A where that is known; else only cycles can be measured, which prove little."""
        return MainMetric("cycle_A_psnr_db" if self.side_a == "files" else "BtoA_psnr_db")

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        for name in ("input_channels", "output_channels"):
            if getattr(self, name) == 1:
                problem = "is 1, and without pairs both sides are RGB: use 3"
                yield Conflict(f".{name}", problem, (f"task.{name}=3",))

    def make_pair(  # type: ignore[override]  # it reads no other samples
        self, sample: UnpairedSample, rng: np.random.Generator
    ) -> Batch:
        side_a, side_b = as_tensor(sample.other), as_tensor(sample.photo)
        return Batch(condition=self.from_photo(side_a), target=side_b)

    def other_side(self, photo: Tensor) -> Tensor | None:
        return None if self.side_a == "files" else self.from_photo(photo)


def _edges(photo: Tensor, sigma_px: float) -> Tensor:
    side = 2 * round(2 * sigma_px) + 1
    with torch.no_grad():
        return canny(photo, 0.08, 0.2, (side, side), (sigma_px, sigma_px))[1]
