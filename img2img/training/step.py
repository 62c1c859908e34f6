"""What every training step works with: the networks, who trains when, and the state of a run.

The algorithms are in `paired.py`, `cycle.py` and `autoencode.py`; they call what is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from accelerate import Accelerator
from torch import Tensor

from img2img.conflicts import TaskFacts
from img2img.data.sample import Batch
from img2img.diagnostics.treatment import Remedies
from img2img.losses.reconstruction import LOG_NAMES
from img2img.pixels.tensors import ScoreFunction
from img2img.recipe import Recipe
from img2img.training.discriminator import DiscriminatorTrainer
from img2img.training.optimized import Ema, Logs, OptimizedModule, under
from img2img.training.schedule import Phase, PhaseSchedule, learning_rate_factor
from img2img.training.starting import freeze

Losses = dict[str, tuple[float, Tensor]]
"""A generator's losses by name, each as (weight, value)"""


@dataclass
class GradientNormProbe:
    """Measures the gradient that D sends to the images of G: `g_signal`, by which the doctor sees
    whether G still learns from D.
    """

    norms: list[Tensor] = field(default_factory=list)

    def __call__(self, fake: Tensor) -> Tensor:
        """The same images; only what is computed from this result is measured."""
        probed = fake.view_as(fake)
        probed.register_hook(lambda gradient: self.norms.append(gradient.float().norm()))
        return probed

    def logs(self) -> dict[str, Tensor]:
        """The mean norm, if there was a gradient."""
        return {"g_signal": torch.stack(self.norms).mean()} if self.norms else {}


class TrainingStep(ABC):
    """The networks of a run, and the algorithm that trains them: call it for each step."""

    discriminator_names: ClassVar[Mapping[str, str]] = {"D": "critic"}
    """The discriminators, and the names that checkpoints have had for them from the beginning."""

    def __init__(self, recipe: Recipe, accelerator: Accelerator) -> None:
        self.recipe, self.accelerator, self.task = recipe, accelerator, recipe.task
        train, module = recipe.train, recipe.build_generator()
        self.frozen = freeze(module, train.freeze)
        self.generator = OptimizedModule(module, recipe.g_optimizer(), accelerator, train.clip_norm)
        self.images_per_step = train.batch_size * train.accumulate * accelerator.num_processes
        self.ema = Ema(self.generator.module, train.ema_halflife_images, self.images_per_step)
        self.discriminators: dict[str, DiscriminatorTrainer] = {}
        if recipe.adversarial:
            for each in self.discriminator_names:
                self.discriminators[each] = DiscriminatorTrainer(
                    recipe.build_discriminator(),
                    recipe.adversarial,
                    recipe.discriminator_shapes(),
                    recipe.d_optimizer(),
                    accelerator,
                    TaskFacts.of(recipe.task).code_sizes,
                )
        self.d_modules = [d.module for d in self.discriminators.values()]
        self.adversarial_weight = recipe.adversarial.weight if recipe.adversarial else 0.0
        self.schedule, self.remedies = PhaseSchedule.of(recipe), Remedies()
        names = [LOG_NAMES.get(loss.kind, loss.kind) for loss in recipe.losses]
        self.loss_names = names if len(names) == 1 else [f"{i}_{n}" for i, n in enumerate(names)]
        """of the recipe's losses in log.jsonl: numbered, for one kind may stand there twice"""

    @abstractmethod
    def __call__(self, batches: Sequence[Batch], step: int) -> Logs:
        """One step (counted from 0) on its micro-batches; returns losses and measures by name."""

    def begin(self, step: int) -> Phase:
        """Set learning rates and instance noise, and say who trains."""
        self.generator.module.train()
        self.frozen.hold()
        factor, remedies = learning_rate_factor(self.recipe.train, step), self.remedies
        self.generator.set_rate(factor)
        for discriminator in self.discriminators.values():
            discriminator.begin_step(
                step,
                self.recipe.train.steps,
                factor * remedies.d_lr_factor,
                remedies.instance_noise,
            )
        return self.schedule.at(step, remedies.d_every)

    def backward(self, losses: Losses, micro_batches: int) -> dict[str, Tensor]:
        """Accumulate G's gradients of one of the step's micro-batches; returns its shares of the
        losses.
        """
        total = torch.stack([weight * value for weight, value in losses.values()]).sum()
        g_loss = self.generator.backward(total, micro_batches)
        shares = {name: v.detach() / micro_batches for name, (_, v) in losses.items()}
        return shares | {"g_loss": g_loss}

    @property
    def discriminator(self) -> DiscriminatorTrainer:
        """The one discriminator, or the first of several, of a recipe that has one."""
        return next(iter(self.discriminators.values()))

    @property
    def score_function(self) -> ScoreFunction | None:
        """D's scores of pictures; None where it needs conditioning, or sees codes."""
        a = self.recipe.adversarial
        if a is None or a.sees or a.discriminates != "pictures":
            return None
        if self.task.classes or TaskFacts.of(self.task).fills:
            return None
        return self.discriminator.score

    @property
    def rates(self) -> dict[str, float]:
        """The learning rates of the last step: `lr` of G, and `d_lr` where there is a D."""
        optimized = {"lr": self.generator}
        if self.discriminators:
            optimized["d_lr"] = self.discriminator.optimized
        return {name: float(o.optimizer.param_groups[0]["lr"]) for name, o in optimized.items()}

    def start_from(self, weights: dict[str, Tensor] | None) -> None:
        """Begin with given generator weights (fine-tuning), or with what the generator's config
        starts from.
        """
        if weights is None:
            self.recipe.start_generator(self.generator.module)
        else:
            self.generator.module.load_state_dict(weights)
        self.ema.module.load_state_dict(self.generator.module.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = {f"generator.{name}": value for name, value in self.generator.state().items()}
        tensors |= {f"ema.{name}": value for name, value in self.ema.module.state_dict().items()}
        for each, discriminator in self.discriminators.items():
            name = self.discriminator_names[each]
            tensors |= {f"{name}.{n}": value for n, value in discriminator.state().items()}
        r = self.remedies
        remedies = [r.d_lr_factor, r.instance_noise, r.d_every]
        return tensors | {"remedies": torch.tensor(remedies, dtype=torch.float64)}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state` gave."""
        self.generator.load_state(under("generator.", tensors))
        self.ema.module.load_state_dict(under("ema.", tensors))
        for each, discriminator in self.discriminators.items():
            discriminator.load_state(under(f"{self.discriminator_names[each]}.", tensors))
        d_lr_factor, instance_noise, d_every = tensors["remedies"].tolist()
        self.remedies = Remedies(d_lr_factor, instance_noise, int(d_every))
