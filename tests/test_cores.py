"""Threads on the cores of this machine, and the warning where others keep them busy."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import torch

from img2img import cores
from img2img.cli import main
from img2img.cores import CoreLoad, CrowdWatch, _Reading, crowding, ticks_of, usable_cores
from img2img.errors import UserError
from img2img.recipe import Recipe
from img2img.training import train

STAT = """cpu  300 0 100 2000 20 0 0 5
cpu0 100 0 50 1000 10 0 0 0 7 0
cpu1 120 3 55 1060 20 0 1 5 7 0
cpu10 900 0 0 100 0 0 0 0 0 0
intr 1 2 3
"""


def test_idling_and_waiting_for_a_disk_is_not_work() -> None:
    """user, nice, system, idle, iowait, irq, softirq, steal"""
    assert ticks_of(STAT, {0}) == (150, 1160)
    assert ticks_of(STAT, {1}) == (184, 1264)
    assert ticks_of(STAT, {0, 1}) == (334, 2424)


def test_this_system_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc/stat").is_file():
        pytest.skip("only Linux counts ticks")
    monkeypatch.setattr(cores, "_COUNTS", Path("/proc/stat"))
    reading = cores._reading()
    assert reading is not None
    assert 0 < reading.busy <= reading.ticks
    assert reading.own.keys() == {os.getpid()} and reading.own[os.getpid()] > 0
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    assert CoreLoad().by_others() is None, "too soon"


def test_a_quota_counts_as_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cores, "_QUOTA", quota)
    monkeypatch.setattr(cores, "_own_cores", lambda: range(8))
    assert usable_cores() == 8
    for text, expected in (("max 100000", 8), ("150000 100000", 2), ("5000 100000", 1)):
        quota.write_text(text)
        assert usable_cores() == expected


@pytest.mark.parametrize(
    ("threads", "usable", "others", "expected"),
    [
        (2, 2, 0.1, None),
        (2, 4, 1.5, None),
        (2, 2, 1.0, "2 threads on 2 cores, of which other processes keep 1.0 busy: this can take "
         "many times as long; use threads 1"),
        (4, 2, 0.0, "4 threads on 2 cores: this can take many times as long; use threads 2"),
        (1, 1, 0.6, "1 thread on 1 core, of which other processes keep 0.6 busy: this takes "
         "longer than on an idle machine"),
        (8, 8, 20.0, "8 threads on 8 cores, of which other processes keep 20.0 busy: this can "
         "take many times as long; use threads 1"),
    ],
)  # fmt: skip
def test_threads_without_a_core_each_are_warned_of(
    threads: int, usable: int, others: float, expected: str | None
) -> None:
    assert crowding(threads, usable, others) == expected


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[_Reading | None]:
    """What the system tells, one after the other."""
    found: list[_Reading | None] = []
    monkeypatch.setattr(cores, "_reading", lambda: found.pop(0))
    monkeypatch.setattr(cores, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    return found


def test_what_this_process_and_its_loaders_use_is_not_others(
    readings: list[_Reading | None],
) -> None:
    me, loader = 10, 11
    readings += [
        _Reading(0.0, busy=1000, ticks=4000, cores=2, own={me: 5.0}),
        _Reading(10.0, busy=2800, ticks=6000, cores=2, own={me: 11.0, loader: 4.0}),
        _Reading(20.0, busy=3800, ticks=8000, cores=2, own={me: 21.0}),
        _Reading(20.1, busy=3810, ticks=8020, cores=2, own={me: 21.0}),
        None,
    ]
    load = CoreLoad()
    assert load.by_others() == pytest.approx(0.8)  # 1.8 cores busy, of which 1.0 are ours
    assert load.by_others() == pytest.approx(0.0)
    assert load.by_others() is None, "too soon to tell"
    assert load.by_others() is None, "the system does not tell"


def test_one_is_warned_when_it_is_news(
    readings: list[_Reading | None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "img2img")
    free = [False, True, True, False, True, False, True, False, True]
    seconds = busy = 0
    readings.append(_Reading(0, 0, 0, 2, {}))
    for others in free:
        seconds, busy = seconds + 10, busy + 1000 * others
        readings.append(_Reading(seconds, busy, 200 * seconds, 2, {}))
    watch, counted = CrowdWatch(), list[int]()
    for _ in free:
        watch.look()
        counted.append(len(caplog.records))
    assert counted == [0, 1, 1, 1, 2, 2, 3, 3, 3]
    assert "use threads 1" in caplog.messages[0]


def test_a_training_looks_before_its_first_step_and_at_lines_of_the_log(
    tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(CrowdWatch, "look", lambda self: looked.append("look"))
    changes = [f"data.path={photo_folder}", "data.crop_px=16", "data.resize_px=null"]
    changes += ["train.steps=4", "train.log_every=2", "train.batch_size=1"]
    train(Recipe.load("denoise_tiny", changes), tmp_path / "run", device="cpu")
    assert looked == ["look"] * 3


@pytest.fixture
def _threads_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads(), cv2.getNumThreads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.mark.usefixtures("_threads_as_before")
def test_torch_opencv_and_child_processes_take_the_threads() -> None:
    cores.set_threads(3)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (3, 3)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    cores.set_threads(None)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (3, 3)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "ring"],
        ["infer", "--input", "x.png"],
        ["eval", "--task", "denoise", "--data", "x"],
        ["generate", "--model", "x"],
        ["app"],
        ["bench"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_computes_takes_threads(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[int | None] = []

    def set_threads(threads: int | None) -> None:
        taken.append(threads)
        raise UserError("enough")

    monkeypatch.setattr(cores, "set_threads", set_threads)
    assert main([*command, "--threads", "3"]) == 2
    assert main(command) == 2
    assert taken == [3, None]
    capsys.readouterr()
    assert main([*command, "--threads", "0"]) == 2
    assert "--threads" in capsys.readouterr().err
