"""SPAN, the swift parameter-free attention network (Wan et al. 2024), with the tensors' names of
its authors.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.models.base import Shapes
from img2img.models.blocks import in_fp32
from img2img.models.picture import LayoutConfig, PictureNetwork

GAIN = 2  # channels inside a convolution in training, over those outside
BLOCKS = 6


class SpanConfig(LayoutConfig):
    """Six blocks whose outputs, between -0.5 and 0.5, are their own attention."""

    kind: Literal["span"] = "span"
    width: int = Field(32, ge=4, le=512, description="channels; published models have 48")

    community_format: ClassVar[str] = "span"

    @property
    def size_tags(self) -> tuple[str, ...]:
        return (f"{self.width}nf",)

    def build(self, shapes: Shapes) -> nn.Module:
        return Span(self, shapes.output_size((1, 1))[0])


class Span(PictureNetwork):
    """(B,3,H,W) to what its picture adds to the enlarged input, (B,3,H·s,W·s)."""

    def __init__(self, config: SpanConfig, scale: int) -> None:
        super().__init__(scale)
        width = config.width
        # Its name tells readers that no mean color is subtracted, as the first models do.
        self.register_buffer("no_norm", torch.zeros(1))
        self.conv_1 = FusedConv(3, width)
        for number in range(1, BLOCKS + 1):
            self.add_module(f"block_{number}", SpanBlock(width))
        self.conv_cat = nn.Conv2d(width * 4, width, 1)
        self.conv_2 = FusedConv(width, width)
        self.upsampler = nn.Sequential(
            nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)
        )

    def answer(self, picture: Tensor, mask: Tensor | None = None) -> Tensor:
        x = first = self.conv_1(picture)
        outputs = []
        for number in range(1, BLOCKS + 1):
            x, inner = self.get_submodule(f"block_{number}")(x)
            outputs.append(x)
        x = self.conv_cat(torch.cat([first, self.conv_2(x), outputs[0], inner], 1))
        return in_fp32(self.upsampler, x)


class SpanBlock(nn.Module):
    """SPAB: (B,C,H,W) to the same, and the output of its first convolution, activated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (FusedConv(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inner = F.silu(self.c1_r(x))
        out = self.c3_r(F.silu(self.c2_r(inner)))
        return (out + x) * (torch.sigmoid(out) - 0.5), inner


class FusedConv(nn.Module):
    """A 3×3 convolution that is learned as a 1×1, a 3×3 and a 1×1, wide inside, plus a 1×1 next to
    them (Conv3XC), and computed as the one 3×3 that they are together.

    `eval_conv` in its state is that one: what readers of the file compute with.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        wide = outputs * GAIN
        self.sk = nn.Conv2d(inputs, outputs, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inputs * GAIN, 1),
            nn.Conv2d(inputs * GAIN, wide, 3),
            nn.Conv2d(wide, outputs, 1),
        )
        self.eval_conv = nn.Module()
        for name, value in zip(("weight", "bias"), self.fused(), strict=True):
            self.eval_conv.register_buffer(name, value.detach())
        self.register_state_dict_pre_hook(_refresh)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, *self.fused(), padding=1)

    def fused(self) -> tuple[Tensor, Tensor]:
        """Weight (Cout,Cin,3,3) and bias (Cout,) of the one convolution."""
        w1, b1, w2, b2, w3, b3 = self.conv.parameters()
        next_weight, next_bias = self.sk.parameters()
        first, last = w1[..., 0, 0], w3[..., 0, 0]
        with torch.autocast(w1.device.type, enabled=False):
            weight = torch.einsum("on,nmhw,mi->oihw", last, w2, first)
            inner = torch.einsum("nmhw,m->n", w2, b1) + b2
            bias = last @ inner + b3 + next_bias
        return weight + F.pad(next_weight, (1, 1, 1, 1)), bias


@torch.no_grad()
def _refresh(module: Any, *_: Any) -> None:
    for name, value in zip(("weight", "bias"), module.fused(), strict=True):
        getattr(module.eval_conv, name).copy_(value)
