"""Decoded photos, kept in memory that all loader processes share."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from hashlib import blake2b
from mmap import mmap
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from img2img.data.shards import ShardPath, local_file
from img2img.errors import UserError
from img2img.pixels.alpha import BLEED
from img2img.pixels.images import decode_rgb8
from img2img.pixels.whole import looks_whole

FORKS = sys.platform == "linux"  # elsewhere loaders are spawned, and have what they unpickle
SMALLEST_BYTES = 8192  # of a photo, on the mean: so many places the table has
MOST_FILLED = 0.75  # of the table; beyond it, looking up grows slow
LOCK_S = 5.0  # a process that was killed while it held the lock holds up nobody for longer


class Lock(Protocol):
    """A process's or a thread's."""

    def acquire(self, block: bool = ..., timeout: float = ..., /) -> bool: ...

    def release(self) -> None: ...


class SharedPictures:
    """Pictures by name in memory that this process shares with all that are forked from it.

    Anonymous memory: no file, nothing that a kill leaves behind, and no page is taken before it is
    written to. Nothing is ever removed, so a picture that was found stays where it is.
    """

    _place = np.dtype(
        [("name", np.uint64, 2), ("offset", np.int64), ("height", np.int32), ("width", np.int32)]
    )

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.pixels = _shared(budget_bytes)
        places = max(1024, len(self.pixels) // SMALLEST_BYTES)
        self.table = np.frombuffer(mmap(-1, places * self._place.itemsize), self._place)
        self.used = np.frombuffer(mmap(-1, 16), np.int64)  # bytes, and places
        self.lock = _lock()

    def get(self, name: str) -> np.ndarray | None:
        """(H,W,3) uint8, the memory that all share; None where it is not kept."""
        digest = _digest(name)
        with self._locked() as locked:
            place = self._find(digest) if locked else None
            if place is None or not self.table[place]["height"]:
                return None
            return self._view(place)

    def keep(self, name: str, picture: np.ndarray) -> np.ndarray:
        """The picture as it is kept from here on; itself, where there is no room left."""
        digest = _digest(name)
        with self._locked() as locked:
            place = self._find(digest) if locked else None
            if place is None:
                return picture
            if not self.table[place]["height"]:  # else another process was quicker
                offset, places = map(int, self.used)
                if offset + picture.nbytes > len(self.pixels) or (
                    places >= MOST_FILLED * len(self.table)
                ):
                    return picture
                height, width, _ = picture.shape
                self.pixels[offset : offset + picture.nbytes] = picture.reshape(-1)
                self.used += (picture.nbytes, 1)
                self.table[place] = (digest, offset, height, width)
            return self._view(place)

    def divide(self, processes: int) -> None:
        """Begin anew with a part of the budget: for processes that were not forked, and share
        nothing.
        """
        vars(self).update(vars(SharedPictures(self.budget_bytes // processes)))

    def __reduce__(self) -> tuple[type[SharedPictures], tuple[int]]:
        """What another process unpickles is empty, and its own."""
        return SharedPictures, (self.budget_bytes,)

    def _find(self, digest: tuple[int, int]) -> int:
        """The place of a name, or the empty one where it belongs."""
        place = digest[0] % len(self.table)
        while (found := self.table[place])["height"] and tuple(found["name"]) != digest:
            place = (place + 1) % len(self.table)
        return place

    def _view(self, place: int) -> np.ndarray:
        offset, height, width = (int(self.table[place][n]) for n in ("offset", "height", "width"))
        return self.pixels[offset : offset + height * width * 3].reshape(height, width, 3)

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        taken = self.lock.acquire(True, LOCK_S)
        try:
            yield taken
        finally:
            if taken:
                self.lock.release()


class Cache:
    """The one road to a photo's pixels: decoded pictures are kept in memory until a budget is used
    up, which is that of all loader processes together where they are forked.

    What cannot be read is remembered with its reason, so that it is tried once and all that was
    left out can be logged. Transparency is laid on `background`: `bleed` or a color.
    """

    def __init__(self, budget_mb: int, background: str = BLEED) -> None:
        self.background = background
        self.shorter_px: int | None = None
        self.pictures = SharedPictures(budget_mb * 2**20)
        self.broken: dict[Path, str] = {}

    def smaller(self, shorter_px: int) -> Self:
        """The same cache for crops of pictures that are shrunk to a shorter side of `shorter_px`,
        or less: JPEG files may be decoded at a half, a quarter or an eighth of their size, see
        `decode_rgb8`. What is read so is kept apart from what is read whole.
        """
        other = copy(self)
        other.shorter_px = shorter_px
        return other

    def read(self, path: Path, parts: int = 1) -> np.ndarray:
        """The photo as (H,W,3) uint8; `parts` pictures side by side in it do not bleed into each
        other.

        Raises UserError when its file cannot be read, StorageError when its shard cannot.
        """
        if path in self.broken:
            raise UserError(self.broken[path], place=path)
        name = f"{self.shorter_px} {path}"
        kept = self.pictures.get(name)
        return self.pictures.keep(name, self._decoded(path, parts)) if kept is None else kept

    def refused(self, path: Path, problem: str, remedy: str = "") -> UserError:
        """The error for a file that is of no use, now and whenever it is asked for again."""
        reason = UserError(problem, remedy=remedy)
        self.broken[path] = str(reason)
        return reason.at(path)

    def check(self, paths: Iterable[Path]) -> None:
        """Find broken files before training does, by their ends; only what looks broken is decoded
        to make sure. Files in shards were decoded when these were written.
        """
        for path in paths:
            known = isinstance(path, ShardPath) or path in self.broken
            if not known and not looks_whole(path):
                with suppress(UserError):
                    self._decoded(
                        path, 1
                    )  # not kept: how many pictures are in it, its source knows

    def _decoded(self, path: Path, parts: int) -> np.ndarray:
        try:
            with local_file(path) as file:
                return decode_rgb8(file, self.background, parts, self.shorter_px)
        except UserError as error:
            raise self.refused(path, error.problem, error.remedy) from error
        except OSError as error:
            raise self.refused(path, str(error)) from error


def _lock() -> Lock:
    """One for all forked processes; where the system has none, loaders cannot be had either."""
    with suppress(OSError, ImportError):
        return multiprocessing.get_context("fork" if FORKS else None).Lock()
    return threading.Lock()


def _shared(size: int) -> np.ndarray:
    """So many bytes of shared memory, or the half, a quarter, … where the system refuses."""
    while size:
        with suppress(OSError, ValueError, OverflowError):
            return np.frombuffer(mmap(-1, size), np.uint8)
        size //= 2
    return np.empty(0, np.uint8)


def _digest(name: str) -> tuple[int, int]:
    found = np.frombuffer(blake2b(os.fsencode(name), digest_size=16).digest(), np.uint64)
    return int(found[0]), int(found[1])
