"""Repair: scratches, dust, folds and stains out, where a model for it is there."""

from __future__ import annotations

from img2img_apps.tools.base import Tool
from img2img_apps.tools.controls import MODEL, PHOTO, STRENGTH


class RepairTool(Tool):
    """By the task of that name."""

    name, title, order, kind = "repair", "Repair", 20, "repair"
    lead = "Finds scratches, dust, folds and stains, and fills them."
    description = "The photo without scratches, dust, folds and stains; strength 0..1."
    own_controls = (PHOTO, STRENGTH, MODEL)


TOOL = RepairTool()
