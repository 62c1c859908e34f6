"""The app's one temporary folder for uploads and results, which are kept for an hour and deleted at
exit.

All of it together stays under a quota: the oldest go first where room is needed, but nothing of the
last minutes.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

KEEP_SECONDS = 3600
IN_USE_SECONDS = 600  # what is younger may be worked on
_PREFIX = "img2img-app-"


@dataclass
class Workspace:
    """A private folder (mode 0700) under the system's temporary folder."""

    root: Path = field(
        default_factory=lambda: Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    )
    closed: threading.Event = field(default_factory=threading.Event)
    own: frozenset[Path] = frozenset()
    quota_bytes: float = 2e9

    def __post_init__(self) -> None:
        self.root = self.root.resolve()
        self.kept = self.root / "examples"  # the app's own files, not a user's
        self.kept.mkdir(exist_ok=True)
        _sweep_dead()
        atexit.register(self.close)
        threading.Thread(target=self._janitor, daemon=True).start()

    def new_folder(self) -> Path:
        """A folder for one result; its name cannot be guessed, because whoever knows it may fetch
        what is in it.
        """
        folder = self.root / "results" / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return folder

    def keep(self, path: Path, folder: str = "") -> Path:
        """A copy of a file of the app's own, which is never swept, in a folder of its kind."""
        copy = self.kept / folder / path.name
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy)
        return copy

    def holds(self, path: Path) -> bool:
        """Whether a path, links followed, lies in the folder."""
        return path.resolve().is_relative_to(self.root)

    def keep_own_files(self) -> None:
        """Never sweep the files that are in the folder now: the page's own pictures."""
        self.own = frozenset(self.root.rglob("*"))

    def sweep(self, older_than_seconds: float = KEEP_SECONDS) -> None:
        """Delete what was uploaded or made longer ago than this, and folders that became empty."""
        limit = time.time() - older_than_seconds
        for path in sorted(self.root.rglob("*"), key=lambda p: len(p.parts), reverse=True):
            if self._is_ours(path):
                continue
            with suppress(OSError):  # gone meanwhile, or not empty
                if path.lstat().st_mtime < limit:
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def room(self, needed_bytes: float) -> float:
        """Bytes left of the quota, the oldest files deleted first where less than `needed_bytes`
        would be.
        """
        files = sorted(self._files())
        left = self.quota_bytes - sum(size for _, size, _ in files)
        newest = time.time() - IN_USE_SECONDS
        for changed, size, path in files:
            if left >= needed_bytes or changed > newest:
                break
            path.unlink(missing_ok=True)
            left += size
        return left

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Time of change, size and path of uploads and results."""
        for path in self.root.rglob("*"):
            with suppress(OSError):
                if not self._is_ours(path) and path.is_file():
                    yield (seen := path.lstat()).st_mtime, seen.st_size, path

    def _is_ours(self, path: Path) -> bool:
        return path in self.own or path.is_relative_to(self.kept)

    def close(self) -> None:
        """Delete the folder."""
        self.closed.set()
        shutil.rmtree(self.root, ignore_errors=True)

    def _janitor(self) -> None:
        while not self.closed.wait(60):
            self.sweep()


def _sweep_dead() -> None:
    """Remove folders of apps that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
