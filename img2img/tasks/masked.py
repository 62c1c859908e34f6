"""Tasks that fill the masked part of a photo."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from img2img.tasks.base import HeightWidth
from img2img.tasks.photo import PhotoStatistics, PhotoTask, Reason, View


class MaskedTask(PhotoTask):
    """Photo and mask in, photo with the masked part filled out. Without a mask nothing is filled.

    Masks are (B,1,H,W), 1 = to be filled; the last channel of the condition is the mask.
    """

    fills: ClassVar[bool] = True

    def prepare(self, photo: Tensor, mask: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def finish(self, photo: Tensor, rgb: Tensor, mask: Tensor | None = None) -> Tensor:
        """What is known is the photo's, bit for bit."""
        filled = super().finish(photo, rgb)
        return photo if mask is None else torch.where(mask > 0.5, filled, photo)

    def views(self, size: HeightWidth, mask: np.ndarray | None = None) -> list[View]:
        """The parts to work on, in order; `mask` is boolean (H,W). What one fills the next sees."""
        return [] if mask is None or not mask.any() else [View(0, 0, *size, size)]

    @classmethod
    def applies(cls, photo: PhotoStatistics) -> Reason | None:
        return Reason("a part of it is to be filled") if photo.has_mask else None


# A photo's task called with a mask that there may be; only those that fill take one.


def prepared(task: PhotoTask, photo: Tensor, mask: Tensor | None) -> Tensor:
    """What the network sees of a photo (B,3,H,W) and a mask (B,1,H,W)."""
    return task.prepare(photo, mask) if isinstance(task, MaskedTask) else task.prepare(photo)


def finished(task: PhotoTask, photo: Tensor, rgb: Tensor, mask: Tensor | None) -> Tensor:
    """The final RGB for a photo and a mask."""
    if isinstance(task, MaskedTask):
        return task.finish(photo, rgb, mask)
    return task.finish(photo, rgb)


def views_of(task: PhotoTask, size: HeightWidth, mask: np.ndarray | None) -> list[View]:
    """The parts to work on, in order; `mask` is boolean (H,W)."""
    return task.views(size, mask) if isinstance(task, MaskedTask) else task.views(size)
