"""DCGAN (Radford et al. 2016): pictures from noise by strided convolutions, and their
discriminator.

Its guidelines: no pooling, batch normalisation but for G's output and D's input, ReLU in G,
LeakyReLU in D, N(0, 0.02). G's tanh is in the task's `decode`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from img2img.conflicts import Conflict, RecipeContext
from img2img.models.base import (
    DiscriminatorShapes,
    NoiseGeneratorConfig,
    NormedDiscriminatorConfig,
)
from img2img.models.blocks import (
    Norm,
    SignedInput,
    Upsampling,
    init_normal,
    norm_layer,
    spectral,
    upsample,
)
from img2img.models.discriminator_layers import (
    DiscriminatorHead,
    HeadedDiscriminatorConfig,
    MinibatchStd,
)

NOT_HALVED = "size {} is not 4, 5, 6 or 7 doubled (28, 32, 48, 64, 96, 128 are)"


class DcganGenerator(nn.Sequential):
    """(B,Z,1,1) to (B,C,S,S), unbounded."""

    def __init__(
        self, config: DcganGeneratorConfig, in_channels: int, out_channels: int, size_px: int
    ) -> None:
        super().__init__()
        start, doublings = square_plan(size_px)
        width = config.width * 2 ** max(0, doublings - 1)
        # A transposed convolution of one pixel: the projection of the paper.
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(in_channels, width, start, bias=config.norm != "batch")
        ]
        layers += [norm_layer(config.norm, width), nn.ReLU()]
        for _ in range(doublings - 1):
            layers += [upsample(config.upsampling, width, width // 2, bias=config.norm != "batch")]
            layers += [norm_layer(config.norm, width // 2), nn.ReLU()]
            width //= 2
        # The one part, "layers" by the names of its weights in checkpoints.
        self.layers = nn.Sequential(*layers, upsample(config.upsampling, width, out_channels))
        init_normal(self)


class DcganGeneratorConfig(NoiseGeneratorConfig):
    """Noise to picture.

    For tasks from noise, of pictures of 4, 5, 6 or 7 doubled px.
    """

    kind: Literal["dcgan"] = "dcgan"
    width: int = Field(
        64,
        ge=4,
        description="channels of the last hidden layer; doubled at each halving of the size",
    )
    norm: Norm = "batch"
    upsampling: Upsampling = "transposed"

    network: ClassVar = DcganGenerator

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if not halves_to_a_square(context.picture_px):
            yield self.unfit(context, NOT_HALVED.format(context.picture_px))


class DcganDiscriminator(nn.Module):
    """(B,C,S,S) in [0,1], and labels if it projects, to (B,1+codes)."""

    def __init__(self, config: DcganDiscriminatorConfig, shapes: DiscriminatorShapes) -> None:
        super().__init__()
        start, _ = square_plan(shapes.size_px)
        tower, channels = halving_tower(shapes.channels, shapes.size_px, config.width, config.norm)
        self.tower = tower.append(MinibatchStd()) if config.minibatch_std else tower
        features = (channels + config.minibatch_std) * start**2
        self.head = DiscriminatorHead(
            features, shapes, config.projection, config.minibatch_discrimination
        )
        init_normal(self)
        if config.spectral:
            spectral(self)

    def forward(
        self, x: Tensor, local_center: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        return self.head(self.features(x).flatten(1), label)

    def features(self, x: Tensor) -> Tensor:
        """(B,C,S,S) to the last hidden layer, (B,F,s,s)."""
        return self.tower(x)


class BeganDiscriminator(nn.Module):
    """BEGAN's discriminator, an autoencoder: (B,C,S,S) to its reconstruction in [0,1]."""

    def __init__(self, config: DcganDiscriminatorConfig, shapes: DiscriminatorShapes) -> None:
        super().__init__()
        start, _ = square_plan(shapes.size_px)
        tower, channels = halving_tower(shapes.channels, shapes.size_px, config.width, config.norm)
        self.encoder = nn.Sequential(
            tower, nn.Flatten(), nn.Linear(channels * start**2, config.bottleneck)
        )
        decoder = DcganGeneratorConfig(width=config.width, norm=config.norm, upsampling="resize")
        self.decoder = DcganGenerator(decoder, config.bottleneck, shapes.channels, shapes.size_px)
        init_normal(self.encoder)
        if config.spectral:
            spectral(self)

    def forward(
        self, x: Tensor, local_center: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        return torch.sigmoid(self.decoder(self.encoder(x)[..., None, None]))


class DcganDiscriminatorConfig(HeadedDiscriminatorConfig, NormedDiscriminatorConfig):
    """Picture to score; for BEGAN, to its reconstruction.

    For pictures of 4, 5, 6 or 7 doubled px; batch norm needs more than one a batch.
    """

    kind: Literal["dcgan"] = "dcgan"
    width: int = Field(
        64, ge=4, description="channels of the first layer; doubled at each halving of the size"
    )
    minibatch_std: bool = Field(
        False, description="a channel with the batch's spread (Karras et al. 2018)"
    )
    bottleneck: int = Field(
        64, ge=1, description="reconstruction: what lies between encoder and decoder"
    )

    networks: ClassVar = {"logits": DcganDiscriminator, "reconstruction": BeganDiscriminator}
    score_terms: ClassVar = (*HeadedDiscriminatorConfig.score_terms, "minibatch_std")

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        size_px = context.discriminator_px
        if not halves_to_a_square(size_px):
            yield self.wrong_size(context, NOT_HALVED.format(size_px))
        if self.norm == "batch" and context.batch_size == 1:
            yield self.wrong_size(context, "batch norm needs more than one picture a batch")
        yield from super().conflicts(context)


def halving_tower(
    channels: int, size_px: int, first_width: int, norm: Norm
) -> tuple[nn.Sequential, int]:
    """(B,C,S,S) in [0,1] by strided convolutions to the smallest square, and the number of its
    channels.
    """
    _, halvings = square_plan(size_px)
    layers: list[nn.Module] = [SignedInput()]
    for index in range(halvings):
        width, kind = first_width * 2**index, norm if index else "none"
        layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=kind != "batch")]
        layers += [norm_layer(kind, width), nn.LeakyReLU(0.2)]
        channels = width
    return nn.Sequential(*layers), channels


def square_plan(size_px: int) -> tuple[int, int]:
    """The smallest square, 4 to 7 px, and how often it doubles to `size_px`: 28 is 7 doubled
    twice.
    """
    doublings = 0
    while size_px > 7 and size_px % 2 == 0:
        size_px //= 2
        doublings += 1
    return size_px, doublings


def halves_to_a_square(size_px: int) -> bool:
    """Whether pictures of this size can be halved to such a square, once at least."""
    start, doublings = square_plan(size_px)
    return 4 <= start <= 7 and doublings > 0
