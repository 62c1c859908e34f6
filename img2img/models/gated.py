"""A gated-convolution completion network for free-form masks (Yu et al. 2019, "Free-Form Image
Inpainting with Gated Convolution"), in one stage, because the task starts it from a classical fill
instead of from a coarse network."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.models.base import MaskedGeneratorConfig
from img2img.models.blocks import zero_init
from img2img.models.fourier import FourierBlock


class GatedConv(nn.Module):
    """φ(features) ⊙ σ(gate): the network learns per pixel and channel what is known (equation 3 of
    the paper).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(in_channels, 2 * out_channels, kernel, stride, padding, dilation)
        # Gates start open and features at unit scale: half-shut gates and torch's small default
        # weights shrink the signal tenfold every two layers, and then nothing is learned for hours.
        nn.init.kaiming_normal_(self.conv.weight[:out_channels], nonlinearity="relu")
        nn.init.normal_(self.conv.weight[out_channels:], 0.0, 0.02)
        self.conv.bias = nn.Parameter(
            torch.cat([torch.zeros(out_channels), torch.full((out_channels,), 2.0)])
        )

    def forward(self, x: Tensor) -> Tensor:
        # Two convolutions: the halves of one channels-last result would be strided views, slow in
        # all that follows.
        (w, b), c = self._halves(), self.conv
        features, gate = (F.conv2d(x, w[i], b[i], c.stride, c.padding, c.dilation) for i in (0, 1))
        return F.elu(features) * torch.sigmoid(gate)

    def _halves(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Weights and biases of the features, and of the gate."""
        assert self.conv.bias is not None
        return self.conv.weight.chunk(2), self.conv.bias.chunk(2)


class Gated(nn.Module):
    """Filled picture and mask (B,Cin,H,W) to the residual (B,Cout,H,W); H and W multiples of 8.
    Starts at zero.
    """

    def __init__(self, config: GatedConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        w = config.width
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), GatedConv(4 * in_channels, w), GatedConv(w, w)
        )
        self.quarter = nn.Sequential(
            GatedConv(w, 2 * w, stride=2), GatedConv(2 * w, 2 * w), GatedConv(2 * w, 2 * w)
        )
        self.eighth = nn.Sequential(GatedConv(2 * w, 3 * w, stride=2), GatedConv(3 * w, 3 * w))
        self.dilated = nn.ModuleList(GatedConv(3 * w, 3 * w, dilation=d) for d in config.dilations)
        # Resized bilinearly, then convolved: no checkerboards.
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.to_quarter = nn.Sequential(up, GatedConv(3 * w, 2 * w))
        self.join_quarter = nn.Sequential(GatedConv(4 * w, 2 * w), GatedConv(2 * w, 2 * w))
        self.to_half = nn.Sequential(up, GatedConv(2 * w, w))
        self.join_half = nn.Sequential(GatedConv(2 * w, w), GatedConv(w, w))
        last = nn.Conv2d(w, 4 * out_channels, 3, padding=1)
        self.tail = nn.Sequential(zero_init(last), nn.PixelShuffle(2))
        blocks = (FourierBlock(2 * w, config.global_share) for _ in range(config.fourier_blocks))
        self.fourier = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        half = self.stem(x)
        quarter = self.quarter(half)
        y = self.eighth(quarter)
        for layer in self.dilated:
            y = y + layer(y)
        y = self.join_quarter(torch.cat([self.to_quarter(y), quarter], 1))
        y = self.fourier(y)
        y = self.join_half(torch.cat([self.to_half(y), half], 1))
        return self.tail(y)


class GatedConfig(MaskedGeneratorConfig):
    """Gated U-Net; works at half size and below, because full-resolution layers cost most and add
    least.

    For tasks with a mask; crops are multiples of 8.
    """

    kind: Literal["gated"] = "gated"
    width: int = Field(
        48, ge=8, description="channels at half size; 2× at a quarter, 3× at an eighth"
    )
    dilations: tuple[PositiveInt, ...] = (1, 2, 4, 8, 1)
    fourier_blocks: int = Field(
        0,
        ge=0,
        description="blocks at a quarter that see the whole picture (fast Fourier convolutions, "
        "Suvorov et al. 2022): lines and patterns go on through large holes",
    )
    global_share: float = Field(
        0.5, gt=0, lt=1, description="of a Fourier block's channels, that see the whole picture"
    )

    multiple_of: ClassVar[int] = 8
    network: ClassVar = Gated
