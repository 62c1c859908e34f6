"""The discriminator's side of the game: its network, objective, optimizer and stabilisers, for
every kind of step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from img2img.losses.adversarial import Adversarial
from img2img.losses.diffaugment import diffaugment
from img2img.losses.information import code_loss
from img2img.losses.penalties import around, between, r1_penalty, unit_norm_penalty
from img2img.models.blocks import DiscriminatorConfig, DiscriminatorShapes
from img2img.recipe import OptimizerChoice
from img2img.training.optimized import OptimizedModule
from img2img.training.replay import ReplayPool


@dataclass(frozen=True)
class Shown:
    """What a discriminator is shown: a picture, and what it may know beside it."""

    picture: Tensor  # (B,C,H,W)
    beside: Tensor | None = None  # (B,K,H,W) further channels: condition, mask, label
    local_center: Tensor | None = None  # (B,2)
    label: Tensor | None = None  # (B,)
    code: Tensor | None = None  # (B,K), of what was made with InfoGAN's codes

    def detached(self) -> Shown:
        """The same without a way back to the generator."""
        return replace(self, picture=self.picture.detach())

    def tensors(self) -> dict[str, Tensor]:
        """What is there, by name."""
        return {
            f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None
        }


class DiscriminatorTrainer:
    """A discriminator that learns to tell real from made, and what the generator hears of it."""

    def __init__(
        self,
        config: DiscriminatorConfig,
        adversarial: Adversarial,
        judged: DiscriminatorShapes,
        optimizer: OptimizerChoice,
        accelerator: Accelerator,
        *,
        code_sizes: tuple[int, int] = (0, 0),
        points: bool = False,
    ) -> None:
        self.adversarial, self.shapes, self.accelerator = adversarial, judged, accelerator
        self.code_sizes = code_sizes
        self.objective = adversarial.build()
        self.player = OptimizedModule(config.build(judged), optimizer, accelerator)
        self.pool = ReplayPool(adversarial.replay, exact=points) if adversarial.replay else None
        self.noise_sigma, self.number = 0.0, 0

    def begin_step(
        self, number: int, steps: int, lr_factor: float, least_noise: float = 0.0
    ) -> None:
        """Take up the learning rate and the instance noise of this step."""
        self.number = number
        self.noise_sigma = max(least_noise, self.adversarial.noise_sigma(number, steps))
        self.player.set_rate(lr_factor)

    def learn(self, turns: Sequence[tuple[Shown, Shown]]) -> dict[str, float]:
        """One optimizer step on micro-batches of (real, made); returns losses and vital signs by
        name.
        """
        self.player.network.requires_grad_(True).train()
        values: dict[str, float] = {}
        for real, fake in turns:
            fake = fake.detached()
            loss, parts = self._losses(
                real, self.pool.exchange(fake) if self.pool is not None else fake
            )
            loss = loss * self.adversarial.d_loss_weight
            self.player.backward(loss, len(turns))
            for name, value in {"d_loss": loss.detach(), **parts}.items():
                values[name] = values.get(name, 0.0) + float(value) / len(turns)
        values["d_grad_norm"] = self.player.update()
        if self.adversarial.weight_limit is not None:
            clip_weights(self.player.bare, self.adversarial.weight_limit)
        return values

    def g_loss(self, real: Shown, fake: Shown) -> Tensor:
        """The generator's adversarial loss, and the information loss where codes are played with."""
        judge = self.player.unwrapped.requires_grad_(False)
        fake_scores, recognised = self._scores(judge, fake)
        with torch.no_grad():
            real_scores = self._scores(judge, real)[0] if self.objective.compares else fake_scores
        loss = self.objective.g_loss(real_scores, fake_scores)
        if recognised is not None and fake.code is not None:
            loss = loss + self.adversarial.information * code_loss(
                recognised, fake.code, self.code_sizes
            )
        return loss

    def features(self, pictures: Tensor) -> Tensor:
        """What D, frozen, makes of a picture in its last hidden layer: Dis_l of Larsen et al. 2016."""
        judge: Any = self.player.unwrapped.requires_grad_(False)
        with self.accelerator.autocast():
            return judge.features(pictures)

    @torch.no_grad()
    def judge(self, pictures: Tensor) -> Tensor:
        """One score a picture, (B,), higher for what looks real, from a discriminator that sees
        nothing beside it.
        """
        network, learning = self.player.unwrapped, self.player.unwrapped.training
        network.eval()
        shown = Shown(pictures.to(self.accelerator.device))
        scores = self._scores(self.player.plain, shown, plain=True)[0].flatten(1).mean(1)
        network.train(learning)  # as it was: a look must not change the run
        return -scores if self.objective.head == "reconstruction" else scores

    def _losses(self, real: Shown, fake: Shown) -> tuple[Tensor, dict[str, Tensor | float]]:
        network = self.player.network
        real_scores, _ = self._scores(network, real)
        fake_scores, recognised = self._scores(network, fake)
        seen_real, seen_fake = self._noisy_labels(real_scores, fake_scores)
        loss = self.objective.d_loss(seen_real, seen_fake)
        parts: dict[str, Tensor | float] = {
            **vital_signs(real_scores, fake_scores, self.objective.head),
            **self.objective.observe(*self._agreed(real_scores, fake_scores)),
        }
        if recognised is not None and fake.code is not None:
            information = code_loss(recognised, fake.code, self.code_sizes)
            parts["code_loss"] = information.detach()
            loss = loss + self.adversarial.information * information
        if self.adversarial.penalised:
            penalty = self._penalty(real, fake)
            parts["d_penalty"] = penalty.detach()
            loss = loss + penalty
        return loss, parts

    def _penalty(self, real: Shown, fake: Shown) -> Tensor:
        def judge(picture: Tensor) -> Tensor:
            return self._scores(self.player.plain, replace(real, picture=picture), plain=True)[0]

        a, total = self.adversarial, torch.zeros((), device=real.picture.device)
        if a.penalty_weight:
            where = (
                between(real.picture, fake.picture)
                if a.played.penalty == "between"
                else around(real.picture)
            )
            total = total + a.penalty_weight * unit_norm_penalty(judge, where)
        if a.r1 and self.number % a.r1_every == 0:
            total = total + a.r1 * a.r1_every * r1_penalty(judge, real.picture)
        return total

    def _scores(
        self, network: nn.Module, shown: Shown, plain: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Scores (fp32) and what it recognises of the codes; `plain` leaves noise and augmentation
        out.
        """
        picture = shown.picture
        if self.noise_sigma and not plain:
            picture = picture + self.noise_sigma * torch.randn_like(picture)
        joined = (
            picture
            if shown.beside is None
            else torch.cat([picture, shown.beside.to(picture.dtype)], 1)
        )
        if self.adversarial.augment and not plain:
            joined = diffaugment(joined, self.adversarial.augment, picture.shape[1])
        joined = joined.contiguous(memory_format=torch.channels_last)
        out = network(joined, shown.local_center, shown.label).float()
        if self.objective.head == "reconstruction":
            return (out - joined.float()).abs().flatten(1).mean(1, keepdim=True), None
        return (out[:, :1], out[:, 1:]) if self.shapes.codes else (out, None)

    def _agreed(self, *scores: Tensor) -> Tensor:
        """Mean scores over all processes: what an objective keeps must be the same in each."""
        means = torch.stack([s.detach().mean() for s in scores])
        return self.accelerator.reduce(means, "mean")

    def _noisy_labels(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Scores with the two sides of some samples swapped (Salimans et al. 2016; Chintala et al.
        2016).
        """
        if not self.adversarial.label_noise:
            return real, fake
        swapped = (
            torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
            < self.adversarial.label_noise
        )
        return torch.where(swapped, fake, real), torch.where(swapped, real, fake)

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = self.player.state() | {
            f"objective.{k}": v for k, v in self.objective.state_dict().items()
        }
        return tensors | (
            {f"replay.{k}": v for k, v in self.pool.state().items()}
            if self.pool is not None
            else {}
        )

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up a run from what `state` gave."""
        self.player.load_state(tensors)
        self.objective.load_state_dict(under("objective.", tensors))
        if self.pool is not None:  # an empty pool is falsy
            self.pool.load_state(under("replay.", tensors))


def vital_signs(real: Tensor, fake: Tensor, head: str) -> dict[str, float]:
    """Mean scores, and the share of (real, made) pairs that D ranks rightly: ½ blind, 1 perfect,
    whatever the scale.
    """
    r, f = real.detach().float().flatten(1).mean(1), fake.detach().float().flatten(1).mean(1)
    better = f[None] - r[:, None] if head == "reconstruction" else r[:, None] - f[None]
    accuracy = (better > 0).float().mean() + 0.5 * (better == 0).float().mean()
    return {"d_real": float(r.mean()), "d_fake": float(f.mean()), "d_accuracy": float(accuracy)}


@torch.no_grad()
def clip_weights(network: nn.Module, limit: float) -> None:
    """Every parameter into [-limit, limit] (Arjovsky et al. 2017, algorithm 1)."""
    for parameter in network.parameters():
        parameter.clamp_(-limit, limit)


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
