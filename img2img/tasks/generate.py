"""Pictures from noise, and from a label where the data have one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from img2img.data.sample import Batch, LabelledSample, PhotoSample, as_tensor
from img2img.pixels.sheets import grid_sheet
from img2img.pixels.tensors import ScoreFunction
from img2img.tasks.base import MainMetric, Reads, SheetRow
from img2img.tasks.noise import NoiseTask


class Generate(NoiseTask):
    """Noise (and label) in, picture out; with labels, the data are classes, else any photos."""

    kind: Literal["generate"] = "generate"
    size_px: int = Field(
        32, ge=4, le=256, description="side of the pictures; the same as data.crop_px"
    )
    channels: Literal[1, 3] = Field(3, description="1: grey pictures")

    former_names: ClassVar[dict[str, str]] = {"scale": "size_px"}
    plan_order: ClassVar[int] = 90
    main_metric: ClassVar[MainMetric] = MainMetric("sliced_wasserstein", higher_is_better=False)

    @property
    def reads(self) -> Reads:
        return "label" if self.labels else "photo"

    @property
    def prediction_channels(self) -> int:
        return self.channels

    def make_pair(self, sample: PhotoSample | LabelledSample, rng: np.random.Generator) -> Batch:
        target = as_tensor(sample.photo)
        if self.channels == 1:
            target = target.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        label = class_of(sample) if self.labels else None
        noise, code = self.draw_noise(rng), self.draw_code(rng)
        return Batch(
            condition=self.condition(noise, label, code), target=target, label=label, code=code
        )

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        """Tanh here, so that networks need not have it; zeros are mid-grey."""
        return ((torch.tanh(prediction) + 1) / 2).expand(-1, 3, -1, -1)

    def encode(self, batch: Batch) -> Tensor:
        """Artanh, finite at black and white too."""
        signed = batch.target[:, : self.channels] * 2 - 1
        return torch.atanh(signed.clamp(-1 + 1e-6, 1 - 1e-6))

    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        """Sliced Wasserstein distance to real pictures (0 is equal), and how different samples are
        from each other.
        """
        fake, real = (x.float().flatten(1) for x in (rgb, batch.target))
        return {
            "sliced_wasserstein": sliced_wasserstein(fake, real),
            "diversity": spread(fake) / (spread(real) + 1e-8),
        }

    def sheet(self, rows: Sequence[SheetRow], score: ScoreFunction | None = None) -> np.ndarray:
        return grid_sheet(torch.cat([fake for _, _, fake in rows])[:64])


def class_of(sample: PhotoSample | LabelledSample) -> Tensor:
    """The label of a sample as a batch of one."""
    assert isinstance(sample, LabelledSample), "a task with labels reads labelled pictures"
    return torch.tensor([sample.label])


def sliced_wasserstein(fake: Tensor, real: Tensor, directions: int = 128) -> float:
    """Mean 1-Wasserstein distance of (N,D) sets along fixed random directions (Rabin et al. 2011),
    per √D value.
    """
    count = min(len(fake), len(real))
    axes = torch.randn(fake.shape[1], directions, generator=torch.Generator().manual_seed(0)).to(
        fake.device
    )
    axes = axes / axes.norm(dim=0) * fake.shape[1] ** 0.5
    a, b = ((x[:count] @ axes).sort(0).values for x in (fake, real))
    return float((a - b).abs().mean()) / fake.shape[1] ** 0.5


def spread(flat: Tensor) -> float:
    """Mean Euclidean distance between different samples of (N,D)."""
    return float(torch.pdist(flat[:256]).mean()) if len(flat) > 1 else 0.0
