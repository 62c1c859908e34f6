"""Faults that a training must survive: a process killed at any moment, a full disk, a read-only
folder, a damaged file, a clock that jumps. For Linux and macOS.

`FileFaults` lets the n-th operation on a file fail, `Moments` knows what a run is doing, `in_child`
runs it in a forked process that may be killed. What all of it is for is
`python -m img2img.maintenance.faults`; a part of it:

    files = FileFaults(out, Fault.FULL_DISK, at=7)  # nothing fits from the 7th write on
    ended = in_child(lambda: main(["train", "ring", f"--out={out}"]), output, within=[files])
    assert files.struck and "No space left" in ended.output
"""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from mmap import mmap
from os.path import lexists
from pathlib import Path
from typing import Any, NoReturn, Self
from unittest.mock import patch

import numpy as np
import psutil
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import get_worker_info

from img2img.data import cache
from img2img.training.listeners import Validate
from img2img.training.methods import METHODS
from img2img.training.saving import Saver


class Fault(Enum):
    """What happens to files; the value is at which operations it can begin."""

    KILL = ("open", "write", "fsync", "replace", "mkdir", "unlink")
    """The process is killed, with half of what it writes on the disk."""
    FULL_DISK = ("write", "mkdir")
    """Half of what is written fits, and from there on nothing."""
    READ_ONLY = ("write", "open", "replace", "mkdir", "unlink")
    """Nothing can be changed from there on, as after an error of the disk."""


_ERRNO = {Fault.FULL_DISK: errno.ENOSPC, Fault.READ_ONLY: errno.EROFS}


class FileFaults:
    """While it is entered, a fault strikes at one of the operations by which this process changes
    files in a folder: Python's own, below all buffers, and those of safetensors' writer.

    The counts are in memory that forked processes share, so that a parent reads how far its child
    came.

    Args:
        folder: where faults happen; all else is left alone.
        fault: what happens.
        at: at which of the operations, counted from 1, that the fault can begin at; at none for 0.
    """

    def __init__(self, folder: Path, fault: Fault, at: int = 0) -> None:
        self.folder, self.fault, self.at = folder.absolute(), fault, at
        self.counts = np.frombuffer(mmap(-1, 16), np.int64)
        self.names: dict[int, str] = {}  # of what os.open has opened
        self.lock = threading.RLock()  # trackers write in threads of their own
        self.entered = ExitStack()

    @property
    def operations(self) -> int:
        """How many operations there were that the fault can begin at."""
        return int(self.counts[0])

    @property
    def struck(self) -> bool:
        """Whether the fault has begun."""
        return bool(self.counts[1])

    def __enter__(self) -> Self:
        self.open, self.os_open = io.open, os.open
        for module, name, replacement in (
            (builtins, "open", self._open),
            (io, "open", self._open),
            (os, "open", self._os_open),
            (os, "write", self._os_write(os.write)),
            (os, "fsync", self._counted("fsync", os.fsync)),
            (os, "replace", self._counted("replace", os.replace, place=1)),
            (os, "mkdir", self._counted("mkdir", os.mkdir)),
            (os, "unlink", self._counted("unlink", os.unlink)),
            (safetensors.torch, "save_file", self._tensors(safetensors.torch.save_file)),
        ):
            self.entered.enter_context(patch.object(module, name, replacement))
        return self

    def __exit__(self, *raised: object) -> None:
        self.entered.close()

    def begins(self, kind: str) -> bool:
        """Count an operation; whether the fault begins at this very one."""
        with self.lock:
            self.counts[0] += kind in self.fault.value
            begins = kind in self.fault.value and self.counts[0] == self.at
            self.counts[1] |= begins
        return begins

    def strike(self, kind: str, path: object) -> None:
        """Do what the fault does, if it has begun and can: kill this process, or raise OSError."""
        if not self.struck or kind not in self.fault.value:
            return
        if self.fault not in _ERRNO:
            os.kill(os.getpid(), KILLED)
        number = _ERRNO[self.fault]
        raise OSError(number, os.strerror(number), path)

    def write(self, content: Any, write: Callable[[Any], int], path: object) -> int:
        """Write as the system does: where a disk becomes full, or a process ends, half is there."""
        struck_before, begins = self.struck, self.begins("write")
        if begins and self.fault is not Fault.READ_ONLY and len(content) > 1:
            written = write(memoryview(content)[: len(content) // 2])
            if self.fault is Fault.FULL_DISK:
                return written
        if begins or struck_before:
            self.strike("write", path)
        return write(content)

    def _is_inside(self, path: Any) -> bool:
        name = self.names.get(path) if isinstance(path, int) else os.fsdecode(path)
        return name is not None and Path(name).absolute().is_relative_to(self.folder)

    def _counted(self, kind: str, call: Callable[..., Any], place: int = 0) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            path = arguments[place]
            if kind == "fsync" or (self._is_inside(path) and (kind != "unlink" or lexists(path))):
                self.begins(kind)
                self.strike(kind, path)
            return call(*arguments, **named)

        return counted

    def _open(
        self, file: Any, mode: str = "r", buffering: int = -1, *text: Any, **named: Any
    ) -> Any:
        """`open`, with a file that counts what leaves its buffers."""
        if not set(mode) & set("wax+") or not self._is_inside(file):
            return self.open(file, mode, buffering, *text, **named)
        if not isinstance(file, int):
            self.begins("open")
            self.strike("open", file)
        own = {name: named.pop(name) for name in ("closefd", "opener") if name in named}
        raw = _FaultyFile(file, mode.replace("b", "").replace("t", ""), **own)
        raw.faults = self
        if buffering == 0:
            return raw
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, *text, **named)

    def _os_open(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        changes = bool(flags & (os.O_WRONLY | os.O_RDWR)) and self._is_inside(path)
        if changes:
            self.begins("open")
            self.strike("open", path)
        handle: int = self.os_open(path, flags, *rest, **named)
        self.names.pop(handle, None)
        if changes:
            self.names[handle] = os.fsdecode(path)
        return handle

    def _os_write(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def counted(handle: int, content: Any) -> int:
            if not self._is_inside(handle):
                return write(handle, content)
            return self.write(content, lambda part: write(handle, part), self.names[handle])

        return counted

    def _tensors(self, save: Callable[..., None]) -> Callable[..., None]:
        """Safetensors' writer, which the system stops after none or half of the bytes."""

        def counted(tensors: dict[str, Tensor], path: Any, metadata: Any = None) -> None:
            size = sum(each.nbytes for each in tensors.values())
            for most_bytes in (0, size // 2):
                struck_before, begins = self.struck, self.begins("write")
                if not begins and not struck_before:
                    continue
                limit = _no_file_larger_than(most_bytes, kill=self.fault is Fault.KILL)
                with limit, suppress(SafetensorError):
                    save(tensors, path, metadata)
                try:
                    self.strike("write", path)
                except OSError as error:  # as safetensors says it
                    said = f"I/O error: {error.strerror} (os error {error.errno})"
                    raise SafetensorError(said) from None
            save(tensors, path, metadata)

        return counted


class _FaultyFile(io.FileIO):
    """A file whose writes may fail."""

    faults: FileFaults

    def write(self, content: Any) -> int:
        return self.faults.write(content, super().write, self.name)


@contextmanager
def _no_file_larger_than(most_bytes: int, *, kill: bool) -> Iterator[None]:
    """The system lets no file of this process grow beyond that: by an error, or by its end."""
    if sys.platform == "win32":
        raise NotImplementedError("Windows has no such limit")
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if kill:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


KILLED: int = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one end alone


class Part(Enum):
    """What a run is doing at a moment."""

    STEP = "step"
    SAVE = "save"
    VALIDATE = "validate"
    DECODE = "decode"
    """A loader process decodes a photo."""


class Moments:
    """While it is entered, what this process and its loaders are doing is known to the process that
    they were forked from: which part, for how long, and how often.

    Args:
        wanted: a part, and which time of it, counted from 1, `wait` waits for.
        held_s: how long that is held up, as a slow disk does it.
    """

    def __init__(self, wanted: tuple[Part, int] | None = None, held_s: float = 0.0) -> None:
        self.wanted, self.held_s = wanted, held_s
        self.reader, self.writer = os.pipe()
        self.doing, self.times, self.spent_ns, self.facts = np.frombuffer(
            mmap(-1, 4 * len(Part) * 8), np.int64
        ).reshape(4, -1)
        self.entered = ExitStack()

    def __enter__(self) -> Self:
        steps = [(method.step, "__call__", Part.STEP) for method in METHODS.values()]
        for owner, name, part in (
            *steps,
            (Saver, "save", Part.SAVE),
            (Validate, "now", Part.VALIDATE),
            (cache, "decode_rgb8", Part.DECODE),
        ):
            watched = self._watched(getattr(owner, name), part)
            self.entered.enter_context(patch.object(owner, name, watched))
        return self

    def __exit__(self, *raised: object) -> None:
        self.entered.close()

    def close(self) -> None:
        """Give back what `wait` reads."""
        os.close(self.reader)
        os.close(self.writer)

    def doing_what(self, rather: Part | None = None) -> str:
        """What is being done, or was when the process ended: of two things (a loader decodes during
        a step too) rather this one.
        """
        found = [part for part, doing in zip(Part, self.doing, strict=True) if doing]
        return rather.value if rather in found else found[0].value if found else "between"

    @property
    def saved_steps(self) -> int:
        """Of the last checkpoint that was saved to its end."""
        return int(self.facts[0])

    @property
    def loader(self) -> int:
        """The process that decoded last."""
        return int(self.facts[1])

    def times_of(self, part: Part) -> tuple[int, float]:
        """How often it was done, and the seconds that it took on the mean."""
        place = list(Part).index(part)
        times = int(self.times[place])
        return times, float(self.spent_ns[place]) / 1e9 / max(times, 1)

    def wait(self, pid: int) -> bool:
        """Until the wanted moment has come; whether it came before that process ended."""
        process = psutil.Process(pid)
        while not select.select([self.reader], [], [], 0.05)[0]:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
        return True

    def _watched(self, call: Callable[..., Any], part: Part) -> Callable[..., Any]:
        place = list(Part).index(part)

        def watched(*arguments: Any, **named: Any) -> Any:
            if part is Part.DECODE:
                if get_worker_info() is None:  # the training itself, which validates
                    return call(*arguments, **named)
                self.facts[1] = os.getpid()
            self.times[place] += 1
            self.doing[place], begun = 1, time.monotonic_ns()
            if self.wanted == (part, self.times[place]):
                os.write(self.writer, b".")
                time.sleep(self.held_s)
            try:
                return call(*arguments, **named)
            finally:
                self.spent_ns[place] += time.monotonic_ns() - begun
                self.doing[place] = 0
                if part is Part.SAVE and sys.exc_info()[0] is None:
                    self.facts[0] = arguments[1]

        return watched


@dataclass(frozen=True)
class Ended:
    """How a forked process ended."""

    code: int | None
    """None where it was killed."""
    output: str
    """what it printed, to either stream"""


def in_child(
    work: Callable[[], int],
    output: Path,
    within: Sequence[AbstractContextManager[object]] = (),
    outside: Callable[[int], object] | None = None,
) -> Ended:
    """Have a forked process do `work`, whose result is its exit code.

    Args:
        work: what it does.
        output: the file that it prints to.
        within: what it enters first, such as FileFaults.
        outside: what this process does meanwhile, called with the child's id; it may kill it.
            Processes that the child leaves behind are ended.
    """
    if sys.platform == "win32":
        raise NotImplementedError("Windows has no fork")
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _do(work, output, within)
    try:
        if outside is not None:
            outside(pid)
    finally:
        _, status = os.waitpid(pid, 0)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code if code >= 0 else None, output.read_text(errors="replace"))


def _do(
    work: Callable[[], int], output: Path, within: Sequence[AbstractContextManager[object]]
) -> NoReturn:
    """In the forked process, which ends here: nothing of its parent's is run."""
    code = 70
    try:
        if sys.platform != "win32":
            os.setsid()
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        with ExitStack() as entered:
            for each in within:
                entered.enter_context(each)
            code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


@contextmanager
def clock_jumping(by_s: float, after: int) -> Iterator[None]:
    """The time of day jumps, for this process, when it is read for the time that follows `after`
    others.
    """
    real, reads = time.time, itertools.count()

    def jumped() -> float:
        return real() + (by_s if next(reads) >= after else 0.0)

    with (
        patch.object(time, "time", jumped),
        patch.object(time, "time_ns", lambda: int(jumped() * 1e9)),
    ):
        yield


def flip_byte(path: Path, at: int, mask: int = 1) -> None:
    """Change bits of one byte of a file; a negative `at` counts from its end."""
    content = bytearray(path.read_bytes())
    content[at] ^= mask
    path.write_bytes(content)


def cut_short(path: Path, to_bytes: int) -> None:
    """Keep the beginning of a file alone; a negative number of bytes is left out at its end."""
    path.write_bytes(path.read_bytes()[:to_bytes])
