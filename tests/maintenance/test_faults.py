"""What a training survives: a little of each fault, all of it in the slow tests."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")

KINDS = {
    "kill -9 at a random moment",
    "kill -9 at each file operation",
    "kill -9 of the loader",
    "full disk at each write",
    "full disk for TensorBoard",
    "read-only from each file operation on",
    "a bit flipped",
    "a file cut short",
    "both checkpoints cut short",
    "an older format",
    "a clock that jumps",
}


def injected(*options: object) -> dict[str, dict[str, Any]]:
    """What the command says of each kind, in a process without threads, which can fork."""
    command = [sys.executable, "-m", "img2img.maintenance.faults", "--json", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1) and done.stdout, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    assert done.returncode == int(any(kind["problems"] for kind in found.values()))
    return found


def test_a_training_survives_some_of_each_fault() -> None:
    found = injected("--kills", 4, "--every", 100, "--others", 1)
    assert found.keys() == KINDS
    assert {name: kind["problems"] for name, kind in found.items() if kind["problems"]} == {}
    assert all(kind["injected"] == kind["survived"] > 0 for kind in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_training_survives_all_faults(kind: str) -> None:
    found = injected("--only", kind, "--every", 2, "--seed", 1)
    assert found[kind]["problems"] == []
    assert found[kind]["injected"] == found[kind]["survived"] >= 4
    if kind == "kill -9 at a random moment":
        assert all(found[kind]["where_hit"].get(part, 0) for part in ("step", "save", "validate"))
