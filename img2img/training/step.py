"""What every kind of step shares: the players, whose turn it is, the averaged weights, and all that
a resume needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from img2img.data.sample import Batch
from img2img.diagnostics.treatment import Remedies
from img2img.recipe import Recipe
from img2img.tasks.base import Row, ScoreFunction
from img2img.tasks.baseline import trivial_answers
from img2img.training.discriminator import DiscriminatorTrainer, under
from img2img.training.optimized import Ema, OptimizedModule
from img2img.training.processes import reduce_buffers
from img2img.training.schedule import learning_rate_factor
from img2img.training.starting import freeze

Made = TypeVar("Made")  # what a generator made of a batch: a picture, or one a side
Parts = dict[str, tuple[float, Tensor]]  # losses by name, each with its weight


class Answer(NamedTuple):
    """What was answered to a validated batch, RGB, and the numbers of it."""

    rgb: Tensor
    metrics: dict[str, float]


@dataclass
class GradientNormProbe:
    """How loud a discriminator's gradient arrives at what the generator made."""

    norms: list[float] = field(default_factory=list)

    def fork(self, made: Tensor) -> Tensor:
        """The same picture, through which only the discriminator's gradient passes."""
        forked = made.view_as(made)
        forked.register_hook(lambda slope: self.norms.append(float(slope.float().norm())))
        return forked


class TrainingStep(Generic[Made]):
    """A generator (or two in one module) against its critics, if any. A kind of step says what each
    of them does.
    """

    def __init__(self, recipe: Recipe, accelerator: Accelerator) -> None:
        self.recipe, self.accelerator, self.task = recipe, accelerator, recipe.task
        generator = recipe.build_generator()
        self.frozen = freeze(generator, recipe.train.freeze)
        self.player = OptimizedModule(
            generator, recipe.g_optimizer(), accelerator, recipe.train.clip_norm
        )
        self.average = Ema(self.player.bare, recipe.train.ema_halflife_images)
        self.critics = self._critics()
        self.remedies = Remedies()

    # --- what a kind of step says of itself

    def _critics(self) -> dict[str, DiscriminatorTrainer]:
        """Fresh critics by the name under which their state is saved; none for plain regression."""
        raise NotImplementedError

    def _make(self, batch: Batch) -> Made:
        """What the generator makes of a batch."""
        raise NotImplementedError

    def _critics_learn(self, batches: Sequence[Batch], made: Sequence[Made]) -> dict[str, float]:
        """One optimizer step of the critics; losses and vital signs by name."""
        raise NotImplementedError

    def _losses(self, batch: Batch, made: Made, heard: GradientNormProbe | None) -> Parts:
        """The generator's losses; `heard` is None while it does not listen to its critics."""
        raise NotImplementedError

    # --- what all have in common

    def step(self, micro_batches: Sequence[Batch], number: int) -> dict[str, float]:
        """One optimizer step of each player whose turn it is; returns losses and vital signs by
        name.
        """
        self.player.network.train()
        self.frozen.hold()
        self._begin(number)
        made = [self._make(batch) for batch in micro_batches] if self._g_learns(number) else None
        values: dict[str, float] = {}
        if self.critics and self._d_learns(number):
            values |= self._critics_learn(micro_batches, made or self._made_quietly(micro_batches))
        if made is not None:
            values |= self._generator_step(
                micro_batches, made, GradientNormProbe() if self._joined(number) else None
            )
        reduce_buffers(
            [self.generator, *(critic.player.bare for critic in self.critics.values())],
            self.accelerator,
        )
        if made is not None:
            rounds = self.recipe.adversarial.rounds if self.recipe.adversarial else 1
            self.average.follow(
                self.generator, self._images(), number // rounds
            )  # of G's own steps
        return values

    def _generator_step(
        self, batches: Sequence[Batch], made: Sequence[Made], heard: GradientNormProbe | None
    ) -> dict[str, float]:
        values: dict[str, float] = {}
        for batch, one in zip(batches, made, strict=True):
            parts = self._losses(batch, one, heard)
            loss = torch.stack([weight * value for weight, value in parts.values()]).sum()
            total = self.player.backward(loss, len(batches))
            for name, (_, value) in parts.items():
                values[name] = values.get(name, 0.0) + float(value.detach()) / len(batches)
            values["g_loss"] = values.get("g_loss", 0.0) + total
        if heard and heard.norms:
            values["g_signal"] = float(np.mean(heard.norms))
        values["g_grad_norm"] = self.player.update()
        return values

    def _made_quietly(self, batches: Sequence[Batch]) -> list[Made]:
        with torch.no_grad():
            return [self._make(batch) for batch in batches]

    def metrics(self, batch: Batch, rgb: Tensor, strength: float) -> dict[str, float]:
        """Validation numbers of what the averaged weights made (strength 1), or of a trivial answer
        (0).
        """
        return dict(self.task.metrics(rgb, batch))

    def trivial(self, batch: Batch, mean: Tensor | None) -> dict[str, Answer]:
        """The task's trivial answers to a batch; `mean` is the mean training target."""
        found = trivial_answers(self.task, batch.condition, batch.mask, mean)
        return {
            name: Answer(rgb, self.metrics(batch, rgb, strength=0.0)) for name, rgb in found.items()
        }

    def sheet(self, rows: Sequence[Row]) -> np.ndarray:
        """What validation looks like, (H,W,3) in [0,1]."""
        return self.task.sheet(rows, self.judge)

    def _networks(self) -> Iterable[nn.Module]:
        """Every network that one generator config built."""
        return [self.generator]

    def _new_critic(self) -> DiscriminatorTrainer:
        recipe = self.recipe
        assert recipe.discriminator is not None and recipe.adversarial is not None
        return DiscriminatorTrainer(
            recipe.discriminator,
            recipe.adversarial,
            recipe.discriminator_shapes(),
            recipe.d_optimizer(),
            self.accelerator,
            code_sizes=recipe.task.code_sizes,
            points=recipe.discriminator_shapes().size_px == 1,
        )

    @property
    def critic(self) -> DiscriminatorTrainer | None:
        """The one critic, or the first of several; None where there is no discriminator."""
        return next(iter(self.critics.values()), None)

    @property
    def generator(self) -> nn.Module:
        """The generator that learns."""
        return self.player.unwrapped

    @property
    def ema(self) -> nn.Module:
        """Its average, which is shipped."""
        return self.average.network

    @property
    def judge(self) -> ScoreFunction | None:
        """Scores of pictures, where the discriminator sees nothing beside them."""
        alone = (
            self.critic
            and self.recipe.adversarial
            and not self.recipe.adversarial.sees
            and not self.task.classes
        )
        return self.critic.judge if self.critic and alone and not self.task.needs_mask else None

    @property
    def rates(self) -> dict[str, float]:
        """The learning rates of the last step, by name: G's, and D's where there is one."""
        players = {"lr": self.player} | ({"d_lr": self.critic.player} if self.critic else {})
        return {
            name: float(player.optimizer.param_groups[0]["lr"]) for name, player in players.items()
        }

    def start_from(self, weights: dict[str, Tensor] | None) -> None:
        """Begin with given generator weights (fine-tuning), or with what the network's own config
        starts from.
        """
        if weights is None:
            for network in self._networks():
                self.recipe.generator.start(network)
        else:
            self.generator.load_state_dict(weights)
        self.ema.load_state_dict(self.generator.state_dict())

    def _images(self) -> int:
        train = self.recipe.train
        return train.batch_size * train.accumulate * self.accelerator.num_processes

    def _d_learns(self, number: int) -> bool:
        a = self.recipe.adversarial
        started = a is not None and number >= a.turns(self.recipe.train.steps)[0]
        return started and number % self.remedies.d_every == 0

    def _joined(self, number: int) -> bool:
        """Both play: the generator hears the discriminator."""
        a = self.recipe.adversarial
        return a is not None and number >= a.turns(self.recipe.train.steps)[1]

    def _g_learns(self, number: int) -> bool:
        """All the time but while D learns alone: GLCIC's second phase, and all but the last of
        `d_steps`.
        """
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
        steps, r = self.recipe.train.steps, self.remedies
        for critic in self.critics.values():
            critic.begin_step(number, steps, factor * r.d_lr_factor, r.instance_noise)

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = {f"generator.{name}": value for name, value in self.player.state().items()}
        tensors |= {f"ema.{name}": value for name, value in self.ema.state_dict().items()}
        for called, critic in self.critics.items():
            tensors |= {f"{called}.{name}": value for name, value in critic.state().items()}
        r = self.remedies
        return tensors | {
            "remedies": torch.tensor(
                [r.d_lr_factor, r.instance_noise, r.d_every], dtype=torch.float64
            )
        }

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up a run from what `state` gave."""
        self.player.load_state(under("generator.", tensors))
        self.ema.load_state_dict(under("ema.", tensors))
        for called, critic in self.critics.items():
            critic.load_state(under(f"{called}.", tensors))
        d_lr_factor, instance_noise, d_every = tensors["remedies"].tolist()
        self.remedies = Remedies(d_lr_factor, instance_noise, int(d_every))
