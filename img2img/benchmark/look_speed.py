"""The automatic plan's look at a photo, next to the work that it plans."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from img2img.benchmark.photos import side_of, square_photo
from img2img.benchmark.timing import Effort, Timing, time_repeats
from img2img.inference.plan import Plan
from img2img.inference.request import Request
from img2img.inference.statistics import statistics
from img2img.pixels.images import Photo
from img2img.resources import inputs_dir

LOOKED_AT = ("noisy.png", "old_photo.jpg")
"""photos with something to mend, in color and without"""


@dataclass(frozen=True)
class Look:
    """At one photo of one size."""

    look: Timing
    """measuring the photo, and planning by what was measured"""
    tasks: str
    work: Timing | None
    """doing what was planned; None where it is expected to take longer than the budget"""

    @property
    def share_of_work(self) -> float | None:
        """The look over the work that it plans."""
        return None if self.work is None else self.look.median_s / self.work.median_s

    def fields(self) -> dict[str, Any]:
        """`seconds`, `share_of_work` and so on, for JSON."""
        work_s = None if self.work is None else self.work.median_s
        planned = {"tasks": self.tasks, "work_seconds": work_s, "share_of_work": self.share_of_work}
        return self.look.fields() | planned


@dataclass(frozen=True)
class LookSpeed:
    """By photo and megapixels."""

    by_photo: dict[str, dict[float, Look]]

    name: ClassVar[str] = "look"

    def fields(self) -> dict[str, Any]:
        """`look.<photo>.<megapixels>.seconds` and so on, for JSON."""
        return {
            photo: {f"{mp:.3g}": look.fields() for mp, look in by_size.items()}
            for photo, by_size in self.by_photo.items()
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A line each."""
        return [
            (
                photo,
                f"{megapixels:.3g} MP",
                look.look.text(),
                "work left out: beyond the budget"
                if look.work is None
                else f"{look.share_of_work:.1%} of {look.work.text()}",
                look.tasks,
            )
            for photo, by_size in self.by_photo.items()
            for megapixels, look in by_size.items()
        ]


def measure_looks(megapixels: tuple[float, ...], effort: Effort) -> LookSpeed:
    """Photos repeated to squares of these sizes, from small to large."""
    return LookSpeed({name: _looks_at(name, megapixels, effort) for name in LOOKED_AT})


def _looks_at(name: str, megapixels: tuple[float, ...], effort: Effort) -> dict[float, Look]:
    request, found = Request(device="cpu").resolve(), dict[float, Look]()
    seconds_per_mp, few = 0.0, effort.few()

    def look_at(photo: Photo) -> Plan:
        return request.plan(photo, seen=statistics(photo))

    for size in megapixels:
        photo = square_photo(inputs_dir() / name, side_of(size))
        plan, look = look_at(photo), time_repeats(partial(look_at, photo), effort)
        work = None
        if seconds_per_mp * size <= effort.budget_s:
            work = time_repeats(partial(plan.run, photo), few)
            seconds_per_mp = work.median_s / size
        found[size] = Look(look, plan.tasks, work)
    return found
