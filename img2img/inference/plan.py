"""What to do with a photo, chosen or asked for, and doing it: the one road of command line and app
from photo to photo.

Which task applies is each task's own knowledge; none is named here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from img2img.devices import Precision
from img2img.errors import Advice, Option, Phrase, UserError
from img2img.inference.blend import check_detail, checked_pair, pair_of
from img2img.inference.canvas import feathered
from img2img.inference.pipeline import Model, Options, load
from img2img.inference.statistics import statistics
from img2img.modelfile import Header
from img2img.pixels.images import Photo
from img2img.pixels.masks import grow
from img2img.pixels.tiling import TILE_PX, tiles
from img2img.tasks import MaskedTask, PhotoTask, Task, ask, has_answer, photo_tasks, task_class
from img2img.zoo import model_path
from img2img.zoo.catalogue import CATALOGUE

OnTile = Callable[[int, int], None]
Size = tuple[int, int]


@dataclass(frozen=True)
class PlanStep:
    """One model applied to the photo; `reason` completes "because …", and is empty for what was
    asked for.
    """

    task: str
    model: str
    verb: str
    reason: str = ""
    detail: float | None = (
        None  # between the model and its crisper half; None leaves the model as it is
    )


@dataclass(frozen=True)
class Plan:
    """Steps in order; `skipped` are sentences on what is left out: steps without a model here, a
    detail without use.

    `declined` are sentences on what the photo nearly asks for, but what was seen speaks against.
    """

    steps: tuple[PlanStep, ...]
    skipped: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()

    @property
    def tasks(self) -> str:
        """Task names, separated by commas."""
        return ",".join(step.task for step in self.steps)

    @property
    def tag(self) -> str:
        """What stands in a result's name: the task, or `auto` for a chain and for a copy."""
        return self.steps[0].task if len(self.steps) == 1 else "auto"

    @property
    def models(self) -> str:
        """Model names, separated by commas."""
        return ",".join(step.model for step in self.steps)

    @property
    def sentence(self) -> Phrase:
        """One line for people: what will be done, and why."""
        return self.told("copied unchanged")

    def told(self, unchanged: str) -> Phrase:
        """The same, where `unchanged` says what becomes of a photo to which nothing is done."""
        return Phrase.joined(self.sentences(unchanged), "; ")

    def sentences(self, unchanged: str) -> list[str]:
        """What is done and why, then what is left out."""
        if not self.steps and not self.skipped:
            asked = Phrase("what may be asked: ", Option("task", "|".join(photo_tasks())))
            return [f"{unchanged}, nothing needs doing", asked, *self.declined]
        done = _listed([step.verb for step in self.steps], ", then ") or unchanged
        reasons = [step.reason for step in self.steps if step.reason]
        why = (
            f", because {_listed(reasons, ' and ')}"
            if reasons
            else ", as asked"
            if self.steps
            else ""
        )
        return [done + why, *self.skipped, *self.declined]


def plan(
    photo: Photo,
    mask: np.ndarray | None = None,
    tasks: Sequence[str] | None = None,
    scale: int | None = None,
    model: str | None = None,
    detail: float | None = None,
) -> Plan:
    """Steps for a photo: those asked for by task or model, else those whose tasks say that they
    apply.

    `scale` chooses the enlargement, `detail` in [0,1] mixes models with their crisper half. A task
    asked for by name gets the model for found photos where the photo shows the damage it is for.
    Raises UserError for unknown names, an asked step without a model, a mask nobody uses, or a
    photo too small.
    """
    asked = asked_steps(tasks, scale, model, detail)
    if asked is None:
        made = _automatic(photo, mask, scale, detail)
    else:
        made = Plan(asked if model is not None else _for_this_photo(asked, photo, mask))
    least = max((_class_of(step.task).minimum_px for step in made.steps), default=0)
    if min(photo.size) < least:
        raise UserError(
            f"the photo is {photo.size[0]}x{photo.size[1]}: at least {least}x{least} pixels are needed"
        )
    if mask is not None and not any(
        issubclass(_class_of(step.task), MaskedTask) for step in made.steps
    ):
        fills = ", ".join(kind for kind in photo_tasks() if issubclass(_class_of(kind), MaskedTask))
        raise UserError(
            f"'{made.tasks}' fills nothing",
            field="mask",
            remedy=Advice("leave the mask out, or ask for ", Option("task", fills)),
        )
    return made


def check_hints(steps: Sequence[PlanStep]) -> None:
    """Raise UserError unless a step takes a person's colors."""
    if not any(_class_of(step.task).takes_hints for step in steps):
        names = ",".join(step.task for step in steps) or "the automatic plan"
        able = ", ".join(kind for kind in photo_tasks() if _class_of(kind).takes_hints)
        raise UserError(
            f"{names} colors nothing",
            field="hints",
            remedy=Advice("leave the hints out, or ask for ", Option("task", able)),
        )


def asked_steps(
    tasks: Sequence[str] | None, scale: int | None, model: str | None, detail: float | None = None
) -> tuple[PlanStep, ...] | None:
    """The steps a person named, None when the choice is left to the plan. Raises UserError as
    `plan` does.
    """
    if detail is not None:
        check_detail(detail)  # here, for a plan may hold no step that would notice
    steps = _named_steps(tasks, scale, model)
    if steps is None or detail is None:
        return steps
    mixed = tuple(_with_detail(step, detail) for step in steps)
    if all(step.detail is None for step in mixed):
        checked_pair(CATALOGUE.entry(mixed[-1].model), detail)  # raises, naming it
    return mixed


def _named_steps(
    tasks: Sequence[str] | None, scale: int | None, model: str | None
) -> tuple[PlanStep, ...] | None:
    if model is not None:
        return (_step_of_model(model, tasks, scale),)
    if not tasks:
        return None
    if scale is not None and not any(_enlarges(kind) for kind in tasks):
        able = ", ".join(kind for kind in photo_tasks() if _enlarges(kind))
        raise UserError(
            f"'{','.join(tasks)}' does not enlarge",
            field="scale",
            remedy=Advice.leave_out("scale") | Advice.set("task", able),
        )
    return tuple(_step(kind, scale) for kind in tasks)


def run_plan(
    plan: Plan,
    photo: Photo,
    mask: np.ndarray | None = None,
    options: Options = Options(),
    *,
    feather_px: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    on_tile: OnTile | None = None,
) -> Photo:
    """The photo after every step, in float between them and at its own depth at the end.

    `on_tile(step, tiles done)` is called as work goes on, steps counted from 0; raising in it
    cancels.
    """
    depth = photo.rgb.dtype
    for number, step in enumerate(plan.steps):
        path = model_path(step.model)
        loaded = _loaded(path, path.stat().st_mtime_ns, device, precision, step.detail)
        model = copy(loaded)  # shares weights, but not the callback
        model.on_tile = None if on_tile is None else (lambda done, n=number: on_tile(n, done))
        dtype = depth if number == len(plan.steps) - 1 else np.dtype(np.float32)
        photo = _applied(model, photo, mask, options, feather_px, dtype)
        if mask is not None and model.task.scale > 1:
            mask = mask.repeat(model.task.scale, 0).repeat(model.task.scale, 1)
    return photo


def task_of(step: PlanStep) -> Task:
    """The task as the step's model was trained for it: with its scale."""
    return CATALOGUE.entry(step.model).task


def tile_counts(plan: Plan, size: Size) -> tuple[int | None, ...]:
    """How many tiles each step will have on a photo of a (width, height); None where only the work
    itself shows it.
    """
    counts: list[int | None] = []
    for step in plan.steps:
        header = CATALOGUE.entry(step.model).header
        counts.append(_tile_count(size, header) if header.recipe.task.tiles else None)
        size = (size[0] * header.recipe.task.scale, size[1] * header.recipe.task.scale)
    return tuple(counts)


def _tile_count(size: Size, header: Header) -> int:
    if max(size) <= TILE_PX:
        return 1
    height_width = (size[1], size[0])
    return sum(
        1
        for _ in tiles(
            height_width, header.card.tile_overlap_px, header.recipe.generator.multiple_of
        )
    )


def _automatic(
    photo: Photo, mask: np.ndarray | None, scale: int | None, detail: float | None
) -> Plan:
    """Every task that applies to the photo, in plan order; one without a model is left out and said
    so.
    """
    seen, steps, skipped, declined = statistics(photo, mask), [], [], []
    for kind, task in photo_tasks().items():
        wanted = scale is not None and task.usual_scale > 1
        reason = f"×{scale} was asked for" if wanted else ask("applies", kind, seen)
        beside_the_point = (
            seen.has_mask and not issubclass(task, MaskedTask) and not wanted
        )  # a mask says what is wanted
        if (
            not reason
            and scale is None
            and not seen.has_mask
            and (against := ask("declines", kind, seen))
        ):
            declined.append(
                Phrase(
                    *(f"not done: {task.verb}, since {against}; ", Option("task", kind)),
                    " does it all the same",
                )
            )
        if not reason or beside_the_point:
            continue
        try:
            steps.append(_with_detail(_step(kind, scale, reason, found_photo=True), detail))
        except UserError as error:
            if wanted or issubclass(task, MaskedTask):
                raise
            skipped.append(Phrase(f"not done: {task.verb}, though {reason} (", error.phrase, ")"))
    if detail is not None and steps and all(step.detail is None for step in steps):
        left_out = Option("detail", f"{detail:g}")
        skipped.append(Phrase(left_out, " left out: no step has a crisper half to mix with"))
    return Plan(tuple(steps), tuple(skipped), tuple(declined))


def _for_this_photo(
    steps: Sequence[PlanStep], photo: Photo, mask: np.ndarray | None
) -> tuple[PlanStep, ...]:
    """Steps asked for by name, with models for found photos where the photo has what those were
    made for.
    """
    found = {
        step.task: CATALOGUE.default(step.task, found_photo=True).name
        for step in steps
        if has_answer("wants_found_model", step.task)
    }
    if all(found.get(step.task, step.model) == step.model for step in steps):
        return tuple(steps)
    seen = statistics(photo, mask)
    wanted = {kind: model for kind, model in found.items() if ask("wants_found_model", kind, seen)}
    return tuple(replace(step, model=wanted.get(step.task, step.model)) for step in steps)


def _step(kind: str, scale: int | None, reason: str = "", *, found_photo: bool = False) -> PlanStep:
    """The step for a task with the shipped model that fits; `scale` matters to tasks that enlarge
    alone.
    """
    task = _class_of(kind)
    factor = (scale or task.usual_scale) if task.usual_scale > 1 else None
    return PlanStep(
        kind,
        CATALOGUE.default(kind, factor, found_photo=found_photo).name,
        _verb(task, factor or 1),
        reason,
    )


def _with_detail(step: PlanStep, detail: float | None) -> PlanStep:
    """The step at this detail, if its model has a crisper half."""
    if detail is None or pair_of(CATALOGUE.entry(step.model)) is None:
        return step
    return replace(step, detail=detail)


def _step_of_model(name: str, tasks: Sequence[str] | None, scale: int | None) -> PlanStep:
    task = CATALOGUE.entry(name).task
    if task.from_noise:
        raise UserError(
            Phrase("'", Path(name), "' makes pictures from noise, not from photos"),
            field="model",
            remedy=Advice.run("generate", Option("model", Path(name))),
        )
    if tasks and list(tasks) != [task.kind]:
        raise UserError(
            Phrase(
                "'",
                Path(name),
                "' is for ",
                Option("task", task.kind),
                f", not '{','.join(tasks)}'",
            ),
            field="model",
            remedy="leave one of them out",
        )
    if scale not in (None, task.scale):
        raise UserError(
            Phrase("model '", Path(name), f"' is for ×{task.scale}, not ×{scale}"),
            field="scale",
            remedy=Advice.leave_out("scale"),
        )
    return PlanStep(task.kind, name, _verb(task, task.scale))


def _applied(
    model: Model,
    photo: Photo,
    mask: np.ndarray | None,
    options: Options,
    feather_px: int,
    dtype: np.dtype[Any],
) -> Photo:
    if options.from_photo and type(model.photo_task).from_photo is PhotoTask.from_photo:
        raise UserError(
            f"'{model.task.kind}' takes the photo as it is",
            field="from_photo",
            remedy=Advice.leave_out("from_photo"),
        )
    if not model.task.takes_hints:
        options = replace(options, hints=None)  # they are for another step of the plan
    if not model.task.needs_mask or mask is None or not feather_px:
        return model.run(photo, mask, options, dtype)
    return feathered(
        photo, model.run(photo, grow(mask, feather_px), options, dtype), mask, feather_px
    )


@lru_cache(maxsize=4)
def _loaded(
    path: Path, changed: int, device: str, precision: Precision, detail: float | None
) -> Model:
    """A model kept ready; `changed`, the file's time stamp, makes a retrained file a new one."""
    return load(path, device=device, precision=precision, detail=detail)


def _class_of(kind: str) -> type[PhotoTask]:
    """What the plan asks of tasks it asks of their classes: a stranger's may have required fields."""
    found = task_class(kind, trusted=False)
    if issubclass(found, PhotoTask):
        return found
    raise UserError(
        f"'{kind}' makes pictures from noise, not from photos",
        field="task",
        remedy=Advice.run("generate"),
    )


def _enlarges(kind: str) -> bool:
    return _class_of(kind).usual_scale > 1


def _verb(task: Task | type[Task], scale: int) -> str:
    return f"{task.verb} ×{scale}" if scale > 1 else task.verb


def _listed(words: list[str], last: str) -> str:
    """`a, b and c`, the last joined by `last`."""
    return last.join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
