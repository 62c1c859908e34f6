"""How found photos became what they are, as a part of a task: rounds of blur, resizing, noise and
JPEG, drawn anew for each sample (Wang et al. 2021, "Real-ESRGAN", section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from img2img.config import FrozenConfig, Ordered
from img2img.pixels import degrade
from img2img.pixels.degrade import INTERPOLATIONS, Picture
from img2img.pixels.kernels import random_blur, random_sinc

_FINAL_SINC = 0.8  # share of samples with a low pass at the end, before or after the last JPEG
_SINC_PX = (7, 21)

Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[PositiveFloat, PositiveFloat], Ordered]
Step = Callable[[Picture], Picture]


class Round(FrozenConfig):
    """Blur, resizing, noise and JPEG, in this order. The defaults are the first round's."""

    blur_share: Share = Field(1.0, description="share of samples that are blurred")
    blur_sigma_px: Range = Field((0.2, 3.0), description="range of σ along both axes of a blur")
    kernel_px: Annotated[tuple[int, int], Ordered] = Field(
        (7, 21), description="range of a kernel's side, odd"
    )
    sinc_share: Share = Field(0.1, description="of the blurs, that are low passes which ring")
    resize: Range = Field((0.15, 1.5), description="range of the factor it is resized by")
    enlarged_share: Share = Field(0.2, description="share that is enlarged, by 1 to the most")
    reduced_share: Share = Field(0.7, description="share that is reduced, by the least to 1")
    gaussian_share: Share = Field(0.5, description="share with Gaussian noise; the rest: Poisson")
    gaussian_sigma_255: Range = Field((1.0, 30.0), description="range of its σ, 0-255 scale")
    poisson_photons: Range = Field(
        (28.0, 100_000.0), description="photons at white, 1/√ of which is drawn uniformly"
    )
    grey_noise_share: Share = Field(0.4, description="share with noise alike in all channels")
    jpeg_quality: Annotated[tuple[int, int], Ordered] = Field(
        (30, 95), description="range of the quality of a JPEG encoding"
    )

    def steps(self, size: tuple[int, int], rng: np.random.Generator) -> list[Step]:
        """The changes of one sample; resizing is by a factor of this (height, width)."""
        found: list[Step] = []
        if rng.random() < self.blur_share:
            rings = rng.random() < self.sinc_share
            kernel = (
                random_sinc(rng, self.kernel_px)
                if rings
                else random_blur(rng, self.blur_sigma_px, self.kernel_px)
            )
            found.append(partial(degrade.filtered, kernel=kernel))
        factor = self._factor(rng)
        other_size = max(4, round(size[0] * factor)), max(4, round(size[1] * factor))
        how = INTERPOLATIONS[int(rng.integers(len(INTERPOLATIONS)))]
        found.append(partial(degrade.resized, size=other_size, how=how))
        found.append(partial(self._noisy, seed=int(rng.integers(2**63))))
        return found

    def jpeg(self, rng: np.random.Generator) -> Step:
        """One encoding."""
        low, high = self.jpeg_quality
        return partial(degrade.jpeg, quality=int(rng.integers(low, high + 1)))

    def _factor(self, rng: np.random.Generator) -> float:
        draw, (least, most) = rng.random(), self.resize
        if draw < self.enlarged_share:
            return float(rng.uniform(1, max(most, 1)))
        if draw < self.enlarged_share + self.reduced_share:
            return float(rng.uniform(min(least, 1), 1))
        return 1.0

    def _noisy(self, rgb: Picture, seed: int) -> Picture:
        rng = np.random.default_rng(seed)  # of its own, wherever the step stands
        grey = rng.random() < self.grey_noise_share
        base = rgb.mean(2, keepdims=True) if grey else rgb
        if rng.random() < self.gaussian_share:
            noisy = degrade.gaussian_noise(base, rng.uniform(*self.gaussian_sigma_255), rng)
        else:
            few, many = (n**-0.5 for n in self.poisson_photons)
            noisy = degrade.poisson_noise(base, rng.uniform(many, few) ** -2, rng)
            base = base.clip(0, 1)
        return (rgb + (noisy - base)).clip(0, 1).astype(np.float32)


SECOND = Round(
    blur_share=0.8,
    blur_sigma_px=(0.2, 1.5),
    resize=(0.3, 1.2),
    enlarged_share=0.3,
    reduced_share=0.4,
    gaussian_sigma_255=(1.0, 25.0),
    poisson_photons=(41.0, 100_000.0),
)


class Degradation(FrozenConfig):
    """What a photo goes through before it is found: two rounds, the second at the size it comes to,
    then a low pass and a last JPEG in either order. `{}` is as published for Real-ESRGAN.
    """

    first: Round = Field(Round(), description="at the size of the photo")
    second: Round | None = Field(
        SECOND, description="what happens to it later, at the size found; null: one round"
    )
    shuffle_share: Share = Field(
        0.0, description="share of samples with all steps in any order (BSRGAN, Zhang et al. 2021)"
    )

    def __call__(self, rgb: Picture, rng: np.random.Generator, scale: int = 1) -> Picture:
        """A photo, float (H,W,3) in [0,1], as found at 1/scale of its size, which divides it; a
        pure function of its arguments.
        """
        size = (rgb.shape[0], rgb.shape[1])
        found = (size[0] // scale, size[1] // scale)
        steps = [*self.first.steps(size, rng), self.first.jpeg(rng)]
        last = self.first if self.second is None else self.second
        if self.second is not None:
            steps += self.second.steps(found, rng)
        if rng.random() < self.shuffle_share:
            steps = [steps[index] for index in rng.permutation(len(steps))]
        how = INTERPOLATIONS[int(rng.integers(len(INTERPOLATIONS)))]
        end: list[Step] = [partial(degrade.resized, size=found, how=how)]
        if rng.random() < _FINAL_SINC:
            end.append(partial(degrade.filtered, kernel=random_sinc(rng, _SINC_PX)))
        end.insert(len(end) if rng.random() < 0.5 else 1, last.jpeg(rng))
        for step in (*steps, *end):
            rgb = step(rgb)
        return np.asarray(rgb.clip(0, 1), np.float32)
