"""What the photo tabs share: photos on the left, the picture before and after on the right, and the
events between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from img2img.errors import UserError
from img2img.inference.inputs import file_chooser_types
from img2img.inference.request import Request
from img2img_apps.examples import Example
from img2img_apps.jobs import Finished
from img2img_apps.labels import LABELS
from img2img_apps.offered_models import SHIPPED, first_choice, verb
from img2img_apps.progress_line import Progress
from img2img_apps.service import (
    SENT_NOTHING,
    RequestOf,
    RunOutcome,
    Sent,
    Service,
    UploadInfo,
    escaped,
)
from img2img_apps.switch import PRIVATE, QUIET, WORK, Switch, bad
from img2img_apps.wording import plan_on_page

__all__ = ["INSPECT", "PRIVATE", "QUIET", "WORK", "Panel", "bad"]

INSPECT: dict[str, Any] = {"concurrency_id": "look", "concurrency_limit": 2}
StageUpdates = tuple[Any, Any, str, Any]  # preview, slider, status, download
MakeRequest = Callable[..., Request | RequestOf]
EMPTY = '<p class="quiet">Drop a photo, or try an example.</p>'
DOWNLOAD = "Download full size"


@dataclass
class Panel:
    """The parts every photo tab has. `controls` are the values `make_request` is called with."""

    service: Service
    name: str
    photos: gr.File = field(init=False)
    preview: gr.Image = field(init=False)
    slider: gr.ImageSlider = field(init=False)
    status: gr.HTML = field(init=False)
    download: gr.DownloadButton = field(init=False)
    run: gr.Button = field(init=False)
    switch: Switch = field(init=False)
    also: dict[Any, Callable[[list[UploadInfo]], Any]] = field(
        default_factory=dict
    )  # controls that follow the photos
    plans: Callable[[list[UploadInfo]], list[str]] | None = (
        None  # what is done to each of several, where that differs
    )

    def __post_init__(self) -> None:
        self.switch = Switch(self.service, self.name)

    def drop_zone(self, several: bool = True) -> None:
        """Where photos come in: as files, which nobody has opened yet."""
        self.photos = gr.File(
            label="Photos" if several else "Photo",
            file_count="multiple" if several else "single",
            file_types=file_chooser_types(),
            elem_classes="photos",
            elem_id=f"{self.name}-photos",
            height=148,
        )

    def buttons(self, label: str) -> None:
        """Run and Stop."""
        with gr.Row():
            self.run = gr.Button(label, variant="primary", elem_id=f"{self.name}-run", scale=3)
            stop = gr.Button(
                "Stop", elem_id=f"{self.name}-stop", scale=1, min_width=90, interactive=False
            )
        self.switch.starts.append(self.run)
        self.switch.stops.append(stop)

    def stage(self) -> None:
        """Before, then before and after; what is going on; the file to keep."""
        with gr.Column(elem_classes="stage"):
            self.preview = gr.Image(
                label="Your photo",
                interactive=False,
                type="filepath",
                height=480,
                elem_classes="canvas",
                elem_id=f"{self.name}-preview",
                buttons=["fullscreen"],
            )
            self.slider = gr.ImageSlider(
                label="Before and after: move the handle",
                interactive=False,
                type="filepath",
                height=480,
                max_height=480,
                visible=False,
                elem_classes="canvas",
                elem_id=f"{self.name}-slider",
                buttons=["fullscreen"],
            )
            self.status = self.switch.status = status(EMPTY, f"{self.name}-status")
            self.download = gr.DownloadButton(
                DOWNLOAD, interactive=False, elem_id=f"{self.name}-download", variant="primary"
            )

    @property
    def stage_outputs(self) -> list[Any]:
        """Components that change with the picture: preview, slider, status, download."""
        return [self.preview, self.slider, self.status, self.download]

    @property
    def outputs(self) -> list[Any]:
        """Outputs of work: the picture, and the buttons that start and stop it."""
        return [*self.stage_outputs, *self.switch.outputs]

    # --- what happens ---

    def wire(
        self,
        make_request: MakeRequest,
        controls: Sequence[Any],
        examples: Sequence[tuple[Any, Example]],
        running: Sequence[Any] = (),
    ) -> None:
        """Upload shows, run runs, an example does both, Stop stops, this and what else is `running`
        of the tab.
        """

        # Gradio finds the request by its annotation, before *values alone.
        def work(photos: Any, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
            yield from self.outcome(
                photos, lambda: make_request(request.session_hash, *values), request
            )

        self.wire_work(work, controls, examples, running)

    def wire_work(
        self,
        work: Callable[..., Iterator[tuple[Any, ...]]],
        controls: Sequence[Any],
        examples: Sequence[tuple[Any, Example]],
        running: Sequence[Any] = (),
    ) -> None:
        """The same for a tab that runs `outcome` itself."""
        inputs = [self.photos, *controls]
        running = [*running, self.switch.runs(self.run.click, work, inputs, self.outputs)]
        outputs = [*self.outputs, *self.also]
        for button, example in examples:
            photos = (
                [str(example.path)] if self.photos.file_count == "multiple" else str(example.path)
            )
            loaded = button.click(
                self._load(photos), None, [self.photos, *outputs], **INSPECT, **QUIET
            )
            running.append(self.switch.runs(loaded.then, work, inputs, self.outputs))
        # A result of the photos that were there before must not come in over the new ones.
        looks = [self.photos.upload, self.photos.clear, self.photos.delete]
        # Photos that are cleared while they are looked at are gone all the same: the last event is
        # never dropped.
        gr.on(
            looks,
            self.photos_changed,
            [self.photos],
            outputs,
            trigger_mode="always_last",
            cancels=running,
            **INSPECT,
            **QUIET,
        )
        self.switch.wire_stops(running)

    def _load(self, photos: list[str] | str) -> Callable[..., tuple[Any, ...]]:
        def load(request: gr.Request) -> tuple[Any, ...]:
            *_, looked = self.photos_changed(photos, request)
            return (photos, *looked)

        return load

    def photos_changed(
        self, photos: list[str] | str | None, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Updates for new photos, all of them inspected where each has its own plan; the job of
        those before has ended.
        """
        self.switch.end(request)
        paths = paths_of(photos)
        if self.plans is None or len(paths) < 2:
            shown, info = self.inspect(paths)
            yield (*shown, *self.switch.idle(), *(control(info) for control in self.also.values()))
            return
        shown, untouched = empty_stage(), [gr.skip() for _ in self.also]
        for number in range(1, len(paths) + 1):
            line = f'<p class="quiet">Looking at photo {number} of {len(paths)} …</p>'
            yield (*shown[:2], line, shown[3], *self.switch.idle(), *untouched)
            upload_info(self.service, paths[number - 1])
        shown, info = self._inspect_all(paths)
        yield (*shown, *self.switch.idle(), *(control(info) for control in self.also.values()))

    def inspect(self, paths: Sequence[Path]) -> tuple[StageUpdates, list[UploadInfo]]:
        """The first photo on the stage, and its inspection."""
        if not paths:
            return empty_stage(), []
        info = upload_info(self.service, paths[0])
        if isinstance(info, str):
            blank = empty_stage()
            return (*blank[:2], bad(info), blank[3]), []
        return stage_of_photo(info, len(paths)), [info]

    def _inspect_all(self, paths: Sequence[Path]) -> tuple[StageUpdates, list[UploadInfo]]:
        """The first good photo on the stage, and a line for each."""
        assert self.plans is not None
        found = [upload_info(self.service, path) for path in paths]
        good = [info for info in found if isinstance(info, UploadInfo)]
        shown = stage_of_photo(good[0], len(paths)) if good else empty_stage()
        return (*shown[:2], self.planned(paths, self.plans(good)), shown[3]), good

    def planned(self, paths: Sequence[Path], plans: Sequence[str]) -> str:
        """A line a photo: its name and what will be done, or what is wrong with it. `plans` are the
        good ones'.
        """
        words, lines = iter(plans), []
        for path in paths:
            info = upload_info(self.service, path)
            if isinstance(info, str):
                lines.append(f"<li>{bad(info)}</li>")
            else:
                lines.append(f"<li><b>{escaped(path.name)}</b>: {escaped(next(words))}</li>")
        items = "".join(lines)
        return f'<p>{len(paths)} photos, each by its own plan:</p><ol class="plans">{items}</ol>'

    def outcome(
        self,
        photos: Any,
        wanted: Callable[[], Request | RequestOf],
        request: gr.Request,
        mask: Path | None = None,
        done: str = "",
    ) -> Iterator[tuple[Any, ...]]:
        """Run, and say in the page how it goes and how it went; `done` in the tab's own words."""
        paths, user = paths_of(photos), f"{request.session_hash}"
        sent = Sent({"mask": mask}) if mask else SENT_NOTHING
        steps = self.switch.watch(
            lambda report: self.service.run(
                paths, wanted(), sent, user=user, tab=self.name, on_progress=report
            ),
            request,
            Progress(len(paths)),
        )
        skip = gr.skip()
        for step in steps:
            if isinstance(step, str):
                yield (skip, skip, step, skip, *self.switch.unchanged())
            elif isinstance(step, Finished):
                yield (*stage_of_result(step.value, done), *self.switch.idle())
            else:
                yield (skip, skip, step.message, skip, *self.switch.idle())


def upload_info(service: Service, path: Path) -> UploadInfo | str:
    """A photo's inspection, or what is wrong with it."""
    try:
        return service.inspect(path)
    except UserError as error:
        return error.phrase


def paths_of(photos: list[str] | str | None) -> list[Path]:
    """What a file component gives, one or several."""
    return [Path(p) for p in ([photos] if isinstance(photos, str) else photos or [])]


def status(value: str, elem_id: str) -> gr.HTML:
    """A line that screen readers speak when it changes: the region stays, what is in it comes and
    goes.
    """
    return gr.HTML(
        value,
        elem_id=elem_id,
        elem_classes="status",
        container=False,
        padding=False,
        min_width=280,
        js_on_load="element.setAttribute('role', 'status'); "
        "element.setAttribute('aria-live', 'polite');",
    )


def empty_stage() -> StageUpdates:
    """An empty stage."""
    return (
        gr.update(value=None, visible=True),
        gr.update(value=None, visible=False),
        EMPTY,
        no_download(),
    )


def stage_of_photo(info: UploadInfo, count: int) -> StageUpdates:
    """A stage with the photo alone."""
    return (
        gr.update(value=str(info.preview), visible=True),
        gr.update(value=None, visible=False),
        described(info, count),
        no_download(),
    )


def no_download() -> Any:
    """Nothing to keep yet."""
    return gr.update(value=None, interactive=False, label=DOWNLOAD)


def download(path: Path) -> Any:
    """A file to keep, by its name."""
    return gr.update(value=str(path), interactive=True, label=f"Download {path.name}")


def described(info: UploadInfo, count: int) -> str:
    """Name, size and findings of a photo, as HTML."""
    more = f" and {count - 1} more" if count > 1 else ""
    width, height = info.size
    chips = "".join(f"<li>{escaped(word)}</li>" for word in info.words)
    notes = "".join(f'<p class="quiet">{escaped(note)}</p>' for note in info.notes)
    title = f"<p><b>{escaped(info.path.name)}</b>{more} · {width} × {height}</p>"
    return f'{title}<ul class="chips" aria-label="What is seen in the photo">{chips}</ul>{notes}'


def stage_of_result(outcome: RunOutcome, done: str = "") -> StageUpdates:
    """A stage with before and after, and the file; `done` is the tab's name for the change."""
    before, after = outcome.pair
    return (
        gr.update(value=None, visible=False),
        gr.update(value=(str(before), str(after)), visible=True),
        summary(outcome, done),
        download(outcome.download),
    )


def summary(outcome: RunOutcome, done: str = "") -> str:
    """What was done to which photos, and what failed; `done` in a tab's own words."""
    lines = []
    for result in outcome.succeeded[:1] if len(outcome.results) == 1 else ():
        (w, h), (w2, h2) = result.size_in or (0, 0), result.size_out or (0, 0)
        sizes = f"{w} × {h}" if (w, h) == (w2, h2) else f"{w} × {h} → {w2} × {h2}"
        plan, *rest = plan_on_page(result.plan) if result.plan else [result.reason or ""]
        lines.append(f'<p class="good">Done: {escaped(done or plan)}.</p>')
        lines += [
            f'<p class="quiet">{escaped(sentence)}</p>'
            for sentence in (f"{sizes}, {result.seconds:.1f} s", *rest)
        ]
    if len(outcome.results) > 1:
        lines.append(
            f'<p class="good">{len(outcome.succeeded)} of {len(outcome.results)} photos done, '
            "in one zip.</p>"
        )
    failed = [result for result in outcome.results if result.error]
    return "".join(lines) + "".join(bad(result.error or "") for result in failed)


def model_choice(service: Service, kind: str, *, shipped: bool) -> gr.Dropdown:
    """Which model: the shipped one, or another for the same task."""
    return gr.Dropdown(
        choices=model_choices(service, kind, None, shipped=shipped),
        value=SHIPPED if shipped else None,
        label=LABELS["model"],
        info="Models you load on the Models tab appear here",
    )


def model_choices(
    service: Service, kind: str, user: str | None, *, shipped: bool = True
) -> list[tuple[str, str]]:
    """Labels and names; the first leaves the choice to the toolkit."""
    first = [(first_choice(kind), SHIPPED)] if shipped else []
    return first + [(name, name) for name in service.models.of_task(kind, user)]


def missing(kind: str) -> str:
    """What to say when no model is there for a task."""
    return (
        f'<p role="note">The model for “{escaped(verb(kind))}” is not installed yet. '
        "Load one of your own on the "
        "Models tab; everything else on this page works.</p>"
    )
