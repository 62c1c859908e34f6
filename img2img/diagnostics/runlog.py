"""What a run writes while it goes: log.jsonl, TensorBoard's events and other trackers', a progress
bar or plain lines; and its clock.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import MLflowTracker, TensorBoardTracker, WandBTracker
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from img2img.diagnostics.findings import Finding
from img2img.files import naming, write_text
from img2img.pixels.images import quantise


class RunLog:
    """log.jsonl: one JSON object a line, written at once. On resume it is cut back to the
    checkpoint's step; where that is the run's last, also what the end of a run writes once more.
    """

    def __init__(self, path: Path, keep_to_step: int | None, last_step: int | None = None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []  # all that is in the file
        if keep_to_step is not None and path.exists():
            rows = [row for row in read_rows(path) if _belongs(row, keep_to_step)]
            self.rows = [r for r in rows if r.get("step") != last_step or not _AT_END & r.keys()]
            write_text(path, "".join(f"{json.dumps(row)}\n" for row in self.rows))
        # Unbuffered: what does not fit on the disk is not tried again on closing.
        self.file = path.open("ab", buffering=0)

    def write(self, **values: Any) -> None:
        """Append one object. Raises OSError with the file's name."""
        self.rows.append(values)
        rest = f"{json.dumps(values)}\n".encode()
        with naming(self.path):
            while rest:
                rest = rest[self.file.write(rest) :]

    def close(self) -> None:
        """Close the file."""
        self.file.close()


_AT_END = {"validation", "diagnosis"}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a log.jsonl; a line that a kill cut short, that is being written or that is
    none is left out.
    """
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows += [row] if isinstance(row, dict) and isinstance(row.get("step", 0), int) else []
    return rows


def _belongs(row: dict[str, Any], last_step: int) -> bool:
    """Whether a row stays when the run goes on from `last_step`: not if it came later, and not if
    it says how the run ended (a NaN bears the number of the last good step, and a stopped run was
    validated where one that goes on is not).
    """
    ended = (
        row.get("summary")
        or "stopped" in row
        or "error" in row
        or row.get("diagnosis") == Finding.NOT_A_NUMBER
    )
    return row.get("step", 0) <= last_step and not ended


Number = float | Tensor
"""A tensor is a scalar, on the run's device; `read` gives its value."""


class Averages:
    """Means and highest values of what is logged, between two rows; saved with the checkpoint, so
    that a resumed run logs the same rows.
    """

    def __init__(self, state: dict[str, list[float]] | None = None) -> None:
        self.sums = {name: list(sums) for name, sums in (state or {}).items()}
        self.unread: list[tuple[str, Number]] = []

    def add(self, values: Mapping[str, Number]) -> None:
        """Count a step in, without reading what is on a device."""
        self.unread += values.items()

    def take(self) -> tuple[dict[str, float], dict[str, float]]:
        """The means, and the highest values of losses and norms; and start anew."""
        sums = self.state()
        means = {name: total / count for name, (total, count, _) in sums.items()}
        peaks = {name: peak for name, (_, _, peak) in sums.items() if name.endswith(_PEAKING)}
        self.sums = {}
        return means, peaks

    def state(self) -> dict[str, list[float]]:
        """Sum, count and highest value of each, for a checkpoint."""
        values = read([value for _, value in self.unread])
        for (name, _), value in zip(self.unread, values, strict=True):
            total, count, peak = self.sums.get(name, (0.0, 0.0, value))
            self.sums[name] = [total + value, count + 1, max(peak, value)]
        self.unread = []
        return self.sums


def read(numbers: Sequence[Number]) -> list[float]:
    """All as Python's numbers, by one copy from their device."""
    tensors = [number for number in numbers if isinstance(number, Tensor)]
    known = iter(torch.stack([t.float() for t in tensors]).tolist() if tensors else [])
    return [next(known) if isinstance(number, Tensor) else number for number in numbers]


_PEAKING = ("_loss", "_norm", "adversarial")


Waited = TypeVar("Waited")


@dataclass
class Clock:
    """Wall time of a run: loading, validating and saving count, the time between a stop and a
    resume does not.
    """

    started: float = field(default_factory=lambda: time.monotonic())
    before: float = 0.0
    """Seconds until the last stop, of a run that was resumed."""
    asked: float = field(default_factory=lambda: time.monotonic())
    """When the last item was asked for."""
    waited: float = 0.0
    """Seconds that it took to come."""

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self.before + time.monotonic() - self.started

    def waiting_for(self, items: Iterable[Waited]) -> Iterator[Waited]:
        """The same items; `waited` is how many seconds the last one took to come."""
        coming = iter(items)
        while True:
            self.asked = time.monotonic()
            try:
                item = next(coming)
            except StopIteration:
                return
            self.waited = time.monotonic() - self.asked
            yield item

    def pace(self, images: int) -> dict[str, float]:
        """Images a second, and the share of time that was waiting, since the last item was asked
        for.
        """
        seconds = max(time.monotonic() - self.asked, 1e-9)
        return {"images_per_second": images / seconds, "data_wait": self.waited / seconds}


class Board:
    """The trackers of a run (TensorBoard by default), written by the first process. Errors of the
    disk name the folder.
    """

    def __init__(self, accelerator: Accelerator, folder: Path) -> None:
        self.accelerator, self.folder = accelerator, folder
        self.threads_excepthook = threading.excepthook

    def open(self) -> None:
        """Begin to write."""
        with naming(self.folder):
            self.accelerator.init_trackers(self.folder.name)
        threading.excepthook = self._except_hook

    def numbers(self, values: dict[str, Any], step: int) -> None:
        """Log numbers by name."""
        with naming(self.folder):
            self.accelerator.log(values, step=step)

    def text(self, name: str, text: str, step: int) -> None:
        """Log a text, where a tracker takes any."""
        for tracker in self.accelerator.trackers:
            if isinstance(tracker, TensorBoardTracker | WandBTracker):
                with naming(self.folder):
                    tracker.log({name: text}, step=step)

    def picture(self, sheet: np.ndarray, path: Path, step: int) -> None:
        """Log a sample sheet, (H,W,3) in [0,1], which is in this file too, where a tracker takes
        pictures.
        """
        pixels = quantise(sheet, np.uint8)
        for tracker in self.accelerator.trackers:
            with naming(self.folder):
                match tracker:
                    case TensorBoardTracker():
                        tracker.writer.add_image("samples", pixels, step, dataformats="HWC")
                    case WandBTracker():
                        tracker.log_images({"samples": [pixels]}, step=step)
                    case MLflowTracker():
                        tracker.log_artifact(str(path), "samples")

    def close(self) -> None:
        """Write what is left."""
        try:
            for tracker in self.accelerator.trackers:
                if hasattr(tracker, "tracker"):  # not where it could not begin
                    tracker.finish()
        finally:
            threading.excepthook = self.threads_excepthook

    def _except_hook(self, raised: threading.ExceptHookArgs) -> None:
        """What fails in the thread that writes events is raised again by the next event: it prints
        no traceback of its own.
        """
        if not type(raised.thread).__module__.startswith("tensorboard."):
            self.threads_excepthook(raised)


class Bar:
    """Progress on stderr: a bar with images/s, time left and losses, or plain lines where stderr is
    no terminal.
    """

    LINES, MOST_SECONDS = 10, 60  # of plain ones: at least so many a run, and one at least so often
    DRAWN_SECONDS = 0.25  # between the numbers of a bar

    def __init__(self, steps: int, done: int, shown: bool) -> None:
        console = Console(file=sys.stderr)
        drawn = sys.stderr.isatty() and not console.is_dumb_terminal
        self.steps, self.done, self.first, self.plain = steps, done, done, shown and not drawn
        self.started = self.printed_at = time.monotonic()
        columns = (
            TextColumn("{task.completed}/{task.total}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self.progress = Progress(*columns, console=console, disable=not (shown and drawn))
        self.task = self.progress.add_task("", total=steps, completed=done)
        self.progress.start()

    def advance(
        self, images_per_second: float, data_wait: float, losses: Mapping[str, Number]
    ) -> None:
        """Show one step more; the numbers of some steps only, since they are read from a device."""
        self.done += 1
        self.progress.update(self.task, advance=1)
        if not (self._is_time() if self.plain else self._is_drawn_anew()):
            return
        self.printed_at = time.monotonic()
        parts = [f"{images_per_second:.1f} images/s", f"{data_wait:.0%} waiting for data"]
        values = read([*losses.values()])
        parts += [f"{name} {value:.4g}" for name, value in zip(losses, values, strict=True)]
        if not self.plain:
            self.progress.update(self.task, description=" ".join(parts))
            return
        line = ", ".join([f"step {self.done} of {self.steps}", self._left(), *parts])
        print(line, file=sys.stderr, flush=True)

    def _is_drawn_anew(self) -> bool:
        """A few times a second, and at both ends."""
        ends = self.done in (self.first + 1, self.steps)
        is_time = ends or time.monotonic() - self.printed_at > self.DRAWN_SECONDS
        return is_time and not self.progress.disable

    def _is_time(self) -> bool:
        """The first step, the last, each tenth of the run, and after a minute without a line."""
        tenth = self.done * self.LINES // self.steps > (self.done - 1) * self.LINES // self.steps
        return (
            tenth
            or self.done == self.first + 1
            or time.monotonic() - self.printed_at > self.MOST_SECONDS
        )

    def _left(self) -> str:
        """`3 min left`, at the mean pace since the start or the resume, validating included."""
        seconds = (
            (time.monotonic() - self.started) / (self.done - self.first) * (self.steps - self.done)
        )
        if seconds < 90:
            return f"{seconds:.0f} s left"
        return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.progress.stop()
