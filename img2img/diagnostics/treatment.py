"""What a run does about a diagnosis (`train.on_trouble`): tell, stop, or adapt, all of it kept in
log.jsonl.

Nothing is remembered but the rows of the log and the remedies in the checkpoint, so a resumed run
does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from img2img.diagnostics.chart import Facts, LogRow
from img2img.diagnostics.doctor import diagnose
from img2img.diagnostics.findings import SEVERITIES, Diagnosis, Finding
from img2img.recipe import Recipe

LEAST_RATE, MOST_RATE, MOST_NOISE, RAREST_TURN = 1 / 16, 4.0, 0.2, 4
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
    """Looks at the rows of a run whenever one is added, and acts as the recipe says; the same in
    every process.
    """

    def __init__(self, recipe: Recipe, accelerator: Accelerator) -> None:
        self.facts, self.on_trouble = Facts.of(recipe.fields(), recipe), recipe.train.on_trouble
        self.accelerator, self.has_discriminator = accelerator, recipe.discriminator is not None

    def news(self, rows: Sequence[LogRow]) -> list[Diagnosis]:
        """What is wrong now and not in the log yet, or only in a milder form."""
        told = [
            (row["diagnosis"], SEVERITIES.index(row["severity"]))
            for row in rows
            if "severity" in row
        ]
        return [
            d
            for d in self._found(rows)
            if all(name != d.name or rank < d.rank for name, rank in told)
        ]

    def wants_stop(self, found: Sequence[Diagnosis]) -> bool:
        """Whether the run is to end here; a mild finding is only told."""
        if self.on_trouble != "stop":
            return False
        return bool(self._agreed([float(any(d.rank > 0 for d in found))])[0])

    def adapted(
        self, rows: Sequence[LogRow], before: Remedies
    ) -> tuple[Remedies, dict[str, Any] | None]:
        """The remedies with the next one against the worst clear finding, and the row for the log.

        Without such a finding, or a discriminator, they are returned as they were, with None.
        """
        if self.on_trouble != "adapt" or not self.has_discriminator:
            return before, None
        after = before
        for sick in (d for d in self._found(rows) if d.rank > 0):
            after = treated(sick, before, rows)
            if after != before:
                break
        slower, noise, every = self._agreed(
            [after.d_lr_factor, after.instance_noise, float(after.d_every)]
        )
        agreed = Remedies(slower, noise, int(every))
        return agreed, remedy_row(sick, before, after) if after != before else None

    def _found(self, rows: Sequence[LogRow]) -> list[Diagnosis]:
        """After a remedy, only what has been seen since counts."""
        given = [int(row["step"]) for row in rows if "remedy" in row]
        return diagnose(rows, self.facts, since=given[-1] if given else 0)

    def _agreed(self, numbers: list[float]) -> list[float]:
        """The main process's numbers, in every process."""
        if self.accelerator.num_processes == 1:
            return numbers
        given = torch.tensor(
            numbers, dtype=torch.float64 if self.accelerator.device.type != "mps" else torch.float32
        )
        shared: torch.Tensor = broadcast(given.to(self.accelerator.device))
        return shared.tolist()


def told_before(diagnosis: Diagnosis, rows: Sequence[LogRow]) -> str | None:
    """The form in which the log holds the diagnosis last, if it does."""
    told = [
        row["severity"]
        for row in rows
        if row.get("diagnosis") == diagnosis.name and "severity" in row
    ]
    return told[-1] if told else None


def remedy_row(diagnosis: Diagnosis, before: Remedies, after: Remedies) -> dict[str, Any]:
    """What was changed because of a diagnosis, as a row of the log."""
    said = [
        f"{name} {old:g} → {new:g}"
        for (name, old), new in zip(asdict(before).items(), asdict(after).values(), strict=True)
        if old != new
    ]
    return {"step": diagnosis.step, "diagnosis": diagnosis.name, "remedy": ", ".join(said)}


def treated(diagnosis: Diagnosis, remedies: Remedies, rows: Sequence[LogRow]) -> Remedies:
    """The next remedy for a clear diagnosis; the same remedies when nothing (more) can be done.

    Against a strong discriminator, in turn: half its rate, noise on all it sees, a turn less
    (Sønderby et al. 2017; Heusel et al. 2017 on two rates). Against a weak one, those are taken
    back, then its rate is doubled.
    """
    if diagnosis.name in TOO_STRONG_D:
        choices = (_slower(remedies), _noisier(remedies), _rarer(remedies))
        given = sum("remedy" in row for row in rows)
        turns = [choices[(given + n) % 3] for n in range(3)]
    elif diagnosis.name in TOO_WEAK_D:
        turns = [
            replace(remedies, d_every=1),
            replace(remedies, instance_noise=0.0),
            _faster(remedies),
        ]
    else:
        turns = []
    return next((changed for changed in turns if changed != remedies), remedies)


def _slower(r: Remedies) -> Remedies:
    return replace(r, d_lr_factor=max(LEAST_RATE, r.d_lr_factor / 2))


def _faster(r: Remedies) -> Remedies:
    return replace(r, d_lr_factor=min(MOST_RATE, r.d_lr_factor * 2))


def _noisier(r: Remedies) -> Remedies:
    return replace(r, instance_noise=min(MOST_NOISE, max(0.05, 2 * r.instance_noise)))


def _rarer(r: Remedies) -> Remedies:
    return replace(r, d_every=min(RAREST_TURN, r.d_every + 1))
