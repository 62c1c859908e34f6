"""The one door for writing files: whole or not at all, under names that the file system takes."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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
            _settle(temporary, target)
            _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def leftovers(path: Path) -> list[Path]:
    """Temporary files that `atomic_path(path)` has left where its process was killed."""
    stem = re.escape(f".{_cut(path.stem, 40)}.")
    name = re.compile(f"{stem}[a-z0-9_]{{8}}{re.escape(path.suffix)}")  # as mkstemp draws it
    try:
        return sorted(file for file in path.parent.iterdir() if name.fullmatch(file.name))
    except FileNotFoundError:
        return []


def remove_unfinished(folder: Path, *names: str) -> None:
    """Remove what killed processes have left of files of these names (`*.png`) in a folder that
    nobody else writes in: what `atomic_path`, or safetensors by itself, had not yet renamed.
    """
    parts = [os.path.splitext(name) for name in names]
    for pattern in (".tmp??????", *(f".{stem}.????????{suffix}" for stem, suffix in parts)):
        for left in folder.glob(pattern):
            left.unlink(missing_ok=True)


@contextmanager
def atomic_files(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a path of the same name in an empty folder; on success all files written there are
    moved next to `path`, that one last, and on any error none is.

    Raises UserError, unless `overwrite`, where a file of one of the names exists.
    """
    target = Path(path)
    check_free(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".img2img.", dir=target.parent) as folder:
        with naming(target):
            yield Path(folder) / target.name
        written = sorted(Path(folder).iterdir(), key=lambda file: file.name == target.name)
        for file in written:
            check_free(target.with_name(file.name), overwrite)
        for file in written:
            _settle(file, target.with_name(file.name))
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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_free(path: Path, overwrite: bool) -> None:
    """Raise UserError, unless `overwrite`, for the name of a file that exists."""
    if path.exists() and not overwrite:
        raise UserError(Phrase("'", path, "' exists"), field="output", remedy=OVERWRITE_OR_ANOTHER)


OVERWRITE_OR_ANOTHER = Advice("add ", Option("overwrite"), ", or choose another ", Option("output"))


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
    if sys.platform == "win32":
        return 255
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError):  # a file system that does not say
        return 255


def ignores_case(folder: Path) -> bool:
    """Whether `Photo.png` and `photo.png` are one file in a folder, which need not exist, as
    Windows and macOS mostly have it.
    """
    for place in (folder.absolute(), *folder.absolute().parents):
        other = place.with_name(place.name.swapcase()) if place.name else place
        if other.name != place.name and place.exists():
            return other.exists() and other.samefile(place)
    return sys.platform in ("win32", "darwin")


def identity(path: Path) -> tuple[int, int] | None:
    """What all names of one file have in common; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_portable(name: str) -> bool:
    """Whether every system takes a file name, so that a folder can be carried to another."""
    reserved = name.partition(".")[0].strip().upper() in _DEVICES
    return not (reserved or _FORBIDDEN.search(name) or name.endswith((".", " ")))


# What Windows keeps for itself
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{d}{n}" for d in ("COM", "LPT") for n in range(1, 10))}
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


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
        said = re.search(r"([^:]*) \(os error (\d+)\)", str(error))
        if said is None:
            raise
        number = int(said[2])  # Windows' own there, which the fourth argument translates
        raise OSError(number, said[1].strip(), str(path), number) from error


def _settle(temporary: Path, target: Path) -> None:
    """Bring a written file to the disk, then under its name. On Windows that is refused while
    somebody has the file of that name open, as who reads it or a virus scanner does for a moment.
    """
    with temporary.open("r+b") as file:  # Windows syncs only what may be written to
        os.fsync(file.fileno())
    os.chmod(temporary, 0o666 & ~_umask())
    for _ in range(_REPLACE_TRIES - 1 if sys.platform == "win32" else 0):
        with suppress(PermissionError):
            os.replace(temporary, target)
            return
        time.sleep(_REPLACE_PAUSE_S)
    os.replace(temporary, target)


_REPLACE_TRIES, _REPLACE_PAUSE_S = 20, 0.1


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
