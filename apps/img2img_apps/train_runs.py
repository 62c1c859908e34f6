"""Training from the page: a process of its own, followed by its run folder."""

from __future__ import annotations

import atexit
import itertools
import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from img2img.diagnostics.doctor import verdict
from img2img.diagnostics.drawing import Plot
from img2img.diagnostics.findings import Diagnosis
from img2img.diagnostics.html_report import loss_plot
from img2img.diagnostics.recorded_run import Run
from img2img.errors import UserError
from img2img.files import is_portable
from img2img.interrupts import interrupt, interruptible
from img2img.resources import recipes_dir
from img2img_apps.progress_line import time_left
from img2img_apps.settings import Settings
from img2img_apps.train_process import ERROR
from img2img_apps.workspace import Workspace

DEMONSTRATION = ""  # the recipe's own photos
NOTABLE_WAIT = 0.2  # of a step, for data
_RECENT = 20  # lines of a log, from which the remaining time is estimated
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands: message, doctor's verdict and findings, losses, last samples, model."""

    running: bool
    message: str
    verdict: str
    findings: tuple[Diagnosis, ...]  # of the doctor, the worst first
    losses: Plot | None
    sample: Path | None
    model: Path | None


@dataclass
class TrainRuns:
    """At most one training at a time, in `<data root>/runs`, else `runs` in the current folder."""

    settings: Settings
    workspace: Workspace
    process: subprocess.Popen[bytes] | None = None
    folder: Path | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        atexit.register(self.stop)

    @property
    def runs(self) -> Path:
        """Where run folders lie."""
        return (self.settings.data_root or Path.cwd()) / "runs"

    def recipes(self) -> list[str]:
        """Names of the shipped recipes, quick ones first."""
        names = sorted(path.stem for path in recipes_dir().glob("*.yaml"))
        return sorted(names, key=lambda name: not name.endswith("_tiny"))

    def folders(self) -> list[str]:
        """Folders of photos that may be trained on, by name."""
        root = self.settings.data_root
        if root is None:
            return []
        found = (
            path
            for path in root.iterdir()
            if path.is_dir() and path.resolve().is_relative_to(root.resolve())
        )
        return sorted(
            path.name for path in found if path.name != "runs" and not path.name.startswith(".")
        )

    def free_name(self, recipe: str) -> str:
        """The recipe's name, or with the first number under which there is no run yet."""
        names = (f"{recipe}-{number}" if number > 1 else recipe for number in itertools.count(1))
        return next(name for name in names if not (self.runs / name).exists())

    def start(
        self, recipe: str, photos: str, steps: int, name: str, *, resume: bool = False
    ) -> None:
        """Begin, or go on from the last checkpoint. Raises UserError for what is not offered."""
        if recipe not in self.recipes():
            raise UserError("choose one of the recipes")
        if photos != DEMONSTRATION and photos not in self.folders():
            raise UserError("choose one of the folders that are offered", field="photos")
        if not _NAME.fullmatch(name := name.strip() or recipe):
            raise UserError("letters, digits, dots, dashes and underscores only", field="name")
        if not is_portable(name):
            raise UserError(f"Windows takes no folder named {name}", field="name")
        folder = self.runs / name
        if folder.exists() and not resume:
            raise UserError(
                f"there is a run named {name} already", remedy="resume it, or choose another name"
            )
        if resume and not folder.exists():
            raise UserError(f"there is no run named {name}", remedy="start it first")
        with self._lock:
            if self.is_running:
                raise UserError("a training is running already", remedy="stop it first")
            self._begin(folder, recipe, self._overrides(photos, steps), resume)

    def _overrides(self, photos: str, steps: int) -> list[str]:
        root = self.settings.data_root
        chosen = [f"data.path={json.dumps(str(root / photos))}"] if root and photos else []
        return chosen + ([f"train.steps={steps}"] if steps > 0 else [])

    def _begin(self, folder: Path, recipe: str, overrides: list[str], resume: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "img2img_apps.train_process"]
        command += [recipe, str(folder), "resume" if resume else "start", *overrides]
        with (folder / "app.log").open("wb") as output:
            self.process = interruptible(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        self.folder = folder

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Save and end, as Ctrl-C does."""
        if self.is_running and self.process is not None:
            interrupt(self.process)

    def status(self) -> RunStatus | None:
        """The current or last run as its folder shows it; None before the first."""
        if self.folder is None:
            return None
        log = self.folder / "log.jsonl"
        run = Run(self.folder) if log.is_file() else None
        rows = run.rows if run else []
        model = self.folder / "model.safetensors"
        return RunStatus(
            running=self.is_running,
            message=self._message(rows, run.facts.steps if run else 0),
            verdict=run.verdict if run else verdict([]),
            findings=tuple(run.diagnoses) if run else (),
            losses=loss_plot(run) if run else None,
            sample=self._sample(self.folder),
            model=model if model.is_file() else None,
        )

    def _message(self, rows: list[dict[str, Any]], steps: int) -> str:
        done = [row for row in rows if "step" in row and not row.get("summary")]
        if self.is_running:
            return (
                f"Training: {_pace(done, steps)}."
                if done
                else "Training is starting: photos are being read."
            )
        if rows and rows[-1].get("summary"):
            return f"Finished: {rows[-1]['step']} steps in {rows[-1]['minutes']} minutes."
        last = self._last_words()
        if last.startswith("stopped at step"):
            return f"S{last[1:]}."
        where = f" at step {done[-1]['step']}" if done else ""
        return f"Stopped{where}. {last}".strip()

    def _last_words(self) -> str:
        assert self.folder is not None
        output = (
            (self.folder / "app.log").read_text(encoding="utf-8", errors="replace").splitlines()
        )
        errors = [line.removeprefix(ERROR) for line in output if line.startswith(ERROR)]
        return errors[-1] if errors else ""

    def _sample(self, folder: Path) -> Path | None:
        """The last sample sheet, copied to where the page may read."""
        sheets = sorted((folder / "samples").glob("step_*.png"))
        if not sheets:
            return None
        copy = self.workspace.root / "results" / f"{folder.name}-{sheets[-1].name}"
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(sheets[-1], copy)
        return copy


def _pace(rows: list[dict[str, Any]], steps: int) -> str:
    """`step 130 of 1500, 7.1 images a second, about 4 min left`, as far as the log goes."""
    step = int(rows[-1]["step"])
    known = [
        (int(row["step"]), float(row["seconds"])) for row in rows[-_RECENT:] if "seconds" in row
    ]
    speed = next(
        (row["images_per_second"] for row in reversed(rows) if "images_per_second" in row), None
    )
    parts = [f"step {step} of {steps}" if steps >= step and steps > 1 else f"step {step}"]
    parts += [f"{speed:.1f} images a second"] if speed else []
    wait = next((row["data_wait"] for row in reversed(rows) if "data_wait" in row), 0.0)
    parts += [f"{wait:.0%} of the time waiting for photos"] if wait >= NOTABLE_WAIT else []
    if len(known) > 1 and steps > step and known[-1][0] > known[0][0]:
        a_step = (known[-1][1] - known[0][1]) / (known[-1][0] - known[0][0])
        parts.append(time_left(a_step * (steps - step)))
    return ", ".join(parts)
