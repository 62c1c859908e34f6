"""A lean residual U-Net without normalisation, for denoising and super-resolution.

After DRUNet (Zhang et al. 2021) and EDSR (Lim et al. 2017); with one level and no unshuffling it is
EDSR. It is convolutional throughout, so tiles equal the whole."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from img2img.models.base import GeneratorConfig, Shapes
from img2img.models.blocks import Residual, zero_init


class RestorerConfig(GeneratorConfig):
    """Residual U-Net; `widths` and `blocks` have one entry a level, the last one being the bottom.

    For tasks on photos, those that enlarge as well; crops are multiples of unshuffle·2^(levels - 1)
    and of the enlargement.
    """

    kind: Literal["restorer"] = "restorer"
    widths: tuple[PositiveInt, ...] = (64, 128, 192)
    blocks: tuple[NonNegativeInt, ...] = (2, 2, 3)
    unshuffle: int = Field(
        2, ge=1, le=4, description="pixels a side folded into channels before the first convolution"
    )

    enlarges: ClassVar[bool] = True

    @model_validator(mode="after")
    def _one_entry_a_level(self) -> RestorerConfig:
        if len(self.widths) != len(self.blocks) or not self.widths:
            entries = f"widths has {len(self.widths)} entries and blocks {len(self.blocks)}"
            raise ValueError(f"{entries}: give one a level")
        return self

    @property
    def multiple_of(self) -> int:
        return self.unshuffle * 2 ** (len(self.widths) - 1)

    def build(self, shapes: Shapes) -> nn.Module:
        return Restorer(self, shapes)


class EdsrBlock(Residual):
    """EDSR's residual block without batch norm: x + conv(relu(conv(x))).

    The second convolution starts small, so that deep stacks start near the identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
        nn.init.normal_(second.weight, 0.0, 0.1 * (2 / (9 * width)) ** 0.5)
        for conv in (first, second):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # torch types bias as optional
        self.body = nn.Sequential(first, nn.ReLU(), second)


class Restorer(nn.Module):
    """(B,Cin,H,W) to (B,Cout,H·scale,W·scale), unbounded.

    The last layer starts at zero, so training starts at the task's trivial baseline.
    """

    def __init__(self, config: RestorerConfig, shapes: Shapes) -> None:
        super().__init__()
        widths, blocks, fold = config.widths, config.blocks, config.unshuffle
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(fold),
            nn.Conv2d(shapes.condition_channels * fold**2, widths[0], 3, padding=1),
        )
        self.encoder = nn.ModuleList(
            _stack(w, n) for w, n in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.bottom = _stack(widths[-1], blocks[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(
            _stack(w, n) for w, n in zip(widths[:-1], blocks[:-1], strict=True)
        )
        grow = fold * shapes.output_size((1, 1))[0]
        last = nn.Conv2d(widths[0], shapes.prediction_channels * grow**2, 3, padding=1)
        self.tail = nn.Sequential(zero_init(last), nn.PixelShuffle(grow))

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.stem(x)
        skips = []
        for body, down in zip(self.encoder, self.down, strict=True):
            x = body(x)
            skips.append(x)
            x = down(x)
        x = self.bottom(x)
        for body, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            x = body(up(x) + skips.pop())
        return self.tail(x + first)


def _stack(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(EdsrBlock(width) for _ in range(count)))
