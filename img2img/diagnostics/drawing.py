"""Curves as inline SVG: no script, no outside resource; colors are the page's variables, light and
dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 26
MOST_POINTS = 300  # of a curve: more than the pixels it is drawn on
COLORS = 8  # --c0 … --c7 in the page's style


@dataclass(frozen=True)
class PlotCurve:
    """A named series of (step, value); `dash` for what it is to be compared with."""

    name: str
    points: Sequence[tuple[int, float]]
    color: int = 0
    dash: bool = False

    @property
    def thinned(self) -> list[tuple[int, float]]:
        """The finite points, evenly thinned; the last is always one of them."""
        good = [(step, value) for step, value in self.points if math.isfinite(value)]
        thin = math.ceil(len(good) / MOST_POINTS) or 1
        return good[::-1][::thin][::-1]


@dataclass(frozen=True)
class Plot:
    """Curves in one frame over the same steps; `marks` are steps with a finding of the doctor's."""

    title: str
    curves: Sequence[PlotCurve]
    logarithmic: bool = False
    level: float | None = None  # a line to read the curves against
    note: str = ""
    marks: Sequence[int] = field(default=())


def drawn(plot: Plot) -> str:
    """The plot as a <figure>; nothing where there is nothing to draw."""
    curves = [curve for curve in plot.curves if curve.thinned]
    if not curves:
        return ""
    frame = _Frame(plot, curves)
    lines, level = "".join(_line(curve, frame) for curve in curves), ""
    if plot.level is not None:
        level = f'<path class="level" d="M{LEFT},{frame.y(plot.level):.1f}H{WIDTH - RIGHT}"/>'
    label = f"{plot.title}: " + ", ".join(
        f"{c.name} ends at {c.thinned[-1][1]:.3g}" for c in curves
    )
    note = f'<p class="note">{escape(plot.note)}</p>' if plot.note else ""
    return (
        f"<figure><figcaption>{escape(plot.title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{_grid(frame)}{_marks(plot.marks, frame)}{level}{lines}</svg>"
        f"{_legend(curves)}{note}</figure>"
    )


class _Frame:
    """Where steps and values lie on the paper."""

    def __init__(self, plot: Plot, curves: Sequence[PlotCurve]) -> None:
        points = [point for curve in curves for point in curve.thinned]
        values = [value for _, value in points] + ([plot.level] if plot.level is not None else [])
        self.last = max(1, *(step for step, _ in points))
        self.logarithmic = plot.logarithmic and min(values) > 0
        self.scaled: Callable[[float], float] = math.log10 if self.logarithmic else float
        low, high = self.scaled(min(values)), self.scaled(max(values))
        room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        self.low, self.high = low - room, high + room

    def x(self, step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self.last

    def y(self, value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.high - self.scaled(value)) / (
            self.high - self.low
        )

    def ticks(self) -> list[float]:
        """Round values inside the frame, three to six of them."""
        if self.logarithmic and self.high - self.low >= 2:
            every = math.ceil((self.high - self.low) / 5)
            return [10.0**n for n in range(math.ceil(self.low), math.floor(self.high) + 1, every)]
        if self.logarithmic and self.high - self.low >= 0.7:
            some = [
                m * 10.0**n
                for n in range(math.floor(self.low), math.ceil(self.high) + 1)
                for m in (1, 2, 5)
            ]
            return [value for value in some if self.low <= math.log10(value) <= self.high]
        low, high = (10**self.low, 10**self.high) if self.logarithmic else (self.low, self.high)
        unit = 10 ** math.floor(math.log10((high - low) / 3))
        step = next(unit * n for n in (1, 2, 5, 10) if (high - low) / (unit * n) <= 5)
        return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _grid(frame: _Frame) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    rows = "".join(
        f'<path class="grid" d="M{LEFT},{frame.y(tick):.1f}H{right}"/>'
        f'<text x="{LEFT - 7}" y="{frame.y(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
        for tick in frame.ticks()
    )
    steps = f'<text x="{LEFT}" y="{HEIGHT - 6}">0</text>'
    steps += f'<text x="{right}" y="{HEIGHT - 6}" text-anchor="end">step {frame.last:,}</text>'
    return f'{rows}<path class="axis" d="M{LEFT},{bottom}H{right}"/>{steps}'


def _marks(steps: Sequence[int], frame: _Frame) -> str:
    return "".join(
        f'<path class="mark" d="M{frame.x(s):.1f},{TOP}V{HEIGHT - BOTTOM}"/>'
        for s in sorted(set(steps))
    )


def _line(curve: PlotCurve, frame: _Frame) -> str:
    places = [f"{frame.x(step):.1f},{frame.y(value):.1f}" for step, value in curve.thinned]
    x, y = places[-1].split(",")
    style = f'stroke="var(--c{curve.color % COLORS})"' + (
        ' stroke-dasharray="5 4"' if curve.dash else ""
    )
    dot = f'<circle cx="{x}" cy="{y}" r="2.6" fill="var(--c{curve.color % COLORS})"/>'
    line = f'<polyline points="{" ".join(places)}" {style}/>'
    return f"<g><title>{escape(curve.name)}</title>{line}{dot}</g>"


def _legend(curves: Sequence[PlotCurve]) -> str:
    items = (
        f'<li><span class="key{" dashed" if c.dash else ""}" '
        f'style="--c: var(--c{c.color % COLORS})"></span>'
        f"{escape(c.name)} <b>{_number(c.thinned[-1][1])}</b></li>"
        for c in curves
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _number(value: float) -> str:
    """Three digits, without the noise of floating point."""
    text = f"{value:.3g}"
    return "0" if float(text) == 0 else text.replace("e-0", "e-").replace("e+0", "e")
