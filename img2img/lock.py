"""The lock on a folder: it has one writer. Folders that were created in vain are removed."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import weakref
from contextlib import suppress
from pathlib import Path

from img2img.errors import Option, Phrase, UserError

log = logging.getLogger("img2img")

LOCK = ".lock"
BUSY = (errno.EAGAIN, errno.EACCES)  # of a lock that another process holds


class FolderLock:
    """The folder's one writer. The operating system holds the lock for this process, and drops it
    however that ends.

    Raises UserError, about the option that named the folder, when another process writes there, or
    nobody can. Where there are no locks (some network file systems) the run goes on without.
    """

    def __init__(self, folder: Path, option: str = "out") -> None:
        self.folder, self.path, self.option = folder, folder / LOCK, option
        # Removed again if they stay empty.
        self.created = [p for p in (folder, *folder.parents) if not p.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.handle: int | None = self._acquire()
        except OSError as error:
            self._remove_empty()
            raise UserError(
                f"cannot write in '{folder}': {error.strerror or error}", field=option
            ) from error
        _held.add(self)

    def release(self) -> None:
        """Let others write; empty folders that were created for the run are removed."""
        if self.handle is not None:
            handle, self.handle = self.handle, None
            if sys.platform == "win32":  # where no open file can be removed, be it another's
                os.close(handle)
            with suppress(OSError):
                # still locked: who waits for this file sees that it is gone, and takes the next
                self.path.unlink()
            if sys.platform != "win32":
                os.close(handle)
        self._remove_empty()

    def __del__(self) -> None:
        if getattr(self, "handle", None) is not None:
            self.release()

    def forget(self) -> None:
        """In a forked child: the lock is the parent's alone."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None

    def _acquire(self) -> int:
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(handle)
            except OSError as error:
                if error.errno in BUSY:
                    content = os.read(handle, 200).decode(errors="replace").strip()
                    holder = content or "another process"
                    os.close(handle)
                    raise UserError(
                        f"{holder} is writing in '{self.folder}'",
                        field=self.option,
                        remedy="wait, stop it, or choose another folder",
                    ) from error
                no_locks = f": '{self.folder}' has no locks ({error}): see that nothing else "
                log.warning(Phrase(Option(self.option), no_locks, "writes there"))
            if _is_at(handle, self.path):
                try:
                    os.ftruncate(handle, 0)
                    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                except OSError:  # a full disk
                    self.handle = handle
                    self.release()
                    raise
                return handle
            os.close(handle)  # it was released, and with it this file, between opening and locking

    def _remove_empty(self) -> None:
        for folder in self.created:
            with suppress(OSError):  # there is something in it
                folder.rmdir()


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):  # data loaders outlive a killed parent for some seconds
    os.register_at_fork(after_in_child=_forget_all)


def _lock(handle: int) -> None:
    """Lock an open file for this process. Raises OSError, one of BUSY where another has it."""
    if sys.platform == "win32":
        import msvcrt

        # Who is locked out cannot read what is locked: not the text, but a byte far behind it.
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


_FAR = 2**30


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
