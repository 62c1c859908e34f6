"""How one process and two are compared, and that the command measures them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from img2img.maintenance.scaling import MODULE, Pace, Scaling


def test_ratios_are_those_of_neighbouring_rounds() -> None:
    rounds = [
        {1: Pace(1, 100, one_s, 0.0), 2: Pace(2, 200, two_s, exchange_s)}
        for one_s, two_s, exchange_s in ((10.0, 12.5, 1.25), (20.0, 25.0, 5.0), (1.0, 2.0, 0.1))
    ]
    found = Scaling("denoise", rounds)
    assert (found.speed(1), found.speed(2)) == (10.0, 16.0)
    assert found.ratio == pytest.approx(1.6) and found.exchange_share == pytest.approx(0.1)
    assert found.row() == ("denoise", "10", "16", "×1.60", "10%")


def measured(*words: str) -> subprocess.CompletedProcess[str]:
    short = ("--rounds=1", "--steps=2", "--json")
    return subprocess.run(
        [sys.executable, "-m", MODULE, *words, *short], capture_output=True, text=True
    )


@pytest.mark.slow
def test_two_processes_are_measured_against_one() -> None:
    done = measured("translate_tiny", "rung")
    assert done.returncode == 1 and "rung: 1 processes: error: " in done.stderr
    ((name, found),) = json.loads(done.stdout)["recipes"].items()
    ((one, two),) = found["rounds"]
    assert name == "translate_tiny" and (one["images"], two["images"]) == (16, 32)
    assert all(0 <= pace["exchange_s"] < pace["seconds"] for pace in (one, two))
    assert two["exchange_s"] > 0
    assert found["ratio"] == pytest.approx(
        found["images_per_second"]["2"] / found["images_per_second"]["1"], rel=1e-2
    )
