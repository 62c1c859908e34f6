"""The parts of a recipe together: read, checked against each other, and built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from torch import nn

from img2img.config import FrozenConfig
from img2img.conflicts import Conflict, ImpossibleRecipe, RecipeContext, TaskFacts
from img2img.data.dataset import DataConfig
from img2img.errors import UserError
from img2img.explain import explain
from img2img.losses.adversarial import Adversarial, for_its_kind
from img2img.losses.reconstruction import Loss, PixelLoss
from img2img.models import Discriminator, Generator
from img2img.models.base import DiscriminatorShapes
from img2img.optimizer import DEFAULT, OptimizerChoice
from img2img.pixels.alpha import BLEED
from img2img.recipe.reading import apply_override, read_recipe, recipe_path
from img2img.recipe.train import TrainConfig
from img2img.tasks import build_task, with_tasks
from img2img.tasks.base import Task

TRYING = "a change is tried out"


class Recipe(FrozenConfig):
    """Everything a run depends on."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(0, ge=0, lt=2**63)
    task: Task
    data: DataConfig = DataConfig()
    generator: Generator
    discriminator: Discriminator | None = None
    adversarial: Adversarial | None = None
    losses: tuple[Loss, ...] = (PixelLoss(kind="l1"),)
    train: TrainConfig = TrainConfig()

    @field_validator("task", mode="before")
    @classmethod
    def _task(cls, value: Any) -> Task:
        return build_task(value)

    @field_serializer("task")
    def _task_fields(self, task: Task) -> dict[str, Any]:
        return task.model_dump(mode="json")

    # --- what cannot work together

    def conflicts(self, context: RecipeContext | None = None) -> Iterator[Conflict]:
        """What the parts cannot do together, the first to mend first; part by part, on demand."""
        parts: list[tuple[str, FrozenConfig | None]] = [
            ("generator", self.generator),
            ("task", self.task),
            ("train", self.train),
            *((f"losses.{number}", loss) for number, loss in enumerate(self.losses)),
            ("adversarial", self.adversarial),
            ("discriminator", self.discriminator),
            ("data", self.data),
        ]
        context = context or RecipeContext.of(self)
        for place, part in parts:
            if part is not None:
                for conflict in part.conflicts(context):
                    yield conflict.at(place)

    @model_validator(mode="after")
    def _possible(self, info: ValidationInfo) -> Recipe:
        conflict = next(self.conflicts(), None)
        if conflict is None:
            return self
        # What was tried to mend another recipe needs no remedy of its own.
        tries = () if info.context == TRYING else conflict.tries
        helps = next((change for change in tries if self.changed([change]) is not None), None)
        raise ImpossibleRecipe(conflict, f"set {helps}" if helps else "")

    # --- reading and writing

    @classmethod
    def load(cls, source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a recipe.

        Args:
            source: a YAML file, or the name of a shipped recipe (`img2img recipes` lists them).
            overrides: `key.path=value`, as `img2img train` takes them.

        Returns:
            The validated recipe; neither data nor weights have been touched.

        Raises:
            UserError: a field that there is not, a value it cannot have, or a combination that
                cannot work; it names the field and what to change.

        Example:
            >>> recipe = Recipe.load("denoise_tiny", ["train.steps=50"])
            >>> recipe.task.kind, recipe.train.steps
            ('denoise', 50)
            >>> Recipe.load("denoise_tiny", ["train.stesp=50"])
            Traceback (most recent call last):
            img2img.errors.UserError: ...train.stesp: unknown key, did you mean 'steps'?
        """
        path = recipe_path(source)
        fields = read_recipe(path)
        if isinstance(fields, dict):
            changed = [apply_override(fields, override) for override in overrides]
            asked = {keys[1] for keys in changed if keys[0] == "adversarial" and len(keys) > 1}
            try:
                fields["adversarial"] = for_its_kind(fields.get("adversarial"), asked)
            except ValueError as error:
                raise UserError(f"adversarial.{error}", place=path) from error
        return cls.parse(fields, where=path)

    @classmethod
    def parse(
        cls, fields: dict[str, Any], where: str | Path = "recipe", *, trusted: bool = True
    ) -> Recipe:
        """Validate fields.

        Args:
            fields: a recipe as plain data, as `fields()` gives it; words of earlier versions count.
            where: what an error calls it.
            trusted: off for a model file's header, whose `task.kind` cannot name code to import.

        Returns:
            The recipe.

        Raises:
            UserError: as of `load`.

        Example:
            >>> recipe = Recipe.load("denoise_tiny")
            >>> Recipe.parse(recipe.fields()) == recipe
            True
        """
        if not isinstance(fields, dict):
            keys = ", ".join(cls.model_fields)
            raise UserError(f"a recipe is a mapping with the keys {keys}", place=where)
        try:
            task = build_task(fields.get("task"), trusted=trusted)
            return cls.model_validate({**fields, "task": task})
        except ValidationError as error:
            raise explain(error, schema()).at(where) from error
        except RecursionError as error:
            raise UserError("fields are nested too deeply", place=where) from error
        except UserError as error:
            raise error.at(where) from error

    def changed(self, overrides: Sequence[str]) -> Recipe | None:
        """The recipe with `key.path=value` overrides; None where it refuses them."""
        fields = self.fields()
        try:
            for override in overrides:
                apply_override(fields, override)
            fields["task"] = build_task(fields["task"])
            return Recipe.model_validate(fields, context=TRYING)
        except (ValidationError, UserError):
            return None

    def fields(self) -> dict[str, Any]:
        """Plain data that `parse` takes back."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The resolved recipe, every default written out."""
        return yaml.safe_dump(self.fields(), sort_keys=False, allow_unicode=True)

    # --- building

    def build_generator(self) -> nn.Module:
        """The generator with fresh weights.

        Returns:
            One network, or two in one module where both ways are learned (CycleGAN).

        Example:
            >>> generator = Recipe.load("denoise_tiny").build_generator()
            >>> sum(p.numel() for p in generator.parameters()) > 10_000
            True
        """
        return self.train.method.build_generator(lambda: self.generator.build(self.task))

    def start_generator(self, generator: nn.Module) -> None:
        """Load what training starts from (such as a pretrained encoder), in each network that the
        generator's config has built.
        """
        for network in self.train.method.generators(generator):
            self.generator.start(network)

    def build_discriminator(self) -> nn.Module:
        """A discriminator with fresh weights, of a recipe that has one.

        Returns:
            The network, which takes pictures (B,C,H,W) and what the recipe lets it see of the rest.

        Raises:
            UserError: the recipe has none.

        Example:
            >>> type(Recipe.load("translate_tiny").build_discriminator()).__name__
            'PatchGan'
        """
        if self.discriminator is None:
            raise UserError(
                f"recipe '{self.name}' has none", field="discriminator", remedy="add one"
            )
        return self.discriminator.build(self.discriminator_shapes())

    @property
    def picture_px(self) -> int:
        """Side of the pictures in training: of those made of a training crop's condition."""
        condition_px = self.data.crop_px // self.task.output_size((1, 1))[0]
        return self.task.output_size((condition_px, condition_px))[0]

    @property
    def discriminator_px(self) -> int:
        """Side of what D sees; 1 for points and codes."""
        if self.adversarial is not None and self.adversarial.discriminates == "latent":
            return 1
        return self.picture_px

    def discriminator_shapes(self) -> DiscriminatorShapes:
        """What this recipe's discriminator is built for."""
        assert self.adversarial is not None
        task, sees, facts = self.task, self.adversarial.sees, TaskFacts.of(self.task)
        channels, codes = task.picture_channels, 0
        if self.adversarial.discriminates == "latent":
            assert facts.bottleneck is not None, "else the recipe is refused"
            channels = facts.bottleneck.latent
        elif self.adversarial.information:
            codes = sum(facts.code_sizes)
        channels += task.condition_channels * ("condition" in sees)
        channels += ("mask" in sees) + task.classes * ("label" in sees)
        head, size_px = self.adversarial.head, self.discriminator_px
        return DiscriminatorShapes(channels, size_px, task.classes, codes, head)

    def g_optimizer(self) -> OptimizerChoice:
        """The generator's optimizer: as `train` says, else as in the objective's paper."""
        paper = self.adversarial.optimizer_of_the_paper if self.adversarial else DEFAULT
        return self.train.optimizer_or(paper)

    def d_optimizer(self) -> OptimizerChoice:
        """The discriminator's optimizer: as `adversarial` says, else as the objective binds it,
        else at the generator's rate.
        """
        assert self.adversarial is not None
        paper = self.adversarial.optimizer_of_the_paper
        lr = self.adversarial.objective_class.d_lr or self.train.lr or paper.lr
        return self.adversarial.optimizer_or(paper._replace(lr=lr))

    @property
    def has_prior(self) -> bool:
        """An autoencoder's codes are held to N(0,I), so that pictures can be drawn from it."""
        held = any(loss.kind == "kl" for loss in self.losses)
        return held or (self.adversarial is not None and self.adversarial.discriminates == "latent")

    @property
    def can_generate(self) -> bool:
        """Pictures can be drawn from noise, or from codes that are held to a prior."""
        return self.task.condition_is_noise or self.has_prior

    @property
    def background(self) -> str:
        """What the trained network's photos are laid on where they are transparent: as in training,
        but a photo that keeps its alpha keeps it.
        """
        kept = self.task.background == BLEED
        return BLEED if kept else self.data.background_for(self.task)


@cache
def schema() -> dict[str, Any]:
    """JSON Schema of a recipe; `task` may be any kind that is installed, or an import path."""
    return with_tasks(Recipe.model_json_schema())


def schema_json() -> str:
    """The schema as text, for editors."""
    return json.dumps(schema(), indent=2)
