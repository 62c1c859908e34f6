"""Ctrl-C and SIGTERM end a run after the step it is in; afterwards the old handlers are back.
Windows has SIGBREAK instead, which is Ctrl-Break.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from img2img.interrupts import INTERRUPTS

STOPPING = (*INTERRUPTS, signal.SIGTERM)


@contextmanager
def stopping_on_signals(stop: Callable[[], None], processes: int) -> Iterator[None]:
    """Call `stop` on Ctrl-C or SIGTERM; a second one acts at once, as without this.

    Of several processes it does not: their launcher sends on the signal that the terminal has sent
    to each already.
    """

    def asked(number: int, frame: Any) -> None:
        stop()
        if processes == 1:
            own = signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler
            signal.signal(number, own)

    handlers: dict[int, Any] = {}
    try:
        for number in STOPPING:
            handlers[number] = signal.signal(number, asked) or signal.SIG_DFL
    except ValueError:  # not the main thread, which alone has signals
        pass
    try:
        yield
    finally:
        for asked_by, handler in handlers.items():
            signal.signal(asked_by, handler)
