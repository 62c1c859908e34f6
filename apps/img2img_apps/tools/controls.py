"""What may be set of a tool: parameters, called as in the command line, with what they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from img2img_apps.labels import LABELS
from img2img_apps.service import WAYS

ControlKind = Literal[
    "range",
    "number",
    "whole",
    "seed",
    "choice",
    "steps",
    "switch",
    "text",
    "sides",
    "model",
    "file",
]
"""`range` has both ends; `steps` are tasks, separated by commas; `sides` are L,T,R,B in px."""
Draws = Literal["mask", "colors", "strength"]

MOST_SEED = 2**53 - 1  # beyond this, numbers in JSON lose digits
_MOST_MASK_PX = 512


@dataclass(frozen=True)
class Control:
    """One parameter."""

    name: str
    kind: ControlKind
    default: Any = None
    least: float | None = None
    most: float | None = None
    step: float | None = None
    choices: tuple[tuple[str, str], ...] = ()
    """Values and their labels."""
    help: str = ""
    unit: str = ""
    main: bool = False
    """One of the few that are shown at once."""
    draws: Draws | None = None
    """What a brush makes for it, of a file."""
    later: bool = False
    """The endpoint got it later, as one of its last: older calls end before it."""
    enabled: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are."""
        return self.kind in ("whole", "seed") or self.step == 1

    @property
    def label(self) -> str:
        """What the page calls it."""
        return LABELS.get(self.name, self.name.replace("_", " ").capitalize())

    def fields(self) -> dict[str, Any]:
        """Plain data for a page that builds it."""
        named = {name: getattr(self, name) for name in ("name", "label", "kind", "default")}
        ends = {"min": self.least, "max": self.most, "step": self.step, "unit": self.unit}
        choices = [{"value": value, "label": label} for value, label in self.choices]
        more = {"help": self.help, "main": self.main, "draw": self.draws, "enabled": self.enabled}
        return named | ends | {"choices": choices} | more


PHOTO = Control("photo", "file")
STRENGTH = Control(
    "strength", "range", 1, 0, 1, 0.05, help="0 leaves the photo as it is", main=True
)
MODEL = Control("model", "model", "", help="Instead of the one that is shipped for this")
SEED = Control("seed", "seed", 0, 0, MOST_SEED, help="For models that draw lots")
MASK = Control("mask", "file", help="White over what is to be filled", main=True, draws="mask")
GROW = Control(
    "mask_grow", "range", 0, 0, _MOST_MASK_PX, 1, unit="px", main=True, help="Makes the mask wider"
)
FEATHER = Control(
    "feather", "range", 0, 0, _MOST_MASK_PX, 1, unit="px", help="Blends the fill into the photo"
)
EXTEND = Control("extend", "sides", "0,0,0,0", unit="px", help="New canvas on each side")
DIRECTION = Control(
    "direction",
    "choice",
    "",
    choices=tuple((way, f"{way[0]} to {way[3]}" if way else "As trained") for way in WAYS),
    help="For models that go both ways",
)
FROM_PHOTO = Control(
    "from_photo", "switch", False, help="Make the input, such as a sketch, of the photo first"
)
STRENGTH_MASK = Control(
    "strength_mask",
    "file",
    help="White = full strength, black = the photo itself",
    draws="strength",
    later=True,
)
SAVING = (
    Control("format", "text", "", help="jpg, png, tif, webp …; the photo's own", later=True),
    Control("quality", "whole", None, 1, 100, help="Of lossy formats", later=True),
    Control("metadata", "switch", True, help="Keep EXIF, XMP and resolution", later=True),
)
"""How a result is written."""
FOR_ALL_PHOTOS = (STRENGTH_MASK, *SAVING)
