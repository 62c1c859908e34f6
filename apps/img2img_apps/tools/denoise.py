"""Denoise: noise out."""

from __future__ import annotations

from img2img_apps.tools.base import Tool
from img2img_apps.tools.controls import MODEL, PHOTO, STRENGTH


class DenoiseTool(Tool):
    """By the model that fits the photo's noise."""

    name, title, order, kind = "denoise", "Denoise", 30, "denoise"
    lead = "Takes grain and speckle out of a photo: high ISO, old scans, strong compression."
    description = "The photo without noise; strength 0..1."
    own_controls = (PHOTO, STRENGTH, MODEL)


TOOL = DenoiseTool()
