"""Restore: looks at the photo, proposes steps to tick, does them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from img2img.errors import UserError
from img2img.inference.batch import Request

from ..examples import Examples
from ..models import is_installed, verb
from ..panel import Panel, paths_of
from ..service import Service, automatic_kinds
from .parts import columns, example_buttons, lead

_NAME = "restore"


def build(service: Service, examples: Examples) -> None:
    """Lay the tab out."""
    panel = Panel(service, _NAME)
    lead("Drop in a photo. It says what it sees and proposes what to do; untick what you do not want.")
    with columns() as (left, right):
        with left:
            panel.drop_zone()
            shown = example_buttons(
                _NAME, examples.of(("Old photo", "old_photo.jpg"), ("Noisy", "noisy.png"), ("Small", "small.jpg"))
            )
            kinds = [kind for kind in automatic_kinds() if is_installed(kind)]
            steps = gr.CheckboxGroup(
                [(verb(kind), kind) for kind in kinds],
                label="Steps",
                info="Proposed for your photo; done in this order",
                elem_id=f"{_NAME}-steps",
            )
            panel.buttons("Restore")
        with right:
            panel.stage()
    panel.also[steps] = lambda seen: [step.task for step in seen.proposed.steps] if seen else []
    panel.wire(lambda _, *values: _request(service, *values), [steps, panel.photos], shown)


def _request(service: Service, chosen: list[str], photos: Any) -> Request:
    """Steps as proposed are the automatic plan, several photos included; others are asked for by name."""
    kinds = tuple(kind for kind in automatic_kinds() if kind in chosen)
    paths = paths_of(photos)
    if not paths:
        raise UserError("Drop a photo first.")
    proposed = tuple(step.task for step in service.look(paths[0]).proposed.steps)
    if kinds == proposed:
        return Request()
    if not kinds:
        raise UserError("Tick at least one step.")
    return Request(tasks=kinds)
