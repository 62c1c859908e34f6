"""What the photo tabs share: photos on the left, the picture before and after on the right, and what a click does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from img2img.errors import UserError
from img2img.inference.batch import Request

from .examples import Example
from .models import SHIPPED, verb
from .service import Look, Outcome, Service, Stopped, escaped, in_plain_words, photo_types

log = logging.getLogger("img2img")

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
WORK: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 1}
LOOK: dict[str, Any] = {"concurrency_id": "look", "concurrency_limit": 2}
Shown = tuple[Any, Any, str, Any]  # preview, slider, status, download
Made = TypeVar("Made")
MakeRequest = Callable[..., Request]
EMPTY = '<p class="quiet">Drop a photo, or try an example.</p>'
STOPPED = '<p class="quiet">Stopped.</p>'


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
    stop: gr.Button = field(init=False)
    also: dict[Any, Callable[[Look | None], Any]] = field(default_factory=dict)  # controls that follow the photo

    def drop_zone(self, several: bool = True) -> None:
        """Where photos come in: as files, which nobody has opened yet."""
        self.photos = gr.File(
            label="Photos" if several else "Photo",
            file_count="multiple" if several else "single",
            file_types=photo_types(),
            elem_classes="photos",
            elem_id=f"{self.name}-photos",
            height=148,
        )

    def buttons(self, label: str) -> None:
        """Run and Stop."""
        with gr.Row():
            self.run = gr.Button(label, variant="primary", elem_id=f"{self.name}-run", scale=3)
            self.stop = gr.Button("Stop", elem_id=f"{self.name}-stop", scale=1, min_width=90)

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
            self.status = status(EMPTY, f"{self.name}-status")
            self.download = gr.DownloadButton(
                "Download full size", interactive=False, elem_id=f"{self.name}-download", variant="primary"
            )

    @property
    def shown(self) -> list[Any]:
        """Outputs of whatever changes the picture."""
        return [self.preview, self.slider, self.status, self.download]

    # --- what happens ------------------------------------------------------------------------------------------------

    def wire(self, make_request: MakeRequest, controls: Sequence[Any], examples: Sequence[tuple[Any, Example]]) -> None:
        """Upload shows, run runs, an example does both, Stop stops."""
        work, inputs = self._worker(make_request), [self.photos, *controls]
        looks = [self.photos.upload, self.photos.clear, self.photos.delete]
        gr.on(looks, self.look, [self.photos], [*self.shown, *self.also], **LOOK, **PRIVATE, show_progress="hidden")
        started = self.run.click(work, inputs, self.shown, **WORK, **PRIVATE, **self.progress)
        self.wire_stop([started, *(self._wire_example(button, example, work, inputs) for button, example in examples)])

    def _wire_example(self, button: Any, example: Example, work: Callable[..., Any], inputs: list[Any]) -> Any:
        """A click loads the example and works on it; the second step sees what the first has shown."""
        photos = [str(example.path)] if self.photos.file_count == "multiple" else str(example.path)
        outputs = [self.photos, *self.shown, *self.also]
        loaded = button.click(
            lambda: (photos, *self.look(photos)), None, outputs, **LOOK, **PRIVATE, show_progress="hidden"
        )
        return loaded.then(work, inputs, self.shown, **WORK, **PRIVATE, **self.progress)

    def wire_stop(self, running: list[Any]) -> None:
        """Stop ends what runs after its tile, and takes what waits out of the queue."""
        self.stop.click(self._stop, None, [self.status], cancels=running, queue=False, **PRIVATE)

    @property
    def progress(self) -> dict[str, Any]:
        """Where progress is shown."""
        return {"show_progress_on": [self.status], "show_progress": "full"}

    def look(self, photos: list[str] | str | None) -> tuple[Any, ...]:
        """The uploaded photo, what can be said of it, and what the tab's own controls make of it."""
        paths = paths_of(photos)
        if not paths:
            return (*cleared(), *(control(None) for control in self.also.values()))
        try:
            seen = self.service.look(paths[0])
        except UserError as error:
            blank = cleared()
            return (*blank[:2], bad(str(error)), blank[3], *(control(None) for control in self.also.values()))
        return (*looked(seen, len(paths)), *(control(seen) for control in self.also.values()))

    def _worker(self, make_request: MakeRequest) -> Callable[..., Shown]:
        # Gradio finds the request by its annotation and the progress by its default, before *values alone.
        def work(photos: Any, request: gr.Request, progress: gr.Progress = gr.Progress(), *values: Any) -> Shown:
            return self.outcome(photos, lambda: make_request(request.session_hash, *values), request, progress)

        return work

    def outcome(
        self, photos: Any, wanted: Callable[[], Request], request: gr.Request, progress: Any, mask: Path | None = None
    ) -> Shown:
        """Run, and say in the page how it went."""
        user = f"{request.session_hash}"
        made = guarded(
            lambda: self.service.run(paths_of(photos), wanted(), mask=mask, user=user, on_progress=reporter(progress))
        )
        return (gr.skip(), gr.skip(), made, gr.skip()) if isinstance(made, str) else finished(made)

    def _stop(self, request: gr.Request) -> str:
        self.service.stop(f"{request.session_hash}")
        return STOPPED


def guarded(work: Callable[[], Made]) -> Made | str:
    """What work gives, or what to say in the page of why it did not."""
    try:
        return work()
    except UserError as error:
        return bad(in_plain_words(str(error)))
    except Stopped:
        return STOPPED
    except Exception as error:
        log.exception("app")
        return bad(f"That failed on our side ({type(error).__name__}).")


def reporter(progress: Any, unit: str = "tiles") -> Callable[[int, int | None, str], None]:
    """Gradio's progress bar fed with tiles."""

    def report(done: int, total: int | None, doing: str) -> None:
        if total is None:
            progress(None, desc=doing)
        else:
            progress((done, total), desc=doing, unit=unit)

    return report


def paths_of(photos: list[str] | str | None) -> list[Path]:
    """What a file component gives, one or several."""
    return [Path(p) for p in ([photos] if isinstance(photos, str) else photos or [])]


def status(value: str, elem_id: str) -> gr.HTML:
    """A line that screen readers speak when it changes."""
    return gr.HTML(value, elem_id=elem_id, elem_classes="status", container=False, padding=False, min_width=280)


def cleared() -> Shown:
    """An empty stage."""
    return (
        gr.update(value=None, visible=True),
        gr.update(value=None, visible=False),
        EMPTY,
        gr.update(value=None, interactive=False),
    )


def looked(seen: Look, count: int) -> Shown:
    """A stage with the photo alone."""
    return (
        gr.update(value=str(seen.preview), visible=True),
        gr.update(value=None, visible=False),
        described(seen, count),
        gr.update(value=None, interactive=False),
    )


def described(seen: Look, count: int) -> str:
    """Name, size and what is seen of a photo, as HTML."""
    more = f" and {count - 1} more" if count > 1 else ""
    width, height = seen.size
    chips = "".join(f"<li>{escaped(word)}</li>" for word in seen.words)
    notes = "".join(f'<p class="quiet">{escaped(note)}</p>' for note in seen.notes)
    title = f"<p><b>{escaped(seen.path.name)}</b>{more} · {width} × {height}</p>"
    return f'{title}<ul class="chips" aria-label="What is seen in the photo">{chips}</ul>{notes}'


def finished(outcome: Outcome) -> Shown:
    """A stage with before and after, and the file."""
    before, after = outcome.pair
    name = outcome.download.name
    return (
        gr.update(value=None, visible=False),
        gr.update(value=(str(before), str(after)), visible=True),
        summary(outcome),
        gr.update(value=str(outcome.download), interactive=True, label=f"Download {name}"),
    )


def summary(outcome: Outcome) -> str:
    """What was done to which photos, and what failed."""
    lines = []
    for result in outcome.made[:1] if len(outcome.results) == 1 else ():
        (w, h), (w2, h2) = result.size_in or (0, 0), result.size_out or (0, 0)
        sizes = f"{w} × {h}" if (w, h) == (w2, h2) else f"{w} × {h} → {w2} × {h2}"
        done, *rest = in_plain_words(result.reason or "", result.input).split("; ")
        lines.append(f'<p class="good">Done: {escaped(done)}.</p>')
        lines += [
            f'<p class="quiet">{escaped(sentence)}</p>' for sentence in (f"{sizes}, {result.seconds:.1f} s", *rest)
        ]
    if len(outcome.results) > 1:
        lines.append(f'<p class="good">{len(outcome.made)} of {len(outcome.results)} photos done, in one zip.</p>')
    failed = [result for result in outcome.results if result.error]
    return "".join(lines) + "".join(bad(result.error or "") for result in failed)


def bad(message: str) -> str:
    """A message about something that did not work."""
    return f'<p class="bad" role="alert">{escaped(message)}</p>'


def model_choice(service: Service, kind: str, *, shipped: bool) -> gr.Dropdown:
    """Which model: the shipped one, or another for the same task."""
    return gr.Dropdown(
        choices=model_choices(service, kind, None, shipped=shipped),
        value=SHIPPED if shipped else None,
        label="Model",
        info="Models you load on the Models tab appear here",
    )


def model_choices(service: Service, kind: str, user: str | None, *, shipped: bool = True) -> list[tuple[str, str]]:
    """Labels and names; the first leaves the choice to the toolkit."""
    first = [("Shipped with img2img", SHIPPED)] if shipped else []
    return first + [(name, name) for name in service.models.of_task(kind, user)]


def missing(kind: str) -> str:
    """What to say when no model is there for a task."""
    return (
        f'<p role="note">The model for “{escaped(verb(kind))}” is not installed yet. Load one of your own on the '
        "Models tab; everything else on this page works.</p>"
    )
