"""Autoencoders and their relatives: denoising, variational (conditional or not), with a critic of
pictures or codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.data.sample import Batch
from img2img.losses.kid import kid_of_sets
from img2img.losses.reconstruction import FeatureLoss, KlLoss
from img2img.models.autoencoder import Code
from img2img.pixels.sheets import grid_sheet
from img2img.tasks.base import Row, ScoreFunction
from img2img.tasks.generate import sliced_wasserstein
from img2img.training.discriminator import DiscriminatorTrainer, Shown
from img2img.training.step import GradientNormProbe, Parts, TrainingStep

SHEET_COLUMNS = 10
KID_PICTURES, KID_PX = 100, 24  # fewer or smaller ones say nothing


@dataclass(frozen=True)
class AutoencoderOutput:
    """A batch after its way through the bottleneck, and what the critic is to tell apart."""

    rgb: Tensor  # (B,3,S,S) in [0,1], the reconstruction
    code: Code
    fake: Tensor | None  # pictures (B,3,S,S) or codes (B,Z,1,1)
    real: Tensor | None


class AutoencoderStep(TrainingStep[AutoencoderOutput]):
    """Reconstruction, and what holds the codes to the prior N(0,I), from which pictures can then be
    drawn.

    VAE: β·KL (Kingma & Welling 2014). AAE: a critic tells codes from draws of the prior (Makhzani
    et al. 2016). VAE-GAN: a critic judges pictures, and its features say what a good reconstruction
    is (Larsen et al. 2016).
    """

    def _critics(self) -> dict[str, DiscriminatorTrainer]:
        return {"critic": self._new_critic()} if self.recipe.discriminator else {}

    def _make(self, batch: Batch) -> AutoencoderOutput:
        prediction, code = self.player.network(batch.condition, coded=True)
        rgb = self.task.decode(batch.condition, prediction.float())
        return AutoencoderOutput(rgb, code, *self._contest(batch, code))

    def _contest(self, batch: Batch, code: Code) -> tuple[Tensor | None, Tensor | None]:
        """What is made, and what it is to be taken for."""
        if self.recipe.adversarial is None:
            return None, None
        prior = torch.randn_like(code.drawn)
        if self.recipe.adversarial.discriminates == "latent":
            return _column(code.drawn), _column(prior)
        # Larsen et al. 2016, algorithm 1: D judges reconstructions and draws from the prior, here
        # half of each. L_GAN teaches the decoder alone, so codes come to it without a way back to
        # the encoder.
        half = len(prior) // 2
        mixed = torch.cat([code.drawn[:half].detach(), prior[half:]])
        return self._pictures(self.generator, mixed, batch), batch.target

    def _critics_learn(
        self, batches: Sequence[Batch], made: Sequence[AutoencoderOutput]
    ) -> dict[str, float]:
        assert self.critic is not None
        return self.critic.learn(
            [_turn(batch, one, one.fake) for batch, one in zip(batches, made, strict=True)]
        )

    def _losses(
        self, batch: Batch, made: AutoencoderOutput, heard: GradientNormProbe | None
    ) -> Parts:
        """Reconstruction + β·KL + the critic's word."""
        several, parts = len(self.recipe.losses) > 1, Parts()
        for index, loss in enumerate(self.recipe.losses):
            if isinstance(loss, KlLoss):
                assert made.code.log_variance is not None, "checked when the recipe was read"
                value = loss(made.code.mean, made.code.log_variance)
            elif isinstance(loss, FeatureLoss):
                value = loss(*self._features(batch, made.rgb))
            else:
                with self.accelerator.autocast():
                    value = loss(made.rgb, batch.target, None)
            parts[f"{index}_{loss.log_name}" if several else loss.log_name] = (loss.weight, value)
        if heard and self.critic and self.recipe.adversarial and made.fake is not None:
            adversarial = self.critic.g_loss(*_turn(batch, made, heard.fork(made.fake)))
            parts["adversarial"] = (self.recipe.adversarial.weight, adversarial)
        return parts

    def _features(self, batch: Batch, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Dis_l of the reconstruction and of the picture."""
        assert self.critic is not None
        with torch.no_grad():
            wanted = self.critic.features(batch.target)
        return self.critic.features(rgb), wanted

    def _pictures(self, network: nn.Module, code: Tensor, batch: Batch) -> Tensor:
        """RGB of codes (B,Z), with the batch's labels."""
        with self.accelerator.autocast():
            prediction = network.decode(code, network.label(batch.condition))  # type: ignore[operator]  # Autoencoder
        return self.task.decode(batch.condition, prediction.float())

    @property
    def judge(self) -> ScoreFunction | None:
        """None where the critic knows codes only."""
        a = self.recipe.adversarial
        return super().judge if a and a.discriminates == "pictures" else None

    # --- validation

    def metrics(self, batch: Batch, rgb: Tensor, strength: float) -> dict[str, float]:
        """How near reconstructions come, how sharp they are, and how like real pictures draws from
        the prior are.
        """
        numbers = super().metrics(batch, rgb, strength) | {
            "sharpness_gap": sharpness_gap(rgb, batch.target)
        }
        if self.recipe.has_prior:
            drawn = (
                self._drawn(batch) if strength else rgb
            )  # of a trivial answer there is nothing else to draw
            distance = kid_of_sets(drawn, batch.target) if _can_be_compared(batch.target) else None
            numbers |= {} if distance is None else {"prior_kid": distance}
            numbers["prior_sliced_wasserstein"] = sliced_wasserstein(
                drawn.flatten(1), batch.target.flatten(1)
            )
            numbers["prior_sharpness_gap"] = sharpness_gap(drawn, batch.target)
        return numbers

    def sheet(self, rows: Sequence[Row]) -> np.ndarray:
        """Rows of originals, of what was shown where that differs, of reconstructions, and three of
        draws.
        """
        batch, _, made = rows[0]
        seen = batch.condition[:, : self.generator.channels].clamp(0, 1).expand(-1, 3, -1, -1)
        damaged = not torch.equal(seen, batch.target)
        parts = [x[:SHEET_COLUMNS] for x in (batch.target, *([seen] if damaged else []), made)]
        if self.recipe.has_prior:
            parts.append(self._drawn(batch)[: 3 * SHEET_COLUMNS])
        filled = [F.pad(x, (0, 0) * 3 + (0, -len(x) % SHEET_COLUMNS), value=1.0) for x in parts]
        return grid_sheet(F.interpolate(torch.cat(filled), scale_factor=2), SHEET_COLUMNS)

    @torch.inference_mode()
    def _drawn(self, batch: Batch) -> Tensor:
        """Pictures of the prior by the averaged weights, the same draws at every validation; the
        batch's labels.
        """
        assert self.task.bottleneck is not None
        chance = torch.Generator().manual_seed(self.recipe.seed)
        code = torch.randn(len(batch), self.task.bottleneck.latent, generator=chance)
        return self._pictures(self.ema, code.to(batch.condition.device), batch)


def sharpness_gap(made: Tensor, real: Tensor) -> float:
    """How far the steps between neighbouring pixels are from those of real pictures, as a share: 0
    as sharp, 1 one grey; noise is no better than blur."""
    steps = [
        x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean()
        for x in (made.float(), real.float())
    ]
    return float(abs(1 - steps[0] / steps[1]))


def _can_be_compared(pictures: Tensor) -> bool:
    return len(pictures) >= KID_PICTURES and min(pictures.shape[-2:]) >= KID_PX


def _turn(batch: Batch, made: AutoencoderOutput, fake: Tensor | None) -> tuple[Shown, Shown]:
    assert made.real is not None and fake is not None
    return Shown(made.real, label=batch.label), Shown(fake, label=batch.label)


def _column(code: Tensor) -> Tensor:
    return code[:, :, None, None]
