"""How far a job is, in one line with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

OnProgress = Callable[[int, int | None, str], None]  # tiles done, of how many, the step
_SURE_AFTER_S = 1.0  # before that, the first piece's speed says little


def unheard(done: int, total: int | None, doing: str) -> None:
    """Progress that nobody waits for."""


@dataclass
class Progress:
    """What a job last reported; `photos` times pieces are counted from 0."""

    photos: int = 1
    unit: str = "tiles"
    started: float = field(default_factory=time.monotonic)
    begun: int = 0
    last: tuple[int, int | None, str] = (0, None, "")

    def report(self, done: int, total: int | None, doing: str) -> None:
        """Called by the work, from its own thread; a photo begins with 0 done."""
        self.begun += done == 0
        self.last = done, total, doing

    @property
    def share(self) -> float:
        """How much of the whole job is done, 0 to 1; 0 where it cannot be known."""
        done, total, _ = self.last
        if not total:
            return 0.0
        return min(1.0, (max(0, self.begun - 1) + done / total) / self.photos)

    def seconds_left(self, now: float) -> float | None:
        """How long the rest takes, where that can be known already."""
        passed = now - self.started
        if not self.share or passed < _SURE_AFTER_S:
            return None
        return round(passed * (1 / self.share - 1), 1)

    def line(self, now: float) -> str:
        """`Denoise: 3 of 25 tiles, about 12 s left`."""
        done, total, doing = self.last
        doing = doing[:1].upper() + doing[1:] or "Starting"
        if not total:
            return f"{doing} …"
        count = f"{doing}: {done} of {total} {self.unit}"
        seconds = self.seconds_left(now)
        return f"{count} …" if seconds is None else f"{count}, {time_left(seconds)}"


def time_left(seconds: float) -> str:
    """`about 12 s left`, `about 3 min left`, `about 1 h 20 min left`."""
    if seconds < 1:
        return "almost done"
    if seconds < 90:
        return f"about {round(seconds) if seconds < 20 else 5 * round(seconds / 5)} s left"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {f'{hours} h {minutes} min' if hours else f'{minutes} min'} left"
