"""Files of every format that is read, cut and changed at random: read, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hostile import battery
from hostile.corpus import Hostile
from hostile.photos import SOUND, named


def _damaged(kind: str, cuts: int, changes: int) -> dict[str, bytes]:
    """Copies cut at so many places, and with so many bytes changed, half of them in the header."""
    content, rng = SOUND[kind], np.random.default_rng(len(SOUND[kind]))
    copies = {
        f"{kind} cut at {at}": content[:at]
        for at in np.linspace(0, len(content), cuts, endpoint=False).astype(int).tolist()
    }
    for number in range(changes):
        at = int(rng.integers(len(content) if number % 2 else min(len(content), 600)))
        value = int(rng.integers(1, 256))
        changed = bytearray(content)
        changed[at] ^= value
        copies[f"{kind} byte {at} ^ {value}"] = bytes(changed)
    return copies


def _wrong(kinds: list[str], cuts: int, changes: int, folder: Path, zoo: Path) -> list[str]:
    """What was done wrongly with damaged copies: more or less than one line, another exit code."""
    commands = {}
    for kind in kinds:
        for name, content in _damaged(kind, cuts, changes).items():
            place = folder / f"{len(commands)}" / named(kind)
            place.parent.mkdir()
            place.write_bytes(content)
            commands[name] = ["read", str(place)]
    either, wrong = Hostile("damaged", "", lambda _: None), []
    outcomes = battery.run(commands, folder, zoo)
    assert outcomes.keys() == commands.keys()
    for name, outcome in outcomes.items():
        try:
            either.check(outcome)
        except AssertionError:
            wrong.append(f"{name}: {outcome}")
    return wrong


def test_a_few_damaged_copies_of_each_format(tmp_path: Path, tiny_zoo: Path) -> None:
    assert _wrong([*SOUND], 3, 6, tmp_path, tiny_zoo) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOUND)
def test_many_damaged_copies(kind: str, tmp_path: Path, tiny_zoo: Path) -> None:
    assert _wrong([kind], 30, 200, tmp_path, tiny_zoo) == []
