"""What a discriminator sees: an image, and the conditioning that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.data.sample import Batch
from img2img.pixels.color import resize


@dataclass(frozen=True)
class DiscriminatorInput:
    """A batch of real or fake images (or latent codes), with what D sees in addition."""

    image: Tensor
    """(B,C,H,W), RGB in [0,1]; points and latent codes are (B,C,1,1) of any range"""
    conditioning: Tensor | None = None
    """(B,K,H,W), further channels: condition, mask, one-hot label"""
    local_center: Tensor | None = None
    """(B,2), row and column of the crop that a local discriminator looks at"""
    label: Tensor | None = None
    """(B,), class numbers, for a projection discriminator"""
    code: Tensor | None = None
    """(B,K), InfoGAN's codes from which a fake was generated"""

    def with_image(self, image: Tensor) -> DiscriminatorInput:
        """Another image with the same conditioning."""
        return replace(self, image=image)

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are set, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


Pair = tuple[DiscriminatorInput, DiscriminatorInput]
"""(real, fake)"""


def plain_pair(real: Tensor, fake: Tensor, label: Tensor | None = None) -> Pair:
    """(real, fake) without conditioning but the label."""
    return DiscriminatorInput(real, label=label), DiscriminatorInput(fake, label=label)


def conditioned_pair(batch: Batch, fake: Tensor, sees: Sequence[str], classes: int) -> Pair:
    """(real, fake) of a batch, with the conditioning that `sees` names: condition, mask, label.

    Conditions of another size (low resolution, grey at half size) are resized to the fake's.
    """
    size, channels = (fake.shape[-2], fake.shape[-1]), []
    if "condition" in sees:
        channels.append(resize(batch.condition, size))
    if "mask" in sees and batch.mask is not None:
        channels.append(batch.mask)
    if "label" in sees and batch.label is not None:
        one_hot = F.one_hot(batch.label, classes)[:, :, None, None].to(fake.dtype)
        channels.append(one_hot.expand(-1, -1, *size))
    conditioning = torch.cat(channels, 1) if channels else None
    real = DiscriminatorInput(batch.target, conditioning, batch.local_center, batch.label)
    return real, replace(real, image=fake, code=batch.code)
