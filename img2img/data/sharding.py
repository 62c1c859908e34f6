"""A folder of photos written as shards, the tar files of WebDataset, with the index of `shards`.

Each file is decoded before it is written and compared with what was written after; a shard appears
under its name whole or not at all. What a stopped run has finished is noted in `unfinished.jsonl`,
and the next run goes on after it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from img2img.data.layout import sides_of
from img2img.data.listing import find_photos
from img2img.data.shards import INDEX, Shard, ShardIndex, fields_of, shard_of
from img2img.data.storage import INSTALL
from img2img.errors import Advice, Option, UserError
from img2img.files import atomic_path, check_folder, remove_unfinished, sha256_of, write_bytes
from img2img.lock import FolderLock
from img2img.pixels.images import decode_rgb8

log = logging.getLogger("img2img")

JOURNAL = "unfinished.jsonl"
BLOCK = 512  # of a tar file
Progress = Callable[[Iterator[None], int], Iterable[None]]


@dataclass
class Written:
    """A set of shards that is whole."""

    folder: Path
    index: ShardIndex
    left_out: list[str] = field(default_factory=list)
    """Files that cannot be read, and why."""
    lonely: int = 0
    """Files of a side, A or B, without partner."""

    @property
    def urls(self) -> str:
        """As `data.urls` names them."""
        first, *_, last = [*self.index.shards, *self.index.shards]
        names = first if first == last else f"{{{Path(first).stem}..{Path(last).stem}}}.tar"
        return f"{self.folder}/{names}"

    @property
    def line(self) -> str:
        """`60 photos in 60 samples, 2 shards, 31.4 MB: data={kind: shards, urls: "…"}`."""
        shards = self.index.shards.values()
        photos, samples = sum(len(s.files) for s in shards), sum(s.samples for s in shards)
        size = f"{sum(s.size for s in shards) / 1e6:,.1f} MB"
        found = [f"{photos:,} photos in {samples:,} samples", f"{len(shards)} shards", size]
        found += [f"{len(self.left_out)} left out"] * bool(self.left_out)
        found += [f"{self.lonely} without partner"] * bool(self.lonely)
        return f'{", ".join(found)}: data={{kind: shards, urls: "{self.urls}"}}'


@dataclass(frozen=True)
class _File:
    """A file and its name in the folder, by parts; `extension` is what follows its sample's key."""

    path: Path
    parts: tuple[str, ...]
    extension: str
    size: int
    changed_ns: int


_Sample = list[_File]


@dataclass(frozen=True)
class _Plan:
    """What goes into a shard."""

    name: str
    first: int
    """The number of its first sample."""
    samples: list[_Sample]

    @property
    def digest(self) -> str:
        """The same as long as the same files go into the same shard."""
        stated = [(f.parts, f.extension, f.size, f.changed_ns) for s in self.samples for f in s]
        return hashlib.sha256(json.dumps([self.first, stated]).encode()).hexdigest()


def write_shards(
    folder: Path,
    out: Path,
    *,
    shard_bytes: int,
    skip_broken: bool = False,
    progress: Progress = lambda files, count: files,
) -> Written:
    """Write the photos of a folder as shards, with their index.

    Args:
        folder: photos, pairs, classes, parts, as any recipe reads them.
        out: an empty folder, one that is not there yet, or one where this was stopped.
        shard_bytes: the size of a shard, which a single larger sample exceeds.
        skip_broken: leave out what cannot be read, in the place of stopping there.
        progress: is given the files as they are written and their number, and passes them on.

    Returns:
        What was written.

    Raises:
        UserError: the folder holds no photo or a broken one, or `out` holds something else.
    """
    folder, out = folder.resolve(), out.resolve()
    if out.is_relative_to(folder):
        raise UserError(f"'{out}' is in the photos' folder", field="out", remedy="choose another")
    try:
        photos = find_photos([folder])
    except UserError as error:
        raise error.about("dir") from None
    samples, lonely = _samples(folder, photos)
    plans = list(_plans(samples, shard_bytes))
    check_folder(out)
    with closing(_Writer(out, skip_broken)) as writer:
        writer.go_on(plans)
        for _ in progress(writer.write(plans), sum(len(s) for p in plans for s in p.samples)):
            pass
        index = ShardIndex(folder.name, writer.shards)
        write_bytes(out / INDEX, index.to_json())
        (out / JOURNAL).unlink()
    return Written(out, index, writer.left_out, lonely)


class _Writer:
    """Shards and the journal in a folder that nobody else writes in."""

    def __init__(self, out: Path, skip_broken: bool) -> None:
        try:
            from webdataset import TarWriter
        except ImportError as error:
            raise UserError("writing shards needs an extra", remedy=INSTALL) from error
        self.out, self.skip_broken, self.tar_writer = out, skip_broken, TarWriter
        self.lock = FolderLock(out)
        self.shards: dict[str, Shard] = {}
        self.left_out: list[str] = []

    def close(self) -> None:
        self.lock.release()

    def go_on(self, plans: Sequence[_Plan]) -> None:
        """Take up what a stopped run has finished. Raises UserError for a folder that holds
        anything else.
        """
        others = sorted(path.name for path in self.out.iterdir() if path.name[0] != ".")
        if JOURNAL not in others and others:
            kept = "shards already" if INDEX in others else f"other files ('{others[0]}')"
            raise UserError(f"'{self.out}' holds {kept}", field="out", remedy="choose another")
        remove_unfinished(self.out, "*.tar", "*.json", "*.jsonl")
        lines = list(_whole_lines(self.out / JOURNAL))
        for plan, line in zip(plans, lines, strict=False):
            name, shard = shard_of(line["shard"])
            path = self.out / name
            size = path.stat().st_size if path.is_file() else None
            if line["plan"] != plan.digest or size != shard.size:
                break
            self.shards[name] = shard
            self.left_out += line["left_out"]
        if lines and not self.shards:
            raise UserError(
                f"'{self.out}' holds unfinished shards of other photos, or of another size",
                field="out",
                remedy="choose another",
            )
        text = "".join(line + "\n" for line in map(json.dumps, lines[: len(self.shards)]))
        write_bytes(self.out / JOURNAL, text.encode())

    def write(self, plans: Sequence[_Plan]) -> Iterator[None]:
        """Write the shards that are missing, pausing after each file."""
        for plan in plans:
            if plan.name in self.shards:
                yield from (None for sample in plan.samples for _ in sample)
            else:
                yield from self._write(plan)

    def _write(self, plan: _Plan) -> Iterator[None]:
        names: dict[str, tuple[_File, int]] = {}
        before = len(self.left_out)
        with atomic_path(self.out / plan.name) as temporary:
            with (
                temporary.open("wb") as stream,
                closing(self.tar_writer(stream, "", "", encoder=False, mtime=0, mode=0o644)) as tar,
            ):
                for number, sample in enumerate(plan.samples, plan.first):
                    content: dict[str, Any] = {"__key__": f"{number:09d}"}
                    for file in sample:
                        if (data := self._content(file)) is not None:
                            content[file.extension] = data
                            names[f"{number:09d}.{file.extension}"] = file, crc32(data)
                        yield
                    if len(content) > 1:
                        tar.write(content)
            shard = _read_back(temporary, names)
        self.shards[plan.name] = shard
        line = {
            "plan": plan.digest,
            "left_out": self.left_out[before:],
            "shard": fields_of(plan.name, shard),
        }
        with (self.out / JOURNAL).open("ab") as journal:
            journal.write(json.dumps(line).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())

    def _content(self, file: _File) -> bytes | None:
        """The bytes of a file that can be read as a photo; None for one that is left out."""
        try:
            decode_rgb8(file.path)
        except UserError as error:
            if not self.skip_broken:
                advice = Advice("mend or remove it, or use ", Option("skip_broken"))
                raise UserError(error.problem, place=file.path, remedy=advice) from error
            log.warning("left out: %s", error)
            self.left_out.append(f"{'/'.join(file.parts)}: {error.problem}")
            return None
        data = file.path.read_bytes()
        if len(data) != file.size:
            raise UserError("has changed meanwhile", place=file.path, remedy="start again")
        return data


def _whole_lines(journal: Path) -> Iterator[dict[str, Any]]:
    """What the journal says, up to a line that was not finished."""
    if not journal.is_file():
        return
    for line in journal.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        yield json.loads(line)


def _read_back(path: Path, names: dict[str, tuple[_File, int]]) -> Shard:
    """A shard as it lies on the disk. Raises OSError where that is not what was written."""
    files: dict[tuple[str, ...], tuple[int, int, int]] = {}
    keys: set[str] = set()
    with tarfile.open(path) as tar:
        for member in tar:
            file, checksum = names[member.name]
            stored = tar.extractfile(member)
            if stored is None or crc32(stored.read()) != checksum:
                raise OSError(errno.EIO, f"'{file.path}' was not written as it is", str(path))
            files[file.parts] = member.offset_data, member.size, checksum
            keys.add(member.name.partition(".")[0])
    if len(files) != len(names):
        raise OSError(errno.EIO, "not all files were written", str(path))
    return Shard(len(keys), path.stat().st_size, sha256_of(path), files)


def _samples(folder: Path, photos: Sequence[Path]) -> tuple[list[_Sample], int]:
    """Files of one stem in one folder together, and those of one stem in A and B; and how many
    files of A and B have no partner.
    """
    sides = _sides(folder)
    samples: dict[tuple[str, str], dict[str, _File]] = {}
    for path in photos:
        parts, stat = path.relative_to(folder).parts, path.stat()
        place, side = sides.get(path, (str(Path(*parts[:-1])), ""))
        suffix = re.sub("[^a-z0-9]", "", path.suffix.lower()) or "img"
        extension = f"{side}.{suffix}" if side else suffix
        key, number = (place, path.stem), 0
        while extension in samples.get(key, {}):  # x.jpg and x.JPG
            number += 1
            key = place, f"{path.stem}\0{number}"
        file = _File(path, parts, extension, stat.st_size, stat.st_mtime_ns)
        samples.setdefault(key, {})[extension] = file
    found = [list(files.values()) for files in samples.values()]
    lonely = sum(len(files) == 1 and files[0].path in sides for files in found)
    return found, lonely


def _sides(folder: Path) -> dict[Path, tuple[str, str]]:
    """Of each file of A or B what is common to both partners, but for the stem, and the side."""
    with suppress(UserError):  # one side alone may well be what is wanted
        found = sides_of(folder)
        return {
            path: (f"{part}/{path.parent.relative_to(listed.root).as_posix()}", side)
            for part, both in (found.parts.items() if found else ())
            for side, listed in zip("ab", both, strict=True)
            for path in listed.paths
        }
    return {}


def _plans(samples: Sequence[_Sample], most_bytes: int) -> Iterator[_Plan]:
    """Samples shared out over shards, in their order."""
    number, first, size = 0, 0, 0
    inside: list[_Sample] = []
    for place, sample in enumerate(samples):
        adds = sum(BLOCK * (1 + -(-file.size // BLOCK)) for file in sample)
        if inside and size + adds > most_bytes:
            yield _Plan(f"{number:06d}.tar", first, inside)
            number, first, size, inside = number + 1, place, 0, []
        inside.append(sample)
        size += adds
    yield _Plan(f"{number:06d}.tar", first, inside)
