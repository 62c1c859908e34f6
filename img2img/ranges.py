"""Ranges in recipes: two numbers, the lower first."""

from __future__ import annotations

from pydantic import AfterValidator


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"[{bounds[0]}, {bounds[1]}] is not a range: the lower number comes first")
    return bounds


Ordered = AfterValidator(_ordered)
