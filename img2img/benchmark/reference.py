"""The pix2pix step as it is usually written: what the training step is compared with.

The same modules with the same weights, in fp32 and torch's default memory format: no autocast, no
channels-last, torch's Adam with its defaults, no EMA, no measures. It is kept plain: what makes
training faster belongs into `img2img.training`, never here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.recipe import Recipe


class PlainPix2Pix:
    """One D step and one G step (Isola et al. 2017, section 3) on pairs (B,C,H,W) in [0,1]."""

    def __init__(self, recipe: Recipe) -> None:
        assert recipe.adversarial is not None
        self.generator = recipe.build_generator().train()
        self.discriminator = recipe.build_discriminator().train()
        g, d = recipe.g_optimizer(), recipe.d_optimizer()
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), g.lr, g.betas)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), d.lr, d.betas)
        self.l1_weight = recipe.losses[0].weight
        self.adversarial_weight = recipe.adversarial.weight
        self.d_loss_weight = recipe.adversarial.d_loss_weight

    def step(self, condition: Tensor, target: Tensor) -> dict[str, Tensor]:
        """D learns from (real, fake), then G from L1 and D; returns the losses `d_loss`, `l1`,
        `adversarial` and `g_loss`.
        """
        fake = (self.generator(condition) + 1) / 2

        self.discriminator.requires_grad_(True)
        self.d_optimizer.zero_grad()
        real_logits = self.discriminator(torch.cat([target, condition], 1))
        fake_logits = self.discriminator(torch.cat([fake.detach(), condition], 1))
        d_loss = self.d_loss_weight * (
            _cross_entropy(real_logits, 1) + _cross_entropy(fake_logits, 0)
        )
        d_loss.backward()
        self.d_optimizer.step()

        self.discriminator.requires_grad_(False)
        self.g_optimizer.zero_grad()
        l1 = F.l1_loss(fake, target)
        adversarial = _cross_entropy(self.discriminator(torch.cat([fake, condition], 1)), 1)
        g_loss = self.l1_weight * l1 + self.adversarial_weight * adversarial
        g_loss.backward()
        self.g_optimizer.step()
        losses = {"d_loss": d_loss, "l1": l1, "adversarial": adversarial, "g_loss": g_loss}
        return {name: loss.detach() for name, loss in losses.items()}


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
