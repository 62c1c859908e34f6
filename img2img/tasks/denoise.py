"""Blind denoising: one network for every noise level, predicting the noise to take away (Zhang et
al. 2017, DnCNN).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, model_validator
from torch import Tensor

from img2img.config import Ordered
from img2img.data.sample import Batch, PhotoSample, as_tensor
from img2img.pixels import degrade
from img2img.pixels.compression import PLAIN_BLOCKS_255
from img2img.pixels.images import to_float
from img2img.tasks.base import COPIED
from img2img.tasks.degradation import Degradation
from img2img.tasks.photo import PhotoStatistics, PhotoTask, Reason

LEAST_NOISE_255 = 6.0  # σ of white noise that is worth what denoising takes from the rest
LEAST_GRAIN_255 = 1.2  # of correlated noise, which is coarser and so seen when weaker


class Denoise(PhotoTask):
    """Noisy photo in, clean photo out, at the same size."""

    kind: Literal["denoise"] = "denoise"
    sigma_255: Annotated[tuple[NonNegativeFloat, NonNegativeFloat], Ordered] = Field(
        (0.0, 50.0), description="range of Gaussian σ, uniform, 0-255 scale"
    )
    camera_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of samples damaged as by a camera or scanner instead: blur, shot and "
        "correlated noise or grain, JPEG",
    )
    correlated_share: float = Field(
        0.0, ge=0, le=1, description="share with correlated Gaussian noise"
    )
    jpeg_share: float = Field(
        0.0, ge=0, le=1, description="share with JPEG damage alone, quality 10-90"
    )
    poisson_share: float = Field(
        0.0, ge=0, le=1, description="share with shot noise alone, 30-1000 photons at white"
    )
    degrade: Degradation | None = Field(
        None, description="all samples are damaged by this instead; {}: as for Real-ESRGAN"
    )
    grey_share: float = Field(0.0, ge=0, le=1, description="share of photos made grey first")

    draws: ClassVar[bool] = True
    tiles: ClassVar[bool] = True
    plan_order: ClassVar[int] = 20
    predicts_residual: ClassVar[bool] = True
    zeros_are: ClassVar[str] = COPIED
    verb: ClassVar[str] = "denoise"

    @property
    def for_found_photos(self) -> bool:  # type: ignore[override]  # read only
        return self.camera_share >= 0.5 or self.degrade is not None

    @model_validator(mode="after")
    def _shares_leave_something(self) -> Denoise:
        """A sample is damaged in one way, so the shares are parts of one whole; what they leave is
        Gaussian noise.
        """
        named = ("camera_share", "correlated_share", "jpeg_share", "poisson_share")
        shares = {name: getattr(self, name) for name in named if getattr(self, name)}
        if shares and self.degrade is not None:
            raise ValueError(f"degrade damages all samples: leave {', '.join(shares)} out")
        total = sum(shares.values())
        if total > 1 + 1e-9:  # 0.7 + 0.2 + 0.1 need not be 1 exactly
            parts = " + ".join(f"{name} {share:g}" for name, share in shares.items())
            raise ValueError(
                f"{parts} make {total:g}: together they may be at most 1, lower one of them"
            )
        return self

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        clean = to_float(sample.photo)
        if rng.random() < self.grey_share:
            clean = np.repeat(clean.mean(2, keepdims=True), 3, 2)
        return Batch(condition=as_tensor(self._damage(clean, rng)), target=as_tensor(clean))

    def _damage(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One kind of damage a sample; shares that are left over are white Gaussian noise."""
        if self.degrade is not None:
            return self.degrade(clean, rng)
        sigma, draw = rng.uniform(*self.sigma_255), rng.random()
        if (draw := draw - self.camera_share) < 0:
            return degrade.camera(clean, rng)
        if (draw := draw - self.correlated_share) < 0:
            return degrade.correlated_noise(clean, sigma, rng, rng.uniform(0.4, 1.2))
        if (draw := draw - self.jpeg_share) < 0:
            return degrade.jpeg(clean, int(rng.integers(10, 91)))
        if draw - self.poisson_share < 0:
            return degrade.poisson_noise(
                clean, float(np.exp(rng.uniform(np.log(30), np.log(1000)))), rng
            )
        return degrade.gaussian_noise(clean, sigma, rng)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return condition + prediction

    @classmethod
    def applies(cls, photo: PhotoStatistics) -> Reason | None:
        reasons, amount = [], f"(σ about {photo.noise_sigma_255:.0f} of 255)"
        if photo.noise_correlated and photo.noise_sigma_255 >= LEAST_GRAIN_255:
            reasons.append(Reason(f"it is grainy {amount}", f"grainy {amount}"))
        elif photo.noise_sigma_255 >= LEAST_NOISE_255:
            reasons.append(Reason(f"it is noisy {amount}", f"noisy {amount}"))
        if photo.blockiness_255 >= PLAIN_BLOCKS_255:
            reasons.append(Reason("the blocks of strong JPEG compression show"))
        return Reason.all_of(reasons)

    @classmethod
    def wants_found_model(cls, photo: PhotoStatistics) -> bool:
        """Grain, what cameras make of noise, and blocks: models of white noise leave all three."""
        grainy = photo.noise_correlated and photo.noise_sigma_255 >= LEAST_GRAIN_255
        return grainy or photo.blockiness_255 >= PLAIN_BLOCKS_255
