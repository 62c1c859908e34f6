"""Photos in shards, the tar files of WebDataset, read as the folder that they were made from.

An index lies next to the shards (`index.json`). It has what WebDataset's `wids` index has, name,
samples and bytes of each shard, and what that lacks: for each file its name in the folder, offset,
size and checksum. So any photo is one range of bytes away: no shard is downloaded whole or walked
through, and a sample is a function of (seed, sample number) as with folders.

Names of files come from the index and are data: they are compared and sorted, and never given to a
file system.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import total_ordering
from hashlib import blake2b
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from img2img.data.storage import INSTALL, KeptRanges, default_folder, is_remote, read_range
from img2img.errors import StorageError, UserError
from img2img.files import at_home

INDEX = "index.json"
VERSION = 1
MOST_INDEX_BYTES = 2**30
MOST_SHARDS = 10**5
Parts = tuple[str, ...]


class ShardFile(NamedTuple):
    """Where the bytes of a file lie."""

    url: str
    offset: int
    size: int
    crc32: int


@dataclass(eq=False)
class ShardSet:
    """The files of some shards of one index, as a tree of folders."""

    base: str
    """The folder or URL of the index."""
    shards: Parts
    """The shards that are read, by file name."""
    name: str
    """Of the folder that the shards were made from: it counts where training is parted from
    validation."""
    files: dict[Parts, ShardFile]
    kept: KeptRanges | None
    """What was downloaded; None where nothing has to be, or may be kept."""
    folders: dict[Parts, dict[str, None]] = field(init=False)
    """The names in each folder."""

    def __post_init__(self) -> None:
        self.folders = {(): {}}
        for parts in self.files:
            for depth in range(len(parts), 0, -1):
                inside = self.folders.setdefault(parts[: depth - 1], {})
                if parts[depth - 1] in inside:
                    break
                inside[parts[depth - 1]] = None
        _OPEN[self.base, self.shards] = self

    @property
    def root(self) -> ShardPath:
        """The folder that holds all."""
        return ShardPath(self, ())

    def read(self, parts: Parts) -> bytes:
        """The bytes of a file, as they were when it was written. Raises StorageError."""
        file = self.files[parts]
        if self.kept is None:
            return _checked(parts, file, read_range(*file[:3]))
        key = blake2b(repr(file).encode(), digest_size=20).hexdigest()
        kept = self.kept.get(key)
        if kept is not None and crc32(kept) == file.crc32:
            return kept
        content = _checked(parts, file, read_range(*file[:3]))
        self.kept.keep(key, content)
        return content


_OPEN: dict[tuple[str, Parts], ShardSet] = {}
"""The sets that this process has open: pickled paths find theirs here."""


def _checked(parts: Parts, file: ShardFile, content: bytes) -> bytes:
    name, remedy = "/".join(parts), "copy the shard again"
    if len(content) < file.size:
        raise StorageError(
            f"is cut short: {len(content):,} of the {file.size:,} bytes of '{name}' are there",
            remedy=remedy,
            place=file.url,
        )
    if crc32(content) != file.crc32:
        raise StorageError(
            f"'{name}' in it is not what was written (its checksum differs)",
            remedy=remedy,
            place=file.url,
        )
    return content


class ShardStat(NamedTuple):
    """What is known of a file without reading it."""

    st_size: int
    st_mtime_ns: int
    """Its checksum: it changes with the content, which is what times of change are asked for."""


if TYPE_CHECKING:
    _Path = Path  # to those who list folders it is one
else:
    _Path = object


@total_ordering
class ShardPath(_Path):
    """A file or folder in shards, with those methods of a `Path` that listing folders takes. It is
    no path of any file system; `local_file` makes one of it.
    """

    __slots__ = ("_parts", "_set")

    def __init__(self, shard_set: ShardSet, parts: Parts) -> None:
        self._set, self._parts = shard_set, parts

    def __reduce__(self) -> tuple[Any, ...]:
        kept = self._set.kept.budget_bytes if self._set.kept else 0
        return _found_again, (self._set.base, self._set.shards, kept, self._parts)

    # --- its name

    @property
    def parts(self) -> Parts:
        return (self._set.base, *self._parts)

    @property
    def name(self) -> str:
        return self._parts[-1] if self._parts else self._set.name

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def parent(self) -> ShardPath:
        return ShardPath(self._set, self._parts[:-1])

    @property
    def parents(self) -> Sequence[ShardPath]:
        return [ShardPath(self._set, self._parts[:end]) for end in range(len(self._parts))[::-1]]

    def __str__(self) -> str:
        return "#".join(filter(None, (self._set.base, "/".join(self._parts))))

    def __truediv__(self, name: str | os.PathLike[str]) -> ShardPath:
        return ShardPath(self._set, (*self._parts, *str(name).split("/")))

    def relative_to(self, other: Any) -> Any:  # type: ignore[override]  # to one of its parents
        """The name alone, which opens nothing."""
        return PurePosixPath(*self._parts).relative_to(PurePosixPath(*other._parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShardPath) and self.parts == other.parts

    def __lt__(self, other: Any) -> bool:
        return bool(self.parts < other.parts)

    def __hash__(self) -> int:
        return hash(self.parts)

    # --- what lies there

    def is_dir(self) -> bool:
        return self._parts in self._set.folders

    def is_file(self) -> bool:
        return self._parts in self._set.files

    def exists(self) -> bool:
        return self.is_dir() or self.is_file()

    def iterdir(self) -> Generator[ShardPath]:
        return (self / name for name in self._set.folders[self._parts])

    def files(self) -> list[ShardPath]:
        """All files under it, sorted."""
        depth = len(self._parts)
        found = (parts for parts in self._set.files if parts[:depth] == self._parts)
        return [ShardPath(self._set, parts) for parts in sorted(found)]

    def resolve(self, strict: bool = False) -> ShardPath:
        return self

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        file = self._set.files[self._parts]
        return ShardStat(file.size, file.crc32)

    def read_bytes(self) -> bytes:
        """Raises StorageError."""
        return self._set.read(self._parts)


def _found_again(base: str, shards: Parts, kept_bytes: int, parts: Parts) -> ShardPath:
    """A path in another process: forked ones have the set open, others read its index."""
    known = _OPEN.get((base, shards))
    if known is None:
        known = _opened(base, shards, KeptRanges(default_folder(), kept_bytes))
    return ShardPath(known, parts)


@contextmanager
def local_file(path: Path) -> Iterator[Path]:
    """A file as decoders open it: a file in a shard is copied into one under a name of ours, for
    as long as that takes. Raises StorageError.
    """
    if not isinstance(path, ShardPath):
        yield path
        return
    name = _temporary(path.read_bytes(), path.suffix.lower())
    try:
        yield Path(name)
    finally:
        os.unlink(name)


def _temporary(content: bytes, suffix: str) -> str:
    """The name of a new file; its suffix stays, since it tells some kinds of camera raw."""
    name = ""
    try:
        handle, name = tempfile.mkstemp(
            suffix if _SUFFIX.fullmatch(suffix) else "", "img2img-shard-"
        )
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except OSError as error:  # not the photo's fault, which must not be left out for it
        if name:
            os.unlink(name)
        raise StorageError(
            f"a photo cannot be unpacked ({error.strerror})",
            place=tempfile.gettempdir(),
            remedy="make room there, or set TMPDIR",
        ) from error
    return name


_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


# --- opening


def open_shards(urls: Sequence[str], kept_mb: int) -> list[ShardPath]:
    """The folders that shards hold, one for each index.

    Args:
        urls: shards, braces as in `photos/{000000..000999}.tar`, or an index, which means all.
        kept_mb: of what is downloaded, how much may stay on this machine's disk.

    Raises:
        UserError: an index or a shard is missing, or not what it should be.
    """
    wanted: dict[str, list[str]] = {}
    for url in urls:
        for one in _expanded(url):
            base, name = _split(one)
            wanted.setdefault(base, []).append(name)
    kept = KeptRanges(default_folder(), kept_mb * 2**20)
    try:
        return [_opened(base, tuple(names), kept).root for base, names in wanted.items()]
    except StorageError as error:
        raise UserError(
            error.problem, field="data.urls", remedy=error.remedy, place=error.place
        ) from error


def _expanded(url: str) -> Iterable[str]:
    try:
        from braceexpand import braceexpand  # WebDataset's
    except ImportError as error:
        raise UserError("shards need an extra", field="data.kind", remedy=INSTALL) from error
    try:
        ranges = [abs(int(a) - int(b)) for a, b in re.findall(r"(-?\d+)\.\.(-?\d+)", url)]
        most = max(ranges, default=0)  # which would be written out before the first is yielded
        found = [] if most > MOST_SHARDS else list(islice(braceexpand(url), MOST_SHARDS + 1))
    except ValueError as error:
        raise UserError(f"'{url[:200]}': braces do not match", field="data.urls") from error
    if not 0 < len(found) <= MOST_SHARDS:
        raise UserError(f"'{url}' names more than {MOST_SHARDS:,} shards", field="data.urls")
    return found


def _split(url: str) -> tuple[str, str]:
    """Folder and file name."""
    if is_remote(url):
        base, _, name = url.rpartition("/")
        return base, name
    path = at_home(url).resolve()
    return str(path.parent), path.name


def _joined(base: str, name: str) -> str:
    return f"{base}/{name}" if is_remote(base) else str(Path(base, name))


def _opened(base: str, names: Parts, kept: KeptRanges) -> ShardSet:
    place = _joined(base, INDEX)
    try:
        content = read_range(place, 0, MOST_INDEX_BYTES)
    except StorageError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise UserError(
            "there is no index of these shards",
            field="data.urls",
            remedy="copy index.json next to them, or make them with img2img shard",
            place=place,
        ) from error
    try:
        index = ShardIndex.parsed(content)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"is no whole index of shards ({error})",
            field="data.urls",
            remedy="copy it again",
            place=place,
        ) from error
    every = tuple(index.shards)
    chosen = every if INDEX in names else tuple(dict.fromkeys(names))
    files: dict[Parts, ShardFile] = {}
    for name in chosen:
        if name not in index.shards:
            raise UserError(f"'{name}' is not in the index", field="data.urls", place=place)
        shard, url = index.shards[name], _joined(base, name)
        if not is_remote(base):
            _check_size(Path(url), shard.size)
        files |= {file: ShardFile(url, *where) for file, where in shard.files.items()}
    keeps = is_remote(base) and kept.budget_bytes > 0
    return ShardSet(base, chosen, index.name, files, kept if keeps else None)


def _check_size(path: Path, size: int) -> None:
    found = path.stat().st_size if path.is_file() else -1
    if found != size:
        what = f"has {found:,} bytes, and {size:,} were written" if found >= 0 else "no such file"
        raise UserError(what, field="data.urls", remedy="copy the shard again", place=path)


# --- the index


class Shard(NamedTuple):
    """What the index has of a shard."""

    samples: int
    size: int
    sha256: str
    files: Mapping[Parts, tuple[int, int, int]]
    """Offset, size and CRC-32 of each file, by the parts of its name."""


@dataclass(frozen=True)
class ShardIndex:
    """What the index of a set of shards has."""

    name: str
    """Of the folder they were made from."""
    shards: Mapping[str, Shard]
    """By file name."""

    def to_json(self) -> bytes:
        """The index, one line for each shard."""
        head = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "img2img_version": VERSION}
        shards = (json.dumps(fields_of(name, shard)) for name, shard in self.shards.items())
        text = json.dumps({**head, "name": self.name})[:-1] + ', "shardlist": [\n'
        return (text + ",\n".join(shards) + "\n]}\n").encode()

    @classmethod
    def parsed(cls, content: bytes) -> ShardIndex:
        """Raises ValueError, TypeError or KeyError for what is none."""
        fields = json.loads(content)
        if fields.get("img2img_version") != VERSION:
            raise ValueError("it names no files, or is of another version")
        shards = dict(shard_of(one) for one in fields["shardlist"])
        return cls(_plain_name(fields["name"]), shards)


def fields_of(name: str, shard: Shard) -> dict[str, Any]:
    """A shard in JSON: in the words of `wids`, and its files as [name, offset, size, CRC-32]."""
    files = [["/".join(parts), *where] for parts, where in shard.files.items()]
    return {
        "url": name,
        "nsamples": shard.samples,
        "filesize": shard.size,
        "sha256": shard.sha256,
        "files": files,
    }


def shard_of(fields: Mapping[str, Any]) -> tuple[str, Shard]:
    """Name and content of a shard in JSON. Raises ValueError, TypeError or KeyError."""
    size, files = int(fields["filesize"]), {}
    for name, offset, length, checksum in fields["files"]:
        if not (offset >= 0 and length >= 0 and offset + length <= size):
            raise ValueError(f"'{name}' lies outside its shard")
        parts = tuple(map(_plain_name, name.split("/")))
        if parts in files:
            raise ValueError(f"'{name}' is there twice")
        files[parts] = int(offset), int(length), int(checksum)
    shard = Shard(int(fields["nsamples"]), size, str(fields["sha256"]), files)
    return _plain_name(fields["url"]), shard


def _plain_name(name: Any) -> str:
    """A name of one file or folder, without any way out of the folder that it is in."""
    if not isinstance(name, str) or name in ("", ".", "..") or re.search("[/\0]", name):
        raise ValueError(f"{name!r} is no name of a file")
    return name
