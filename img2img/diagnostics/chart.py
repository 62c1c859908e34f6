"""A log as series of numbers, and what of the recipe must be known to read it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from img2img.errors import UserError
from img2img.losses.adversarial import Adversarial
from img2img.losses.objectives import OBJECTIVES, Kind, Objective
from img2img.recipe import Recipe
from img2img.tasks.baseline import SHARES, higher_is_better

LogRow = Mapping[str, Any]
"""A row of log.jsonl."""

ENOUGH = 8  # validated samples from which it can be told how varied outputs are
# of a run whose modes and fidelity are looked at: a few hundred steps end while both still change
LEAST_STEPS = 500
WINDOW = 8  # rows that count as now: fewer are noise, and the first of a run are no steady state
SETTLED = 0.25  # part of a run before which poor outputs are no sickness but the beginning


@dataclass(frozen=True)
class RunFacts:
    """What must be known of the recipe to read its log."""

    steps: int = 1
    kind: Kind | None = None  # of the objective; None without a discriminator
    starts: int = 0  # the step from which G and D both train
    d_loss_weight: float = 1.0
    clipped: bool = False  # G's gradients: their spikes do no harm
    modes: int | None = None  # of the data, where they are counted
    d_alone: bool = False  # G has no other loss: what it learned, it learned from D
    noisy: int = 0  # the step until which falling noise holds D back
    recipe: Recipe | None = None  # on which remedies are tried; without it they are words alone

    @classmethod
    def of(cls, fields: Mapping[str, Any], recipe: Recipe | None = None) -> RunFacts:
        """The facts of a resolved recipe's fields.

        Where `recipe` is not given, it is read from the fields if its task is installed: none of
        the code that a run's folder names is run.
        """
        if recipe is None:
            with suppress(UserError):
                recipe = Recipe.parse(dict(fields), trusted=False)
        steps, adversarial = fields["train"]["steps"], fields.get("adversarial")
        known = {
            "clipped": fields["train"].get("clip_norm") is not None,
            "modes": fields.get("task", {}).get("modes"),
            "recipe": recipe,
        }
        if not adversarial:
            return cls(steps, **known)
        a = Adversarial.model_validate(adversarial)
        falls = a.instance_noise > a.instance_noise_floor
        return cls(
            steps,
            a.kind,
            a.phase_starts(steps)[1],
            a.d_loss_weight,
            **known,
            d_alone=not fields.get("losses", True),
            noisy=round(a.instance_noise_until * steps) if falls else 0,
        )

    @property
    def objective_class(self) -> type[Objective] | None:
        """The adversarial objective; None without a discriminator."""
        return OBJECTIVES[self.kind] if self.kind else None

    @property
    def reconstructs(self) -> bool:
        """D has no scores: it is an autoencoder, meant to reconstruct fakes better than reals."""
        return self.objective_class is not None and self.objective_class.head == "reconstruction"

    def best(self, metric: str) -> float:
        """The highest value a validated number can have."""
        if metric == "modes_covered" and self.modes:
            return self.modes
        return 1.0 if metric.endswith(SHARES) else math.inf


class Chart:
    """Rows of log.jsonl as series of numbers. The present, which `now` and `vital` look at, begins
    after step `since`: the doctor's last remedy.
    """

    def __init__(self, rows: Sequence[LogRow], facts: RunFacts, since: int = 0) -> None:
        self.rows = [row for row in rows if not row.get("summary")]
        self.facts, self.since = facts, since
        self.step = max((int(row.get("step", 0)) for row in rows), default=0)
        counts = (row["vitals"].get("count") for row in reversed(self.rows) if row.get("vitals"))
        self.count = next((int(count) for count in counts if count is not None), None)
        """How many samples were validated; None where a log does not say."""
        self.few = self.count is not None and self.count < ENOUGH
        """Too few samples were validated to tell how varied outputs are."""
        self.noisy = self.step < min(facts.noisy, facts.steps / 2)
        """Noise holds D back, on purpose; noise for more than half of a run excuses nothing."""
        self.settled = self.step >= facts.starts + SETTLED * (facts.steps - facts.starts)
        """G and D have had the first quarter of the steps in which both train."""

    def all(self, name: str, group: str | None = None) -> list[float]:
        """All values of a logged name (in a group) since G and D both train."""
        return [value for _, value in self._series(name, group)]

    def now(self, name: str, group: str | None = None, count: int = WINDOW) -> list[float]:
        """The last `count` values of the present; none while there are fewer."""
        values = [value for step, value in self._series(name, group) if step > self.since]
        return values[-count:] if len(values) >= count else []

    def vital(self, name: str, *, high_is_bad: bool = False) -> float | None:
        """The healthier of the last two values of a vital sign; None while it has not settled or is
        recovering by itself.
        """
        begins = max(self.since, SETTLED * self.facts.steps)
        values = [value for step, value in self._series(name, "vitals") if step > begins]
        if len(values) < 2:
            return None
        before, last = values[-2:]
        recovering = last < 0.8 * before if high_is_bad else last > 1.25 * before
        if recovering and self.step < self.facts.steps:
            return None
        return min(before, last) if high_is_bad else max(before, last)

    def final(self, name: str, group: str = "vitals") -> float | None:
        """The better of the last two values of what is better the higher it is; None while it may
        still rise.

        That is until the end of the run, or past its noise as soon as a quarter of the run has
        brought less than a tenth: good GANs find the data's modes late, and go on sharpening them.
        """
        if self.facts.steps < LEAST_STEPS:
            return None
        quarter = SETTLED * self.facts.steps
        begins = max(self.since, self.facts.noisy, quarter)
        seen = [(step, value) for step, value in self._series(name, group) if step > begins]
        if len(seen) < 2:
            return None
        best = max(seen[-2][1], seen[-1][1])
        before = [value for step, value in seen if step <= self.step - quarter]
        ended = self.step >= self.facts.steps
        return best if ended or (before and best < 1.1 * max(before)) else None

    def metrics(self) -> Iterator[tuple[str, list[LogRow]]]:
        """Each validated metric with the rows that hold it."""
        measured = [row for row in self.rows if row.get("validation")]
        for name in measured[-1]["validation"] if measured else ():
            yield name, [row for row in measured if name in row["validation"]]

    def garbage(self) -> bool:
        """No validated number keeps more than half of the best lead it ever had over the baseline,
        or never had one.
        """
        all_leads = [
            self._leads(name, rows) for name, rows in self.metrics() if not name.endswith("_ratio")
        ]
        leads = [found for found in all_leads if found]
        return bool(leads) and all(
            len(lead) > 2 and lead[-1] <= 0.5 * max(0.0, *lead) for lead in leads
        )

    def taught(self) -> bool:
        """D alone has taught G: every validated number that has a best value has come at least half
        the way there from its baseline.
        """
        ways = []
        for name, rows in self.metrics():
            plain = (rows[-1].get("baseline") or {}).get(name)
            value, best = rows[-1]["validation"][name], self.facts.best(name)
            if plain is not None and math.isfinite(best) and math.isfinite(value):
                ways.append((value - plain, best - plain))
        return (
            self.facts.d_alone and bool(ways) and all(gone >= 0.5 * whole for gone, whole in ways)
        )

    def _leads(self, name: str, rows: Sequence[LogRow]) -> list[float]:
        """How far each validation lies ahead of its baseline."""
        sign = 1 if higher_is_better(name) else -1
        leads = []
        for row in rows:
            value, plain = row["validation"][name], (row.get("baseline") or {}).get(name)
            if plain is not None:
                # Where the baseline cannot be improved on, ahead of nothing: one Gaussian of one is
                # covered by a generator whose points all lie at the origin.
                leads.append(sign * (value - (plain if plain < self.facts.best(name) else 0.0)))
        return leads

    def _series(self, name: str, group: str | None) -> Iterator[tuple[int, float]]:
        """(step, value) of a logged name, since G and D both train; finite values alone."""
        for row in self.rows:
            value = (row.get(group) or {}).get(name) if group else row.get(name)
            if (
                isinstance(value, int | float)
                and math.isfinite(value)
                and row.get("step", 0) > self.facts.starts
            ):
                yield row["step"], float(value)
