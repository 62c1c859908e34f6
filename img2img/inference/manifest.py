"""What became of each photo of a folder run, as JSON Lines in its output folder: by it a run that
was ended goes on.

A line is only ever added, so that a process that is killed leaves all lines but the last one whole.
Lines with the state `run` and `finished` are of the run; of a photo the last line counts:

    started   it is read or worked on; `tries` says how often in a row that had no end
    writing   its result is about to be written as `output`, in the place of what `replaces` says
    done      the result lies under its name
    failed    `error` says why
    stopped   the run was ended by Ctrl-C or SIGTERM
    aside     the process ended twice while it was worked on

Photos and outputs are named relative to the folder of the manifest, so that both may be moved
together. Files are known by their size in bytes and their modification time in ns.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from img2img.errors import Advice, Option, Phrase, UserError
from img2img.files import leftovers
from img2img.inference.inputs import Job
from img2img.inference.outputs import Result
from img2img.inference.urls import (
    Journal,
    Stamp,
    content_of,
    is_url,
    parts_of,
    remove,
    stamp_of_url,
    url_of,
)
from img2img.version import __version__

log = logging.getLogger("img2img")

NAME = "img2img-manifest.jsonl"
MOST_TRIES = 2
"""A photo during which the process ended so often in a row is put aside."""

MODEL_SHA256 = "model_sha256"
"""The field of a request that no option has."""

Standing = Literal["open", "alone", "done", "aside"]
"""What a run that goes on makes of a photo; one that may have ended the process is worked on while
no other is."""


@dataclass(frozen=True)
class Record:
    """The last line of a photo."""

    state: str
    stamp: Stamp | None = None
    """Of the photo; None for a file that is missing."""
    tries: int = 0
    output: str | None = None
    result: Stamp | None = None
    """Of the output as it was written by such a run."""
    replaces: Stamp | None = None
    """Of what lay under the output's name before it was written."""
    error: str | None = None

    @property
    def has_no_end(self) -> bool:
        """Whether it was being worked on when its line was written."""
        return self.state in ("started", "writing")


class Manifest:
    """The records of the photos of one request in an output folder. Nothing is written before
    `begin`.
    """

    def __init__(self, folder: Path, request: Mapping[str, object]) -> None:
        self.folder, self.path = folder, folder / NAME
        self.is_new = not self._exists()
        self.is_needed = True
        """Nothing is left to go on with where it is not."""
        self.request = dict(request)
        text = json.dumps(self.request, sort_keys=True)
        self.run = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.records: dict[str, Record] = {}
        self.version: str | None = None
        """That the request was last worked on with; None where it never was."""
        self.last_request: dict[str, object] | None = None
        self.is_unfinished = False
        """Of the last run, whatever its request."""
        self.may_replace = False
        """Whether results of this manifest may be written anew, of photos that have changed."""
        self._in_work: dict[str, Record | None] = {}
        self._lock = threading.Lock()
        self._file: Any = None
        self._is_incomplete = False
        self._read()

    # --- a run

    def check_request(self, field: str) -> None:
        """Raise UserError when the folder was begun with other options only."""
        if self.version is not None or self.last_request is None:
            return
        leave_out = () if field == "watch" else ("leave ", Option(field), " out, ")
        raise UserError(
            Phrase("'", self.folder, "' was begun with other options: ", self._then()),
            field=field,
            remedy=Advice(
                "give the same options, ", *leave_out, "or choose another ", Option("output")
            ),
        )

    def begin(self, photos: int, go_on: bool) -> None:
        """Open the manifest for a run, which begins with what a killed process left half-done."""
        self._file = Journal(self.path) if is_url(self.path) else _opened(self.path)
        self.may_replace = go_on
        now = datetime.now(UTC).isoformat(timespec="seconds")
        begun = {"manifest": 1, "version": __version__, "time": now, "photos": photos}
        self._write({"state": "run", "run": self.run, **begun, "request": self.request})
        for key in [key for key, record in self.records.items() if record.has_no_end]:
            self._settle(key)

    def finish(self) -> None:
        """Every photo had its turn."""
        self._write({"state": "finished", "run": self.run})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Those in work are stopped, which is no fault of theirs."""
        if self._file is None:
            return
        for key, former in self._in_work.items():
            record = self.records[key]
            stopped = record if record.state == "writing" else replace(record, state="stopped")
            self._add(key, _restored(former, record) or replace(stopped, tries=0))
        self._in_work.clear()
        with suppress(OSError):  # which the first line that was lost has told
            self.sync()
            self._file.close()
        self._file = None

    def remove(self) -> None:
        """Nothing is to be gone on with."""
        if is_url(self.path):
            for part in parts_of(self.path):
                remove(part)
        else:
            self.path.unlink()

    def notice(self) -> Phrase | None:
        """What to say of an earlier run that was ended, to who begins another."""
        if not self.is_unfinished:
            return None
        if self.last_request != self.request:
            how = Phrase(" and its options (", self._then(), ") go on with it")
        else:
            done = sum(record.state == "done" for record in self.records.values())
            how = Phrase(f" goes on with it ({done} done)")
        return Phrase("'", self.folder, "' holds an unfinished run: ", Option("resume"), how)

    # --- a photo

    def standing(self, job: Job) -> Standing:
        """What a run that goes on has to do with it."""
        record = self.records.get(seen_from(self.folder, job.input))
        if record is None or record.stamp != stamp_of(job.input):
            return "open"
        if record.state == "aside" or (record.has_no_end and record.tries >= MOST_TRIES):
            return "aside"
        if record.has_no_end:
            return "alone" if record.tries else "open"
        output = self.output(job)
        return "done" if record.state == "done" and output and stamp_of(output) else "open"

    def output(self, job: Job) -> Path | None:
        """The result of a photo by its record."""
        record = self.records.get(seen_from(self.folder, job.input))
        return None if record is None or record.output is None else self.folder / record.output

    def owns(self, job: Job, output: Path, stamp: Stamp | None) -> bool:
        """Whether the file, which has this stamp, is the photo's former result, nothing having
        changed it since.
        """
        record = self.records.get(seen_from(self.folder, job.input))
        if record is None or not self.may_replace or output != self.output(job):
            return False
        return record.result is not None and record.result == stamp

    def put_aside(self, job: Job) -> Result:
        """What to report of a photo that is not to be tried again."""
        key = seen_from(self.folder, job.input)
        if self.records[key].state != "aside":
            self._add(key, replace(self.records[key], state="aside"))
        refusal = UserError(
            "put aside: twice the process ended while it was worked on",
            place=job.input,
            remedy=Advice(
                *("give it alone as ", Option("input"), ", with ", Option("resume")),
                ", to try again",
            ),
        )
        return Result(job.input, error=refusal.phrase)

    def is_in_work(self, job: Job) -> bool:
        """Whether it was begun in this run, and has had no end."""
        return seen_from(self.folder, job.input) in self._in_work

    def left(self, job: Job) -> Standing:
        """What is to be done with a photo in work when the process that worked on it has ended."""
        key = seen_from(self.folder, job.input)
        self._settle(key)
        del self._in_work[key]
        return self.standing(job)

    def started(self, job: Job, stamp: Stamp | None = None) -> None:
        """A photo is about to be opened; `stamp` is its own, of who has it already."""
        key = seen_from(self.folder, job.input)
        if key in self._in_work:
            return
        stamp = stamp or stamp_of(job.input)
        former = self._in_work[key] = self.records.get(key)
        known = former or Record("started")
        again = known.stamp == stamp and (known.has_no_end or known.state == "aside")
        tries = known.tries + 1 if again else 1
        self._add(key, Record("started", stamp, tries, known.output, known.result))

    def writing(self, job: Job, output: Path, replaces: Stamp | None) -> None:
        """Its result is about to be written, in the place of a file with that stamp, once `sync`
        has brought that to the disk.
        """
        key, name = seen_from(self.folder, job.input), output.relative_to(self.folder).as_posix()
        record = self.records[key]
        ours = record.result if record.output == name else None
        written = replace(record, state="writing", output=name, result=ours)
        self._add(key, replace(written, replaces=replaces))

    def ended(self, job: Job, result: Result, stamp: Stamp | None = None) -> None:
        """A photo is done, its result having that stamp, or was refused; what was done before and
        is so still is not lost by a refusal.
        """
        key = seen_from(self.folder, job.input)
        former = self._in_work.pop(key, None)
        record = self.records[key]
        if result.error is None:
            assert result.output is not None
            stamp = stamp or stamp_of(result.output)
            written = replace(record, state="done", tries=0, result=stamp)
            self._add(key, replace(written, replaces=None))
        elif record.state != "done":  # which another mention of the same file did
            failed = replace(record, state="failed", tries=0, error=str(result.error))
            self._add(key, _restored(former, record) or failed)

    # --- lines

    def _settle(self, key: str) -> None:
        """What a killed process left of a photo: half a result is removed, a whole one counts."""
        record = self.records[key]
        if record.output is None:
            return
        output = self.folder / record.output
        left = [] if is_url(output) else leftovers(output)
        if record.state == "writing":
            stamp = stamp_of(output)
            if not left and stamp not in (None, record.replaces):
                self._add(key, replace(record, state="done", tries=0, result=stamp, replaces=None))
            else:
                self._add(key, replace(record, state="started", replaces=None))
        for path in left:
            path.unlink(missing_ok=True)

    def _then(self) -> Phrase:
        """How the options of the last run differ from those of this one."""
        then, now = self.last_request or {}, self.request
        differ = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        if differ == [MODEL_SHA256]:
            return Phrase("another file as ", Option("model"))
        return Phrase.joined(
            [
                Option(name, then[name]) if name in then else Phrase("no ", Option(name))
                for name in differ
                if name != MODEL_SHA256
            ],
            ", ",
        )

    def _add(self, key: str, record: Record) -> None:
        self.records[key] = record
        known = {f.name: v for f in fields(record) if (v := getattr(record, f.name)) is not None}
        self._write({"state": record.state, "run": self.run, "input": key, **known})

    def _write(self, line: Mapping[str, object]) -> None:
        """In one call, so that no other thread's line comes between."""
        with self._lock, self._reported():
            self._file.write(json.dumps(line).encode() + b"\n")

    def sync(self) -> None:
        """What was written is on the disk."""
        with self._lock, self._reported():
            if isinstance(self._file, Journal):
                self._file.sync()
            else:
                os.fsync(self._file.fileno())

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """The results say what a full disk has kept from them; of the manifest, a line does."""
        try:
            yield
        except OSError as error:
            if not self._is_incomplete:
                what = f": cannot be written ({error.strerror}), and so is not whole"
                log.warning(Phrase(self.path, what))
            self._is_incomplete = True

    def _exists(self) -> bool:
        return bool(parts_of(self.path)) if is_url(self.path) else self.path.exists()

    def _read(self) -> None:
        for line in _lines(self.path):
            match line:
                case {"state": "run", "run": str(run), "request": dict(request)}:
                    self.last_request, self.is_unfinished = request, True
                    if run == self.run:
                        self.version = str(line.get("version"))
                case {"state": "finished"}:
                    self.is_unfinished = False
                case {"state": str(), "run": self.run, "input": str(key)}:
                    if (record := _record(line)) is not None:
                        self.records[key] = record


def stamp_of(path: Path) -> Stamp | None:
    """Size and time of a file; None where there is none."""
    if is_url(path):
        return stamp_of_url(path)
    try:
        found = path.stat()
    except (OSError, ValueError):  # a name that can be none
        return None
    return found.st_size, found.st_mtime_ns


def seen_from(folder: Path, path: Path) -> str:
    """The way from a folder to a file; its full path where there is none (another drive, URLs)."""
    if is_url(folder) or is_url(path):
        return url_of(path) if is_url(path) else Path(os.path.abspath(path)).as_posix()
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return Path(os.path.abspath(path)).as_posix()


def _restored(former: Record | None, record: Record) -> Record | None:
    """The record of before, where the photo was done and is unchanged."""
    is_done = former is not None and former.state == "done" and former.stamp == record.stamp
    return former if is_done else None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a manifest, which need not exist."""
    for line in _raw_lines(path):
        try:
            known = json.loads(line)
        except (ValueError, RecursionError):  # torn, or none of ours
            continue
        if isinstance(known, dict):
            yield known


def _raw_lines(path: Path) -> Iterator[bytes]:
    if is_url(path):
        for part in parts_of(path):
            yield from content_of(part).splitlines()
    elif path.exists():
        with path.open("rb") as file:
            yield from file


def _opened(path: Path) -> Any:
    """A manifest to add lines to."""
    file = path.open("a+b", buffering=0)
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":  # the last line is torn
            file.write(b"\n")
    return file


def _record(line: Mapping[str, Any]) -> Record | None:
    """A photo's line as a record; None for one that no such run has written."""
    stamps: dict[str, Stamp | None] = {}
    for name in ("stamp", "result", "replaces"):
        match line.get(name):
            case None:
                stamps[name] = None
            case [int(size), int(time)]:
                stamps[name] = size, time
            case _:
                return None
    output, tries, error = line.get("output"), line.get("tries", 0), line.get("error")
    if not isinstance(output, str | None) or not isinstance(tries, int):
        return None
    if output is not None and (Path(output).anchor or ".." in Path(output).parts):
        return None
    return Record(line["state"], tries=tries, output=output, error=error, **stamps)
