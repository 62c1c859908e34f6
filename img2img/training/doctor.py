"""What the field has learned to watch in a training, said in plain words: pure functions of the rows of log.jsonl.

Every threshold is a ratio, a share or an accuracy, so that it holds for all objectives, whose losses have no common
scale. The numbers were set between the healthy runs (ring under every objective, the tiny recipes) and sicknesses made
on purpose, both in tests/training/test_doctor.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import Any, Literal

from img2img.losses.adversarial import Adversarial
from img2img.losses.objectives import OBJECTIVES, Kind, Objective
from img2img.tasks.baseline import SHARES, goodness, higher_is_better

Row = Mapping[str, Any]
Severity = Literal["mild", "clear", "severe"]
SEVERITIES: tuple[Severity, ...] = ("mild", "clear", "severe")
Grades = tuple[float, float, float]  # where mild, clear and severe begin; falling where less is worse

WINDOW = 8  # rows that count as now: fewer are noise, and the first of a run are no steady state
SETTLED = 0.25  # part of a run before which poor outputs are no sickness but the beginning
NOT_A_NUMBER = "not a number"
PROVES_NOTHING = "cycle_"  # two generators that change nothing close every cycle


@dataclass(frozen=True)
class Diagnosis:
    """A sickness with the numbers that show it and what helps; `score` grows (or falls) with the sickness."""

    name: str
    severity: Severity
    step: int
    numbers: str
    remedy: str
    score: float

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

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Facts:
        """The facts of a resolved recipe's fields."""
        steps, played = recipe["train"]["steps"], recipe.get("adversarial")
        clipped, modes = recipe["train"].get("clip_norm") is not None, recipe.get("task", {}).get("modes")
        if not played:
            return cls(steps, clipped=clipped, modes=modes)
        a = Adversarial.model_validate(played)
        return cls(steps, a.kind, a.turns(steps)[1], a.d_loss_weight, clipped, modes, not recipe.get("losses", True))

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


class Chart:
    """Rows of a log as series of numbers; `since` says after which step the present begins (a remedy was given)."""

    def __init__(self, rows: Sequence[Row], facts: Facts, since: int = 0) -> None:
        self.rows, self.facts, self.since = [row for row in rows if not row.get("summary")], facts, since
        self.step = max((int(row.get("step", 0)) for row in rows), default=0)

    def all(self, name: str, group: str | None = None) -> list[float]:
        """Every value of a name, or of a name in a group, since both players learn."""
        return [value for _, value in self._series(name, group)]

    def now(self, name: str, group: str | None = None, count: int = WINDOW) -> list[float]:
        """The last `count` values; none while there are fewer in the present."""
        values = [value for step, value in self._series(name, group) if step > self.since]
        return values[-count:] if len(values) >= count else []

    def vital(self, name: str, *, high_is_bad: bool = False) -> float | None:
        """The healthier of the last two of a vital sign; None while it has not settled or is getting well by itself."""
        values = [v for step, v in self._series(name, "vitals") if step > max(self.since, SETTLED * self.facts.steps)]
        if len(values) < 2:
            return None
        before, last = values[-2:]
        recovering = last < 0.8 * before if high_is_bad else last > 1.25 * before
        if recovering and self.step < self.facts.steps:
            return None
        return min(before, last) if high_is_bad else max(before, last)

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
        """No validated number keeps more than half of the best lead it ever had over the baseline, or never had one."""
        best, kept = self.facts.best, [(name, rows) for name, rows in self.metrics() if not name.endswith("_ratio")]
        leads = [lead for name, rows in kept if (lead := _leads(name, rows, best(name)))]
        return bool(leads) and all(len(lead) > 2 and lead[-1] <= 0.5 * max(0.0, *lead) for lead in leads)

    def taught(self) -> bool:
        """Every validated number with a best has come half the way there from the baseline, and D alone led it."""
        best = self.facts.best
        ways = [
            (value - plain, best(name) - plain)
            for name, rows in self.metrics()
            if (plain := (rows[-1].get("baseline") or {}).get(name)) is not None
            and math.isfinite(best(name))
            and math.isfinite(value := rows[-1]["validation"][name])
        ]
        return self.facts.d_alone and bool(ways) and all(gone >= 0.5 * whole for gone, whole in ways)

    def _series(self, name: str, group: str | None) -> Iterator[tuple[int, float]]:
        for row in self.rows:
            value = (row.get(group) or {}).get(name) if group else row.get(name)
            if isinstance(value, int | float) and math.isfinite(value) and row.get("step", 0) > self.facts.starts:
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
    if not accuracy or fmean(accuracy) < 0.98 or facts.reconstructs:  # a real game has D wrong more than once in 50
        return None
    faded = max(chart.all("g_signal"), default=0.0) / max(median(chart.now("g_signal") or [math.inf]), 1e-30)
    level = (facts.played.blind_loss or 0.0) * facts.d_loss_weight if facts.played else 0.0
    losses = chart.now("d_loss")
    share = max(fmean(losses), 1e-6) / level if level and losses else 1.0
    # A tenth of the loss of a blind D: G's samples are told apart with 95 % certainty. Gradients may fall 30-fold as
    # pictures get better; a critic's gradient may do so without harm, and only its disappearance counts.
    grade = (
        _grade(1 / share, (10, 30, 100)),
        _grade(faded, (1e3, 1e4, 1e5) if facts.played and facts.played.critic else (30, 100, 1e3)),
    )
    return _diagnosis(
        chart,
        "discriminator winning",
        _worst(*grade),
        f"D tells {fmean(accuracy):.1%} of the pairs apart, its loss is {share:.2g} of a blind one's, "
        f"and its gradient to G has fallen {faded:.3g}-fold from its highest",
        "Lower adversarial.lr, set adversarial.instance_noise=0.1, or give G more steps",
        max(1 / share, faded),
    )


def discriminator_blind(chart: Chart) -> Diagnosis | None:
    """D never learned to tell real from made, or is wrong more often than right."""
    accuracy, now = chart.all("d_accuracy"), chart.now("d_accuracy")
    if not now or not chart.settled or chart.facts.reconstructs:
        return None
    best = max(fmean(accuracy[i : i + WINDOW]) for i in range(len(accuracy) - WINDOW + 1))
    # Made ones are bad at first, and a D that sees anything tells 0.57 of them apart; later ½ is what one hopes for.
    # A D held back by noise and a gradient penalty may tell no more of them apart, and yet teach G all of the data.
    never = _grade(best, (0.55, 0.535, 0.525)) if len(accuracy) >= 4 * WINDOW and not chart.taught() else None
    # At ½ the game is even; below a third D points the wrong way, and G follows, unless D is coming round by itself.
    recovering = fmean(now) > 1.1 * fmean(accuracy[-2 * WINDOW : -WINDOW] or now)
    fooled = None if recovering else _grade(fmean(now), (0.33, 0.2, 0.05))
    said = f"at its best it told {best:.0%} of the pairs apart" if never else "it ranks made ones above real ones"
    return _diagnosis(
        chart,
        "discriminator blind",
        _worst(never, fooled),
        f"D tells {fmean(now):.1%} of the pairs apart (50 % is guessing); {said}",
        "Raise adversarial.lr or d_steps, lower label_noise and instance_noise, or widen the discriminator",
        min(best, fmean(now)),
    )


def loss_spikes(chart: Chart) -> Diagnosis | None:
    """Single steps with many times the usual gradient, or a game that swings from one player to the other."""
    watched = ("d_grad_norm",) if chart.facts.clipped else ("d_grad_norm", "g_grad_norm")
    spikes = {name: _spike(chart, name) for name in watched}
    name = max(spikes, key=lambda n: spikes[n])
    accuracy = chart.now("d_accuracy")
    swing = pstdev(accuracy) if accuracy and not chart.facts.reconstructs else 0.0
    # Healthy steps reach 10 times the usual gradient; 0.29 is the deviation of an accuracy drawn at random.
    grade = _worst(_grade(spikes[name], (20, 50, 200)), _grade(swing, (0.25, 0.33, 0.4)))
    return _diagnosis(
        chart,
        "loss spikes",
        grade,
        f"the highest {name} is {spikes[name]:.3g} times the usual one, D's accuracy varies by ±{swing:.2f}",
        "Lower train.lr, set train.clip_norm=1, raise train.batch_size, or set adversarial.r1=1",
        max(spikes[name] / 20, swing / 0.25),
    )


def fooling_with_garbage(chart: Chart) -> Diagnosis | None:
    """G's adversarial loss falls steadily while no validated number gets better."""
    losses, accuracy = chart.all("adversarial"), chart.now("d_accuracy")
    if len(losses) < 2 * WINDOW or not accuracy or not chart.settled:
        return None
    # -0.7: downhill all the way, not only at its ends. A D that tells 0.6 of the pairs apart is not being fooled.
    if _rank_correlation(losses) > -0.7 or fmean(accuracy) > 0.6 or not chart.garbage():
        return None
    third = len(losses) // 3
    fall = (fmean(losses[:third]) - fmean(losses[-third:])) / (_steadiness(losses) + 1e-9)
    # The fall in units of the loss's own jitter between rows: below 4 a healthy run does it by chance.
    return _diagnosis(
        chart,
        "fooling D with garbage",
        _grade(fall, (4, 10, 30)),
        f"G's adversarial loss fell from {fmean(losses[:third]):.3g} to {fmean(losses[-third:]):.3g}, D tells "
        f"{fmean(accuracy):.1%} of the pairs apart, and validation is hardly better than doing nothing",
        "Strengthen D (adversarial.lr, d_steps, a wider discriminator) or lower adversarial.weight",
        fall,
    )


def mode_collapse(chart: Chart) -> Diagnosis | None:
    """Outputs differ less than targets do, or leave parts of the data out."""
    diversity, coverage, fidelity = (chart.vital(name) for name in ("diversity", "coverage", "fidelity"))
    if (fidelity or 0) < 0.2:  # garbage covers nothing either, and its sickness is another
        coverage = None
    # Blurred outputs still differ 0.8 as much as their targets, and regression without a discriminator half as much
    # where it cannot know; one of eight modes missing costs coverage 0.12.
    played = chart.facts.kind is not None
    grades = (0.6, 0.4, 0.2) if played else (0.4, 0.25, 0.1)
    covered = "" if coverage is None else f", and {coverage:.0%} of the real samples have made ones around them"
    company = "raise adversarial.gamma" if chart.facts.reconstructs else "set discriminator.minibatch_discrimination"
    noisier = f"Set adversarial.instance_noise=0.1, {company}, or use wgan_gp"
    return _diagnosis(
        chart,
        "mode collapse",
        _worst(_grade(diversity, grades), _grade(coverage, (0.5, 0.3, 0.1))),
        f"outputs differ {diversity or 0:.2f} times as much as targets do{covered}",
        noisier if played else "Train longer, look whether the input tells the target, or add an adversarial part",
        min(diversity or 0, 1.0 if coverage is None else coverage),
    )


def input_ignored(chart: Chart) -> Diagnosis | None:
    """An output is no nearer to its own target than to those of other inputs."""
    # 1 is a constant output, which three photos may miss by 0.02. Healthy tasks lie below 0.7, rough sketches at 0.8.
    own = chart.vital("own_input", high_is_bad=True)
    return _diagnosis(
        chart,
        "input ignored",
        _grade(own, (0.92, 0.95, 0.975)),
        f"an output is {own or 0:.2f} times as far from its own target as from those of other inputs (1: input unused)",
        "Let D see the input (adversarial.sees=[condition]), weigh the first loss higher, or lower adversarial.weight",
        own or 0,
    )


def overfitting(chart: Chart) -> Diagnosis | None:
    """Since the best validation, training photos have gained and those held out have lost."""
    apart = {name: _parted(name, rows) for name, rows in chart.metrics()}
    name = max(apart, key=lambda n: apart[n], default="")
    gap = apart.get(name, 0.0)
    # Photos differ in how much can be gained on them, so only the change counts; 1.4 dB happens on twenty photos.
    return _diagnosis(
        chart,
        "overfitting",
        _grade(gap, (2, 4, 7)),
        f"since its best validation, {name} on training photos and on photos held out have gone {gap:.1f} dB apart",
        "More photos, fewer train.steps, more augmentation (data.rotate, data.resize_px), or a smaller generator",
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
        "Set generator.upsampling=resize, or train longer with more weight on the first loss",
        energy or 0,
    )


def not_a_number(chart: Chart) -> Diagnosis | None:
    """The run met NaN or infinity."""
    error = next((str(row["error"]) for row in reversed(chart.rows) if "error" in row), None)
    bad = [k for row in chart.rows[-WINDOW:] for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)]
    said = error or (f"{bad[0]} is not finite" if bad else None)
    remedy = "Lower train.lr, set train.clip_norm=1, or set train.precision=fp32, and --resume"
    return _diagnosis(chart, NOT_A_NUMBER, "severe" if said else None, said or "", remedy, 1.0)


def exploding_gradients(chart: Chart) -> Diagnosis | None:
    """Gradients have grown by orders of magnitude, and stay there."""
    growth = {name: _growth(chart, name) for name in ("g_grad_norm", "d_grad_norm")}
    name = max(growth, key=lambda n: growth[n])
    # As networks leave their small first weights, gradients grow up to 30-fold; two orders are more than learning.
    return _diagnosis(
        chart,
        "exploding gradients",
        _grade(growth[name], (100, 1e3, 1e4)),
        f"{name} is {growth[name]:.3g} times what it was at the beginning",
        "Lower train.lr, set train.clip_norm=1 or adversarial.r1=1, or set discriminator.spectral",
        growth[name],
    )


def dead_outputs(chart: Chart) -> Diagnosis | None:
    """Outputs of one even colour."""
    # No photo is without contrast, so any share is a sickness; a tenth forgives a dark crop.
    dead = chart.vital("dead", high_is_bad=True)
    return _diagnosis(
        chart,
        "dead outputs",
        _grade(dead, (0.1, 0.4, 0.8)),
        f"{dead or 0:.0%} of the outputs are one even colour",
        "Lower train.lr, look at generator.norm and at the data, or start again with another seed",
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
        "Lower train.lr and adversarial.weight; look whether targets are in [0,1]",
        stuck or 0,
    )


def wrong_range(chart: Chart) -> Diagnosis | None:
    """Targets or conditions that are not in [0,1]."""
    held: Mapping[str, float] = next((row["ranges"] for row in reversed(chart.rows) if row.get("ranges")), {})
    found = [
        (side, held[f"{side}_low"], held[f"{side}_high"]) for side in ("target", "condition") if f"{side}_low" in held
    ]
    graded = [(_range_grade(side, low, high), side, low, high) for side, low, high in found]
    grade, side, low, high = max(
        graded, key=lambda g: -1 if g[0] is None else SEVERITIES.index(g[0]), default=(None, "", 0, 0)
    )
    return _diagnosis(
        chart,
        "wrong data range",
        grade,
        f"the {side} values reach from {low:.3g} to {high:.3g}, and pictures are in 0 to 1",
        "Divide by 255 (or add 1 and halve) once, in the task's make_pair",
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
    input_ignored,
    overfitting,
    dead_outputs,
    saturated_outputs,
    checkerboard,
    loss_spikes,
)


def verdict(rows: Sequence[Row], facts: Facts | None = None) -> str:
    """Whether a run is any good so far: what the doctor finds, else the last validation beside the trivial baseline."""
    if any("error" in row for row in rows):
        return "In trouble: losses stopped being numbers. Lower the learning rate and resume."
    found = diagnose(rows, facts or Facts())
    if found and found[0].rank:
        return f"In trouble: {', '.join(f'{d.name} ({d.severity})' for d in found)}."
    measured = [row for row in rows if row.get("validation")]
    if not measured:
        return "Too early to tell: nothing was validated yet."
    mild = f" Keep an eye on: {found[0].name} ({found[0].numbers})." if found else ""
    return f"{_standing(measured[-1], facts or Facts())}{mild}"


def _standing(row: Row, facts: Facts) -> str:
    """The first validated number that can be held against a trivial answer, and which side of it the run is on."""
    plain = row.get("baseline") or {}
    compared = [name for name in row["validation"] if name in plain and not name.startswith(PROVES_NOTHING)]
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
    """Which trivial answer a validated row's baseline is, in words; logs of before it was told do not say."""
    return (row.get("baseline_is") or {}).get(metric, "doing nothing")


def _diagnosis(
    chart: Chart, name: str, severity: Severity | None, numbers: str, remedy: str, score: float
) -> Diagnosis | None:
    return Diagnosis(name, severity, chart.step, numbers, remedy, score) if severity else None


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
    """The highest of the present over the usual; the first rows, in which D is thrown about, count as usual."""
    usual, first = chart.now(name), chart.all(name)[:WINDOW]
    peaks = chart.now(name, "peaks") or usual
    return max(peaks) / max(median(usual), *first, 1e-12) if usual and len(chart.all(name)) > WINDOW else 0.0


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
    ranks = {place: rank for rank, place in enumerate(sorted(range(count), key=lambda i: values[i]))}
    return 1 - 6 * sum((place - rank) ** 2 for place, rank in ranks.items()) / (count * (count**2 - 1))


def _error_db(name: str, value: float) -> float:
    """An error on a logarithmic scale, so that unlike metrics compare; shares and counts have none."""
    if name.endswith("_db"):
        return -value
    return 20 * math.log10(value) if value > 0 and not higher_is_better(name) else math.nan


def _parted(name: str, rows: Sequence[Row]) -> float:
    """Gain of the training photos plus loss of those held out since the best validation, in dB, where both happened."""
    held = [_error_db(name, row["validation"][name]) for row in rows]
    seen = [_error_db(name, (row.get("training") or {}).get(name, math.nan)) for row in rows]
    best = min(range(len(held)), key=lambda i: held[i])
    lost, gained = held[-1] - held[best], seen[best] - seen[-1]
    return lost + gained if lost > 0.2 and gained > 0.2 else 0.0


def _leads(name: str, rows: Sequence[Row], best: float = math.inf) -> list[float]:
    """How far each validation lies ahead of its baseline; of nothing, where the baseline cannot be improved on."""
    sign = 1 if higher_is_better(name) else -1
    both = [(row["validation"][name], (row.get("baseline") or {}).get(name)) for row in rows]
    # One Gaussian of one is covered by a generator that makes the origin: then being there at all is what counts.
    return [sign * (value - (plain if plain < best else 0.0)) for value, plain in both if plain is not None]


def _range_grade(side: str, low: float, high: float) -> Severity | None:
    # The outer 1 % are cut off already: a target beyond [0,1] by a thousandth is wrong. Conditions may be noisy.
    slack = 0.01 if side == "target" else 0.75
    if high > 2 + slack or high - low < 0.02:  # 0..255, or divided by 255 twice
        return "severe"
    if low < -0.3 - slack:  # [-1,1]
        return "clear"
    return "mild" if low < -slack or high > 1 + slack else None
