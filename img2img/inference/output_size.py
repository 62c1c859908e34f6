"""How large a result is to be, as a factor or in pixels, and which enlargements reach it.

The least enlargement that is large enough is followed by an antialiased reduction to that size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import prod
from typing import NamedTuple, TypedDict

from img2img.arguments import check_positive, check_whole
from img2img.errors import Advice, Option, Phrase, UserError

_MOST_STEPS = 2  # what a third model would start from holds next to nothing of the photo
_MOST_DISTORTION = 0.01  # of the aspect, by both sides together: cameras' 3:2 is off by as much

WidthHeight = tuple[int, int]


class SizeOptions(TypedDict, total=False):
    """The keywords of `OutputSize`."""

    scale: float
    longer_side: int
    width: int
    height: int


class Growth(NamedTuple):
    """By how much a photo has to grow, 1 or less where it has not, and what asked for that."""

    factor: float
    option: str
    asked: str
    """`×3.5`, or `4000×3000`."""


@dataclass(frozen=True)
class OutputSize:
    """How large results are to be: as large as the models make them, unless one of these is given.

    `longer_side`, `width` or `height` keeps the aspect; `width` and `height` together are exactly
    that size. Raises UserError for values of another kind, and for more than one way to say it.
    """

    scale: float | None = None
    """Times the photo's own size."""
    longer_side: int | None = None
    """In px, as the others."""
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        for name, value in given.items():
            check_positive(name, value)
            if name != "scale":
                check_whole(name, value)
        if len(given) > 1 and given.keys() != {"width", "height"}:
            raise UserError(
                "each say how large the result is to be", field=tuple(given), remedy="give one"
            )

    def of(self, size: WidthHeight) -> WidthHeight | None:
        """(width, height) of the result of a photo of this (width, height); None where nothing was
        asked. Raises UserError where both sides are given, and would distort the photo.
        """
        width, height = size
        if self.scale is not None:
            return _times(size, self.scale)
        if self.longer_side is not None:
            return _times(size, self.longer_side / max(size))
        by_width = None if self.width is None else _times(size, self.width / width)
        by_height = None if self.height is None else _times(size, self.height / height)
        if by_width is None or by_height is None:
            return by_width or by_height
        wanted = (by_width[0], by_height[1])
        distortion = abs(wanted[0] * height / (wanted[1] * width) - 1)
        if distortion > _MOST_DISTORTION and wanted not in (by_width, by_height):
            first, second = (f"{w}x{h}" for w, h in (by_width, by_height))
            raise UserError(
                f"would distort the photo, which is {width}x{height}",
                field=("width", "height"),
                remedy=Advice(
                    *("give one of them: ", Option("width"), f" alone makes {first}, "),
                    *(Option("height"), f" alone {second}"),
                ),
            )
        return wanted

    def growth(self, size: WidthHeight | None = None) -> Growth | None:
        """What a photo of this (width, height) asks of models; without one, as far as the scale
        says it. None where nothing was asked. Raises UserError as `of` does.
        """
        if size is None:
            return None if self.scale is None else Growth(self.scale, "scale", f"×{self.scale:g}")
        wanted = self.of(size)
        if wanted is None:
            return None
        option = next(name for name, value in vars(self).items() if value is not None)
        asked = f"{wanted[0]}×{wanted[1]}" if self.scale is None else f"×{self.scale:g}"
        return Growth(max(wanted[0] / size[0], wanted[1] / size[1]), option, asked)


def factors_for(growth: Growth, known: Sequence[int]) -> tuple[int, ...]:
    """The fewest of the known factors, at most two, whose product is the least that suffices; no
    factor for a photo that has not to grow. Raises UserError where they do not suffice.
    """
    if growth.factor <= 1:
        return ()
    larger_first = sorted(known, reverse=True)
    for count in range(1, _MOST_STEPS + 1):
        chains = combinations_with_replacement(larger_first, count)
        fitting = [chain for chain in chains if prod(chain) >= growth.factor]
        if fitting:
            return min(fitting, key=prod)
    most = larger_first[0] ** _MOST_STEPS
    raise UserError(
        f"{growth.asked} is more than ×{most} of the photo, the most that is possible here",
        field=growth.option,
        remedy="ask for less",
    )


def check_grows(growth: Growth | None, scale: int, title: str | Phrase) -> None:
    """Raise UserError where one model of this title and scale does not make a photo grow enough."""
    if growth is None or growth.factor <= max(scale, 1):
        return
    says = f" is for ×{scale}, not {growth.asked}" if scale > 1 else " does not enlarge"
    remedy = Advice.leave_out(growth.option)
    raise UserError(
        Phrase("model ", title, says),
        field=growth.option,
        remedy=remedy | f"ask for ×{scale} at most" if scale > 1 else remedy,
    )


def _times(size: WidthHeight, factor: float) -> WidthHeight:
    width, height = (max(1, round(side * factor)) for side in size)
    return width, height
