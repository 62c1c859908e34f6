"""The doctor reads a log: what is wrong with a training, and whether it is any good so far.

Pure functions of the rows of log.jsonl and of a few facts of the recipe; the rules are a table.
"""

from __future__ import annotations

from collections.abc import Sequence

from img2img.diagnostics.chart import ENOUGH, Chart, LogRow, RunFacts
from img2img.diagnostics.findings import Diagnosis
from img2img.diagnostics.rules import RULES
from img2img.tasks.baseline import goodness

PROVES_NOTHING = "cycle_"  # metrics: two generators that change nothing close every cycle


def diagnose(rows: Sequence[LogRow], facts: RunFacts, since: int = 0) -> list[Diagnosis]:
    """What is wrong at the last of the rows, the worst first; `since` is the step from which rows
    count as the present.
    """
    chart = Chart(rows, facts, since)
    found = [diagnosis for rule in RULES if (diagnosis := rule.examine(chart)) is not None]
    return sorted(found, key=lambda d: -d.rank)


def verdict(rows: Sequence[LogRow], facts: RunFacts | None = None) -> str:
    """Whether a run is any good so far: what the doctor finds, else the last validation against its
    trivial baseline.
    """
    if any("error" in row for row in rows):
        return "In trouble: losses stopped being numbers. Lower the learning rate and resume."
    facts = facts or RunFacts()
    found = diagnose(rows, facts)
    if found and found[0].rank:
        return f"In trouble: {', '.join(f'{d.name} ({d.severity})' for d in found)}."
    measured = [row for row in rows if row.get("validation")]
    if not measured:
        return "Too early to tell: nothing was validated yet."
    mild = f" Keep an eye on: {found[0].name} ({found[0].numbers})." if found else ""
    return f"{_standing(measured[-1], facts)}{mild}{_too_few(Chart(rows, facts))}"


def _too_few(chart: Chart) -> str:
    """What so few validated samples cannot tell."""
    if not chart.few:
        return ""
    photos = f"{chart.count} validation photos are" if chart.count != 1 else "1 validation photo is"
    return (
        f" {photos} too few to tell how varied outputs are: {ENOUGH} do "
        "(more photos, a larger data.validation_share)."
    )


def _standing(row: LogRow, facts: RunFacts) -> str:
    """The first validated number that has a baseline, and which side of it the run is on."""
    plain = row.get("baseline") or {}
    compared = [
        name for name in row["validation"] if name in plain and not name.startswith(PROVES_NOTHING)
    ]
    if not compared:
        name, value = next(iter(row["validation"].items()))
        return (
            f"Nothing wrong is seen, and {name} {value:.3g} proves nothing by itself: "
            "look at the samples."
        )
    name = compared[0]
    value, baseline = row["validation"][name], plain[name]
    if goodness(name, value) > goodness(name, baseline):
        said = "Healthy: better than its baseline"
    elif value < facts.best(name):
        said = "Not yet better than its baseline"
    else:
        said = "Healthy: as good as can be"
    return f"{said} ({name} {value:.3g}, {answer_of(row, name)} gives {baseline:.3g})."


def answer_of(row: LogRow, metric: str) -> str:
    """Which trivial answer a validated row's baseline is, in words; early logs do not say."""
    return (row.get("baseline_is") or {}).get(metric, "doing nothing")
