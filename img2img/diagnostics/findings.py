"""What the doctor may find, by name, and a diagnosis: how bad it is, its numbers, its remedy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Severity = Literal["mild", "clear", "severe"]
SEVERITIES: tuple[Severity, ...] = ("mild", "clear", "severe")
Grades = tuple[float, float, float]
"""Where mild, clear and severe begin; falling numbers where less is worse."""


class Finding(StrEnum):
    """What may be wrong with a training, by the name that log.jsonl and the report give it."""

    NOT_A_NUMBER = "not a number"
    EXPLODING_GRADIENTS = "exploding gradients"
    WRONG_RANGE = "wrong data range"
    DISCRIMINATOR_WINNING = "discriminator winning"
    DISCRIMINATOR_BLIND = "discriminator blind"
    FOOLING_WITH_GARBAGE = "fooling D with garbage"
    MODE_COLLAPSE = "mode collapse"
    LOW_FIDELITY = "low fidelity"
    EXCESS_DIVERSITY = "excess diversity"
    INPUT_IGNORED = "input ignored"
    OVERFITTING = "overfitting"
    DEAD_OUTPUTS = "dead outputs"
    SATURATED_OUTPUTS = "saturated outputs"
    CHECKERBOARD = "checkerboard"
    LOSS_SPIKES = "loss spikes"


class Cause(StrEnum):
    """A form of a finding that has remedies of its own."""

    EXPLODING_G = "exploding gradients of G"
    EXPLODING_D = "exploding gradients of D"
    COLLAPSE_WITHOUT_D = "mode collapse without a discriminator"
    SPIKES_OF_G = "spikes of G"
    SPIKES_OF_D = "spikes of D"
    SWINGS = "swings"


@dataclass(frozen=True)
class Diagnosis:
    """A finding with the numbers that show it and what helps."""

    name: str
    severity: Severity
    step: int
    numbers: str
    remedy: str
    overrides: tuple[str, ...] = ()
    """The remedy as changes `key.path=value` that the run's recipe takes."""

    @property
    def line(self) -> str:
        """Name, severity, numbers and remedy as a sentence or two."""
        return f"{self.name} ({self.severity}): {self.numbers}. {self.remedy}"

    @property
    def rank(self) -> int:
        """The severity as a number: 0 mild, 1 clear, 2 severe."""
        return SEVERITIES.index(self.severity)

    def row(self) -> dict[str, Any]:
        """The diagnosis as a row of log.jsonl."""
        return {
            "step": self.step,
            "diagnosis": self.name,
            "severity": self.severity,
            "numbers": self.numbers,
            "advice": self.remedy,
            "overrides": list(self.overrides),
        }


def grade(value: float | None, grades: Grades) -> Severity | None:
    """How bad a value is; grades rise where more is worse, and fall where less is."""
    if value is None or math.isnan(value):
        return None
    rising = grades[0] < grades[2]
    reached = [
        severity
        for severity, bound in zip(SEVERITIES, grades, strict=True)
        if (value >= bound if rising else value < bound)
    ]
    return reached[-1] if reached else None
