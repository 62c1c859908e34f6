"""The training step on pairs: pix2pix, everything after it, and GANs from noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from img2img.data.sample import Batch
from img2img.losses.reconstruction import FeatureMatchingLoss, PictureLoss, PredictionLoss
from img2img.training.discriminator_input import Pair, conditioned_pair
from img2img.training.optimized import Logs, frozen
from img2img.training.processes import reduce_buffers
from img2img.training.step import GradientNormProbe, Losses, TrainingStep


class PairedStep(TrainingStep):
    """Conditional GAN on pairs (pix2pix, Isola et al. 2017). Without a discriminator it is plain
    regression; for GANs from noise the condition is the noise, and there are no other losses.
    """

    def __call__(self, batches: Sequence[Batch], step: int) -> Logs:
        """fake = G(x); D on (real, fake); G on λ·L1 + μ·perceptual + adversarial; EMA of G."""
        phase, logs = self.begin(step), Logs()
        if phase.idle:
            return logs

        with torch.set_grad_enabled(phase.g_trains):
            predictions = [self.generator.module(b.condition).float() for b in batches]
            fakes = [
                self.task.decode(batch.condition, prediction)
                for batch, prediction in zip(batches, predictions, strict=True)
            ]
        pairs = [self.pair(batch, fake) for batch, fake in zip(batches, fakes, strict=True)]

        if phase.d_trains:
            logs |= self.discriminator.update(pairs)

        if phase.g_trains:
            probe = GradientNormProbe()
            with frozen(*self.d_modules):
                rows = zip(batches, predictions, fakes, pairs, strict=True)
                for batch, prediction, fake, pair in rows:
                    losses = self.reconstruction_losses(batch, prediction, fake)
                    if phase.adversarial:
                        loss = self.discriminator.adversarial_loss(*pair, probe)
                        losses["adversarial"] = (self.adversarial_weight, loss)
                        losses |= self.feature_losses(pair)
                    logs.add(self.backward(losses, len(batches)))
            logs |= {**probe.logs(), "g_grad_norm": self.generator.update()}

        reduce_buffers([self.generator.module, *self.d_modules], self.accelerator)
        if phase.g_trains:
            self.ema.update(self.generator.module, step // self.schedule.d_steps)
        return logs

    def pair(self, batch: Batch, fake: Tensor) -> Pair:
        """(real, fake) as D sees them, with the conditioning that the recipe asks for."""
        sees = self.recipe.adversarial.sees if self.recipe.adversarial else ()
        return conditioned_pair(batch, fake, sees, self.task.classes)

    def feature_losses(self, pair: Pair) -> Losses:
        """λ·feature matching: the losses of the recipe that compare in D's layers."""
        named = zip(self.loss_names, self.recipe.losses, strict=True)
        matching = [(name, loss) for name, loss in named if isinstance(loss, FeatureMatchingLoss)]
        if not matching:
            return {}
        real, fake = self.discriminator.feature_maps(pair)
        return {name: (loss.weight, loss(fake, real)) for name, loss in matching}

    def reconstruction_losses(self, batch: Batch, prediction: Tensor, fake: Tensor) -> Losses:
        """λ·L1, μ·perceptual, …: the losses of the recipe that compare with the target, or with
        what `train.teacher` makes of the same condition (knowledge distillation, Hinton et al.
        2015).
        """
        losses: Losses = {}
        with self.accelerator.autocast():
            for name, loss in zip(self.loss_names, self.recipe.losses, strict=True):
                if isinstance(loss, PictureLoss):
                    target = batch.teacher if loss.against == "teacher" else batch.target
                    assert target is not None, "the teacher was asked before the first step"
                    value = loss(fake, target, batch.mask, batch.local_center)
                    losses[name] = (loss.weight, value)
                elif isinstance(loss, PredictionLoss):
                    losses[name] = (loss.weight, loss(prediction, batch.target))
        return losses
