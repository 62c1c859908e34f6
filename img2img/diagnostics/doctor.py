"""What the field has learned to watch in a training, said in plain words: pure functions of the
rows of log.jsonl.

Every threshold is a ratio, a share or an accuracy, so that it holds for all objectives, whose
losses have no common scale. The numbers were set between the healthy runs (ring under every
objective, the tiny recipes) and sicknesses made on purpose, both in tests/training/test_doctor.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import Any, Literal

from img2img.diagnostics.remedies import remedy_for
from img2img.errors import UserError
from img2img.losses.adversarial import Adversarial
from img2img.losses.objectives import OBJECTIVES, Kind, Objective
from img2img.recipe import Recipe
from img2img.tasks.baseline import SHARES, goodness, higher_is_better

Row = Mapping[str, Any]
Severity = Literal["mild", "clear", "severe"]
SEVERITIES: tuple[Severity, ...] = ("mild", "clear", "severe")
Grades = tuple[
    float, float, float
]  # where mild, clear and severe begin; falling where less is worse

ENOUGH = 8  # validated samples from which it can be told how varied outputs are
# of a run whose game is judged by where it ends: a few hundred steps end in the middle of it
LEAST_STEPS = 500
WINDOW = 8  # rows that count as now: fewer are noise, and the first of a run are no steady state
SETTLED = 0.25  # part of a run before which poor outputs are no sickness but the beginning
NOT_A_NUMBER = "not a number"
PROVES_NOTHING = "cycle_"  # two generators that change nothing close every cycle


@dataclass(frozen=True)
class Diagnosis:
    """A sickness with the numbers that show it and what helps; `score` grows (or falls) with the
    sickness.
    """

    name: str
    severity: Severity
    step: int
    numbers: str
    remedy: str
    score: float
    overrides: tuple[
        str, ...
    ] = ()  # the remedy as changes `key.path=value` that the run's recipe takes

    @property
    def line(self) -> str:
        """All of it as a sentence or two."""
        return f"{self.name} ({self.severity}): {self.numbers}. {self.remedy}"

    @property
    def rank(self) -> int:
        """0 mild to 2 severe."""
        return SEVERITIES.index(self.severity)


@dataclass(frozen=True)
class Facts:
    """What must be known of the recipe to read its log."""

    steps: int = 1
    kind: Kind | None = None
    starts: int = 0  # the step from which both players learn
    d_loss_weight: float = 1.0
    clipped: bool = False  # G's gradients: their spikes do no harm
    modes: int | None = None  # of the data, where they are counted
    d_alone: bool = False  # G has no other loss: what it learned, it learned from D
    noisy: int = 0  # the step until which D is held back by falling noise
    recipe: Recipe | None = (
        None  # on which remedies are tried; without it they are told in words alone
    )

    @classmethod
    def of(cls, fields: Mapping[str, Any], recipe: Recipe | None = None) -> Facts:
        """The facts of a resolved recipe's fields; the recipe itself is read where its task is at
        hand.
        """
        steps, played = fields["train"]["steps"], fields.get("adversarial")
        known = {
            "clipped": fields["train"].get("clip_norm") is not None,
            "modes": fields.get("task", {}).get("modes"),
            "recipe": recipe or _recipe_of(fields),
        }
        if not played:
            return cls(steps, **known)
        a = Adversarial.model_validate(played)
        noisy = (
            round(a.instance_noise_until * steps)
            if a.instance_noise > a.instance_noise_floor
            else 0
        )
        alone = not fields.get("losses", True)
        return cls(
            steps, a.kind, a.turns(steps)[1], a.d_loss_weight, **known, d_alone=alone, noisy=noisy
        )

    @property
    def played(self) -> type[Objective] | None:
        """The objective's class."""
        return OBJECTIVES[self.kind] if self.kind else None

    @property
    def reconstructs(self) -> bool:
        """D has no scores, and is meant to reconstruct made ones better than the real."""
        return self.played is not None and self.played.head == "reconstruction"

    def best(self, name: str) -> float:
        """The highest value a validated number can have."""
        if name == "modes_covered" and self.modes:
            return self.modes
        return 1.0 if name.endswith(SHARES) else math.inf


def _recipe_of(fields: Mapping[str, Any]) -> Recipe | None:
    """The recipe, where its task is installed: none of the code that a run's folder names is run."""
    try:
        return Recipe.parse(dict(fields), trusted=False)
    except UserError:
        return None


class Chart:
    """Rows of a log as series of numbers; `since` says after which step the present begins (a
    remedy was given).
    """

    def __init__(self, rows: Sequence[Row], facts: Facts, since: int = 0) -> None:
        self.rows, self.facts, self.since = (
            [row for row in rows if not row.get("summary")],
            facts,
            since,
        )
        self.step = max((int(row.get("step", 0)) for row in rows), default=0)

    def all(self, name: str, group: str | None = None) -> list[float]:
        """Every value of a name, or of a name in a group, since both players learn."""
        return [value for _, value in self._series(name, group)]

    def now(self, name: str, group: str | None = None, count: int = WINDOW) -> list[float]:
        """The last `count` values; none while there are fewer in the present."""
        values = [value for step, value in self._series(name, group) if step > self.since]
        return values[-count:] if len(values) >= count else []

    def vital(self, name: str, *, high_is_bad: bool = False) -> float | None:
        """The healthier of the last two of a vital sign; None while it has not settled or is
        getting well by itself.
        """
        values = [
            v
            for step, v in self._series(name, "vitals")
            if step > max(self.since, SETTLED * self.facts.steps)
        ]
        if len(values) < 2:
            return None
        before, last = values[-2:]
        recovering = last < 0.8 * before if high_is_bad else last > 1.25 * before
        if recovering and self.step < self.facts.steps:
            return None
        return min(before, last) if high_is_bad else max(before, last)

    def final(self, name: str, group: str = "vitals") -> float | None:
        """The better of the last two of what is better the higher it is; None while it may still
        become better.

        That is until the end of the run, or past its noise as soon as a quarter of the run has
        brought less than a tenth: good games find the data's modes late, and go on sharpening them.
        """
        values = self._series(name, group) if self.facts.steps >= LEAST_STEPS else ()
        seen = [
            (step, v)
            for step, v in values
            if step > max(self.since, self.facts.noisy, SETTLED * self.facts.steps)
        ]
        if len(seen) < 2:
            return None
        best = max(seen[-2][1], seen[-1][1])
        before = [v for step, v in seen if step <= self.step - SETTLED * self.facts.steps]
        ended = self.step >= self.facts.steps
        return best if ended or (before and best < 1.1 * max(before)) else None

    @property
    def count(self) -> int | None:
        """How many samples were validated; None where a log does not say."""
        counts = [
            int(row["vitals"]["count"]) for row in self.rows if "count" in (row.get("vitals") or {})
        ]
        return counts[-1] if counts else None

    @property
    def few(self) -> bool:
        """Too few samples were validated to say how varied outputs are."""
        return self.count is not None and self.count < ENOUGH

    @property
    def noisy(self) -> bool:
        """D is still held back by noise, on purpose; noise for more than half of a run is judged
        like any other.
        """
        return self.step < min(self.facts.noisy, self.facts.steps / 2)

    @property
    def settled(self) -> bool:
        """Both players have had their first quarter of the run."""
        return self.step >= self.facts.starts + SETTLED * (self.facts.steps - self.facts.starts)

    def metrics(self) -> Iterator[tuple[str, list[Row]]]:
        """Each validated metric with the rows that hold it."""
        measured = [row for row in self.rows if row.get("validation")]
        for name in measured[-1]["validation"] if measured else ():
            yield name, [row for row in measured if name in row["validation"]]

    def garbage(self) -> bool:
        """No validated number keeps more than half of the best lead it ever had over the baseline,
        or never had one.
        """
        best, kept = (
            self.facts.best,
            [(name, rows) for name, rows in self.metrics() if not name.endswith("_ratio")],
        )
        leads = [lead for name, rows in kept if (lead := _leads(name, rows, best(name)))]
        return bool(leads) and all(
            len(lead) > 2 and lead[-1] <= 0.5 * max(0.0, *lead) for lead in leads
        )

    def taught(self) -> bool:
        """Every validated number with a best has come half the way there from the baseline, and D
        alone led it.
        """
        best = self.facts.best
        ways = [
            (value - plain, best(name) - plain)
            for name, rows in self.metrics()
            if (plain := (rows[-1].get("baseline") or {}).get(name)) is not None
            and math.isfinite(best(name))
            and math.isfinite(value := rows[-1]["validation"][name])
        ]
        return (
            self.facts.d_alone and bool(ways) and all(gone >= 0.5 * whole for gone, whole in ways)
        )

    def _series(self, name: str, group: str | None) -> Iterator[tuple[int, float]]:
        for row in self.rows:
            value = (row.get(group) or {}).get(name) if group else row.get(name)
            if (
                isinstance(value, int | float)
                and math.isfinite(value)
                and row.get("step", 0) > self.facts.starts
            ):
                yield row["step"], float(value)


Rule = Callable[[Chart], Diagnosis | None]


def diagnose(rows: Sequence[Row], facts: Facts, since: int = 0) -> list[Diagnosis]:
    """What is wrong at the last of the rows, the worst first."""
    chart = Chart(rows, facts, since)
    found = [diagnosis for rule in RULES if (diagnosis := rule(chart)) is not None]
    return sorted(found, key=lambda d: -d.rank)


def discriminator_winning(chart: Chart) -> Diagnosis | None:
    """D ranks nearly every pair rightly, and its loss has gone to 0 or its gradient to G has faded."""
    accuracy, facts = chart.now("d_accuracy"), chart.facts
    if (
        not accuracy or fmean(accuracy) < 0.98 or facts.reconstructs
    ):  # a real game has D wrong more than once in 50
        return None
    faded = max(chart.all("g_signal"), default=0.0) / max(
        median(chart.now("g_signal") or [math.inf]), 1e-30
    )
    level = (facts.played.blind_loss or 0.0) * facts.d_loss_weight if facts.played else 0.0
    losses = chart.now("d_loss")
    share = max(fmean(losses), 1e-6) / level if level and losses else 1.0
    # A tenth of the loss of a blind D: G's samples are told apart with 95 % certainty. Gradients
    # may fall 30-fold as pictures get better; a critic's gradient may do so without harm, and only
    # its disappearance counts.
    critic = facts.played is not None and facts.played.critic
    evidence = {
        f"its loss is {share:.2g} of a blind one's": _grade(1 / share, (10, 30, 100)),
        f"its gradient to G has fallen {faded:.3g}-fold from its highest": _grade(
            faded, (1e3, 1e4, 1e5) if critic else (30, 100, 1e3)
        ),
    }
    return _diagnosis(
        chart,
        "discriminator winning",
        _worst(*evidence.values()),
        f"D tells {fmean(accuracy):.1%} of the pairs apart, and {_shown(evidence)}",
        "discriminator winning",
        max(1 / share, faded),
    )


def discriminator_blind(chart: Chart) -> Diagnosis | None:
    """D never learned to tell real from made, or is wrong more often than right."""
    accuracy, now = chart.all("d_accuracy"), chart.now("d_accuracy")
    if (
        not now or not chart.settled or chart.facts.reconstructs or chart.noisy
    ):  # held back on purpose
        return None
    best = max(fmean(accuracy[i : i + WINDOW]) for i in range(len(accuracy) - WINDOW + 1))
    # Made ones are bad at first, and a D that sees anything tells 0.57 of them apart; later ½ is
    # what one hopes for. A D held back by noise and a gradient penalty may tell no more of them
    # apart, and yet teach G all of the data.
    never = (
        _grade(best, (0.55, 0.535, 0.525))
        if len(accuracy) >= 4 * WINDOW and not chart.taught()
        else None
    )
    # At ½ the game is even; below a third D points the wrong way, and G follows, unless D is coming
    # round by itself.
    recovering = fmean(now) > 1.1 * fmean(accuracy[-2 * WINDOW : -WINDOW] or now)
    # Nor is it a sickness where G has learned the data all the same.
    fooled = None if recovering or chart.taught() else _grade(fmean(now), (0.33, 0.2, 0.05))
    said = (
        f"at its best it told {best:.0%} of the pairs apart"
        if never
        else "it ranks made ones above real ones"
    )
    return _diagnosis(
        chart,
        "discriminator blind",
        _worst(never, fooled),
        f"D tells {fmean(now):.1%} of the pairs apart (50 % is guessing); {said}",
        "discriminator blind",
        min(best, fmean(now)),
    )


def loss_spikes(chart: Chart) -> Diagnosis | None:
    """Single steps with many times the usual gradient, or a game that swings from one player to the
    other.
    """
    watched = ("d_grad_norm",) if chart.facts.clipped else ("d_grad_norm", "g_grad_norm")
    spikes = {name: _spike(chart, name) for name in watched}
    name = max(spikes, key=lambda n: spikes[n])
    accuracy = chart.now("d_accuracy")
    swing = _swing(accuracy) if accuracy and not chart.facts.reconstructs else 0.0
    # Healthy steps reach 10 times the usual gradient; 0.29 is the deviation of an accuracy drawn at
    # random.
    spike, swings = _grade(spikes[name], (20, 50, 200)), _grade(swing, (0.25, 0.33, 0.4))
    evidence = {
        f"the highest {name} is {spikes[name]:.3g} times the usual one": spike,
        f"D's accuracy varies by ±{swing:.2f}": swings,
    }
    return _diagnosis(
        chart,
        "loss spikes",
        _worst(spike, swings),
        _shown(evidence),
        f"spikes of {name[0].upper()}" if spike and spike == _worst(spike, swings) else "swings",
        max(spikes[name] / 20, swing / 0.25),
    )


def fooling_with_garbage(chart: Chart) -> Diagnosis | None:
    """G's adversarial loss falls steadily while no validated number gets better."""
    losses, accuracy = chart.all("adversarial"), chart.now("d_accuracy")
    if len(losses) < 2 * WINDOW or not accuracy or not chart.settled:
        return None
    # -0.7: downhill all the way, not only at its ends. A D that tells 0.6 of the pairs apart is not
    # being fooled.
    if _rank_correlation(losses) > -0.7 or fmean(accuracy) > 0.6 or not chart.garbage():
        return None
    third = len(losses) // 3
    fall = (fmean(losses[:third]) - fmean(losses[-third:])) / (_steadiness(losses) + 1e-9)
    # The fall in units of the loss's own jitter between rows: below 4 a healthy run does it by
    # chance.
    return _diagnosis(
        chart,
        "fooling D with garbage",
        _grade(fall, (4, 10, 30)),
        f"G's adversarial loss fell from {fmean(losses[:third]):.3g} to {fmean(losses[-third:]):.3g}, D tells "
        f"{fmean(accuracy):.1%} of the pairs apart, and validation is hardly better than a trivial answer",
        "fooling D with garbage",
        fall,
    )


def mode_collapse(chart: Chart) -> Diagnosis | None:
    """Outputs differ less than targets do, or leave parts of the data out."""
    if chart.noisy:  # samples spread out late, as the noise that hides the modes from D falls
        return None
    diversity = None if chart.few else chart.vital("diversity")
    coverage, fidelity, modes = chart.vital("coverage"), chart.vital("fidelity"), chart.facts.modes
    if (fidelity or 0) < 0.2:  # garbage covers nothing either, and its sickness is another
        coverage = None
    found = chart.final("modes_covered", "validation") if modes else None
    # Blurred outputs still differ 0.8 as much as their targets, and regression without a
    # discriminator half as much where it cannot know; one of eight modes missing costs coverage
    # 0.12.
    played = chart.facts.kind is not None
    grades = (0.6, 0.4, 0.2) if played else (0.4, 0.25, 0.1)
    share = None if found is None or not modes or modes < 2 else found / modes
    evidence = {
        f"outputs differ {diversity or 0:.2f} times as much as targets do": _grade(
            diversity, grades
        ),
        f"{coverage or 0:.0%} of the real samples have made ones around them": _grade(
            coverage, (0.5, 0.3, 0.1)
        ),
        f"{found or 0:.0f} of {modes} modes are covered": _grade(share, (0.7, 0.55, 0.3)),
    }
    return _diagnosis(
        chart,
        "mode collapse",
        _worst(*evidence.values()),
        _shown(evidence),
        "mode collapse" if played else "mode collapse without a game",
        min(value for value in (diversity, coverage, share, 1.0) if value is not None),
    )


def low_fidelity(chart: Chart) -> Diagnosis | None:
    """Made samples lie where no real ones are, however varied they are."""
    fidelity = chart.final("fidelity")
    # Healthy rings end above 0.5; of pictures, whose thumbnails lie on a few axes, only the worst
    # are judged so.
    grades = (0.4, 0.3, 0.2) if chart.facts.modes else (0.1, 0.05, 0.02)
    return _diagnosis(
        chart,
        "low fidelity",
        _grade(fidelity, grades),
        f"{fidelity or 0:.0%} of the made samples lie among real ones",
        "low fidelity",
        fidelity or 0,
    )


def excess_diversity(chart: Chart) -> Diagnosis | None:
    """Outputs are scattered far more widely than targets are."""
    diversity = None if chart.few else chart.vital("diversity", high_is_bad=True)
    # Healthy games begin up to twice as widely scattered as the data.
    return _diagnosis(
        chart,
        "excess diversity",
        _grade(diversity, (2.5, 4.0, 8.0)),
        f"outputs differ {diversity or 0:.2f} times as much as targets do",
        "excess diversity",
        diversity or 0,
    )


def input_ignored(chart: Chart) -> Diagnosis | None:
    """An output is no nearer to its own target than to those of other inputs."""
    # 1 is a constant output, which three photos may miss by 0.02. Healthy tasks lie below 0.7,
    # rough sketches at 0.8.
    own = chart.vital("own_input", high_is_bad=True)
    return _diagnosis(
        chart,
        "input ignored",
        _grade(own, (0.92, 0.95, 0.975)),
        f"an output is {own or 0:.2f} times as far from its own target as from those of other inputs (1: input unused)",
        "input ignored",
        own or 0,
    )


def overfitting(chart: Chart) -> Diagnosis | None:
    """Since the best validation, training photos have gained and those held out have lost."""
    apart = {name: _parted(name, rows) for name, rows in chart.metrics()}
    name = max(apart, key=lambda n: apart[n], default="")
    gap = apart.get(name, 0.0)
    # Photos differ in how much can be gained on them, so only the change counts; 1.4 dB happens on
    # twenty photos.
    return _diagnosis(
        chart,
        "overfitting",
        _grade(gap, (2, 4, 7)),
        f"since its best validation, {name} on training photos and on photos held out have gone {gap:.1f} dB apart",
        "overfitting",
        gap,
    )


def checkerboard(chart: Chart) -> Diagnosis | None:
    """A grid at the period of the upsampling."""
    # Targets have 1 by definition; a few small crops reach 2 by chance.
    energy = chart.vital("checkerboard", high_is_bad=True)
    return _diagnosis(
        chart,
        "checkerboard",
        _grade(energy, (5, 12, 30)),
        f"outputs have {energy or 0:.3g} times the energy of targets at the grid of the upsampling",
        "checkerboard",
        energy or 0,
    )


def not_a_number(chart: Chart) -> Diagnosis | None:
    """The run met NaN or infinity."""
    error = next((str(row["error"]) for row in reversed(chart.rows) if "error" in row), None)
    bad = [
        k
        for row in chart.rows[-WINDOW:]
        for k, v in row.items()
        if isinstance(v, float) and not math.isfinite(v)
    ]
    said = error or (f"{bad[0]} is not finite" if bad else None)
    return _diagnosis(
        chart, NOT_A_NUMBER, "severe" if said else None, said or "", NOT_A_NUMBER, 1.0
    )


def exploding_gradients(chart: Chart) -> Diagnosis | None:
    """Gradients have grown by orders of magnitude, and stay there."""
    growth = {name: _growth(chart, name) for name in ("g_grad_norm", "d_grad_norm")}
    name = max(growth, key=lambda n: growth[n])
    # As networks leave their small first weights, gradients grow up to 30-fold; two orders are more
    # than learning.
    return _diagnosis(
        chart,
        "exploding gradients",
        _grade(growth[name], (100, 1e3, 1e4)),
        f"{name} is {growth[name]:.3g} times what it was at the beginning",
        f"exploding gradients of {name[0].upper()}",
        growth[name],
    )


def dead_outputs(chart: Chart) -> Diagnosis | None:
    """Outputs of one even color."""
    # No photo is without contrast, so any share is a sickness; a tenth forgives a dark crop.
    dead = chart.vital("dead", high_is_bad=True)
    return _diagnosis(
        chart,
        "dead outputs",
        _grade(dead, (0.1, 0.4, 0.8)),
        f"{dead or 0:.0%} of the outputs are one even color",
        "dead outputs",
        dead or 0,
    )


def saturated_outputs(chart: Chart) -> Diagnosis | None:
    """Outputs stuck at black and white."""
    # Beyond the targets' own share of clipped values: a tenth of the picture is seen at once.
    stuck = chart.vital("saturated", high_is_bad=True)
    return _diagnosis(
        chart,
        "saturated outputs",
        _grade(stuck, (0.1, 0.3, 0.6)),
        f"{stuck or 0:.0%} more of the output values lie at 0 or 1 than of the targets'",
        "saturated outputs",
        stuck or 0,
    )


def wrong_range(chart: Chart) -> Diagnosis | None:
    """Targets or conditions that are not in [0,1]."""
    held: Mapping[str, float] = next(
        (row["ranges"] for row in reversed(chart.rows) if row.get("ranges")), {}
    )
    found = [
        (side, held[f"{side}_low"], held[f"{side}_high"])
        for side in ("target", "condition")
        if f"{side}_low" in held
    ]
    graded = [(_range_grade(side, low, high), side, low, high) for side, low, high in found]
    grade, side, low, high = max(
        graded,
        key=lambda g: -1 if g[0] is None else SEVERITIES.index(g[0]),
        default=(None, "", 0, 0),
    )
    return _diagnosis(
        chart,
        "wrong data range",
        grade,
        f"the {side} values reach from {low:.3g} to {high:.3g}, and pictures are in 0 to 1",
        "wrong data range",
        max(high - low, 0),
    )


RULES: tuple[Rule, ...] = (
    not_a_number,
    exploding_gradients,
    wrong_range,
    discriminator_winning,
    discriminator_blind,
    fooling_with_garbage,
    mode_collapse,
    low_fidelity,
    excess_diversity,
    input_ignored,
    overfitting,
    dead_outputs,
    saturated_outputs,
    checkerboard,
    loss_spikes,
)


def verdict(rows: Sequence[Row], facts: Facts | None = None) -> str:
    """Whether a run is any good so far: what the doctor finds, else the last validation beside the
    trivial baseline.
    """
    if any("error" in row for row in rows):
        return "In trouble: losses stopped being numbers. Lower the learning rate and resume."
    found = diagnose(rows, facts or Facts())
    if found and found[0].rank:
        return f"In trouble: {', '.join(f'{d.name} ({d.severity})' for d in found)}."
    measured = [row for row in rows if row.get("validation")]
    if not measured:
        return "Too early to tell: nothing was validated yet."
    mild = f" Keep an eye on: {found[0].name} ({found[0].numbers})." if found else ""
    return f"{_standing(measured[-1], facts or Facts())}{mild}{_unjudged(Chart(rows, facts or Facts()))}"


def _unjudged(chart: Chart) -> str:
    """What so few validated samples cannot tell, said rather than guessed."""
    if not chart.few:
        return ""
    photos = f"{chart.count} validation photos are" if chart.count != 1 else "1 validation photo is"
    return (
        f" {photos} too few to judge how varied outputs are: {ENOUGH} do "
        "(more photos, a larger data.validation_share)."
    )


def _standing(row: Row, facts: Facts) -> str:
    """The first validated number that can be held against a trivial answer, and which side of it
    the run is on.
    """
    plain = row.get("baseline") or {}
    compared = [
        name for name in row["validation"] if name in plain and not name.startswith(PROVES_NOTHING)
    ]
    if not compared:
        name, value = next(iter(row["validation"].items()))
        return f"Nothing wrong is seen, and {name} {value:.3g} proves nothing by itself: look at the samples."
    name = compared[0]
    value, baseline = row["validation"][name], plain[name]
    ahead = goodness(name, value) > goodness(name, baseline)
    said = "Healthy: better than its baseline" if ahead else "Not yet better than its baseline"
    said = said if ahead or value < facts.best(name) else "Healthy: as good as can be"
    return f"{said} ({name} {value:.3g}, {answer_of(row, name)} gives {baseline:.3g})."


def answer_of(row: Row, metric: str) -> str:
    """Which trivial answer a validated row's baseline is, in words; logs of before it was told do
    not say.
    """
    return (row.get("baseline_is") or {}).get(metric, "doing nothing")


def _diagnosis(
    chart: Chart, name: str, severity: Severity | None, numbers: str, helped_by: str, score: float
) -> Diagnosis | None:
    """The finding, if there is one, with the first remedy of `helped_by` in REMEDIES that this
    run's recipe takes.
    """
    if severity is None:
        return None
    remedy = remedy_for(helped_by, chart.facts.recipe)
    return Diagnosis(name, severity, chart.step, numbers, remedy.line, score, remedy.overrides)


def _shown(evidence: Mapping[str, Severity | None]) -> str:
    """The numbers that are bad: what was not measured, or is as it should be, is no evidence."""
    return ", and ".join(words for words, severity in evidence.items() if severity)


def _grade(value: float | None, grades: Grades) -> Severity | None:
    """How bad a value is; grades rise where more is worse, and fall where less is."""
    if value is None or math.isnan(value):
        return None
    rising = grades[0] < grades[2]
    reached = [
        severity
        for severity, bound in zip(SEVERITIES, grades, strict=True)
        if (value >= bound) == rising and (rising or value <= bound)
    ]
    return reached[-1] if reached else None


def _worst(*grades: Severity | None) -> Severity | None:
    return max((g for g in grades if g), key=SEVERITIES.index, default=None)


def _spike(chart: Chart, name: str) -> float:
    """The highest of the present over the usual; the first rows, in which D is thrown about, count
    as usual.
    """
    usual, first = chart.now(name), chart.all(name)[:WINDOW]
    peaks = chart.now(name, "peaks") or usual
    return (
        max(peaks) / max(median(usual), *first, 1e-12)
        if usual and len(chart.all(name)) > WINDOW
        else 0.0
    )


def _swing(values: Sequence[float]) -> float:
    """Deviation from the straight line through values: a game that turns for good is no swing."""
    middle, count = fmean(values), len(values)
    places = [place - (count - 1) / 2 for place in range(count)]
    slope = sum(p * v for p, v in zip(places, values, strict=True)) / sum(p * p for p in places)
    return pstdev(v - middle - slope * p for p, v in zip(places, values, strict=True))


def _growth(chart: Chart, name: str) -> float:
    """Now over the first two rows, of which one may still hold the kick of the first steps."""
    now, values = chart.now(name), chart.all(name)
    return median(now) / max(*values[:2], 1e-12) if now and len(values) >= 2 * WINDOW else 0.0


def _steadiness(values: Sequence[float]) -> float:
    """The usual jump between neighbouring rows."""
    return median(abs(b - a) for a, b in pairwise(values))


def _rank_correlation(values: Sequence[float]) -> float:
    """Spearman's correlation of values with their place."""
    count = len(values)
    ranks = {
        place: rank for rank, place in enumerate(sorted(range(count), key=lambda i: values[i]))
    }
    return 1 - 6 * sum((place - rank) ** 2 for place, rank in ranks.items()) / (
        count * (count**2 - 1)
    )


def _error_db(name: str, value: float) -> float:
    """An error on a logarithmic scale, so that unlike metrics compare; shares and counts have none."""
    if name.endswith("_db"):
        return -value
    return 20 * math.log10(value) if value > 0 and not higher_is_better(name) else math.nan


def _parted(name: str, rows: Sequence[Row]) -> float:
    """Gain of the training photos plus loss of those held out since the best validation, in dB,
    where both happened.
    """
    held = [_error_db(name, row["validation"][name]) for row in rows]
    seen = [_error_db(name, (row.get("training") or {}).get(name, math.nan)) for row in rows]
    best = min(range(len(held)), key=lambda i: held[i])
    lost, gained = held[-1] - held[best], seen[best] - seen[-1]
    return lost + gained if lost > 0.2 and gained > 0.2 else 0.0


def _leads(name: str, rows: Sequence[Row], best: float = math.inf) -> list[float]:
    """How far each validation lies ahead of its baseline; of nothing, where the baseline cannot be
    improved on.
    """
    sign = 1 if higher_is_better(name) else -1
    both = [(row["validation"][name], (row.get("baseline") or {}).get(name)) for row in rows]
    # One Gaussian of one is covered by a generator that makes the origin: then being there at all
    # is what counts.
    return [
        sign * (value - (plain if plain < best else 0.0))
        for value, plain in both
        if plain is not None
    ]


def _range_grade(side: str, low: float, high: float) -> Severity | None:
    # The outer 1 % are cut off already: a target beyond [0,1] by a thousandth is wrong. Conditions
    # may be noisy.
    slack = 0.01 if side == "target" else 0.75
    if high > 2 + slack or high - low < 0.02:  # 0..255, or divided by 255 twice
        return "severe"
    if low < -0.3 - slack:  # [-1,1]
        return "clear"
    return "mild" if low < -slack or high > 1 + slack else None
