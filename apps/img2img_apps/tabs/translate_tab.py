"""Translate: draw a sketch or upload one, and see what a translation model makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from img2img.errors import UserError
from img2img.inference.options import Options
from img2img.inference.painted import write_sketch
from img2img.inference.request import Request
from img2img_apps.examples import Examples
from img2img_apps.labels import LABELS
from img2img_apps.layers_editor import LayersEditor
from img2img_apps.panel import Panel, bad, model_choice
from img2img_apps.service import Service, direction_of
from img2img_apps.tabs.parts import (
    columns,
    direction_choice,
    example_buttons,
    lead,
    note_if_missing,
)
from img2img_apps.tools.translate import TOOL

_KIND = "translate"
_CANVAS_PX = 320
_INK = "rgb(0, 0, 0)"


def build(service: Service, examples: Examples) -> gr.Dropdown:
    """Lay the tab out."""
    panel = Panel(service, _KIND)
    lead(TOOL.lead)
    with columns() as (left, right):
        with left:
            note_if_missing(_KIND)
            with gr.Tabs():
                with gr.Tab("Upload", id="translate-upload"):
                    panel.drop_zone()
                    shown = example_buttons(_KIND, examples.of(("Sketch", "sketch.png")))
                    from_photo = gr.Checkbox(
                        label="These are photos: take the outline from them",
                        elem_id="translate-from-photo",
                    )
                    panel.buttons("Translate")
                with gr.Tab("Draw", id="translate-draw"):
                    editor = _editor(examples.blank(_CANVAS_PX))
                    with gr.Row():
                        draw = gr.Button(
                            "Translate the drawing",
                            variant="primary",
                            elem_id="translate-draw-run",
                            scale=3,
                        )
                        stop = gr.Button(
                            "Stop",
                            elem_id="translate-draw-stop",
                            scale=1,
                            min_width=90,
                            interactive=False,
                        )
            with gr.Accordion("Model, direction and seed", open=False, elem_id="translate-model"):
                model = model_choice(service, _KIND, shipped=True)
                direction = direction_choice(_KIND)
                seed = gr.Number(
                    0,
                    label=LABELS["seed"],
                    precision=0,
                    minimum=0,
                    info="For models that draw lots",
                )
        with right:
            panel.stage()

    def request(user: str, from_photo: bool, model: str, way: str, seed: float) -> Request:
        options = Options(
            seed=int(seed or 0), from_photo=bool(from_photo), direction=direction_of(way, model)
        )
        return service.request(_KIND, model, options, user=user)

    def drawn(layers: Any, sender: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        skip = gr.skip()
        try:
            path = write_sketch(layers, service.workspace.new_folder() / "sketch.png")
            if path is None:
                raise UserError("Draw something first.")
        except UserError as error:
            yield (skip, skip, bad(error.phrase), skip, *panel.switch.idle())
            return
        yield from panel.outcome(
            str(path), lambda: request(f"{sender.session_hash}", False, *values), sender
        )

    panel.switch.starts.append(draw)
    panel.switch.stops.append(stop)
    drawing = panel.switch.runs(draw.click, drawn, [editor, model, direction, seed], panel.outputs)
    panel.wire(request, [from_photo, model, direction, seed], shown, [drawing])
    return model


def _editor(paper: Path) -> LayersEditor:
    return LayersEditor(
        value={"background": str(paper), "layers": [], "composite": None},
        label="Draw dark lines",
        elem_id="translate-editor",
        sources=(),
        transforms=(),
        layers=False,
        brush=gr.Brush(colors=[_INK], default_color=_INK, color_mode="fixed", default_size=3),
        eraser=gr.Eraser(default_size=16),
        buttons=["fullscreen"],
        height=400,
        canvas_size=(_CANVAS_PX, _CANVAS_PX),
    )
