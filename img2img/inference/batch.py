"""Many files through one request: which photos are meant, what the results are called, what is
reported of each.

Names: `photo.<task>.<ext>` next to the input, or in the same sub-folder under an output folder.
`<task>` is the one task that was done, `auto` for a chain or a copy. JPEG stays JPEG and TIFF stays
TIFF (`.jpeg` and `.tiff` keep their spelling), the rest becomes PNG, and so does a lossy photo
whose known pixels are to be kept exactly, unless a format is asked for. Photos that would share a
name keep their old suffix in it: `photo.jpg.denoise.jpg`. A name that would be too long is cut, and
ends in a hash.
"""

from __future__ import annotations

import glob
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from img2img.data.cache import Cache
from img2img.data.side_by_side import are_pairs
from img2img.errors import Advice, Option, Phrase, UserError
from img2img.files import (
    OVERWRITE_OR_ANOTHER,
    atomic_path,
    check_folder,
    identity,
    ignores_case,
    longest_name,
    shortened,
)
from img2img.inference.inputs import Job, Siblings, found, has_photo_suffix, is_photo, is_plain_file
from img2img.inference.manifest import stamp_of
from img2img.inference.output_size import WidthHeight
from img2img.inference.outputs import QUALITY, WITH_QUALITY, Result, Saving
from img2img.inference.plan import OnStepPart, OnStepTile, Plan
from img2img.inference.request import AUTO, Request
from img2img.inference.statistics import statistics
from img2img.inference.steps import fills_mask
from img2img.inference.urls import (
    Stamp,
    check_url,
    discard,
    fetched,
    is_url,
    local_of,
    sending,
)
from img2img.pixels.file_kind import counted, size_in_header
from img2img.pixels.hints import Hints, read_hints
from img2img.pixels.images import (
    Half,
    Photo,
    check_fits,
    from_array,
    lost_in,
    output_format,
    read_mask,
    read_photo,
    without_metadata,
    write_photo,
)
from img2img.pixels.strength_map import read_strength
from img2img.tasks import PhotoStatistics, task_kinds

log = logging.getLogger("img2img")

_LIGHT_PX = 16_000_000  # larger photos are read and written in turn: one fills memory enough
_LOOKED_AT_MB = 256  # of the files that show whether they are pairs
OnPlan = Callable[[Path, Plan, WidthHeight], None]
"""Called with a photo, what will be done to it, and its size once it lies on its canvas."""


@dataclass(frozen=True)
class Prepared:
    """A photo, and everything that is known of the work on it before it begins."""

    job: Job
    photo: Photo
    canvas: Photo
    mask: np.ndarray | None
    plan: Plan
    output: Path
    replaces: Stamp | None
    strength: np.ndarray | None = None

    @property
    def size_out(self) -> WidthHeight:
        """(width, height) of the result."""
        return self.plan.size_out(self.canvas.size)


class OpenedPhoto(NamedTuple):
    """A photo as it was read, its statistics where they are known, and when that began."""

    photo: Photo
    seen: PhotoStatistics | None
    begun_s: float


class Done(NamedTuple):
    """What is to be written, and reported once it is."""

    result: Result
    photo: Photo
    is_copy: bool
    replaces: Stamp | None
    begun_s: float


class Records(Protocol):
    """Who is told of each photo that is begun and done: a manifest."""

    def started(self, job: Job) -> None: ...

    def writing(self, job: Job, output: Path, replaces: Stamp | None) -> None: ...

    def sync(self) -> None: ...

    def ended(self, job: Job, result: Result) -> None: ...

    def owns(self, job: Job, output: Path, stamp: Stamp | None) -> bool: ...


Stage = TypeVar("Stage")


@dataclass
class FileBatch:
    """Inputs and where their results go. Raises UserError on construction for what would fail on
    every photo.
    """

    inputs: Sequence[str]
    request: Request = field(default_factory=Request)
    output: str | None = None
    mask: str | None = None
    overwrite: bool = False
    hints: str | None = None
    saving: Saving = field(default_factory=Saving)
    pairs: bool | None = None
    """The files are pairs side by side, of which the model's input is taken; None: as a folder's
    files show it."""
    save_mask: str | None = None
    """Where the mask that is filled is written, white = filled: a file, or a folder of several."""
    strength_mask: str | None = None
    """Where less of the change is wanted: a grey picture, or a folder of them."""
    taken: set[Path] = field(default_factory=set, init=False)
    manifest: Records | None = field(default=None, init=False)
    """Told of each photo that is begun and done."""

    def __post_init__(self) -> None:
        self.inputs = [local_of(text) for text in self.inputs]
        self.output = None if self.output is None else local_of(self.output)
        masked, hinted = self.mask is not None, bool(self.hints)
        self.resolved = self.request.resolve(with_mask=masked, with_hints=hinted)
        self.half = self._half_of_pairs()
        self.siblings = Siblings()
        self._check_urls()
        self.several = len(self.inputs) != 1 or not is_plain_file(self.inputs[0])
        jobs = [job for text in self.inputs for job in self._jobs(text)]
        self._check_output()
        self._check_save_mask()
        for option, drawn in self.drawn.items():
            if drawn and not os.path.exists(drawn):
                raise UserError(Phrase("'", Path(drawn), "': no such file or folder"), field=option)
        self.take(jobs)

    @property
    def drawn(self) -> dict[str, str | None]:
        """The files or folders of what is drawn for photos, by the names of the options."""
        return {"mask": self.mask, "hints": self.hints, "strength_mask": self.strength_mask}

    def take(self, jobs: list[Job]) -> None:
        """The photos that there are; those that would share a name are told apart."""
        self.jobs = jobs
        self._identities: set[tuple[int, int] | Path] | None = None
        guessed = (self._name(job, self.saving.guessed_suffix(job.input)) for job in self.jobs)
        self.names = Counter(map(known_as, guessed))

    def run(
        self,
        on_tile: OnStepTile | None = None,
        on_plan: OnPlan | None = None,
        jobs: Sequence[Job] | None = None,
    ) -> Iterator[Result]:
        """One result an input, or one of these jobs of theirs, in order; bad files are reported and
        passed over.

        `on_plan` is called for a photo before the work on it begins, `on_tile` as in `Plan.run`.
        """
        wanted = self.jobs if jobs is None else jobs
        if len(wanted) > 1:
            yield from self._run_overlapped(wanted, on_tile, on_plan)
            return
        for job in wanted:
            self._begin(job)
            yield self._ended(job, lambda job: self.write(job, None, on_tile, on_plan))

    def plans(self, jobs: Sequence[Job] | None = None) -> Iterator[Result]:
        """What `run` would do to each input, and why; nothing is done and nothing is written."""
        return (self._tried(job, self._planned) for job in (self.jobs if jobs is None else jobs))

    def write(
        self,
        job: Job,
        photo: Photo | None = None,
        on_tile: OnStepTile | None = None,
        on_plan: OnPlan | None = None,
        seen: PhotoStatistics | None = None,
        on_part: OnStepPart | None = None,
    ) -> Result:
        """The result of one photo, which may have been read already; `seen` are its statistics
        where they are known, and `on_part` is called as in `Plan.run`. Raises UserError.
        """
        begun_s, read_before = time.monotonic(), photo is not None
        opened = OpenedPhoto(photo or _read(job), seen, begun_s)
        _log_notes(job.input, () if read_before else opened.photo.notes)
        return self._written(job, self._done(job, opened, on_tile, on_plan, on_part))

    def _done(
        self,
        job: Job,
        opened: OpenedPhoto | Result,
        on_tile: OnStepTile | None,
        on_plan: OnPlan | None,
        on_part: OnStepPart | None = None,
    ) -> Done | Result:
        """The work on one photo, up to what is to be written."""
        if isinstance(opened, Result):
            return opened
        ready = self._prepared(job, opened.photo, opened.seen)
        if not is_url(ready.output):
            check_folder(ready.output.parent)
        if on_plan:
            on_plan(job.input, ready.plan, ready.canvas.size)
        keep_mask = partial(self._keep_mask, job)
        photo = ready.plan.run(
            ready.canvas, ready.mask, on_tile, keep_mask, on_part, ready.strength
        )
        if not self.saving.metadata:
            photo = without_metadata(photo)
        if not self._is_copy(ready):
            _log_notes(ready.output, lost_in(ready.output, photo))
        self.taken.add(known_as(ready.output))
        result = self._result(ready, photo.size)
        return Done(result, photo, self._is_copy(ready), ready.replaces, opened.begun_s)

    def _written(self, job: Job, done: Done | Result) -> Result:
        if isinstance(done, Result):
            return done
        result = done.result
        assert result.output is not None
        if self.manifest is not None:
            self.manifest.writing(job, result.output, done.replaces)
            self.manifest.sync()
        with sending(result.output) as file:
            if done.is_copy:
                _copy(fetched(result.input), file)
            else:
                write_photo(file, done.photo, quality=self.saving.quality or QUALITY)
        return replace(result, seconds=_since(done.begun_s))

    def _run_overlapped(
        self, jobs: Sequence[Job], on_tile: OnStepTile | None, on_plan: OnPlan | None
    ) -> Iterator[Result]:
        """The next photo is read, and the last result written, while one is worked on; the bytes
        are the same as one by one. What fails at a stage goes through the others as its result.
        """
        coming: Future[OpenedPhoto | Result | None] | None = None
        last: Future[Result] | None = None
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            for job, following in zip_longest(jobs, jobs[1:]):
                opened = None if coming is None else coming.result()
                if opened is None or known_as(job.input) in self.taken:  # now that it is written
                    if last is not None:
                        wait([last])
                    self._begin(job)
                    opened = self._tried(job, self._opened)
                if isinstance(opened, OpenedPhoto):
                    _log_notes(job.input, opened.photo.notes)
                coming = None if following is None else reader.submit(self._ahead, following)
                work = partial(self._done, opened=opened, on_tile=on_tile, on_plan=on_plan)
                done = self._tried(job, work)
                del opened, work
                if last is not None:
                    yield last.result()
                last = writer.submit(self._ended, job, partial(self._written, done=done))
                if isinstance(done, Done) and not _is_light(done.photo.size):
                    wait([last])
                del done
            if last is not None:
                yield last.result()

    def _ahead(self, job: Job) -> OpenedPhoto | Result | None:
        """A photo before its turn; None for one that is too large to lie waiting, or may be."""
        self._begin(job)
        try:
            size = size_in_header(fetched(job.input))
        except UserError:
            size = None
        return self._tried(job, self._opened) if size and _is_light(size) else None

    def _opened(self, job: Job) -> OpenedPhoto:
        """A photo read, and looked at where its plan will ask for it."""
        begun_s, photo = time.monotonic(), _read(job)
        masked = self.mask is not None or self.request.canvas.extends
        wanted = self.resolved.steps is None and not masked
        return OpenedPhoto(photo, statistics(photo) if wanted else None, begun_s)

    def _begin(self, job: Job) -> None:
        """Before a photo is opened for the first time, which may end the process."""
        if self.manifest is not None:
            self.manifest.started(job)

    def _ended(self, job: Job, work: Callable[[Job], Result]) -> Result:
        """What the last stage of the work gives."""
        result = self._tried(job, work)
        discard(job.input)
        if self.manifest is not None:
            self.manifest.ended(job, result)
        return result

    def _tried(self, job: Job, work: Callable[[Job], Stage]) -> Stage | Result:
        """What a stage of the work makes of a photo, or a result with its error."""
        started = time.monotonic()
        try:
            return work(job)
        except UserError as error:
            phrase = error.at(job.input).phrase
            return Result(job.input, seconds=_since(started), error=phrase)
        except Exception as error:
            if not self.several:
                raise
            log.debug("%s", job.input, exc_info=True)
            return Result(
                job.input,
                seconds=_since(started),
                error=f"{type(error).__name__}: {error}",
                mendable=False,
            )

    def _planned(self, job: Job) -> Result:
        started, photo = time.monotonic(), _read(job)
        _log_notes(job.input, photo.notes)
        ready = self._prepared(job, photo)
        self.taken.add(known_as(ready.output))
        planned = self._result(ready, ready.size_out)
        return replace(planned, steps=ready.plan.steps, seconds=_since(started))

    def _prepared(self, job: Job, photo: Photo, seen: PhotoStatistics | None = None) -> Prepared:
        """Everything that can fail before the work does so here."""
        canvas, mask = self.request.canvas.prepared(photo, self._mask(job, photo))
        plan = self.resolved.plan(canvas, mask, hints=self._hints(job, photo), seen=seen)
        output, strength = self._output(job, photo, plan), self._strength(job, photo)
        replaces = self._replaced(job, output)
        ready = Prepared(job, photo, canvas, mask, plan, output, replaces, strength)
        if (place := self._mask_place(job)) and place.exists() and not self.overwrite:
            raise UserError(Phrase(place, " exists"), place=job.input, remedy=OVERWRITE_OR_ANOTHER)
        if not self._is_copy(ready):
            check_fits(ready.output, ready.size_out)
        return ready

    def _result(self, ready: Prepared, size: WidthHeight) -> Result:
        plan, unchanged = ready.plan, "written anew with nothing changed"
        return Result(
            ready.job.input,
            ready.output,
            plan.tasks or None,
            plan.models or None,
            ready.photo.size,
            size,
            reason=plan.sentence if self._is_copy(ready) else plan.explained(unchanged),
            plan=plan,
        )

    def _is_copy(self, ready: Prepared) -> bool:
        """Nothing is to be done and nothing else was asked for: the file itself is the result."""
        same = output_format(ready.output) == ready.photo.format.replace("MPO", "JPEG")
        changed = ready.plan.steps or ready.plan.reduced_to
        kept = self.saving.quality is None and self.saving.metadata
        return not changed and same and kept

    # --- which photos

    def _jobs(self, text: str) -> list[Job]:
        """What an input stands for; in folders and patterns, results of earlier runs are passed
        over.
        """
        jobs, others = found(text)
        if is_plain_file(text):
            return [replace(job, half=self.half) for job in jobs] if self.pairs else jobs
        fresh = [job for job in jobs if not self.is_result(job)]
        if not fresh:
            left = (
                ", only results of earlier runs: name the files to take them all the same"
                if jobs
                else ""
            )
            unread = f"; it holds {counted(others)}" if others else ""
            raise UserError(f"no photo in '{text}'{left}{unread}", field="input")
        if others:
            log.warning("%s: passed over: %s", text, counted(others))
        if len(fresh) < len(jobs):
            log.warning(
                "%s: %d passed over, being results of earlier runs", text, len(jobs) - len(fresh)
            )
        return self._halved(text, fresh)

    def _half_of_pairs(self) -> Half | None:
        """Which half of a pair the first model takes; None unless it was trained on pairs. Raises
        UserError where pairs are given to one that was not.
        """
        steps = self.resolved.steps or ()
        half = steps[0].model.photo_task.condition_half if steps else None
        if self.pairs and half is None:
            raise UserError(
                "only a model that was trained on pairs of files knows which half it takes",
                field="pairs",
                remedy=Advice.leave_out("pairs"),
            )
        return None if self.pairs is False else half

    def _halved(self, text: str, jobs: list[Job]) -> list[Job]:
        """The jobs of a folder or pattern, which may hold pairs side by side."""
        if self.half is None:
            return jobs
        if self.pairs is None:
            if is_url(text) or not are_pairs([job.input for job in jobs], Cache(_LOOKED_AT_MB)):
                return jobs
            taken = f"{text}: pairs side by side: the {self.half} halves are taken; "
            log.warning(Phrase(taken, Option("no_pairs"), " takes them whole"))
        return [replace(job, half=self.half) for job in jobs]

    def is_result(self, job: Job) -> bool:
        """By its name next to its photo, or by lying in the output folder, unless that is where the
        search began.
        """
        if is_url(job.input):
            return self.output is not None and Path(self.output) in job.input.parents
        if self.siblings.named_like_result(job.input, (AUTO, *task_kinds())):
            return True
        if self.output is None:
            return False
        below_the_start = job.input.parents[: len(job.relative.parts) - 1]
        return Path(self.output).resolve() in (folder.resolve() for folder in below_the_start)

    # --- where results go

    def _output(self, job: Job, photo: Photo, plan: Plan) -> Path:
        if self.output is not None and not self.into_folder():
            return Path(self.output)
        fills = self.mask is not None or self.request.canvas.extends or plan.keeps_known
        suffix, tag = self.saving.suffix_for(photo, job.input, fills), plan.tag
        output, guessed = self._name(job, suffix, tag), self.saving.guessed_suffix(job.input)
        if self.names[known_as(self._name(job, guessed))] > 1 or known_as(output) in self.taken:
            return self._name(job, suffix, tag, job.input.name)
        return output

    def _name(self, job: Job, suffix: str, tag: str = "*", stem: str | None = None) -> Path:
        folder = (
            job.input.parent if self.output is None else Path(self.output) / job.relative.parent
        )
        stem, rest = stem or job.input.stem, f".{tag}{suffix}"
        longest = longest_name(folder)
        if len(os.fsencode(stem + rest)) > longest:
            stem = shortened(stem, longest)
        return folder / (stem + rest)

    def into_folder(self) -> bool:
        assert self.output is not None
        if is_url(self.output):
            return self.several or not has_photo_suffix(self.output)
        return self.several or os.path.isdir(self.output) or self.output.endswith(("/", os.sep))

    def _check_urls(self) -> None:
        """Raise UserError for URLs that are not taken, and results that would lie next to them."""
        for text in filter(is_url, self.inputs):
            check_url(text, "input")
            if self.output is None:
                raise UserError(
                    "results do not lie next to it", place=text, remedy=Advice.give("output")
                )
        if self.output is not None and is_url(self.output):
            check_url(self.output, "output")
        for option, place in {**self.drawn, "save_mask": self.save_mask}.items():
            if place and is_url(place):
                raise UserError("takes no URL", field=option, remedy="name a file or a folder")

    def _check_output(self) -> None:
        if self.output is None:
            return
        if not self.into_folder():
            self._check_file_name(self.output)
        elif os.path.isfile(self.output) or (
            has_photo_suffix(self.output) and not os.path.isdir(self.output)
        ):
            raise UserError(
                f"'{self.output}' is one file, and there may be several photos",
                field="output",
                remedy="name a folder",
            )

    def _check_save_mask(self) -> None:
        steps = self.resolved.steps
        if self.save_mask is None:
            return
        if steps and not any(map(fills_mask, steps)):
            raise UserError(
                "none of the steps fills anything",
                field="save_mask",
                remedy=Advice.leave_out("save_mask"),
            )
        if self.several and os.path.isfile(self.save_mask):
            raise UserError(
                f"'{self.save_mask}' is one file, and there may be several photos",
                field="save_mask",
                remedy="name a folder",
            )
        if not self.several and not os.path.isdir(self.save_mask):
            output_format(self.save_mask)  # raises for a name that is no picture's

    def _check_file_name(self, name: str) -> None:
        kind, path = output_format(name), Path(name)
        if self.saving.suffix and output_format(f"x{self.saving.suffix}") != kind:
            raise UserError(
                Phrase(
                    *(f"'{self.saving.format}' is not what ", Option("output", f"'{name}'")),
                    " says",
                ),
                field="format",
                remedy="leave one of them out",
            )
        if self.saving.quality is not None and kind not in WITH_QUALITY:
            raise UserError(
                f"{path.suffix} keeps every pixel",
                field="quality",
                remedy=Advice.leave_out("quality"),
            )
        if len(os.fsencode(path.name)) > longest_name(path.parent):
            raise UserError(
                f"'{path.name[:40]}…' is longer than a file name may be",
                field="output",
                remedy="shorten it",
            )

    def _replaced(self, job: Job, output: Path) -> Stamp | None:
        """What lies under a result's name; None where nothing does. Raises UserError where it may
        not be replaced.
        """
        if known_as(output) in self.taken:
            raise name_is_taken(job, output)
        stamp = stamp_of(output)
        if output == job.input or (stamp and identity(output) == (identity(job.input) or ())):
            raise UserError(
                Phrase(Option("output"), " is the photo itself"),
                place=job.input,
                remedy="choose another name",
            )
        if self.overwrite and stamp and self.is_input(output):
            raise UserError(
                Phrase(output, " is one of the photos that were given"),
                place=job.input,
                remedy=Advice("choose another ", Option("output")),
            )
        if self.overwrite or not (stamp or os.path.lexists(output)):
            return stamp
        if self.manifest is None or not self.manifest.owns(job, output, stamp):
            raise UserError(
                Phrase(output, " exists"),
                place=job.input,
                remedy=OVERWRITE_OR_ANOTHER,
            )
        return stamp

    def is_input(self, path: Path) -> bool:
        """Whether it is one of the photos, by whatever name, and not a result of an earlier run."""
        if self._identities is None:
            known = (identity(job.input) or job.input for job in self.jobs)
            self._identities = set(known)
        if is_url(path):
            return path in self._identities
        is_result = self.siblings.named_like_result(path, (AUTO, *task_kinds()))
        return identity(path) in self._identities and not is_result

    # --- what is drawn for a photo: its mask, its colors

    def _mask(self, job: Job, photo: Photo) -> np.ndarray | None:
        if self.mask is None:
            return None
        path = Path(self.mask)
        return read_mask(
            self._drawn_in(path, job, "mask") if path.is_dir() else path, photo.size, must_mark=True
        )

    def _mask_place(self, job: Job) -> Path | None:
        """Where the mask that is filled is written; in a folder by the photo's name, as masks are
        found there.
        """
        if self.save_mask is None:
            return None
        is_folder = os.path.isdir(self.save_mask) or self.save_mask.endswith(("/", os.sep))
        if not (self.several or is_folder):
            return Path(self.save_mask)
        return Path(self.save_mask) / job.relative.parent / f"{job.input.stem}.png"

    def _keep_mask(self, job: Job, mask: np.ndarray) -> None:
        if place := self._mask_place(job):
            check_folder(place.parent)
            write_photo(place, from_array(mask))

    def _hints(self, job: Job, photo: Photo) -> Hints | None:
        if self.hints is None:
            return None
        path = Path(self.hints)
        return read_hints(self._drawn_in(path, job, "hints") if path.is_dir() else path, photo)

    def _strength(self, job: Job, photo: Photo) -> np.ndarray | None:
        if self.strength_mask is None:
            return None
        path = Path(self.strength_mask)
        path = self._drawn_in(path, job, "strength mask") if path.is_dir() else path
        return self.request.canvas.widened(read_strength(path, photo.size))

    def _drawn_in(self, folder: Path, job: Job, what: str) -> Path:
        """The mask or hints of the photo's name with any suffix, in the same sub-folder or at
        the top.
        """
        for place in (folder / job.relative.parent, folder):
            for path in sorted(place.glob(f"{glob.escape(job.input.stem)}.*")):
                if (
                    is_photo(path)
                    and path.stem == job.input.stem
                    and not path.samefile(fetched(job.input))
                ):
                    return path
        raise UserError(Phrase(f"no {what} named {job.input.stem}.* in ", folder), place=job.input)


def name_is_taken(job: Job, output: Path) -> UserError:
    """Of a photo whose result would be another's."""
    return UserError(
        Phrase(output, " was just made from another photo of that name"),
        place=job.input,
        remedy="give the folder above both",
    )


def known_as(path: Path) -> Path:
    """The path by which one file is known, however the case of its name is written."""
    return path.with_name(path.name.casefold()) if ignores_case(path.parent) else path


def _read(job: Job) -> Photo:
    copy = fetched(job.input)
    try:
        photo = read_photo(copy)
    except UserError as error:
        raise error if copy == job.input else error.moved(job.input) from error
    if job.half is not None:
        try:
            photo = photo.half(job.half)
        except UserError as error:
            raise error.at(job.input) from error
    return photo


def _log_notes(path: Path, notes: Iterable[str]) -> None:
    for note in notes:
        log.warning("%s: %s", path, note)


def _is_light(size: WidthHeight) -> bool:
    return size[0] * size[1] <= _LIGHT_PX


def _copy(source: Path, target: Path) -> None:
    try:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", place=target) from error


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
