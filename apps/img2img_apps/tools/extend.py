"""Extend: a larger canvas, painted on beyond the edges."""

from __future__ import annotations

from dataclasses import replace

from img2img_apps.tools.base import Tool
from img2img_apps.tools.controls import EXTEND, FEATHER, MODEL, PHOTO, SEED


class ExtendTool(Tool):
    """By the models that fill masks, the new border being one."""

    name, title, order, kind = "extend", "Extend", 70, "inpaint"
    lead = "Paints on beyond the edges. The photo itself comes back exactly as it was."
    description = "The photo on a larger canvas; extend: L,T,R,B pixels of it, which are filled."
    own_controls = (PHOTO, replace(EXTEND, main=True), FEATHER, SEED, MODEL)
    needs = ("extend",)


TOOL = ExtendTool()
