"""Many files through one request: which photos are meant, what the results are called, what is
reported of each.

Names: `photo.<task>.<ext>` beside the input, or in the same sub-folder under an output folder.
`<task>` is the one task that was done, `auto` for a chain or a copy. JPEG stays JPEG and TIFF stays
TIFF (`.jpeg` and `.tiff` keep their spelling), the rest becomes PNG, and so does a lossy photo
whose known pixels are to be kept exactly, unless a format is asked for. Photos that would share a
name keep their old suffix in it: `photo.jpg.denoise.jpg`. A name that would be too long is cut, and
ends in a hash.
"""

from __future__ import annotations

import glob
import logging
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from img2img.devices import Precision, pick_device, precision_for
from img2img.errors import Advice, Option, Phrase, UserError, did_you_mean
from img2img.files import atomic_path, check_folder, longest_name, shortened
from img2img.inference.canvas import Canvas
from img2img.inference.ensemble import can_ensemble
from img2img.inference.inputs import Job, Siblings, found, has_photo_suffix, is_photo, is_plain_file
from img2img.inference.pipeline import Options
from img2img.inference.plan import (
    OnTile,
    Plan,
    PlanStep,
    Size,
    asked_steps,
    check_hints,
    plan,
    run_plan,
    task_of,
)
from img2img.pixels.file_kind import counted
from img2img.pixels.hints import read_hints
from img2img.pixels.images import (
    Photo,
    check_fits,
    lost_in,
    output_format,
    read_mask,
    read_photo,
    write_photo,
)
from img2img.tasks import MaskedTask, task_class, task_kinds
from img2img.zoo.catalogue import CATALOGUE

log = logging.getLogger("img2img")

OnPlan = Callable[
    [Path, Plan, Size], None
]  # a photo, what will be done to it, and its width and height by then
AUTO = "auto"
FORMATS = ("jpg", "png", "tif", "webp", "avif", "jp2", "bmp", "tga", "qoi")
WITH_QUALITY = frozenset(("JPEG", "WEBP", "AVIF"))
QUALITY = 95
_SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}
_PNG = (".png",)


@dataclass(frozen=True)
class Request:
    """What a person wants of photos; the flags of `img2img infer` and the app's widgets fill it in."""

    tasks: tuple[str, ...] = ()  # none: the automatic plan
    model: str | None = None
    scale: int | None = None
    detail: float | None = None  # 0..1: between a model and its crisper half
    options: Options = field(default_factory=Options)
    canvas: Canvas = field(default_factory=Canvas)
    device: str = AUTO
    precision: Precision = "auto"

    def check(self) -> None:
        """Raise UserError for whatever would fail on every photo."""
        precision_for(pick_device(self.device), self.precision)
        asked = asked_steps(self.tasks, self.scale, self.model, self.detail)
        if asked is not None and self._ensembles_nothing(asked):
            raise UserError(
                "no step's model was trained on turned photos",
                field="self_ensemble",
                remedy="leave it out",
            )
        if self.options.direction is not None and self.model is None:
            raise UserError(
                Phrase("name the model that goes both ways with ", Option("model")),
                field="direction",
                remedy=Advice.leave_out("direction"),
            )
        if self.model is not None:
            self.options.check_direction(self.model, CATALOGUE.entry(self.model).task)

    def apply(
        self, photo: Photo, mask: np.ndarray | None = None, on_tile: OnTile | None = None
    ) -> tuple[Plan, Photo]:
        """The plan for a photo and what came of it; `mask` is boolean (H,W), True = to be filled."""
        photo, mask = self.canvas.prepared(photo, mask)
        chosen = self.plan(photo, mask)
        return chosen, self.run(chosen, photo, mask, on_tile)

    def plan(self, photo: Photo, mask: np.ndarray | None) -> Plan:
        """What would be done to a prepared photo."""
        chosen = plan(photo, mask, self.tasks, self.scale, self.model, self.detail)
        if self.options.hints is not None:
            check_hints(chosen.steps)
        if chosen.steps and self._ensembles_nothing(chosen.steps):
            left_out = Phrase(
                Option("self_ensemble"),
                " left out: no step's model was trained on turned photos",
            )
            return replace(chosen, skipped=(*chosen.skipped, left_out))
        return chosen

    def _ensembles_nothing(self, steps: Sequence[PlanStep]) -> bool:
        recipes = (CATALOGUE.entry(step.model).recipe for step in steps)
        return self.options.self_ensemble and not any(can_ensemble(recipe) for recipe in recipes)

    def run(
        self, chosen: Plan, photo: Photo, mask: np.ndarray | None, on_tile: OnTile | None = None
    ) -> Photo:
        """A plan carried out on a prepared photo."""
        return run_plan(
            chosen,
            photo,
            mask,
            self.options,
            feather_px=self.canvas.feather_px,
            device=self.device,
            precision=self.precision,
            on_tile=on_tile,
        )


def parse_tasks(text: str) -> tuple[str, ...]:
    """`auto`, or task names separated by commas; `auto` is the empty tuple. Raises UserError for
    unknown names.
    """
    names = tuple(part.strip() for part in text.split(","))
    if names == (AUTO,):
        return ()
    for name in names:
        if name == AUTO:
            raise UserError(
                f"'{text}': auto stands alone, it chooses the tasks itself", field="task"
            )
        if name not in task_kinds():
            task_class(name, trusted=False)  # raises with what was probably meant
    return names


@dataclass(frozen=True)
class Saving:
    """How results are written: in the photo's own format unless one is named, lossy ones at quality
    95.
    """

    format: str | None = None  # a suffix: jpg, png, tif, webp, avif, …
    quality: int | None = None  # 1..100

    def __post_init__(self) -> None:
        if self.format is not None:
            try:
                output_format("x" if "." in self.format.removeprefix(".") else f"x{self.suffix}")
            except UserError:
                raise UserError(
                    f"unknown '{self.format}'{did_you_mean(self.format, FORMATS)}",
                    field="format",
                ) from None
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UserError(f"{self.quality} is not between 1 and 100", field="quality")
        if (
            self.quality is not None
            and self.suffix
            and output_format(f"x{self.suffix}") not in WITH_QUALITY
        ):
            raise UserError(
                f"{self.format} keeps every pixel",
                field="quality",
                remedy=Advice.leave_out("quality") | Advice.set("format", "jpg"),
            )

    @property
    def suffix(self) -> str | None:
        """The suffix that was asked for, with its dot."""
        return None if self.format is None else f".{self.format.lower().removeprefix('.')}"


@dataclass(frozen=True)
class Prepared:
    """A photo, and everything that is known of the work on it before it begins."""

    job: Job
    photo: Photo
    canvas: Photo
    mask: np.ndarray | None
    request: Request
    plan: Plan
    output: Path

    @property
    def size_out(self) -> Size:
        """(width, height) of the result."""
        scale = math.prod(task_of(step).scale for step in self.plan.steps)
        return self.canvas.size[0] * scale, self.canvas.size[1] * scale


@dataclass(frozen=True)
class Result:
    """What became of one input; with `error`, there is no output."""

    input: Path
    output: Path | None = None
    task: str | None = None
    model: str | None = None
    size_in: tuple[int, int] | None = None
    size_out: tuple[int, int] | None = None
    seconds: float = 0.0
    reason: str | None = None
    error: str | None = None
    mendable: bool = True  # the person can mend the error; otherwise it is ours
    steps: tuple[PlanStep, ...] | None = None  # of a plan that was only asked about

    def fields(self) -> dict[str, object]:
        """Plain data for `--json`; `error` is there only where there is one."""
        names = ("task", "model", "size_in", "size_out", "seconds", "reason")
        known: dict[str, object] = {
            "input": str(self.input),
            "output": None if self.output is None else str(self.output),
        }
        known |= {name: getattr(self, name) for name in names}
        if self.steps is not None:
            known |= {"steps": [asdict(step) for step in self.steps]}
        return known if self.error is None else known | {"error": self.error}


def refused_fields(named: str, error: str) -> dict[str, object]:
    """The fields of an input, as it was named, when the whole request was refused before any photo
    was opened.
    """
    return Result(Path(named), error=error).fields() | {"input": named}


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
    taken: set[Path] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.request.check()
        self.siblings = Siblings()
        self.several = len(self.inputs) != 1 or not is_plain_file(self.inputs[0])
        self.jobs = [job for text in self.inputs for job in self._jobs(text)]
        self._check_output()
        for field_, place in (("mask", self.mask), ("hints", self.hints)):
            if place and not os.path.exists(place):
                raise UserError(Phrase("'", Path(place), "': no such file or folder"), field=field_)
        self._check_request()
        self.names = Counter(self._name(job, self._guessed_suffix(job.input)) for job in self.jobs)

    def run(self, on_tile: OnTile | None = None, on_plan: OnPlan | None = None) -> Iterator[Result]:
        """One result an input, in order; bad files are reported and passed over.

        `on_plan` is called for a photo before the work on it begins, `on_tile` as `run_plan` says.
        """
        return self._each(lambda job, started: self._one(job, started, on_tile, on_plan))

    def plans(self) -> Iterator[Result]:
        """What `run` would do to each input, and why; nothing is done and nothing is written."""
        return self._each(self._planned)

    def _each(self, work: Callable[[Job, float], Result]) -> Iterator[Result]:
        for job in self.jobs:
            started = time.monotonic()
            try:
                yield work(job, started)
            except UserError as error:
                yield Result(job.input, seconds=_since(started), error=error.phrase)
            except Exception as error:
                if not self.several:
                    raise
                log.debug("%s", job.input, exc_info=True)
                yield Result(
                    job.input,
                    seconds=_since(started),
                    error=f"{type(error).__name__}: {error}",
                    mendable=False,
                )

    def _one(
        self, job: Job, started: float, on_tile: OnTile | None, on_plan: OnPlan | None
    ) -> Result:
        ready = self._prepared(job)
        check_folder(ready.output.parent)
        if on_plan:
            on_plan(job.input, ready.plan, ready.canvas.size)
        made = ready.request.run(ready.plan, ready.canvas, ready.mask, on_tile)
        if self._is_copy(ready):
            _copy(job.input, ready.output)
        else:
            for note in lost_in(ready.output, made):
                log.warning("%s: %s", ready.output, note)
            write_photo(ready.output, made, quality=self.saving.quality or QUALITY)
        return self._result(ready, started, made.size)

    def _planned(self, job: Job, started: float) -> Result:
        ready = self._prepared(job)
        return replace(self._result(ready, started, ready.size_out), steps=ready.plan.steps)

    def _prepared(self, job: Job) -> Prepared:
        """Everything that can fail before the work does so here."""
        photo = read_photo(job.input)
        for note in photo.notes:
            log.warning("%s: %s", job.input, note)
        canvas, mask = self.request.canvas.prepared(photo, self._mask(job, photo))
        request = self._hinted(job, photo)
        chosen = request.plan(canvas, mask)
        ready = Prepared(
            job, photo, canvas, mask, request, chosen, self._output(job, photo, chosen.tag)
        )
        self._check_free(job, ready.output)
        if not self._is_copy(ready):
            check_fits(ready.output, ready.size_out)
        return ready

    def _result(self, ready: Prepared, started: float, size: Size) -> Result:
        self.taken.add(ready.output)
        done = ready.plan.tasks or None, ready.plan.models or None
        sizes = ready.photo.size, size
        said = (
            ready.plan.sentence
            if self._is_copy(ready)
            else ready.plan.told("written anew with nothing changed")
        )
        return Result(ready.job.input, ready.output, *done, *sizes, _since(started), said)

    def _is_copy(self, ready: Prepared) -> bool:
        """Nothing is to be done and nothing else was asked for: the file itself is the result."""
        same = output_format(ready.output) == ready.photo.format.replace("MPO", "JPEG")
        return not ready.plan.steps and same and self.saving.quality is None

    # --- which photos ------------------------------------------------------------------------------------------------

    def _jobs(self, text: str) -> list[Job]:
        """What an input stands for; in folders and patterns, results of earlier runs are passed
        over.
        """
        jobs, others = found(text)
        if is_plain_file(text):
            return jobs
        fresh = [job for job in jobs if not self._is_result(job)]
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
        return fresh

    def _is_result(self, job: Job) -> bool:
        """By its name beside its photo, or by lying in the output folder, unless that is where the
        search began.
        """
        if self.siblings.named_like_result(job.input, (AUTO, *task_kinds())):
            return True
        if self.output is None:
            return False
        below_the_start = job.input.parents[: len(job.relative.parts) - 1]
        return Path(self.output).resolve() in (folder.resolve() for folder in below_the_start)

    # --- where results go --------------------------------------------------------------------------------------------

    def _output(self, job: Job, photo: Photo, tag: str) -> Path:
        if self.output is not None and not self._into_folder():
            return Path(self.output)
        fills = self.mask is not None or self.request.canvas.extends
        suffix = self.saving.suffix or _suffix(photo, job.input, fills)
        output = self._name(job, suffix, tag)
        if self.names[self._name(job, self._guessed_suffix(job.input))] > 1 or output in self.taken:
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

    def _guessed_suffix(self, path: Path) -> str:
        return self.saving.suffix or _guessed_suffix(path)

    def _into_folder(self) -> bool:
        assert self.output is not None
        return self.several or os.path.isdir(self.output) or self.output.endswith("/")

    def _check_request(self) -> None:
        """What would fail on every photo is one error, before any photo is opened."""
        canvas = self.request.canvas
        fills = self.mask is not None or canvas.extends
        if (canvas.grow_px or canvas.feather_px) and not fills:
            raise UserError(
                "need something to fill",
                field=("mask_grow", "feather"),
                remedy=Advice.give("mask", "extend"),
            )
        if canvas.mask_invert and self.mask is None:
            raise UserError(
                "there is no mask to turn round", field="mask_invert", remedy=Advice.give("mask")
            )
        if self.hints and canvas.extends:
            raise UserError(
                Phrase(Option("extend"), " changes the photo's size"),
                field="hints",
                remedy="do one after the other",
            )
        asked = asked_steps(self.request.tasks, self.request.scale, self.request.model)
        if self.hints and asked is not None:
            check_hints(asked)
        for step in asked or ():
            if issubclass(task_class(step.task, trusted=False), MaskedTask) and not fills:
                raise UserError(
                    Phrase(Option("task", step.task), " fills masks"),
                    remedy=Advice(
                        *("give ", Option("mask"), " (white = fill) or ", Option("extend"))
                    ),
                )

    def _check_output(self) -> None:
        if self.output is None:
            return
        if not self._into_folder():
            self._check_file_name(self.output)
        elif os.path.isfile(self.output) or (
            has_photo_suffix(self.output) and not os.path.isdir(self.output)
        ):
            raise UserError(
                f"'{self.output}' is one file, and there may be several photos",
                field="output",
                remedy="name a folder",
            )

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

    def _check_free(self, job: Job, output: Path) -> None:
        if output in self.taken:
            raise UserError(
                Phrase(output, " was just made from another photo of that name"),
                place=job.input,
                remedy="give the folder above both",
            )
        if output.exists() and output.samefile(job.input):
            raise UserError(
                Phrase(Option("output"), " is the photo itself"),
                place=job.input,
                remedy="choose another name",
            )
        if output.exists() and not self.overwrite:
            raise UserError(
                Phrase(output, " exists"),
                place=job.input,
                remedy=Advice(
                    *("add ", Option("overwrite"), ", or choose another ", Option("output"))
                ),
            )

    # --- what is drawn for a photo: its mask, its colors -------------------------------------------------------------

    def _mask(self, job: Job, photo: Photo) -> np.ndarray | None:
        if self.mask is None:
            return None
        path = Path(self.mask)
        return read_mask(
            self._drawn_in(path, job, "mask") if path.is_dir() else path, photo.size, must_mark=True
        )

    def _hinted(self, job: Job, photo: Photo) -> Request:
        """The request with the photo's own colors in it."""
        if self.hints is None:
            return self.request
        path = Path(self.hints)
        hints = read_hints(self._drawn_in(path, job, "hints") if path.is_dir() else path, photo)
        return replace(self.request, options=replace(self.request.options, hints=hints))

    def _drawn_in(self, folder: Path, job: Job, what: str) -> Path:
        """The mask or hints of the photo's name, whatever the suffix, in the same sub-folder or at
        the top.
        """
        for place in (folder / job.relative.parent, folder):
            for path in sorted(place.glob(f"{glob.escape(job.input.stem)}.*")):
                if is_photo(path) and path.stem == job.input.stem and not path.samefile(job.input):
                    return path
        raise UserError(Phrase(f"no {what} named {job.input.stem}.* in ", folder), place=job.input)


# --- suffixes --------------------------------------------------------------------------------------------------------


def _suffix(photo: Photo, path: Path, fills: bool) -> str:
    """The suffix for a result, by the photo's content; one that fills must not go through a lossy
    codec again.
    """
    fitting = _PNG if fills and photo.lossy else _SUFFIXES.get(photo.format, _PNG)
    return path.suffix.lower() if path.suffix.lower() in fitting else fitting[0]


def _guessed_suffix(path: Path) -> str:
    """The same before the file is opened, to see which names would be shared."""
    fitting = next((f for f in _SUFFIXES.values() if path.suffix.lower() in f), _PNG)
    return path.suffix.lower() if path.suffix.lower() in fitting else fitting[0]


def _copy(source: Path, target: Path) -> None:
    try:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", place=target) from error


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
