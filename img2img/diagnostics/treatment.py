"""What a run does about a diagnosis (`train.on_trouble`): warn, stop, or adapt; log.jsonl
keeps all of it.

Nothing is remembered but the rows of the log and the remedies in the checkpoint, so a resumed run
does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from img2img.diagnostics.chart import LogRow, RunFacts
from img2img.diagnostics.doctor import diagnose
from img2img.diagnostics.findings import SEVERITIES, Diagnosis, Finding
from img2img.recipe import Recipe

LEAST_RATE, MOST_RATE = 1 / 16, 4.0  # of D, over the recipe's
MOST_NOISE = 0.2  # σ of instance noise that a remedy adds
RAREST_D = 4  # D trains every so many steps at least
TOO_STRONG_D = (
    Finding.DISCRIMINATOR_WINNING,
    Finding.MODE_COLLAPSE,
    Finding.LOSS_SPIKES,
    Finding.EXPLODING_GRADIENTS,
)
TOO_WEAK_D = (Finding.DISCRIMINATOR_BLIND, Finding.FOOLING_WITH_GARBAGE)


@dataclass
class Remedies:
    """What the doctor has changed in this run (`train.on_trouble: adapt`); saved with it."""

    d_lr_factor: float = 1.0
    instance_noise: float = 0.0
    d_every: int = 1


class Treatment:
    """Reads the rows of a run whenever one is added, and decides as the recipe says; the same in
    every process: `agree` gives all of them the numbers of the first.
    """

    def __init__(self, recipe: Recipe, agree: Callable[[list[float]], list[float]]) -> None:
        self.facts, self.on_trouble = RunFacts.of(recipe.fields(), recipe), recipe.train.on_trouble
        self.agree, self.has_discriminator = agree, recipe.discriminator is not None

    def news(self, rows: Sequence[LogRow]) -> list[Diagnosis]:
        """What is wrong now and not in the log yet, or only in a milder form."""
        logged = [
            (row["diagnosis"], SEVERITIES.index(row["severity"]))
            for row in rows
            if "severity" in row
        ]
        return [
            d
            for d in self._diagnoses(rows)
            if all(name != d.name or rank < d.rank for name, rank in logged)
        ]

    def wants_stop(self, found: Sequence[Diagnosis]) -> bool:
        """Whether the run is to end here; a mild finding is only logged."""
        if self.on_trouble != "stop":
            return False
        return bool(self.agree([float(any(d.rank > 0 for d in found))])[0])

    def adapted(
        self, rows: Sequence[LogRow], before: Remedies
    ) -> tuple[Remedies, dict[str, Any] | None]:
        """The remedies with the next one against the worst clear finding, and the row for the log.

        Without such a finding, or a discriminator, they are returned as they were, with None.
        """
        if self.on_trouble != "adapt" or not self.has_discriminator:
            return before, None
        after, row = before, None
        for diagnosis in self._diagnoses(rows):
            if diagnosis.rank > 0 and (changed := treated(diagnosis, before, rows)) != before:
                after, row = changed, _remedy_row(diagnosis, before, changed)
                break
        numbers = [after.d_lr_factor, after.instance_noise, float(after.d_every)]
        slower, noise, every = self.agree(numbers)
        return Remedies(slower, noise, int(every)), row

    def _diagnoses(self, rows: Sequence[LogRow]) -> list[Diagnosis]:
        """After a remedy, only rows since then count."""
        given = [int(row["step"]) for row in rows if "remedy" in row]
        return diagnose(rows, self.facts, since=given[-1] if given else 0)


def severity_before(diagnosis: Diagnosis, rows: Sequence[LogRow]) -> str | None:
    """The severity with which the log holds the diagnosis last, if it does."""
    found = (row for row in reversed(rows) if row.get("diagnosis") == diagnosis.name)
    return next((row["severity"] for row in found if "severity" in row), None)


def treated(diagnosis: Diagnosis, remedies: Remedies, rows: Sequence[LogRow]) -> Remedies:
    """The next remedy for a clear diagnosis; the same remedies when nothing (more) can be done.

    Against a strong discriminator, in turn: half its rate, noise on all it sees, a step less of its
    own (Sønderby et al. 2017; Heusel et al. 2017 on two rates). Against a weak one, those are taken
    back, then its rate is doubled.
    """
    r = remedies
    if diagnosis.name in TOO_STRONG_D:
        slower = replace(r, d_lr_factor=max(LEAST_RATE, r.d_lr_factor / 2))
        noisier = replace(r, instance_noise=min(MOST_NOISE, max(0.05, 2 * r.instance_noise)))
        rarer = replace(r, d_every=min(RAREST_D, r.d_every + 1))
        first = sum("remedy" in row for row in rows) % 3
        choices = [slower, noisier, rarer, slower, noisier][first : first + 3]
    elif diagnosis.name in TOO_WEAK_D:
        faster = replace(r, d_lr_factor=min(MOST_RATE, r.d_lr_factor * 2))
        choices = [replace(r, d_every=1), replace(r, instance_noise=0.0), faster]
    else:
        choices = []
    return next((changed for changed in choices if changed != r), r)


def _remedy_row(diagnosis: Diagnosis, before: Remedies, after: Remedies) -> dict[str, Any]:
    """What was changed because of a diagnosis, as a row of the log."""
    old, new = asdict(before), asdict(after)
    changes = [f"{name} {old[name]:g} → {new[name]:g}" for name in old if old[name] != new[name]]
    return {"step": diagnosis.step, "diagnosis": diagnosis.name, "remedy": ", ".join(changes)}
