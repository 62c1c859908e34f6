"""How long, how fast and by which method the generator is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, field_serializer

from img2img.config import OneOrMany
from img2img.conflicts import Conflict, RecipeContext
from img2img.errors import did_you_mean
from img2img.optimizer import OptimizerConfig
from img2img.recipe.method import Method, PairedMethod


def _or_a_word(schema: dict[str, Any]) -> None:
    """The schema of a union whose kind may stand for the whole."""
    union = {name: schema.pop(name) for name in ("oneOf", "discriminator")}
    schema["default"] = schema["default"]["kind"]
    schema["anyOf"] = [{"enum": list(union["discriminator"]["mapping"])}, union]


def _on_or_off(given: Any) -> Any:
    """YAML reads both words as truth values."""
    if isinstance(given, bool):
        return "on" if given else "off"
    return given


class TrainConfig(OptimizerConfig):
    """How the generator is trained; the discriminator's own settings are under `adversarial`."""

    method: Method = Field(
        PairedMethod(),
        description="paired; cycle: unpaired pictures, two ways (CycleGAN); autoencoder: VAE and "
        "its relatives",
        json_schema_extra=_or_a_word,
    )
    steps: int = Field(1000, ge=1, description="optimizer steps")
    batch_size: int = Field(16, ge=1, description="samples a step and process")
    accumulate: int = Field(1, ge=1, description="batches summed up to one step")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "cosine", description="linear: constant, then to zero (pix2pix)"
    )
    warmup_steps: int = Field(
        0, ge=0, description="steps over which the rate rises to lr; at most steps"
    )
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
    compile: Annotated[
        Literal["auto", "on", "off"],
        BeforeValidator(_on_or_off),
    ] = Field(
        "off",
        description="torch.compile of the networks; auto: where a trial before the first step is "
        "a tenth faster and the run long enough to repay compiling; off where nothing compiles",
    )
    init: str | None = Field(
        None, description="zoo name, model file or run to start from (fine-tuning)"
    )
    init_partial: bool = Field(
        False, description="take what fits of another network; the rest starts anew"
    )
    teacher: str | None = Field(
        None,
        min_length=1,
        description="zoo name, model file or run that losses with against: teacher compare with",
    )
    freeze: Annotated[tuple[str, ...], OneOrMany] = Field(
        (),
        description="parts of the generator, by module name, that stay as they are; not all of it",
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
    track: Annotated[
        tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...], OneOrMany
    ] = Field(
        ("tensorboard",),
        description="trackers that get the numbers of log.jsonl too, on this machine",
        json_schema_extra={"type": ["string", "array"]},
    )
    on_trouble: Literal["warn", "stop", "adapt"] = Field(
        "warn",
        description="when the doctor finds something clear: say so; save and stop; or weaken D "
        "(or strengthen it)",
    )

    @field_serializer("method")
    def _in_a_word(self, method: Method) -> str | dict[str, Any]:
        """As recipes write it: its kind alone, where that is all there is to say."""
        fields = method.model_dump(mode="json")
        return method.kind if fields.keys() == {"kind"} else fields

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from self.method.conflicts(context)
        if self.freeze and not context.generator.left_open:
            yield from self._conflicts_of_freeze(context)
        if self.teacher is not None:
            yield from self._conflicts_of_teacher(context)
        if self.warmup_steps and self.warmup_share:
            problem = "both say how long the rate rises: leave one out"
            yield Conflict("train.warmup_steps", f"and train.warmup_share {problem}")
        if self.warmup_steps > self.steps:
            problem = f"is {self.warmup_steps}, and the run has {self.steps} steps"
            never = "the rate would never reach train.lr"
            sooner = f"train.warmup_steps={self.steps // 10}"
            yield Conflict(".warmup_steps", f"{problem}, {never}", (sooner,))

    def _conflicts_of_teacher(self, context: RecipeContext) -> Iterator[Conflict]:
        """It sees each whole photo once, as the task makes its input of it."""
        if context.method.kind != "paired":
            problem = f"and train.method '{context.method.kind}': it needs method paired"
            yield Conflict(".teacher", f"{problem}, where a condition has a target")
        elif context.task.draws:
            problem = f"sees each photo once, and task '{context.task.kind}' draws its input anew"
            instead = "use a task whose input is the same each time, such as pairs from files"
            yield Conflict(".teacher", f"{problem} for every crop: {instead}")
        elif not context.learns_from_teacher:
            problem = "has no part in the losses: add one such as {kind: l1, against: teacher}"
            yield Conflict(".teacher", problem)

    def _conflicts_of_freeze(self, context: RecipeContext) -> Iterator[Conflict]:
        """What is frozen must be parts of the generator, and not all of it."""
        with torch.device("meta"):  # shapes and names alone
            network = context.build_generator()
        parts = {
            name: part
            for name, part in network.named_modules()
            if name and any(True for _ in part.parameters())
        }
        for name in self.freeze:
            if name not in parts:
                every = len([*network.parameters()])
                some = [n for n, part in parts.items() if len([*part.parameters()]) < every]
                top = [n for n in some if not any(n.startswith(f"{other}.") for other in some)]
                known = did_you_mean(name, some, f"; parts: {', '.join(top)}")
                problem = f"generator '{context.generator.kind}' has no such part{known}"
                yield Conflict(".freeze", f"'{name}': {problem}")
                return
        held = {id(p) for name in self.freeze for p in parts[name].parameters()}
        if all(id(p) in held for p in network.parameters() if p.requires_grad):
            yield Conflict(".freeze", "names all of the generator: nothing would learn")
