"""Running jobs: stopped by their owner, when the owner leaves, or all when the app ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from img2img_apps.progress_line import OnProgress, Progress

Value = TypeVar("Value")
Made = TypeVar("Made", covariant=True)
EVERY_S = 0.5  # a line of progress


class Stopped(Exception):
    """The user pressed Stop, left, or the app is ending."""


class StopSignal(Protocol):
    """Tells work that it is to end."""

    def is_set(self) -> bool:
        """Whether it is to end now."""


class Work(Protocol[Made]):
    """What this process or a worker does; it can be sent to one."""

    @property
    def place(self) -> Path:
        """The file it is about, for messages."""

    def run(self, stop: StopSignal, report: OnProgress) -> Made:
        """Do it. Raises UserError, and Stopped where it is to end."""


@dataclass(frozen=True)
class Owner:
    """A session, and the tab a job was started on (empty: an endpoint of the API)."""

    session: str = ""
    tab: str = ""


@dataclass
class Jobs:
    """The jobs that run now, each with the event that ends it after the current tile."""

    _running: list[tuple[Owner, threading.Event]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ending: bool = False

    @property
    def any_running(self) -> bool:
        """Whether anybody's job runs now."""
        return bool(self._running)

    @contextmanager
    def running(self, owner: Owner) -> Iterator[threading.Event]:
        """An event that is set when the job is to end."""
        job = owner, threading.Event()
        with self._changed:
            if self._ending:
                raise Stopped
            self._running.append(job)
        try:
            yield job[1]
        finally:
            with self._changed:
                self._running.remove(job)
                self._changed.notify_all()

    def stop(self, owner: Owner) -> None:
        """End what an owner is running, on that tab alone."""
        self._end(lambda other: other == owner)

    def leave(self, session: str) -> None:
        """End everything of a session that is gone."""
        self._end(lambda other: other.session == session)

    def end(self, seconds: float) -> bool:
        """End all jobs and take no more; whether none was left after so many seconds."""
        with self._changed:
            self._ending = True
        self._end(lambda _: True)
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def _end(self, meant: Callable[[Owner], bool]) -> None:
        with self._changed:
            for owner, event in self._running:
                if meant(owner):
                    event.set()


@dataclass(frozen=True)
class Finished(Generic[Value]):
    """The result of work that ran to its end."""

    value: Value


def with_progress(
    work: Callable[[OnProgress], Value], stop: Callable[[], None], progress: Progress
) -> Iterator[str | Finished[Value]]:
    """Run `work(report)` in a thread, yielding a line of progress every half second and its result
    at the end.

    What `work` raises is raised here. Closing the iterator calls `stop`.
    """
    ends: SimpleQueue[Finished[Value] | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            ends.put(Finished(work(progress.report)))
        except BaseException as error:  # raised where the progress is read
            ends.put(error)

    threading.Thread(target=run, daemon=True).start()
    over = False
    try:
        while not over:
            try:
                end = ends.get(timeout=EVERY_S)
            except Empty:
                yield progress.line(time.monotonic())
                continue
            over = True
            if isinstance(end, BaseException):
                raise end
            yield end
    finally:
        if not over:
            stop()
