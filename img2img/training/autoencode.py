"""The training step of autoencoders: denoising, variational (VAE), adversarial (AAE), VAE-GAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from img2img.data.sample import Batch
from img2img.losses.reconstruction import FeatureLoss, KlLoss
from img2img.models.autoencoder import Code
from img2img.training.inputs import DiscriminatorInput, Pair
from img2img.training.optimized import Logs, frozen
from img2img.training.step import GradientNormProbe, Losses, TrainingStep


@dataclass(frozen=True)
class AutoencoderOutput:
    """A batch's reconstruction and codes, and what D is to tell apart."""

    rgb: Tensor
    """the reconstruction, (B,3,S,S) in [0,1]"""
    code: Code
    pair: Pair | None
    """(real, fake), images (B,3,S,S) or codes (B,Z,1,1); None without a discriminator"""


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
            logs |= self.discriminator.update([output.pair for output in outputs if output.pair])

        if phase.g_trains:
            probe = GradientNormProbe()
            with frozen(*self.discriminator_modules):
                for batch, output in zip(batches, outputs, strict=True):
                    losses = self.reconstruction_losses(batch, output)
                    if phase.adversarial and output.pair:
                        real, fake = output.pair
                        fake = fake.with_image(probe(fake.image))
                        loss = self.discriminator.adversarial_loss(real, fake)
                        losses["adversarial"] = (self.discriminator.adversarial.weight, loss)
                    logs.add(self.backward(losses, len(batches)))
            logs |= {**probe.logs(), "g_grad_norm": self.generator.update()}

        self.share_buffers()
        if phase.g_trains:
            self.update_ema(step)
        return logs

    def reconstruct(self, batch: Batch) -> AutoencoderOutput:
        """x̂, z = G(x), and what D is to tell apart: codes from the prior, or images."""
        prediction, code = self.generator.module(batch.condition, coded=True)
        rgb = self.task.decode(batch.condition, prediction.float())
        if self.recipe.adversarial is None:
            return AutoencoderOutput(rgb, code, None)
        prior = torch.randn_like(code.drawn)
        real, fake = prior[:, :, None, None], code.drawn[:, :, None, None]
        if self.recipe.adversarial.discriminates == "pictures":
            # Larsen et al. 2016, algorithm 1: D sees reconstructions and draws from the prior, here
            # half of each. L_GAN trains the decoder alone, so the encoder's codes are detached.
            half = len(prior) // 2
            mixed = torch.cat([code.drawn[:half].detach(), prior[half:]])
            real, fake = batch.target, decode_codes(self, self.generator.module, mixed, batch)
        real_input, fake_input = (
            DiscriminatorInput(image, label=batch.label) for image in (real, fake)
        )
        return AutoencoderOutput(rgb, code, (real_input, fake_input))

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
                with self.accelerator.autocast():
                    value = loss(output.rgb, batch.target, None)
            losses[name] = (loss.weight, value)
        return losses


def decode_codes(step: TrainingStep, network: nn.Module, code: Tensor, batch: Batch) -> Tensor:
    """RGB of codes (B,Z) by the generator or its average, with the batch's labels."""
    with step.accelerator.autocast():
        prediction = network.decode(code, network.label(batch.condition))  # type: ignore[operator]  # Autoencoder
    return step.task.decode(batch.condition, prediction.float())
