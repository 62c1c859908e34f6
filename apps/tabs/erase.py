"""Erase: brush a mask on the photo or upload one, widen and soften it, extend the canvas, fill, undo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from img2img.errors import UserError
from img2img.inference.batch import Request
from img2img.inference.canvas import Canvas
from img2img.inference.pipeline import Options

from ..drawing import LayersEditor, mask_file, on_canvas
from ..examples import Example, Examples
from ..panel import LOOK, PRIVATE, WORK, Panel, bad, model_choice, paths_of
from ..service import Service, plain_words
from .parts import columns, example_buttons, lead, note_if_missing

_KIND = "inpaint"
_BRUSH = "rgb(220, 38, 38)"


def build(service: Service, examples: Examples) -> gr.Dropdown:
    """Lay the tab out."""
    panel = Panel(service, "erase")
    lead("Brush over what should go. Everything you do not touch comes back exactly as it was.")
    with columns() as (left, right):
        with left:
            note_if_missing(_KIND)
            panel.drop_zone(several=False)
            shown = example_buttons("erase", examples.with_mask("Object", "object.jpg", "object_mask.png"))
            editor = _editor()
            controls, model = _controls(service)
            panel.buttons("Erase")
        with right:
            panel.stage()
            undo = gr.Button("Undo the last fill", elem_id="erase-undo", interactive=False)
    history = gr.State([])
    _wire(_Erase(panel, editor, history, undo), [editor, *controls], shown)
    return model


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


def _controls(service: Service) -> tuple[list[Any], gr.Dropdown]:
    """In the order `_wish` takes them."""
    with gr.Row():
        grow = gr.Slider(0, 64, 4, step=1, label="Widen (px)", elem_id="erase-grow", min_width=130)
        feather = gr.Slider(0, 64, 0, step=1, label="Soften (px)", elem_id="erase-feather", min_width=130)
    with gr.Accordion("Upload a mask", open=False):
        upload = gr.File(label="Mask, white = erase, of the photo's size", height=110, elem_id="erase-mask")
        invert = gr.Checkbox(label="Invert: erase everything but the mask", elem_id="erase-invert")
    with gr.Accordion("Extend the canvas", open=False), gr.Row():
        sides = [
            gr.Number(
                0,
                label=f"{side} (px)",
                precision=0,
                minimum=0,
                maximum=4096,
                min_width=90,
                elem_id=f"erase-{side.lower()}",
            )
            for side in ("Left", "Top", "Right", "Bottom")
        ]
    with gr.Accordion("Model", open=False, elem_id="erase-model"):
        model = model_choice(service, _KIND, shipped=True)
    return [upload, invert, grow, feather, *sides, model], model


class _Erase:
    """What the tab's events do. `history` holds the photo and every fill of it; the last is on the canvas."""

    def __init__(self, panel: Panel, editor: LayersEditor, history: gr.State, undo: gr.Button) -> None:
        self.panel, self.service, self.editor, self.history, self.undo = panel, panel.service, editor, history, undo
        self.outputs = [*panel.shown, editor, history, undo]

    def look(self, photo: str | None) -> tuple[Any, ...]:
        """A new photo: on the canvas, with an empty history."""
        shown = self.panel.look(photo)
        try:
            kept = [photo] if photo and self.service.look(Path(photo)) else []
        except UserError:
            kept = []
        return (*shown, self._canvas(kept), kept, gr.update(interactive=False))

    def fill(
        self, layers: Any, upload: Any, *values: Any, kept: list[str], request: gr.Request, progress: Any
    ) -> tuple[Any, ...]:
        """Fill what was brushed on the last picture."""
        try:
            wanted, mask = self._wish(kept, layers, upload, *values, user=f"{request.session_hash}")
        except UserError as error:
            return (gr.skip(), gr.skip(), bad(str(error)), *(gr.skip() for _ in range(4)))
        shown = self.panel.outcome(kept[-1], lambda: wanted, request, progress, mask)
        made = shown[3].get("value") if isinstance(shown[3], dict) else None
        if not made:
            return (*shown, gr.skip(), gr.skip(), gr.skip())
        kept = [*kept, made]
        return (*shown, self._canvas(kept), kept, gr.update(interactive=True))

    def _wish(
        self, kept: list[str], layers: Any, upload: Any, invert: bool, grow: float, feather: float,
        left: float, top: float, right: float, bottom: float, model: str, *, user: str
    ) -> tuple[Request, Path | None]:  # fmt: skip
        if not kept:
            raise UserError("Drop a photo first.")
        extend = (int(left or 0), int(top or 0), int(right or 0), int(bottom or 0))
        mask = self._mask(Path(kept[-1]), layers, upload, invert)
        if mask is None and not any(extend):
            raise UserError("Brush over what should go first, upload a mask, or extend the canvas.")
        path = self.service.models.path(model, _KIND, user)
        canvas = Canvas(int(grow) if mask else 0, int(feather), extend)
        return Request(() if path else (_KIND,), model=path, options=Options(), canvas=canvas), mask

    def _mask(self, photo: Path, layers: Any, upload: Any, invert: bool) -> Path | None:
        masks = paths_of(upload)
        size = self.service.look(photo).size
        target = self.service.workspace.new_folder() / "mask.png"
        with plain_words(masks[0] if masks else photo):
            if masks:
                self.service.check_upload(masks[0])
            return mask_file(layers, masks[0] if masks else None, size, target, invert=invert)

    def back(self, kept: list[str]) -> tuple[Any, ...]:
        """The picture before the last fill."""
        kept = kept[:-1] if len(kept) > 1 else kept
        if not kept:
            return tuple(gr.skip() for _ in self.outputs)
        return (*self.panel.look(kept[-1]), self._canvas(kept), kept, gr.update(interactive=len(kept) > 1))

    def _canvas(self, kept: list[str]) -> dict[str, Any] | None:
        return on_canvas(self.service, self.service.look(Path(kept[-1])) if kept else None)


def _wire(erase: _Erase, controls: list[Any], examples: list[tuple[gr.Button, Example]]) -> None:
    panel = erase.panel

    def work(kept: list[str], request: gr.Request, progress: gr.Progress = gr.Progress(), *values: Any) -> Any:
        return erase.fill(*values, kept=kept, request=request, progress=progress)

    looks = [panel.photos.upload, panel.photos.clear, panel.photos.delete]
    gr.on(looks, erase.look, [panel.photos], erase.outputs, **LOOK, **PRIVATE, show_progress="hidden")
    running = [panel.run.click(work, [erase.history, *controls], erase.outputs, **WORK, **PRIVATE, **panel.progress)]
    for button, example in examples:
        loaded = button.click(
            _load(erase, example), None, [panel.photos, controls[1], *erase.outputs], **LOOK, **PRIVATE
        )
        running.append(
            loaded.then(work, [erase.history, *controls], erase.outputs, **WORK, **PRIVATE, **panel.progress)
        )
    erase.undo.click(erase.back, [erase.history], erase.outputs, **LOOK, **PRIVATE, show_progress="hidden")
    panel.wire_stop(running)


def _load(erase: _Erase, example: Example) -> Callable[[], tuple[Any, ...]]:
    return lambda: (str(example.path), str(example.mask), *erase.look(str(example.path)))
