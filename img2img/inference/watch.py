"""A folder into which a scanner or another program drops photos: which of them are whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import UserError
from img2img.inference.inputs import Job, find_jobs, is_plain_file
from img2img.inference.manifest import Stamp, stamp_of
from img2img.inference.outputs import Result

_STILL_POLLS = 2  # a file that is the same at so many polls in a row is taken for whole
_PATIENT_POLLS = (
    10  # one that cannot be read then may still be coming, until it was the same so often
)
_UNDER_WAY = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", "~")


@dataclass
class _Seen:
    """A file as it was at the last polls."""

    stamp: Stamp
    polls: int = 1
    failed: bool = False
    is_settled: bool = False
    """Nothing is to be done with it before it changes."""


class Arrivals:
    """The photos of folders and patterns, polled: which have arrived, and are not written to any
    longer. Raises UserError for what is neither.
    """

    def __init__(self, inputs: Sequence[str], is_result: Callable[[Job], bool]) -> None:
        for text in inputs:
            if is_plain_file(text):
                raise UserError(
                    f"'{text}' is no folder",
                    field="watch",
                    remedy="name the folder that photos come into",
                )
        self.inputs, self.is_result = inputs, is_result
        self.jobs: list[Job] = []
        """All that the last poll has found."""
        self._seen: dict[Path, _Seen] = {}

    def poll(self) -> list[Job]:
        """Photos that are there to be worked on now; each once, and again when it has changed."""
        before, self._seen, self.jobs, ready = self._seen, {}, [], list[Job]()
        for job in self._found():
            stamp, seen = stamp_of(job.input), before.get(job.input)
            if stamp is None or (seen is None and self.is_result(job)):
                continue
            if seen is None or seen.stamp != stamp:
                seen = _Seen(stamp)
            else:
                seen.polls += 1
            self._seen[job.input] = seen
            self.jobs.append(job)
            if not seen.is_settled and seen.polls >= (
                _PATIENT_POLLS if seen.failed else _STILL_POLLS
            ):
                seen.is_settled = True
                ready.append(job)
        return ready

    def is_final(self, result: Result) -> bool:
        """Whether the result of a photo counts: one that could not be read may have been half
        there, and is tried once more when it has been the same for longer.
        """
        seen = self._seen[result.input]
        if result.error is None or seen.failed or seen.polls >= _PATIENT_POLLS:
            return True
        seen.failed, seen.is_settled = True, False
        return False

    def _found(self) -> list[Job]:
        """What a poll sees; nothing of a folder that cannot be read for a moment."""
        try:
            jobs = [job for text in self.inputs for job in find_jobs(text)]
        except OSError:
            return []
        return [job for job in jobs if not _is_under_way(job.input.name)]


def _is_under_way(name: str) -> bool:
    """Whether a program that writes or moves a file calls it so until it is whole."""
    return name.lower().endswith(_UNDER_WAY) or name.startswith(("~", "."))
