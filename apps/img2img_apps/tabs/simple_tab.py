"""Colorize, Enlarge and Denoise: one task, a slider or two; for Colorize a brush."""

from __future__ import annotations

from typing import Any

import gradio as gr

from img2img.errors import UserError
from img2img.inference.options import Options
from img2img.inference.output_size import OutputSize
from img2img.inference.painted import painted_hints
from img2img.inference.request import Request
from img2img_apps.examples import Examples
from img2img_apps.labels import LABELS
from img2img_apps.layers_editor import LayersEditor, on_canvas
from img2img_apps.offered_models import has_crisp
from img2img_apps.panel import PRIVATE, QUIET, Panel, model_choice, paths_of
from img2img_apps.service import Service
from img2img_apps.tabs.parts import columns, example_buttons, lead, note_if_missing, strength_slider
from img2img_apps.tools import colorize, denoise, enlarge

# Sky, grass, wood, skin, cloth in red and blue, straw, and none at all: what people correct most.
_COLORS = ["#6fa8dc", "#5b8c3e", "#8b5a2b", "#e0ac8c", "#b3282d", "#2c4a8a", "#d9b44a", "#808080"]


def build_colorize(service: Service, examples: Examples) -> gr.Dropdown:
    """Color for grey, faded and sepia photos."""
    lead(colorize.TOOL.lead)
    tries = (
        ("Old photo", "old_photo.jpg"),
        ("Lemurs", "lemurs.jpg"),
        ("Coast", "mont_saint_michel.jpg"),
    )
    return _one_task(service, examples, "colorize", "Colorize", tries, paint=True)


def build_denoise(service: Service, examples: Examples) -> gr.Dropdown:
    """Noise out."""
    lead(denoise.TOOL.lead)
    tries = (("Noisy", "noisy.png"), ("Old photo", "old_photo.jpg"))
    return _one_task(service, examples, "denoise", "Denoise", tries)


def _one_task(
    service: Service,
    examples: Examples,
    kind: str,
    label: str,
    tries: tuple[tuple[str, str], ...],
    paint: bool = False,
) -> gr.Dropdown:
    panel = Panel(service, kind)
    with columns() as (left, right):
        with left:
            note_if_missing(kind)
            panel.drop_zone()
            shown = example_buttons(kind, examples.of(*tries))
            strength = strength_slider(kind, "0 leaves the photo as it is")
            drawing = [_color_editor(kind)] if paint else []
            with gr.Accordion(LABELS["model"], open=False, elem_id=f"{kind}-model"):
                model = model_choice(service, kind, shipped=True)
            panel.buttons(label)
        with right:
            panel.stage()
    panel.also.update(
        dict.fromkeys(drawing, lambda seen: on_canvas(service, seen[0] if seen else None))
    )
    panel.wire(
        lambda user, *v: _request(service, kind, user, *v),
        [strength, model, panel.photos, *drawing],
        shown,
    )
    return model


def _color_editor(name: str) -> LayersEditor:
    with gr.Accordion(LABELS["hints"], open=False, elem_id=f"{name}-paint"):
        return LayersEditor(
            label="A stroke is enough",
            elem_id=f"{name}-editor",
            sources=(),
            transforms=(),
            layers=False,
            brush=gr.Brush(colors=list(_COLORS), default_color=_COLORS[0], default_size=12),
            eraser=gr.Eraser(default_size=16),
            buttons=["fullscreen"],
            height=420,
            canvas_size=(640, 400),
            placeholder="Your photo appears here: brush colors on it",
        )


def _request(
    service: Service,
    kind: str,
    user: str,
    strength: float,
    model: str,
    photos: Any,
    layers: Any = (),
) -> Request:
    hints = painted_hints(layers)
    if hints and len(paths_of(photos)) > 1:
        raise UserError(
            "Your colors are painted on the first photo",
            remedy="drop one photo at a time, or clear them.",
        )
    return service.request(kind, model, Options(strength=strength, hints=hints), user=user)


def build_enlarge(service: Service, examples: Examples) -> gr.Dropdown:
    """Any times as large, or of a size in px."""
    lead(enlarge.TOOL.lead)
    kind = "super-resolve"
    panel = Panel(service, "enlarge")
    with columns() as (left, right):
        with left:
            note_if_missing(kind)
            panel.drop_zone()
            shown = example_buttons(
                "enlarge", examples.of(("Small", "small.jpg"), ("Macaw", "macaw.jpg"))
            )
            scale = gr.Radio(
                [("×2", 2), ("×4", 4)], value=2, label=LABELS["scale"], elem_id="enlarge-scale"
            )
            strength = strength_slider("enlarge", "0 is plain enlargement")
            detail = gr.Slider(
                0,
                1,
                0,
                step=0.05,
                label=LABELS["detail"],
                info="0 is faithful, 1 invents fine texture",
                elem_id="enlarge-detail",
                visible=has_crisp(kind, 2),
            )
            scale.change(
                lambda size: gr.update(visible=has_crisp(kind, int(size))),
                scale,
                detail,
                **PRIVATE,
            )
            other_size = _other_size("enlarge")
            with gr.Accordion(LABELS["model"], open=False, elem_id="enlarge-model"):
                model = model_choice(service, kind, shipped=True)
            panel.buttons("Enlarge")
        with right:
            panel.stage()

    def follow(name: str, size: int, request: gr.Request) -> list[Any]:
        """A model's own scale is the one that counts, and it has no crisper half."""
        own = service.models.scale(name, f"{request.session_hash}") if name else None
        says = f"The model under Model makes it ×{own}" if own else None
        crisp = not name and has_crisp(kind, int(size))
        return [gr.update(interactive=not name, info=says), gr.update(visible=crisp)]

    model.change(follow, [model, scale], [scale, detail], **QUIET)

    def request(
        user: str, scale: int, strength: float, detail: float, model: str, *other: float | None
    ) -> Request:
        path, options = service.models.path(model, kind, user), Options(strength=strength)
        times, *sides_px = (number or None for number in other)
        size = OutputSize(times, *(px and int(px) for px in sides_px))
        if path:
            return Request(model=path, options=options, size=size)
        mixed = detail if has_crisp(kind, int(scale)) else None
        if size == OutputSize():
            return Request((kind,), scale=int(scale), detail=mixed, options=options)
        # The size may take a model without a crisper half, of which 0 asks nothing.
        return Request((kind,), detail=mixed or None, options=options, size=size)

    panel.wire(request, [scale, strength, detail, model, *other_size], shown)
    return model


def _other_size(name: str) -> list[gr.Number]:
    """Where any factor, or the longer side, the width and the height of a result in px are asked
    for: as `OutputSize` has them.
    """

    def number(field: str, label: str, precision: int | None) -> gr.Number:
        return gr.Number(
            None,
            label=label,
            precision=precision,
            minimum=0,
            min_width=90,
            elem_id=f"{name}-{field.replace('_', '-')}",
        )

    with gr.Accordion("Another size", open=False, elem_id=f"{name}-size"):
        gr.Markdown("Instead of ×2 or ×4: one of them, or width and height.", container=False)
        with gr.Row():
            times = number("times", "Times, such as 3.5", None)
            sides = ("longer_side", "width", "height")
            return [times, *(number(side, f"{LABELS[side]} (px)", 0) for side in sides)]
