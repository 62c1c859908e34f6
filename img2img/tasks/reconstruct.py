"""The same picture again, through a bottleneck: autoencoders, their denoising and their variational
relatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from img2img.data.sample import Batch, LabelledSample, PhotoSample, as_tensor
from img2img.errors import Advice, UserError
from img2img.pixels import degrade
from img2img.pixels.images import to_float
from img2img.tasks.autoencoder import AutoencoderTask, Bottleneck
from img2img.tasks.base import Reads
from img2img.tasks.generate import Generate, class_of


class Reconstruct(AutoencoderTask):
    """Picture in, the same picture out. The network sees (B, channels + labels, S, S): the label as
    one-hot planes.

    With noise on the input, and the clean picture as target, it is the denoising autoencoder of
    Vincent et al. 2008.
    """

    kind: Literal["reconstruct"] = "reconstruct"
    size_px: int = Field(
        32, ge=8, le=256, description="side of the pictures; the same as data.crop_px"
    )
    channels: Literal[1, 3] = Field(3, description="1: grey pictures")
    latent: int = Field(32, ge=1, description="numbers a picture is squeezed into")
    labels: int = Field(
        0,
        ge=0,
        description="classes that encoder and decoder see (conditional VAE); 0: none",
    )
    noise_sigma_255: float = Field(
        0.0, ge=0, description="Gaussian noise on the input, 0-255 scale"
    )

    draws: ClassVar[bool] = True
    plan_order: ClassVar[int] = 80
    zeros_are: ClassVar[str] = "mid-grey"
    verb: ClassVar[str] = "squeeze it through a bottleneck"

    @property
    def reads(self) -> Reads:
        return "label" if self.labels else "photo"

    @property
    def condition_channels(self) -> int:
        return self.channels + self.labels

    @property
    def prediction_channels(self) -> int:
        return self.channels

    @property
    def classes(self) -> int:
        return self.labels

    @property
    def bottleneck(self) -> Bottleneck:
        return Bottleneck(self.latent, self.size_px, self.labels)

    @property
    def prior(self) -> Generate:
        return Generate(
            size_px=self.size_px, channels=self.channels, latent=self.latent, labels=self.labels
        )

    def make_pair(self, sample: PhotoSample | LabelledSample, rng: np.random.Generator) -> Batch:
        clean = to_float(sample.photo)
        if self.channels == 1:
            clean = np.repeat(clean.mean(2, keepdims=True), 3, 2)
        label = class_of(sample) if self.labels else None
        seen = (
            degrade.gaussian_noise(clean, self.noise_sigma_255, rng)
            if self.noise_sigma_255
            else clean
        )
        return Batch(
            condition=self._seen(as_tensor(seen), label), target=as_tensor(clean), label=label
        )

    def prepare(self, photo: Tensor) -> Tensor:
        if self.labels:
            raise UserError(
                "this model must be told a picture's class, and a photo has none",
                remedy=Advice.run("generate"),
            )
        return self._seen(photo, None)

    def shown(self, condition: Tensor) -> Tensor | None:
        """The noisy picture; a clean one is the truth itself, which no bottleneck lets through."""
        return condition[:, : self.channels].expand(-1, 3, -1, -1) if self.noise_sigma_255 else None

    def _seen(self, photo: Tensor, label: Tensor | None) -> Tensor:
        picture = photo.mean(1, keepdim=True) if self.channels == 1 else photo
        if label is None:
            return picture
        planes = F.one_hot(label, self.labels).to(picture.dtype)[:, :, None, None]
        return torch.cat([picture, planes.expand(-1, -1, *picture.shape[-2:])], 1)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return self.prior.decode(condition, prediction)

    def encode(self, batch: Batch) -> Tensor:
        return self.prior.encode(batch)

    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        """Mean over pictures of each one's PSNR."""
        error = (rgb.float().clamp(0, 1) - batch.target.float()).square().flatten(1).mean(1)
        return {"psnr_db": float(-10 * error.clamp_min(1e-12).log10().mean())}
