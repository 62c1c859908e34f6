"""Erase: brush a mask on the photo or upload one, grow and feather it, extend the canvas, fill,
undo.
"""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from img2img.errors import UserError
from img2img.inference.canvas import Canvas
from img2img.inference.options import Options
from img2img.inference.painted import write_mask
from img2img.inference.request import Request
from img2img_apps.examples import Example, Examples
from img2img_apps.labels import LABELS
from img2img_apps.layers_editor import LayersEditor, on_canvas
from img2img_apps.panel import INSPECT, QUIET, Panel, bad, download, model_choice, paths_of
from img2img_apps.service import MOST_EXTENSION_PX, Service
from img2img_apps.tabs.parts import columns, example_buttons, lead, note_if_missing
from img2img_apps.tools.erase import TOOL
from img2img_apps.wording import memory_errors

_KIND = "inpaint"
_BRUSH = "rgb(220, 38, 38)"


def build(service: Service, examples: Examples) -> gr.Dropdown:
    """Lay the tab out."""
    panel = Panel(service, "erase")
    lead(TOOL.lead)
    with columns() as (left, right):
        with left:
            note_if_missing(_KIND)
            panel.drop_zone(several=False)
            shown = example_buttons(
                "erase", examples.with_mask("Object", "object.jpg", "object_mask.png")
            )
            editor = _editor()
            marks, others = _controls(service)
            panel.buttons("Erase")
        with right:
            panel.stage()
            undo = gr.Button("Undo the last fill", elem_id="erase-undo", interactive=False)
    history = gr.State(())
    _wire(_Erase(panel, editor, marks, history, undo), [editor, *marks, *others], shown)
    return others[-1]


def _editor() -> LayersEditor:
    return LayersEditor(
        label="Brush over what should go",
        elem_id="erase-editor",
        sources=(),
        transforms=(),
        layers=False,
        brush=gr.Brush(colors=[_BRUSH], default_color=_BRUSH, color_mode="fixed", default_size=24),
        eraser=gr.Eraser(default_size=24),
        buttons=["fullscreen"],
        height=420,
        canvas_size=(640, 400),
        placeholder="Your photo appears here: brush over what should go",
    )


def _controls(service: Service) -> tuple[list[Any], list[Any]]:
    """The controls that mark a place besides the brush, and those of every fill, in the order of
    `_Values`.
    """
    with gr.Row():
        grow, feather = (
            gr.Slider(
                0, 64, px, step=1, label=f"{LABELS[name]} (px)", elem_id=elem_id, min_width=130
            )
            for name, px, elem_id in (
                ("mask_grow", 4, "erase-grow"),
                ("feather", 0, "erase-feather"),
            )
        )
    with gr.Accordion("Upload a mask", open=False):
        upload = gr.File(
            label="Mask, white = erase, of the photo's size", height=110, elem_id="erase-mask"
        )
        invert = gr.Checkbox(label="Invert: erase everything but the mask", elem_id="erase-invert")
    with gr.Accordion(f"{LABELS['extend']} the canvas", open=False), gr.Row():
        sides = [
            gr.Number(
                0,
                label=f"{side} (px)",
                precision=0,
                minimum=0,
                maximum=MOST_EXTENSION_PX,
                min_width=90,
                elem_id=f"erase-{side.lower()}",
            )
            for side in ("Left", "Top", "Right", "Bottom")
        ]
    with gr.Accordion(LABELS["model"], open=False, elem_id="erase-model"):
        model = model_choice(service, _KIND, shipped=True)
    return [upload, invert, *sides], [grow, feather, model]


@dataclass(frozen=True)
class _Fill:
    """A picture and the marks that were filled on it, which undoing brings back."""

    picture: str
    strokes: tuple[str, ...] = ()
    mask: str | None = None
    invert: bool = False
    sides: tuple[int, int, int, int] = (0, 0, 0, 0)


History = tuple[_Fill, ...]  # the photo, then every fill of it; the last is on the canvas


class _Values(NamedTuple):
    """The tab's controls in their order."""

    layers: Any
    upload: Any
    invert: bool
    left: float
    top: float
    right: float
    bottom: float
    grow: float
    feather: float
    model: str


class _Erase:
    """The tab's events. Marks belong to the picture on the canvas and go when it changes."""

    def __init__(
        self,
        panel: Panel,
        editor: LayersEditor,
        marks: list[Any],
        history: gr.State,
        undo: gr.Button,
    ):
        self.panel, self.service, self.history, self.undo = panel, panel.service, history, undo
        self.outputs = [*panel.outputs, editor, *marks, history, undo]

    def inspect(self, photo: str | None, history: History, request: gr.Request) -> tuple[Any, ...]:
        """A new photo: on the canvas, no history, nothing marked but by a mask that came before any
        photo.
        """
        self.panel.switch.end(request)
        shown, seen = self.panel.inspect(paths_of(photo))
        new = (_Fill(photo),) if photo and seen else ()
        waiting = not history and photo  # a mask that was uploaded first is for this photo
        marks = [gr.skip() for _ in range(6)] if waiting else _marks(_Fill(""))
        return (
            *shown,
            *self.panel.switch.idle(),
            self._canvas(new),
            *marks,
            new,
            gr.update(interactive=False),
        )

    def fill(
        self,
        photo: str | None,
        history: History,
        values: _Values,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Fill what was marked on the last picture, and clear the marks."""
        rest = [gr.skip() for _ in self.outputs[len(self.panel.outputs) :]]
        try:
            if history and not (photo and _same(photo, history[0].picture)):
                raise UserError("The photo has just changed: press Erase again.")
            marked, wanted, mask = self._request(history, values, f"{request.session_hash}")
        except UserError as error:
            skip = gr.skip()
            yield (skip, skip, bad(error.phrase), skip, *self.panel.switch.idle(), *rest)
            return
        done = ["filled what was marked"] * (mask is not None)
        done += ["extended the canvas"] * wanted.canvas.extends
        for shown in self.panel.outcome(
            marked.picture, lambda: wanted, request, mask, " and ".join(done)
        ):
            result = shown[3].get("value") if isinstance(shown[3], dict) else None
            if not result:
                yield (*shown, *rest)
                continue
            after = (*history[:-1], marked, _Fill(result))
            yield (
                *shown,
                self._canvas(after),
                *_marks(after[-1]),
                after,
                gr.update(interactive=True),
            )

    def _request(
        self, history: History, values: _Values, user: str
    ) -> tuple[_Fill, Request, Path | None]:
        """The picture with its marks, the request, and the mask's file."""
        if not history:
            raise UserError("Drop a photo first.")
        left, top, right, bottom = (
            int(px or 0) for px in (values.left, values.top, values.right, values.bottom)
        )
        extend = (left, top, right, bottom)
        picture, folder = Path(history[-1].picture), self.service.workspace.new_folder()
        upload = next(iter(paths_of(values.upload)), None)
        size = self.service.inspect(picture).size
        with memory_errors(upload or picture):
            if upload:
                self.service.check_upload(upload)
            target = folder / "mask.png"
            mask = write_mask(values.layers, upload, size, target, invert=values.invert)
        if mask is None and not any(extend):
            raise UserError("Brush over what should go first, upload a mask, or extend the canvas.")
        canvas = Canvas(int(values.grow) if mask else 0, int(values.feather), extend)
        request = self.service.request(_KIND, values.model, Options(), canvas, user)
        strokes = _saved(values.layers, folder)
        mark = str(upload) if upload else None
        return (
            _Fill(str(picture), strokes, mask=mark, invert=bool(values.invert), sides=extend),
            request,
            mask,
        )

    def back(self, history: History, request: gr.Request) -> tuple[Any, ...]:
        """The picture before the last fill, with what was marked on it then; a fill that is shown
        can be kept.
        """
        self.panel.switch.end(request)
        if len(history) < 2:
            return tuple(gr.skip() for _ in self.outputs)
        history = history[:-1]
        shown, _ = self.panel.inspect([Path(history[-1].picture)])
        keep = download(Path(history[-1].picture)) if len(history) > 1 else shown[3]
        canvas, undo = self._canvas(history, history[-1].strokes), len(history) > 1
        return (
            *(*shown[:3], keep, *self.panel.switch.idle(), canvas, *_marks(history[-1])),
            *(history, gr.update(interactive=undo)),
        )

    def _canvas(self, history: History, strokes: Sequence[str] = ()) -> dict[str, Any] | None:
        return on_canvas(
            self.service,
            self.service.inspect(Path(history[-1].picture)) if history else None,
            strokes,
        )


def _marks(fill: _Fill) -> list[Any]:
    """Mask, whether it is inverted, and the four sides, as they were."""
    return [fill.mask, fill.invert, *fill.sides]


def _saved(layers: Iterable[bytes], folder: Path) -> tuple[str, ...]:
    """The layers as files, which the canvas can show again."""
    paths = [folder / f"strokes_{number}.png" for number, _ in enumerate(layers)]
    for path, layer in zip(paths, layers, strict=True):
        path.write_bytes(layer)
    return tuple(map(str, paths))


def _same(one: str, other: str) -> bool:
    """Whether two files hold the same picture: what is on the page, and what the marks are for."""
    return Path(one).is_file() and Path(other).is_file() and filecmp.cmp(one, other, shallow=False)


def _wire(erase: _Erase, controls: list[Any], examples: list[tuple[gr.Button, Example]]) -> None:
    panel, inputs = erase.panel, [erase.panel.photos, erase.history, *controls]

    def work(
        photo: str | None, history: History, request: gr.Request, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        yield from erase.fill(photo, history, _Values(*values), request)

    running = [panel.switch.runs(panel.run.click, work, inputs, erase.outputs)]
    for button, example in examples:
        loaded = button.click(
            _load(erase, example), None, [panel.photos, *erase.outputs], **INSPECT, **QUIET
        )
        running.append(panel.switch.runs(loaded.then, work, inputs, erase.outputs))
    changes = [panel.photos.upload, panel.photos.clear, panel.photos.delete]
    gr.on(
        changes,
        erase.inspect,
        [panel.photos, erase.history],
        erase.outputs,
        cancels=running,
        **INSPECT,
        **QUIET,
    )
    erase.undo.click(
        erase.back, [erase.history], erase.outputs, cancels=running, **INSPECT, **QUIET
    )
    panel.switch.wire_stops(running)


def _load(erase: _Erase, example: Example) -> Callable[..., tuple[Any, ...]]:
    """The example's photo with its own mask, which goes with it."""

    def load(request: gr.Request) -> tuple[Any, ...]:
        *shown, _, invert, left, top, right, bottom, history, undo = erase.inspect(
            str(example.path), (_Fill(""),), request
        )
        return (
            str(example.path),
            *shown,
            str(example.mask),
            invert,
            left,
            top,
            right,
            bottom,
            history,
            undo,
        )

    return load
