"""The residual generator of CycleGAN (Zhu et al. 2017, section 7.2; first Johnson et al. 2016)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from img2img.models.base import GeneratorConfig
from img2img.models.blocks import (
    AtTest,
    Norm,
    NormedAtTest,
    Residual,
    SignedInput,
    Upsampling,
    has_bias,
    init_normal,
    norm_layer,
    upsample,
)


class ResNet(NormedAtTest):
    """(B,Cin,H,W) in [0,1] to (B,Cout,H,W); H and W multiples of 8. Output in [-1,1] with tanh.

    In the paper's words c7s1-64, d128, d256, R256 × 9, u128, u64, c7s1-3: 11.378 million weights
    from 3 to 3 channels.
    """

    def __init__(self, config: ResNetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        width, norm = config.width, config.norm
        bias = has_bias(norm, config.biases)
        layers: list[nn.Module] = [
            SignedInput(),
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, width, 7, bias=bias),
        ]
        layers += [norm_layer(norm, width), nn.ReLU()]
        for channels in (width, 2 * width):
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=bias)]
            layers += [norm_layer(norm, 2 * channels), nn.ReLU()]
        layers += [ResidualBlock(config) for _ in range(config.blocks)]
        for channels in (4 * width, 2 * width):
            layers += [upsample(config.upsampling, channels, channels // 2, bias=bias, kernel=3)]
            layers += [norm_layer(norm, channels // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7)]
        # The one part, "layers" by the names of its weights in checkpoints.
        self.layers = nn.Sequential(
            *layers, nn.Tanh() if config.output == "tanh" else nn.Identity()
        )
        self.at_test = config.at_test
        init_normal(self)


class ResNetConfig(GeneratorConfig):
    """Two halvings, residual blocks at quarter size, two doublings; reflection padding throughout.

    For tasks that keep a photo's size; crops are multiples of 8.
    """

    kind: Literal["resnet"] = "resnet"
    width: int = Field(64, ge=4, description="channels of the first level; doubled twice")
    blocks: int = Field(9, ge=1, description="residual blocks: 9 for 256² crops, 6 for 128²")
    norm: Norm = "instance"
    at_test: AtTest = Field(
        "running",
        description="batch norm when used: statistics of training, or of the picture itself",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="in the middle of each residual block, while training"
    )
    upsampling: Upsampling = "transposed"
    output: Literal["tanh", "linear"] = "tanh"
    biases: bool | None = Field(
        None,
        description="of convolutions inside; by default with instance and none, as batch norm has "
        "its own shift",
    )

    multiple_of: ClassVar[int] = 8
    """Two halvings, and two pixels left there for reflection to mirror."""
    network: ClassVar = ResNet


class ResidualBlock(Residual):
    """x plus two 3x3 convolutions of it, (B,C,H,W) to the same; nothing follows the sum."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        channels, bias = 4 * config.width, has_bias(config.norm, config.biases)
        half, other = (
            [
                nn.ReflectionPad2d(1),
                nn.Conv2d(channels, channels, 3, bias=bias),
                norm_layer(config.norm, channels),
            ]
            for _ in range(2)
        )
        dropout = [nn.Dropout(config.dropout)] if config.dropout else []
        self.layers = nn.Sequential(*half, nn.ReLU(), *dropout, *other)
