"""Tasks that pass a picture through a bottleneck and ask for the same picture again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from img2img.conflicts import Conflict, RecipeContext
from img2img.tasks.base import HeightWidth
from img2img.tasks.noise import NoiseTask
from img2img.tasks.photo import PhotoTask, View


@dataclass(frozen=True)
class Bottleneck:
    """The narrow place in the middle of an autoencoder, and the size of the pictures on either
    side.
    """

    latent: int
    """Numbers in a code."""
    size_px: int
    labels: int = 0
    """One-hot values that encoder and decoder know besides."""


class AutoencoderTask(PhotoTask):
    """Picture in, the same picture out, of one size, through the bottleneck's few numbers."""

    trained_by: ClassVar[str] = "autoencoder"
    """The `train.method` that a recipe of such a task needs."""
    set_based: ClassVar[bool] = True

    @property
    def bottleneck(self) -> Bottleneck:
        """What a picture has to pass through."""
        raise NotImplementedError

    @property
    def prior(self) -> NoiseTask:
        """The task of making pictures of codes drawn from N(0,I), by the network's `decoder`."""
        raise NotImplementedError

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        crop_px, size_px = context.crop_px, self.bottleneck.size_px
        if crop_px != size_px:
            problem = f"is {crop_px}, and the task's size_px {size_px}: write one"
            yield Conflict("data.crop_px", problem)

    def views(self, size: HeightWidth) -> list[View]:
        """The whole, shrunk (or stretched) to the one size the network knows."""
        side = self.bottleneck.size_px
        return [View(0, 0, *size, (side, side))]
