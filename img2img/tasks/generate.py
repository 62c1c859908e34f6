"""Pictures from noise, and from a label where the data have one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from img2img.data.sample import Batch, Sample, as_tensor
from img2img.pixels.sheets import grid_sheet
from img2img.tasks.base import MainMetric, Reads, Row, ScoreFunction
from img2img.tasks.noise import FromNoise


class Generate(FromNoise):
    """Noise (and label) in, picture out; with labels, the data are classes, else any photos."""

    kind: Literal["generate"] = "generate"
    size_px: int = Field(
        32, ge=4, le=256, description="side of the pictures; the same as data.crop_px"
    )
    channels: Literal[1, 3] = Field(3, description="1: grey pictures")

    plan_order: ClassVar[int] = 90

    @property
    def reads(self) -> Reads:
        return "label" if self.labels else "photo"

    @property
    def prediction_channels(self) -> int:
        return self.channels

    @property
    def scale(self) -> int:
        return self.size_px

    def make_pair(self, sample: Sample, rng: np.random.Generator) -> Batch:
        assert sample.photo is not None
        target = as_tensor(sample.photo)
        if self.channels == 1:
            target = target.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        label = None if sample.label is None or not self.labels else torch.tensor([sample.label])
        noise, code = self.draw_noise(rng), self.draw_code(rng)
        return Batch(
            condition=self.condition(noise, label, code), target=target, label=label, code=code
        )

    def decode(self, condition: Tensor, prediction: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tanh here, so that networks need not have it; zeros are mid-grey."""
        return ((torch.tanh(prediction) + 1) / 2).expand(-1, 3, -1, -1)

    def finish(self, photo: Tensor, rgb: Tensor, mask: Tensor | None = None) -> Tensor:
        return rgb.clamp(0, 1)

    @property
    def main_metric(self) -> MainMetric:
        return MainMetric("sliced_wasserstein", higher_is_better=False)

    def metrics(
        self, rgb: Tensor, target: Tensor, mask: Tensor | None = None
    ) -> Mapping[str, float]:
        """Sliced Wasserstein distance to real pictures (0 is equal), and how different samples are
        from each other.
        """
        made, real = (x.float().flatten(1) for x in (rgb, target))
        return {
            "sliced_wasserstein": sliced_wasserstein(made, real),
            "diversity": spread(made) / (spread(real) + 1e-8),
        }

    def sheet(self, rows: Sequence[Row], judge: ScoreFunction | None = None) -> np.ndarray:
        return grid_sheet(torch.cat([made for _, _, made in rows])[:64])


def sliced_wasserstein(made: Tensor, real: Tensor, directions: int = 128) -> float:
    """Mean 1-Wasserstein distance of (N,D) sets along fixed random directions (Rabin et al. 2011),
    per √D value.
    """
    count = min(len(made), len(real))
    axes = torch.randn(made.shape[1], directions, generator=torch.Generator().manual_seed(0)).to(
        made.device
    )
    axes = axes / axes.norm(dim=0) * made.shape[1] ** 0.5
    a, b = ((x[:count] @ axes).sort(0).values for x in (made, real))
    return float((a - b).abs().mean()) / made.shape[1] ** 0.5


def spread(flat: Tensor) -> float:
    """Mean Euclidean distance between different samples of (N,D)."""
    return float(torch.pdist(flat[:256]).mean()) if len(flat) > 1 else 0.0
