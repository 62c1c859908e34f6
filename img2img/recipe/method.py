"""The methods that train: which algorithm it is, and what it asks of the other parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from torch import nn

from img2img.config import FrozenConfig
from img2img.conflicts import Conflict, RecipeContext, TaskFacts
from img2img.losses.reconstruction import Of
from img2img.models.two_way import TwoWay
from img2img.tasks import written_for


class MethodConfig(FrozenConfig):
    """What all methods ask: a discriminator and an adversarial part come together."""

    kind: str

    compares_with: ClassVar[Sequence[Of]] = ("target",)
    """What a loss can compare the generator's pictures with."""
    has_codes: ClassVar[bool] = False
    """Pictures pass through codes, which losses and discriminators can look at."""

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if context.task.trained_by != self.kind:
            yield Conflict("train.method", f"'{self.kind}' {self.unfit(context.task)}")
        if (context.adversarial is None) != (context.discriminator is None):
            missing = "adversarial" if context.adversarial is None else "discriminator"
            problem = "is missing: an adversarial loss and a discriminator come together"
            yield Conflict(missing, problem)

    def unfit(self, task: TaskFacts) -> str:
        """Why this method cannot train a task that another trains."""
        raise NotImplementedError

    def build_generator(self, build: Callable[[], nn.Module]) -> nn.Module:
        """All the generators of a run in one module; `build` gives one with fresh weights."""
        return build()

    def generators(self, module: nn.Module) -> Iterable[nn.Module]:
        """The single generators in what `build_generator` gave."""
        return [module]


class PairedMethod(MethodConfig):
    """From a condition to its target: pix2pix, regression without a discriminator, GANs from noise.

    For all tasks but those of two sides without pairs, and those with a bottleneck.
    """

    kind: Literal["paired"] = "paired"

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if not context.losses and context.adversarial is None:
            problem = "is empty: without an adversarial part there is nothing to learn from"
            yield Conflict("losses", problem)

    def unfit(self, task: TaskFacts) -> str:
        if task.trained_by == "cycle":
            return "needs pairs, and the task has two sides without: use cycle"
        return f"knows no codes, and task '{task.kind}' has: use {task.trained_by}"


class CycleMethod(MethodConfig):
    """CycleGAN (Zhu et al. 2017): two sides without pairs, two generators that undo each other.

    For tasks of two sides without pairs; needs discriminators, which see no condition, and losses
    of cycle or identity.
    """

    kind: Literal["cycle"] = "cycle"

    compares_with: ClassVar[Sequence[Of]] = ("cycle", "identity")

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if context.adversarial is None:
            problem = "without pairs, only discriminators can tell what each side looks like"
            yield Conflict("adversarial", f"is missing: {problem}")
        elif "condition" in context.adversarial.sees:
            problem = "'condition', and without pairs no real picture has one: use sees: []"
            yield Conflict("adversarial.sees", problem)

    def unfit(self, task: TaskFacts) -> str:
        return f"learns from two sides without pairs: use {_tasks_for(self.kind)}"

    def build_generator(self, build: Callable[[], nn.Module]) -> nn.Module:
        return TwoWay(build)

    def generators(self, module: nn.Module) -> Iterable[nn.Module]:
        return module.children()


class AutoencoderMethod(MethodConfig):
    """Reconstruction through a code: autoencoders, and VAE, VAE-GAN and adversarial autoencoders.

    For tasks with a bottleneck; needs a loss that compares pictures, not kl alone. Losses kl and
    features and `adversarial.discriminates: latent` belong to it.
    """

    kind: Literal["autoencoder"] = "autoencoder"

    has_codes: ClassVar[bool] = True

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if not set(context.losses) - {"kl"}:
            problem = "compare no picture with the original: add l2, or features"
            yield Conflict("losses", problem)

    def unfit(self, task: TaskFacts) -> str:
        return f"needs a bottleneck, and task '{task.kind}' has none: use {_tasks_for(self.kind)}"


def _tasks_for(method: str) -> str:
    """`task: reconstruct`, or all that there are."""
    return " or ".join(f"task: {written}" for written in written_for(method))


def fields_of(value: Any) -> Any:
    """`cycle`, as recipes write it, stands for `{kind: cycle}`."""
    return {"kind": value} if isinstance(value, str) else value


Method = Annotated[
    PairedMethod | CycleMethod | AutoencoderMethod,
    Field(discriminator="kind"),
    BeforeValidator(fields_of),
]
