"""Between the page or the API and `img2img.inference`: checks, limits, results and messages."""

from __future__ import annotations

import html
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

from img2img.errors import UserError, rendered
from img2img.inference.batch import FileBatch
from img2img.inference.canvas import Canvas
from img2img.inference.inspection import Inspection, check_megapixels, inspect
from img2img.inference.options import Options
from img2img.inference.output_size import WidthHeight
from img2img.inference.outputs import Result, Saving
from img2img.inference.plan import Plan
from img2img.inference.previews import pair, preview
from img2img.inference.request import Request, ResolvedRequest
from img2img.tasks import PhotoStatistics, has_answer, photo_tasks
from img2img.tasks.unpaired import Direction
from img2img_apps.job_feeds import Feed, Feeds, OnEvent, PartEvents
from img2img_apps.jobs import Jobs, Owner, Stopped, StopSignal
from img2img_apps.offered_models import SHIPPED, Models
from img2img_apps.progress_line import OnProgress, unheard
from img2img_apps.settings import MOST_PHOTOS, Settings
from img2img_apps.wording import memory_errors, on_page
from img2img_apps.workers import Workers
from img2img_apps.workspace import Workspace

MOST_EXTENSION_PX = 4096  # a side
WAYS: dict[str, Direction | None] = {
    "": None,
    "AtoB": "AtoB",
    "BtoA": "BtoA",
}  # of a model that goes both


def direction_of(way: str, model: str) -> Direction | None:
    """The direction that was chosen. Raises UserError where no model was, which alone has one."""
    direction = WAYS[way]
    if direction is not None and not model:
        raise UserError("choose a model that goes both ways, or none", field="direction")
    return direction


@dataclass(frozen=True)
class UploadInfo:
    """The inspection of an uploaded photo, with its preview."""

    path: Path
    preview: Path
    size: tuple[int, int]
    words: tuple[str, ...]
    notes: tuple[str, ...]
    statistics: PhotoStatistics
    proposed: Plan
    sees: str
    """The findings as a sentence."""
    format: str
    bits: int
    has_alpha: bool


@dataclass(frozen=True)
class RunOutcome:
    """Result files of one click, the one to download, and previews of the first."""

    results: tuple[Result, ...]
    download: Path
    pair: tuple[Path, Path]

    @property
    def succeeded(self) -> tuple[Result, ...]:
        """Results without an error."""
        return tuple(result for result in self.results if not result.error)


@dataclass(frozen=True)
class Sent:
    """What comes with a request: files drawn for the photo, by the names of the options, and how
    results are to be written.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    saving: Saving = field(default_factory=Saving)


SENT_NOTHING = Sent()
RequestOf = Callable[[UploadInfo], Request | None]  # a photo's own; None leaves it as it is


@dataclass
class Service:
    """One app's state: settings, temporary folder, models, and who is running what."""

    settings: Settings
    workspace: Workspace
    models: Models
    workers: Workers | None = None  # None: this process does all
    jobs: Jobs = field(default_factory=Jobs)
    feeds: Feeds = field(default_factory=Feeds)
    _inspected: dict[Path, UploadInfo] = field(default_factory=dict)
    _last: tuple[Path, Inspection] | None = (
        None  # the photo inspected last, until work on it begins
    )

    # --- inspecting ---

    def inspect(self, path: Path) -> UploadInfo:
        """Open an upload for the first time. Raises UserError."""
        known = self._inspected.get(path)
        if known and known.preview.exists() and path.exists():
            return known
        with memory_errors(path):
            self.check_upload(path)
            found = inspect(path, self.settings.max_megapixels)
            shown = preview(found.photo, self.workspace.new_folder() / "before.jpg")
        photo = found.photo
        info = UploadInfo(
            path=path,
            preview=shown,
            size=photo.size,
            words=found.findings,
            notes=photo.notes,
            statistics=found.statistics,
            proposed=found.proposed,
            sees=found.sentence,
            format=photo.format,
            bits=8 * photo.rgb.dtype.itemsize,
            has_alpha=photo.alpha is not None,
        )
        self._inspected[path], self._last = info, None if self.workers else (path, found)
        for old in [p for p in self._inspected if not p.exists()]:
            self._inspected.pop(old, None)
        return info

    def check_upload(self, path: Path) -> None:
        """Only files of the own temporary folder, of a name and a size that are allowed. Raises
        UserError.
        """
        if not self.workspace.holds(path) or not path.is_file():
            raise UserError("this file is not there any more", remedy="upload it again")
        if path.suffix.lower() in (".svg", ".svgz"):
            raise UserError(
                "is a drawing (SVG), it has no pixels", place=path, remedy="save it as PNG first"
            )
        check_megapixels(path, self.settings.max_megapixels)

    def _expected(self, info: UploadInfo, resolved: ResolvedRequest) -> Plan:
        """What will be done, as far as it is known before any work. Raises UserError where that
        makes too much: the limit holds for what is made, too, by canvas and enlargement.
        """
        extend, limit = resolved.request.canvas.extend, self.settings.max_megapixels
        if max(extend) > MOST_EXTENSION_PX:
            raise UserError(
                f"at most {MOST_EXTENSION_PX} px a side, and {limit:g} megapixels in all",
                field="extend",
            )
        canvas = info.size[0] + sum(extend[::2]), info.size[1] + sum(extend[1::2])
        expected = resolved.expected(canvas) or info.proposed
        size = resolved.request.output_size.of(canvas) or expected.size_out(canvas)
        megapixels = size[0] * size[1] / 1e6
        if megapixels > limit:
            larger = size > canvas
            grown = [f"after ×{size[0] / canvas[0]:.3g}"] * larger + ["when extended"] * any(extend)
            advice = (
                "use a smaller enlargement, or crop it first" if larger else "extend it by less"
            )
            raise UserError(
                f"would be {megapixels:.1f} megapixels {' and '.join(grown)}, "
                f"more than the {limit:g} allowed here",
                place=info.path,
                remedy=advice,
            )
        return expected

    def outlook(
        self, info: UploadInfo, request: Request, *, masked: bool = False, hinted: bool = False
    ) -> tuple[Plan, WidthHeight]:
        """What a request would do to a photo, and the (width, height) of the result. Raises
        UserError.
        """
        resolved = request.resolve(with_mask=masked, with_hints=hinted)
        self._expected(info, resolved)
        left, top, right, bottom = request.canvas.extend
        size = info.size[0] + left + right, info.size[1] + top + bottom
        fills = masked or request.canvas.extends
        seen = replace(info.statistics, width=size[0], height=size[1], has_mask=fills)
        plan = resolved.plan_for(seen)
        return plan, plan.size_out(size)

    def request(
        self,
        kind: str,
        model: str | None,
        options: Options,
        canvas: Canvas | None = None,
        user: str | None = None,
    ) -> Request:
        """One task, by the model of that name or the one for it. Raises UserError for a model that
        is not offered.
        """
        path = self.models.chosen(model or SHIPPED, kind, user)
        tasks = () if path else (kind,)
        return Request(tasks, model=path, options=options, canvas=canvas or Canvas())

    # --- doing ---

    def run(
        self,
        uploads: Sequence[Path],
        request: Request | RequestOf,
        sent: Sent = SENT_NOTHING,
        *,
        user: str = "",
        tab: str = "",
        on_progress: OnProgress = unheard,
        feed: Feed | None = None,
    ) -> RunOutcome:
        """What `img2img infer` does to each upload, by one request or each by its own, with what
        was sent along. Raises UserError and Stopped.
        """
        if not uploads:
            raise UserError("Drop a photo first.")
        if len(uploads) > MOST_PHOTOS:
            raise UserError(f"{len(uploads)} photos at once", remedy=f"at most {MOST_PHOTOS}")
        folder = self.workspace.new_folder()
        with self.jobs.running(Owner(user, tab)) as stop:
            results = [
                self._process(
                    path,
                    request,
                    sent,
                    folder / str(n),
                    TileProgress(n, len(uploads), stop, feed.report if feed else on_progress),
                    feed is not None,
                )
                for n, path in enumerate(uploads)
            ]
            done = [result for result in results if not result.error]
            if not done:
                raise UserError(results[0].error or "nothing was made")
            first = done[0]
            extend = request.canvas.extend if isinstance(request, Request) else (0, 0, 0, 0)
            shown = pair(self.inspect(first.input).preview, _output(first), folder, extend)
            download = _output(first)
            if len(uploads) > 1:
                download = zipped(done, folder / "img2img.zip")
            return RunOutcome(tuple(results), download, shown)

    def _process(
        self,
        path: Path,
        wanted: Request | RequestOf,
        sent: Sent,
        folder: Path,
        pieces: TileProgress,
        tells: bool,
    ) -> Result:
        try:
            with memory_errors(path):
                info = self.inspect(path)
                request = wanted if isinstance(wanted, Request) else wanted(info)
                if request is None:
                    return _untouched(info, folder)
                folder.mkdir(parents=True)
                number = pieces.number, pieces.photos
                work = PhotoWork(path, request, folder, sent, info.statistics, number, tells)
                pieces.expect(path, self._expected(info, work.batch().resolved), info.size)
                if self.workers:
                    return self.workers.run(work, pieces.stop, pieces.report)
                # The photo as `inspect` has read it, unless another was inspected since.
                last, self._last = self._last, None
                known = last[1] if last and last[0] == path else None
                return work.run(pieces.stop, pieces.report, known)
        except UserError as error:
            return Result(path, error=error.phrase)

    def stop(self, user: str, tab: str = "") -> None:
        """End what a user is running on a tab, after the current tile."""
        self.jobs.stop(Owner(user, tab))


@dataclass(frozen=True)
class PhotoWork:
    """One photo and all that is wanted of it, to be done by this process or a worker."""

    place: Path
    request: Request
    folder: Path  # where the result goes
    sent: Sent
    seen: PhotoStatistics
    number: tuple[int, int]  # of a click's photos, and how many those are
    tells: bool = False  # of the parts of its picture that are done: `report` takes events, too

    def batch(self) -> FileBatch:
        """What `img2img infer` makes of it. Raises UserError."""
        files = {name: str(file) for name, file in self.sent.files.items()}
        return FileBatch(
            *([str(self.place)], self.request, str(self.folder), files.get("mask")),
            hints=files.get("hints"),
            saving=self.sent.saving,
            strength_mask=files.get("strength_mask"),
        )

    def run(self, stop: StopSignal, report: OnProgress, known: Inspection | None = None) -> Result:
        """The result; `known` where the photo was read already. Raises UserError and Stopped."""
        photo = known.photo if known else None
        parts = PartEvents(cast(OnEvent, report)) if self.tells else None
        with memory_errors(self.place):
            batch, pieces = self.batch(), TileProgress(*self.number, stop, report, parts)
            on_part = parts.part if parts else None
            return batch.write(
                *(batch.jobs[0], photo, pieces, pieces.planned, self.seen), on_part=on_part
            )


@dataclass
class TileProgress:
    """Called after every tile: reports, and ends the work when it is to stop."""

    number: int
    photos: int
    stop: StopSignal
    report: OnProgress
    parts: PartEvents | None = None
    totals: tuple[int | None, ...] = ()
    verbs: tuple[str, ...] = ()
    counted: Callable[[], tuple[int | None, ...]] = tuple

    def expect(self, path: Path, expected: Plan, size: tuple[int, int]) -> None:
        """Work out how many tiles each step has, as far as it can be known beforehand."""
        if self.stop.is_set():
            raise Stopped
        self._count(expected, size)
        self._say(0, 0)

    def planned(self, _: Path, chosen: Plan, size: tuple[int, int]) -> None:
        """The plan that is carried out; its models may be others than those expected by name."""
        self._count(chosen, size)
        if self.parts:
            self.parts.began(chosen, size)

    def _count(self, chosen: Plan, size: WidthHeight) -> None:
        self.counted = partial(chosen.tile_counts, size)
        self.totals = self.counted()
        self.verbs = tuple(step.verb for step in chosen.steps)

    def __call__(self, step: int, done: int) -> None:
        if self.stop.is_set():
            raise Stopped
        if not done:  # work that is no tile of the picture, such as on its alpha
            return
        if step < len(self.totals) and self.totals[step] is None:
            self.totals = self.counted()  # the first tile of a step may tell how many there are
        self._say(step, done)

    def _say(self, step: int, done: int) -> None:
        """Tiles are counted over all steps of the photo; where one cannot say how many it has, none
        are.
        """
        if step >= len(self.totals):
            return
        photo = f"photo {self.number + 1} of {self.photos}: " if self.photos > 1 else ""
        known = [total for total in self.totals if total is not None]
        countable = self.totals[step] is not None
        before = sum(total or 0 for total in self.totals[:step])
        self.report(before + done, sum(known) if countable else None, photo + self.verbs[step])


def zipped(results: Sequence[Result], path: Path) -> Path:
    """Results in a zip."""
    return zipped_files([_output(result) for result in results], path)


def zipped_files(files: Sequence[Path], path: Path) -> Path:
    """Files in a zip, stored as they are; a name that is taken gets a number."""
    taken: set[str] = set()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for output in files:
            name = output.name
            for number in range(2, len(files) + 2):
                if name not in taken:
                    break
                name = f"{output.stem}-{number}{output.suffix}"
            taken.add(name)
            archive.write(output, name)
    return path


def escaped(text: str) -> str:
    """Text as HTML, in the page's words."""
    return html.escape(rendered(text, on_page), quote=True)


def automatic_kinds() -> list[str]:
    """Tasks that propose themselves for a photo, in the order of an automatic plan."""
    return [
        kind
        for kind, task in photo_tasks().items()
        if has_answer("applies", kind) and not task.fills
    ]


def _untouched(info: UploadInfo, folder: Path) -> Result:
    """The photo copied, as every step that it needs was unticked."""
    folder.mkdir()
    output = folder / info.path.name
    shutil.copyfile(info.path, output)
    return Result(
        info.path, output, size_in=info.size, size_out=info.size, reason="left as it is, as ticked"
    )


def _output(result: Result) -> Path:
    assert result.output is not None
    return result.output
