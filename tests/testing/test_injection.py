"""Faults strike where they are to, and nowhere else."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from img2img.files import write_bytes, write_tensors, write_text
from img2img.testing.faults import Fault, FileFaults, clock_jumping, cut_short, flip_byte

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")


def buffered(path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("x" * 10)


def appended(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(b"x" * 10)


def tensors(path: Path) -> None:
    write_tensors(path, {"w": torch.arange(1000.0)})


WRITERS: dict[str, Callable[[Path], None]] = {
    "buffered": buffered,
    "appended": appended,
    "tensors": tensors,
    "atomic": lambda path: write_bytes(path, b"x" * 10),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_takes_half_and_then_nothing_until_it_is_left(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "out" / "file"
    path.parent.mkdir()
    with FileFaults(path.parent, Fault.FULL_DISK, at=1) as files:
        if name == "appended":
            appended(path)  # the half that fits
        with pytest.raises(OSError, match="No space left") as full:
            WRITERS[name](path)
        write_text(tmp_path / "elsewhere", "another disk")
    assert full.value.errno == errno.ENOSPC
    assert files.struck and files.operations >= 1
    if name in ("buffered", "appended"):
        assert path.read_bytes() == b"x" * 5
    if name == "atomic":
        assert list(path.parent.iterdir()) == []
    path.unlink(missing_ok=True)
    WRITERS[name](path)
    assert path.stat().st_size >= 10


@pytest.mark.parametrize("at", [1, 2])
def test_tensors_are_cut_by_the_system_itself(tmp_path: Path, at: int) -> None:
    path = tmp_path / "w.safetensors"
    with (
        FileFaults(tmp_path, Fault.FULL_DISK, at=at),
        pytest.raises(OSError, match="No space left"),
    ):
        tensors(path)
    assert list(tmp_path.iterdir()) == [] or path.stat().st_size == (0, 2000)[at - 1]
    with FileFaults(tmp_path, Fault.FULL_DISK, at=3) as files:
        tensors(path)
    assert not files.struck and files.operations == 2
    assert torch.equal(load_file(path)["w"], torch.arange(1000.0))


def test_nothing_can_be_changed_where_all_is_read_only(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    with FileFaults(tmp_path, Fault.READ_ONLY, at=1):
        for change in (
            lambda: buffered(kept),
            lambda: kept.unlink(),
            lambda: (tmp_path / "new").mkdir(),
            lambda: write_text(kept, "other"),
        ):
            with pytest.raises(OSError, match="Read-only file system"):
                change()
        assert kept.read_text() == "kept"
    write_text(kept, "other")


def test_a_kill_leaves_half_of_what_was_being_written(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from img2img.testing.faults import *\n"
        "out = Path(sys.argv[1])\n"
        "files = FileFaults(out, Fault.KILL, at=5)\n"  # open, write, open, write, open
        "write = lambda: [(out / name).write_bytes(b'12345678') for name in 'abc']\n"
        "for at, code in ((5, None), (4, None), (9, 0)):\n"
        "    files.at = at; files.counts[:] = 0\n"
        "    ended = in_child(lambda: len(write()) - 3, out.with_name('said'), [files])\n"
        "    assert ended.code == code and ended.output == '', ended\n"
        "    print(*[(p.name + str(p.stat().st_size)) for p in sorted(out.iterdir())])\n"
        "    [p.unlink() for p in out.iterdir()]\n"
    )
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["a8 b8", "a8 b4", "a8 b8 c8"]


def test_the_clock_jumps_while_it_is_asked_and_is_right_again() -> None:
    with clock_jumping(by_s=-86400, after=1):
        first, second = time.time(), time.time()
        assert -86401 < second - first < -86390
        assert time.time_ns() / 1e9 < first
    assert time.time() >= first


def test_bytes_are_flipped_and_cut(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abcd")
    flip_byte(file, at=-1)
    assert file.read_bytes() == b"abce"
    cut_short(file, to_bytes=-1)
    assert file.read_bytes() == b"abc"
