"""A run's folder: what a run writes there, and whether a folder holds one already. Nothing whole is
overwritten by less.
"""

from __future__ import annotations

import errno
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from img2img.diagnostics.html_report import write_report
from img2img.diagnostics.runlog import Board, RunLog
from img2img.errors import Advice, Option, Phrase, TrainingError, UserError
from img2img.files import remove_unfinished, write_text
from img2img.lock import FolderLock
from img2img.pixels.sheets import write_sheet
from img2img.recipe import Recipe
from img2img.training.checkpoint import Checkpoint, latest_checkpoint, whole_checkpoint
from img2img.zoo.catalogue import CATALOGUE

log = logging.getLogger("img2img")

MODEL = "model.safetensors"
RESUME_GOES_ON = Advice(Option("resume"), " goes on")


class RunFolder:
    """Where one run writes: its lock, log.jsonl, its trackers, sample sheets, the report.

    Only the first of several processes writes; in the others these methods do nothing.
    """

    def __init__(self, path: Path, accelerator: Accelerator) -> None:
        self.path, self.is_main = path, accelerator.is_main_process
        self.board = Board(accelerator, path / "tensorboard")
        self.lock: FolderLock | None = None
        self.log: RunLog | None = None
        self.rows: list[dict[str, Any]] = []
        """All of log.jsonl; none in processes other than the first."""

    def take(self, *, resume: bool) -> Checkpoint | None:
        """Lock the folder; the newest whole checkpoint, or None where the run starts from nothing.

        Raises UserError when another process writes here, or a run would be lost.
        """
        self.lock = FolderLock(self.path)
        return _checkpoint_to_resume(self.path, resume=resume)

    def open(self, recipe: Recipe, keep_to_step: int | None) -> None:
        """Begin to write; a log of before is cut back to `keep_to_step`."""
        if self.is_main:
            samples = self.path / "samples"
            remove_unfinished(self.path, "*.yaml", "*.jsonl", "*.safetensors", "*.html")
            remove_unfinished(samples, "*.png", "*.gif")
            write_text(self.path / "recipe.yaml", recipe.to_yaml())
            samples.mkdir(exist_ok=True)
        self.board.open()
        if self.is_main:
            self.log = RunLog(self.path / "log.jsonl", keep_to_step, recipe.train.steps)
            self.rows = self.log.rows

    def write(self, **values: Any) -> None:
        """Append a row to log.jsonl."""
        if self.log is not None:
            self.log.write(**values)

    def write_samples(self, step: int, sheet: np.ndarray) -> None:
        """A sample sheet, (H,W,3) in [0,1]."""
        path = self.path / "samples" / f"step_{step:08d}.png"
        write_sheet(path, sheet)
        self.board.picture(sheet, path, step)

    def write_report(self) -> None:
        """`report.html`, from all that was written so far."""
        if self.is_main:
            write_report(self.path)

    def disk_error(self, step: int, error: OSError) -> TrainingError:
        """Close the folder after a failed write: which file, what is kept, and how to go on."""
        what = f"{error.strerror}: '{error.filename}'" if error.filename else str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space there" if full else "see to that file or disk"
        return self.closed_after(what, remedy, step)

    def closed_after(self, what: str, remedy: str, step: int) -> TrainingError:
        """Close the folder after `what` ended the run: what is kept, and how to go on."""
        with suppress(OSError):
            self.write(step=step, error=what)
        self.close()
        kept, again = "what was saved is kept", Phrase("go on with ", Option("resume"))
        if self.is_main:  # of the others, each may be on a machine without the folder
            if saved := latest_checkpoint(self.path / "checkpoints"):
                kept = f"the checkpoint of step {saved.facts['step']} is kept"
            else:
                kept, again = "nothing was saved yet", Phrase("start again")
                if holds_run(self.path):
                    again = Phrase(again, " with another ", Option("out"))
        return TrainingError(
            Phrase(f"{what}; {kept}; {remedy}, then ", again), place=f"step {step}"
        )

    def close(self) -> None:
        """Close what was opened; another run may write in the folder from here on."""
        with suppress(OSError):  # TensorBoard's own last words; its error was raised before
            self.board.close()
        if self.log is not None:
            self.log.close()
        if self.lock is not None:
            self.lock.release()


def holds_run(folder: Path) -> bool:
    """Whether the folder holds a run, which would be lost if another started here."""
    log_file = folder / "log.jsonl"
    logged = log_file.is_file() and log_file.stat().st_size > 0
    return (
        logged or any(folder.glob("*.safetensors")) or any((folder / "checkpoints").glob("step_*"))
    )


def _checkpoint_to_resume(folder: Path, *, resume: bool) -> Checkpoint | None:
    """The newest whole checkpoint; None where a run is to start. Raises UserError where that would
    destroy another.
    """
    if not resume:
        if holds_run(folder):
            raise UserError(
                f"'{folder}' already holds a run",
                field="out",
                remedy=Advice("add ", Option("resume"), " to go on, or choose another folder"),
            )
        return None
    checkpoint, damage = whole_checkpoint(folder / "checkpoints")
    if checkpoint is None and holds_run(folder):
        found, weights = "; ".join(damage) or "none was written", ""
        if steps := trained_steps(folder / MODEL):
            weights = f" and train.init={folder}, which begins with its model of step {steps}"
        raise UserError(
            f"'{folder}' holds a run and no whole checkpoint ({found}); nothing was changed",
            field="resume",
            remedy=Advice(
                *("start anew with another ", Option("out"), f"{weights}, or delete the folder")
            ),
        )
    for line in damage:
        log.warning("checkpoint %s: trying the one before", line)
    return checkpoint


def trained_steps(model: Path) -> int:
    """How many steps a model file was trained, 0 for none or a broken one."""
    with suppress(UserError):
        return CATALOGUE.header(model).card.steps
    return 0
