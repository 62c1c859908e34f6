"""Pixel losses between RGB pictures in [0,1]; each gives a scalar and can look at the hole or the
known part alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from img2img.config import FrozenConfig, Renamed
from img2img.conflicts import Conflict, RecipeContext
from img2img.losses.perceptual import PerceptualNetwork, perceptual_distance
from img2img.models.global_local import local_crop
from img2img.pixels.chroma import BINS, FLAT, NEUTRAL, gradients, log_shares, shares
from img2img.pixels.color import AB_SCALE, to_lab
from img2img.pixels.tensors import Region, masked_mean

Of = Literal["target", "cycle", "identity"]
LEAST_PX = 32  # a side of what a perceptual network compares


class LossConfig(FrozenConfig):
    """One of a recipe's losses, which add up by weight."""

    kind: str
    weight: float = Field(1.0, ge=0)


class PictureLoss(LossConfig):
    """A loss between a generated picture and what it should be, RGB in [0,1]."""

    of: Of = Field(
        "target",
        description="which generated picture: target: that of the condition, against the target; "
        "unpaired, cycle: there and back again, identity: of the side where it belongs already, "
        "both against the input",
    )
    against: Literal["truth", "teacher"] = Field(
        "truth", description="teacher: what train.teacher makes of the same input is the target"
    )

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        can = context.method.compares_with
        if self.of not in can:
            instead = "neither without method 'cycle'"
            if self.of == "target":
                instead = f"no target to compare with: use {' or '.join(can)}"
            yield Conflict(".of", f"'{self.of}': there is {instead}")
        if self.against == "teacher" and context.teacher is None:
            instead = "set train.teacher to a model's name or file"
            yield Conflict(".against", f"'teacher': there is none: {instead}")

    def __call__(
        self, rgb: Tensor, target: Tensor, mask: Tensor | None, center: Tensor | None = None
    ) -> Tensor:
        raise NotImplementedError


class PixelLoss(PictureLoss):
    """Mean of |d| (l1), d² (l2) or sqrt(d² + ε²) (charbonnier, Lai et al. 2017) over the region.

    Example:
        >>> import torch
        >>> loss = PixelLoss(kind="l1")
        >>> loss(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5), mask=None)
        tensor(0.5000)
    """

    kind: Literal["l1", "l2", "charbonnier"]
    region: Region = Field("all", description="hole, known: for tasks with a mask")
    epsilon: float = Field(1e-3, gt=0, description="charbonnier's rounding at zero")

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if self.region != "all" and not context.task.fills:
            yield Conflict(".region", f"'{self.region}' needs a mask, and the task has none")

    def __call__(
        self, rgb: Tensor, target: Tensor, mask: Tensor | None, center: Tensor | None = None
    ) -> Tensor:
        difference = rgb.float() - target.float()
        if self.kind == "l1":
            values = difference.abs()
        else:
            values = difference.square()
            if self.kind == "charbonnier":
                values = (values + self.epsilon**2).sqrt()
        return masked_mean(values, mask, self.region)


class PerceptualLoss(PictureLoss):
    """Mean perceptual distance, optionally on a crop (round the hole where there is one) to save
    time.

    For a data.crop_px of 32 at least.
    """

    kind: Literal["perceptual"]
    network: PerceptualNetwork = "stlpips_vgg"
    crop_px: int | None = Field(
        None, ge=LEAST_PX, description="of a part of the picture alone; data.crop_px at most"
    )

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        crop_px = context.crop_px
        if crop_px < LEAST_PX:
            problem = f"needs a data.crop_px of at least {LEAST_PX}, not {crop_px}"
            yield Conflict(".network", f"'{self.network}' {problem}")
        if self.crop_px is not None and self.crop_px > crop_px:
            yield Conflict(".crop_px", f"is larger than data.crop_px ({crop_px})")

    def __call__(
        self, rgb: Tensor, target: Tensor, mask: Tensor | None, center: Tensor | None = None
    ) -> Tensor:
        network = perceptual_distance(self.network).to(rgb.device)
        if self.crop_px is not None:
            # Anywhere, drawn anew each step: looking at the middle alone trains the middle alone,
            # as a visible square.
            anywhere = torch.stack([torch.randint(n, (len(rgb),)) for n in rgb.shape[-2:]], 1)
            where = anywhere if center is None else center
            rgb, target = (local_crop(x, where, self.crop_px) for x in (rgb, target))
        return network(rgb, target).mean()


class ColorfulnessLoss(PictureLoss):
    """1 - chroma of the picture over that of the target, where too grey (after DDColor, Kang et al.
    2023).
    """

    kind: Literal["colorfulness"]

    def __call__(
        self, rgb: Tensor, target: Tensor, mask: Tensor | None, center: Tensor | None = None
    ) -> Tensor:
        ratio = _opponent_spread(rgb.float()) / (_opponent_spread(target.float()) + 0.01)
        return F.relu(1 - ratio).mean()


class FocalFrequencyLoss(PictureLoss):
    """Squared distance of spectra, weighted by itself (Jiang et al. 2021, equations 6 to 8): most
    where the fake lacks most, such as a texture's frequencies.

    Example:
        >>> import torch
        >>> loss = FocalFrequencyLoss(kind="focal_frequency")
        >>> loss(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5), mask=None)
        tensor(0.2500)
    """

    kind: Literal["focal_frequency"]
    alpha: float = Field(
        1.0, ge=0, description="power of the distance in the weight; 0 weighs all alike"
    )

    def __call__(
        self, rgb: Tensor, target: Tensor, mask: Tensor | None, center: Tensor | None = None
    ) -> Tensor:
        with torch.autocast(rgb.device.type, enabled=False):
            difference = (rgb.float() - target.float()).contiguous()
            squared = torch.view_as_real(torch.fft.fft2(difference, norm="ortho")).square().sum(-1)
        weight = squared.detach().sqrt() ** self.alpha
        largest = weight.amax((-2, -1), keepdim=True).clamp_min(1e-12)
        return (weight / largest * squared).mean()


class MaskLoss(PictureLoss):
    """For tasks whose picture is a mask: found p against true t in [0,1].

    cross_entropy: mean -t log p - (1 - t) log(1 - p), nats a pixel. dice: 1 - 2Σpt / (Σp² + Σt²)
    over the batch (V-Net, Milletari et al. 2016, equation 1), which thin and rare things count in.

    Example:
        >>> import torch
        >>> half, mask = torch.full((1, 3, 8, 8), 0.5), torch.ones(1, 3, 8, 8)
        >>> [MaskLoss(kind=k)(half, mask, None) for k in ("cross_entropy", "dice")]
        [tensor(0.6931), tensor(0.2000)]
    """

    kind: Literal["cross_entropy", "dice"]

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if not context.task.finds:
            yield Conflict(".kind", f"'{self.kind}' compares masks, and the task makes none")

    def __call__(
        self, rgb: Tensor, target: Tensor, mask: Tensor | None, center: Tensor | None = None
    ) -> Tensor:
        found, true = rgb[:, 0].float(), target[:, 0].float()
        if self.kind == "dice":
            both = found.square().sum() + true.square().sum()
            return 1 - (2 * (found * true).sum() + 1) / (both + 1)
        found = found.clamp(1e-6, 1 - 1e-6)
        return -(true * found.log() + (1 - true) * (1 - found).log()).mean()


class FeatureMatchingLoss(LossConfig):
    """Mean |d| in each of the discriminator's layers, and over them (pix2pixHD, Wang et al. 2018,
    equation 4).

    For pairs, with a discriminator of pictures that scores; while it rests, the loss does too.
    """

    kind: Literal["feature_matching"]

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        adversarial = context.adversarial
        if "target" not in context.method.compares_with or context.method.has_codes:
            yield Conflict(".kind", f"'{self.kind}' belongs to train.method paired")
        if adversarial is None or adversarial.head != "logits":
            problem = "compares what a discriminator that scores sees: add one, and not began"
            yield Conflict(".kind", f"'{self.kind}' {problem}")
        elif adversarial.augment:
            problem = f"cut real and fake in different places, and '{self.kind}' compares them"
            yield Conflict("adversarial.augment", problem)
        if context.task.condition_is_noise:
            yield Conflict(".kind", f"'{self.kind}': noise has no target to compare with")

    def __call__(self, fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
        """Of the layers' outputs, as many as D has, each (B,…)."""
        distances = [(f.float() - r.float()).abs().mean() for f, r in zip(fake, real, strict=True)]
        return torch.stack(distances).mean()


class ChromaLoss(PictureLoss):
    """What chroma does where the truth has none, in parts of a* and b*'s range (110).

    neutral_chroma: mean distance from the truth's a*, b* where its C* is below 6 (a veil of color
    over greys); 0 where nothing is grey. stray_edges: mean ‖∇a*b*‖ beyond the truth's where its
    ‖∇L*‖ is below 1 per pixel (halos: edges of color next to those of things).
    """

    kind: Literal["neutral_chroma", "stray_edges"]

    def __call__(
        self, rgb: Tensor, target: Tensor, mask: Tensor | None, center: Tensor | None = None
    ) -> Tensor:
        with torch.autocast(rgb.device.type, enabled=False):  # bf16 tells no ΔL* of 1
            return self._value(to_lab(rgb.float()), to_lab(target.float()))

    def _value(self, fake: Tensor, true: Tensor) -> Tensor:
        if self.kind == "stray_edges":
            luma_change, change = gradients(true)
            excess = F.relu(gradients(fake)[1] - change)
            return (excess * (luma_change < FLAT)).mean() / AB_SCALE
        grey = (true[:, 1:].norm(dim=1) < NEUTRAL).to(fake)
        distance = ((fake - true)[:, 1:].square().sum(1) + 1e-6).sqrt()
        return (distance * grey).sum() / grey.sum().clamp_min(1) / AB_SCALE


class PredictionLoss(LossConfig):
    """A loss between what the network itself predicts and the target picture."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError


class ColorClassesLoss(PredictionLoss):
    """Cross-entropy of predicted color bins, rare colors weighing more (Zhang et al. 2016,
    equations 2 to 4); nats a pixel. For task.predicts color_bins.

    A color q of frequency p(q) weighs 1 / ((1 - λ) p(q) + λ / 169), with a mean weight of 1. The
    frequencies are those of the batch.
    """

    kind: Literal["color_classes"]
    uniform_share: float = Field(
        0.5, gt=0, le=1, description="the λ of rebalancing; 1: all colors weigh alike"
    )

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if not context.task.predicts_color_bins:
            problem = "compares color bins: set task.predicts to color_bins"
            yield Conflict(".kind", f"'{self.kind}' {problem}")

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        with torch.autocast(prediction.device.type, enabled=False):
            return self._cross_entropy(prediction.float(), to_lab(target.float())[:, 1:])

    def _cross_entropy(self, prediction: Tensor, chroma: Tensor) -> Tensor:
        small = F.interpolate(chroma, size=prediction.shape[-2:], mode="area")
        true = shares(small)
        frequency = true.mean((0, 2, 3))
        weight = 1 / ((1 - self.uniform_share) * frequency + self.uniform_share / BINS)
        weight = weight / (weight * frequency).sum()
        missed = -(true * log_shares(prediction)).sum(1)
        return (missed * torch.einsum("bqhw,q->bhw", true, weight)).mean()


class KlLoss(LossConfig):
    """KL divergence of the encoder's Gaussian from N(0,I), nats a picture (Kingma & Welling 2014,
    equation 10).

    For train.method autoencoder with generator.variational.
    """

    kind: Literal["kl"]

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if not context.method.has_codes:
            yield Conflict(".kind", f"'{self.kind}' belongs to train.method autoencoder")
        if not context.generator.draws_codes:
            problem = "holds Gaussians to the prior: set generator.variational: true"
            yield Conflict(".kind", f"'{self.kind}' {problem}")

    def __call__(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """-½ Σ (1 + log σ² - μ² - σ²) over the code, (B,Z) each, mean over the batch."""
        mean, log_variance = mean.float(), log_variance.float()
        return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()


class FeatureLoss(LossConfig):
    """Squared distance in a layer of the discriminator, nats a picture (VAE-GAN, Larsen et al.
    2016, equation 7).

    For train.method autoencoder, with a discriminator dcgan or mlp of pictures, and not began.
    """

    kind: Literal["features"]

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        discriminator, adversarial = context.discriminator, context.adversarial
        if not context.method.has_codes:
            yield Conflict(".kind", f"'{self.kind}' belongs to train.method autoencoder")
        if not discriminator or not adversarial or adversarial.discriminates == "latent":
            problem = "compares what a discriminator of pictures sees"
            yield Conflict(".kind", f"'{self.kind}' {problem}: add discriminator and adversarial")
        elif not discriminator.has_features or adversarial.head != "logits":
            problem = "needs a discriminator with features and a kind that scores"
            yield Conflict(".kind", f"'{self.kind}' {problem}: use dcgan, and not began")

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        """-log N(real | fake, I) without its constant: ½ Σ d² over all but the batch, mean over the
        batch.
        """
        return 0.5 * (fake.float() - real.float()).square().flatten(1).sum(1).mean()


Loss = Annotated[
    PixelLoss
    | PerceptualLoss
    | ColorfulnessLoss
    | FocalFrequencyLoss
    | MaskLoss
    | ChromaLoss
    | ColorClassesLoss
    | FeatureMatchingLoss
    | KlLoss
    | FeatureLoss,
    Field(discriminator="kind"),
    Renamed({"colourfulness": "colorfulness"}),
]
LOG_NAMES = {"colorfulness": "colourfulness"}
"""What log.jsonl, and the sums in checkpoints, call a loss by another name than its kind: as it was
once spelled, for programs look for it there, and runs go on.
"""


def _opponent_spread(rgb: Tensor) -> Tensor:
    red, green, blue = rgb.unbind(1)
    yellow_blue, red_green = (red + green) / 2 - blue, red - green
    return (red_green.square() + yellow_blue.square() + 1e-8).mean((1, 2)).sqrt()
