"""Generate: pictures from noise and a label, or a walk from one seed to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from img2img.inference.sampling import GenerateRequest
from img2img.modelfile import Header
from img2img_apps.jobs import Finished
from img2img_apps.labels import LABELS
from img2img_apps.model_facts import GENERATE
from img2img_apps.noise_pictures import (
    MOST_SAMPLES,
    GeneratedGrid,
    class_names,
    generate_grid,
    header_of,
)
from img2img_apps.offered_models import SHIPPED
from img2img_apps.panel import download, model_choices, status
from img2img_apps.progress_line import OnProgress, Progress
from img2img_apps.service import Service, escaped
from img2img_apps.switch import QUIET, Switch, bad
from img2img_apps.tabs.parts import columns, lead, plain_examples
from img2img_apps.tools.generate import TOOL

_EMPTY = '<p class="quiet">Press Generate, or try an example.</p>'
_NONE = (
    '<p role="note">No model that makes pictures from noise is installed yet. '
    "Load one on the Models tab, or train one "
    "on the Train tab: its result appears here.</p>"
)
_EXAMPLES = (("16 pictures", (0, 16)), ("A walk", (3, 8, 12)))  # seed and count; or from, to, steps


def build(service: Service) -> gr.Dropdown:
    """Lay the tab out."""
    return _Tab(service).model


class _Tab:
    """Widgets and their events. The state is the last grid."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.switch = Switch(service, "generate")
        lead(TOOL.lead)
        with columns() as (left, right):
            with left:
                self._choices()
                self._tabs()
                self.examples = plain_examples("generate", [label for label, _ in _EXAMPLES])
            with right, gr.Column(elem_classes="stage"):
                self._stage()
        self.last = gr.State(None)
        self.shown = [self.picture, self.one, self.status, self.download, self.last]
        self._wire()

    # --- layout ---

    def _choices(self) -> None:
        self.model = gr.Dropdown(
            choices=model_choices(self.service, GENERATE, None, shipped=False),
            value=next(iter(self.service.models.of_task(GENERATE)), None),
            label=LABELS["model"],
            info="Models you load on the Models tab appear here",
            elem_id="generate-model",
        )
        header = header_of(self.service, SHIPPED, None)
        self.label = gr.Dropdown(**_labels(header), label=LABELS["label"], elem_id="generate-label")

    def _tabs(self) -> None:
        with gr.Tabs():
            with gr.Tab("Samples", id="generate-samples"):
                with gr.Row():
                    self.seed = _number(LABELS["seed"], 0, "generate-seed")
                    self.count = gr.Slider(
                        1,
                        MOST_SAMPLES,
                        64,
                        step=1,
                        label=LABELS["count"],
                        elem_id="generate-count",
                        min_width=150,
                    )
                with gr.Row():
                    self.run = gr.Button(
                        "Generate",
                        variant="primary",
                        elem_id="generate-run",
                        scale=3,
                        min_width=110,
                    )
                    self.more = gr.Button("Others", elem_id="generate-more", scale=1, min_width=80)
                    stop = gr.Button(
                        "Stop", elem_id="generate-stop", scale=1, min_width=80, interactive=False
                    )
            with gr.Tab(LABELS["interpolate"], id="generate-walk"):
                with gr.Row():
                    self.start = _number("From seed", 0, "generate-from")
                    self.end = _number("To seed", 1, "generate-to")
                    self.steps = gr.Slider(
                        2,
                        MOST_SAMPLES,
                        16,
                        step=1,
                        label="Steps",
                        elem_id="generate-steps",
                        min_width=150,
                    )
                with gr.Row():
                    self.walk = gr.Button(
                        "Walk", variant="primary", elem_id="generate-walk-run", scale=3
                    )
                    stop_walk = gr.Button(
                        "Stop",
                        elem_id="generate-walk-stop",
                        scale=1,
                        min_width=90,
                        interactive=False,
                    )
        self.switch.starts += [self.run, self.more, self.walk]
        self.switch.stops += [stop, stop_walk]

    def _stage(self) -> None:
        self.picture = gr.Image(
            label="Made from noise",
            interactive=False,
            type="filepath",
            format="png",
            height=480,
            elem_classes=["canvas", "pixels"],
            elem_id="generate-preview",
            buttons=["fullscreen"],
        )
        self.one = gr.Slider(
            0,
            1,
            0,
            step=1,
            label="One by one",
            info="0 shows all",
            interactive=False,
            elem_id="generate-one",
        )
        there = self.service.models.of_task(GENERATE)
        self.status = self.switch.status = status(_EMPTY if there else _NONE, "generate-status")
        self.download = gr.DownloadButton(
            "Download the grid", interactive=False, elem_id="generate-download", variant="primary"
        )

    # --- what happens ---

    def _wire(self) -> None:
        samples, walk = [self.seed, self.count], [self.start, self.end, self.steps]
        others = self.more.click(
            lambda seed, count: int(seed or 0) + int(count or 0),  # the first that was not shown
            samples,
            [self.seed],
            **QUIET,
            queue=False,
        )
        running = [
            self._runs(self.run.click, self._sample, samples),
            self._runs(others.then, self._sample, samples),
            self._runs(self.walk.click, self._walk, walk),
        ]
        for button, (_, values) in zip(self.examples, _EXAMPLES, strict=True):
            controls, call = (samples, self._sample) if len(values) == 2 else (walk, self._walk)
            chosen = button.click(
                lambda values=values: list(values), None, controls, **QUIET, queue=False
            )
            running.append(self._runs(chosen.then, call, controls))
        self.switch.wire_stops(running)
        quick: dict[str, Any] = {**QUIET, "queue": False}
        self.model.change(self._relabel, [self.model], [self.label], **quick)
        self.one.input(
            _one,
            [self.last, self.one],
            [self.picture, self.status],
            **quick,
            trigger_mode="always_last",
        )

    def _runs(self, event: Any, call: Any, controls: Sequence[Any]) -> Any:
        return self.switch.runs(
            event, call, [self.model, self.label, *controls], [*self.shown, *self.switch.outputs]
        )

    def _sample(
        self, model: str | None, label: str | None, seed: float, count: float, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        yield from self._generate(
            model, lambda: GenerateRequest(int(count or 0), int(seed or 0), label or None), request
        )

    def _walk(
        self,
        model: str | None,
        label: str | None,
        start: float,
        end: float,
        steps: float,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        ends = (int(start or 0), int(end or 0))
        yield from self._generate(
            model,
            lambda: GenerateRequest(int(steps or 0), label=label or None, interpolate=ends),
            request,
        )

    def _generate(
        self,
        model: str | None,
        wanted: Callable[[], GenerateRequest],
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        user, skip = f"{request.session_hash}", gr.skip()

        def work(report: OnProgress) -> GeneratedGrid:
            def on_sample(done: int, total: int) -> None:
                report(done, total, "make it up")

            return generate_grid(
                self.service, model or SHIPPED, wanted(), user, on_sample, "generate"
            )

        for step in self.switch.watch(work, request, Progress(unit="pictures")):
            if isinstance(step, str):
                yield (skip, skip, step, skip, skip, *self.switch.unchanged())
            elif isinstance(step, Finished):
                yield (*_stage_of(step.value), *self.switch.idle())
            else:
                yield (skip, skip, step.message, skip, skip, *self.switch.idle())

    def _relabel(self, model: str | None, request: gr.Request) -> Any:
        return gr.update(
            **_labels(header_of(self.service, model or SHIPPED, f"{request.session_hash}"))
        )


def _number(label: str, value: int, elem_id: str) -> gr.Number:
    return gr.Number(value, label=label, precision=0, minimum=0, elem_id=elem_id, min_width=90)


def _labels(header: Header | None) -> dict[str, Any]:
    """The classes to choose from, for a model that knows any."""
    names = class_names(header)
    if not names:
        return {
            "choices": [("Any: the model knows no classes", "")],
            "value": "",
            "interactive": False,
        }
    numbered = [(name, str(number)) for number, name in enumerate(names)]
    return {"choices": [("Every class in turn", ""), *numbered], "value": "", "interactive": True}


def _stage_of(grid: GeneratedGrid) -> tuple[Any, ...]:
    """Updates that show all pictures."""
    several = grid.each is not None and len(grid.names) > 1
    return (
        gr.update(value=str(grid.preview)),
        gr.update(value=0, maximum=max(1, len(grid.names)), interactive=several),
        _caption(grid, 0),
        download(grid.grid),
        grid,
    )


def _one(grid: GeneratedGrid | None, number: float) -> tuple[Any, Any]:
    """A single picture and its caption."""
    if grid is None:
        return gr.skip(), gr.skip()
    try:
        picture = grid.one(int(number or 0)).resolve(strict=True)
        return str(picture), _caption(grid, int(number or 0))
    except OSError:  # an hour has passed
        return gr.skip(), bad("These pictures are not there any more: press Generate again.")


def _caption(grid: GeneratedGrid, number: int) -> str:
    names, total = grid.names, len(grid.names)
    if 0 < number <= total:
        what = f"Picture {number} of {total}: {names[number - 1]}."
    else:
        what = f"{names[0]}." if total == 1 else f"From {names[0]} to {names[-1]}."
    return (
        f'<p class="good">Done: {total} made from noise by {escaped(grid.model)}, '
        f"{grid.seconds:.1f} s.</p>"
        f'<p class="quiet">{escaped(what)}</p>'
    )
