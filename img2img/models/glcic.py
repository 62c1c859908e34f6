"""The completion network of "Globally and Locally Consistent Image Completion" (Iizuka et al.
2017), table 1.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import nn

from img2img.models.base import MaskedGeneratorConfig
from img2img.models.blocks import Norm, Upsampling, norm_layer, upsample


class Glcic(nn.Sequential):
    """(B,4,H,W) picture and mask to (B,3,H,W); H and W multiples of 4. Dilated convolutions see
    round the hole.
    """

    def __init__(self, config: GlcicConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        w = config.width
        plan = [
            (w, 5, 1, 1),
            (2 * w, 3, 2, 1),
            (2 * w, 3, 1, 1),
            (4 * w, 3, 2, 1),
            (4 * w, 3, 1, 1),
            (4 * w, 3, 1, 1),
        ]
        plan += [(4 * w, 3, 1, d) for d in config.dilations] + [(4 * w, 3, 1, 1)] * 2
        layers: list[nn.Module] = []
        channels = in_channels
        for width, kernel, stride, dilation in plan:
            conv = nn.Conv2d(
                channels, width, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation
            )
            layers += [conv, norm_layer(config.norm, width), nn.ReLU()]
            channels = width
        for up_width, width in ((2 * w, 2 * w), (w, w // 2)):
            layers += [
                upsample(config.upsampling, channels, up_width),
                norm_layer(config.norm, up_width),
                nn.ReLU(),
            ]
            layers += [
                nn.Conv2d(up_width, width, 3, padding=1),
                norm_layer(config.norm, width),
                nn.ReLU(),
            ]
            channels = width
        # The paper ends in a sigmoid; the task adds this prediction to its fill, so here it is the
        # signed difference.
        # The one part, "layers" by the names of its weights in checkpoints.
        self.layers = nn.Sequential(
            *layers, nn.Conv2d(channels, out_channels, 3, padding=1), nn.Tanh()
        )


class GlcicConfig(MaskedGeneratorConfig):
    """Completion network; width 64 is the paper's (6.07 M parameters).

    For tasks with a mask; crops are multiples of 4.
    """

    kind: Literal["glcic"] = "glcic"
    width: int = Field(
        64, ge=8, description="channels of the first layer; 4× at a quarter of the size"
    )
    dilations: tuple[PositiveInt, ...] = (2, 4, 8, 16)
    norm: Norm = "batch"
    upsampling: Upsampling = "transposed"

    multiple_of: ClassVar[int] = 4
    network: ClassVar = Glcic
