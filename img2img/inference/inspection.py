"""A photo looked at before anything is done to it: how large its file says it is, what is seen in
it, and what the automatic plan proposes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from img2img.errors import UserError
from img2img.inference.plan import Plan
from img2img.inference.request import Request
from img2img.inference.statistics import statistics
from img2img.pixels.file_kind import size_in_header
from img2img.pixels.images import Photo, read_photo
from img2img.tasks import PhotoStatistics, ask, photo_tasks

_TINTS = {0: "grey", 1: "one tint", 2: "color"}
_PHOTOS = {"grey": "A grey photo", "one tint": "A photo of one tint", "color": "A color photo"}


@dataclass(frozen=True)
class Inspection:
    """What is known of a photo."""

    photo: Photo
    statistics: PhotoStatistics
    findings: tuple[str, ...]
    """In a word or two each: its color, and what tasks find that they could mend."""
    proposed: Plan
    """The automatic plan."""

    @property
    def sentence(self) -> str:
        """What is seen, as one sentence without its full stop."""
        tint, *rest = self.findings
        width, height = self.photo.size
        found = ": " + ", ".join(rest) if rest else ""
        return f"{_PHOTOS[tint]} of {width} × {height} px{found}"


def inspect(path: Path, most_megapixels: float) -> Inspection:
    """Read a photo and look at it. Raises UserError for one that cannot be read or is too large."""
    photo = read_photo(path)
    check_megapixels(path, most_megapixels, photo.size)
    stats = statistics(photo)
    reasons = [reason for kind in photo_tasks() if (reason := ask("applies", kind, stats))]
    # A plugin's may be a plain text. What the tint says already is not said twice.
    found = [_TINTS[stats.tints], *(getattr(reason, "finding", reason) for reason in reasons)]
    proposed = Request().resolve().plan(photo, seen=stats)
    return Inspection(photo, stats, tuple(dict.fromkeys(found)), proposed)


def check_megapixels(path: Path, most: float, size: tuple[int, int] | None = None) -> None:
    """Raise UserError for a photo of more than so many megapixels: by its (width, height), or by
    what its file claims before anything is decoded.
    """
    size = size or size_in_header(path)
    megapixels = size[0] * size[1] / 1e6 if size else 0
    if megapixels > most:
        raise UserError(
            f"has {megapixels:.1f} megapixels, more than the {most:g} allowed here",
            place=path,
            remedy="make it smaller first",
        )
