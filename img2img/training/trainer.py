"""The training loop: data in order, one step after another, and listeners after each.

A run resumes exactly from any interruption: sample n is a function of (seed, n), what is drawn
within a step one of (seed, step, process).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from img2img.cores import CrowdWatch
from img2img.data.sample import Batch
from img2img.diagnostics.runlog import Averages, Bar, Clock
from img2img.diagnostics.treatment import Treatment
from img2img.diagnostics.vitals import ranges
from img2img.errors import (
    Interrupted,
    Option,
    Phrase,
    StoppedByDoctor,
    StorageError,
    StructuredError,
    TrainingError,
    UserError,
)
from img2img.files import check_writable
from img2img.pixels.sheets import write_animation
from img2img.recipe import Recipe
from img2img.training.batches import is_of_loader, load_batches
from img2img.training.checkpoint import latest_checkpoint
from img2img.training.compiling import chooses_compiling, compile_networks
from img2img.training.listeners import (
    Doctor,
    Listener,
    LogEvery,
    SaveCheckpoint,
    ShowProgress,
    Validate,
    WatchCores,
)
from img2img.training.processes import (
    ProcessLost,
    anywhere,
    decided,
    leave,
    of_all,
    wait_for_all,
)
from img2img.training.resume import (
    check_teacher,
    compare_data,
    load_state,
    recipe_of_process,
    start_or_resume,
)
from img2img.training.run_folder import MODEL, RESUME_GOES_ON, RunFolder
from img2img.training.saving import Saver
from img2img.training.setup import (
    accelerator_for,
    best_model,
    build_step,
    describe_weights,
    open_data,
    set_initial_weights,
)
from img2img.training.signals import stopping_on_signals
from img2img.training.teacher import open_teacher
from img2img.training.validation import Validation

log = logging.getLogger("img2img")


class Trainer:
    """One run of a recipe in one folder: `run()` trains to the end, `stop()` ends it early."""

    def __init__(
        self, recipe: Recipe, out: Path, *, resume: bool = False, device: str = "auto"
    ) -> None:
        self.recipe, self.clock, self.cores = recipe, Clock(), CrowdWatch()
        self.done = 0  # steps
        self.stop_wanted = False
        check_writable(out, "out")
        self.accelerator = accelerator_for(recipe, device, out)
        self.folder = RunFolder(out, self.accelerator)
        try:
            self._set_up(resume)
        except OSError as error:
            raise self.folder.disk_error(self.done, error) from error
        except BaseException:
            self.folder.close()
            raise

    def run(self) -> dict[str, Any]:
        """Train to `train.steps`; returns the summary that also closes log.jsonl.

        Raises Interrupted after `stop()` or Ctrl-C, TrainingError for NaN and for a full disk.
        """
        seed, rank = self.recipe.seed, self.accelerator.process_index
        with (
            closing(self.folder),
            stopping_on_signals(self.stop, self.accelerator.num_processes),
            self._errors_explained(),
        ):
            self._ask_teacher()
            with closing(Bar(self.recipe.train.steps, self.done, self.folder.is_main)) as bar:
                listeners: list[Listener] = [ShowProgress(bar), *self.listeners]
                if self.accelerator.device.type == "cpu":
                    self.cores.look()
                    listeners.append(WatchCores(self.recipe.train, self.cores))
                for step, batches in self.clock.waiting_for(self.batches()):
                    if step == 0:
                        self._log_ranges(batches[0])
                    mixed = np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)
                    torch.manual_seed(int(mixed[0]))  # so that a resumed run draws the same
                    logs = self.step(batches, step) | self.clock.pace(self.step.images_per_step)
                    self.done = step + 1
                    for listener in listeners:
                        listener(self.done, logs)
                    self._stop_if_wanted()
            summary = self._finish()
            wait_for_all(self.accelerator)
        return summary

    def stop(self) -> None:
        """End the run after the step it is in: it is saved, and `run` raises Interrupted."""
        self.stop_wanted = True

    def batches(self) -> Iterator[tuple[int, list[Batch]]]:
        """Each step to come, counted from 0, with its micro-batches."""
        step, gathered = self.done, list[Batch]()
        coming = load_batches(self.own, self.photos.train, self.accelerator, self.done)
        for batch, broken in coming:
            if new := self.photos.leave_out(broken):
                self.folder.write(step=step, left_out=new)
            if isinstance(batch, StorageError):
                if self.accelerator.num_processes == 1:  # the others may go on for a while
                    self.saver.save(self.done)
                raise batch
            if isinstance(batch, StructuredError):  # all photos are gone: what was learned is kept
                self.saver.save(self.done)
                raise UserError(
                    Phrase(batch.phrase, "; everything is saved"),
                    place=f"step {self.done + 1}",
                    remedy=RESUME_GOES_ON,
                )
            gathered.append(batch.to(self.accelerator.device))
            if len(gathered) == self.own.train.accumulate:
                yield step, gathered
                step, gathered = step + 1, []

    def _stop_if_wanted(self) -> None:
        if anywhere(self.stop_wanted, self.accelerator):
            self._save_and_show()
            raise Interrupted(self.done)

    # --- before the first step

    def _set_up(self, resume: bool) -> None:
        """Lock the folder, open the data, build networks, load weights, attach the listeners."""
        recipe, folder = self.recipe, self.folder
        facts, tensors = start_or_resume(folder, recipe, self.accelerator, resume)
        self.own = own = recipe_of_process(recipe, facts, self.accelerator)
        self.photos = open_data(recipe, is_main=folder.is_main)
        before = bool(facts.get("compiled")) if facts else None
        done = int(facts["step"]) if facts else 0
        compiled = chooses_compiling(own, self.photos.train, self.accelerator, done, before)
        torch.manual_seed(recipe.seed)
        self.step = build_step(own, self.accelerator)
        if compiled:
            compile_networks(self.step)
        init = {} if facts else set_initial_weights(self.step)
        if facts:
            self.done, self.clock.before = int(facts["step"]), float(facts["seconds"])
            compare_data(self.photos, facts)
        load_state(self.step, tensors, self.accelerator, facts)
        self.teacher = open_teacher(
            recipe, self.photos.train, folder.path / "teacher", self.accelerator
        )
        if facts:
            check_teacher(self.teacher, facts)
        best = best_model(recipe, folder, self.photos)
        averages = Averages(facts["averages"] if facts else None)
        self.saver = Saver(
            recipe, folder, self.photos, self.step, self.clock, averages, self.teacher, compiled
        )
        # Only now: a mistake in the recipe, the data or train.init leaves nothing behind.
        folder.open(recipe, keep_to_step=self.done if resume else None)
        if resume:
            folder.write(resumed_from_step=self.done, step=self.done)
            if folder.is_main and facts:
                log.warning("resumed from step %d", self.done)
            elif folder.is_main:
                log.warning("no checkpoint in %s: starting at 0", folder.path)
        weights = describe_weights(self.step, init, is_main=folder.is_main)
        if weights and self.done == 0:
            folder.write(step=0, **weights)
        self.validation = Validation(recipe, self.photos, self.step)
        self.treatment = Treatment(recipe, partial(decided, accelerator=self.accelerator))
        self.validate = Validate(self.validation, folder, self.saver, best)
        self.doctor = Doctor(self.treatment, folder, self.step, self._save_and_show)
        self.listeners: list[Listener] = [
            LogEvery(folder, self.step, self.clock, averages),
            self.validate,
            self.doctor,
            SaveCheckpoint(recipe.train, self.saver),
        ]

    def _ask_teacher(self) -> None:
        """Have the teacher's pictures of all photos made, those that a stopped run has left out."""
        if self.teacher is None:
            return
        if self.done == 0:  # however this ends, the run is one to go on with
            self.saver.save(0)
        for _ in self.teacher.ask():
            if self.stop_wanted:
                break
        wait_for_all(self.accelerator)
        self._stop_if_wanted()
        self.teacher.teach()

    # --- the end

    def _finish(self) -> dict[str, Any]:
        """The last validation, checkpoint, model file and report; returns the summary."""
        folder = self.folder
        validation = self.validate.now(self.done)
        self.doctor.report(self.treatment.news(folder.rows))
        self.saver.save(self.done, metrics=validation)
        if folder.is_main and self.recipe.task.condition_is_noise:
            samples = folder.path / "samples"
            write_animation(samples / "animation.gif", sorted(samples.glob("step_*.png")))
        # Files that could not be read, also those found when measuring; of all processes.
        self.photos.leave_out(self.photos.train.cache.broken)
        broken = of_all(self.photos.left_out, self.accelerator)
        summary = {
            "summary": True,
            "step": self.done,
            "images": self.done * self.step.images_per_step,
            "minutes": round(self.clock.seconds / 60, 2),
            "photos": self.photos.count,
            "data": self.photos.summary,
            "left_out": {name: why for each in broken for name, why in sorted(each.items())},
            **validation["validation"],
            **validation,
            "model": str(folder.path / MODEL),
        }
        if self.validate.best:
            summary["best"] = self.validate.best.summary()
        folder.write(**summary)
        folder.write_report()
        return summary

    def _save_and_show(self) -> None:
        """Save a run that is stopped; then there is something to see of it, however early it is."""
        self.saver.save(self.done)
        with suppress(KeyboardInterrupt):  # a second Ctrl-C: what counts is saved
            if not any(row.get("validation") for row in self.folder.rows):
                self.validate.now(self.done, stopped=True)
            self.folder.write_report()
        wait_for_all(self.accelerator)

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """NaN, a failing disk or server and a loader that ends become a TrainingError that says
        what is kept and how to go on.
        """
        try:
            yield
        except (Interrupted, StoppedByDoctor):
            raise
        except ProcessLost as error:
            raise self.folder.closed_after(
                str(error), "see its last line, which a killed one lacks", self.done
            ) from error
        except TrainingError as error:
            raise self._nan_error(error) from error
        except BaseException as error:
            leave()  # the error is this process's alone: the others end with ProcessLost
            # A sample sheet's writer raises a UserError from the disk's.
            cause = error.__cause__ if isinstance(error, UserError) else error
            if isinstance(cause, OSError):
                raise self.folder.disk_error(self.done, cause) from error
            if isinstance(error, StorageError):
                remedy = "see that it can be read"
                raise self.folder.closed_after(str(error), remedy, self.done) from error
            if is_of_loader(error):
                remedy = "give it more (shared) memory, or set data.workers=0"
                what = f"a process that loads photos ended ({error})"
                raise self.folder.closed_after(what, remedy, self.done) from error
            raise

    def _nan_error(self, error: TrainingError) -> TrainingError:
        """Log what the doctor says of NaN; which step, what is kept, and how to go on."""
        folder, row = self.folder, {"step": self.done, "error": str(error)}
        self.doctor.report(self.treatment.news([*folder.rows, row]))
        folder.write(**row)
        folder.write_report()
        kept = "nothing was saved yet"
        if latest_checkpoint(folder.path / "checkpoints") is not None:
            kept = f"the last good checkpoint in {folder.path}/checkpoints is kept"
        rates = "train.lr (or adversarial.lr)" if self.recipe.adversarial else "train.lr"
        remedy = f"lower {rates}, or set train.clip_norm=1, and "
        # A launcher ends all processes when one ends, and the first is still writing.
        wait_for_all(self.accelerator)
        told = Phrase(f"{error}; {kept}; {remedy}", Option("resume"))
        return TrainingError(told, place=f"step {self.done + 1}")

    def _log_ranges(self, batch: Batch) -> None:
        """Lowest and highest values of the first batch of pictures, for the doctor."""
        if pictures := batch.pictures:
            found = ranges(**{name: [x] for name, x in pictures.items()})
            self.folder.write(step=1, ranges=found)
