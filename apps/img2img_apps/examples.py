"""Pictures to try every tab with, copied from the package into the app's folder: no network, no
path of ours shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from img2img.resources import inputs_dir, samples_dir
from img2img_apps.workspace import Workspace

_ICON_PX = 80  # shown at 40, and as sharp on a phone


@dataclass(frozen=True)
class Example:
    """A picture and what it is called on its button."""

    label: str
    path: Path
    icon: Path
    mask: Path | None = None


@dataclass
class Examples:
    """Finds example pictures; one that is not there is left out."""

    workspace: Workspace

    def of(self, *wanted: tuple[str, str]) -> list[Example]:
        """(label, file name) pairs from `data/inputs` or `data/samples`."""
        return [
            Example(label, self.workspace.keep(path), self._icon(path))
            for label, name in wanted
            if (path := _find(name))
        ]

    def with_mask(self, label: str, name: str, mask: str) -> list[Example]:
        """An example for the mask brush."""
        photo, hole = _find(name), _find(mask)
        return (
            [
                Example(
                    label, self.workspace.keep(photo), self._icon(photo), self.workspace.keep(hole)
                )
            ]
            if photo and hole
            else []
        )

    def _icon(self, path: Path) -> Path:
        """The middle of a picture, small, so that its button is not sent the whole."""
        icon = self.workspace.kept / "icons" / f"{path.name}.jpg"
        if not icon.exists():
            icon.parent.mkdir(exist_ok=True)
            with Image.open(path) as picture:
                ImageOps.fit(picture.convert("RGB"), (_ICON_PX, _ICON_PX)).save(icon)
        return icon

    def blank(self, side_px: int) -> Path:
        """White paper to draw on."""
        path = self.workspace.kept / f"paper_{side_px}.png"
        Image.new("RGB", (side_px, side_px), "white").save(path)
        return path


def _find(name: str) -> Path | None:
    return next(
        (folder / name for folder in (inputs_dir(), samples_dir()) if (folder / name).is_file()),
        None,
    )
