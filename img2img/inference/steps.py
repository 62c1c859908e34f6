"""Which steps: those a user named, or those a photo wants.

Which task applies is each task's own knowledge; none is named here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from img2img.arguments import check_share
from img2img.errors import Advice, Option, Phrase, UserError
from img2img.inference.blend import checked_pair, pair_of
from img2img.inference.output_size import Growth, WidthHeight, check_grows, factors_for
from img2img.inference.plan import Plan, PlanStep
from img2img.tasks import (
    PhotoStatistics,
    PhotoTask,
    ask,
    has_answer,
    photo_tasks,
    task_class,
)
from img2img.zoo.catalogue import CATALOGUE, Entry

NONE = "none"
"""In the place of tasks: nothing is to be done."""


def asked_steps(
    tasks: Sequence[str], growth: Growth | None, model: str | None, detail: float | None
) -> tuple[PlanStep, ...] | None:
    """The steps a user named, None when the choice is left to the photo.

    `growth` chooses the enlargement: none where the photo has not to grow. `detail` in [0,1] mixes
    models with their crisper half. Raises UserError for unknown names, a step without a model, and
    a growth without use.
    """
    if detail is not None:
        check_share("detail", detail)  # here, for a plan may hold no step that would notice
    kinds = [kind for kind in tasks if kind != NONE]
    if model is not None:
        steps = _steps_of_model(model, tasks, growth)
    elif not tasks:
        return None
    else:
        enlarges = any(_class_of(kind).usual_scale > 1 for kind in kinds)
        if growth is not None and growth.factor > 1 and not enlarges:
            able = _names(lambda task: task.usual_scale > 1)
            raise UserError(
                f"'{','.join(tasks)}' does not enlarge",
                field=growth.option,
                remedy=Advice.leave_out(growth.option) | Advice.set("task", able),
            )
        steps = [step for kind in kinds for step in _steps(kind, growth)]
    return tuple(_with_detail(step, detail) for step in steps)


def check_detail(steps: Sequence[PlanStep], detail: float | None) -> None:
    """Raise UserError for a detail that no step has a use for."""
    if detail is not None and steps and all(step.detail is None for step in steps):
        checked_pair(steps[-1].model, detail)  # raises, naming it


def automatic_plan(seen: PhotoStatistics, growth: Growth | None, detail: float | None) -> Plan:
    """Every task that applies to a photo, in plan order; one without a model is left out with a
    sentence that says so.
    """
    steps: list[PlanStep] = []
    skipped, declined = list[str](), list[str]()
    for kind, task in photo_tasks().items():
        wanted = growth if task.usual_scale > 1 else None
        fills = task.fills
        # A mask says what is wanted: to fill it, and nothing else.
        if seen.has_mask and not fills and not wanted:
            continue
        reason = f"{wanted.asked} was asked for" if wanted else ask("applies", kind, seen)
        untouched = growth is None and not seen.has_mask  # nothing was asked of it
        if not reason and untouched and (against := ask("declines", kind, seen)):
            refused = f"not done: {task.verb}, since {against}; "
            declined.append(Phrase(refused, Option("task", kind), " does it all the same"))
        if not reason:
            continue
        try:
            found = _steps(kind, growth, reason, found_photo=True)
            steps += [_with_detail(step, detail) for step in found]
        except UserError as error:
            if wanted or fills:
                raise
            skipped.append(Phrase(f"not done: {task.verb}, though {reason} (", error.phrase, ")"))
    if detail is not None and steps and all(step.detail is None for step in steps):
        left_out = Option("detail", f"{detail:g}")
        skipped.append(Phrase(left_out, " left out: no step has a crisper half to mix with"))
    return Plan(tuple(steps), tuple(skipped), tuple(declined))


def for_found_photos(
    steps: Sequence[PlanStep], measure: Callable[[], PhotoStatistics]
) -> tuple[PlanStep, ...]:
    """Steps asked for by name, with the models for found photos where the photo has the damage
    those were trained on; `measure` measures the photo, and is called only where that matters.
    """
    chosen = []
    for step in steps:
        if has_answer("wants_found_model", step.task):
            found = CATALOGUE.default(step.task, found_photo=True)
            if found != step.model and ask("wants_found_model", step.task, measure()):
                step = replace(step, model=found)
        chosen.append(step)
    return tuple(chosen)


def check_photo(plan: Plan, size: WidthHeight, masked: bool) -> None:
    """Raise UserError for a photo too small for a step, and for a mask that no step fills."""
    least = max((step.model.photo_task.minimum_px for step in plan.steps), default=0)
    if min(size) < least:
        raise UserError(
            f"the photo is {size[0]}x{size[1]}",
            remedy=f"at least {least}x{least} pixels are needed",
        )
    if masked and not any(fills_mask(step) for step in plan.steps):
        fills = _names(lambda task: task.fills or task.finds)
        raise UserError(
            f"'{plan.tasks}' fills nothing",
            field="mask",
            remedy=Advice("leave the mask out, or ask for ", Option("task", fills)),
        )


def fills_mask(step: PlanStep) -> bool:
    """Whether a step fills a mask: one that it is given, or one that it finds."""
    return step.fill is not None or step.model.photo_task.fills


def check_hints(steps: Sequence[PlanStep]) -> None:
    """Raise UserError unless a step takes a user's colors."""
    if not any(step.model.photo_task.takes_hints for step in steps):
        names = ",".join(step.task for step in steps) or "the automatic plan"
        able = _names(lambda task: task.takes_hints is True)  # with any settings
        raise UserError(
            f"{names} colors nothing",
            field="hints",
            remedy=Advice("leave the hints out, or ask for ", Option("task", able)),
        )


def check_from_photo(steps: Sequence[PlanStep]) -> None:
    """Raise UserError for a step that cannot make its condition from a finished photo."""
    for step in steps:
        if type(step.model.photo_task).from_photo is PhotoTask.from_photo:
            raise UserError(
                f"'{step.task}' takes the photo as it is",
                field="from_photo",
                remedy=Advice.leave_out("from_photo"),
            )


def _steps(
    kind: str, growth: Growth | None, reason: str = "", *, found_photo: bool = False
) -> list[PlanStep]:
    """The step for a task with the shipped model that fits. `growth` matters to tasks that enlarge
    alone, which take as many steps as it needs.
    """
    task = _class_of(kind)
    factors: Sequence[int | None] = [None]
    if task.usual_scale > 1:
        factors = [task.usual_scale]
        if growth is not None:
            factors = factors_for(growth, [entry.scale for entry in CATALOGUE.defaults(kind)])
    return [
        _step(
            CATALOGUE.default(kind, factor, found_photo=found_photo),
            _verb(task.verb, factor or 1),
            reason,
        )
        for factor in factors
    ]


def _step(model: Entry, verb: str, reason: str = "") -> PlanStep:
    fill = CATALOGUE.filler() if model.photo_task.finds else None
    return PlanStep(model, verb, reason, fill=fill)


def _steps_of_model(name: str, tasks: Sequence[str], growth: Growth | None) -> list[PlanStep]:
    """Its only step; none for a model that enlarges and a photo that has not to grow."""
    model = CATALOGUE.entry(name)
    task = model.photo_task
    if tasks and list(tasks) != [task.kind]:
        raise UserError(
            Phrase(
                *("'", Path(name), "' is for ", Option("task", task.kind)),
                f", not '{','.join(tasks)}'",
            ),
            field="model",
            remedy="leave one of them out",
        )
    check_grows(growth, task.scale, Phrase("'", Path(name), "'"))
    if growth is not None and growth.factor <= 1 and task.scale > 1:
        return []
    return [_step(model, _verb(task.verb, task.scale))]


def _with_detail(step: PlanStep, detail: float | None) -> PlanStep:
    """The step at this detail, if its model has a crisper half."""
    if detail is None or pair_of(step.model) is None:
        return step
    return replace(step, detail=detail)


def _verb(verb: str, scale: int) -> str:
    return f"{verb} ×{scale}" if scale > 1 else verb


def _class_of(kind: str) -> type[PhotoTask]:
    """The class of a task on photos: what is asked of tasks is asked of their classes, since a
    stranger's may have fields that must be given.
    """
    found = task_class(kind, trusted=False)
    if issubclass(found, PhotoTask):
        return found
    raise UserError(
        f"'{kind}' makes pictures from noise, not from photos",
        field="task",
        remedy=Advice.run("generate"),
    )


def _names(wanted: Callable[[type[PhotoTask]], bool]) -> str:
    return ", ".join(kind for kind, task in photo_tasks().items() if wanted(task))
