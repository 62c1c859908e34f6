"""Ctrl-C for a process that this one has started, be there signals (Linux, macOS) or not (Windows).

Windows sends only Ctrl-Break, and that to a whole group of processes, so each child gets a group of
its own.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

if sys.platform == "win32":
    INTERRUPTS: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGBREAK)
    _INTERRUPT: int = signal.CTRL_BREAK_EVENT
    _FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    INTERRUPTS = (signal.SIGINT,)
    _INTERRUPT = signal.SIGINT
    _FLAGS = 0


def interruptible(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a process that `interrupt` reaches."""
    return subprocess.Popen(command, creationflags=_FLAGS, **options)


def interrupt(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, as Ctrl-C does."""
    process.send_signal(_INTERRUPT)


def heed_interrupts() -> None:
    """Have all that `interrupt` may send raise KeyboardInterrupt in this process; a background job
    of a shell would ignore Ctrl-C, and so would its children.
    """
    for number in INTERRUPTS:
        signal.signal(number, signal.default_int_handler)


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Within it a process that is asked to end (SIGTERM, Windows' Ctrl-Break) is interrupted, so
    that what it does is ended in order. Threads other than the main one have no say in this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, *INTERRUPTS[1:])
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
