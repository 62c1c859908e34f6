"""The file rules of Windows, on Linux: what is open or mapped into memory cannot be replaced or
removed, some names cannot be had, and only a file that may be written to can be synced.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from img2img.files import is_portable

_ruling = False
_hooked = False
_CREATES = os.O_CREAT | os.O_WRONLY | os.O_RDWR


@contextmanager
def windows_file_rules() -> Iterator[None]:
    """Within it Python's file functions refuse what they refuse there, with the same errors."""
    global _ruling, _hooked
    if not _hooked:
        sys.addaudithook(_refuse)  # stays for the process, and does nothing outside
        _hooked = True
    fsync, os.fsync, _ruling = os.fsync, _fsync, True  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync, _ruling = fsync, False


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if not _ruling or event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        return
    named = [
        Path(os.fsdecode(a)) for a in arguments[:2] if isinstance(a, str | bytes | os.PathLike)
    ]
    if event == "open":
        made = named[:1] if arguments[2] & _CREATES else []
    else:
        made = named[:1] if event == "os.mkdir" else named[1:]
    for path in made:
        if not is_portable(path.name) and path.parent != Path("/dev"):
            raise OSError(errno.EINVAL, "Invalid argument", str(path))
    for path in named if event in ("os.rename", "os.remove") else ():
        if is_in_use(path):
            raise PermissionError(errno.EACCES, "used by another process", str(path))


def is_in_use(path: Path) -> bool:
    """Whether this process has a file open or mapped."""
    real = os.path.realpath(path)
    for handle in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{handle}") == real:
                return True
        except OSError:  # the handle of the listing itself
            continue
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        return any(line.rstrip("\n").endswith(f" {real}") for line in maps)


def _fsync(handle: int) -> None:
    if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY and not _is_folder(handle):
        raise OSError(errno.EBADF, "Bad file descriptor")


def _is_folder(handle: int) -> bool:
    return os.path.isdir(f"/proc/self/fd/{handle}")
