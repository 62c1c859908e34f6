"""Translate: a drawing to a picture."""

from __future__ import annotations

from dataclasses import replace

from img2img.inference.request import Request
from img2img_apps.service import Service, direction_of
from img2img_apps.tools.base import Given, Tool
from img2img_apps.tools.controls import DIRECTION, FROM_PHOTO, MODEL, PHOTO, SEED


class TranslateTool(Tool):
    """By the models that were trained on pairs, or on two kinds of pictures."""

    name, title, order, kind = "translate", "Translate", 80, "translate"
    lead = (
        "Turns a drawing into a picture. "
        "Draw one, upload one, or let the outline be taken from a photo."
    )
    description = (
        "A sketch to a picture; from_photo makes the sketch first; direction (AtoB, BtoA): for "
        "models that go both."
    )
    own_controls = (
        PHOTO,
        replace(FROM_PHOTO, main=True),
        SEED,
        replace(MODEL, main=True),
        DIRECTION,
    )

    def request(self, service: Service, given: Given) -> Request:
        direction_of(given["direction"] or "", given["model"] or "")
        return super().request(service, given)


TOOL = TranslateTool()
