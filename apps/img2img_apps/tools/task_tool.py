"""A tool for a task of another package, built from what its class says."""

from __future__ import annotations

from img2img_apps.other_tasks import OtherTask
from img2img_apps.tools.base import Tool
from img2img_apps.tools.controls import (
    DIRECTION,
    FROM_PHOTO,
    MASK,
    MODEL,
    PHOTO,
    SEED,
    STRENGTH,
)

_CONTROLS = {one.name: one for one in (STRENGTH, SEED, MODEL, MASK, DIRECTION, FROM_PHOTO)}
_OPTIONS = {
    "strength": "strength 0..1",
    "model": "model: a name, or nothing for the first",
    "mask": "mask (of the photo's size): white = fill",
    "direction": "direction (AtoB, BtoA): for models that go both ways",
    "from_photo": "from_photo makes the input of a photo first",
}
"""What the description says of its options."""


class TaskTool(Tool):
    """Named and controlled by its class: its docstring, its verb, and the options of its family."""

    order = 100

    def __init__(self, other: OtherTask) -> None:
        options = other.options
        words = "; ".join(_OPTIONS[name] for name in options if name in _OPTIONS)
        self.name = self.kind = other.kind
        self.title, self.lead = other.title, other.lead
        self.description = f"{other.lead} {words}."
        self.own_controls = (PHOTO, *(_CONTROLS[name] for name in options))
        self.needs = ("mask",) if other.task.fills else ()
