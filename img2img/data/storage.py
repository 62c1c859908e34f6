"""Bytes of files on this machine, on a web server (HTTP, HTTPS) or in S3, by byte ranges.

What a server does not give is asked for again a few times; what it gave is kept in a folder of
bounded size. Connections go to the places that a recipe names, and where these redirect to.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from img2img.errors import StorageError, UserError
from img2img.files import at_home

SCHEMES = ("http", "https", "s3")
TRIES, FIRST_PAUSE_S = 4, 0.5  # each pause is twice as long as the one before
TIMEOUT_S = 60.0  # for one range: a photo, or an index
INSTALL = "pip install 'img2img[shards]'"


def checked_url(url: str) -> str:
    """The URL or path, where it may stand in a recipe. Raises UserError for another protocol
    (fsspec knows dozens, some of which run programs) and for what holds a secret, since recipes are
    copied into model files.
    """
    parts = urlsplit(url if is_remote(url) else "")
    if is_remote(url) and (parts.scheme not in SCHEMES or "::" in url):
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        problem, remedy = f"'{parts.scheme}://' is not read", f"give a path, or one of {known}"
    elif "@" in parts.netloc or parts.query or parts.fragment:
        problem = "a URL with a password or a signature would be copied into every model file"
        remedy = "give the plain URL"
    elif not url or "\0" in url:
        problem, remedy = "is empty", "name the shards"
    else:
        return url
    raise UserError(problem, field="data.urls", remedy=remedy)


def is_remote(url: str) -> bool:
    """Whether it takes a connection."""
    return "://" in url


@dataclass
class KeptRanges:
    """What was downloaded, in a folder that all processes share and that holds about
    `budget_bytes`: what was used longest ago goes first.
    """

    folder: Path
    budget_bytes: int
    written: int = field(init=False)
    """Bytes since this process last looked at the size of the folder."""

    def __post_init__(self) -> None:
        self.written = self.budget_bytes  # what others have left there counts too

    def get(self, key: str) -> bytes | None:
        """The bytes kept under a key of hexadecimal digits."""
        with suppress(OSError):
            path = self._path(key)
            content = path.read_bytes()
            os.utime(path)
            return content
        return None

    def keep(self, key: str, content: bytes) -> None:
        """Keep the bytes; a full disk or a folder that is read-only is no reason to stop."""
        if len(content) > self.budget_bytes // 16:
            return
        path = self._path(key)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(name, path)
        self.written += len(content)
        if self.written > self.budget_bytes // 64:
            self._shrink()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key[2:]

    def _shrink(self) -> None:
        self.written, found = 0, []
        for path in self.folder.glob("??/*"):
            with suppress(OSError):  # another process was quicker
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.budget_bytes * 15 // 16:
                return
            with suppress(OSError):
                path.unlink()
            total -= size


def default_folder() -> Path:
    """Where downloaded photos are kept: below the user's folder for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or at_home("~/.cache")) / "img2img" / "shards"


def read_range(url: str, start: int, length: int) -> bytes:
    """So many bytes of a file from an offset on; fewer where it ends before.

    Raises StorageError for what cannot be had, after a few tries where that may pass.
    """
    read = _read_remote if is_remote(url) else _read_local
    for attempt in range(TRIES):
        try:
            content = read(url, start, length)
        except Exception as error:  # each file system raises its own kinds
            refused = _refusal(error, url)
            if not refused.may_pass or attempt == TRIES - 1:
                tried = f" ({TRIES} tries)" if refused.may_pass else ""
                raise StorageError(
                    f"{refused.problem}{tried}", remedy=refused.remedy, place=url
                ) from error
            time.sleep(FIRST_PAUSE_S * 2**attempt)
        else:
            if len(content) > length:
                raise StorageError(
                    "this server sends whole files where a range of bytes is asked for",
                    remedy="use one that knows the header Range",
                    place=url,
                )
            return content
    raise AssertionError("the last try returns or raises")


def _read_local(path: str, start: int, length: int) -> bytes:
    with at_home(path).open("rb") as file:
        file.seek(start)
        return file.read(min(length, max(0, os.fstat(file.fileno()).st_size - start)))


def _read_remote(url: str, start: int, length: int) -> bytes:
    content: bytes = _file_system(urlsplit(url).scheme).cat_file(
        url, start=start, end=start + length, timeout=TIMEOUT_S
    )
    return content


class _FileSystem(Protocol):
    def cat_file(self, path: str, **options: Any) -> Any: ...


def _file_system(scheme: str) -> _FileSystem:
    """fsspec's, one in each process: it keeps connections, which no forked process may share.

    Those of the process that this one was forked from stay referred to: their end here would take
    the connections from what that process waits for, since both have one epoll.
    """
    if (os.getpid(), scheme) in _SYSTEMS:
        return _SYSTEMS[os.getpid(), scheme]
    try:
        import fsspec

        options: dict[str, Any] = {}
        if scheme == "s3":
            patience = {"connect_timeout": TIMEOUT_S, "read_timeout": TIMEOUT_S}
            options["config_kwargs"] = {**patience, "retries": {"max_attempts": 1}}
        system = fsspec.filesystem(scheme, **options)
        if scheme == "s3":
            system.retries = 1  # tries are counted in one place, here
    except ImportError as error:
        raise UserError(
            f"reading {scheme}:// needs an extra", field="data.urls", remedy=INSTALL
        ) from error
    _SYSTEMS[os.getpid(), scheme] = system
    return system


_SYSTEMS: dict[tuple[int, str], Any] = {}
"""By process and scheme."""


@dataclass(frozen=True)
class _Refusal:
    problem: str
    remedy: str = ""
    may_pass: bool = False


def _refusal(error: Exception, url: str) -> _Refusal:
    """What a file system's error means, and whether the next try may go better."""
    if isinstance(error, UserError):
        raise error
    name, status = type(error).__name__, getattr(error, "status", None)
    what = " ".join(str(error).split())[:200] or name
    if isinstance(error, FileNotFoundError):
        found = "no such file" + " (404)" * is_remote(url)
        return _Refusal(found, "check data.urls, and copy what is missing")
    if "Credentials" in name:
        return _Refusal(
            "S3 asks for credentials, and none were found",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; "
            "FSSPEC_S3_ANON=true for a public bucket",
        )
    if isinstance(error, PermissionError) or status in (401, 403):
        return _Refusal("may not be read", "check the permissions and your credentials")
    if isinstance(error, TimeoutError):
        return _Refusal(f"no whole answer within {TIMEOUT_S:g} s", may_pass=True)
    if status == 416 or "satisfiable" in what:
        return _Refusal("is cut short: it ends before a photo begins", "copy the shard again")
    if status is not None:
        return _Refusal(f"the server answers {status}", may_pass=status >= 500 or status == 429)
    return _Refusal(f"cannot be read ({what})", may_pass=True)
