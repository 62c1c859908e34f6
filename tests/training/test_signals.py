"""Ctrl-C and SIGTERM during a run, and after it."""

from __future__ import annotations

import signal
import threading

import pytest

from img2img.training.signals import stopping_on_signals


def test_the_first_signal_asks_and_the_second_acts_at_once() -> None:
    asked: list[str] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with stopping_on_signals(lambda: asked.append("stop"), processes=1):
        signal.raise_signal(signal.SIGINT)
        assert asked == ["stop"]
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert asked == ["stop"]
    assert {number: signal.getsignal(number) for number in before} == before


def test_of_several_processes_each_may_be_sent_the_signal_twice() -> None:
    asked: list[str] = []
    with stopping_on_signals(lambda: asked.append("stop"), processes=2):
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
    assert asked == ["stop"] * 3


def test_handlers_come_back_after_an_error_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="NaN"), stopping_on_signals(lambda: None, processes=1):
        raise ValueError("NaN")
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_thread_has_no_signals_and_trains_all_the_same() -> None:
    before, done = signal.getsignal(signal.SIGINT), list[object]()

    def train() -> None:
        with stopping_on_signals(lambda: None, processes=1):
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert done == [before]
