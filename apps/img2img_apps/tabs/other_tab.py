"""A tab for any task on photos, built from what its class says: its docstring, its verb, and the
controls of its family.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from img2img.errors import UserError
from img2img.inference.options import Options
from img2img.inference.request import Request
from img2img_apps.labels import LABELS
from img2img_apps.other_tasks import OtherTask
from img2img_apps.panel import Panel, model_choice, paths_of
from img2img_apps.service import WAYS, Service
from img2img_apps.tabs.parts import (
    columns,
    direction_choice,
    lead,
    note_if_missing,
    strength_slider,
)


def build(service: Service, other: OtherTask) -> gr.Dropdown:
    """Lay the tab out."""
    panel = Panel(service, other.kind)
    lead(other.lead)
    with columns() as (left, right):
        with left:
            if not service.models.of_task(other.kind):
                note_if_missing(other.kind)
            panel.drop_zone(several=not other.task.fills)
            controls: dict[str, Any] = {"strength": strength_slider(other.kind, "0 is none of it")}
            controls |= _of_the_family(other)
            with gr.Accordion(LABELS["model"], open=False, elem_id=f"{other.kind}-model"):
                model = model_choice(service, other.kind, shipped=False)
                controls["model"] = model
                controls["seed"] = gr.Number(0, label=LABELS["seed"], precision=0, minimum=0)
            panel.buttons(other.verb)
        with right:
            panel.stage()

    def work(photos: Any, sender: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        given = dict(zip(controls, values, strict=True))
        masks = paths_of(given.pop("mask", None))

        def wanted() -> Request:
            if masks:
                service.check_upload(masks[0])
            elif other.task.fills:
                raise UserError(
                    "Upload a mask of the photo's size, white where it is to be filled."
                )
            options = Options(
                given["strength"],
                int(given["seed"] or 0),
                bool(given.get("from_photo")),
                WAYS[given.get("direction", "")],
            )
            return service.request(
                other.kind, given["model"], options, user=f"{sender.session_hash}"
            )

        yield from panel.outcome(photos, wanted, sender, masks[0] if masks else None)

    panel.wire_work(work, list(controls.values()), ())
    return model


def _of_the_family(other: OtherTask) -> dict[str, Any]:
    """Controls that only some tasks have, by the options' names."""
    controls: dict[str, Any] = {}
    if other.task.fills:
        controls["mask"] = gr.File(
            label=f"{LABELS['mask']}, white = fill, of the photo's size",
            height=110,
            elem_id=f"{other.kind}-mask",
        )
    if other.makes_condition:
        controls["from_photo"] = gr.Checkbox(label=f"{LABELS['from_photo']}: make the input of it")
    if other.goes_both_ways:
        controls["direction"] = direction_choice(other.kind)
    return controls
