"""Seconds of repeated work: after a warm-up, in turns where two things are compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

Clock = Callable[[], float]


@dataclass(frozen=True)
class Effort:
    """How often something is run to warm up, and then measured: so often, or until each has spent
    the budget; once at least, where at all.
    """

    warmup: int = 2
    repeats: int = 7
    budget_s: float = 60.0

    def few(self) -> Effort:
        """Within the same budget, for what takes long: once to warm up, three times measured."""
        return Effort(min(self.warmup, 1), min(self.repeats, 3), self.budget_s)


@dataclass(frozen=True)
class Timing:
    """Seconds of each repeat of one thing, in order, after so many runs to warm up."""

    seconds: tuple[float, ...]
    warmup: int = 0

    @property
    def median_s(self) -> float:
        """The middle one of the repeats."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Interquartile range over median: 0.1 where the middle half of the repeats lies within a
        tenth of the median; 0 for a single repeat.
        """
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / self.median_s

    def speedup_over(self, other: Timing) -> float:
        """How many times as fast as another that was measured in turns with it: the median over the
        pairs, so that what slows both down at once cancels out.
        """
        pairs = zip(self.seconds, other.seconds, strict=True)
        return median(theirs / ours for ours, theirs in pairs)

    def fields(self) -> dict[str, Any]:
        """Median, spread, repeats and warm-up, for JSON."""
        return {
            "seconds": self.median_s,
            "spread": self.spread,
            "repeats": len(self.seconds),
            "warmup": self.warmup,
        }

    def text(self) -> str:
        """`1.234 s ±3 % (7)`: median, spread, repeats."""
        return f"{self.median_s:.4g} s ±{self.spread:.0%} ({len(self.seconds)})"


def time_in_turns(
    calls: Mapping[str, Callable[[], object]], effort: Effort, clock: Clock = time.perf_counter
) -> dict[str, Timing]:
    """Time several calls one after the other, round after round: repeat n of each is next to repeat
    n of the others.
    """
    warmed_up, begun = 0, clock()
    while warmed_up < effort.warmup and clock() - begun <= effort.budget_s:
        for call in calls.values():
            call()
        warmed_up += 1
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    begun = clock()
    for _ in range(effort.repeats):
        for name, call in calls.items():
            before = clock()
            call()
            seconds[name].append(clock() - before)
        if clock() - begun > effort.budget_s:
            break
    return {name: Timing(tuple(each), warmed_up) for name, each in seconds.items()}


def time_repeats(
    call: Callable[[], object], effort: Effort, clock: Clock = time.perf_counter
) -> Timing:
    """Time one call, again and again."""
    return time_in_turns({"": call}, effort, clock)[""]
