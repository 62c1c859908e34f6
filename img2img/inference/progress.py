"""Progress at a terminal: one line with the tiles done, which is taken away when the photo is
done.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from img2img.inference.output_size import WidthHeight
from img2img.inference.plan import Plan

if TYPE_CHECKING:
    from rich.progress import Progress

MOMENT_S = 1.0  # what is done sooner needs no line


class TileLine:
    """Fed by `FileBatch.run`; writes to `stream` (stderr) where that is a terminal, and only once a
    photo takes a while.
    """

    def __init__(self, wanted: bool = True, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.wanted = wanted and self.stream.isatty()
        self.line: Progress | None = None

    def __enter__(self) -> TileLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self, path: Path, plan: Plan, size: WidthHeight) -> None:
        """A photo whose plan is known is about to be worked on."""
        self.end()
        if not self.wanted or not plan.steps:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.name, self.verbs = path.name, [s.verb for s in plan.steps]
        self.plan, self.size, self.totals = plan, size, plan.tile_counts(size)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[tiles]}"),
            TimeRemainingColumn(),
        )
        # stdout stays the results' own: nothing that is printed meanwhile goes through this
        # console.
        self.line = Progress(
            *columns,
            console=Console(file=self.stream),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._show(0, 0)
        self.timer = threading.Timer(MOMENT_S, self.line.start)
        self.timer.daemon = True
        self.timer.start()

    def tile(self, step: int, done: int) -> None:
        """So many tiles of a step are done; after its last one the next step is shown."""
        if self.line is None or not done:
            return
        if self.totals[step] is None:  # the first tile of a step may tell how many there are
            self.totals = self.plan.tile_counts(self.size)
        if done == self.totals[step] and step + 1 < len(self.totals):
            self._show(step + 1, 0)
        else:
            self._show(step, done)

    def end(self) -> None:
        """Take the line away before anything else is written to the terminal."""
        if self.line is not None:
            self.timer.cancel()
            self.timer.join()  # else a line that is just being put up would stay
            self.line.stop()
            self.line = None

    def _show(self, step: int, done: int) -> None:
        assert self.line is not None
        total = self.totals[step]
        tiles = f"{done} tiles" if total is None else f"{done}/{total} tiles"
        if done:
            self.line.update(self.line.task_ids[0], completed=done, total=total, tiles=tiles)
            return
        for earlier in self.line.task_ids:
            self.line.remove_task(earlier)
        self.line.add_task(f"{self.name}: {self.verbs[step]}", total=total, tiles=tiles)
