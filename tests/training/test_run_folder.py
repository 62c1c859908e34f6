"""A run's folder: one writer, nothing whole overwritten by less, a full disk that costs nothing but
the last steps.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from forked import Forks
from PIL import Image
from stopping import after_step

from img2img.diagnostics.runlog import read_rows
from img2img.errors import Interrupted, TrainingError, UserError
from img2img.files import write_bytes
from img2img.lock import FolderLock
from img2img.recipe import Recipe
from img2img.training import train
from img2img.training.checkpoint import OWN_SHA256, latest_checkpoint
from img2img.training.trainer import Trainer

posix = pytest.mark.skipif(sys.platform == "win32", reason="locks and limits of POSIX")


def small(steps: int = 4, **train_fields: Any) -> Recipe:
    fields = Recipe.load("denoise_tiny").fields()
    fields["generator"] |= {"widths": [4], "blocks": [1]}
    fields["data"] |= {"crop_px": 32, "validation_max": 1, "workers": 0}
    fields["train"] |= {
        "steps": steps,
        "batch_size": 1,
        "log_every": 1,
        "checkpoint_every": 1,
        **train_fields,
    }
    return Recipe.parse(fields)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps, with the checkpoints of the last two."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(small(), folder, device="cpu")
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """The same, to be broken."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(folder: Path, pattern: str, how: Callable[[bytes], bytes]) -> None:
    found = list((folder / "checkpoints").glob(pattern))
    assert found
    for path in found:
        path.write_bytes(how(path.read_bytes()))


def remove(folder: Path, pattern: str) -> None:
    for path in (folder / "checkpoints").glob(pattern):
        path.unlink()


def without(*names: str) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(
        {k: v for k, v in json.loads(content).items() if k not in names}
    ).encode()


BREAKS: dict[str, Callable[[Path], None]] = {
    "weights cut short": lambda run: change(run, "*.safetensors", lambda c: c[: len(c) // 2]),
    "a bit flipped": lambda run: change(
        run, "*.safetensors", lambda c: c[:-1] + bytes([c[-1] ^ 1])
    ),
    "no bytes": lambda run: change(run, "*", lambda c: b""),
    "garbage": lambda run: change(run, "*", lambda c: os.urandom(300)),
    "facts cut short": lambda run: change(run, "*.json", lambda c: c[: len(c) // 2]),
    "facts are a list": lambda run: change(run, "*.json", lambda c: b"[1, 2]"),
    "facts without checksum": lambda run: change(run, "*.json", without("sha256")),
    "weights missing": lambda run: remove(run, "*.safetensors"),
    "facts missing": lambda run: remove(run, "*.json"),
    "none at all": lambda run: shutil.rmtree(run / "checkpoints"),
    "a fact changed": lambda run: change(
        run, "*.json", lambda c: c.replace(b'"step": ', b'"step": 1')
    ),
    "of another version": lambda run: change(run, "*.json", without("averages", OWN_SHA256)),
    "of a recipe that is not read any more": lambda run: change(
        run, "*.json", without("recipe", OWN_SHA256)
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_resume_without_a_whole_checkpoint_leaves_the_folder_as_it_is(run: Path, name: str) -> None:
    BREAKS[name](run)
    before = content(run)
    with pytest.raises(UserError, match=r"^resume: .*nothing was changed.* another out"):
        train(small(), run, resume=True, device="cpu")
    assert content(run) == before


def test_what_was_found_is_said_and_how_to_go_on(run: Path) -> None:
    BREAKS["weights cut short"](run)
    with pytest.raises(UserError) as refused:
        train(small(), run, resume=True, device="cpu")
    assert "step_00000004 is damaged; step_00000003 is damaged" in str(refused.value)
    assert f"train.init={run}, which begins with its model of step 4" in str(refused.value)
    train(small(1, init=str(run)), run.with_name("anew"), device="cpu")


def test_tensors_of_another_version_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(run)
    monkeypatch.setattr(
        "img2img.training.step.TrainingStep.load_state",
        lambda self, tensors: tensors["of a later version"],
    )
    with pytest.raises(UserError, match=r"another version of img2img; nothing was changed"):
        train(small(), run, resume=True, device="cpu")
    assert content(run) == before


def test_a_run_killed_before_its_first_checkpoint_is_no_run_to_go_on_with(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "model.safetensors").unlink()
    before = content(run)
    with pytest.raises(UserError, match=r"no whole checkpoint \(none was written\)"):
        train(small(), run, resume=True, device="cpu")
    assert content(run) == before


@pytest.mark.parametrize("kept", ["log.jsonl", "model.safetensors", "checkpoints"])
def test_whatever_is_left_of_a_run_is_not_written_over(run: Path, kept: str) -> None:
    for path in run.iterdir():
        if path.name != kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = content(run)
    with pytest.raises(UserError, match="already holds a run: add resume to go on"):
        train(small(), run, device="cpu")
    assert content(run) == before


def test_a_folder_without_a_run_may_hold_other_things(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "log.jsonl").touch()  # killed before the first line
    train(small(1), tmp_path, device="cpu")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_one_before_is_gone_on_with_and_damaged_ones_go_when_a_whole_one_is_there(
    run: Path, finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = (run / "model.safetensors").read_bytes()
    change(run, "step_00000004.safetensors", lambda c: c[:-7])
    seen: list[tuple[list[str], bytes]] = []
    trainer = Trainer(small(6), run, resume=True, device="cpu")
    save = trainer.saver.save

    def watched(*args: Any, **named: Any) -> None:
        save(*args, **named)
        names = sorted(path.name for path in (run / "checkpoints").iterdir())
        seen.append((names, (run / "model.safetensors").read_bytes()))

    trainer.saver.save = watched  # type: ignore[method-assign]
    trainer.run()
    assert (
        "step_00000004 is damaged: trying the one before" in caplog.text
        and "resumed from step 3" in caplog.text
    )
    assert seen[0][0] == [
        f"step_0000000{step}.{kind}" for step in (3, 4) for kind in ("json", "safetensors")
    ]
    ended = latest_checkpoint(run / "checkpoints")
    assert ended is not None and ended.facts["step"] == 6
    assert [row["step"] for row in read_rows(run / "log.jsonl") if "g_loss" in row] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert model != (run / "model.safetensors").read_bytes()


def test_what_is_no_line_of_a_log_and_what_is_no_checkpoint_stop_no_resume(run: Path) -> None:
    log_file = run / "log.jsonl"
    log_file.write_bytes(b'\xff\n[1]\n{"step": "x"}\n{"step": null}\n' + log_file.read_bytes())
    (run / "checkpoints" / "step_00000099.json").mkdir()
    assert train(small(5), run, resume=True, device="cpu")["step"] == 5


def test_a_file_where_tensorboard_writes_is_named(run: Path) -> None:
    shutil.rmtree(run / "tensorboard")
    (run / "tensorboard").write_text("")
    with pytest.raises(TrainingError, match="tensorboard"):
        train(small(5), run, resume=True, device="cpu")


def test_what_a_killed_run_was_writing_is_gone_after_a_resume(run: Path) -> None:
    for name in (
        *(".recipe.abc12_xy.yaml", ".model.abc12_xy.safetensors", ".best.abc12_xy.safetensors"),
        *("samples/.step_00000002.abc12_xy.png", "checkpoints/.step_00000002.abc12_xy.json"),
        *(".tmpAb1XyZ", "checkpoints/.tmpAb1XyZ"),  # as safetensors calls them
    ):
        (run / name).write_bytes(b"half of i")
    (run / ".notes.yaml").write_text("mine")
    train(small(5), run, resume=True, device="cpu")
    assert [path.name for path in run.rglob(".*")] == [".notes.yaml"]


def test_a_run_resumed_at_its_end_logs_that_end_once(run: Path) -> None:
    """As where the summary alone was lost."""
    before = read_rows(run / "log.jsonl")
    train(small(), run, resume=True, device="cpu")
    (resumed,) = (row for row in read_rows(run / "log.jsonl") if "resumed_from_step" in row)
    after = [row for row in read_rows(run / "log.jsonl") if row != resumed]
    assert resumed["step"] == 4
    assert [row.keys() for row in after] == [row.keys() for row in before]
    assert sum("vitals" in row for row in after) == 1


def test_a_model_of_more_steps_stays_until_the_run_has_come_as_far(run: Path) -> None:
    """Resumed from an older checkpoint and stopped again at once: the better model is not lost."""
    for name in ("step_00000003", "step_00000004"):
        older = run / "checkpoints" / name
        facts = json.loads(older.with_suffix(".json").read_text()) | {"step": 1}
        del facts[OWN_SHA256]
        older.with_suffix(".json").write_text(json.dumps(facts))
    model = (run / "model.safetensors").read_bytes()
    trainer = Trainer(small(), run, resume=True, device="cpu")
    trainer.stop()
    with pytest.raises(Exception, match="stopped at step 2"):
        trainer.run()
    assert (run / "model.safetensors").read_bytes() == model
    train(small(), run, resume=True, device="cpu")
    assert (run / "model.safetensors").read_bytes() != model


HOLDS = r"""
import sys, time, os
from pathlib import Path
from img2img.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
child = os.fork() if sys.argv[2] == "fork" else None
if child == 0:
    os.write(1, b"child %d\n" % os.getpid())
    time.sleep(600)
os.write(1, b"held %d\n" % os.getpid())
time.sleep(600)
"""


@contextmanager
def holding(folder: Path, how: str = "alone") -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that holds the folder's lock, and the ids of it and its child."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder), how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pids: dict[str, int] = {}
    try:
        for _ in range(2 if how == "fork" else 1):
            word, pid = process.stdout.readline().split()
            pids[word] = int(pid)
        yield process, list(pids.values())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if "child" in pids:
            os.kill(pids["child"], signal.SIGKILL)


@posix
@pytest.mark.parametrize("resume", [False, True])
def test_a_second_writer_is_refused_and_told_who_is_there(run: Path, resume: bool) -> None:
    with holding(run) as (process, _):
        before = content(run)
        with pytest.raises(
            UserError, match=rf"process {process.pid} on \S+ is writing in .*choose another folder"
        ):
            train(small(), run, resume=resume, device="cpu")
        assert content(run) == before


@posix
@pytest.mark.parametrize("how", ["alone", "fork"])
def test_a_dead_process_holds_no_lock_even_if_its_loader_lives_on(tmp_path: Path, how: str) -> None:
    with holding(tmp_path / "run", how) as (process, _):
        process.kill()
        process.wait()
        train(small(1), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run/.lock").exists()


@posix
def test_of_two_that_start_at_once_one_trains(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "run")
    with pytest.raises(UserError, match=f"process {os.getpid()} on"):
        FolderLock(tmp_path / "run")
    lock.release()
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_lock_that_does_not_fit_on_the_disk_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("img2img.lock.os.write", full)
    with pytest.raises(UserError, match=r"^out: cannot write in '.*': No space left on device$"):
        FolderLock(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    FolderLock(tmp_path / "run").release()


def test_a_run_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        train(small(init="no_such_model"), tmp_path / "a/b/run", device="cpu")
    assert list(tmp_path.iterdir()) == []


@posix
def test_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"mine")
    for out in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(
            UserError, match=r"^out: .*(is a file, not a folder|nothing can be written)"
        ):
            train(small(), out, device="cpu")
    assert (tmp_path / "file").read_bytes() == b"mine"


class FullLog:
    """In the place of log.jsonl: half a line goes in, then nothing."""

    def __init__(self, file: Any, lines: int) -> None:
        self.file, self.left = file, lines

    def write(self, line: bytes) -> int:
        self.left -= 1
        if self.left == -1:
            return int(self.file.write(line[: len(line) // 2]))
        if self.left < -1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.file.write(line))

    def close(self) -> None:
        self.file.close()


def test_a_full_disk_in_tensorboard_is_told_once_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its events are written in a thread: what fails there must not be a traceback of its own."""

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    trainer = Trainer(small(200), tmp_path / "run", device="cpu")
    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    with pytest.raises(TrainingError, match=r"No space left on device: '\S*tensorboard'"):
        trainer.run()
    assert "Traceback" not in capfd.readouterr().err
    assert threading.excepthook is trainer.folder.board.threads_excepthook


def test_a_full_disk_in_the_log_names_it_and_the_run_can_go_on(tmp_path: Path) -> None:
    trainer = Trainer(small(), tmp_path / "run", device="cpu")
    log = trainer.folder.log
    assert log is not None
    log.file = FullLog(log.file, lines=4)  # type: ignore[assignment]
    with pytest.raises(
        TrainingError,
        match=r"No space left.*log\.jsonl'; the checkpoint of step \d is kept; free some",
    ):
        trainer.run()
    train(small(), tmp_path / "run", resume=True, device="cpu")
    assert [row["step"] for row in read_rows(tmp_path / "run/log.jsonl") if "g_loss" in row] == [
        1,
        2,
        3,
        4,
    ]


@pytest.mark.parametrize(
    "full_at", ["step_00000003.safetensors", "step_00000003.json", "model.safetensors", "samples"]
)
def test_a_full_disk_anywhere_keeps_the_last_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    out, replace = tmp_path / "run", os.replace
    calls: list[str] = []

    def replaced(source: Any, target: Any) -> None:
        calls.append(str(target))
        if full_at in str(target) and (
            len([c for c in calls if full_at in c]) > 2 or "3." in full_at or full_at == "samples"
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr("img2img.files.os.replace", replaced)
    with pytest.raises(
        TrainingError, match=rf"No space left on device: '\S*{full_at}.*free some space"
    ) as ended:
        train(small(), out, device="cpu")
    kept = latest_checkpoint(out / "checkpoints")
    assert kept is not None and f"the checkpoint of step {kept.facts['step']} is kept" in str(
        ended.value
    )
    assert kept.facts["step"] >= 2
    assert not [path for path in out.rglob(".*") if path.is_file()], (
        "what was half-written is gone, and the lock"
    )
    monkeypatch.undo()
    train(small(), out, resume=True, device="cpu")
    assert [row["step"] for row in read_rows(out / "log.jsonl") if "g_loss" in row] == [1, 2, 3, 4]


LIMITED = """
import resource, sys
from img2img.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


@posix
@pytest.mark.parametrize("named", ["step_00000003.safetensors", "recipe.yaml"])
def test_a_real_limit_on_files_ends_the_command_with_one_line(
    forks: Forks, tmp_path: Path, named: str
) -> None:
    """What the operating system says when a file cannot grow: safetensors' own writer, and before
    the first step.
    """
    recipe = tmp_path / "r.yaml"
    recipe.write_text(small().to_yaml())
    out = tmp_path / "run"
    train(small(2), out, device="cpu")
    before = content(out / "checkpoints")
    largest = max((out / "checkpoints").iterdir(), key=lambda path: path.stat().st_size)
    arguments = ["train", str(recipe), "--out", str(out), "--resume", "--device", "cpu"]
    limits = {"recipe.yaml": (out / "recipe.yaml").stat().st_size - 1}
    done = forks(LIMITED, limits.get(named, largest.stat().st_size // 2), *arguments)
    assert done.code == 1
    (error,) = (line for line in done.err.splitlines() if line.startswith("error:"))
    assert "File too large" in error and named in error and "step 2 is kept" in error
    assert "Traceback" not in done.err
    assert content(out / "checkpoints") == before


def test_pairs_none_of_which_match_in_size_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    for number in range(4):
        for side, width in (("A", 64), ("B", 70)):
            path = tmp_path / "pairs" / side / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (width, 64)).save(path)
    recipe = Recipe.load(
        "translate_tiny",
        [f"data.path={tmp_path / 'pairs'}", "task.source=pairs", "data.crop_px=64"],
    )
    with pytest.raises(
        UserError,
        match=r"none of the photos can be read; first: .*B/.\.png: it and its partner '.*'",
    ):
        train(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_leaves_the_handlers_of_signals_as_they_were(tmp_path: Path) -> None:
    """However it ends: whole, stopped from outside, or by a signal of which the first is enough."""

    def own(number: int, frame: Any) -> None:
        raise AssertionError("the run's own handler was asked")

    before = {number: signal.signal(number, own) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        train(small(1), tmp_path / "whole", device="cpu")
        for how in ("stop", "SIGINT", "SIGTERM"):
            trainer = Trainer(small(), tmp_path / how, device="cpu")
            ask = (
                trainer.stop
                if how == "stop"
                else lambda n=how: signal.raise_signal(signal.Signals[n])
            )
            after_step(trainer, 2, ask)
            with pytest.raises(Interrupted, match="stopped at step 2"):
                trainer.run()
        assert [signal.getsignal(number) for number in before] == [own, own]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"resum": True}, r"^train\(\) got .* keyword argument 'resum', did you mean 'resume'\?$"),
        ({"recipe": 5}, "^recipe must be a recipe, its file or the name of a shipped one, not 5$"),
        ({"out": 5}, "^out must be a folder, not 5$"),
        ({"resume": "yes"}, "^resume must be True or False, not 'yes'$"),
        ({"device": None}, "^device: unknown device 'None'"),
    ],
)
def test_what_train_does_not_take_is_named(
    tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        train(**{"recipe": small(1), "out": tmp_path / "run", **given})
    assert not (tmp_path / "run").exists()
