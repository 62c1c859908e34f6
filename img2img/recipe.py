"""A recipe is the whole experiment: one YAML, validated before data, weights or a device are
touched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
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

from img2img.data.dataset import DataConfig
from img2img.errors import UserError, did_you_mean
from img2img.explain import explain
from img2img.losses.adversarial import Adversarial, OptimizerConfig, as_the_kind_has_it
from img2img.losses.objectives import OptimizerKind
from img2img.losses.reconstruction import Loss, PictureLoss, PixelLoss
from img2img.models import Discriminator, Generator
from img2img.models.blocks import DiscriminatorShapes
from img2img.models.two_way import TwoWay
from img2img.pixels.alpha import BLEED
from img2img.ranges import Fields
from img2img.resources import recipes_dir
from img2img.tasks import build_task, task_class, task_kinds
from img2img.tasks.base import Task

TRYING = "a change is tried out"
DEFAULT_LR = 2e-4
DEFAULT_BETAS = (0.9, 0.999)


class OptimizerChoice(NamedTuple):
    """A player's optimizer, every default filled in."""

    kind: OptimizerKind
    lr: float
    betas: tuple[float, float]


class TrainConfig(OptimizerConfig):
    """How the generator is trained; the discriminator's own settings are under `adversarial`."""

    method: Literal["paired", "cycle", "autoencoder"] = Field(
        "paired",
        description="cycle: unpaired pictures, two ways (CycleGAN); autoencoder: VAE and its relatives",
    )
    steps: int = Field(1000, ge=1, description="optimizer steps")
    batch_size: int = Field(16, ge=1, description="samples a step and process")
    accumulate: int = Field(1, ge=1, description="batches summed up to one step")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "cosine", description="linear: constant, then to zero (pix2pix)"
    )
    warmup_steps: int = Field(0, ge=0, description="steps over which the rate rises to lr")
    warmup_share: float = Field(
        0.0, ge=0, le=1, description="the same as a part of the run, however long that is"
    )
    decay_from: float = Field(
        0.5, ge=0, le=1, description="linear schedule: part of the run after which the rate falls"
    )
    final_lr_ratio: float = Field(
        0.0, ge=0, le=1, description="cosine schedule: last rate over first"
    )
    clip_norm: float | None = Field(None, gt=0, description="gradients are clipped to this norm")
    ema_halflife_images: float = Field(
        2000, ge=0, description="averaging of the shipped weights; 0 switches it off"
    )
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    init: str | None = Field(
        None, description="zoo name, model file or run to start from (fine-tuning)"
    )
    init_partial: bool = Field(
        False, description="take what fits of another network; the rest starts anew"
    )
    freeze: tuple[str, ...] = Field(
        (),
        description="parts of the generator, by module name, that stay as they are",
        json_schema_extra={"type": ["string", "array"]},
    )
    log_every: int = Field(20, ge=1, description="steps between lines of log.jsonl")
    validate_every: int = Field(500, ge=1, description="steps between validations and sample grids")
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints")
    checkpoint_minutes: float = Field(
        10, gt=0, description="a checkpoint is written at least so often"
    )
    keep_best: bool = Field(
        False,
        description="best.safetensors: the model at its best validation, by the task's main metric",
    )
    on_trouble: Literal["warn", "stop", "adapt"] = Field(
        "warn",
        description="when the doctor finds something clear: say so; save and stop; or weaken D (or strengthen it)",
    )

    @field_validator("freeze", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class Recipe(Fields):
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

    @model_validator(mode="after")
    def _possible(self, info: ValidationInfo) -> Recipe:
        refused = refusal(self)
        if refused:
            trying = info.context == TRYING  # a remedy's own refusal needs no remedy
            raise ValueError(refused.reason if trying else refused.with_a_way_out(self))
        return self

    @classmethod
    def load(cls, source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a YAML file, or a shipped recipe by name, and apply `key.path=value` overrides.
        Raises UserError.
        """
        path = recipe_path(source)
        try:
            fields = read_yaml(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not readable as YAML: {error}") from error
        except ValueError as error:
            raise UserError(f"{path}: {' '.join(str(error).split())}") from error
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        if not isinstance(fields, dict):
            return cls.parse(fields, where=str(path))
        for override in overrides:
            _override(fields, override)
        try:
            fields["adversarial"] = as_the_kind_has_it(fields.get("adversarial"))
        except ValueError as error:
            raise UserError(f"{path}: adversarial.{error}") from error
        for (
            override
        ) in overrides:  # again: what is asked for here also beats what the recipe says of the kind
            _override(fields, override)
        return cls.parse(fields, where=str(path))

    @classmethod
    def parse(
        cls, fields: dict[str, Any], where: str = "recipe", *, trusted: bool = True
    ) -> Recipe:
        """Validate fields; with `trusted` off (a model file's header) `task.kind` cannot name code
        to import.
        """
        if not isinstance(fields, dict):
            raise UserError(
                f"{where}: a recipe is a mapping with the keys {', '.join(cls.model_fields)}"
            )
        try:
            return cls.model_validate(
                {**fields, "task": build_task(fields.get("task"), trusted=trusted)}
            )
        except ValidationError as error:
            raise UserError(f"{where}: {explain(error, schema())}") from error
        except RecursionError as error:
            raise UserError(f"{where}: fields are nested too deeply") from error
        except UserError as error:
            raise UserError(f"{where}: {error}") from error

    def changed(self, overrides: Sequence[str]) -> Recipe | None:
        """The recipe with `key.path=value` overrides; None where it refuses them."""
        fields = self.fields()
        try:
            for override in overrides:
                _override(fields, override)
            return Recipe.model_validate(
                {**fields, "task": build_task(fields["task"])}, context=TRYING
            )
        except (ValidationError, UserError):
            return None

    def fields(self) -> dict[str, Any]:
        """Plain data that `parse` takes back."""
        return self.model_dump(mode="json")

    def build_generator(self) -> nn.Module:
        """The generator with fresh weights; two in one module where both ways are learned."""
        if self.task.unpaired:
            return TwoWay(lambda: self.generator.build(self.task))
        return self.generator.build(self.task)

    def start_generator(self, generator: nn.Module) -> None:
        """Load what training starts from (such as a pretrained encoder), in each network that the
        generator's config has built.
        """
        for network in generator.children() if self.task.unpaired else [generator]:
            self.generator.start(network)

    def build_discriminator(self) -> nn.Module:
        """A discriminator with fresh weights, of a recipe that has one."""
        assert self.discriminator is not None, "a discriminator and adversarial come together"
        return self.discriminator.build(self.discriminator_shapes())

    def g_optimizer(self) -> OptimizerChoice:
        """The generator's optimizer: the recipe's word, else what the adversarial kind's paper
        used.
        """
        kind = self.adversarial.objective_class if self.adversarial else None
        return OptimizerChoice(
            self.train.optimizer or (kind.optimizer if kind else "adam"),
            self.train.lr or (kind.lr if kind else DEFAULT_LR),
            self.train.betas or (kind.betas if kind else DEFAULT_BETAS),
        )

    def d_optimizer(self) -> OptimizerChoice:
        """The discriminator's optimizer: its own words, else what binds its kind, else the
        generator's rate.
        """
        assert self.adversarial is not None
        a, kind = self.adversarial, self.adversarial.objective_class
        lr = a.lr or kind.d_lr or self.train.lr or kind.lr
        return OptimizerChoice(a.optimizer or kind.optimizer, lr, a.betas or kind.betas)

    @property
    def has_prior(self) -> bool:
        """An autoencoder's codes are held to N(0,I), so that pictures can be drawn from it."""
        held = any(loss.kind == "kl" for loss in self.losses)
        return held or (self.adversarial is not None and self.adversarial.discriminates == "latent")

    @property
    def background(self) -> str:
        """What a photo's transparency is laid on for the trained network: as in training, but
        photos keep theirs.
        """
        return (
            self.task.background
            if self.task.background == BLEED
            else self.data.background_for(self.task)
        )

    def discriminator_shapes(self) -> DiscriminatorShapes:
        """What a discriminator of this recipe's pictures is built for."""
        assert self.adversarial is not None
        task, sees = self.task, self.adversarial.sees
        if task.bottleneck and self.adversarial.discriminates == "latent":
            return DiscriminatorShapes(
                task.bottleneck.latent, 1, task.classes, head=self.adversarial.objective_class.head
            )
        beside = (
            task.condition_channels * ("condition" in sees)
            + ("mask" in sees)
            + task.classes * ("label" in sees)
        )
        return DiscriminatorShapes(
            channels=task.picture_channels + beside,
            size_px=task.scale if task.from_noise else self.data.crop_px,
            classes=task.classes,
            codes=sum(task.code_sizes) if self.adversarial.information else 0,
            head=self.adversarial.objective_class.head,
        )

    def to_yaml(self) -> str:
        """The resolved recipe, every default written out."""
        return yaml.safe_dump(self.fields(), sort_keys=False, allow_unicode=True)


class Refusal(NamedTuple):
    """Why the parts of a recipe cannot work together, and changes that may help, each as
    `key.path=value`.
    """

    reason: str
    tries: tuple[str, ...] = ()

    def with_a_way_out(self, recipe: Recipe) -> str:
        """The reason, and the first of the changes that the recipe takes."""
        helps = next((change for change in self.tries if _takes(recipe, change)), None)
        return self.reason if helps is None else f"{self.reason}: set {helps}"


def _takes(recipe: Recipe, change: str) -> bool:
    return recipe.changed([change]) is not None


def refusal(recipe: Recipe) -> Refusal | None:
    """Why the parts of a recipe cannot work together, or None. Each reason names the field to
    change.
    """
    reason = _part_refusal(recipe)
    if reason:
        return Refusal(reason)
    return _crop_refusal(recipe) or _length_refusal(recipe)


def _crop_refusal(recipe: Recipe) -> Refusal | None:
    """Why the generator cannot work on such crops, with the generator or else the crop that suits
    the other.
    """
    task, generator, crop = recipe.task, recipe.generator, recipe.data.crop_px
    unit = generator.multiple_of * task.scale
    if task.from_noise or crop % unit == 0:
        return None
    fields = [
        f"generator.{field}"
        for field in (generator.fitting(crop // task.scale) if crop % task.scale == 0 else ())
    ]
    sizes = [
        f"data.crop_px={size}" for size in (crop - crop % unit, crop - crop % unit + unit) if size
    ]
    reason = f"data.crop_px is {crop}: generator '{generator.kind}' needs a multiple of {unit}"
    return Refusal(reason, (*fields, *sizes))


def _length_refusal(recipe: Recipe) -> Refusal | None:
    warm, steps = recipe.train.warmup_steps, recipe.train.steps
    if warm and recipe.train.warmup_share:
        return Refusal(
            "train.warmup_steps and train.warmup_share both say how long the rate rises: leave one out"
        )
    if warm <= steps:
        return None
    reason = f"train.warmup_steps is {warm}, and the run has {steps} steps: the rate would never reach train.lr"
    return Refusal(reason.replace(": ", ", ", 1), (f"train.warmup_steps={steps // 10}",))


def _part_refusal(recipe: Recipe) -> str | None:
    task, generator = recipe.task, recipe.generator
    reason = generator.refusal(task)
    if task.bottleneck and not generator.encodes:
        reason = "it has no bottleneck, and the task asks for one; use autoencoder"
    if reason:
        return f"generator.kind '{generator.kind}' does not fit task '{task.kind}': {reason}"
    reason = _unpaired_refusal(recipe) or _bottleneck_refusal(recipe) or _freeze_refusal(recipe)
    if reason:
        return reason
    if task.from_noise:
        return _noise_refusal(recipe) or _adversarial_refusal(recipe)
    for index, loss in enumerate(recipe.losses):
        reason = loss.refusal(has_mask=task.needs_mask, crop_px=recipe.data.crop_px)
        if reason:
            return f"losses.{index}.{reason}"
    return _adversarial_refusal(recipe)


def _freeze_refusal(recipe: Recipe) -> str | None:
    """Why what `train.freeze` names cannot be frozen, or None."""
    if not recipe.train.freeze:
        return None
    with torch.device("meta"):  # shapes and names alone
        network = recipe.build_generator()
    parts = {
        name: part
        for name, part in network.named_modules()
        if name and any(True for _ in part.parameters())
    }
    for name in recipe.train.freeze:
        if name not in parts:
            some = [
                n
                for n, part in parts.items()
                if len([*part.parameters()]) < len([*network.parameters()])
            ]
            top = [n for n in some if not any(n.startswith(f"{other}.") for other in some)]
            known = did_you_mean(name, some, f"; parts: {', '.join(top)}")
            return f"train.freeze '{name}': generator '{recipe.generator.kind}' has no such part{known}"
    held = {id(p) for name in recipe.train.freeze for p in parts[name].parameters()}
    if all(id(p) in held for p in network.parameters() if p.requires_grad):
        return "train.freeze names all of the generator: nothing would learn"
    return None


def _unpaired_refusal(recipe: Recipe) -> str | None:
    """Why sides that do not belong together cannot be learned so, or why pairs have no cycle; None
    if all is well.
    """
    cycles, task = recipe.train.method == "cycle", recipe.task
    if cycles and not task.unpaired:
        return "train.method 'cycle' learns from two sides without pairs: use task: {kind: translate, source: unpaired}"
    if task.unpaired and not cycles:
        return f"train.method '{recipe.train.method}' needs pairs, and the task has two sides without: use cycle"
    for index, loss in enumerate(recipe.losses):
        if isinstance(loss, PictureLoss) and cycles == (loss.of == "target"):
            there = (
                "no target to compare with: use cycle or identity"
                if cycles
                else "neither without method 'cycle'"
            )
            return f"losses.{index}.of '{loss.of}': there is {there}"
    if cycles and recipe.adversarial is None:
        return "adversarial is missing: without pairs, only discriminators can tell what each side looks like"
    if cycles and recipe.adversarial and "condition" in recipe.adversarial.sees:
        return (
            "adversarial.sees 'condition', and without pairs no real picture has one: use sees: []"
        )
    return None


def _bottleneck_refusal(recipe: Recipe) -> str | None:
    """Why an autoencoder cannot be trained so, or why its losses belong to no other; None if all is
    well.
    """
    task, adversarial = recipe.task, recipe.adversarial
    encodes, kinds = recipe.train.method == "autoencoder", [loss.kind for loss in recipe.losses]
    if encodes and task.bottleneck is None:
        return f"train.method 'autoencoder' needs a bottleneck, and task '{task.kind}' has none: use task: reconstruct"
    if task.bottleneck and not encodes:
        return f"train.method '{recipe.train.method}' knows no codes, and task '{task.kind}' has: use autoencoder"
    if not encodes:
        own = next((kind for kind in kinds if kind in ("kl", "features")), None)
        if own:
            return f"losses.{kinds.index(own)}.kind '{own}' belongs to train.method autoencoder"
        if adversarial and adversarial.discriminates == "latent":
            return "adversarial.discriminates 'latent' belongs to train.method autoencoder: leave it out"
        return None
    if task.bottleneck and recipe.data.crop_px != task.bottleneck.size_px:
        return f"data.crop_px is {recipe.data.crop_px}, and the task's size_px {task.bottleneck.size_px}: write one"
    return _code_refusal(recipe, kinds) or (
        _code_judge_refusal(recipe, adversarial) if adversarial else None
    )


def _code_refusal(recipe: Recipe, kinds: Sequence[str]) -> str | None:
    """Why codes could not be held to the prior, or not be compared, or None."""
    variational, adversarial = getattr(recipe.generator, "variational", False), recipe.adversarial
    if "kl" in kinds and not variational:
        return f"losses.{kinds.index('kl')}.kind 'kl' holds Gaussians to the prior: set generator.variational: true"
    if variational and not recipe.has_prior:
        return "generator.variational without a loss of kind kl: nothing would hold its Gaussians to the prior"
    if adversarial and adversarial.discriminates == "pictures" and not recipe.has_prior:
        return (
            "adversarial discriminates draws from the prior: set generator.variational: true "
            "and add a loss of kind kl"
        )
    if "features" in kinds:
        place = f"losses.{kinds.index('features')}.kind 'features'"
        if (
            recipe.discriminator is None
            or adversarial is None
            or adversarial.discriminates == "latent"
        ):
            return f"{place} compares what a discriminator of pictures sees: add discriminator and adversarial"
        if not recipe.discriminator.has_features or adversarial.objective_class.head != "logits":
            return f"{place} needs a discriminator with features and a kind that scores: use dcgan, and not began"
    return (
        None
        if set(kinds) - {"kl"}
        else "losses compare no picture with the original: add l2, or features"
    )


def _code_judge_refusal(recipe: Recipe, adversarial: Adversarial) -> str | None:
    """Why this discriminator cannot judge an autoencoder's codes or pictures, or None."""
    if adversarial.sees:
        projects = adversarial.sees[0] == "label" and adversarial.objective_class.head == "logits"
        instead = "use discriminator.projection" if projects else "leave it out"
        return f"adversarial.sees '{adversarial.sees[0]}': an autoencoder's critic sees nothing beside; {instead}"
    if adversarial.discriminates == "pictures":
        return None
    if recipe.discriminator and recipe.discriminator.kind != "mlp":
        return (
            f"adversarial.discriminates 'latent', and discriminator "
            f"'{recipe.discriminator.kind}' needs pixels: use mlp"
        )
    return (
        "adversarial.augment changes pictures, and codes are judged"
        if adversarial.augment
        else None
    )


def _noise_refusal(recipe: Recipe) -> str | None:
    """Why pictures of nothing but noise cannot be learned so, or None."""
    if recipe.adversarial is None:
        return "adversarial is missing: noise has no target, only a discriminator can teach"
    if recipe.losses:
        return f"losses.0.kind '{recipe.losses[0].kind}': noise has no target to compare with; write losses: []"
    if recipe.task.reads != "none" and recipe.data.crop_px != recipe.task.scale:
        return f"data.crop_px is {recipe.data.crop_px}, and the task makes {recipe.task.scale} px: write that"
    return None


def _adversarial_refusal(recipe: Recipe) -> str | None:
    adversarial, discriminator, task = recipe.adversarial, recipe.discriminator, recipe.task
    if (adversarial is None) != (discriminator is None):
        missing = "adversarial" if adversarial is None else "discriminator"
        return f"{missing} is missing: an adversarial loss and a discriminator come together"
    if adversarial is None or discriminator is None:
        return (
            None
            if recipe.losses
            else "losses is empty: without an adversarial part there is nothing to learn from"
        )
    judged = recipe.discriminator_shapes()
    reason = discriminator.refusal_at(judged.size_px, recipe.train.batch_size)
    if reason:
        return f"data.crop_px {judged.size_px} does not suit discriminator '{discriminator.kind}': {reason}"
    start = adversarial.phase_starts(recipe.train.steps)[0]
    if start > 0 and not recipe.losses:
        return "losses is empty: before the discriminator starts there is nothing to learn from"
    if adversarial.start_step >= recipe.train.steps:
        return f"adversarial.start_step is {start}, and the run has {recipe.train.steps} steps: D would never play"
    if (
        adversarial.phase_starts(recipe.train.steps)[1] + adversarial.d_steps_per_g_step
        > recipe.train.steps
    ):
        few = f"train.steps is {recipe.train.steps}: too few for adversarial.d_steps {adversarial.d_steps_per_g_step}"
        return f"{few}, G would never play"
    return _sees_refusal(adversarial, task) or _judge_refusal(adversarial, discriminator, task)


def _sees_refusal(adversarial: Adversarial, task: Task) -> str | None:
    """Why D cannot be shown what `adversarial.sees` names, or None."""
    if "mask" in adversarial.sees and not task.needs_mask:
        return f"adversarial.sees 'mask', and task '{task.kind}' has none"
    if "condition" in adversarial.sees and task.from_noise:
        return "adversarial.sees 'condition', and the task's is noise; 'label' shows the class"
    if "label" in adversarial.sees and not task.classes:
        return f"adversarial.sees 'label', and task '{task.kind}' has no classes"
    if adversarial.information and not sum(task.code_sizes):
        return "adversarial.information weighs codes, and the task has none: set task.categorical or task.continuous"
    return None


def _judge_refusal(
    adversarial: Adversarial, discriminator: Discriminator, task: Task
) -> str | None:
    """Why this discriminator cannot play this kind, or None."""
    kind, head = discriminator.kind, adversarial.objective_class.head
    if head not in discriminator.heads:
        return f"adversarial.kind '{adversarial.kind}' judges by {head}, and '{kind}' cannot: use dcgan or mlp"
    if adversarial.penalised and discriminator.batch_normed:
        return "discriminator.norm 'batch' mixes samples, and a gradient penalty needs each by itself: use instance"
    if discriminator.kind == "global_local" and not task.needs_mask:
        return f"discriminator.kind 'global_local' looks at the hole, and task '{task.kind}' has no mask; use patchgan"
    if discriminator.kind == "global_local" and set(adversarial.augment) - {"color"}:
        return (
            "adversarial.augment moves or cuts the hole that 'global_local' looks at: use [color]"
        )
    if task.from_noise and task.scale == 1 and adversarial.augment:
        return "adversarial.augment changes pictures, and the task makes points"
    if getattr(discriminator, "projection", False) and not task.classes:
        return f"discriminator.projection needs labels, and task '{task.kind}' has no classes"
    if adversarial.information and not discriminator.recognises_codes:
        return f"adversarial.information needs a discriminator that recognises codes, and '{kind}' cannot: use dcgan"
    ignored = [
        name
        for name in ("projection", "minibatch_std", "minibatch_discrimination")
        if getattr(discriminator, name, 0)
    ]
    if head == "reconstruction" and ignored:
        shown = (
            ignored[0] == "projection" and not task.bottleneck
        )  # an autoencoder's critic sees nothing beside
        instead = "adversarial.sees: [label] shows the class" if shown else "leave it out"
        none = f"adversarial.kind '{adversarial.kind}' has none"
        return f"discriminator.{ignored[0]} adds to a score, and {none}; {instead}"
    if adversarial.information and head == "reconstruction":
        return f"adversarial.kind '{adversarial.kind}' has no scores beside which codes could be recognised"
    return None


def recipe_path(source: str | Path) -> Path:
    """A recipe's file: the path itself, or a shipped recipe by its name with or without folder and
    suffix.
    """
    path = Path(source)
    if path.is_file():
        return path
    shipped = recipes_dir() / f"{path.stem}.yaml"
    if path.name and path.parent.name in ("", "recipes") and shipped.is_file():
        return shipped
    if (path / "recipe.yaml").is_file():
        raise UserError(
            f"{path} is a run's folder: go on with img2img train {path}/recipe.yaml --out {path} --resume"
        )
    names = [p.stem for p in recipes_dir().glob("*.yaml")]
    raise UserError(f"no recipe '{source}'{did_you_mean(path.stem, names)}")


def _override(fields: dict[str, Any], text: str) -> None:
    """Apply one `key.path=value`; the value is read as YAML, so numbers, lists and null work."""
    key, found, value = text.partition("=")
    if not found or not key:
        raise UserError(
            f"'{text}' is not an override: write key.path=value, for example train.steps=500"
        )
    *parents, last = key.split(".")
    place: Any = fields
    for part in parents:
        place = _step_into(place, part, key)
    try:
        parsed = read_yaml(value) if value else None
    except ValueError as error:
        raise UserError(
            f"'{text}' is not an override: its value is not readable as YAML"
        ) from error
    if isinstance(parsed, str) and any(
        c.isdigit() for c in parsed
    ):  # YAML 1.1 reads 1e-4 as a word
        with suppress(ValueError):
            parsed = float(parsed)
    if isinstance(place, list):
        if not last.isdigit() or int(last) >= len(place):
            raise UserError(f"'{key}': the list has {len(place)} entries, counted from 0")
        place[int(last)] = parsed
    else:
        place[last] = parsed


class _WrittenTwice(ValueError):
    """A key of a mapping that is there already."""


class _Loader(yaml.SafeLoader):
    """YAML as it is meant: a key that is written twice, of which one would be lost in silence, is
    an error.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            name, line = getattr(key, "value", None), key.start_mark.line + 1
            if isinstance(name, str) and name in lines:
                raise _WrittenTwice(
                    f"'{name}' is written twice, in lines {lines[name]} and {line}: keep one of them"
                )
            lines[name if isinstance(name, str) else id(key)] = line
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _WrittenTwice:
            raise
        except ValueError as error:  # such as the date 2024-13-45, or a number of 5000 digits
            kind = {"int": "whole number", "float": "number", "timestamp": "date"}.get(
                node.tag.split(":")[-1], "value"
            )
            said = f"'{str(node.value)[:20]}' is no {kind}"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from error


def read_yaml(text: str) -> Any:
    """What a YAML text says. Raises ValueError for what cannot be read, is nested too deeply or is
    written twice.
    """
    try:
        loader = _Loader(text)  # which may already find it unreadable
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (yaml.YAMLError, TypeError) as error:
        said = str(error).replace('in "<unicode string>", ', "in ")
        raise ValueError(f"not readable as YAML: {said}") from error


def _step_into(place: Any, part: str, key: str) -> Any:
    if isinstance(place, list):
        if part.isdigit() and int(part) < len(place):
            return place[int(part)]
        raise UserError(f"'{key}': the list has {len(place)} entries, counted from 0")
    inner = place.get(part)
    if isinstance(inner, str) and part == "task":
        inner = {"kind": inner}
    if inner is None:
        inner = {}
    if not isinstance(inner, dict | list):
        raise UserError(f"'{key}': {part} is a single value, it has no fields")
    place[part] = inner
    return inner


@cache
def schema() -> dict[str, Any]:
    """JSON Schema of a recipe; `task` may be any kind that is installed, or an import path."""
    whole = Recipe.model_json_schema()
    code = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"type": "string", "pattern": ":"}},
    }
    choices: list[dict[str, Any]] = [{"type": "string"}, code]
    for kind in task_kinds():
        own = task_class(kind, trusted=True).model_json_schema()
        own["properties"]["kind"] = {"const": kind, "type": "string"}
        own["required"] = ["kind", *own.get("required", [])]
        whole["$defs"].update(own.pop("$defs", {}))
        choices.append(own)
    whole["properties"]["task"] = {"anyOf": choices}
    return whole


def schema_json() -> str:
    """The schema as text, for editors."""
    return json.dumps(schema(), indent=2)
