"""A discriminator in training: its objective, optimizer and stabilisers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from img2img.diagnostics.runlog import Number
from img2img.losses.adversarial import Adversarial
from img2img.losses.diffaugment import diffaugment
from img2img.losses.information import code_loss
from img2img.losses.penalties import around, between, r1_penalty, unit_norm_penalty
from img2img.models.base import DiscriminatorShapes
from img2img.optimizer import OptimizerChoice
from img2img.training.discriminator_input import DiscriminatorInput, Pair
from img2img.training.optimized import Logs, OptimizedModule, under
from img2img.training.replay import ReplayPool


class DiscriminatorTrainer:
    """A discriminator that learns to tell real from fake, and the adversarial loss it gives G."""

    def __init__(
        self,
        module: nn.Module,
        adversarial: Adversarial,
        shapes: DiscriminatorShapes,
        optimizer: OptimizerChoice,
        accelerator: Accelerator,
        code_sizes: tuple[int, int] = (0, 0),
    ) -> None:
        self.adversarial, self.shapes, self.accelerator = adversarial, shapes, accelerator
        self.code_sizes = code_sizes
        self.objective = adversarial.build()
        self.penalty_weight, self.weight_limit = (
            adversarial.penalty_weight,
            adversarial.weight_limit,
        )
        self.module = module
        self.optimized = OptimizedModule(module, optimizer, accelerator)
        exact = not shapes.has_pixels
        self.pool = ReplayPool(adversarial.replay, exact=exact) if adversarial.replay else None
        self.noise_sigma, self.step = 0.0, 0

    def begin_step(self, step: int, steps: int, lr_factor: float, least_noise: float = 0.0) -> None:
        """Set the learning rate and the instance noise of a step of `steps`."""
        self.step = step
        self.noise_sigma = max(least_noise, self.adversarial.noise_sigma(step, steps))
        self.optimized.set_rate(lr_factor)

    def update(self, pairs: Sequence[Pair]) -> Logs:
        """One optimizer step on (real, fake) micro-batches; returns losses and measures by name."""
        logs = Logs()
        for real, fake in pairs:
            fake = fake.with_image(fake.image.detach())  # G learns nothing from D's step
            if self.pool is not None:
                fake = self.pool.exchange(fake)
            loss, measures = self._d_loss(real, fake)
            loss = loss * self.adversarial.d_loss_weight
            self.optimized.backward(loss, len(pairs))
            measures = {"d_loss": loss.detach(), **measures}
            logs.add({name: value / len(pairs) for name, value in measures.items()})
        logs["d_grad_norm"] = self.optimized.update()
        if self.weight_limit is not None:
            clip_weights(self.module, self.weight_limit)
        return logs

    def adversarial_loss(
        self,
        real: DiscriminatorInput,
        fake: DiscriminatorInput,
        probe: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The generator's adversarial loss, InfoGAN's information loss included; D is to be frozen.

        `probe` measures the gradient that returns to the fake images. The real scores are computed
        only for objectives that compare both sides.
        """
        if probe is not None:
            fake = fake.with_image(probe(fake.image))
        fake_scores, recognised = self._scores(fake)
        with torch.no_grad():
            real_scores = self._scores(real)[0] if self.objective.compares else fake_scores
        loss = self.objective.g_loss(real_scores, fake_scores)
        if recognised is not None and fake.code is not None:
            information = code_loss(recognised, fake.code, self.code_sizes)
            loss = loss + self.adversarial.information * information
        return loss

    def features(self, images: Tensor) -> Tensor:
        """D's last hidden layer, Dis_l of Larsen et al. 2016."""
        module: Any = self.module
        with self.accelerator.autocast():
            return module.features(images)

    def feature_maps(self, pair: Pair) -> tuple[list[Tensor], list[Tensor]]:
        """What D's activations give of real and of fake, from the first layer to the last; no
        gradient returns to the real, and D is to be frozen.
        """
        maps: list[Tensor] = []

        def keep(module: nn.Module, given: Any, output: Tensor) -> None:
            maps.append(output)

        activations = [m for m in self.module.modules() if isinstance(m, nn.ReLU | nn.LeakyReLU)]
        hooks = [activation.register_forward_hook(keep) for activation in activations]
        try:
            with torch.no_grad():
                self._scores(pair[0])
            self._scores(pair[1])
        finally:
            for hook in hooks:
                hook.remove()
        return maps[: len(maps) // 2], maps[len(maps) // 2 :]

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """One score an image, (B,), higher for what looks real, of a D without conditioning.

        In evaluation mode and fp32, without noise; leaves D as it was, for validation must not
        change a run.
        """
        was_training = self.module.training
        self.module.eval()
        inputs = DiscriminatorInput(images.to(self.accelerator.device))
        scores = self._scores(inputs, plain=True)[0].flatten(1).mean(1)
        self.module.train(was_training)
        return -scores if self.objective.head == "reconstruction" else scores

    def _d_loss(
        self, real: DiscriminatorInput, fake: DiscriminatorInput
    ) -> tuple[Tensor, dict[str, Number]]:
        """The objective's loss + information loss + gradient penalties, and measures to log."""
        real_scores, _ = self._scores(real)
        fake_scores, recognised = self._scores(fake)
        loss = self.objective.d_loss(*self._noisy_labels(real_scores, fake_scores))
        # What an objective learns from the scores (BEGAN's k) must be the same in all processes.
        means = torch.stack([scores.detach().mean() for scores in (real_scores, fake_scores)])
        measures: dict[str, Number] = {
            **score_measures(real_scores, fake_scores, self.objective.head),
            **self.objective.observe(*self.accelerator.reduce(means, "mean")),
        }
        if recognised is not None and fake.code is not None:
            information = code_loss(recognised, fake.code, self.code_sizes)
            measures["code_loss"] = information.detach()
            loss = loss + self.adversarial.information * information
        if self.penalty_weight or self.adversarial.r1:
            penalty = self._penalty(real, fake)
            measures["d_penalty"] = penalty.detach()
            loss = loss + penalty
        return loss, measures

    def _penalty(self, real: DiscriminatorInput, fake: DiscriminatorInput) -> Tensor:
        """λ·(‖∇D‖ - 1)² between real and fake or around the real, and lazy R1 at the real."""

        def score(image: Tensor) -> Tensor:
            return self._scores(real.with_image(image), plain=True)[0]

        a, total = self.adversarial, torch.zeros((), device=real.image.device)
        if self.penalty_weight:
            at_between = a.objective_class.penalty == "between"
            where = between(real.image, fake.image) if at_between else around(real.image)
            total = total + self.penalty_weight * unit_norm_penalty(score, where)
        if a.r1 and self.step % a.r1_every == 0:
            total = total + a.r1 * a.r1_every * r1_penalty(score, real.image)
        return total

    def _scores(
        self, inputs: DiscriminatorInput, plain: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Scores (fp32), and InfoGAN's recognised codes where D has them.

        `plain` leaves out instance noise, augmentation and autocast.
        """
        image = inputs.image
        if self.noise_sigma and not plain:
            image = image + self.noise_sigma * torch.randn_like(image)
        joined = image
        if inputs.conditioning is not None:
            joined = torch.cat([image, inputs.conditioning.to(image.dtype)], 1)
        if self.adversarial.augment and not plain:
            joined = diffaugment(joined, self.adversarial.augment, image.shape[1])
        joined = joined.contiguous(memory_format=torch.channels_last)
        forward = self.optimized.forward_fp32 if plain else self.module
        out = forward(joined, inputs.local_center, inputs.label).float()
        if self.objective.head == "reconstruction":
            return (out - joined.float()).abs().flatten(1).mean(1, keepdim=True), None
        return (out[:, :1], out[:, 1:]) if self.shapes.codes else (out, None)

    def _noisy_labels(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Scores with the two sides of some samples swapped (Salimans et al. 2016; Chintala et al.
        2016).
        """
        share = self.adversarial.label_noise
        if not share:
            return real, fake
        swapped = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device) < share
        return torch.where(swapped, fake, real), torch.where(swapped, real, fake)

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = self.optimized.state()
        tensors |= {f"objective.{k}": v for k, v in self.objective.state_dict().items()}
        if self.pool is not None:
            tensors |= {f"replay.{k}": v for k, v in self.pool.state().items()}
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state` gave."""
        self.optimized.load_state(tensors)
        self.objective.load_state_dict(under("objective.", tensors))
        if self.pool is not None:  # an empty pool is falsy
            self.pool.load_state(under("replay.", tensors))


def score_measures(real: Tensor, fake: Tensor, head: str) -> dict[str, Tensor]:
    """Mean scores, and the share of (real, fake) pairs that D ranks rightly: ½ for a blind D, 1 for
    a perfect one, on any scale of scores.
    """
    r, f = real.detach().float().flatten(1).mean(1), fake.detach().float().flatten(1).mean(1)
    better = f[None] - r[:, None] if head == "reconstruction" else r[:, None] - f[None]
    accuracy = (better > 0).float().mean() + 0.5 * (better == 0).float().mean()
    return {"d_real": r.mean(), "d_fake": f.mean(), "d_accuracy": accuracy}


@torch.no_grad()
def clip_weights(module: nn.Module, limit: float) -> None:
    """Every parameter into [-limit, limit] (Arjovsky et al. 2017, algorithm 1)."""
    for parameter in module.parameters():
        parameter.clamp_(-limit, limit)
