"""The training step of autoencoders: denoising, variational (VAE), adversarial (AAE), VAE-GAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from img2img.data.sample import Batch
from img2img.losses.reconstruction import FeatureLoss, KlLoss, PictureLoss
from img2img.models.autoencoder import Code
from img2img.training.discriminator_input import Pair, plain_pair
from img2img.training.optimized import Logs, frozen
from img2img.training.processes import reduce_buffers
from img2img.training.step import GradientNormProbe, Losses, TrainingStep


@dataclass(frozen=True)
class AutoencoderOutput:
    """A batch's reconstruction and codes, and what D is to tell apart."""

    rgb: Tensor
    """the reconstruction, (B,3,S,S) in [0,1]"""
    code: Code
    pair: Pair
    """(real, fake), images (B,3,S,S) or codes (B,Z,1,1)"""


class AutoencoderStep(TrainingStep):
    """Reconstruction, and what holds the codes to the prior N(0,I), so that pictures can be drawn.

    VAE: β·KL (Kingma & Welling 2014). AAE: D tells codes from draws of the prior (Makhzani et al.
    2016). VAE-GAN: D sees images, and its features measure reconstructions (Larsen et al. 2016).
    """

    def __call__(self, batches: Sequence[Batch], step: int) -> Logs:
        """x̂, z = G(x); D on (real, fake); G on reconstruction + β·KL + adversarial; EMA of G."""
        phase, logs = self.begin(step), Logs()
        if phase.idle:
            return logs

        with torch.set_grad_enabled(phase.g_trains):
            outputs = [self.reconstruct(batch) for batch in batches]

        if phase.d_trains:
            logs |= self.discriminator.update([output.pair for output in outputs])

        if phase.g_trains:
            probe = GradientNormProbe()
            with frozen(*self.d_modules):
                for batch, output in zip(batches, outputs, strict=True):
                    losses = self.reconstruction_losses(batch, output)
                    if phase.adversarial:
                        loss = self.discriminator.adversarial_loss(*output.pair, probe)
                        losses["adversarial"] = (self.adversarial_weight, loss)
                    logs.add(self.backward(losses, len(batches)))
            logs |= {**probe.logs(), "g_grad_norm": self.generator.update()}

        reduce_buffers([self.generator.module, *self.d_modules], self.accelerator)
        if phase.g_trains:
            self.ema.update(self.generator.module, step // self.schedule.d_steps)
        return logs

    def reconstruct(self, batch: Batch) -> AutoencoderOutput:
        """x̂, z = G(x), and what D is to tell apart: codes from the prior, or images."""
        prediction, code = self.generator.module(batch.condition, coded=True)
        rgb = self.task.decode(batch.condition, prediction.float())
        real, fake, adversarial = batch.target, rgb, self.recipe.adversarial
        prior = torch.randn_like(code.drawn) if adversarial else code.drawn
        if adversarial and adversarial.discriminates == "latent":
            real, fake = prior[:, :, None, None], code.drawn[:, :, None, None]
        elif adversarial:
            # Larsen et al. 2016, algorithm 1: D sees reconstructions and draws from the prior, here
            # half of each. L_GAN trains the decoder alone, so the encoder's codes are detached.
            half = len(prior) // 2
            mixed = torch.cat([code.drawn[:half].detach(), prior[half:]])
            fake = decode_codes(self, self.generator.module, mixed, batch)
        return AutoencoderOutput(rgb, code, plain_pair(real, fake, batch.label))

    def reconstruction_losses(self, batch: Batch, output: AutoencoderOutput) -> Losses:
        """Reconstruction in pixels or in D's features, + β·KL."""
        losses: Losses = {}
        for name, loss in zip(self.loss_names, self.recipe.losses, strict=True):
            if isinstance(loss, KlLoss):
                assert output.code.log_variance is not None, "checked when the recipe was read"
                value = loss(output.code.mean, output.code.log_variance)
            elif isinstance(loss, FeatureLoss):
                with torch.no_grad():
                    wanted = self.discriminator.features(batch.target)
                value = loss(self.discriminator.features(output.rgb), wanted)
            else:
                assert isinstance(loss, PictureLoss), "checked when the recipe was read"
                with self.accelerator.autocast():
                    value = loss(output.rgb, batch.target, None)
            losses[name] = (loss.weight, value)
        return losses


def decode_codes(step: TrainingStep, network: nn.Module, code: Tensor, batch: Batch) -> Tensor:
    """RGB of codes (B,Z) by the generator or its average, with the batch's labels."""
    with step.accelerator.autocast():
        label = network.label(batch.condition)  # type: ignore[operator]  # an Autoencoder
        prediction = network.decode(code, label)  # type: ignore[operator]  # a Module to mypy
    return step.task.decode(batch.condition, prediction.float())
