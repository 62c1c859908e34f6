"""Points in the plane from noise: the lectures' ring of Gaussians, on which one sees what a GAN
does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from img2img.data.sample import Batch, EmptySample
from img2img.pixels.sheets import points_sheet
from img2img.pixels.tensors import ScoreFunction
from img2img.pixels.xmp import DigitalSourceType
from img2img.tasks.base import MainMetric, Reads, SheetRow
from img2img.tasks.noise import NoiseTask

MODE_SHARE = 0.025  # of all samples, within NEAR_SIGMAS: then a mode counts as covered
NEAR_SIGMAS = 4.0


class Points(NoiseTask):
    """Noise in, a point (B,2,1,1) out; real ones are drawn from Gaussians with their means on a
    circle.
    """

    kind: Literal["points"] = "points"
    latent: int = Field(2, ge=1)
    modes: int = Field(8, ge=1, description="Gaussians on the circle, the first at angle 0")
    radius: float = Field(2.0, ge=0)
    sigma: float = Field(0.1, gt=0, description="of each Gaussian, in the plane's units")
    center: tuple[float, float] = Field((0.0, 0.0), description="of the circle")

    former_names: ClassVar[dict[str, str]] = {"centre": "center"}
    has_pixels: ClassVar[bool] = False
    source_type: ClassVar[DigitalSourceType | None] = None  # a drawing of points is a diagram
    zeros_are: ClassVar[str] = "the origin"
    reads: ClassVar[Reads] = "none"
    size_px: ClassVar[int] = 1
    prediction_channels: ClassVar[int] = 2
    picture_channels: ClassVar[int] = 2
    main_metric: ClassVar[MainMetric] = MainMetric("modes_covered")

    @model_validator(mode="after")
    def _labels_are_modes(self) -> Points:
        if self.labels not in (0, self.modes):
            raise ValueError(
                f"labels {self.labels}: a point's label is its Gaussian; "
                f"write 0, or modes: {self.modes}"
            )
        return self

    @cached_property
    def means(self) -> np.ndarray:
        """The modes' centers, (modes,2)."""
        angles = 2 * np.pi * np.arange(self.modes) / self.modes
        return np.array(self.center) + self.radius * np.stack([np.cos(angles), np.sin(angles)], 1)

    def make_pair(self, sample: EmptySample, rng: np.random.Generator) -> Batch:
        return self.draw([sample.number], [rng])

    def draw(self, numbers: Sequence[int], rngs: Sequence[np.random.Generator]) -> Batch:
        drawn = [
            (rng.integers(self.modes), rng.standard_normal(2), self.draw_noise(rng), rng)
            for rng in rngs
        ]
        codes = [code for *_, rng in drawn if (code := self.draw_code(rng)) is not None]
        modes = np.array([mode for mode, *_ in drawn])
        points = self.means[modes] + self.sigma * np.array([offset for _, offset, *_ in drawn])
        label = torch.from_numpy(modes) if self.labels else None
        code = torch.cat(codes) if codes else None
        return Batch(
            condition=self.condition(torch.cat([noise for *_, noise, _ in drawn]), label, code),
            target=torch.from_numpy(points).float()[:, :, None, None],
            label=label,
            code=code,
        )

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        """Networks work in units of the radius."""
        return prediction * (self.radius or 1.0)

    def encode(self, batch: Batch) -> Tensor:
        return batch.target / (self.radius or 1.0)

    def as_array(self, pictures: Tensor) -> np.ndarray:
        """Points (N,2), float32."""
        return pictures.flatten(1).numpy()

    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        """How many modes hold their share of the samples, and the share of those near any mode."""
        near = self._distances(rgb) <= NEAR_SIGMAS * self.sigma
        covered = (near.mean(0) >= MODE_SHARE).sum()
        return {"modes_covered": float(covered), "share_near_modes": float(near.any(1).mean())}

    def sheet(self, rows: Sequence[SheetRow], score: ScoreFunction | None = None) -> np.ndarray:
        batch, _, fake = rows[0]
        surface = None if score is None else _surface(score, self.reach)
        shown = [x[:600].float().flatten(1).cpu().numpy() for x in (fake, batch.target)]
        return points_sheet(shown[0], shown[1], self.reach, surface)

    def overview(self, pictures: Tensor, columns: int | None = None) -> np.ndarray:
        """The points, and the modes' centers."""
        return points_sheet(pictures.float().flatten(1).cpu().numpy(), self.means, self.reach)

    @property
    def reach(self) -> float:
        """Half the side of the square that is shown, from the origin."""
        return float(np.abs(np.array(self.center)).max() + self.radius + max(0.5, 5 * self.sigma))

    def _distances(self, points: Tensor) -> np.ndarray:
        """(N,modes) from points (N,2,1,1)."""
        flat = points.float().flatten(1).cpu().numpy()
        return np.linalg.norm(flat[:, None] - self.means[None], axis=2)


def _surface(score: ScoreFunction, reach: float, side: int = 80) -> np.ndarray:
    """The discriminator's scores over the plane, top row first."""
    line = torch.linspace(-reach, reach, side)
    y, x = torch.meshgrid(line.flip(0), line, indexing="ij")
    return score(torch.stack([x, y], -1).view(-1, 2, 1, 1)).view(side, side).float().cpu().numpy()
