"""How the parts of a recipe say that they cannot work together.

Each config of a recipe (its task, generator, discriminator, adversarial part, losses, data,
training and method) has `conflicts(context)`, which looks at the other parts and yields what in
them it cannot work with. `Recipe` asks them all, and refuses with the first answer.

The protocols below are what the parts may know of each other; a `Recipe` is such a context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

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


class TaskFacts(Protocol):
    """What the other parts may know of the task (img2img/tasks/base.py says what each is)."""

    @property
    def kind(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def classes(self) -> int: ...

    @property
    def code_sizes(self) -> tuple[int, int]: ...

    @property
    def has_pixels(self) -> bool: ...

    @property
    def prediction_strides(self) -> tuple[int, ...]: ...

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]: ...


class GeneratorFacts(Protocol):
    """What the other parts may know of the generator."""

    @property
    def kind(self) -> str: ...

    @property
    def draws_codes(self) -> bool:
        """Its codes are Gaussians, which a loss can hold to the prior N(0,I)."""


class DiscriminatorFacts(Protocol):
    """What the other parts may know of the discriminator."""

    @property
    def kind(self) -> str: ...

    @property
    def has_features(self) -> bool:
        """Its last hidden layer can be asked for."""


class AdversarialFacts(Protocol):
    """What the other parts may know of the adversarial part."""

    @property
    def kind(self) -> str: ...

    @property
    def head(self) -> str:
        """What the objective asks of D: `logits` or a `reconstruction`."""

    @property
    def penalised(self) -> bool:
        """The gradient of each sample's score is part of D's loss."""

    @property
    def sees(self) -> Sequence[str]: ...

    @property
    def discriminates(self) -> str: ...

    @property
    def augment(self) -> Sequence[str]: ...

    @property
    def information(self) -> float: ...


class LossFacts(Protocol):
    """What the other parts may know of a loss."""

    @property
    def kind(self) -> str: ...


class DataFacts(Protocol):
    """What the other parts may know of the data."""

    @property
    def crop_px(self) -> int: ...


class MethodFacts(Protocol):
    """What the other parts may know of the method that trains."""

    @property
    def kind(self) -> str: ...

    @property
    def compares_with(self) -> Sequence[str]:
        """What its losses can compare the generator's pictures with: `target`, `cycle`, …"""

    @property
    def has_codes(self) -> bool:
        """Pictures pass through codes, which losses and discriminators can look at."""


class TrainFacts(Protocol):
    """What the other parts may know of the training."""

    @property
    def steps(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def method(self) -> MethodFacts: ...


class RecipeContext(Protocol):
    """A whole recipe, as its parts see it."""

    @property
    def task(self) -> TaskFacts: ...

    @property
    def data(self) -> DataFacts: ...

    @property
    def generator(self) -> GeneratorFacts: ...

    @property
    def discriminator(self) -> DiscriminatorFacts | None: ...

    @property
    def adversarial(self) -> AdversarialFacts | None: ...

    @property
    def losses(self) -> Sequence[LossFacts]: ...

    @property
    def train(self) -> TrainFacts: ...

    @property
    def has_prior(self) -> bool:
        """Codes are held to the prior N(0,I), so that pictures can be drawn from it."""

    @property
    def discriminator_size_px(self) -> int:
        """Side of what D sees; 1 for points and codes."""

    def build_generator(self) -> nn.Module: ...
