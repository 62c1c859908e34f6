"""PatchGAN (Isola et al. 2017): one logit for every overlapping patch; 70x70 px with three strided
layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from img2img.conflicts import Conflict, RecipeContext
from img2img.models.base import DiscriminatorShapes, NormedDiscriminatorConfig
from img2img.models.blocks import (
    SignedInput,
    init_normal,
    norm_layer,
    spectral,
)
from img2img.models.discriminator_layers import MinibatchStd


class PatchGan(nn.Module):
    """(B,C,H,W) in [0,1] to logits (B,1,h,w): 30x30 at 256²."""

    def __init__(self, config: PatchGanConfig, shapes: DiscriminatorShapes) -> None:
        super().__init__()
        layers: list[nn.Module] = [SignedInput()]
        channels = shapes.channels
        for index in range(config.layers + 1):
            width = config.width * min(2**index, 8)
            stride = 2 if index < config.layers else 1
            normed = config.norm if index > 0 else "none"
            layers += [nn.Conv2d(channels, width, 4, stride, padding=1, bias=normed != "batch")]
            layers += [norm_layer(normed, width), nn.LeakyReLU(0.2)]
            channels = width
        if config.minibatch_std:
            layers += [MinibatchStd()]
        self.layers = nn.Sequential(
            *layers, nn.Conv2d(channels + config.minibatch_std, 1, 4, padding=1)
        )
        init_normal(self)
        if config.spectral:
            spectral(self)

    def forward(
        self, x: Tensor, local_center: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        return self.layers(x)


class PatchGanConfig(NormedDiscriminatorConfig):
    """Patch discriminator.

    For pictures of 32 px at least, and of 3·2^layers; it scores, and cannot be BEGAN's.
    """

    kind: Literal["patchgan"] = "patchgan"
    width: int = Field(64, ge=4, description="channels of the first layer; doubled up to 8×")
    layers: int = Field(3, ge=1, le=5, description="strided layers: 3 makes the 70x70 patch")
    minibatch_std: bool = Field(
        False, description="a channel with the batch's spread (Karras et al. 2018)"
    )

    networks: ClassVar = {"logits": PatchGan}

    @property
    def minimum_px(self) -> int:
        """Smallest picture that gives a logit: the strided layers must leave 3x3 for the two that
        follow.
        """
        return max(32, 3 * 2**self.layers)

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if context.discriminator_px < self.minimum_px:
            reason = f"with {self.layers} layers it needs at least {self.minimum_px}"
            yield self.wrong_size(context, reason)
        yield from super().conflicts(context)
