"""Training steps, one class a family of methods, each reading like its paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.data.sample import Batch
from img2img.pixels.colour import resize
from img2img.recipe import Recipe
from img2img.tasks.base import Judge
from img2img.training.critic import Critic, Shown, under
from img2img.training.player import Average, Player, TrainingError
from img2img.training.schedule import learning_rate_factor

__all__ = ["PairedStep", "Remedies", "TrainingError"]


@dataclass
class Remedies:
    """What the doctor has changed in this run (`train.on_trouble: adapt`); saved with it."""

    d_lr_factor: float = 1.0
    instance_noise: float = 0.0
    d_every: int = 1


class PairedStep:
    """Conditional GAN on pairs (pix2pix and everything after it), and GANs from noise, whose condition is the noise.

    Without a discriminator it is plain regression.
    """

    def __init__(self, recipe: Recipe, accelerator: Accelerator) -> None:
        self.recipe, self.accelerator, self.task = recipe, accelerator, recipe.task
        self.player = Player(recipe.build_generator(), recipe.g_optimizer(), accelerator, recipe.train.clip_norm)
        self.average = Average(self.player.bare, recipe.train.ema_halflife_images)
        self.critic = self._critic()
        self.remedies = Remedies()

    def _critic(self) -> Critic | None:
        recipe = self.recipe
        if recipe.discriminator is None or recipe.adversarial is None:
            return None
        return Critic(
            recipe.discriminator,
            recipe.adversarial,
            recipe.judged(),
            recipe.d_optimizer(),
            self.accelerator,
            code_sizes=recipe.task.code_sizes,
            points=recipe.task.picture_channels != 3,
        )

    @property
    def generator(self) -> nn.Module:
        """The generator that learns."""
        return self.player.unwrapped

    @property
    def ema(self) -> nn.Module:
        """Its average, which is shipped."""
        return self.average.network

    @property
    def judge(self) -> Judge | None:
        """Scores of pictures, where the discriminator sees nothing beside them."""
        alone = self.critic and self.recipe.adversarial and not self.recipe.adversarial.sees and not self.task.classes
        return self.critic.judge if self.critic and alone and not self.task.needs_mask else None

    def start_from(self, weights: dict[str, Tensor] | None) -> None:
        """Begin with given generator weights (fine-tuning), or with what the network's own config starts from."""
        if weights is None:
            self.recipe.generator.start(self.generator)
        else:
            self.generator.load_state_dict(weights)
        self.ema.load_state_dict(self.generator.state_dict())

    def step(self, micro_batches: Sequence[Batch], number: int) -> dict[str, float]:
        """One optimizer step of each player whose turn it is; returns losses and vital signs by name."""
        self.player.network.train()
        self._begin(number)
        made = [self._make(batch) for batch in micro_batches] if self._g_learns(number) else None
        values: dict[str, float] = {}
        if self.critic and self._d_learns(number):
            fakes = made if made is not None else [self._make_quietly(batch) for batch in micro_batches]
            values |= self.critic.learn([self._turn(b, rgb) for b, rgb in zip(micro_batches, fakes, strict=True)])
        if made is not None:
            values |= self._generator_step(micro_batches, made, joint=self._joined(number))
            self.average.follow(self.generator, self._images(), number)
        return values

    def _generator_step(self, batches: Sequence[Batch], made: list[Tensor], joint: bool) -> dict[str, float]:
        values: dict[str, float] = {}
        for place, (batch, rgb) in enumerate(zip(batches, made, strict=True)):
            with self.player.sync(last=place == len(batches) - 1):
                parts = self._reconstruction(batch, rgb)
                if joint and self.critic and self.recipe.adversarial:
                    heard = rgb.view_as(rgb)  # a fork, at which only D's gradient passes
                    heard.register_hook(lambda slope: values.update(g_signal=float(slope.float().norm())))
                    adversarial = self.critic.g_loss(*self._turn(batch, heard))
                    parts["adversarial"] = (self.recipe.adversarial.weight, adversarial)
                loss = torch.stack([weight * value for weight, value in parts.values()]).sum()
                total = self.player.backward(loss, len(batches))
            for name, (_, value) in parts.items():
                values[name] = values.get(name, 0.0) + float(value.detach()) / len(batches)
            values["g_loss"] = values.get("g_loss", 0.0) + total
        values["g_grad_norm"] = self.player.update()
        return values

    def _reconstruction(self, batch: Batch, rgb: Tensor) -> dict[str, tuple[float, Tensor]]:
        with self.accelerator.autocast():
            return {
                f"{loss.kind}" if len(self.recipe.losses) == 1 else f"{index}_{loss.kind}": (
                    loss.weight,
                    loss(rgb, batch.target, batch.mask, batch.local_centre),
                )
                for index, loss in enumerate(self.recipe.losses)
            }

    def _turn(self, batch: Batch, made: Tensor) -> tuple[Shown, Shown]:
        """The real and the made picture, each with what the recipe lets the discriminator see beside it."""
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
        real = Shown(batch.target, planes_beside, batch.local_centre, batch.label)
        return real, Shown(made, planes_beside, batch.local_centre, batch.label, batch.code)

    def _make(self, batch: Batch) -> Tensor:
        return self.task.decode(batch.condition, self.player.network(batch.condition).float(), batch.mask)

    def _images(self) -> int:
        train = self.recipe.train
        return train.batch_size * train.accumulate * self.accelerator.num_processes

    def _make_quietly(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            return self._make(batch)

    def _d_learns(self, number: int) -> bool:
        a = self.recipe.adversarial
        started = a is not None and number >= a.turns(self.recipe.train.steps)[0]
        return started and number % self.remedies.d_every == 0

    def _joined(self, number: int) -> bool:
        """Both play: the generator hears the discriminator."""
        a = self.recipe.adversarial
        return a is not None and number >= a.turns(self.recipe.train.steps)[1]

    def _g_learns(self, number: int) -> bool:
        """All the time but while D learns alone: GLCIC's second phase, and all but the last of `d_steps`."""
        a = self.recipe.adversarial
        if a is None:
            return True
        d_starts, both_start = a.turns(self.recipe.train.steps)
        if number < both_start:
            return number < d_starts
        return (number - both_start) % a.rounds == a.rounds - 1

    def _begin(self, number: int) -> None:
        """Take up the rates and the noise of this step."""
        factor = learning_rate_factor(self.recipe.train, number)
        self.player.set_rate(factor)
        if self.critic:
            steps, r = self.recipe.train.steps, self.remedies
            self.critic.begin_step(number, steps, factor * r.d_lr_factor, r.instance_noise)

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = {f"generator.{name}": value for name, value in self.player.state().items()}
        tensors |= {f"ema.{name}": value for name, value in self.ema.state_dict().items()}
        if self.critic:
            tensors |= {f"critic.{name}": value for name, value in self.critic.state().items()}
        r = self.remedies
        return tensors | {"remedies": torch.tensor([r.d_lr_factor, r.instance_noise, r.d_every], dtype=torch.float64)}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up a run from what `state` gave."""
        self.player.load_state(under("generator.", tensors))
        self.ema.load_state_dict(under("ema.", tensors))
        if self.critic:
            self.critic.load_state(under("critic.", tensors))
        d_lr_factor, instance_noise, d_every = tensors["remedies"].tolist()
        self.remedies = Remedies(d_lr_factor, instance_noise, int(d_every))
