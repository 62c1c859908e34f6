"""Ctrl-C and SIGTERM end a run after the step it is in; afterwards the old handlers are back."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stopping_on_signals(stop: Callable[[], None], processes: int) -> Iterator[None]:
    """Call `stop` on Ctrl-C or SIGTERM; a second one acts at once, as without this.

    Of several processes it does not: their launcher sends on the signal that the terminal has sent
    to each already.
    """

    def asked(number: int, frame: Any) -> None:
        stop()
        if processes == 1:
            own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, own)

    handlers: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            handlers[number] = signal.signal(number, asked) or signal.SIG_DFL
    except ValueError:  # not the main thread, which alone has signals
        pass
    try:
        yield
    finally:
        for asked_by, handler in handlers.items():
            signal.signal(asked_by, handler)
