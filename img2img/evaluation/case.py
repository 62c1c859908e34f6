"""One photo to measure on: what every method is given, and the truth to compare results with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from img2img.data.sample import as_picture, as_tensor
from img2img.evaluation.exchange import Given
from img2img.pixels.images import quantise


@dataclass(frozen=True)
class Case:
    """A photo at one setting: what a method is given, and the truth, as (1,3,H,W) floats.

    `truth` and results hold values an 8-bit file could hold, `given` need not.
    """

    photo: str
    setting: str  # "σ 25", "×4", "10–20 %"; empty where a protocol has only one
    given: Tensor
    truth: Tensor
    mask: Tensor | None = None  # (1,1,H,W), 1 = to be filled
    sigma_255: float = 0.0  # of the noise in `given`, for classical methods that need it

    @property
    def scale(self) -> int:
        """Size of the truth over that of what is given."""
        return self.truth.shape[-1] // self.given.shape[-1]

    @property
    def hole(self) -> np.ndarray:
        """(H,W) bool, True where pixels are missing. Raises ValueError without a mask."""
        if self.mask is None:
            raise ValueError("the case has no mask")
        return self.mask[0, 0].numpy() > 0.5

    def as_arrays(self) -> Given:
        """What a method outside torch is given."""
        hole = None if self.mask is None else self.hole
        given = self.given[0].float().cpu().numpy()
        return Given(given, hole, float(self.sigma_255), self.scale)


Method = Callable[[Case], Tensor]


def as_8_bit(rgb: Tensor) -> Tensor:
    """Clipped and rounded as a file would hold it, still floats in [0,1], on the CPU."""
    return as_tensor(quantise(as_picture(rgb), np.uint8))
