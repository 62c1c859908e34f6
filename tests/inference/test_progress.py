"""The line of tiles: what it says of a chain of steps, and that nothing of it stays."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from img2img.inference.plan import Plan, PlanStep
from img2img.inference.progress import TileLine
from img2img.zoo.catalogue import CATALOGUE

PHOTO, SIZE = Path("scans/a[1].png"), (1200, 20)


class Terminal(io.StringIO):
    """A stream that says it is one, and keeps what is written."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def chain(zoo: Path) -> Plan:
    return Plan(tuple(PlanStep(CATALOGUE.entry(name), name) for name in ("denoise", "colorize")))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("img2img.inference.progress.MOMENT_S", 0)
    return Terminal()


def shown(line: TileLine, stream: Terminal, words: str) -> bool:
    """Whether the words are written within some seconds; then everything written is forgotten."""
    assert line.line is not None
    until = time.monotonic() + 10
    while words not in stream.getvalue() and time.monotonic() < until:
        time.sleep(0.02)
    found = words in stream.getvalue()
    stream.truncate(0)
    return found


def test_each_step_has_its_tiles_and_those_that_cannot_be_known_no_total(
    terminal: Terminal, chain: Plan
) -> None:
    with TileLine(stream=terminal) as line:
        line.begin(PHOTO, chain, SIZE)
        assert shown(line, terminal, "0/2 tiles")
        line.tile(0, 1)
        assert shown(line, terminal, "1/2 tiles")
        line.tile(0, 2)
        assert shown(line, terminal, "a[1].png: colorize")
        line.tile(1, 1)
        assert shown(line, terminal, " 1 tiles")
    assert terminal.getvalue().endswith("\x1b[2K"), "the line is taken away"


def test_a_photo_that_is_only_copied_has_no_line(terminal: Terminal) -> None:
    with TileLine(stream=terminal) as line:
        line.begin(PHOTO, Plan(()), SIZE)
        assert line.line is None
    assert terminal.getvalue() == ""


def test_a_line_that_ends_before_its_moment_is_never_seen(
    terminal: Terminal, chain: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("img2img.inference.progress.MOMENT_S", 30)
    with TileLine(stream=terminal) as line:
        line.begin(PHOTO, chain, SIZE)
        line.tile(0, 1)
    assert terminal.getvalue() == ""
