"""Loss curves as a small drawing in the page: no script, and the colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .service import escaped

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 240, 56, 12, 12, 28
_COLOURS = ("#0d9488", "#d97706", "#7c3aed", "#dc2626", "#2563eb", "#65a30d")
Curve = list[tuple[int, float]]
EMPTY = '<p class="quiet">Losses are drawn here while a training runs.</p>'


def drawing(points: Iterable[tuple[int, str, float]]) -> str:
    """Curves over steps, each by its name, on a logarithmic scale where all values are positive."""
    curves: dict[str, Curve] = {}
    for step, name, value in points:
        if math.isfinite(value):
            curves.setdefault(name, []).append((step, value))
    if not any(len(curve) > 1 for curve in curves.values()):
        return EMPTY
    values = [value for curve in curves.values() for _, value in curve]
    scale = math.log10 if min(values) > 0 else float
    low, high = scale(min(values)), scale(max(values))
    last = max(step for curve in curves.values() for step, _ in curve)

    def place(step: int, value: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / last
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - scale(value)) / ((high - low) or 1)
        return f"{x:.1f},{y:.1f}"

    lines = [_line([place(*point) for point in curve], n) for n, curve in enumerate(curves.values())]
    name = f"Losses up to step {last}: " + ", ".join(f"{name} now {curve[-1][1]:.3g}" for name, curve in curves.items())
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escaped(name)}">'
        f"{_axes(min(values), max(values), last)}{''.join(lines)}</svg>{_legend(curves)}"
    )


def _line(places: Sequence[str], number: int) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    return f'<polyline points="{" ".join(places)}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _axes(least: float, most: float, last: int) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    return (
        f'<path d="M{_LEFT},{_TOP}V{bottom}H{right}" fill="none" stroke="currentColor" opacity="0.3"/>'
        f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{most:.3g}</text>'
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">{least:.3g}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">0</text>'
        f'<text x="{right}" y="{_HEIGHT - 8}" text-anchor="end">step {last}</text>'
    )


def _legend(curves: dict[str, Curve]) -> str:
    items = (
        f'<li><span style="background:{_COLOURS[n % len(_COLOURS)]}"></span>{escaped(name)} {curve[-1][1]:.3g}</li>'
        for n, (name, curve) in enumerate(curves.items())
    )
    return f'<ul class="legend" aria-hidden="true">{"".join(items)}</ul>'
