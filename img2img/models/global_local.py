"""Global and local discriminators joined by a linear layer (Iizuka et al. 2017, table 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
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


class GlobalLocal(nn.Module):
    """(B,C,H,W) in [0,1] and centers (B,2) as (row, column) to one logit a picture, (B,1)."""

    def __init__(self, config: GlobalLocalConfig, shapes: DiscriminatorShapes) -> None:
        super().__init__()
        self.local_px = config.local_px
        self.signed = SignedInput()
        self.whole = _tower(config, shapes.channels, depth=6)
        self.local = _tower(config, shapes.channels, depth=5)
        self.join = nn.Linear(2 * config.features, 1)
        init_normal(self)
        if config.spectral:
            spectral(self)

    def forward(
        self, x: Tensor, local_center: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        if local_center is None:
            raise ValueError("a global-and-local discriminator needs the center of the local crop")
        x = self.signed(x)
        crop = local_crop(x, local_center, self.local_px)
        return self.join(torch.cat([self.whole(x), self.local(crop)], 1))


class GlobalLocalConfig(NormedDiscriminatorConfig):
    """Two towers of 5x5 stride-2 convolutions; the local one sees a crop round a hole pixel.

    For tasks with a mask, and crops of 64 px and local_px at least; it scores, and cannot be
    BEGAN's. Of adversarial.augment it takes color alone. At 64 px, or a local_px of 32, it takes
    batch norm for several pictures a batch, and no instance norm.
    """

    kind: Literal["global_local"] = "global_local"
    width: int = Field(64, ge=4, description="channels of the first layer; doubled up to 8×")
    local_px: int = Field(128, ge=32, description="side of the local crop")
    features: int = Field(
        1024, ge=8, description="what each tower hands to the linear layer that joins them"
    )

    networks: ClassVar = {"logits": GlobalLocal}

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        task, adversarial, size_px = (
            context.task,
            context.adversarial,
            context.discriminator_px,
        )
        if size_px < max(64, self.local_px):
            reason = f"it needs at least 64 and its local_px, {self.local_px}"
            yield self.wrong_size(context, reason)
        one_pixel = size_px <= 64 or self.local_px <= 32
        alone = self.norm == "batch" and context.batch_size == 1
        if one_pixel and (self.norm == "instance" or alone):
            reason = f"norm '{self.norm}' has one pixel to measure: use none, or crop_px over 64"
            yield self.wrong_size(context, f"{reason} and local_px over 32")
        yield from super().conflicts(context)
        if not task.fills:
            problem = f"looks at the hole, and task '{task.kind}' has no mask; use patchgan"
            yield Conflict(".kind", f"'{self.kind}' {problem}")
        if adversarial and set(adversarial.augment) - {"color"}:
            problem = f"moves or cuts the hole that '{self.kind}' looks at: use [color]"
            yield Conflict("adversarial.augment", problem)


def local_crop(x: Tensor, center: Tensor, side_px: int) -> Tensor:
    """Squares of `side_px` round `center` (B,2), moved inside the picture where they would leave
    it.
    """
    height, width = x.shape[-2:]
    tall, wide = min(side_px, height), min(side_px, width)
    top = (center[:, 0] - tall // 2).clamp(0, height - tall).tolist()
    left = (center[:, 1] - wide // 2).clamp(0, width - wide).tolist()
    crops = [
        picture[:, t : t + tall, s : s + wide] for picture, t, s in zip(x, top, left, strict=True)
    ]
    return torch.stack(crops)


def _tower(config: GlobalLocalConfig, in_channels: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = in_channels
    for index in range(depth):
        width = config.width * min(2**index, 8)
        layers += [nn.Conv2d(channels, width, 5, stride=2, padding=2)]
        layers += [norm_layer(config.norm if index else "none", width), nn.ReLU()]
        channels = width
    # 256² and 128² crops both end at 4x4, as in the paper; pooling lets other sizes train too.
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(channels * 16, config.features),
        nn.ReLU(),
    )
