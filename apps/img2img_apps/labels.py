"""What the page calls the options of the command line: one name each, the same on every tab and in
messages; and which tab and endpoint does which task.
"""

from __future__ import annotations

OWN_TABS = {
    "colorize": "Colorize",
    "denoise": "Denoise",
    "inpaint": "Erase",
    "restoration": "Restore",
    "super-resolve": "Enlarge",
    "translate": "Translate",
}
"""The tasks that have a tab of their own, and its name; the endpoint is called so in lower case."""

VERBS_WITH_A_TAB, VERBS_WITH_AN_ENDPOINT = ("generate", "train"), ("generate",)
"""Verbs of the command line that the page and the API have too."""

LABELS = {
    "task": "Steps",
    "model": "Model",
    "scale": "Scale",
    "longer_side": "Longer side",
    "width": "Width",
    "height": "Height",
    "strength": "Strength",
    "strength_mask": "Strength by region",
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
    "format": "Format",
    "quality": "Quality",
    "metadata": "Metadata",
    "out": "Name of the run",
    "resume": "Resume",
}

RECIPE_LABELS = {"data.path": "Photos", "train.steps": "Steps"}
"""The fields of a recipe that the Train tab shows; others are called as in the recipe."""


def tab_title(kind: str) -> str:
    """The name of a task's tab: `Erase`, and of a task without one of its own `Old print`, as its
    kind is `old-print`.
    """
    return OWN_TABS.get(kind) or kind.replace("-", " ").replace("_", " ").capitalize()


def endpoint(kind: str) -> str:
    """The name of a task's endpoint: `erase`; its kind where it has none of its own."""
    return OWN_TABS[kind].lower() if kind in OWN_TABS else kind
