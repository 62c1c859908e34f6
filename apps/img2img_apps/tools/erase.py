"""Erase: fill what was marked."""

from __future__ import annotations

from img2img_apps.tools.base import Tool
from img2img_apps.tools.controls import EXTEND, FEATHER, GROW, MASK, MODEL, PHOTO, SEED


class EraseTool(Tool):
    """By the models that fill masks."""

    name, title, order, kind = "erase", "Erase", 60, "inpaint"
    lead = "Brush over what should go. Everything you do not touch comes back exactly as it was."
    description = (
        "Fill what is white in the mask (of the photo's size); extend: L,T,R,B pixels of new "
        "canvas."
    )
    own_controls = (PHOTO, MASK, GROW, FEATHER, EXTEND, SEED, MODEL)
    needs = ("mask", "extend")


TOOL = EraseTool()
