"""Compact (SRVGGNet; Wang et al. 2021, Real-ESRGAN's models for video and real time): plain
convolutions at the input's size, with the tensors' names of its authors.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.models.base import Shapes
from img2img.models.blocks import zero_init
from img2img.models.picture import LayoutConfig, PictureNetwork


class CompactConfig(LayoutConfig):
    """Convolutions with PReLU, whose picture is added to the nearest-neighbour enlargement."""

    kind: Literal["compact"] = "compact"
    width: int = Field(48, ge=4, le=512, description="channels; published models have 64")
    convs: int = Field(
        8, ge=1, le=128, description="convolutions between the first and the last; 16 or 32"
    )

    community_format: ClassVar[str] = "compact"

    @property
    def size_tags(self) -> tuple[str, ...]:
        return (f"{self.width}nf", f"{self.convs}nc")

    def build(self, shapes: Shapes) -> nn.Module:
        return Compact(self, shapes.output_size((1, 1))[0])


class Compact(PictureNetwork):
    """(B,3,H,W) to what its picture adds to the enlarged input, (B,3,H·s,W·s)."""

    def __init__(self, config: CompactConfig, scale: int) -> None:
        super().__init__(scale)
        inputs, width = 3, config.width
        layers: list[nn.Module] = []
        for _ in range(config.convs + 1):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.PReLU(width)]
            inputs = width
        last = zero_init(nn.Conv2d(width, 3 * scale**2, 3, padding=1))
        self.body = nn.Sequential(*layers, last)

    def answer(self, picture: Tensor, mask: Tensor | None = None) -> Tensor:
        nearest = F.interpolate(picture, scale_factor=float(self.scale))
        return nearest + F.pixel_shuffle(self.body(picture), self.scale)
