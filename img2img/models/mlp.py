"""Multilayer perceptrons for points and small pictures; without hidden layers, a linear map and
logistic regression.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from img2img.conflicts import Conflict, RecipeContext
from img2img.models.base import DiscriminatorShapes, NoiseGeneratorConfig
from img2img.models.blocks import spectral
from img2img.models.discriminator_layers import DiscriminatorHead, HeadedDiscriminatorConfig


class MlpGenerator(nn.Sequential):
    """(B,Z,1,1) to (B,C,S,S), unbounded."""

    def __init__(
        self, config: MlpGeneratorConfig, in_channels: int, out_channels: int, size_px: int
    ) -> None:
        super().__init__()
        # The one part, "layers" by the names of its weights in checkpoints.
        self.layers = nn.Sequential(
            nn.Flatten(),
            *_layers((in_channels, *config.hidden), nn.ReLU()),
            nn.Linear((in_channels, *config.hidden)[-1], out_channels * size_px**2),
            nn.Unflatten(1, (out_channels, size_px, size_px)),
        )
        # Outputs start as widely spread as the noise: a start near one point is half a mode
        # collapse.
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)


class MlpGeneratorConfig(NoiseGeneratorConfig):
    """Noise to point or picture.

    For tasks from noise.
    """

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = Field(
        (128, 128), description="widths; [] makes a linear generator"
    )

    network: ClassVar = MlpGenerator


class MlpDiscriminator(nn.Module):
    """(B,C,S,S), and labels if it projects, to (B,1+codes)."""

    def __init__(self, config: MlpDiscriminatorConfig, shapes: DiscriminatorShapes) -> None:
        super().__init__()
        self.quadratic = config.quadratic
        values = shapes.channels * max(1, shapes.size_px) ** 2
        values += values * (values + 1) // 2 * config.quadratic
        self.layers = nn.Sequential(*_layers((values, *config.hidden), nn.LeakyReLU(0.2)))
        self.head = DiscriminatorHead(
            (values, *config.hidden)[-1], shapes, config.projection, config.minibatch_discrimination
        )
        if config.spectral:
            spectral(self)

    def forward(
        self, x: Tensor, local_center: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        return self.head(self.features(x), label)

    def features(self, x: Tensor) -> Tensor:
        """(B,C,S,S) to the last hidden layer, (B,F)."""
        x = x.flatten(1)
        if self.quadratic:
            rows, columns = torch.triu_indices(x.shape[1], x.shape[1])
            x = torch.cat([x, x[:, rows] * x[:, columns]], 1)
        return self.layers(x)


class MlpBeganDiscriminator(nn.Module):
    """BEGAN's discriminator, an autoencoder: (B,C,S,S) to its reconstruction."""

    def __init__(self, config: MlpDiscriminatorConfig, shapes: DiscriminatorShapes) -> None:
        super().__init__()
        shape = (shapes.channels, max(1, shapes.size_px), max(1, shapes.size_px))
        values = shape[0] * shape[1] * shape[2]
        inwards, outwards = (values, *config.hidden), (config.bottleneck, *reversed(config.hidden))
        self.unit = config.unit
        # Kinks rather than curves: the errors are to differ between modes and the ground between
        # them.
        self.layers = nn.Sequential(
            nn.Flatten(),
            *_layers(inwards, nn.LeakyReLU(0.2)),
            nn.Linear(inwards[-1], config.bottleneck),
            *_layers(outwards, nn.LeakyReLU(0.2)),
            nn.Linear(outwards[-1], values),
            nn.Unflatten(1, shape),
        )
        if config.spectral:
            spectral(self)

    def forward(
        self, x: Tensor, local_center: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        return self.unit * self.layers(x / self.unit)


class MlpDiscriminatorConfig(HeadedDiscriminatorConfig):
    """Point or picture to score; for BEGAN, to its reconstruction.

    For everything that is small, codes of autoencoders too; `quadratic` for up to 16 px.
    """

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = Field(
        (128, 128), description="widths; [] makes logistic regression"
    )
    quadratic: bool = Field(
        False, description="products of all pairs of inputs, in addition to the inputs"
    )
    bottleneck: int = Field(
        2, ge=1, description="reconstruction: what lies between encoder and decoder"
    )
    unit: float = Field(1.0, gt=0, description="reconstruction: what its autoencoder calls 1")

    networks: ClassVar = {"logits": MlpDiscriminator, "reconstruction": MlpBeganDiscriminator}

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if self.quadratic and context.discriminator_px > 16:
            reason = "the products of so many pixels fill the memory: use quadratic: false"
            yield self.wrong_size(context, reason)
        yield from super().conflicts(context)


def _layers(widths: tuple[int, ...], activation: nn.Module) -> list[nn.Module]:
    return [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), activation)]
