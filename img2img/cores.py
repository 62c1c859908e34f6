"""The CPU's cores that this process may use, its threads on them, and how busy others keep them.

What the system does not tell is None, never an error.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from img2img.errors import Option, Phrase

log = logging.getLogger("img2img")

SYSTEM_CORES = 0.25  # what system services may use without a warning
LEAST_S = 0.4  # between two readings: the system counts in hundredths of a second
MOST_WARNINGS = 3  # of a run: a neighbor that comes and goes is no news any more
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: `150000 100000` is one and a half cores
_COUNTS = Path("/proc/stat")


def set_threads(threads: int | None) -> None:
    """Compute on so many CPU threads in torch, OpenCV and processes to come; None leaves all as is.

    Without it torch takes one for each core, be it free or not.
    """
    if threads is None:
        return
    # BLAS reads it when it is loaded, and so do the processes that are started from here.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def usable_cores() -> int:
    """Cores that this process may run on, by its affinity and its container's quota."""
    cores = len(_own_cores()) or os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        cores = min(cores, max(1, round(int(quota) / int(period))))  # `max`: no quota
    return cores


def crowding(threads: int, cores: int, others: float) -> Phrase | None:
    """A warning where threads do not find a free core each, while other processes keep `others`
    cores busy. All threads of an operation wait for its last one, so the rest lose time as well.
    """
    if threads + others <= cores + SYSTEM_CORES:
        return None
    problem = f"{threads} thread{'s' * (threads > 1)} on {cores} core{'s' * (cores > 1)}"
    if others > SYSTEM_CORES:
        problem += f", of which other processes keep {others:.1f} busy"
    fitting = max(1, round(cores - others))
    if fitting >= threads:
        return Phrase(f"{problem}: this takes longer than on an idle machine")
    return Phrase(f"{problem}: this can take many times as long; use ", Option("threads", fitting))


class CoreLoad:
    """How many of this process's cores others keep busy, from one look to the next."""

    def __init__(self) -> None:
        self.before = _reading()

    def by_others(self) -> float | None:
        """Cores, such as 1.3, since the look before; None where the system does not tell, or it is
        too soon to tell.
        """
        before, now = self.before, _reading()
        if before is None or now is None or now.seconds - before.seconds < LEAST_S:
            return None
        self.before = now
        busy = now.cores * (now.busy - before.busy) / max(1, now.ticks - before.ticks)
        own = sum(used - before.own.get(process, 0.0) for process, used in now.own.items())
        return max(0.0, busy - own / (now.seconds - before.seconds))


class CrowdWatch:
    """Warns where others take the cores that this process computes on, when that is news."""

    def __init__(self) -> None:
        self.load, self.crowded, self.left = CoreLoad(), False, MOST_WARNINGS

    def look(self) -> None:
        """Log a warning where the cores were free before."""
        import torch

        others = self.load.by_others()
        if others is None:
            return
        warning = crowding(torch.get_num_threads(), usable_cores(), others)
        if warning and self.left and not self.crowded:
            self.left -= 1
            log.warning(warning)
        self.crowded = warning is not None


class _Reading(NamedTuple):
    seconds: float
    busy: int
    """Ticks of this process's cores since the system's start that were not idle."""
    ticks: int
    """All of them."""
    cores: int
    own: dict[int, float]
    """CPU seconds of this process and its loaders, by process number."""


def _reading() -> _Reading | None:
    with suppress(OSError, ValueError, IndexError):
        cores = _own_cores()
        busy, ticks = ticks_of(_COUNTS.read_text(encoding="ascii"), cores)
        processes = (os.getpid(), *(child.pid for child in multiprocessing.active_children()))
        own = {process: cpu_seconds(process) for process in processes if process}
        return _Reading(time.monotonic(), busy, ticks, len(cores), own)
    return None


def ticks_of(stat: str, cores: Collection[int]) -> tuple[int, int]:
    """Busy and all ticks of some cores in the text of /proc/stat. Idle (the fourth number) and
    waiting for a disk (the fifth) are not busy; time that a host takes away (the eighth) is.
    """
    wanted = {f"cpu{core}" for core in cores}
    lines = [line.split() for line in stat.splitlines() if line.split(" ")[0] in wanted]
    counts = [[int(number) for number in line[1:9]] for line in lines]
    return sum(sum(c) - c[3] - c[4] for c in counts), sum(map(sum, counts))


def _own_cores() -> Collection[int]:
    """Their numbers; empty where the system has no affinity."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()


def cpu_seconds(process: int) -> float:
    """User and system time of a process, all threads; 0 where it has ended."""
    import psutil

    with suppress(psutil.Error):
        times = psutil.Process(process).cpu_times()
        return times.user + times.system
    return 0.0
