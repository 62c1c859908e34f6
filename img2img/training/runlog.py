"""What a run writes while it goes: log.jsonl, TensorBoard, sample sheets, a progress bar."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from img2img.files import write_text


class RunLog:
    """log.jsonl: one flushed JSON object a line. On resume it is cut back to the checkpoint's step."""

    def __init__(self, path: Path, keep_to_step: int | None) -> None:
        self.path = path
        if keep_to_step is not None and path.exists():
            lines = [line for line in path.read_text().splitlines() if _belongs(line, keep_to_step)]
            write_text(path, "".join(f"{line}\n" for line in lines))
        self.file = path.open("a", encoding="utf-8")

    def write(self, **values: Any) -> None:
        """Append one object."""
        self.file.write(json.dumps(values) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _belongs(line: str, last_step: int) -> bool:
    try:
        values = json.loads(line)
    except ValueError:  # a line cut short by a kill
        return False
    return values.get("step", 0) <= last_step and not values.get("summary")


class Averages:
    """Running means of logged values between two lines; saved with the checkpoint, so resumed lines are the same."""

    def __init__(self, state: dict[str, list[float]] | None = None) -> None:
        self.sums = {name: list(pair) for name, pair in (state or {}).items()}

    def add(self, values: dict[str, float]) -> None:
        """Count a step in."""
        for name, value in values.items():
            pair = self.sums.setdefault(name, [0.0, 0.0])
            pair[0] += value
            pair[1] += 1

    def take(self) -> dict[str, float]:
        """The means, and start anew."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


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
