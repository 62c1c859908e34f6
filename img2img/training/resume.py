"""Resuming a run: which fields of the recipe may differ, which are refused, what is loaded."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from img2img.data.dataset import Photos
from img2img.data.identity import data_change
from img2img.diagnostics.runlog import Averages
from img2img.errors import Advice, Option, Phrase, UserError
from img2img.recipe import Recipe
from img2img.training.processes import first_decides, of_the_first
from img2img.training.run_folder import RunFolder
from img2img.training.step import TrainingStep
from img2img.training.teacher import Teacher

log = logging.getLogger("img2img")


def other_version() -> UserError:
    """The error for a checkpoint that this version cannot read."""
    return UserError(
        "the checkpoint was written by another version of img2img; nothing was changed",
        field="resume",
        remedy=Advice("go on with that version, or start anew with another ", Option("out")),
    )


# Fields that mend a run which met NaN: they may differ when a run goes on, with a warning.
MENDING = {"train": ("lr", "clip_norm", "precision"), "adversarial": ("lr",)}
# Fields that may differ: where the same photos lie, how often is reported and saved, the mending.
FREE = {
    "data": ("kind", "path", "urls", "download_cache_mb", "terms", "cache_mb", "workers"),
    "train": (
        "steps",
        "init",
        "init_partial",
        "log_every",
        "validate_every",
        "checkpoint_every",
        "checkpoint_minutes",
        "on_trouble",
        "keep_best",
        "track",
        *MENDING["train"],
    ),
    "adversarial": MENDING["adversarial"],
}


def start_or_resume(
    folder: RunFolder, recipe: Recipe, accelerator: Accelerator, resume: bool
) -> tuple[dict[str, Any] | None, dict[str, torch.Tensor]]:
    """Lock the folder. The facts of the checkpoint to go on from, None for a fresh start; its
    tensors, in the first process.

    Raises UserError where a run would be lost or would not be the run that was stopped.
    """
    tensors: dict[str, torch.Tensor] = {}

    def take_folder() -> dict[str, Any] | None:
        checkpoint = folder.take(resume=resume)
        if checkpoint is None:
            return None
        check_same_run(checkpoint.facts, recipe)
        tensors.update(checkpoint.tensors)
        return checkpoint.facts

    return first_decides(take_folder, accelerator), tensors


def check_same_run(facts: dict[str, Any], recipe: Recipe) -> None:
    """Raise UserError when a resumed run would not be the run that was stopped; warn when its
    schedule moves.

    `facts` are the checkpoint's; what recipes could not say when it was written has its default.
    """
    saved, wanted = _recipe_of(facts, recipe), recipe.fields()
    for part in wanted:
        old, new = (
            {name: value for name, value in fields[part].items() if name not in FREE.get(part, ())}
            if isinstance(fields[part], dict)
            else fields[part]
            for fields in (saved, wanted)
        )
        if json.dumps(old) != json.dumps(new) and part != "name":
            raise UserError(
                f"the run was started with another {part}: {_differences(part, old, new)}",
                field="resume",
                remedy=Advice("undo the change, or start a new ", Option("out")),
            )
    before, now = saved["train"], wanted["train"]
    if before["steps"] != now["steps"]:
        log.warning("train.steps was %d: the learning rate follows the new length", before["steps"])
    for part, names in MENDING.items():
        # `adversarial: null` has nothing to mend
        before, now = (fields[part] or {} for fields in (saved, wanted))
        for name in names:
            old, new = before.get(name), now.get(name)
            if old != new:
                log.warning("%s.%s was %s, and is %s from here on", part, name, old, new)


def _recipe_of(facts: dict[str, Any], wanted: Recipe) -> dict[str, Any]:
    try:
        float(facts["step"]), float(facts["seconds"]), Averages(facts["averages"])
        saved: dict[str, Any] = facts["recipe"]
        # Only the task that is asked for anyway may be code that is imported: a checkpoint runs
        # none of its own.
        return Recipe.parse(saved, trusted=saved["task"]["kind"] == wanted.task.kind).fields()
    except (KeyError, TypeError, ValueError, AttributeError, UserError) as error:
        raise other_version() from error


def _differences(place: str, old: Any, new: Any) -> str:
    """`train.batch_size was 8, and is 4`, for each field that differs."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return f"{place} was {old}, and is {new}"
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return "; ".join(
        _differences(f"{place}.{name}", old.get(name), new.get(name)) for name in names
    )


def recipe_of_process(
    recipe: Recipe, facts: dict[str, Any] | None, accelerator: Accelerator
) -> Recipe:
    """The recipe with the batches of one process: its own, unless the run is resumed in another
    number of processes than it began in.

    A step is of the same samples in any number of them: each process takes an equal part, in
    micro-batches no larger than the recipe's. Raises UserError where there is no such part.
    """
    train, now = recipe.train, accelerator.num_processes
    began = (facts or {}).get("processes", now)  # earlier versions did not write it
    if began == now:
        return recipe
    images = train.batch_size * train.accumulate * began
    part, left = divmod(images, now)
    size = max((n for n in range(1, train.batch_size + 1) if part % n == 0), default=1)
    fields = (f"train.batch_size={size}", f"train.accumulate={max(part // size, 1)}")
    own = None if left else recipe.changed(fields)
    if own is None:
        raise UserError(
            f"the run began in {began} processes, with {images} samples a step: {now} cannot take "
            "equal parts of them",
            field="resume",
            remedy=f"start {began}, or another number that divides the samples",
        )
    if accelerator.is_main_process:
        log.warning(
            "the run began in %d processes and goes on in %d: the same %d samples a step, %d at "
            "once in each",
            *(began, now, images, size),
        )
    return own


def compare_data(photos: Photos, facts: dict[str, Any]) -> None:
    """Warn when the photos are not those that the run was started with; files that were left out
    before stay in the list.
    """
    change = data_change(facts["data"], photos.identity) if "data" in facts else None
    if change:
        change = f": the data has changed: {change}; the run goes on with what is there"
        log.warning(Phrase(Option("resume"), change))
    # Compared by folder and name: the same photos may lie elsewhere now.
    here = {Path(name).parts[-2:] for name in photos.left_out}
    earlier = facts.get("left_out", {}).items()
    photos.left_out = {
        name: why for name, why in earlier if Path(name).parts[-2:] not in here
    } | photos.left_out


def check_teacher(teacher: Teacher | None, facts: dict[str, Any]) -> None:
    """Raise UserError when the teacher's name stands for another model than when the run began."""
    if teacher is not None and facts.get("teacher") != teacher.digest:
        raise UserError(
            f"'{teacher.entry.name}' was another model when the run was started",
            field="train.teacher",
            remedy=Advice("put that one back, or start a new ", Option("out")),
        )


def load_state(
    step: TrainingStep,
    tensors: dict[str, torch.Tensor],
    accelerator: Accelerator,
    facts: dict[str, Any] | None,
) -> None:
    """Take up a checkpoint's tensors, if any; every process then has the first one's state."""
    if tensors:
        try:
            step.load_state(tensors)
        except (KeyError, IndexError, RuntimeError, ValueError) as error:
            raise other_version() from error
    if accelerator.num_processes > 1:
        step.load_state(of_the_first(step.state(), accelerator))
    several = max(accelerator.num_processes, (facts or {}).get("processes", 1)) > 1
    if tensors and several and any(d.pool for d in step.discriminators.values()):
        log.warning(
            "the replay pool of the first process is taken up by all: not the run it would have "
            "been"
        )
