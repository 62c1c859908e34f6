"""The one door for writing files: whole or not at all, under names that the file system takes."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

from img2img.errors import Advice, Option, Phrase, UserError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success it is fsynced and renamed onto `path`, on
    any error removed.

    The temporary name keeps the suffix, because writers such as OpenCV choose the codec by it. An
    OSError of the temporary file (a full disk) bears the name of `path`.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{_cut(target.stem, 40)}.", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(target, instead_of=name):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
            _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_files(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path of the same name in an empty folder; on success all files written there are
    moved next to `path`, that one last, and on any error none is.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".img2img.", dir=target.parent) as folder:
        with naming(target):
            yield Path(folder) / target.name
        written = sorted(Path(folder).iterdir(), key=lambda file: file.name == target.name)
        for file in written:
            with file.open("rb") as content:
                os.fsync(content.fileno())
            os.chmod(file, 0o666 & ~_umask())
            os.replace(file, target.with_name(file.name))
        _sync_folder(target.parent)


@contextmanager
def naming(path: Path, instead_of: str | None = None) -> Iterator[None]:
    """Give an OSError that names no file, or `instead_of`, the name of the file that is being
    written.
    """
    try:
        yield
    except OSError as error:
        if error.filename not in (None, instead_of):
            raise
        if error.errno is None:  # Pillow's
            raise OSError(f"{error}: '{path}'") from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write UTF-8 `content` to `path` atomically; what is none, in old file names, as the terminal
    shows it.
    """
    write_bytes(path, content.encode(errors="backslashreplace"))


def check_folder(folder: Path) -> None:
    """Make a folder that results go to. Raises UserError when it cannot be made or written into."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"this folder cannot be made ({error.strerror})", place=folder, remedy=_ANOTHER
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError("nothing may be written there", place=folder, remedy=_ANOTHER)


_ANOTHER = Advice("choose another ", Option("output"))


def at_home(path: str) -> Path:
    """A path as a user writes it, `~` being their home: not every shell says so itself
    (`--out=~/run`).
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody has that name
        return Path(path)


def check_writable(folder: Path, option: str) -> None:
    """Raise UserError when a folder, which need not exist, cannot be made or written into; nothing
    is left behind.
    """
    try:
        there = next(
            place
            for place in (folder, *folder.absolute().parents)
            if place.exists() or place.is_symlink()
        )
        if there.is_dir():
            with tempfile.TemporaryFile(dir=there):
                return
        what = Phrase("'", there, "' is a file, not a folder")
    except OSError as error:
        what = Phrase("nothing can be written into '", folder, f"' ({error.strerror})")
    raise UserError(what, field=option, remedy="choose another")


def longest_name(folder: Path) -> int:
    """How many bytes a file name in a folder, which need not exist, may have."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows; a file system that does not say
        return 255


def shortened(stem: str, longest: int = 255) -> str:
    """A stem that leaves 55 bytes of a name for what follows; one that was cut ends in a hash of
    the whole.
    """
    if len(os.fsencode(stem)) <= longest - 55:
        return stem
    return f"{_cut(stem, longest - 62)}~{hashlib.sha256(os.fsencode(stem)).hexdigest()[:6]}"


def _cut(text: str, most_bytes: int) -> str:
    """The first characters that fit into so many bytes of a file name."""
    while len(os.fsencode(text)) > most_bytes:
        text = text[
            : max(most_bytes // 4, len(text) - max(1, (len(os.fsencode(text)) - most_bytes) // 4))
        ]
    return text


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], header: dict[str, str] | None = None
) -> None:
    """Write contiguous CPU tensors as safetensors; not atomic by itself. Raises OSError, as any
    other writer does.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, header)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut (POSIX; Windows cannot open folders)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
