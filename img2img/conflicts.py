"""How the parts of a recipe say that they cannot work together.

Each config of a recipe (its task, generator, discriminator, adversarial part, losses, training and
method) has `conflicts(context)`, which looks at what the other parts are and yields what it cannot
work with. `Recipe` asks them all, and refuses with the first answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from torch import nn


class Conflict(NamedTuple):
    """Why a part of a recipe cannot work with the others: `field problem`, in one sentence."""

    field: str
    """The field to change by its dotted path; with a dot in front, one of the part's own."""
    problem: str
    """What follows on the field's name: what does not fit, and what to write instead."""
    tries: tuple[str, ...] = ()
    """Changes that may help, the best first, as overrides: `data.crop_px=64`."""

    def at(self, place: str) -> Conflict:
        """The same with the whole path, of a part that stands at `place`: `losses.0`."""
        return self._replace(field=place + self.field) if self.field.startswith(".") else self

    def __str__(self) -> str:
        return f"{self.field} {self.problem}"


class ImpossibleRecipe(ValueError):
    """A recipe with a conflict, as pydantic takes it; `remedy` is a change that helps, if one was
    found.
    """

    def __init__(self, conflict: Conflict, remedy: str) -> None:
        super().__init__(f"{conflict}: {remedy}" if remedy else str(conflict))
        self.conflict, self.remedy = conflict, remedy


class Facts:
    """A few attributes of a part, which the others may know."""

    @classmethod
    def of(cls, part: object) -> Self:
        """The facts of a part with attributes of their names; one with a default may be absent."""
        found: dict[str, Any] = {}
        for fact in fields(cls):  # type: ignore[arg-type]  # a dataclass
            absent = () if fact.default is MISSING else (fact.default,)
            found[fact.name] = getattr(part, fact.name, *absent)
        return cls(**found)


class BottleneckShapes(Protocol):
    """The narrow place in the middle of an autoencoder, and what lies on either side."""

    @property
    def latent(self) -> int:
        """Numbers in a code."""

    @property
    def size_px(self) -> int:
        """Side of the pictures."""

    @property
    def labels(self) -> int:
        """One-hot values that encoder and decoder see in addition."""


@dataclass(frozen=True)
class TaskFacts(Facts):
    """What the other parts may know of the task; img2img/tasks says what each is. Those with a
    default need be stated only by tasks of which something else holds.
    """

    kind: str
    condition_is_noise: bool
    classes: int
    draws: bool
    prediction_strides: tuple[int, ...]
    fills: bool = False
    finds: bool = False
    predicts_residual: bool = False
    trained_by: str = "paired"
    bottleneck: BottleneckShapes | None = None
    code_sizes: tuple[int, int] = (0, 0)
    predicts_color_bins: bool = False
    has_pixels: bool = True


@dataclass(frozen=True)
class GeneratorFacts(Facts):
    """What the other parts may know of the generator."""

    kind: str
    draws_codes: bool
    """Its codes are Gaussians, which a loss can hold to the prior N(0,I)."""
    left_open: bool = False
    """It is the network of the model that training starts from."""


@dataclass(frozen=True)
class DiscriminatorFacts(Facts):
    """What the other parts may know of the discriminator."""

    kind: str
    has_features: bool
    """Its last hidden layer can be asked for."""


@dataclass(frozen=True)
class AdversarialFacts(Facts):
    """What the other parts may know of the adversarial part."""

    kind: str
    head: str
    """What the objective asks of D: `logits` or a `reconstruction`."""
    penalised: bool
    """The gradient of each sample's score is part of D's loss."""
    sees: Sequence[str]
    discriminates: str
    augment: Sequence[str]
    information: float


@dataclass(frozen=True)
class MethodFacts(Facts):
    """What the other parts may know of the method that trains."""

    kind: str
    compares_with: Sequence[str]
    """What its losses can compare the generator's pictures with: `target`, `cycle`, …"""
    has_codes: bool
    """Pictures pass through codes, which losses and discriminators can look at."""


@dataclass(frozen=True)
class RecipeContext:
    """A whole recipe, as each of its parts sees it."""

    task: TaskFacts
    generator: GeneratorFacts
    discriminator: DiscriminatorFacts | None
    adversarial: AdversarialFacts | None
    method: MethodFacts
    losses: tuple[str, ...]
    """Their kinds."""
    teacher: str | None
    learns_from_teacher: bool
    """One of the losses is against the teacher."""
    steps: int
    batch_size: int
    crop_px: int
    scale: int
    """Height of the picture over height of the condition."""
    picture_px: int
    """Side of the pictures in training: `crop_px`, or what the task makes."""
    discriminator_px: int
    """Side of what D sees: the same, but 1 for codes."""
    starts_from: str | None
    """The model whose weights training starts from (`train.init`)."""
    has_prior: bool
    """Codes are held to the prior N(0,I), so that pictures can be drawn from it."""
    build_generator: Callable[[], nn.Module]

    @classmethod
    def of(cls, recipe: Any) -> RecipeContext:
        """What a Recipe (which is defined above all that it is made of) is to its parts."""
        adversarial, discriminator = recipe.adversarial, recipe.discriminator
        return cls(
            task=TaskFacts.of(recipe.task),
            generator=GeneratorFacts.of(recipe.generator),
            discriminator=DiscriminatorFacts.of(discriminator) if discriminator else None,
            adversarial=AdversarialFacts.of(adversarial) if adversarial else None,
            method=MethodFacts.of(recipe.train.method),
            losses=tuple(loss.kind for loss in recipe.losses),
            teacher=recipe.train.teacher,
            learns_from_teacher=any(
                getattr(loss, "against", "") == "teacher" for loss in recipe.losses
            ),
            steps=recipe.train.steps,
            batch_size=recipe.train.batch_size,
            crop_px=recipe.data.crop_px,
            scale=recipe.task.output_size((1, 1))[0],
            picture_px=recipe.picture_px,
            discriminator_px=recipe.discriminator_px,
            starts_from=recipe.train.init,
            has_prior=recipe.has_prior,
            build_generator=recipe.build_generator,
        )
