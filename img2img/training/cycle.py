"""The training step on two sides without pairs: CycleGAN (Zhu et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from img2img.data.sample import Batch
from img2img.losses.reconstruction import PictureLoss
from img2img.tasks.unpaired import Direction
from img2img.training.discriminator_input import Pair, plain_pair
from img2img.training.optimized import Logs, frozen
from img2img.training.processes import reduce_buffers
from img2img.training.step import GradientNormProbe, Losses, TrainingStep

Side = Literal["A", "B"]
Sides = dict[Side, Tensor]
"""An image batch of each side, RGB (B,3,H,W) in [0,1]"""

OTHER: dict[Side, Side] = {"A": "B", "B": "A"}
INTO: dict[Side, Direction] = {"A": "BtoA", "B": "AtoB"}  # the generator that ends at a side
LOGGED_BY_SIDE = ("d_loss", "d_accuracy")  # besides the mean of both discriminators


def sides(batch: Batch) -> Sides:
    """The real images of both sides."""
    return {"A": batch.condition, "B": batch.target}


class CycleStep(TrainingStep):
    """CycleGAN: generators G: A → B and F: B → A, and a discriminator for each side.

    L = L_GAN(G, D_B) + L_GAN(F, D_A) + λ·(|F(G(a)) - a| + |G(F(b)) - b|) + λ_id·(|F(a) - a| +
    |G(b) - b|), equation 3 and section 5.2. The λ are the weights of the recipe's losses.
    """

    discriminator_names: ClassVar = {"B": "critic_B", "A": "critic_A"}

    def __call__(self, batches: Sequence[Batch], step: int) -> Logs:
        """Fakes F(b), G(a); D_A, D_B on their pairs; G, F on cycle, identity, adversarial; EMA."""
        phase, logs, reals = self.begin(step), Logs(), [sides(batch) for batch in batches]
        if phase.idle:
            return logs

        with torch.set_grad_enabled(phase.g_trains):
            fakes = [self.translate(real) for real in reals]
        pairs = [side_pairs(real, fake) for real, fake in zip(reals, fakes, strict=True)]

        if phase.d_trains:
            for side in OTHER:
                own = self.discriminators[side].update([pair[side] for pair in pairs])
                logs |= {f"{name}_{side}": own[name] for name in LOGGED_BY_SIDE}
                logs.add({name: value / len(OTHER) for name, value in own.items()})

        if phase.g_trains:
            probe = GradientNormProbe()
            with frozen(*self.d_modules):
                for real, fake, pair in zip(reals, fakes, pairs, strict=True):
                    losses = self.cycle_losses(real, fake)
                    if phase.adversarial:
                        loss = self.adversarial_loss(pair, probe)
                        losses["adversarial"] = (self.adversarial_weight, loss)
                    logs.add(self.backward(losses, len(batches)))
            logs |= {**probe.logs(), "g_grad_norm": self.generator.update()}

        reduce_buffers([self.generator.module, *self.d_modules], self.accelerator)
        if phase.g_trains:
            self.ema.update(self.generator.module, step // self.schedule.d_steps)
        return logs

    def translate(self, images: Sides) -> Sides:
        """A = F(b), B = G(a)."""
        return {side: self.into(side, images[OTHER[side]]) for side in images}

    def into(self, side: Side, image: Tensor) -> Tensor:
        """An image translated into a side: F(image) for A, G(image) for B."""
        return self.task.decode(image, self.generator.module(image, INTO[side]).float())

    def cycle_losses(self, real: Sides, fake: Sides) -> Losses:
        """λ·|F(G(a)) - a| and λ_id·|F(a) - a|, each summed over both sides."""
        compared = [loss for loss in self.recipe.losses if isinstance(loss, PictureLoss)]
        asked, losses, images = {loss.of for loss in compared}, Losses(), {}
        if "cycle" in asked:
            images["cycle"] = self.translate(fake)
        if "identity" in asked:
            images["identity"] = {side: self.into(side, real[side]) for side in real}
        with self.accelerator.autocast():
            for index, loss in enumerate(compared):
                name = loss.of if loss.of not in losses else f"{index}_{loss.of}"
                values = [loss(images[loss.of][side], real[side], None) for side in real]
                losses[name] = (loss.weight, torch.stack(values).sum())
        return losses

    def adversarial_loss(self, pairs: dict[Side, Pair], probe: GradientNormProbe) -> Tensor:
        """L_GAN(F, D_A) + L_GAN(G, D_B)."""
        ds = self.discriminators
        losses = [ds[side].adversarial_loss(*pair, probe) for side, pair in pairs.items()]
        return torch.stack(losses).sum()


def side_pairs(real: Sides, fake: Sides) -> dict[Side, Pair]:
    """(real, fake) of each side, as its discriminator sees them."""
    return {side: plain_pair(real[side], fake[side]) for side in real}
