"""The pix2pix step and inference as they are usually written: what ours are compared with.

The same modules with the same weights, in fp32 and torch's default memory format: no autocast, no
channels-last, torch's Adam with its defaults, no EMA, no measures, no tiles. They are kept plain:
what makes training faster belongs into `img2img.training`, and inference into `img2img.inference`,
never here.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.pixels.images import quantise
from img2img.pixels.tensors import as_picture, as_tensor
from img2img.recipe import Recipe
from img2img.tasks.forward import ForwardOptions, forward
from img2img.tasks.masked import views_of
from img2img.zoo.catalogue import Entry


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


class PlainInference:
    """A model's generator on whole photos (H,W,3) uint8, and on the crop round a hole (H,W), True =
    to be filled, where its task takes one.
    """

    def __init__(self, entry: Entry) -> None:
        self.task, self.multiple_of = entry.photo_task, entry.recipe.generator.multiple_of
        self.generator = entry.load_generator().float().eval()

    @torch.inference_mode()
    def run(self, rgb: np.ndarray, hole: np.ndarray | None = None) -> np.ndarray:
        """The result (H·scale,W·scale,3) uint8."""
        photo = as_tensor(rgb)
        if self.task.tiles:
            return quantise(as_picture(self._forward(photo, None, ForwardOptions())), np.uint8)
        mask = None if hole is None else as_tensor(hole.astype(np.float32))
        for view in views_of(self.task, rgb.shape[:2], hole):
            inside = None if mask is None else view.cut(mask)
            done = self._forward(view.cut(photo), inside, ForwardOptions(view.size))
            view.cut(photo).copy_(done)
            mask = None if mask is None else view.remaining(mask)
        return quantise(as_picture(photo), np.uint8)

    def _forward(self, photo: Tensor, mask: Tensor | None, options: ForwardOptions) -> Tensor:
        return forward(self.task, self.generator, self.multiple_of, photo, mask, options)
