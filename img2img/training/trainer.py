"""The run: data in order, step, log, validation, checkpoint, model file; exact resume from any
interruption.
"""

from __future__ import annotations

import errno
import json
import logging
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch.utils.data import DataLoader

from img2img import __version__
from img2img.data.dataset import Photos, load_photos, resolve_folder
from img2img.data.identity import data_change
from img2img.data.sample import Batch, sample_rng
from img2img.devices import pick_device, precision_for
from img2img.diagnostics.doctor import Diagnosis
from img2img.diagnostics.report import write_report
from img2img.diagnostics.runlog import Averages, Bar, Board, Clock, RunLog
from img2img.diagnostics.treatment import Treatment, row_of, told_before
from img2img.diagnostics.vitals import noise_signs, ranges, vital_signs
from img2img.errors import Interrupted, StoppedByDoctor, TrainingError, UserError
from img2img.files import check_writable, write_text
from img2img.modelfile import Card, read_weights, save_model
from img2img.pixels.sheets import write_animation, write_sheet
from img2img.pixels.tiling import measured_overlap
from img2img.recipe import Recipe
from img2img.resources import samples_dir
from img2img.tasks.base import Row
from img2img.tasks.baseline import best_numbers, mean_target
from img2img.tasks.forward import forward, predict_rgb
from img2img.training.best import Best
from img2img.training.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from img2img.training.folder import FolderLock, checkpoint_to_go_on_from, holds_run
from img2img.training.methods import STEPS
from img2img.training.processes import (
    ProcessLost,
    anywhere,
    check_processes,
    first_decides,
    leave,
    of_the_first,
    wait_for_all,
)
from img2img.training.starting import fit, load_error
from img2img.training.step import Answer, TrainingStep
from img2img.zoo.catalogue import CATALOGUE

log = logging.getLogger("img2img")

SHEET_ROWS = 6
OVERLAP_PHOTOS = 20  # among which the largest shows how far the network looks
MEAN_OF = 64  # training targets whose mean is a trivial answer, where none of them are looked at


class Baseline(NamedTuple):
    """The best of the trivial answers to frozen batches: for each metric its number, and which
    answer has it.
    """

    numbers: dict[str, float]
    named: dict[str, str]
    pictures: list[torch.Tensor]  # a batch each, of the answer that is best by the first metric


class ValidationResult(NamedTuple):
    """Frozen batches with their baseline and what was made of them, and the means of the task's
    metrics.
    """

    rows: list[Row]
    metrics: dict[str, float]
    baseline: Baseline


class Trainer:
    """One run of a recipe in one folder."""

    def __init__(
        self, recipe: Recipe, out: Path, *, resume: bool = False, device: str = "auto"
    ) -> None:
        self.recipe, self.out, self.clock = recipe, out, Clock()
        check_writable(out, "out")
        self.accelerator = _accelerator(recipe, device, out)
        self.main = self.accelerator.is_main_process
        self.board = Board(self.accelerator, out / "tensorboard")
        self.lock: FolderLock | None = None  # it and the log are the first process's
        self.log: RunLog | None = None
        self.done = 0
        try:
            self._set_up(resume)
        except OSError as error:
            raise self._disk_trouble(error) from error
        except BaseException:
            self._let_go()
            raise

    def _set_up(self, resume: bool) -> None:
        facts, tensors = self._start_or_resume(resume)
        self.photos = self._open_data()
        torch.manual_seed(self.recipe.seed)
        self.step = _players(self.recipe, self.accelerator)
        averages = None
        self.began: dict[str, Any] = {}
        self.model_steps = _steps_of(
            self.out / "model.safetensors"
        )  # above `done` where newer checkpoints are lost
        if facts is None:
            self._begin()
        else:
            self.done, self.clock.before, averages = (
                int(facts["step"]),
                float(facts["seconds"]),
                facts["averages"],
            )
            self._compare_data(facts)
        self._same_start(tensors)
        self.best = self._best_so_far()
        # only now: a mistake in the recipe, the data or train.init leaves nothing behind
        self._prepare_folder()
        self.averages = Averages(averages)
        self.log = (
            RunLog(self.out / "log.jsonl", self.done if resume else None) if self.main else None
        )
        if resume:
            self._say(resumed_from_step=self.done, step=self.done)
            if self.main:
                log.warning("resumed from step %d", self.done) if facts else log.warning(
                    "no checkpoint in %s: starting at 0", self.out
                )
        self._tell_beginning()
        self.treatment = Treatment(self.recipe, self.accelerator)
        self.baselines: dict[str, Baseline] = {}
        self.stop_wanted = False

    def run(self) -> dict[str, Any]:
        """Train to `train.steps`; returns the summary that also closes log.jsonl. Raises
        Interrupted, TrainingError.
        """
        train = self.recipe.train
        bar = Bar(train.steps, self.done, self.main)
        handlers = self._watch_signals()
        self.saved_at = self.started_at = time.monotonic()
        try:
            for micro_batches in self.clock.waiting_for(self._batches()):
                self._one_step(micro_batches, bar)
                if anywhere(self.stop_wanted, self.accelerator):
                    self._save_and_show()
                    raise Interrupted(self.done)
            summary = self._finish()
            wait_for_all(self.accelerator)
            return summary
        except (Interrupted, StoppedByDoctor, ProcessLost):
            raise
        except TrainingError as error:
            self._tell(
                self.treatment.news([*self._rows(), {"step": self.done, "error": str(error)}])
            )
            self._say(step=self.done, error=str(error))
            self._report()
            saved = latest_checkpoint(self.out / "checkpoints") is not None
            kept = (
                f"the last good checkpoint in {self.out}/checkpoints is kept"
                if saved
                else "nothing was saved yet"
            )
            rates = "train.lr (or adversarial.lr)" if self.recipe.adversarial else "train.lr"
            remedy = f"lower {rates}, or set train.clip_norm=1, and --resume"
            wait_for_all(
                self.accelerator
            )  # a launcher ends all when one ends, and the first is still writing
            raise TrainingError(f"step {self.done + 1}: {error}; {kept}; {remedy}") from error
        except BaseException as error:
            leave()  # whatever it is, it has befallen this process alone
            cause = (
                error.__cause__ if isinstance(error, UserError) else error
            )  # a sample sheet's writer wraps it
            if isinstance(cause, OSError):
                raise self._disk_trouble(cause) from error
            raise
        finally:
            bar.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._let_go()

    def _let_go(self) -> None:
        """Close what was opened; another run may write in the folder from here on."""
        with suppress(OSError):  # what TensorBoard could not write any more is not worth more words
            self.board.close()
        if self.log is not None:
            self.log.close()
        if self.lock is not None:
            self.lock.release()

    def _disk_trouble(self, error: OSError) -> TrainingError:
        """Which file, what is left, and how to go on."""
        what = f"{error.strerror}: '{error.filename}'" if error.filename else str(error)
        with suppress(OSError):
            self._say(step=self.done, error=what)
        saved = latest_checkpoint(self.out / "checkpoints")
        kept = (
            f"the checkpoint of step {saved.facts['step']} is kept"
            if saved
            else "nothing was saved yet"
        )
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space there" if full else "see to that file or disk"
        self._let_go()
        elsewhere = " with another --out" if holds_run(self.out) else ""
        again = "go on with --resume" if saved else f"start again{elsewhere}"
        return TrainingError(f"step {self.done}: {what}; {kept}; {remedy}, then {again}")

    def _one_step(self, micro_batches: list[Batch], bar: Bar) -> None:
        train, before = self.recipe.train, time.monotonic()
        if self.done == 0 and not self._are_points(micro_batches[0]):
            conditions = [] if self.recipe.task.from_noise else [micro_batches[0].condition]
            self._say(step=1, ranges=ranges(conditions, [micro_batches[0].target]))
        torch.manual_seed(_mixed(self.recipe.seed, self.done, self.accelerator.process_index))
        values = self.step.step(micro_batches, self.done)
        self.done += 1
        spent = time.monotonic() - before + self.clock.waited
        pace = {
            "images_per_second": self._images_per_step() / max(spent, 1e-9),
            "data_wait": self.clock.waited / max(spent, 1e-9),
        }
        self.averages.add({**values, **pace})
        bar.advance(**pace, losses={k: v for k, v in values.items() if not k.endswith("norm")})
        last = self.done == train.steps
        if self.done % train.log_every == 0 or last:
            means, peaks = self.averages.take()
            counted = {
                "images": self.done * self._images_per_step(),
                "seconds": round(self.clock.seconds, 2),
            }
            self._say(step=self.done, **counted, **means, **self.step.rates, peaks=peaks)
            self.board.numbers({**means, **self.step.rates}, step=self.done)
        if self.done % train.validate_every == 0 and not last:
            self._validate()
            self._report()
        if (self.done % train.log_every == 0 or self.done % train.validate_every == 0) and not last:
            self._consult()
        overdue = time.monotonic() - self.saved_at > train.checkpoint_minutes * 60
        if (self.done % train.checkpoint_every == 0 or overdue) and not last:
            self._save()

    def _consult(self) -> None:
        """Tell what the doctor finds in the log so far, and do about it what `train.on_trouble`
        says.
        """
        found = self.treatment.news(self._rows())
        self._tell(found)
        if self.treatment.wants_stop(found):
            self._save_and_show()
            worst = found[0].line if found else "stopped by the main process"
            raise StoppedByDoctor(
                f"step {self.done}: {worst}; train.on_trouble=stop, everything is saved: --resume goes on"
            )
        self.step.remedies, remedy = self.treatment.adapted(self._rows(), self.step.remedies)
        if remedy and self.main:
            log.warning("step %d: %s: %s", self.done, remedy["diagnosis"], remedy["remedy"])
            self._say(**remedy)
            self.board.numbers(
                {"doctor": f"{remedy['diagnosis']}: {remedy['remedy']}"}, step=self.done
            )

    def _tell(self, found: list[Diagnosis]) -> None:
        for diagnosis in found:
            before = told_before(diagnosis, self._rows())
            log.warning(
                "step %d: %s%s",
                diagnosis.step,
                diagnosis.line,
                f" (it was {before})" if before else "",
            )
            self._say(**row_of(diagnosis))
            self.board.numbers({"doctor": diagnosis.line}, step=self.done)

    def _report(self) -> None:
        if self.main:
            write_report(self.out)

    def _rows(self) -> list[dict[str, Any]]:
        return self.log.rows if self.log is not None else []

    def _finish(self) -> dict[str, Any]:
        validation = self._validate()
        self._tell(self.treatment.news(self._rows()))
        self._save(overlap=True, metrics=validation)
        if self.main and self.recipe.task.from_noise:
            write_animation(
                self.out / "samples" / "animation.gif",
                sorted((self.out / "samples").glob("step_*.png")),
            )
        summary = {
            "summary": True,
            "step": self.done,
            "images": self.done * self._images_per_step(),
            "minutes": round(self.clock.seconds / 60, 2),
            "photos": self.photos.count,
            "data": self.photos.told,
            "left_out": self._left_out(),
            **validation["validation"],
            **validation,
            "model": str(self.out / "model.safetensors"),
            **({"best": self.best.told()} if self.best else {}),
        }
        self._say(**summary)
        self._report()
        return summary

    def _left_out(self) -> dict[str, str]:
        """The files that could not be read, and why; of all processes."""
        self.photos.leave_out(self.photos.train.cache.broken)  # what was found when measuring
        found: list[dict[str, str]] = gather_object([self.photos.left_out])
        return {name: reason for each in found for name, reason in sorted(each.items())}

    def _batches(self) -> Iterator[list[Batch]]:
        """The batches of every step to come, by sample number: no sampler state, so nothing to
        resume.
        """
        accumulate = self.recipe.train.accumulate
        numbers = (
            list(self._sample_numbers(step, micro))
            for step in range(self.done, self.recipe.train.steps)
            for micro in range(accumulate)
        )
        workers = self.recipe.data.workers
        loader = DataLoader(
            self.photos.train,
            batch_sampler=numbers,
            collate_fn=self.photos.train.collate,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        gathered: list[Batch] = []
        try:
            for batch, broken in loader:
                if new := self.photos.leave_out(broken):
                    self._say(step=self.done, left_out=new)
                gathered.append(batch.to(self.accelerator.device))
                if len(gathered) == accumulate:
                    yield gathered
                    gathered = []
        except UserError as error:  # all photos are gone: what was learned from them is kept
            self._save()
            reason = (
                str(error).strip().splitlines()[-1].removeprefix("img2img.errors.UserError: ")
            )  # from a loader
            raise UserError(
                f"step {self.done + 1}: {reason}; everything is saved: --resume goes on"
            ) from error

    def _sample_numbers(self, step: int, micro: int) -> range:
        size, world = self.recipe.train.batch_size, self.accelerator.num_processes
        first = (
            (step * self.recipe.train.accumulate + micro) * world + self.accelerator.process_index
        ) * size
        return range(first, first + size)

    def _images_per_step(self) -> int:
        train = self.recipe.train
        return train.batch_size * train.accumulate * self.accelerator.num_processes

    def _validate(self, **mark: bool) -> dict[str, dict[str, Any]]:
        """Metrics of the averaged weights and of the best trivial answers on frozen crops, vital
        signs, a sheet.

        `mark` goes into the log's row.
        """
        if not self.main or not self.photos.validation:
            return {"validation": {}, "baseline": {}}
        validated, trained = (
            self._judged(self.photos.validation, "validation"),
            self._judged(self.photos.trained, "training"),
        )
        sheet = self.step.sheet(validated.rows[:SHEET_ROWS])
        write_sheet(self.out / "samples" / f"step_{self.done:08d}.png", sheet)
        self.board.picture(sheet, self.done)
        numbers = {"validation": validated.metrics, "baseline": validated.baseline.numbers}
        seen = (
            {"training": trained.metrics, "training_baseline": trained.baseline.numbers}
            if trained.rows
            else {}
        )
        groups = {**numbers, **seen, "vitals": self._vitals(validated.rows)}
        named = {"baseline_is": validated.baseline.named}
        self._say(step=self.done, **mark, **groups, **named)
        tagged = {
            f"{group}/{name}": value
            for group, values in groups.items()
            for name, value in values.items()
        }
        self.board.numbers(tagged, step=self.done)
        if self.best and not mark and self.best.is_reached_by(validated.metrics):
            self.best.card = self._card(overlap=True, metrics={**numbers, **named})
            save_model(self.best.path, self.step.ema, self.recipe, self.best.card)
        return {**numbers, **named}

    def _judged(self, batches: list[Batch], named: str) -> ValidationResult:
        """What the averaged weights make of frozen batches; their baseline never changes, so it is
        computed once.
        """
        batches = [batch.to(self.accelerator.device) for batch in batches]
        with torch.inference_mode(), self.accelerator.autocast():
            if named not in self.baselines:
                self.baselines[named] = self._baseline(batches)
            made = [self._measured(batch) for batch in batches]
        plain = self.baselines[named]
        rows = [
            (batch, rgb, m.rgb) for batch, rgb, m in zip(batches, plain.pictures, made, strict=True)
        ]
        return ValidationResult(rows, _means([m.metrics for m in made]), plain)

    def _measured(self, batch: Batch) -> Answer:
        rgb = self._predict(batch)
        return Answer(rgb, self.step.metrics(batch, rgb, strength=1.0))

    def _baseline(self, batches: list[Batch]) -> Baseline:
        if not batches:
            return Baseline({}, {}, [])
        seen = self.photos.trained or [self.photos.train[number] for number in range(MEAN_OF)]
        mean = mean_target(batch.target for batch in seen)
        given = [self.step.trivial(batch, mean) for batch in batches]
        numbers, named = best_numbers(
            {name: _means([g[name].metrics for g in given]) for name in given[0]}
        )
        shown = next(iter(named.values()), next(iter(given[0])))
        return Baseline(numbers, named, [g[shown].rgb for g in given])

    @staticmethod
    def _are_points(batch: Batch) -> bool:
        return batch.target.shape[-2:] == (1, 1)

    def _vitals(self, rows: list[Row]) -> dict[str, float]:
        made, target = [rgb for _, _, rgb in rows], [batch.target for batch, _, _ in rows]
        if self.recipe.task.from_noise or self.recipe.task.unpaired:  # no target is an input's own
            return noise_signs(made, target)
        return vital_signs([batch.condition for batch, _, _ in rows], made, target)

    def _predict(self, batch: Batch) -> torch.Tensor:
        multiple_of = self.recipe.generator.multiple_of
        return predict_rgb(
            self.recipe.task, self.step.ema, multiple_of, batch.condition, mask=batch.mask
        )

    def _save_and_show(self) -> None:
        """A run is stopped: it is saved first, then there is something to see of it, however early
        that is.
        """
        self._save()
        with suppress(KeyboardInterrupt):  # a second Ctrl-C: what counts is saved
            if not any(row.get("validation") for row in self._rows()):
                self._validate(stopped=True)
            self._report()
        wait_for_all(self.accelerator)

    def _save(self, overlap: bool = False, metrics: dict[str, Any] | None = None) -> None:
        self.saved_at = time.monotonic()
        if not self.main:
            return
        facts = {
            "step": self.done,
            "seconds": self.clock.seconds,
            "averages": self.averages.sums,
            "recipe": self.recipe.fields(),
            "data": self.photos.identity,
            "left_out": self.photos.left_out,
        }
        save_checkpoint(self.out / "checkpoints", Checkpoint(self.step.state(), facts))
        if self.done >= self.model_steps or overlap:  # never a better one by one that learned less
            save_model(
                self.out / "model.safetensors",
                self.step.ema,
                self.recipe,
                self._card(overlap, metrics),
            )

    def _card(self, overlap: bool, metrics: dict[str, Any] | None) -> Card:
        data = self.recipe.data
        return Card(
            photos=self.photos.count,
            data=", ".join(data.path),
            data_terms=data.terms,
            class_names=self.photos.class_names,
            steps=self.done,
            images=self.done * self._images_per_step(),
            minutes=round(self.clock.seconds / 60, 1),
            machine=f"{self.accelerator.device.type}, {torch.get_num_threads()} threads, {platform.machine()}",
            metrics=metrics or {},
            tile_overlap_px=self._tile_overlap() if overlap else Card().tile_overlap_px,
            version=__version__,
        )

    def _tile_overlap(self) -> int:
        """Measured on a large training photo, damaged as the task does it; when tiling, the
        condition is the photo.
        """
        task, generator = self.recipe.task, self.recipe.generator
        if not task.tiles:
            return Card().tile_overlap_px
        samples = self.photos.train.readable(OVERLAP_PHOTOS)
        if not samples:  # gone since the last step: no reason to lose what was learned from them
            return Card().tile_overlap_px
        largest = max(samples, key=lambda s: 0 if s.photo is None else min(s.photo.shape[:2]))
        condition = task.make_pair(largest, sample_rng(self.recipe.seed, 3, 0)).condition[
            ..., :384, :384
        ]
        ema = self.step.ema
        return measured_overlap(
            lambda x: forward(task, ema, generator.multiple_of, x),
            condition.to(self.accelerator.device),
            task.scale,
            generator.multiple_of,
        )

    def _begin(self) -> None:
        """Start from `train.init`, or as the generator's own config says. Raises UserError when
        weights do not fit.
        """
        name = self.recipe.train.init
        if name is None:
            return self.step.start_from(None)
        start = CATALOGUE.entry(name)
        path, was = start.path, start.recipe
        if self.recipe.train.init_partial:
            self.step.start_from(None)  # for what the model has nothing for
        found = fit(read_weights(path), was, self.step.generator, self.recipe)
        whole = not (found.unfit or found.unused)
        if not (whole or (self.recipe.train.init_partial and found.taken)):
            raise load_error(name, was, self.recipe, found)
        self.step.start_from(found.weights)
        self.began["init"] = f"'{name}': {found.said()}"

    def _tell_beginning(self) -> None:
        """What the run started from, and what of it stays as it is: on the terminal, and in the log
        of a new run.
        """
        if self.recipe.train.freeze:
            self.began |= {
                "frozen": self.step.frozen.said(),
                "frozen_parameters": self.step.frozen.count,
            }
        for what in ("init", "frozen"):
            if what in self.began and self.main:
                log.warning("train.%s: %s", what.replace("frozen", "freeze"), self.began[what])
        if self.began and self.done == 0:
            self._say(step=0, **self.began)

    def _start_or_resume(
        self, resume: bool
    ) -> tuple[dict[str, Any] | None, dict[str, torch.Tensor]]:
        """The facts of the checkpoint to go on from, None for a fresh start; its tensors, in the
        first process.
        """
        tensors: dict[str, torch.Tensor] = {}

        def looked_up() -> dict[str, Any] | None:
            self.lock = FolderLock(self.out)
            checkpoint = checkpoint_to_go_on_from(self.out, resume=resume)
            if checkpoint is None:
                return None
            _check_same_run(_read_today(checkpoint.facts, self.recipe), self.recipe.fields())
            tensors.update(checkpoint.tensors)
            return checkpoint.facts

        return first_decides(looked_up, self.accelerator), tensors

    def _same_start(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take up a checkpoint's tensors; the first process's state in all."""
        if tensors:
            try:
                self.step.load_state(tensors)
            except (KeyError, IndexError, RuntimeError, ValueError) as error:
                raise UserError(_OTHER_VERSION) from error
        if self.accelerator.num_processes == 1:
            return
        self.step.load_state(of_the_first(self.step.state(), self.accelerator))
        if tensors and any(critic.pool for critic in self.step.critics.values()):
            log.warning(
                "the replay pool of the first process is taken up by all: not the run it would have been"
            )

    def _best_so_far(self) -> Best | None:
        if not self.recipe.train.keep_best:
            return None
        if not self.photos.validation:
            raise UserError(
                "train.keep_best: nothing is held out to find the best on: raise data.validation_share"
            )
        return (
            Best(self.out / "best.safetensors", self.recipe.task.main_metric) if self.main else None
        )

    def _prepare_folder(self) -> None:
        if self.main:
            write_text(self.out / "recipe.yaml", self.recipe.to_yaml())
            (self.out / "samples").mkdir(exist_ok=True)
        self.board.open()

    def _open_data(self) -> Photos:
        recipe = self.recipe

        def fits(crop_px: int) -> bool:
            return recipe.changed([f"data.crop_px={crop_px}"]) is not None

        photos = load_photos(recipe.task, recipe.data, recipe.seed, fits)
        photos.train.check()
        if self.main and self.recipe.task.reads != "none":
            log.warning("data: %s", photos.told)
        if self.recipe.task.reads != "none" and samples_dir() in map(
            resolve_folder, self.recipe.data.path
        ):
            log.warning(
                "%d photos: a demonstration. For real use: data.path=MY_PHOTOS", photos.count
            )
        return photos

    def _compare_data(self, saved: dict[str, Any]) -> None:
        """Tell when the photos are not those that the run was started with; what was left out stays
        told.
        """
        change = data_change(saved["data"], self.photos.identity) if "data" in saved else None
        if change:
            log.warning(
                "--resume: the data has changed: %s; the run goes on with what is there", change
            )
        here = {
            Path(name).parts[-2:] for name in self.photos.left_out
        }  # wherever the photos lay before
        earlier = {
            n: why for n, why in saved.get("left_out", {}).items() if Path(n).parts[-2:] not in here
        }
        self.photos.left_out = earlier | self.photos.left_out

    def _say(self, **values: Any) -> None:
        if self.log is not None:
            self.log.write(**values)

    def _watch_signals(self) -> dict[int, Any]:
        """Ctrl-C and SIGTERM end the run after the step at hand; the second Ctrl-C is the
        terminal's own.

        In several processes it is not: their launcher passes on the signal that the terminal has
        sent already. Returns the handlers as they were.
        """

        def ask(number: int, frame: Any) -> None:
            self.stop_wanted = True
            if self.accelerator.num_processes > 1:
                return
            signal.signal(
                number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            )

        try:
            return {
                number: signal.signal(number, ask) or signal.SIG_DFL
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        except ValueError:  # not the main thread: there the caller sets stop_wanted
            return {}


def _players(recipe: Recipe, accelerator: Accelerator) -> TrainingStep[Any]:
    """Networks with their optimizers. Raises UserError where they are too large for the memory."""
    try:
        return STEPS[recipe.train.method](recipe, accelerator)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(
            w in str(error) for w in ("memory", "overflow")
        ):
            raise
        larger = "generator or discriminator" if recipe.discriminator else "generator"
        raise UserError(
            f"{larger}: the network does not fit into the memory: make it narrower"
        ) from error


def _accelerator(recipe: Recipe, device: str, out: Path) -> Accelerator:
    AcceleratorState._reset_state(
        reset_partial_state=True
    )  # a process may train one recipe after another
    chosen = pick_device(device)
    on_cpu = (
        chosen.type == "cpu"
    )  # so found by `auto` too: without the word, Accelerate joins no processes on a CPU
    check_processes(chosen)
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)  # a single process of Accelerate's runs on the current one
    precision = precision_for(PartialState(cpu=on_cpu).device, recipe.train.precision)
    return Accelerator(
        cpu=on_cpu,
        mixed_precision="bf16" if precision == torch.bfloat16 else "no",
        log_with="tensorboard",
        project_dir=out,
    )


# What may differ when a run is taken up again: where the same photos lie, how often is reported and
# saved, and what mends a run that met NaN.
_MENDING = {"train": ("lr", "clip_norm", "precision"), "adversarial": ("lr",)}
_FREE = {
    "data": ("path", "terms", "cache_mb", "workers"),
    "train": (
        *(
            "steps",
            "init",
            "init_partial",
            "log_every",
            "validate_every",
            "checkpoint_every",
            "checkpoint_minutes",
        ),
        *("on_trouble", "keep_best"),
        *_MENDING["train"],
    ),
    "adversarial": _MENDING["adversarial"],
}


_OTHER_VERSION = (
    "--resume: the checkpoint was written by another version of img2img; nothing was changed. Go on with that version, "
    "or start anew with another --out"
)


def _read_today(facts: dict[str, Any], wanted: Recipe) -> dict[str, Any]:
    """The recipe that a run was started with, with the defaults of what recipes could not say then."""
    try:
        float(facts["step"]), float(facts["seconds"]), Averages(facts["averages"])
        saved: dict[str, Any] = facts["recipe"]
        # Only the task that is asked for anyway may be code that is imported: a checkpoint runs
        # none of its own.
        return Recipe.parse(saved, trusted=saved["task"]["kind"] == wanted.task.kind).fields()
    except (KeyError, TypeError, ValueError, AttributeError, UserError) as error:
        raise UserError(_OTHER_VERSION) from error


def _check_same_run(saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise UserError when a resumed run would not be the run that was stopped; warn when its
    schedule moves.
    """
    for part in wanted:
        old, new = (_fixed(part, recipe[part]) for recipe in (saved, wanted))
        if json.dumps(old) != json.dumps(new) and part != "name":
            told = _differences(part, old, new)
            raise UserError(
                f"--resume: the run was started with another {part}: {told}; undo the change, or start a new --out"
            )
    before, now = saved["train"], wanted["train"]
    if before["steps"] != now["steps"]:
        log.warning("train.steps was %d: the learning rate follows the new length", before["steps"])
    for part, names in _MENDING.items():
        before, now = (
            recipe[part] or {} for recipe in (saved, wanted)
        )  # `adversarial: null` has nothing to mend
        for name in names:
            if before.get(name) != now.get(name):
                log.warning(
                    "%s.%s was %s, and is %s from here on",
                    part,
                    name,
                    before.get(name),
                    now.get(name),
                )


def _differences(place: str, old: Any, new: Any) -> str:
    """`train.batch_size was 8, and is 4`, for each field that differs."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return f"{place} was {old}, and is {new}"
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return "; ".join(
        _differences(f"{place}.{name}", old.get(name), new.get(name)) for name in names
    )


def _fixed(part: str, value: Any) -> Any:
    free = _FREE.get(part, ())
    return {k: v for k, v in value.items() if k not in free} if isinstance(value, dict) else value


def _steps_of(model: Path) -> int:
    """How long a model file was trained, 0 for none or a broken one."""
    with suppress(UserError):
        return CATALOGUE.header(model).card.steps
    return 0


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}


def _mixed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])
