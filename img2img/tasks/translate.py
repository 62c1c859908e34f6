"""Picture-to-picture translation: from pairs (pix2pix, Isola et al. 2017) or without (CycleGAN, Zhu
et al. 2017).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from kornia.color import rgb_to_grayscale, sepia
from kornia.filters import canny, gaussian_blur2d
from pydantic import Field
from torch import Tensor

from img2img.data.sample import Batch, Sample, as_tensor
from img2img.pixels.color import resize
from img2img.pixels.xmp import DigitalSourceType
from img2img.tasks.base import MainMetric, Reads, Task, View, working_view

SEPIA_WHITE = 1.351  # what white becomes in the reddest channel: divided by it, nothing is cut off


class Translate(Task):
    """Condition picture in (a sketch, a label map), photo out."""

    kind: Literal["translate"] = "translate"
    source: Literal["pairs", "edges", "grey", "sepia", "blur", "downscale", "unpaired"] = Field(
        "pairs",
        description="pairs from files, conditions made from single photos, or two sides without pairs",
    )
    side_a: Literal["files", "edges", "grey", "sepia", "blur", "downscale"] = Field(
        "files",
        description="unpaired: trainA and trainB as they are, or A made from photos that B never shows",
    )
    direction: Literal["AtoB", "BtoA"] = Field(
        "AtoB", description="for pairs: which side is the condition"
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

    @property
    def reads(self) -> Reads:
        if self.source == "unpaired":
            return "two sides" if self.side_a == "files" else "two halves"
        return "pair" if self.source == "pairs" else "photo"

    @property
    def made(self) -> str:
        """What conditions are made of photos, if they are."""
        return self.side_a if self.source == "unpaired" else self.source

    @property
    def background(self) -> str:
        """Drawings and label maps lie on paper; a condition that is itself a photo continues what
        is visible.
        """
        return "white" if self.made in ("pairs", "edges") else super().background

    @property
    def condition_channels(self) -> int:
        return 1 if self.source in ("edges", "grey") else 3

    @property
    def main_metric(self) -> MainMetric:
        """Unpaired, B → A where that is known; elsewhere only cycles can be measured, and they
        prove little.
        """
        names = {"two halves": "BtoA_psnr_db", "two sides": "cycle_A_psnr_db"}
        return MainMetric(names.get(self.reads, "psnr_db"))

    def make_pair(self, sample: Sample, rng: np.random.Generator) -> Batch:
        assert sample.photo is not None
        target = as_tensor(sample.photo)
        if self.reads == "photo":
            return Batch(condition=self.prepare(self.from_photo(target)), target=target)
        assert sample.other is not None
        other = as_tensor(sample.other)
        if self.unpaired:
            return Batch(condition=self.from_photo(other), target=target)
        condition, target = (other, target) if self.direction == "AtoB" else (target, other)
        return Batch(condition=self.prepare(condition), target=target)

    def from_photo(self, photo: Tensor) -> Tensor:
        """The condition as a picture (B,3,H,W): black lines on white, grey, sepia, blurred, or
        shrunk to a quarter.
        """
        photo = photo.clamp(0, 1)
        if self.made == "edges":
            return (1 - _edges(photo, self.edge_sigma_px)).expand(-1, 3, -1, -1)
        if self.made == "grey":
            return rgb_to_grayscale(photo).expand(-1, 3, -1, -1)
        if self.made == "sepia":
            return sepia(photo, rescale=False) / SEPIA_WHITE
        if self.made == "blur":
            return gaussian_blur2d(photo, (13, 13), (3.0, 3.0))
        if self.made == "downscale":
            height, width = photo.shape[-2:]
            return resize(resize(photo, (-(-height // 4), -(-width // 4))), (height, width))
        return photo

    def other_side(self, photo: Tensor) -> Tensor | None:
        return self.from_photo(photo) if self.reads == "two halves" else None

    def prepare(self, photo: Tensor, mask: Tensor | None = None) -> Tensor:
        return photo if self.condition_channels == 3 else photo.mean(1, keepdim=True)

    def decode(self, condition: Tensor, prediction: Tensor, mask: Tensor | None = None) -> Tensor:
        return (prediction + 1) / 2

    def views(self, size: tuple[int, int], mask: np.ndarray | None = None) -> list[View]:
        return [working_view(size, self.working_px)]


def _edges(photo: Tensor, sigma_px: float) -> Tensor:
    side = 2 * round(2 * sigma_px) + 1
    with torch.no_grad():
        return canny(photo, 0.08, 0.2, (side, side), (sigma_px, sigma_px))[1]
