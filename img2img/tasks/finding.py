"""Tasks that find the part of a photo that a model of another task then fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from img2img.data.sample import Batch
from img2img.pixels import masks
from img2img.tasks.base import MainMetric
from img2img.tasks.photo import PhotoTask

_RARE = -4.0  # logit of what an untrained network takes for the share of pixels to be filled: 2 %
_LEAST = 1e-3  # of a probability; its logit is finite


class FindingTask(PhotoTask):
    """Photo in, mask out, as a picture: white where it is to be filled.

    The network predicts a logit a pixel, (B,1,H,W). A plan has what was found filled by the model
    of a task that fills, which leaves all else bit for bit as it was.
    """

    threshold: float = Field(
        0.5, gt=0, lt=1, description="probability above which a pixel is to be filled"
    )
    grow_px: int = Field(
        1, ge=0, description="what is found is widened by this, to leave no rim of it"
    )

    finds: ClassVar[bool] = True
    tiles: ClassVar[bool] = True
    finishes_in_srgb: ClassVar[bool] = True
    zeros_are: ClassVar[str] = "finding nothing"
    main_metric: ClassVar[MainMetric] = MainMetric("f1")

    @property
    def prediction_channels(self) -> int:
        return 1

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return torch.sigmoid(prediction + _RARE).expand(-1, 3, -1, -1)

    def encode(self, batch: Batch) -> Tensor:
        return torch.logit(batch.target[:, :1], eps=_LEAST) - _RARE

    def shown(self, condition: Tensor) -> Tensor | None:
        return None

    def mask_of(self, rgb: Tensor) -> np.ndarray:
        """Boolean (H,W), True = to be filled, of the picture of a mask (1,3,H,W)."""
        return masks.grow(rgb[0, 0].cpu().numpy() > self.threshold, self.grow_px)

    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        found, true = (x[:, 0].cpu().numpy() > self.threshold for x in (rgb, batch.target))
        return {"f1": masks.f1(found, true)}
