"""What discriminators of whole pictures share: how a batch is compared with itself, and the last
layer.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from img2img.models.base import DiscriminatorConfig, DiscriminatorShapes

CODE_FEATURES = 128


class MinibatchStd(nn.Module):
    """(B,C,H,W) with one channel more, the mean over features of their spread in the batch (Karras
    et al. 2018).
    """

    def forward(self, x: Tensor) -> Tensor:
        spread = (x.float().var(0, correction=0) + 1e-8).sqrt().mean().to(x.dtype)
        return torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], 1)


class MinibatchDiscrimination(nn.Module):
    """(B,F) with `kernels` values more: how close a sample lies to the others (Salimans et al.
    2016, section 3.2).
    """

    def __init__(self, features: int, kernels: int, dimensions: int = 5) -> None:
        super().__init__()
        self.shape = (kernels, dimensions)
        self.project = nn.Linear(features, kernels * dimensions, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        m = self.project(h).float().view(len(h), *self.shape)
        distances = (m[:, None] - m[None]).abs().sum(-1)  # (B,B,kernels)
        closeness = (-distances).exp().sum(1) - 1  # without each sample's closeness to itself
        return torch.cat([h, closeness.to(h.dtype)], 1)


class HeadedDiscriminatorConfig(DiscriminatorConfig):
    """One that ends in a `DiscriminatorHead`, or, for BEGAN, in a reconstruction of its input."""

    projection: bool = Field(
        False,
        description="the label's embedding times the features (Miyato & Koyama 2018); needs a task "
        "with labels, and not began",
    )
    minibatch_discrimination: int = Field(
        0,
        ge=0,
        le=200,
        description="kernels that compare samples (Salimans et al. 2016); not for began",
    )

    has_features: ClassVar[bool] = True
    recognises_codes: ClassVar[bool] = True
    score_terms: ClassVar[tuple[str, ...]] = ("projection", "minibatch_discrimination")


class DiscriminatorHead(nn.Module):
    """Flat features (B,F) and labels (B,) to (B,1+codes): the score, then what InfoGAN's codes are
    recognised by.

    With `projection`, the inner product of the features with the label's embedding adds to the
    score (Miyato & Koyama 2018, equation 6). Codes are read by a hidden layer of their own (Chen et
    al. 2016, appendix C; without its batch norm, which would mix samples).
    """

    def __init__(
        self, features: int, shapes: DiscriminatorShapes, projection: bool, kernels: int
    ) -> None:
        super().__init__()
        # "company" is its name in checkpoints.
        self.company = MinibatchDiscrimination(features, kernels) if kernels else nn.Identity()
        self.score = nn.Linear(features + kernels, 1)
        self.codes = None
        if shapes.codes:
            self.codes = nn.Sequential(
                nn.Linear(features + kernels, CODE_FEATURES),
                nn.LeakyReLU(0.1),
                nn.Linear(CODE_FEATURES, shapes.codes),
            )
        self.embedding = nn.Embedding(shapes.classes, features) if projection else None

    def forward(self, h: Tensor, label: Tensor | None) -> Tensor:
        seen = self.company(h)
        score = self.score(seen)
        if self.embedding is not None:
            if label is None:
                raise ValueError("a projection discriminator needs the label")
            score = score + (self.embedding(label) * h).sum(1, keepdim=True)
        return score if self.codes is None else torch.cat([score, self.codes(seen)], 1)
