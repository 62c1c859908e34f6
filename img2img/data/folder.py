"""Photos from folders, and pairs of photos: sources of samples."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from img2img.data.sample import Sample
from img2img.errors import UserError
from img2img.pixels.file_kind import PHOTO, FileKind, counted, file_kind
from img2img.pixels.images import decode_rgb8, photo_suffixes
from img2img.pixels.whole import looks_whole

log = logging.getLogger("img2img")


class Source(Protocol):
    """Anything with photos in it: `len`, and the sample at a place."""

    def __len__(self) -> int: ...

    def read(self, index: int, number: int) -> Sample:
        """The `index`-th item as sample `number`; raises UserError when its file is broken."""

    def key(self, index: int) -> str:
        """A stable name of the item, by which training and validation are told apart."""

    def files(self, index: int) -> tuple[Path, ...]:
        """The files the item is read from; none for what lies in memory."""


def photos_in(folder: Path) -> list[Path]:
    """All photos under a folder, sorted; hidden files and folders are passed over. See `photos_and_others`."""
    return photos_and_others(folder)[0]


def photos_and_others(folder: Path) -> tuple[list[Path], list[FileKind]]:
    """All photos under a folder, sorted, and the kinds of those pictures and videos that cannot be opened here.

    A photo's suffix, in any case, is enough (who opens a damaged one says so); for the rest the content decides.
    """
    inside = [p for p in folder.rglob("*") if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    return parted(sorted(p for p in inside if p.is_file()))


def parted(files: Sequence[Path]) -> tuple[list[Path], list[FileKind]]:
    """Photos among files, and the kinds of the others that cannot be opened here."""
    suffixes = photo_suffixes()
    photos: list[Path] = []
    others: list[FileKind] = []
    for path in files:
        kind = PHOTO if path.suffix.lower() in suffixes else _kind(path)
        if kind is not None:
            photos.append(path) if kind.readable else others.append(kind)
    return photos, others


def _kind(path: Path) -> FileKind | None:
    try:
        return file_kind(path)
    except OSError:  # may not be read: nothing says that it is a photo
        return None


def find_photos(folders: Sequence[Path]) -> list[Path]:
    """All photos under the folders. Raises UserError for a folder that is not there or holds no photo."""
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            raise UserError(f"data.path: '{folder}' {what}: give a folder of photos")
        inside, others = photos_and_others(folder)
        if not inside:
            passed = f" (but {counted(others)})" if others else ""
            raise UserError(f"data.path: no photo in '{folder}'{passed}: put JPEG, PNG, TIFF or WebP files there")
        if others:
            log.warning("data.path: '%s': passed over: %s", folder, counted(others))
        found += inside
    return found


class Cache:
    """The one road to a photo's pixels: decoded pictures are kept in memory until a budget is used up.

    What cannot be read is remembered with its reason, so that whatever asks again is refused at once, and all that was
    left out can be told.
    """

    def __init__(self, budget_mb: int) -> None:
        self.left = budget_mb * 2**20
        self.kept: dict[Path, np.ndarray] = {}
        self.broken: dict[Path, str] = {}

    def read(self, path: Path) -> np.ndarray:
        """The photo as (H,W,3) uint8. Raises UserError when its file cannot be read."""
        if path in self.broken:
            raise UserError(self.broken[path])
        if path in self.kept:
            return self.kept[path]
        try:
            picture = decode_rgb8(path)
        except (UserError, OSError) as error:
            raise self.refused(path, str(error)) from error
        if picture.nbytes <= self.left:
            self.left -= picture.nbytes
            self.kept[path] = picture
        return picture

    def refused(self, path: Path, reason: str) -> UserError:
        """The error to raise for a file that is of no use, now and whenever it is asked for again."""
        self.broken[path] = reason
        return UserError(reason)

    def check(self, paths: Iterable[Path]) -> None:
        """Find broken files before training does, by their ends; only what looks broken is decoded to make sure."""
        for path in paths:
            if path not in self.broken and not looks_whole(path):
                with suppress(UserError):
                    self.read(path)


@dataclass
class _Files:
    """A sample in each of a list of files."""

    paths: list[Path]
    cache: Cache

    def __len__(self) -> int:
        return len(self.paths)

    def key(self, index: int) -> str:
        return _key(self.paths[index])

    def files(self, index: int) -> tuple[Path, ...]:
        return (self.paths[index],)


class PhotoSource(_Files):
    """Single photos."""

    def read(self, index: int, number: int) -> Sample:
        return Sample(number, photo=self.cache.read(self.paths[index]))


class SideBySideSource(_Files):
    """Pairs in one file, A left and B right, as pix2pix data sets come."""

    def read(self, index: int, number: int) -> Sample:
        both = self.cache.read(self.paths[index])
        width = both.shape[1]
        if width < 32 or width % 2:
            reason = f"data.path: '{self.paths[index]}' is {width} px wide: side-by-side pairs need an even width"
            raise self.cache.refused(self.paths[index], reason)
        return Sample(number, photo=both[:, width // 2 :], other=both[:, : width // 2])


@dataclass
class FolderPairSource:
    """Pairs in folders `A` and `B`, matched by file name without suffix."""

    pairs: list[tuple[Path, Path]]
    cache: Cache

    def __len__(self) -> int:
        return len(self.pairs)

    def key(self, index: int) -> str:
        return _key(self.pairs[index][1])

    def files(self, index: int) -> tuple[Path, ...]:
        return self.pairs[index]

    def read(self, index: int, number: int) -> Sample:
        first, second = self.pairs[index]
        a, b = self.cache.read(first), self.cache.read(second)
        if a.shape != b.shape:
            sizes = " and ".join(f"{p.shape[1]}×{p.shape[0]}" for p in (a, b))
            apart = f"'{first}' and '{second}' are not of one size ({sizes})"
            raise self.cache.refused(second, f"data.path: {apart}: a pair must match pixel by pixel")
        return Sample(number, photo=b, other=a)


def pair_source(folders: Sequence[Path], cache: Cache) -> Source:
    """`A/` and `B/` sub-folders if there are any, else side-by-side files. Raises UserError naming unmatched files."""
    pairs: list[tuple[Path, Path]] = []
    singles: list[Path] = []
    for folder in folders:
        if (folder / "A").is_dir() and (folder / "B").is_dir():
            pairs += _matched(folder)
        else:
            singles += find_photos([folder])
    if pairs and singles:
        raise UserError("data.path: some folders have A/ and B/ and some have not: use one layout")
    return FolderPairSource(pairs, cache) if pairs else SideBySideSource(singles, cache)


def _matched(folder: Path) -> list[tuple[Path, Path]]:
    sides = [
        {p.relative_to(folder / side).with_suffix("").as_posix(): p for p in find_photos([folder / side])}
        for side in "AB"
    ]
    lonely = sorted(sides[0].keys() ^ sides[1].keys())
    if lonely:
        side = "B" if lonely[0] in sides[0] else "A"
        raise UserError(
            f"data.path: {len(lonely)} files in '{folder}' have no partner, first '{lonely[0]}': missing in {side}/"
        )
    return [(sides[0][name], sides[1][name]) for name in sorted(sides[0])]


def split(source: Source, validation_share: float) -> tuple[list[int], list[int]]:
    """Indices for training and for validation: the stated share with the lowest hashes of their names validates.

    Names alone decide, not where the data lie or in which order. Photos that are added move others only at the
    boundary and in one direction. With more than one item, at least one validates.
    """
    order = sorted(range(len(source)), key=lambda i: hashlib.sha256(source.key(i).encode()).digest())
    held_out = 0 if len(order) < 2 or validation_share == 0 else max(1, round(validation_share * len(order)))
    return sorted(order[held_out:]), sorted(order[:held_out])


def _key(path: Path) -> str:
    """Folder and file name: the same wherever the data set lies."""
    return f"{path.parent.name}/{path.name}"


def photo_source(folders: Sequence[Path], cache: Cache) -> Source:
    """Every photo under the folders."""
    return PhotoSource(find_photos(folders), cache)
