"""RRDB, the generator of ESRGAN (Wang et al. 2018, section 3.1) and Real-ESRGAN (Wang et al. 2021,
section 3.2), with the tensors' names of the latter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.conflicts import Conflict, RecipeContext
from img2img.models.base import Shapes
from img2img.models.blocks import in_fp32
from img2img.models.picture import LayoutConfig, PictureNetwork
from img2img.pixels.tiling import pad_to_multiple

GROWTH = 32  # channels that each convolution of a dense block adds; readers of files expect it
RESIDUAL_SCALE = 0.2
SLOPE = 0.2  # of the leaky ReLU
INSIDE = 4  # it enlarges ×4 inside; for less, pixels are folded into channels first


class RrdbConfig(LayoutConfig):
    """Residual-in-residual dense blocks, for ×1, ×2 and ×4 (programs: ESRGAN, Real-ESRGAN)."""

    kind: Literal["rrdb"] = "rrdb"
    width: int = Field(32, ge=4, le=512, description="channels; published models have 64")
    blocks: int = Field(
        3, ge=2, le=64, description="RRDBs of 15 convolutions; published models have 23, or 6"
    )

    community_format: ClassVar[str] = "esrgan"

    @property
    def tile_align_px(self) -> int:
        return INSIDE

    def tile_px(self, scale: int) -> int:
        """The last layers work at four times that."""
        return 256

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if context.scale not in (1, 2, INSIDE):
            reason = f"it enlarges ×1, ×2 or ×4, and the task ×{context.scale}; use compact"
            yield self.unfit(context, reason)

    @property
    def size_tags(self) -> tuple[str, ...]:
        return (f"{self.width}nf", f"{self.blocks}nb")

    def build(self, shapes: Shapes) -> nn.Module:
        return Rrdb(self, shapes.output_size((1, 1))[0])


class Rrdb(PictureNetwork):
    """(B,3,H,W) to what its picture adds to the enlarged input, (B,3,H·s,W·s)."""

    def __init__(self, config: RrdbConfig, scale: int) -> None:
        super().__init__(scale)
        width, self.fold = config.width, INSIDE // scale
        self.conv_first = nn.Conv2d(3 * self.fold**2, width, 3, padding=1)
        self.body = nn.Sequential(*(DenseBlocks(width) for _ in range(config.blocks)))
        self.conv_body, self.conv_up1, self.conv_up2, self.conv_hr = (
            nn.Conv2d(width, width, 3, padding=1) for _ in range(4)
        )
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)

    def answer(self, picture: Tensor, mask: Tensor | None = None) -> Tensor:
        height, width = picture.shape[-2:]
        x = picture
        if self.fold > 1:
            x = F.pixel_unshuffle(pad_to_multiple(picture, INSIDE), self.fold)
        first = self.conv_first(x)
        x = first + self.conv_body(self.body(first))
        for conv in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2.0)), SLOPE)
        x = F.leaky_relu(self.conv_hr(x), SLOPE)
        return in_fp32(self.conv_last, x)[..., : height * self.scale, : width * self.scale]


class DenseBlocks(nn.Module):
    """RRDB: three dense blocks, whose sum is scaled and added to the input; (B,C,H,W) to the
    same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL_SCALE * self.rdb3(self.rdb2(self.rdb1(x)))


class DenseBlock(nn.Module):
    """RDB: five convolutions, each of which sees the outputs of all before it.

    Initialised a tenth as large as He et al. do it (ESRGAN, section 3.1).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        convs = [
            nn.Conv2d(width + number * GROWTH, outputs, 3, padding=1)
            for number, outputs in enumerate([GROWTH] * 4 + [width])
        ]
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = convs
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data *= 0.1
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # torch types bias as optional

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), SLOPE))
        return x + RESIDUAL_SCALE * self.conv5(torch.cat(seen, 1))
