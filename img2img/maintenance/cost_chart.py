"""Curves over logarithmic axes as one SVG file for a README: two panels a row, each with its own
legend; no script, no outside resource, on white in light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 230  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 52, 128, 28, 26  # the legend lies on the right
COLUMNS = 2
COLORS = ("#1f6feb", "#6e7781", "#1a7f37", "#9a6700", "#cf222e", "#8250df", "#bf3989", "#0a7ea4")
STYLE = (
    "text{font:11px sans-serif;fill:#24292f}.title{font-weight:bold}"
    ".grid{stroke:#d8dee4}.curve{fill:none;stroke-width:1.8}"
)
LEAST = 1e-3  # what is less (no memory that could be seen) is drawn here


@dataclass(frozen=True)
class CostCurve:
    """A named series of (x, y), both above 0; dashed where nothing was measured along it."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class CostPanel:
    """Curves in one frame."""

    title: str
    x_name: str
    curves: Sequence[CostCurve]


@dataclass(frozen=True)
class Axis:
    """A logarithmic scale from `low` to `high` on pixels from `begin` to `end`."""

    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], begin: float, end: float) -> Axis:
        """With some room at both ends."""
        low, high = math.log10(min(values)), math.log10(max(values))
        room = 0.05 * (high - low) or 0.3
        return cls(10 ** (low - room), 10 ** (high + room), begin, end)

    def at(self, value: float) -> float:
        """Where a value lies, in px."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + (self.end - self.begin) * share

    def ticks(self) -> list[float]:
        """Powers of ten, and where there are fewer than three of them also their double and
        fivefold.
        """
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        tens = [10.0**n for n in exponents if self.low <= 10.0**n <= self.high]
        if len(tens) > 2:
            return tens
        return [n for e in exponents for n in (10.0**e, 2 * 10.0**e, 5 * 10.0**e) if self.has(n)]

    def has(self, value: float) -> bool:
        """Whether a value lies on it."""
        return self.low <= value <= self.high


def drawn(panels: Sequence[CostPanel]) -> str:
    """All panels as the text of an SVG file."""
    rows = math.ceil(len(panels) / COLUMNS)
    size = WIDTH * COLUMNS, HEIGHT * rows
    body = "".join(
        f'<g transform="translate({number % COLUMNS * WIDTH},{number // COLUMNS * HEIGHT})">'
        f"{_panel(panel)}</g>\n"
        for number, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" '
        f'width="{size[0]}" height="{size[1]}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}</svg>\n'
    )


def _panel(panel: CostPanel) -> str:
    points = [(x, max(y, LEAST)) for curve in panel.curves for x, y in curve.points]
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    across = Axis.around([x for x, _ in points], LEFT, right)
    up = Axis.around([y for _, y in points], bottom, TOP)
    sizes = sorted({x for curve in panel.curves if not curve.dashed for x, _ in curve.points})
    levels = "".join(
        f'<path class="grid" d="M{LEFT},{up.at(y):.1f}H{right}"/>'
        f'<text x="{LEFT - 5}" y="{up.at(y) + 4:.1f}" text-anchor="end">{y:g}</text>'
        for y in up.ticks()
    )
    steps = "".join(
        f'<path class="grid" d="M{across.at(x):.1f},{TOP}V{bottom}"/>'
        f'<text x="{across.at(x):.1f}" y="{bottom + 14}" text-anchor="middle">{x:.3g}</text>'
        for x in sizes
    )
    curves = "".join(_curve(n, curve, across, up) for n, curve in enumerate(panel.curves))
    return (
        f'<text class="title" x="{LEFT}" y="16">{escape(panel.title)}</text>'
        f'<text x="{right + 8}" y="{bottom + 14}">{escape(panel.x_name)}</text>'
        f"{levels}{steps}{curves}"
    )


def _curve(number: int, curve: CostCurve, across: Axis, up: Axis) -> str:
    color = COLORS[number % len(COLORS)]
    places = [(across.at(x), up.at(max(y, LEAST))) for x, y in sorted(curve.points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashes = ' stroke-dasharray="4 3"' if curve.dashed else ""
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>'
        for x, y in (() if curve.dashed else places)
    )
    left, top = WIDTH - RIGHT + 8, TOP + 8 + 15 * number
    key = f'<path d="M{left},{top}h14" stroke="{color}" stroke-width="2"{dashes}/>'
    name = f'<text x="{left + 18}" y="{top + 4}">{escape(curve.name)}</text>'
    return f'<polyline class="curve" points="{line}" stroke="{color}"{dashes}/>{dots}{key}{name}'
