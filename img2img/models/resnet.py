"""The residual generator of CycleGAN (Zhu et al. 2017, section 7.2; first Johnson et al. 2016)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from img2img.models.base import GeneratorConfig
from img2img.models.blocks import (
    Norm,
    Residual,
    SignedInput,
    Upsampling,
    init_normal,
    norm_layer,
    upsample,
)


class ResNet(nn.Sequential):
    """(B,Cin,H,W) in [0,1] to (B,Cout,H,W); H and W multiples of 8. Output in [-1,1] with tanh.

    In the paper's words c7s1-64, d128, d256, R256 × 9, u128, u64, c7s1-3: 11.378 million weights
    from 3 to 3 channels.
    """

    def __init__(self, config: ResNetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        width, norm = config.width, config.norm
        bias = norm != "batch"  # batch norm has its own shift
        layers: list[nn.Module] = [
            SignedInput(),
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, width, 7, bias=bias),
        ]
        layers += [norm_layer(norm, width), nn.ReLU()]
        for channels in (width, 2 * width):
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=bias)]
            layers += [norm_layer(norm, 2 * channels), nn.ReLU()]
        layers += [ResidualBlock(4 * width, norm) for _ in range(config.blocks)]
        for channels in (4 * width, 2 * width):
            layers += [upsample(config.upsampling, channels, channels // 2, bias=bias, kernel=3)]
            layers += [norm_layer(norm, channels // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7)]
        # The one part, "layers" by the names of its weights in checkpoints.
        self.layers = nn.Sequential(
            *layers, nn.Tanh() if config.output == "tanh" else nn.Identity()
        )
        init_normal(self)


class ResNetConfig(GeneratorConfig):
    """Two halvings, residual blocks at quarter size, two doublings; reflection padding throughout.

    For tasks that keep a photo's size; crops are multiples of 8.
    """

    kind: Literal["resnet"] = "resnet"
    width: int = Field(64, ge=4, description="channels of the first level; doubled twice")
    blocks: int = Field(9, ge=1, description="residual blocks: 9 for 256² crops, 6 for 128²")
    norm: Norm = "instance"
    upsampling: Upsampling = "transposed"
    output: Literal["tanh", "linear"] = "tanh"

    multiple_of: ClassVar[int] = 8
    """Two halvings, and two pixels left there for reflection to mirror."""
    network: ClassVar = ResNet


class ResidualBlock(Residual):
    """x plus two 3x3 convolutions of it, (B,C,H,W) to the same; nothing follows the sum."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        bias = norm != "batch"
        half = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
        ]
        other = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
        ]
        self.layers = nn.Sequential(*half, nn.ReLU(), *other)
