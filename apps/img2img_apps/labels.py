"""What the page calls the options of the command line: one name each, the same on every tab and in
messages.
"""

from __future__ import annotations

LABELS = {
    "task": "Steps",
    "model": "Model",
    "scale": "Scale",
    "strength": "Strength",
    "detail": "Detail",
    "seed": "Seed",
    "direction": "Direction",
    "mask": "Mask",
    "mask_grow": "Grow",
    "feather": "Feather",
    "extend": "Extend",
    "hints": "Color it yourself",
    "from_photo": "From photo",
    "label": "Label",
    "count": "How many",
    "interpolate": "Walk",
}
