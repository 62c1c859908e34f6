"""What each of the doctor's rules reads off a log: numbers by name, which the rule grades.

A reading that is None or left out is not graded: it was not measured, or it is too early.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import Any

from img2img.diagnostics.chart import WINDOW, Chart, LogRow
from img2img.tasks.baseline import higher_is_better

Readings = Mapping[str, Any]
Measure = Callable[[Chart], Readings]


def vital(name: str, *, of_many: bool = False) -> Measure:
    """A vital sign that is bad when it is high; `of_many` samples: a few do not show it."""

    def measure(chart: Chart) -> Readings:
        unseen = of_many and chart.few
        return {name: None if unseen else chart.vital(name, high_is_bad=True)}

    return measure


def discriminator_winning(chart: Chart) -> Readings:
    """D ranks nearly every pair rightly; its loss has gone to 0, or its gradient to G has faded."""
    accuracy, objective = chart.now("d_accuracy"), chart.facts.objective_class
    # A healthy D is wrong more than once in 50.
    if not accuracy or fmean(accuracy) < 0.98 or chart.facts.reconstructs:
        return {}
    signal = median(chart.now("g_signal") or [math.inf])
    faded = max(chart.all("g_signal"), default=0.0) / max(signal, 1e-30)
    blind = (objective.blind_loss or 0.0) * chart.facts.d_loss_weight if objective else 0.0
    losses = chart.now("d_loss")
    share = max(fmean(losses), 1e-6) / blind if blind and losses else 1.0
    fade = "critic_faded" if objective is not None and objective.critic else "faded"
    return {"accuracy": fmean(accuracy), "share": share, "certainty": 1 / share, fade: faded}


def discriminator_blind(chart: Chart) -> Readings:
    """D never learned to tell real from fake, or is wrong more often than right."""
    accuracy, now = chart.all("d_accuracy"), chart.now("d_accuracy")
    if not now or not chart.settled or chart.facts.reconstructs or chart.noisy:
        return {}
    readings: dict[str, float] = {"now": fmean(now)}
    # A D held back by noise and a gradient penalty may tell no more of them apart, and yet teach G
    # all of the data.
    if chart.taught():
        return readings
    if len(accuracy) >= 4 * WINDOW:
        starts = range(len(accuracy) - WINDOW + 1)
        readings["best"] = max(fmean(accuracy[i : i + WINDOW]) for i in starts)
    recovering = fmean(now) > 1.1 * fmean(accuracy[-2 * WINDOW : -WINDOW] or now)
    return readings if recovering else {**readings, "fooled": fmean(now)}


def loss_spikes(chart: Chart) -> Readings:
    """Single steps with many times the usual gradient, or a D that wins and loses in turn."""
    watched = ("d_grad_norm",) if chart.facts.clipped else ("d_grad_norm", "g_grad_norm")
    spikes = {name: _spike(chart, name) for name in watched}
    name = max(spikes, key=lambda n: spikes[n])
    accuracy = chart.now("d_accuracy")
    swing = _swing(accuracy) if accuracy and not chart.facts.reconstructs else 0.0
    return {name: spikes[name], "swing": swing}


def fooling_with_garbage(chart: Chart) -> Readings:
    """G's adversarial loss falls steadily while no validated number gets better.

    `fall` is in units of the loss's own jitter between rows.
    """
    losses, accuracy = chart.all("adversarial"), chart.now("d_accuracy")
    if len(losses) < 2 * WINDOW or not accuracy or not chart.settled:
        return {}
    # -0.7: downhill all the way, not only at its ends. A D that tells 0.6 of the pairs apart is not
    # being fooled.
    if _rank_correlation(losses) > -0.7 or fmean(accuracy) > 0.6 or not chart.garbage():
        return {}
    third = len(losses) // 3
    first, last = fmean(losses[:third]), fmean(losses[-third:])
    jitter = median(abs(b - a) for a, b in pairwise(losses))
    fall = (first - last) / (jitter + 1e-9)
    return {"fall": fall, "first": first, "last": last, "accuracy": fmean(accuracy)}


def mode_collapse(chart: Chart) -> Readings:
    """Outputs differ less than targets do, or leave parts of the data out."""
    if chart.noisy:  # samples spread out late, as the noise that hides the modes from D falls
        return {}
    facts, readings = chart.facts, dict[str, Any]()
    alone = "" if facts.kind else "_without_d"
    readings[f"diversity{alone}"] = None if chart.few else chart.vital("diversity")
    # Garbage covers nothing either, and its sickness is another.
    if (chart.vital("fidelity") or 0) >= 0.2:
        readings["coverage"] = chart.vital("coverage")
    if facts.modes and facts.modes > 1:
        found = chart.final("modes_covered", "validation")
        readings |= {"found": found, "modes": facts.modes}
        readings["modes_share"] = None if found is None else found / facts.modes
    return readings


def low_fidelity(chart: Chart) -> Readings:
    """Fakes lie where no real samples are, however varied they are."""
    data = "points" if chart.facts.modes else "pictures"
    return {f"fidelity_of_{data}": chart.final("fidelity")}


def overfitting(chart: Chart) -> Readings:
    """Since the best validation, training photos have gained and those held out have lost."""
    gaps = {name: _gap_db(name, rows) for name, rows in chart.metrics()}
    name = max(gaps, key=lambda n: gaps[n], default="")
    return {"gap_db": gaps.get(name, 0.0), "metric": name}


def not_a_number(chart: Chart) -> Readings:
    """The run met NaN or infinity."""
    error = next((str(row["error"]) for row in reversed(chart.rows) if "error" in row), None)
    bad = (
        f"{name} is not finite"
        for row in chart.rows[-WINDOW:]
        for name, value in row.items()
        if isinstance(value, float) and not math.isfinite(value)
    )
    found = error or next(bad, None)
    return {"met": 1.0 if found else None, "found": found}


def exploding_gradients(chart: Chart) -> Readings:
    """Gradients have grown by orders of magnitude, and stay there: the side where they did more."""
    growth = {name: _growth(chart, name) for name in ("g_grad_norm", "d_grad_norm")}
    name = max(growth, key=lambda n: growth[n])
    return {name: growth[name]}


def wrong_range(chart: Chart) -> Readings:
    """Targets or conditions that are not in [0,1]: the worse of the two."""
    rows = reversed(chart.rows)
    held: Mapping[str, float] = next((row["ranges"] for row in rows if row.get("ranges")), {})
    worst: dict[str, Any] = {"out": None}
    for side in ("target", "condition"):
        if f"{side}_low" in held:
            low, high = held[f"{side}_low"], held[f"{side}_high"]
            out = _out_of_range(side, low, high)
            if out is not None and out > (-1 if worst["out"] is None else worst["out"]):
                worst = {"out": out, "side": side, "low": low, "high": high}
    return worst


def _out_of_range(side: str, low: float, high: float) -> float | None:
    """0 for a little, 1 as [-1,1] is, 2 as 0 to 255 is."""
    # The outer 1 % are cut off already: a target beyond [0,1] by a thousandth is wrong. Conditions
    # may be noisy.
    slack = 0.01 if side == "target" else 0.75
    if high > 2 + slack or high - low < 0.02:  # 0..255, or divided by 255 twice
        return 2
    if low < -0.3 - slack:  # [-1,1]
        return 1
    return 0 if low < -slack or high > 1 + slack else None


def _spike(chart: Chart, name: str) -> float:
    """The highest of the present over the usual; the first rows, in which D is thrown about, count
    as usual.
    """
    usual, values = chart.now(name), chart.all(name)
    if not usual or len(values) <= WINDOW:
        return 0.0
    peaks = chart.now(name, "peaks") or usual
    return max(peaks) / max(median(usual), *values[:WINDOW], 1e-12)


def _swing(values: Sequence[float]) -> float:
    """Deviation from the straight line through values: a lasting change is no swing."""
    middle, count = fmean(values), len(values)
    places = [place - (count - 1) / 2 for place in range(count)]
    slope = sum(p * v for p, v in zip(places, values, strict=True)) / sum(p * p for p in places)
    return pstdev(v - middle - slope * p for p, v in zip(places, values, strict=True))


def _growth(chart: Chart, name: str) -> float:
    """Now over the first two rows, of which one may still hold the kick of the first steps."""
    now, values = chart.now(name), chart.all(name)
    return median(now) / max(*values[:2], 1e-12) if now and len(values) >= 2 * WINDOW else 0.0


def _rank_correlation(values: Sequence[float]) -> float:
    """Spearman's correlation of values with their place."""
    count = len(values)
    order = sorted(range(count), key=lambda i: values[i])
    squares = sum((place - rank) ** 2 for rank, place in enumerate(order))
    return 1 - 6 * squares / (count * (count**2 - 1))


def _gap_db(name: str, rows: Sequence[LogRow]) -> float:
    """Gain of the training photos plus loss of those held out since the best validation, in dB,
    where both happened.
    """
    held = [_error_db(name, row["validation"][name]) for row in rows]
    seen = [_error_db(name, (row.get("training") or {}).get(name, math.nan)) for row in rows]
    best = min(range(len(held)), key=lambda i: held[i])
    lost, gained = held[-1] - held[best], seen[best] - seen[-1]
    return lost + gained if lost > 0.2 and gained > 0.2 else 0.0


def _error_db(name: str, value: float) -> float:
    """An error in dB, so that unlike metrics compare; NaN for shares and counts."""
    if name.endswith("_db"):
        return -value
    return 20 * math.log10(value) if value > 0 and not higher_is_better(name) else math.nan
