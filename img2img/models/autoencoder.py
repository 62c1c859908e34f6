"""Autoencoders: DCGAN's strided convolutions down to a code, and its generator up again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from img2img.conflicts import Conflict, RecipeContext
from img2img.models.base import AutoencoderShapes, BottleneckShapes, GeneratorConfig, Shapes
from img2img.models.blocks import Norm, Upsampling, init_normal
from img2img.models.dcgan import (
    NOT_HALVED,
    DcganGenerator,
    DcganGeneratorConfig,
    halves_to_a_square,
    halving_tower,
    square_plan,
)


class AutoencoderConfig(GeneratorConfig):
    """Picture to code to picture.

    For tasks with a bottleneck, of pictures of 4, 5, 6 or 7 doubled px; `variational` needs a loss
    of kind kl.
    """

    kind: Literal["autoencoder"] = "autoencoder"
    width: int = Field(
        32, ge=4, description="channels at full size; doubled at each halving, on either side"
    )
    norm: Norm = "batch"
    upsampling: Upsampling = "transposed"
    variational: bool = Field(
        False, description="the encoder gives μ and σ of a Gaussian, and the code is drawn from it"
    )

    @property
    def draws_codes(self) -> bool:
        return self.variational

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        bottleneck = context.task.bottleneck
        if bottleneck is None:
            reason = "it squeezes pictures through a bottleneck, and the task does not ask for one"
            yield self.unfit(context, reason)
            return
        if not halves_to_a_square(bottleneck.size_px):
            yield self.unfit(context, NOT_HALVED.format(bottleneck.size_px))
        if self.variational and not context.has_prior:
            problem = "without a loss of kind kl: nothing would hold its Gaussians to the prior"
            yield Conflict(".variational", problem)

    def build(self, shapes: Shapes) -> nn.Module:
        bottleneck = cast(AutoencoderShapes, shapes).bottleneck  # no other task is taken
        return Autoencoder(self, shapes.prediction_channels, bottleneck)


class Code(NamedTuple):
    """What an encoder makes of pictures, (B,Z) each: a code drawn from N(mean, exp(log_variance)),
    or the mean itself.

    Without `log_variance` the encoder is deterministic.
    """

    drawn: Tensor
    mean: Tensor
    log_variance: Tensor | None


class Autoencoder(nn.Module):
    """(B, C + labels, S, S), labels as one-hot planes, to (B,C,S,S), unbounded, by way of the
    code's mean.

    `decoder` alone takes (B, Z + labels, 1, 1), as a generator from noise does.
    """

    def __init__(
        self, config: AutoencoderConfig, channels: int, bottleneck: BottleneckShapes
    ) -> None:
        super().__init__()
        self.channels, self.variational = channels, config.variational
        side, _ = square_plan(bottleneck.size_px)
        tower, features = halving_tower(
            channels + bottleneck.labels, bottleneck.size_px, config.width, config.norm
        )
        numbers = bottleneck.latent * (2 if config.variational else 1)
        self.encoder = nn.Sequential(tower, nn.Flatten(), nn.Linear(features * side**2, numbers))
        init_normal(self.encoder)
        decoder = DcganGeneratorConfig(
            width=config.width, norm=config.norm, upsampling=config.upsampling
        )
        self.decoder = DcganGenerator(
            decoder, bottleneck.latent + bottleneck.labels, channels, bottleneck.size_px
        )

    def forward(self, x: Tensor, coded: bool = False) -> Tensor | tuple[Tensor, Code]:
        """The picture by way of the mean; with `coded`, as in training: by way of the drawn code,
        and the code too.
        """
        code = self.encode(x)
        picture = self.decode(code.drawn if coded else code.mean, self.label(x))
        return (picture, code) if coded else picture

    def encode(self, x: Tensor) -> Code:
        """Codes of pictures; z = μ + σ·ε (Kingma & Welling 2014, section 2.4)."""
        mean, *rest = self.encoder(x).float().chunk(2 if self.variational else 1, 1)
        if not rest:
            return Code(mean, mean, None)
        return Code(mean + (rest[0] / 2).exp() * torch.randn_like(mean), mean, rest[0])

    def decode(self, code: Tensor, label: Tensor) -> Tensor:
        """Codes (B,Z) and one-hot labels (B,L), L may be 0, to pictures."""
        return self.decoder(torch.cat([code, label.to(code.dtype)], 1)[:, :, None, None])

    def label(self, x: Tensor) -> Tensor:
        """The one-hot labels (B,L) that a condition's planes say."""
        return x[:, self.channels :, 0, 0]
