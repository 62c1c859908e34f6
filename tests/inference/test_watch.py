"""A folder into which photos are dropped as scanners do it: slowly, under other names at first."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from forked import Forks
from killed_runs import KillableRuns
from PIL import Image

from img2img.errors import UserError
from img2img.inference.batch import FileBatch
from img2img.inference.folder import FolderRun
from img2img.inference.manifest import NAME
from img2img.inference.outputs import Result
from img2img.inference.request import Request
from img2img.inference.watch import _PATIENT_POLLS, Arrivals

pytestmark = pytest.mark.usefixtures("zoo")
DENOISE = Request(tasks=("denoise",))


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8))


def arrivals(folder: Path) -> Arrivals:
    return Arrivals([str(folder)], lambda job: False)


def polled(found: Arrivals) -> list[str]:
    return [job.input.name for job in found.poll()]


def test_a_file_is_taken_once_it_has_been_the_same_at_two_polls(tmp_path: Path) -> None:
    found = arrivals(tmp_path)
    assert polled(found) == []
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    assert polled(found) == []
    path.write_bytes(b"12")  # is still being written
    assert polled(found) == []
    assert polled(found) == ["a.png"]
    assert polled(found) == []
    path.write_bytes(b"123")
    assert polled(found) == [] and polled(found) == ["a.png"]


def test_one_that_cannot_be_read_is_waited_for_and_tried_once_more_before_it_counts_as_bad(
    tmp_path: Path,
) -> None:
    found, path = arrivals(tmp_path), tmp_path / "a.png"
    path.write_bytes(b"half")
    assert [polled(found) for _ in range(2)] == [[], ["a.png"]]
    assert not found.is_final(Result(path, error="truncated"))
    assert [polled(found) for _ in range(2, _PATIENT_POLLS)][-1] == ["a.png"]
    assert found.is_final(Result(path, error="truncated"))
    assert polled(found) == []
    path.write_bytes(b"mended")
    assert [polled(found) for _ in range(2)] == [[], ["a.png"]]
    assert found.is_final(Result(path))


def test_names_under_which_files_are_still_written_are_passed_over(tmp_path: Path) -> None:
    names = ("a.jpg.part", "b.tmp", "c.png~", "~d.jpg", ".e.jpg", "f.JPG.PART", "g.jpg.crdownload")
    for name in names:
        picture().save(tmp_path / name, "JPEG")
    found = arrivals(tmp_path)
    assert [polled(found) for _ in range(3)] == [[], [], []]
    (tmp_path / "a.jpg.part").rename(tmp_path / "a.jpg")
    assert [polled(found) for _ in range(2)] == [[], ["a.jpg"]]


def test_a_folder_that_goes_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    found = arrivals(folder)
    folder.rmdir()
    assert polled(found) == []
    folder.mkdir()
    picture().save(folder / "a.png")
    assert [polled(found) for _ in range(2)] == [[], ["a.png"]]


def test_only_folders_and_patterns_are_watched(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    for name in ("a.png", "nowhere"):
        with pytest.raises(UserError, match="name the folder that photos come into"):
            arrivals(tmp_path / name)
    found = arrivals(tmp_path / "*.png")
    assert [polled(found) for _ in range(2)] == [[], ["a.png"]]


# --- worked on


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.inference.folder.POLL_S", 0.02)
    monkeypatch.setattr("img2img.inference.watch._PATIENT_POLLS", 60)


def watching(folder: Path, out: Path) -> FolderRun:
    return FolderRun(FileBatch([], DENOISE, str(out)), watched=[str(folder)])


def names(results: Iterator[Result], count: int) -> list[tuple[str, bool]]:
    """The next so many results."""
    return sorted((one.input.name, one.error is None) for one in islice(results, count))


@pytest.mark.usefixtures("quick")
def test_a_scanner_drops_photos_and_each_is_done_once_when_it_is_whole(tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "scans" / "restored"
    (scans / "sub").mkdir(parents=True)
    picture(1).save(scans / "first.png")
    picture(2).save(tmp_path / "slow.png")
    (scans / "bad.jpg").write_bytes(b"no picture")
    whole = (tmp_path / "slow.png").read_bytes()
    chunk = len(whole) // 5 + 1

    def drop() -> None:
        with (scans / "sub" / "slow.png").open("wb") as file:
            for start in range(0, len(whole), chunk):
                file.write(whole[start : start + chunk])
                file.flush()
                time.sleep(0.07)

    run = watching(scans, out).run()
    scanner = threading.Thread(target=drop)
    scanner.start()
    assert names(run, 3) == [("bad.jpg", False), ("first.png", True), ("slow.png", True)]
    scanner.join()
    picture(3).save(scans / "bad.jpg")
    assert names(run, 1) == [("bad.jpg", True)]
    picture(4).save(scans / "first.png")  # scanned anew
    assert names(run, 1) == [("first.png", True)]
    run.close()
    done = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert done.pop(NAME) and done.keys() == {
        "first.denoise.png",
        "bad.denoise.jpg",
        "sub/slow.denoise.png",
    }
    inputs = [str(scans / name) for name in ("first.png", "bad.jpg", "sub/slow.png")]
    plain = FileBatch(inputs, DENOISE, str(tmp_path / "plain")).run()
    assert all(one.output and one.output.read_bytes() in done.values() for one in plain)


@pytest.mark.usefixtures("quick")
def test_a_watcher_that_is_started_again_does_nothing_twice(tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    for number in range(2):
        scans.mkdir(exist_ok=True)
        picture(number).save(scans / f"{number}.png")
    run = watching(scans, out).run()
    assert names(run, 2) == [("0.png", True), ("1.png", True)]
    run.close()
    picture(5).save(scans / "2.png")
    run = watching(scans, out).run()
    assert names(run, 1) == [("2.png", True)]
    run.close()
    begun = [json.loads(line) for line in (out / NAME).read_text().splitlines()]
    started = [line["input"] for line in begun if line["state"] == "started"]
    assert sorted(started) == [f"../scans/{number}.png" for number in range(3)]
    with pytest.raises(UserError, match="begun with other options"):
        next(FolderRun(FileBatch([], Request(), str(out)), watched=[str(scans)]).run())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="forks and kills processes")
def test_the_command_watches_until_it_is_asked_to_end(
    forks: Forks, tiny_zoo: Path, tmp_path: Path
) -> None:
    (tmp_path / "scans").mkdir()
    runs = KillableRuns(forks, tiny_zoo)
    for number in (signal.SIGINT, signal.SIGTERM):
        picture().save(tmp_path / "scans" / f"{number}.png")
        words = ("infer", "--input", tmp_path / "scans", "--output", tmp_path / "out", "--json")
        process = runs.begin(*words, "--task", "denoise", "--watch")
        while not (forks.folder / "out").read_text():
            time.sleep(0.05)
        os.kill(process, number)
        ended = forks.end()
        assert ended.code == 0
        [line] = ended.out.splitlines()
        assert json.loads(line)["output"] == str(tmp_path / "out" / f"{number}.denoise.png")
        assert ended.err.splitlines()[-1] == "ended: 1 photos done, 0 failed"
