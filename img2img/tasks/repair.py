"""Scratches, dust, cracks, folds and stains on old prints: the network finds them, after the
damage drawn on photos as in Wan et al. 2020, "Bringing Old Photos Back to Life".
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from img2img.config import Ordered
from img2img.data.sample import Batch, PhotoSample, as_tensor
from img2img.pixels.images import to_float
from img2img.pixels.print_damage import damaged_print
from img2img.tasks.finding import FindingTask
from img2img.tasks.photo import PhotoStatistics, Reason

LEAST_FOUND = 0.005  # share of the pixels; a crack of 3 px across a photo of 640 is so much


class Repair(FindingTask):
    """Damaged print in, mask of its damage out."""

    kind: Literal["repair"] = "repair"
    unit_px: Annotated[tuple[PositiveFloat, PositiveFloat], Ordered] = Field(
        (0.8, 3.0),
        description="range of the width of a thin scratch, log-uniform; cracks, specks and all "
        "else go with it",
    )
    undamaged_share: float = Field(
        0.1, ge=0, le=1, description="share of photos on which no damage is drawn"
    )

    draws: ClassVar[bool] = True
    plan_order: ClassVar[int] = 12
    verb: ClassVar[str] = "repair"

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        worn = damaged_print(to_float(sample.photo), rng, self.unit_px, self.undamaged_share)
        mask = np.repeat(worn.mask[..., None], 3, 2).astype(np.float32)
        return Batch(condition=as_tensor(worn.damaged), target=as_tensor(mask))

    @classmethod
    def applies(cls, photo: PhotoStatistics) -> Reason | None:
        if photo.damaged_share < LEAST_FOUND:
            return None
        finding = f"scratched or stained ({100 * photo.damaged_share:.1f} % of it)"
        return Reason(f"it is {finding}", finding)
