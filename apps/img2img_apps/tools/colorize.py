"""Colorize: color for grey photos, with those of a user's."""

from __future__ import annotations

from img2img_apps.tools.base import Tool
from img2img_apps.tools.controls import MODEL, PHOTO, STRENGTH, Control


class ColorizeTool(Tool):
    """Light and dark stay."""

    name, title, order, kind = "colorize", "Colorize", 40, "colorize"
    lead = "Gives grey, faded or sepia photos color. Light and dark stay exactly as they are."
    description = (
        "Color for a grey photo; strength 0..1; model: a name from `img2img models`, or nothing; "
        "hints: the photo with colors painted on it, or a transparent picture of its size with "
        "nothing but them, or nothing."
    )
    own_controls = (
        PHOTO,
        STRENGTH,
        MODEL,
        Control("hints", "file", help="A stroke is enough", main=True, draws="colors"),
    )


TOOL = ColorizeTool()
