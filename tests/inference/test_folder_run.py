"""Folder runs that are killed, stopped and gone on with; what is done twice, and what is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import Forks
from killed_runs import KillableRuns
from PIL import Image

from img2img.cli import main
from img2img.errors import UserError
from img2img.files import atomic_path, leftovers
from img2img.inference.batch import FileBatch
from img2img.inference.folder import FolderRun
from img2img.inference.manifest import NAME, Manifest
from img2img.inference.outputs import Result
from img2img.inference.request import Request
from img2img.lock import FolderLock

pytestmark = pytest.mark.usefixtures("zoo")
posix = pytest.mark.skipif(sys.platform == "win32", reason="forks and kills processes")
PHOTOS = ("a.png", "b.jpg", "c.png", "sub/d.png")
DENOISE = Request(tasks=("denoise",))


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for seed, name in enumerate(PHOTOS):
        save(tmp_path / "scans" / name, seed)
    return tmp_path / "scans"


def work(scans: Path, out: Path, resume: bool = False, **options: Any) -> list[Result]:
    batch = FileBatch([str(scans)], options.pop("request", DENOISE), str(out), **options)
    return list(FolderRun(batch, resume).run())


def lines(out: Path) -> list[dict[str, Any]]:
    """The whole lines of a manifest."""
    text = (out / NAME).read_text().splitlines()
    return [json.loads(line) for line in text if line.endswith("}")]


def states(out: Path) -> dict[str, str]:
    """The last line of each photo."""
    return {
        line["input"].split("scans/")[1]: line["state"] for line in lines(out) if "input" in line
    }


def files(folder: Path) -> dict[str, bytes]:
    """All results, and whatever else lies there, but for the manifest."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != NAME)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


# --- killed


@pytest.fixture(scope="module")
def infer(forks: Forks, tiny_zoo: Path) -> KillableRuns:
    return KillableRuns(forks, tiny_zoo)


def words(scans: Path, out: Path) -> tuple[object, ...]:
    return "infer", "--input", scans, "--output", out, "--task", "denoise"


@posix
def test_a_run_that_is_killed_goes_on_with_the_results_of_one_that_was_not(
    infer: KillableRuns, scans: Path, tmp_path: Path
) -> None:
    assert infer(*words(scans, tmp_path / "whole")).code == 0
    whole = files(tmp_path / "whole")
    assert len(whole) == len(PHOTOS)
    moments = [("read", "c.png"), ("work", "b.jpg"), ("half", "b"), ("landed", "c"), ("lines", 7)]
    for number, (moment, name) in enumerate(moments):
        out = tmp_path / str(number)
        fault = (moment, name, signal.SIGKILL)
        assert infer(*words(scans, out), fault=fault).code == -signal.SIGKILL
        found = {k: v for k, v in files(out).items() if not Path(k).name.startswith(".")}
        assert found.items() < whole.items(), moment  # nothing half under its name
        before = {name: (out / name).stat().st_mtime_ns for name in found}
        assert infer(*words(scans, out), "--resume").code == 0
        assert files(out) == whole, moment  # and nothing else
        assert before.items() <= {n: (out / n).stat().st_mtime_ns for n in whole}.items(), moment
        assert set(states(out).values()) == {"done"}
        done = Counter(line["input"] for line in lines(out) if line["state"] == "done")
        assert set(done.values()) == {1}, moment


@posix
def test_a_photo_that_ends_the_process_is_put_aside_after_two_tries_and_its_neighbors_are_not(
    infer: KillableRuns, scans: Path, tmp_path: Path
) -> None:
    out, fault = tmp_path / "out", ("read", "b.jpg", signal.SIGKILL)
    for _ in range(2):
        assert infer(*words(scans, out), "--resume", fault=fault).code == -signal.SIGKILL
    for _ in range(2):
        ended = infer(*words(scans, out), "--resume", fault=fault)
        assert ended.code == 1
        [line] = [line for line in ended.err.splitlines() if line.startswith("error")]
        assert "b.jpg: put aside: twice the process ended" in line
        assert "give it alone as --input, with --resume" in line
    assert states(out) == dict.fromkeys(PHOTOS, "done") | {"b.jpg": "aside"}
    begun = Counter(line["input"] for line in lines(out) if line["state"] == "started")
    assert begun[f"../scans/{PHOTOS[1]}"] == 2
    ended = infer(*words(scans / "b.jpg", out), "--resume", "--json")
    assert ended.code == 0 and json.loads(ended.out)["output"] == str(out / "b.denoise.jpg")
    assert infer(*words(scans, out), "--resume").code == 0
    assert len(files(out)) == len(PHOTOS)


@posix
def test_who_is_asked_to_end_does_so_in_order_and_no_photo_is_suspected(
    infer: KillableRuns, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        ended = infer(*words(scans, out), "--resume", fault=("work", "c.png", number))
        assert (ended.code, ended.err.splitlines()[-1]) == (
            1,
            "error: interrupted: --resume goes on",
        )
        assert states(out)["c.png"] == "stopped"
        assert not [name for name in files(out) if Path(name).name.startswith(".")]
    assert infer(*words(scans, out), "--resume").code == 0
    assert len(files(out)) == len(PHOTOS)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("when", ["after each line", *range(4)])
def test_a_run_is_killed_after_every_line_of_its_manifest_and_at_any_moment(
    when: str | int, infer: KillableRuns, scans: Path, tmp_path: Path
) -> None:
    assert infer(*words(scans, tmp_path / "whole"), "--resume").code == 0
    whole, rng = files(tmp_path / "whole"), random.Random(when)
    moments: list[tuple[str, float]]
    moments = [("lines", number) for number in range(len(lines(tmp_path / "whole")))]
    if when != "after each line":
        moments = [("seconds", rng.uniform(0.01, 0.6)) for _ in range(10)]
    for number, moment in enumerate(moments):
        out = tmp_path / str(number)
        ended = infer(*words(scans, out), fault=(*moment, signal.SIGKILL))
        assert ended.code < 0 or moment[0] == "seconds"  # when it may be done
        found = {k: v for k, v in files(out).items() if not Path(k).name.startswith(".")}
        assert found.items() <= whole.items()
        if found == whole and not (out / NAME).exists():
            continue  # it was done: nothing is left to go on with
        assert infer(*words(scans, out), "--resume").code == 0
        assert files(out) == whole


# --- gone on with


def test_what_is_done_is_passed_over_unless_the_photo_has_changed_or_the_result_is_gone(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    assert [done.error for done in work(scans, out, resume=True)] == [None] * 4
    assert work(scans, out, resume=True) == []
    assert "4 of 4 are done already" in caplog.text
    save(scans / "a.png", 7)
    (out / "c.denoise.png").unlink()
    save(scans / "e.png", 8)
    again = work(scans, out, resume=True)
    assert [(done.input.name, done.error) for done in again] == [
        ("a.png", None),
        ("c.png", None),
        ("e.png", None),
    ]
    assert files(out).keys() == {
        *(f"{n}.denoise.png" for n in ("a", "c", "e", "sub/d")),
        "b.denoise.jpg",
    }
    work(scans, tmp_path / "fresh")
    assert files(out) == files(tmp_path / "fresh")


def test_a_result_that_was_changed_since_is_not_replaced_unless_told(
    scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    work(scans, out, resume=True)
    (out / "a.denoise.png").write_bytes(b"retouched")
    save(scans / "a.png", 7)
    for _ in range(2):
        [refused] = work(scans, out, resume=True)
        assert "exists: add overwrite" in str(refused.error)
    assert (out / "a.denoise.png").read_bytes() == b"retouched"
    [done] = work(scans, out, resume=True, overwrite=True)
    assert done.error is None and (out / "a.denoise.png").read_bytes() != b"retouched"


def test_photos_that_failed_are_tried_again(scans: Path, tmp_path: Path) -> None:
    (scans / "bad.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    assert [bool(done.error) for done in work(scans, out)] == [False, False, True, False, False]
    [failed] = work(scans, out, resume=True)
    assert failed.input.name == "bad.png" and states(out)["bad.png"] == "failed"
    save(scans / "bad.png")
    [mended] = work(scans, out, resume=True)
    assert mended.error is None and states(out)["bad.png"] == "done"


@pytest.mark.parametrize(
    ("begun", "then", "message"),
    [
        (["--task", "denoise"], [], "--task denoise"),
        (["--scale", "0.5", "--task", "denoise"], ["--task", "denoise"], "--scale 0.5"),
        (["--task", "denoise"], ["--task", "denoise", "--quality", "80"], "no --quality"),
    ],
)
def test_other_options_are_refused_in_one_line(
    scans: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    begun: list[str],
    then: list[str],
    message: str,
) -> None:
    line = ["infer", "--input", str(scans), "--output", str(tmp_path / "out")]
    assert main([*line, *begun, "--resume"]) == 0
    before = files(tmp_path / "out")
    capsys.readouterr()
    assert main([*line, *then, "--resume"]) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1 and "was begun with other options" in err and message in err
    assert "leave --resume out, or choose another --output" in err
    assert files(tmp_path / "out") == before
    assert main([*line, *begun, "--resume"]) == 0  # nothing was spoilt


def test_a_model_is_known_by_its_content(
    scans: Path, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(tiny_model("denoise").read_bytes())
    work(scans, tmp_path / "out", True, request=Request(model=str(mine)))
    assert work(scans, tmp_path / "out", True, request=Request(model=str(mine))) == []
    mine.write_bytes(tiny_model("colorize").read_bytes())
    with pytest.raises(UserError, match="another file as model"):
        work(scans, tmp_path / "out", True, request=Request(model=str(mine)))


def test_who_begins_again_hears_of_a_run_that_was_ended_and_spoils_nothing(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run = FolderRun(FileBatch([str(scans)], DENOISE, str(out))).run()
    next(run)
    run.close()
    line = ["infer", "--input", str(scans), "--output", str(out)]
    assert main([*line, "--task", "denoise"]) == 1  # a result exists
    err = capsys.readouterr().err
    assert "holds an unfinished run: --resume goes on with it" in err and "exists" in err
    assert main([*line, "--task", "denoise", "--resume"]) == 0
    assert "4 of 4 are done already" in capsys.readouterr().err
    assert main([*line, "--task", "denoise", "--overwrite"]) == 0
    assert "unfinished" not in capsys.readouterr().err
    unfinished = FolderRun(FileBatch([str(scans)], Request(), str(out), overwrite=True)).run()
    next(unfinished)
    unfinished.close()
    assert main([*line, "--task", "denoise", "--overwrite"]) == 0
    assert "--resume and its options (no --task) go on with it" in capsys.readouterr().err


def test_a_plan_of_what_is_left_writes_nothing(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    work(scans / "sub", out, resume=True)
    before = (out / NAME).read_bytes()
    save(scans / "sub" / "e.png")
    line = ["infer", "--input", str(scans / "sub"), "--output", str(out), "--task", "denoise"]
    assert main([*line, "--resume", "--plan"]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert (out / NAME).read_bytes() == before
    assert main([*line, "--watch", "--plan"]) == 2


def test_a_manifest_needs_a_folder_and_one_writer(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--resume", "--watch"):
        assert main(["infer", "--input", str(scans), option]) == 2
        assert "need a folder: give --output" in capsys.readouterr().err
    line = ["infer", "--input", str(scans), "--output", str(tmp_path / "out"), "--task", "denoise"]
    lock = FolderLock(tmp_path / "out", "output")
    assert main([*line, "--resume"]) == 2
    assert "is writing in" in capsys.readouterr().err
    assert main(line) == 0
    assert "--resume will not know of this run" in capsys.readouterr().err
    lock.release()
    assert len(files(tmp_path / "out")) == 4 and not (tmp_path / "out" / NAME).exists()


def test_a_whole_run_leaves_nothing_but_its_results_unless_asked(
    scans: Path, tmp_path: Path
) -> None:
    work(scans, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("a.denoise.png", "b.denoise.jpg", "c.denoise.png", "sub")
    ]
    work(scans, tmp_path / "kept", resume=True)
    work(scans, tmp_path / "kept", overwrite=True)
    assert set(states(tmp_path / "kept").values()) == {"done"}


def test_photos_that_are_named_keep_no_manifest_unless_asked(scans: Path, tmp_path: Path) -> None:
    out, named = tmp_path / "out", [str(scans / name) for name in PHOTOS[:2]]
    list(FolderRun(FileBatch(named, DENOISE, str(out))).run())
    assert not (out / NAME).exists()
    run = FolderRun(FileBatch(named, DENOISE, str(out), overwrite=True), resume=True)
    assert len(list(run.run())) == 2 and set(states(out).values()) == {"done"}


def test_lines_that_no_run_has_written_are_passed_over(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    work(scans, out, resume=True)
    run = lines(out)[0]["run"]
    odd = [
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'{"state": 3}',
        json.dumps({"state": "done", "run": run, "input": "../scans/a.png", "stamp": "x"}).encode(),
        json.dumps(
            {"state": "writing", "run": run, "input": "../scans/c.png", "output": "../scans/c.png"}
        ).encode(),
        b'{"state": "don',
    ]
    with (out / NAME).open("ab") as file:
        file.write(b"\n".join(odd))
    assert work(scans, out, resume=True) == []
    assert work(scans, out, resume=True) == []


@pytest.mark.parametrize("link", [None, os.link, os.symlink])
def test_an_input_is_never_overwritten_by_another_photo(
    scans: Path, tmp_path: Path, link: Callable[[Path, Path], None] | None
) -> None:
    other = tmp_path / "y" / "a.denoise.png"  # somebody's photo: no a.png lies next to it
    save(other if link is None else tmp_path / "original.png", 9)
    if link is not None:
        other.parent.mkdir()
        link(tmp_path / "original.png", other)
    before = other.read_bytes()
    inputs = [str(scans / "a.png"), str(other)]
    done = list(FileBatch(inputs, DENOISE, str(other.parent), overwrite=True).run())
    assert "is one of the photos that were given" in str(done[0].error)
    assert done[1].error is None and other.read_bytes() == before


def test_what_a_killed_writer_leaves_is_known_by_its_name(tmp_path: Path) -> None:
    target = tmp_path / ("long" * 30 + ".png")
    with atomic_path(target) as temporary:
        (tmp_path / f".{target.stem[:40]}.Mine.png").touch()
        assert leftovers(target) == [temporary]
    assert leftovers(target) == [] == leftovers(tmp_path / "none" / "a.png")


def test_the_manifest_names_photos_from_its_own_folder(scans: Path, tmp_path: Path) -> None:
    work(scans, tmp_path / "out", resume=True)
    (tmp_path / "moved").mkdir()
    for name in ("scans", "out"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert work(tmp_path / "moved/scans", tmp_path / "moved/out", resume=True) == []
    first, *photos, last = lines(tmp_path / "moved/out")
    assert (first["state"], last["state"]) == ("run", "finished")
    assert first["request"] == {"task": "denoise"}
    assert {line["input"] for line in photos if "input" in line} == {
        f"../scans/{name}" for name in PHOTOS
    }
    assert Manifest(tmp_path / "moved/out", {"task": "denoise"}).is_unfinished is False
