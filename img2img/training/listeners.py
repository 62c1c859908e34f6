"""What happens after each step of a training: progress, log, validation, doctor, checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from img2img.cores import CrowdWatch
from img2img.diagnostics.findings import Diagnosis
from img2img.diagnostics.runlog import Averages, Bar, Clock, Number
from img2img.diagnostics.treatment import Treatment, severity_before
from img2img.errors import StoppedByDoctor
from img2img.recipe import TrainConfig
from img2img.training.best import Best
from img2img.training.run_folder import RESUME_GOES_ON, RunFolder
from img2img.training.saving import Saver
from img2img.training.step import TrainingStep
from img2img.training.validation import Validation

log = logging.getLogger("img2img")

SHEET_ROWS = 6


Listener = Callable[[int, Mapping[str, Number]], None]
"""Called in every process after each step, with the number of steps taken and its numbers."""


@dataclass
class ShowProgress:
    """A bar or plain lines on the terminal."""

    bar: Bar

    def __call__(self, step: int, logs: Mapping[str, Number]) -> None:
        pace = {name: float(logs[name]) for name in ("images_per_second", "data_wait")}
        losses = {k: v for k, v in logs.items() if k not in pace and not k.endswith("norm")}
        self.bar.advance(**pace, losses=losses)


class LogEvery:
    """Every `train.log_every` steps the means since the last row, in log.jsonl and the trackers."""

    def __init__(
        self,
        folder: RunFolder,
        training_step: TrainingStep,
        clock: Clock,
        averages: Averages,
    ) -> None:
        self.train, self.training_step = training_step.recipe.train, training_step
        self.folder, self.clock, self.averages = folder, clock, averages

    def __call__(self, step: int, logs: Mapping[str, Number]) -> None:
        self.averages.add(logs)
        if step % self.train.log_every and step < self.train.steps:
            return
        means, peaks = self.averages.take()
        seen = {
            "images": step * self.training_step.images_per_step,
            "seconds": round(self.clock.seconds, 2),
        }
        means |= self.training_step.rates
        self.folder.write(step=step, **seen, **means, peaks=peaks)
        self.folder.board.numbers(means, step=step)


class Validate:
    """Every `train.validate_every` steps metrics, vital signs and a sheet of samples; with
    `train.keep_best`, the best model is kept.
    """

    def __init__(
        self, validation: Validation, folder: RunFolder, saver: Saver, best: Best | None
    ) -> None:
        self.validation, self.folder, self.saver, self.best = validation, folder, saver, best
        self.train = validation.recipe.train

    def __call__(self, step: int, logs: Mapping[str, Number]) -> None:
        if step % self.train.validate_every == 0 and step < self.train.steps:
            self.now(step)
            self.folder.write_report()

    def now(self, step: int, **mark: bool) -> dict[str, dict[str, Any]]:
        """Validate, in the first process, and log it; returns metrics and baseline.

        `mark` goes into the log's row.
        """
        validation, photos = self.validation, self.validation.photos
        if not self.folder.is_main or not photos.validation:
            return {"validation": {}, "baseline": {}}
        held_out = validation.measure(photos.validation, "validation")
        trained = validation.measure(photos.trained, "training")
        self.folder.write_samples(step, validation.method.sheet(held_out.rows[:SHEET_ROWS]))
        numbers = {"validation": held_out.metrics, "baseline": held_out.baseline.numbers}
        groups = dict(numbers)
        if trained.rows:
            groups["training"] = trained.metrics
            groups["training_baseline"] = trained.baseline.numbers
        groups["vitals"] = validation.method.vitals(held_out.rows)
        named = {"baseline_is": held_out.baseline.named}
        self.folder.write(step=step, **mark, **groups, **named)
        tagged = {f"{group}/{name}": v for group, vs in groups.items() for name, v in vs.items()}
        self.folder.board.numbers(tagged, step=step)
        if self.best and not mark and self.best.is_reached_by(held_out.metrics):
            self.best.card = self.saver.save_model(self.best.path, step, {**numbers, **named})
        return {**numbers, **named}


class Doctor:
    """Whenever a row was logged: report what the doctor finds, and do what `train.on_trouble` says.

    Raises StoppedByDoctor.
    """

    def __init__(
        self,
        treatment: Treatment,
        folder: RunFolder,
        training_step: TrainingStep,
        save: Callable[[], None],
    ) -> None:
        self.treatment, self.folder, self.save = treatment, folder, save
        self.train, self.training_step = training_step.recipe.train, training_step

    def __call__(self, step: int, logs: Mapping[str, Number]) -> None:
        logged = step % self.train.log_every == 0 or step % self.train.validate_every == 0
        if not logged or step == self.train.steps:
            return
        found = self.treatment.news(self.folder.rows)
        self.report(found)
        if self.treatment.wants_stop(found):
            self.save()
            worst = found[0].line if found else "stopped by the main process"
            raise StoppedByDoctor(
                f"{worst}; train.on_trouble=stop, everything is saved",
                place=f"step {step}",
                remedy=RESUME_GOES_ON,
            )
        rows, before = self.folder.rows, self.training_step.remedies
        self.training_step.remedies, remedy = self.treatment.adapted(rows, before)
        if remedy and self.folder.is_main:
            log.warning("step %d: %s: %s", step, remedy["diagnosis"], remedy["remedy"])
            self.folder.write(**remedy)
            text = f"{remedy['diagnosis']}: {remedy['remedy']}"
            self.folder.board.text("doctor", text, step)

    def report(self, found: list[Diagnosis]) -> None:
        """New findings, on the terminal, in log.jsonl and the trackers."""
        for diagnosis in found:
            before = severity_before(diagnosis, self.folder.rows)
            milder = f" (it was {before})" if before else ""
            log.warning("step %d: %s%s", diagnosis.step, diagnosis.line, milder)
            self.folder.write(**diagnosis.row())
            self.folder.board.text("doctor", diagnosis.line, diagnosis.step)


@dataclass
class WatchCores:
    """Every `train.log_every` steps: a warning where other processes have taken the cores."""

    train: TrainConfig
    watch: CrowdWatch

    def __call__(self, step: int, logs: Mapping[str, Number]) -> None:
        if step % self.train.log_every == 0:
            self.watch.look()


@dataclass
class SaveCheckpoint:
    """Every `train.checkpoint_every` steps, and after `train.checkpoint_minutes` without one."""

    train: TrainConfig
    saver: Saver

    def __call__(self, step: int, logs: Mapping[str, Number]) -> None:
        overdue = time.monotonic() - self.saver.saved_at > self.train.checkpoint_minutes * 60
        if (step % self.train.checkpoint_every == 0 or overdue) and step < self.train.steps:
            self.saver.save(step)
