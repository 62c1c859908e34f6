"""The U-Net discriminator with spectral normalisation (Wang et al. 2021, "Real-ESRGAN", section
3.4; after Schönfeld et al. 2020): one logit a pixel, seen with its surroundings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from img2img.conflicts import Conflict, RecipeContext
from img2img.models.base import DiscriminatorConfig, DiscriminatorShapes
from img2img.models.blocks import SignedInput, spectral

_LEVELS = 3


class UNetDiscriminator(nn.Module):
    """(B,C,H,W) in [0,1] to logits (B,1,H,W); H and W multiples of 8."""

    def __init__(self, config: UNetDiscriminatorConfig, shapes: DiscriminatorShapes) -> None:
        super().__init__()
        w = config.width
        self.signed = SignedInput()
        self.first = nn.Sequential(nn.Conv2d(shapes.channels, w, 3, padding=1), nn.LeakyReLU(0.2))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(_LEVELS):
            narrow, wide = w * 2**level, w * 2 ** (level + 1)
            conv = nn.Conv2d(narrow, wide, 4, 2, padding=1, bias=False)
            self.down.append(nn.Sequential(conv, nn.LeakyReLU(0.2)))
            conv = nn.Conv2d(wide, narrow, 3, padding=1, bias=False)
            larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            self.up.append(nn.Sequential(larger, conv, nn.LeakyReLU(0.2)))
        ends = [nn.Conv2d(w, w, 3, padding=1, bias=False) for _ in range(2)]
        self.end = nn.Sequential(ends[0], nn.LeakyReLU(0.2), ends[1], nn.LeakyReLU(0.2))
        self.score = nn.Conv2d(w, 1, 3, padding=1)
        if config.spectral:  # as published: all but the first and the last
            for part in (self.down, self.up, self.end):
                spectral(part)

    def forward(
        self, x: Tensor, local_center: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        y = self.first(self.signed(x))
        skips = []
        for layer in self.down:
            skips.append(y)
            y = layer(y)
        for layer, skip in zip(reversed(self.up), reversed(skips), strict=True):
            y = layer(y) + skip
        return self.score(self.end(y))


class UNetDiscriminatorConfig(DiscriminatorConfig):
    """Scores every pixel, from its texture to the whole: where a picture is not real.

    For pictures of a multiple of 8 px, 32 at least; it scores, and cannot be BEGAN's.
    """

    kind: Literal["unet_sn"] = "unet_sn"
    width: int = Field(64, ge=4, description="channels at full size; 8× at an eighth")
    spectral: bool = Field(
        True, description="spectral normalisation of all but the first and the last layer"
    )

    networks: ClassVar = {"logits": UNetDiscriminator}

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if context.discriminator_px < 32 or context.discriminator_px % 2**_LEVELS:
            reason = f"it needs a multiple of {2**_LEVELS}, 32 at least"
            yield self.wrong_size(context, reason)
        yield from super().conflicts(context)
