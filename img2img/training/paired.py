"""The step on pairs and on noise; it reads like pix2pix, and everything after it is a field of the
recipe.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.data.sample import Batch
from img2img.losses.reconstruction import PictureLoss
from img2img.pixels.color import resize
from img2img.training.discriminator import DiscriminatorTrainer, Shown
from img2img.training.step import GradientNormProbe, Parts, Remedies, TrainingStep

__all__ = ["PairedStep", "Remedies"]


class PairedStep(TrainingStep[Tensor]):
    """Conditional GAN on pairs (pix2pix and everything after it), and GANs from noise, whose
    condition is the noise.

    Without a discriminator it is plain regression.
    """

    def _critics(self) -> dict[str, DiscriminatorTrainer]:
        return {"critic": self._new_critic()} if self.recipe.discriminator else {}

    def _make(self, batch: Batch) -> Tensor:
        """fake ← G(x)."""
        return self.task.decode(batch.condition, self.player.network(batch.condition).float())

    def _critics_learn(self, batches: Sequence[Batch], made: Sequence[Tensor]) -> dict[str, float]:
        assert self.critic is not None
        return self.critic.learn(
            [self._turn(batch, rgb) for batch, rgb in zip(batches, made, strict=True)]
        )

    def _losses(self, batch: Batch, made: Tensor, heard: GradientNormProbe | None) -> Parts:
        """λ·L1 + μ·perceptual + … + adversarial."""
        parts = self._reconstruction(batch, made)
        if heard and self.critic and self.recipe.adversarial:
            adversarial = self.critic.g_loss(*self._turn(batch, heard.fork(made)))
            parts["adversarial"] = (self.recipe.adversarial.weight, adversarial)
        return parts

    def _reconstruction(self, batch: Batch, rgb: Tensor) -> Parts:
        with self.accelerator.autocast():
            return {
                loss.log_name if len(self.recipe.losses) == 1 else f"{index}_{loss.log_name}": (
                    loss.weight,
                    loss(rgb, batch.target, batch.mask, batch.local_center),
                )
                for index, loss in enumerate(self.recipe.losses)
                if isinstance(loss, PictureLoss)
            }

    def _turn(self, batch: Batch, made: Tensor) -> tuple[Shown, Shown]:
        """The real and the made picture, each with what the recipe lets the discriminator see
        beside it.
        """
        assert self.recipe.adversarial is not None
        sees, size, beside = self.recipe.adversarial.sees, (made.shape[-2], made.shape[-1]), []
        if "condition" in sees:
            beside.append(resize(batch.condition, size))
        if "mask" in sees and batch.mask is not None:
            beside.append(batch.mask)
        if "label" in sees and batch.label is not None:
            planes = F.one_hot(batch.label, self.task.classes)[:, :, None, None].to(made.dtype)
            beside.append(planes.expand(-1, -1, *size))
        planes_beside = torch.cat(beside, 1) if beside else None
        real = Shown(batch.target, planes_beside, batch.local_center, batch.label)
        return real, Shown(made, planes_beside, batch.local_center, batch.label, batch.code)
