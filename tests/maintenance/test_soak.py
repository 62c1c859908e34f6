"""The soak command: what it prints of a curve, and a few requests through a real app."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from img2img.maintenance import soak
from img2img.maintenance.soak import MemoryReading, picture, slope_mb, summary, table

FLAT = [MemoryReading(0, 0, 0, 300, 0)] + [
    MemoryReading(n, n / 10, n / 5, min(500, 300 + n), 0.02 * n) for n in range(50, 1001, 50)
]


def test_the_slope_is_that_of_the_second_half() -> None:
    assert slope_mb(FLAT, "page_mb") == pytest.approx(0, abs=1e-6)
    assert slope_mb(FLAT, "workers_mb") == pytest.approx(20)


def test_the_curve_is_told_in_numbers_and_drawn() -> None:
    assert table(FLAT).splitlines()[-1].split() == ["1000", "100", "200", "500", "20"]
    told = summary(FLAT, lost=2)
    assert told.startswith("1000 requests in 100 s, 0.200 s of processor each, 2 lost")
    assert "page: 500 MB half-way, 500 MB at the end, +0.0 MB in 1,000 requests" in told
    drawn = picture(FLAT)
    assert drawn.count("<polyline") == 2 and "requests" in drawn


@pytest.mark.slow
def test_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    curve, drawing = tmp_path / "curve.csv", tmp_path / "curve.svg"
    flags = ["--requests", "8", "--users", "3", "--workers", "1"]
    command = ["soak", *flags, "--csv", str(curve), "--svg", str(drawing)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        soak.main()
    assert end.value.code == 0 and "8 requests" in capsys.readouterr().out
    rows = list(csv.DictReader(curve.read_text(encoding="utf-8").splitlines()))
    assert [int(row["served"]) for row in rows] == list(range(9))
    assert all(float(row["workers_mb"]) > 0 for row in rows)
    assert drawing.read_text(encoding="utf-8").startswith("<svg")
