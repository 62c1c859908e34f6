"""What a run writes while it goes: log.jsonl, TensorBoard, sample sheets, a progress bar."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from img2img.files import naming, write_text
from img2img.training.doctor import NOT_A_NUMBER


class RunLog:
    """log.jsonl: one flushed JSON object a line. On resume it is cut back to the checkpoint's step."""

    def __init__(self, path: Path, keep_to_step: int | None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []  # all that is in the file
        if keep_to_step is not None and path.exists():
            self.rows = [row for row in read_rows(path) if _belongs(row, keep_to_step)]
            write_text(path, "".join(f"{json.dumps(row)}\n" for row in self.rows))
        self.file = path.open("ab", buffering=0)  # what does not fit on the disk is not tried again on closing

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


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a log.jsonl; a line that a kill cut short, or that is being written, is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows += [row] if isinstance(row, dict) else []
    return rows


def _belongs(row: dict[str, Any], last_step: int) -> bool:
    """Not what came after the checkpoint, nor how the run ended: a NaN bears the number of the last good step."""
    ended = row.get("summary") or "error" in row or row.get("diagnosis") == NOT_A_NUMBER
    return row.get("step", 0) <= last_step and not ended


class Averages:
    """Means and extremes of logged values between two lines; saved with the checkpoint: resumed lines are the same."""

    def __init__(self, state: dict[str, list[float]] | None = None) -> None:
        self.sums = {name: list(sums) for name, sums in (state or {}).items()}

    def add(self, values: dict[str, float]) -> None:
        """Count a step in."""
        for name, value in values.items():
            total, count, peak = self.sums.get(name, (0.0, 0.0, value))
            self.sums[name] = [total + value, count + 1, max(peak, value)]

    def take(self) -> tuple[dict[str, float], dict[str, float]]:
        """The means, and the highest values of losses and norms; and start anew."""
        means = {name: total / count for name, (total, count, _) in self.sums.items()}
        peaks = {name: peak for name, (_, _, peak) in self.sums.items() if name.endswith(_PEAKING)}
        self.sums = {}
        return means, peaks


_PEAKING = ("_loss", "_norm", "adversarial")


class Bar:
    """Progress on stderr with images/s, time left and losses; silent where stderr is no terminal."""

    def __init__(self, steps: int, done: int, shown: bool) -> None:
        columns = (
            TextColumn("{task.completed}/{task.total}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self.progress = Progress(
            *columns, console=Console(file=sys.stderr), disable=not (shown and sys.stderr.isatty())
        )
        self.task = self.progress.add_task("", total=steps, completed=done)
        self.progress.start()

    def advance(self, images_per_second: float, losses: dict[str, float]) -> None:
        """One step on."""
        text = f"{images_per_second:.1f} images/s " + " ".join(f"{name} {value:.4g}" for name, value in losses.items())
        self.progress.update(self.task, advance=1, description=text)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.progress.stop()
