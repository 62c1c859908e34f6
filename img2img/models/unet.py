"""The pix2pix U-Net (Isola et al. 2017, section 6.1.1)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from img2img.models.base import GeneratorConfig
from img2img.models.blocks import (
    AtTest,
    Norm,
    NormedAtTest,
    SignedInput,
    Upsampling,
    has_bias,
    init_normal,
    norm_layer,
    upsample,
)


class UNet(NormedAtTest):
    """(B,Cin,H,W) in [0,1] to (B,Cout,H,W); H and W multiples of 2^levels. Output in [-1,1] with
    tanh.
    """

    def __init__(self, config: UNetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widths = [config.width * min(2**i, 8) for i in range(config.levels)]
        last = config.levels - 1
        block: SkipBlock | None = None
        for level in range(last, -1, -1):
            channels_in = in_channels if level == 0 else widths[level - 1]
            channels_out = out_channels if level == 0 else widths[level - 1]
            # Of the up-blocks of full width, the innermost has no dropout and the next three have
            # it.
            dropout = config.dropout if last - 4 < level < last and level > 0 else 0.0
            block = SkipBlock(
                config, channels_in, widths[level], channels_out, block, level == 0, dropout
            )
        assert block is not None
        # An nn.Sequential runs its parts in this order.
        self.signed = SignedInput()
        self.model = block
        self.output = nn.Tanh() if config.output == "tanh" else nn.Identity()
        self.at_test = config.at_test
        init_normal(self)


class UNetConfig(GeneratorConfig):
    """U-Net with skip connections between mirrored levels.

    For tasks that keep a photo's size; crops are multiples of 2^levels.
    """

    kind: Literal["unet"] = "unet"
    width: int = Field(64, ge=4, description="channels of the first level; doubled up to 8×")
    levels: int = Field(8, ge=3, le=9, description="halvings; 8 suits 256² crops, 7 suits 128²")
    norm: Norm = "batch"
    at_test: AtTest = Field(
        "running",
        description="batch norm when used: statistics of training, or of the picture itself (as in "
        "the paper)",
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="on the three inner up-blocks, while training"
    )
    upsampling: Upsampling = "transposed"
    output: Literal["tanh", "linear"] = "tanh"
    biases: bool | None = Field(
        None,
        description="of convolutions inside; by default with instance and none, as batch norm has "
        "its own shift",
    )

    network: ClassVar = UNet

    @property
    def multiple_of(self) -> int:
        return 2**self.levels

    def fitting(self, crop_px: int) -> tuple[str, ...]:
        halvings = (crop_px & -crop_px).bit_length() - 1
        return (f"levels={halvings}",)


class SkipBlock(nn.Module):
    """Down, the levels below, up; the block's input is joined to its output (except for the
    outermost).
    """

    def __init__(
        self,
        config: UNetConfig,
        in_channels: int,
        width: int,
        out_channels: int,
        inner: SkipBlock | None,
        outermost: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        bias = has_bias(config.norm, config.biases)
        down: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
        down += [nn.Conv2d(in_channels, width, 4, stride=2, padding=1, bias=bias)]
        if not outermost and inner is not None:
            down += [norm_layer(config.norm, width)]
        up: list[nn.Module] = [nn.ReLU()]
        from_below = width if inner is None else 2 * width
        up += [upsample(config.upsampling, from_below, out_channels, bias=bias or outermost)]
        if not outermost:
            up += [norm_layer(config.norm, out_channels)]
        if dropout:
            up += [nn.Dropout(dropout)]
        self.down, self.up = nn.Sequential(*down), nn.Sequential(*up)
        self.inner = inner if inner is not None else nn.Identity()
        self.outermost = outermost

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.inner(self.down(x)))
        if self.outermost:
            return y
        if y.requires_grad:
            y.register_hook(_dense)
        return torch.cat([x, y], 1)


def _dense(gradient: Tensor) -> Tensor:
    """What a concatenation hands back is a slice of its gradient, on which the backward pass of
    batch norm takes a path many times slower on a CPU.
    """
    return gradient.contiguous(memory_format=torch.channels_last)
