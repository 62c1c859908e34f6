"""Photos and results by URL, through fsspec: S3, web servers (photos that are named, or a list of
them) and memory.

A URL goes through the code as a `Path` (`s3:/bucket/photo.jpg`) that only this module opens: a
photo is fetched into a folder of this process before it is read, and a result sent once it is
whole. What an object store takes it takes as a whole.
"""

from __future__ import annotations

import atexit
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

from img2img.errors import Advice, UserError, one_line

SCHEMES = ("s3", "http", "https", "memory")
"""Of fsspec's, those that do not run programs."""
LIST = ".txt"
"""What ends so holds URLs, one a line, relative to its own."""
PART_BYTES = 256 * 1024
"""A journal is written anew from its last part on, and begins another from this size on."""

Stamp = tuple[int, int]
"""Bytes and modification time in ns: by these a file is known to be unchanged."""
Answer = TypeVar("Answer")


class UrlFile(NamedTuple):
    """A file by URL, and its place below the URL that named it."""

    path: Path
    relative: Path


def is_url(path: str | Path) -> bool:
    """Whether it is none of this machine's paths; `file://` is one of them."""
    return re.match(r"(?!file:)[a-z][a-z0-9+.-]+:/", str(path)) is not None


def url_of(path: str | Path) -> str:
    """A URL as it is written; paths as they are."""
    return re.sub(r":/+", "://", str(path), count=1) if is_url(path) else str(path)


def local_of(text: str) -> str:
    """`file:///photos` as `/photos`; all else as it is."""
    return urlsplit(text).path if text.startswith("file:/") else text


def check_url(text: str, option: str) -> None:
    """Raise UserError for a protocol that is not taken, or not for results, or whose package is
    missing.
    """
    scheme = text.partition(":")[0]
    taken = SCHEMES if option == "input" else ("s3", "memory")
    if scheme not in taken:
        raise UserError(f"'{scheme}://' is none of {', '.join(taken)}", field=option)
    _system(scheme)


def files_of(text: str) -> list[UrlFile]:
    """The files of a list, or all below a URL in the order of their names; names that would lead
    out of a folder are left out. Raises UserError.
    """
    url = url_of(text).rstrip("/")
    if PurePosixPath(url).suffix.lower() == LIST:
        lines = _tried(url, lambda: _fs(url).cat_file(url)).decode().split()
        found = {urljoin(url, line): urlsplit(urljoin(url, line)).path for line in lines}
        top = PurePosixPath(urlsplit(url).path).parent
        return _safe({one: str(_below(PurePosixPath(path), top)) for one, path in found.items()})
    scheme, _, place = url.partition("://")
    if scheme.startswith("http"):
        raise UserError(
            "web servers do not list folders",
            place=url,
            remedy=f"name a photo, or a {LIST} file with a URL a line",
        )
    infos = _tried(url, lambda: _fs(url).find(url, detail=True))
    listed = {name.lstrip("/"): info for name, info in sorted(infos.items())}
    below = {name: name.removeprefix(f"{place}/") for name in listed if name != place}
    _LISTED.update((f"{scheme}://{name}", _stamp(listed[name])) for name in below)
    return _safe({f"{scheme}://{name}": rest for name, rest in below.items() if rest != name})


def stamp_of_url(path: Path) -> Stamp | None:
    """Size and time of a file as its server has them (0 where it does not say); None where there
    is none.
    """
    url = url_of(path)
    if (listed := _LISTED.pop(url, None)) is not None:  # it answers once
        return listed
    try:
        return _stamp(_tried(url, lambda: _fs(url).info(url)))
    except UserError:
        return None


_LISTED: dict[str, Stamp] = {}


def fetched(path: Path) -> Path:
    """A file of this machine with the content; `path` itself where it is one. Raises UserError."""
    if not is_url(path):
        return path
    url, copy = url_of(path), _copy_of(path)
    if not copy.exists():
        coming = copy.with_name(f"{copy.name}.part")
        _tried(path, lambda: _fs(url).get_file(url, str(coming)))
        coming.rename(copy)
    return copy


@contextmanager
def sending(path: Path) -> Iterator[Path]:
    """A file of this machine to write to, which is sent when it is whole; `path` itself where it
    is one. Raises UserError.
    """
    if not is_url(path):
        yield path
        return
    url, copy = url_of(path), _copy_of(path)
    try:
        yield copy
        _tried(path, lambda: _fs(url).put_file(str(copy), url))
    finally:
        copy.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """The copy of what was fetched is not needed any longer."""
    if is_url(path):
        shutil.rmtree(_copy_of(path).parent, ignore_errors=True)


class Journal:
    """A file that is only ever added to, where no file can be: numbered parts, the last of which is
    written anew until it is large.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.part, self.number = path, bytearray(), len(parts_of(path))
        self.is_sent = True

    def write(self, line: bytes) -> None:
        """Add a line; `sync` sends it. Raises OSError."""
        self.part += line
        self.is_sent = False

    def sync(self) -> None:
        """Send what was added. Raises OSError."""
        if self.is_sent:
            return
        url = url_of(_part(self.path, self.number))
        try:
            _tried(self.path, lambda: _fs(url).pipe_file(url, bytes(self.part)))
        except UserError as error:
            raise OSError(None, error.problem) from error
        self.is_sent = True
        if len(self.part) >= PART_BYTES:
            self.part, self.number = bytearray(), self.number + 1

    def close(self) -> None:
        """Send the rest."""
        self.sync()


def parts_of(path: Path) -> list[Path]:
    """The parts of a journal in order; none where there is no journal."""
    url = url_of(path.parent)
    try:
        names = _tried(url, lambda: _fs(url).ls(url, detail=False, refresh=True))
    except UserError:
        return []
    pattern = re.compile(rf"{re.escape(path.stem)}-\d+{re.escape(path.suffix)}")
    found = {name.rstrip("/").rpartition("/")[2] for name in names}
    return sorted(path.with_name(name) for name in found if pattern.fullmatch(name))


def content_of(path: Path) -> bytes:
    """The bytes of a file by URL. Raises UserError."""
    content: bytes = _tried(path, lambda: _fs(url_of(path)).cat_file(url_of(path)))
    return content


def remove(path: Path) -> None:
    """Remove a file by URL."""
    _tried(path, lambda: _fs(url_of(path)).rm_file(url_of(path)))


def _part(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number:06}{path.suffix}")


def _safe(found: dict[str, str]) -> list[UrlFile]:
    """Files by URL with their places, those that would lie outside a folder left out."""
    return [
        UrlFile(Path(url), Path(relative))
        for url, relative in found.items()
        if relative and ".." not in PurePosixPath(relative).parts and not relative.startswith("/")
    ]


def _below(path: PurePosixPath, top: PurePosixPath) -> PurePosixPath:
    """The place of a file in a list; of one that lies elsewhere, its name."""
    return path.relative_to(top) if path.is_relative_to(top) else PurePosixPath(path.name)


def _stamp(info: dict[str, Any]) -> Stamp:
    changed = next((info[k] for k in ("LastModified", "mtime", "created") if info.get(k)), 0)
    seconds = changed.timestamp() if isinstance(changed, datetime) else changed
    return int(info.get("size") or 0), int(seconds * 1_000_000_000)


def _fs(url: str) -> Any:
    return _system(url.partition(":")[0])


@cache
def _system(scheme: str) -> Any:
    """fsspec's, which keeps its connections; what it lists may change any time."""
    try:
        import fsspec

        return fsspec.filesystem(scheme, **({} if scheme == "memory" else _FRESH))
    except ImportError as error:
        raise UserError(
            f"{scheme}:// needs a package ({one_line(error)})",
            remedy="pip install 'img2img[scale]'",
        ) from None


_FRESH = {"use_listings_cache": False}


def _tried(place: str | Path, work: Callable[[], Answer]) -> Answer:
    """What a server gives. Raises UserError for what it does not; fsspec's file systems raise
    errors of many packages.
    """
    try:
        return work()
    except Exception as error:
        if isinstance(error, FileNotFoundError):
            raise UserError("no such file", place=place) from error
        what = f"cannot be fetched or sent ({one_line(error)})"
        remedy = Advice("check the address, and that you may read and write there")
        raise UserError(what, place=place, remedy=remedy) from error


def _copy_of(path: Path) -> Path:
    """Where the content of a URL lies meanwhile; the same place for the same URL."""
    place = _stage() / hashlib.sha256(url_of(path).encode(errors="replace")).hexdigest()[:20]
    place.mkdir(exist_ok=True)
    return place / path.name


@cache
def _stage() -> Path:
    folder = tempfile.mkdtemp(prefix="img2img-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
