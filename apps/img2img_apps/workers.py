"""Processes that work on photos, each on one click's at a time: several at once, and the end of one
is not the end of the app.

    page's process ── a piece of work, "stop" ──► worker
                   ◄── "begun", progress, result or error ──

The line between them is a pipe without a name: what comes out of it comes from nobody else.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from img2img.errors import UserError, one_line
from img2img_apps.jobs import Stopped, StopSignal, Value, Work
from img2img_apps.progress_line import OnProgress

log = logging.getLogger("img2img")

MOST_TRIES = 2  # of work whose process ends: it may be the work that ends it
_LOOK_S = 0.1  # between two looks whether the work is to end
_STOP = None  # the message; every other one to a worker is work
_BEGUN = "begun"  # what a worker says first of each


class WorkerEnded(Exception):
    """The process is gone: killed, out of memory, or crashed."""


class Workers:
    """So many processes, each of so many threads."""

    def __init__(self, count: int, threads: int) -> None:
        self._all = [_Worker(number, threads) for number in range(count)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._all)

    def run(self, work: Work[Value], stop: StopSignal, report: OnProgress) -> Value:
        """What a worker makes of the work; waits until one is idle. Raises what the work raises,
        and UserError where its process ended, and that of a second try, too.
        """
        for _ in range(MOST_TRIES):
            worker = self._idle.get()
            try:
                return worker.run(work, stop, report)
            except WorkerEnded:
                log.warning("a worker has ended in the middle of its work: another takes it over")
            finally:
                self._idle.put(worker)
        raise UserError(
            f"the process that worked on this ended, {MOST_TRIES} times",
            place=work.place,
            remedy="it may be too large for the memory of this machine",
        )

    def close(self) -> None:
        """End all of them."""
        for worker in self._all:
            worker.process.kill()
        for worker in self._all:
            worker.process.join()


class _Worker:
    """A process and the line to it."""

    def __init__(self, number: int, threads: int) -> None:
        self.number, self.threads = number, threads
        self._start()

    def _start(self) -> None:
        # Spawned: a fork would take over locks of threads that it does not have.
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        self.process = context.Process(
            target=serve,
            args=(theirs, self.threads, self.number),
            name=f"img2img worker {self.number}",
            daemon=True,
        )
        self.process.start()
        theirs.close()  # so that the line ends with the process

    def run(self, work: Work[Any], stop: StopSignal, report: OnProgress) -> Any:
        """Raises WorkerEnded, Stopped, and what the work raises."""
        is_told = False
        try:
            self._give(work)
            while True:
                if self.line.poll(_LOOK_S):
                    match self.line.recv():
                        case "progress", progress:
                            report(*progress)
                        case "error", error:
                            raise error
                        case _, value:
                            return value
                if stop.is_set() and not is_told:
                    is_told = True
                    self.line.send(_STOP)
        except (EOFError, OSError) as error:  # the line is cut
            self.process.kill()
            self.process.join()
            if stop.is_set():
                raise Stopped from error
            raise WorkerEnded from error

    def _give(self, work: Work[Any]) -> None:
        """Have the process begin the work; a new one, where it ended while it was idle: that shows
        at once, or only now. Raises EOFError and OSError where a new one ends before it begins.
        """
        is_new = not self.process.is_alive() or self.line.poll()  # idle, it tells only its end
        if is_new:
            self._start()
        try:
            self.line.send(work)
            self.line.recv()
        except (EOFError, OSError):
            if is_new:
                raise
            self.process.kill()
            self.process.join()
            self._give(work)


def serve(line: Connection[Any, Any], threads: int, number: int) -> None:
    """What a worker does, until its app has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the app's, which ends its workers
    import torch

    from img2img.cores import set_threads

    set_threads(threads)
    if gpus := torch.cuda.device_count():
        torch.cuda.set_device(number % gpus)
    with suppress(EOFError, OSError):
        while True:
            work = line.recv()
            if work is not _STOP:  # that of work which had ended meanwhile
                line.send(_BEGUN)
                line.send(_done(work, line))


def _done(work: Work[Any], line: Connection[Any, Any]) -> tuple[str, Any]:
    try:
        return "value", work.run(
            _StopMessage(line.poll, line.recv), lambda *at: line.send(("progress", at))
        )
    except (UserError, Stopped, MemoryError) as error:
        return "error", error
    except Exception as error:  # of a kind that the app's process might not know
        log.exception("worker")
        return "error", RuntimeError(one_line(error))


class _StopMessage:
    """Set once a message has come: while a worker works, there is only one."""

    def __init__(self, has_come: Callable[[], bool], take: Callable[[], object]) -> None:
        self._has_come, self._take, self._was_set = has_come, take, False

    def is_set(self) -> bool:
        """Whether the work is to end. Raises EOFError where the app is gone."""
        if not self._was_set and self._has_come():
            self._take()
            self._was_set = True
        return self._was_set
