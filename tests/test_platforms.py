"""What Windows and macOS do otherwise than Linux, simulated."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image
from stopping import stop_at
from windows import windows_file_rules

import img2img
from img2img import files
from img2img.cli import main
from img2img.errors import Interrupted, UserError
from img2img.files import ignores_case, is_portable, write_tensors, write_text
from img2img.inference.batch import FileBatch
from img2img.inference.folder import FolderRun
from img2img.inference.request import Request
from img2img.interrupts import interrupt, interruptible
from img2img.lock import FolderLock
from img2img.memory import peak_mb, resident_mb
from img2img.recipe import Recipe
from img2img.training.trainer import Trainer
from img2img_apps.settings import Settings
from img2img_apps.train_runs import DEMONSTRATION, TrainRuns
from img2img_apps.workspace import Workspace

linux = pytest.mark.skipif(sys.platform != "linux", reason="simulated by what Linux tells of files")
WINDOWS = SimpleNamespace(platform="win32")


class Msvcrt:
    """Windows' locks: of bytes, by an open file, told apart by where it stands."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], int] = {}

    def locking(self, handle: int, mode: int, count: int) -> None:
        assert mode == self.LK_NBLCK and count == 1
        place = os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR)
        owner = self.held.get(place)
        if owner not in (None, handle) and _is_open(owner, place[0]):
            raise PermissionError(errno.EACCES, "Permission denied")
        self.held[place] = handle


def _is_open(handle: int, inode: int) -> bool:
    try:
        return os.fstat(handle).st_ino == inode
    except OSError:
        return False


@pytest.fixture
def windows_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows' locks in the place of POSIX's."""
    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt())
    monkeypatch.setattr("img2img.lock.sys", WINDOWS)


@linux
def test_the_rules_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a")
    with windows_file_rules():
        with path.open() as file:
            with pytest.raises(PermissionError):
                path.unlink()
            with pytest.raises(PermissionError):
                path.replace(tmp_path / "b.txt")
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fsync(file.fileno())
        with pytest.raises(OSError, match="Invalid argument"):
            (tmp_path / "a:b").write_text("a")
        path.unlink()


@linux
@pytest.mark.parametrize(
    ("recipe", "changes"),
    [("denoise_tiny", ()), ("ring", ()), ("denoise_tiny", ("train.keep_best=true",))],
)
def test_a_run_is_trained_stopped_resumed_and_used(
    recipe: str, changes: tuple[str, ...], tmp_path: Path, windows_locks: None
) -> None:
    steps = (
        "train.steps=4",
        "train.checkpoint_every=1",
        "train.validate_every=2",
    )
    known = Recipe.load(recipe, [*steps, *changes])
    with windows_file_rules():
        trainer = Trainer(known, tmp_path / "run", device="cpu")
        stop_at(trainer, 2)
        with pytest.raises(Interrupted):
            trainer.run()
        used = img2img.load(tmp_path / "run")  # while it goes on
        summary = img2img.train(known, tmp_path / "run", resume=True, device="cpu")
        assert used.recipe.task == known.task
        assert main(["report", str(tmp_path / "run")]) == 0
    assert summary["step"] == 4
    assert not [*tmp_path.rglob(".lock")]


@linux
def test_results_are_written_over_the_photos_of_before(photo_folder: Path, zoo: Path) -> None:
    words = ["infer", "--input", str(photo_folder / "photo_0.png"), "--task", "denoise"]
    with windows_file_rules():
        assert main(words) == 0 and main([*words, "--overwrite"]) == 0
    assert (photo_folder / "photo_0.denoise.png").is_file()


@linux
def test_a_folder_is_gone_on_with(photo_folder: Path, zoo: Path, windows_locks: None) -> None:
    out = photo_folder.parent / "out"
    words = ["infer", "--input", str(photo_folder), "--output", str(out), "--task", "denoise"]
    with windows_file_rules():
        run = FolderRun(FileBatch([str(photo_folder)], Request(("denoise",)), str(out))).run()
        next(run)
        run.close()
        assert main([*words, "--resume"]) == 0
    assert len(list(out.iterdir())) == 6 + 1  # and the manifest


@linux
def test_who_reads_a_file_for_a_moment_does_not_keep_it_from_being_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, paused = tmp_path / "model.txt", list[float]()
    write_text(path, "old")
    reader = path.open()

    def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            reader.close()

    monkeypatch.setattr(files, "sys", WINDOWS)
    monkeypatch.setattr(files, "time", SimpleNamespace(sleep=pause))
    with windows_file_rules():
        write_text(path, "new")
        assert path.read_text() == "new" and len(paused) == 3
        with path.open(), pytest.raises(PermissionError):
            write_text(path, "never")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@linux
def test_a_folder_of_results_is_synced_and_moved_whole(tmp_path: Path) -> None:
    with windows_file_rules(), files.atomic_files(tmp_path / "a.txt") as place:
        place.write_text("a")
        place.with_suffix(".json").write_text("{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.txt"]


@linux
def test_windows_has_one_writer_of_a_run_too(tmp_path: Path, windows_locks: None) -> None:
    with windows_file_rules():
        lock = FolderLock(tmp_path / "run")
        with pytest.raises(UserError, match=f"process {os.getpid()} on .* is writing in"):
            FolderLock(tmp_path / "run")
        lock.release()
        assert not (tmp_path / "run").exists()
        FolderLock(tmp_path / "run").release()
    assert list(tmp_path.iterdir()) == []


def test_names_that_one_system_refuses_are_not_portable() -> None:
    for name in (
        "con",
        "NUL.txt",
        "com1",
        "Lpt9.log",
        "a:b",
        "a?.png",
        "end.",
        "end ",
        'a"b',
        "a\\b",
    ):
        assert not is_portable(name), name
    for name in ("console", "com0", "denoise-2", ".lock", "model.safetensors", "größe 1.png"):
        assert is_portable(name), name


def test_the_app_names_no_run_as_windows_names_a_device(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work") if (tmp_path / "work").mkdir() is None else None
    assert workspace is not None
    runs = TrainRuns(Settings(data_root=tmp_path), workspace)
    for name in ("con", "aux.1", "run."):
        with pytest.raises(UserError, match="Windows takes no folder named"):
            runs.start("denoise_tiny", DEMONSTRATION, 1, name)
    workspace.close()
    assert not (tmp_path / "runs").exists()


def test_a_name_that_the_system_does_not_take_is_the_users_to_mend(
    tmp_path: Path, photo_folder: Path, zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if sys.platform != "linux":
        pytest.skip("simulated by what Linux tells of files")
    words = ["infer", "--input", str(photo_folder / "photo_0.png"), "--task", "denoise"]
    with windows_file_rules():
        assert main([*words, "--output", str(tmp_path / "a:b.png")]) == 2
    assert "a:b.png" in capsys.readouterr().err


def test_a_folder_that_ignores_case_is_seen_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Results"
    folder.mkdir()
    assert not ignores_case(folder) or sys.platform != "linux"
    (tmp_path / "rESULTS").symlink_to(folder)  # what such a system answers
    assert ignores_case(folder)
    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="darwin"))
    assert ignores_case(Path("/"))


def test_photos_whose_results_differ_in_case_alone_do_not_replace_each_other(
    photos: list[np.ndarray], tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, name in (("one", "Photo.png"), ("two", "photo.PNG")):
        (tmp_path / folder).mkdir()
        Image.fromarray(photos[0]).save(tmp_path / folder / name)
    inputs = [str(tmp_path / "one/Photo.png"), str(tmp_path / "two/photo.PNG")]

    def results(out: str) -> list[str | None]:
        batch = FileBatch(inputs, output=str(tmp_path / out), overwrite=True)
        return [result.error for result in batch.run()]

    assert results("told_apart") == [None, None]
    monkeypatch.setattr("img2img.inference.batch.ignores_case", lambda folder: True)
    first, second = results("not_told_apart")
    assert first is None and second is not None and "from another photo of that name" in second


@pytest.mark.skipif(sys.platform == "win32", reason="sends itself what POSIX has")
def test_an_interrupted_child_ends_by_ctrl_c() -> None:
    # A shell has what it starts in the background ignore Ctrl-C; what trains listens all the same.
    waits = (
        "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "print('up', flush=True); time.sleep(600)"
    )
    child = interruptible([sys.executable, "-c", waits], stdout=subprocess.PIPE, stderr=-3)
    assert child.stdout is not None and child.stdout.readline() == b"up\n"
    interrupt(child)
    assert child.wait(60) in (-signal.SIGINT, 130, 1)
    child.stdout.close()


def test_windows_is_asked_for_memory_by_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    held = SimpleNamespace(rss=3e6, peak_wset=7e6)
    monkeypatch.setattr("img2img.memory.sys", WINDOWS)
    monkeypatch.setattr("img2img.memory.Path", lambda name: Path("/nowhere"))
    monkeypatch.setattr(psutil, "Process", lambda pid: SimpleNamespace(memory_info=lambda: held))
    assert (resident_mb(), peak_mb(), peak_mb(1)) == (3, 7, 7)


def test_an_apps_folder_goes_when_its_process_is_gone_and_no_process_is_sent_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.kill", lambda *_: pytest.fail("on Windows 0 is Ctrl-C"))
    monkeypatch.setattr(psutil, "pid_exists", lambda pid: pid == 11)
    for pid in (11, 12):
        (tmp_path / f"img2img-app-{pid}-x").mkdir()
    Workspace().close()
    assert [path.name for path in tmp_path.iterdir()] == ["img2img-app-11-x"]


def test_the_systems_own_words_come_with_an_error_of_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def full(*_: object) -> None:
        raise SafetensorError("I/O error: There is not enough space on the disk. (os error 112)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="There is not enough space on the disk") as caught:
        write_tensors(tmp_path / "a.safetensors", {})
    assert caught.value.filename == str(tmp_path / "a.safetensors")


def test_words_are_quoted_as_the_system_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from img2img.cli import _typed

    assert _typed(["--out", "a b"]) == "--out 'a b'"
    monkeypatch.setattr("img2img.cli.sys", WINDOWS)
    assert _typed(["--out", r"C:\my runs"]) == r'--out "C:\my runs"'
