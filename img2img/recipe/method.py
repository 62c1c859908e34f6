"""The methods that train: which algorithm it is, and what it asks of the other parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from img2img.config import FrozenConfig
from img2img.losses.reconstruction import Of
from img2img.rules import Conflict, RecipeContext
from img2img.tasks.autoencoder import AutoencoderTask
from img2img.tasks.unpaired import UnpairedTask


class MethodConfig(FrozenConfig):
    """What all methods ask: a discriminator and an adversarial part come together."""

    kind: str

    compares_with: ClassVar[Sequence[Of]] = ("target",)
    """What a loss can compare the generator's pictures with."""
    has_codes: ClassVar[bool] = False
    """Pictures pass through codes, which losses and discriminators can look at."""

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if (context.adversarial is None) != (context.discriminator is None):
            missing = "adversarial" if context.adversarial is None else "discriminator"
            problem = "is missing: an adversarial loss and a discriminator come together"
            yield Conflict(missing, problem)


class PairedMethod(MethodConfig):
    """From a condition to its target: pix2pix, regression without a discriminator, GANs from noise.

    For all tasks but those of two sides without pairs, and those with a bottleneck.
    """

    kind: Literal["paired"] = "paired"

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if isinstance(context.task, UnpairedTask):
            problem = "'paired' needs pairs, and the task has two sides without: use cycle"
            yield Conflict("train.method", problem)
        if isinstance(context.task, AutoencoderTask):
            problem = f"'paired' knows no codes, and task '{context.task.kind}' has"
            yield Conflict("train.method", f"{problem}: use autoencoder")
        yield from super().conflicts(context)
        if not context.losses and context.adversarial is None:
            problem = "is empty: without an adversarial part there is nothing to learn from"
            yield Conflict("losses", problem)


class CycleMethod(MethodConfig):
    """CycleGAN (Zhu et al. 2017): two sides without pairs, two generators that undo each other.

    For `task: {kind: translate, source: unpaired}`; needs discriminators, which see no condition,
    and losses of cycle or identity.
    """

    kind: Literal["cycle"] = "cycle"

    compares_with: ClassVar[Sequence[Of]] = ("cycle", "identity")

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if not isinstance(context.task, UnpairedTask):
            problem = "'cycle' learns from two sides without pairs"
            instead = "use task: {kind: translate, source: unpaired}"
            yield Conflict("train.method", f"{problem}: {instead}")
        if context.adversarial is None:
            problem = "without pairs, only discriminators can tell what each side looks like"
            yield Conflict("adversarial", f"is missing: {problem}")
        elif "condition" in context.adversarial.sees:
            problem = "'condition', and without pairs no real picture has one: use sees: []"
            yield Conflict("adversarial.sees", problem)
        yield from super().conflicts(context)


class AutoencoderMethod(MethodConfig):
    """Reconstruction through a code: autoencoders, and VAE, VAE-GAN and adversarial autoencoders.

    For `task: reconstruct`; needs a loss that compares pictures, not kl alone. Losses kl and
    features and `adversarial.discriminates: latent` belong to it.
    """

    kind: Literal["autoencoder"] = "autoencoder"

    has_codes: ClassVar[bool] = True

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if not isinstance(context.task, AutoencoderTask):
            problem = f"needs a bottleneck, and task '{context.task.kind}' has none"
            yield Conflict("train.method", f"'autoencoder' {problem}: use task: reconstruct")
        if not {loss.kind for loss in context.losses} - {"kl"}:
            problem = "compare no picture with the original: add l2, or features"
            yield Conflict("losses", problem)
        yield from super().conflicts(context)


def fields_of(value: Any) -> Any:
    """`cycle`, as recipes write it, stands for `{kind: cycle}`."""
    return {"kind": value} if isinstance(value, str) else value


Method = Annotated[
    PairedMethod | CycleMethod | AutoencoderMethod,
    Field(discriminator="kind"),
    BeforeValidator(fields_of),
]
