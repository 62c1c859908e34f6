"""`report.html` of a run, or of several beside each other: one file, readable offline, light and
dark.

It is made of what lies in the run's folder (log.jsonl, recipe.yaml, samples/), so it can be made
again at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import yaml

from img2img.diagnostics.chart import Facts
from img2img.diagnostics.doctor import answer_of, diagnose, verdict
from img2img.diagnostics.drawing import Curve, Plot, drawn
from img2img.diagnostics.findings import Diagnosis
from img2img.diagnostics.page import page
from img2img.diagnostics.runlog import read_rows
from img2img.errors import UserError
from img2img.files import write_text
from img2img.pixels.sheets import embedded
from img2img.tasks.baseline import higher_is_better

FRAMES = 8  # of the sample timeline
SHEET_PX = 560
NO_LOSS = {
    *(
        "step",
        "images",
        "seconds",
        "images_per_second",
        "data_wait",
        "lr",
        "d_lr",
        "began_k",
        "resumed_from_step",
    )
}
SIGNS = ("d_real", "d_fake", "d_accuracy", "g_signal")  # of two sides, _A and _B follow


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it."""

    folder: Path
    rows: list[dict[str, Any]]
    recipe: str  # YAML
    facts: Facts

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises UserError for a folder that is no run."""
        if not (folder / "log.jsonl").is_file():
            raise UserError(f"'{folder}' is no run", remedy="it has no log.jsonl")
        recipe = folder / "recipe.yaml"
        text = recipe.read_text(encoding="utf-8") if recipe.is_file() else ""
        return cls(folder, read_rows(folder / "log.jsonl"), text, _facts(text))

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.resolve().name

    @property
    def step(self) -> int:
        """The last one logged."""
        return max((int(row.get("step", 0)) for row in self.rows), default=0)

    @property
    def minutes(self) -> float:
        """By the clock on the wall, loading, validating and saving included."""
        told = (max(row.get("seconds", 0) / 60, row.get("minutes", 0)) for row in self.rows)
        return float(max(told, default=0.0))

    @property
    def data_wait(self) -> float | None:
        """The share of a step that went by waiting for data; logs of before it was told do not say."""
        shares = [value for _, value in self.series("data_wait")]
        return sum(shares) / len(shares) if shares else None

    @property
    def validated(self) -> dict[str, Any]:
        """The last row that was validated."""
        return next((row for row in reversed(self.rows) if row.get("validation")), {})

    @cached_property
    def diagnoses(self) -> list[Diagnosis]:
        """What is wrong at its end."""
        return diagnose(self.rows, self.facts)

    @cached_property
    def verdict(self) -> str:
        """One sentence."""
        return verdict(self.rows, self.facts)

    def verdict_fields(self) -> dict[str, Any]:
        """The verdict and all that is wrong, as an object; findings as they stand in log.jsonl."""
        return {
            "run": str(self.folder),
            "step": self.step,
            "steps": self.facts.steps,
            "verdict": self.verdict,
            "findings": [found.row() for found in self.diagnoses],
        }

    @property
    def told(self) -> list[dict[str, Any]]:
        """Rows in which the doctor spoke or acted."""
        return [row for row in self.rows if "diagnosis" in row]

    @property
    def marks(self) -> list[int]:
        """The steps of those rows."""
        return [int(row["step"]) for row in self.told]

    @property
    def sheets(self) -> list[Path]:
        """Sample sheets, oldest first."""
        return sorted((self.folder / "samples").glob("step_*.png"))

    def series(self, name: str, group: str | None = None) -> list[tuple[int, float]]:
        """(step, value) of a logged name, or of a name in a group such as `validation`."""
        rows = [row for row in self.rows if not row.get("summary")]
        found = [
            (row.get("step", 0), (row.get(group) or {}).get(name) if group else row.get(name))
            for row in rows
        ]
        return [
            (int(step), float(value)) for step, value in found if isinstance(value, int | float)
        ]

    def names(self, group: str | None = None) -> list[str]:
        """Everything logged as a number, in order of appearance."""
        rows = [
            (row.get(group) or {}) if group else row for row in self.rows if not row.get("summary")
        ]
        return list(
            dict.fromkeys(k for row in rows for k, v in row.items() if isinstance(v, int | float))
        )


def write_report(folder: Path) -> Path:
    """`report.html` in a run's folder."""
    return write_comparison([folder], folder / "report.html")


def write_comparison(folders: Sequence[Path], place: Path) -> Path:
    """One page about a run, or about several. Raises UserError for a folder that is no run."""
    runs = [Run.read(folder) for folder in folders]
    write_text(place, _one(runs[0]) if len(runs) == 1 else _several(runs))
    return place


def table(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Head and rows: run, steps, minutes, every metric beside its baseline, verdict."""
    metrics = list(
        dict.fromkeys(name for run in runs for name in run.validated.get("validation", {}))
    )
    head = (
        "run",
        "steps",
        "minutes",
        *(f"{m} {'↑' if higher_is_better(m) else '↓'} (baseline)" for m in metrics),
        "verdict",
    )
    return [head, *(_table_row(run, metrics) for run in runs)]


def _table_row(run: Run, metrics: Sequence[str]) -> tuple[str, ...]:
    numbers = (_beside(run.validated, name) for name in metrics)
    return (run.name, f"{run.step:,}", f"{run.minutes:.1f}", *numbers, _short(run))


def _short(run: Run) -> str:
    """The verdict's first words, for a table."""
    said = run.verdict.partition(":")[0]
    return f"{said}: {', '.join(d.name for d in run.diagnoses)}" if run.diagnoses else said


def _beside(row: dict[str, Any], name: str) -> str:
    value, plain = row.get("validation", {}).get(name), row.get("baseline", {}).get(name)
    if value is None:
        return "–"
    return f"{value:.4g}" + (f" ({plain:.4g})" if plain is not None else "")


def _one(run: Run) -> str:
    parts = [
        _verdict(run),
        _html_table(table([run])),
        _section("Curves", _grid(drawn(plot) for plot in _plots(run))),
        _section("Samples", _timeline(run)),
        *_data(run),
        _section(
            "Recipe",
            f"<details><summary>recipe.yaml</summary><pre>{escape(run.recipe)}</pre></details>",
        ),
    ]
    waiting = "" if run.data_wait is None else f", {run.data_wait:.0%} of a step waiting for data"
    return page(
        run.name,
        f"{run.step:,} of {run.facts.steps:,} steps, {run.minutes:.1f} minutes{waiting}",
        parts,
    )


def _several(runs: Sequence[Run]) -> str:
    parts = [
        _html_table(table(runs)),
        _section("Samples, the last of each", _side_by_side(runs)),
        _section("Curves", _grid(drawn(plot) for plot in _overlaid(runs))),
        *(_section(run.name, _verdict(run)) for run in runs),
    ]
    return page("Runs compared", ", ".join(run.name for run in runs), parts)


def loss_plot(run: Run) -> Plot:
    """Losses and their parts; G's whole loss is left out where it equals one of its parts."""
    named = [
        n for n in run.names() if n not in NO_LOSS and not n.startswith(SIGNS) and "_norm" not in n
    ]
    parts = [n for n in named if n != "g_loss"]
    one_part = any(run.series(n) == run.series("g_loss") for n in parts)
    return Plot(
        "Losses", _curves(run, parts if one_part else named), logarithmic=True, marks=run.marks
    )


def _plots(run: Run) -> list[Plot]:
    norms = [n for n in run.names() if "_norm" in n or n.startswith("g_signal")]
    marks = run.marks
    return [
        loss_plot(run),
        Plot(
            "Scores of real D(x) and made D(G(z))",
            _curves(run, [n for n in run.names() if n.startswith(("d_real", "d_fake"))]),
            marks=marks,
        ),
        Plot(
            "Pairs of real and made that D ranks rightly",
            _curves(run, [n for n in run.names() if n.startswith("d_accuracy")]),
            level=0.5,
            note="½: D cannot tell them apart. 1: D is always right.",
            marks=marks,
        ),
        Plot(
            "Gradient norms, and how loud D's gradient reaches G (g_signal)",
            _curves(run, norms),
            True,
            marks=marks,
        ),
        *(Plot(_title(name), _metric(run, name), marks=marks) for name in run.names("validation")),
        Plot(
            "Vital signs of the validated set",
            _vitals(run, VITALS),
            level=1.0,
            note=VITALS_NOTE,
            marks=marks,
        ),
        Plot(
            "Vital sign: checkerboard",
            _vitals(run, ["checkerboard"]),
            level=1.0,
            note=GRID_NOTE,
            marks=marks,
        ),
    ]


VITALS = ("diversity", "own_input", "coverage", "fidelity", "saturated", "dead")
VITALS_NOTE = (
    "diversity: how much outputs differ, over targets; own_input: distance to the own target over that to others "
    "(1: input ignored); coverage: real samples among made ones; fidelity: made samples among real ones; saturated: "
    "values at black or white, less the targets'; dead: outputs of one even color."
)
GRID_NOTE = "Energy at the frequencies upsampling leaves, over the targets'. 1: no grid."


def _overlaid(runs: Sequence[Run]) -> list[Plot]:
    """Each number that any run has, with a curve a run."""
    metrics = list(dict.fromkeys(name for run in runs for name in run.names("validation")))
    plots = [
        Plot(_title(m), [Curve(r.name, r.series(m, "validation"), i) for i, r in enumerate(runs)])
        for m in metrics
    ]
    accuracy = [Curve(r.name, r.series("d_accuracy"), i) for i, r in enumerate(runs)]
    plots.append(Plot("Pairs of real and made that D ranks rightly", accuracy, level=0.5))
    for name, title in (("d_loss", "Discriminator's loss"), ("g_loss", "Generator's loss")):
        plots.append(Plot(title, [Curve(r.name, r.series(name), i) for i, r in enumerate(runs)]))
    norms = [Curve(r.name, r.series("g_grad_norm"), i) for i, r in enumerate(runs)]
    return [*plots, Plot("Norm of the generator's gradient", norms, logarithmic=True)]


def _title(metric: str) -> str:
    return f"Validation: {metric} ({'higher' if higher_is_better(metric) else 'lower'} is better)"


def _curves(run: Run, names: Iterable[str]) -> list[Curve]:
    return [Curve(name, run.series(name), number) for number, name in enumerate(names)]


def _metric(run: Run, name: str) -> list[Curve]:
    return [
        Curve("validation", run.series(name, "validation"), 0),
        Curve("training photos", run.series(name, "training"), 1),
        Curve(
            f"baseline: {answer_of(run.validated, name)}",
            run.series(name, "baseline"),
            3,
            dash=True,
        ),
    ]


def _vitals(run: Run, names: Iterable[str]) -> list[Curve]:
    return [Curve(name, run.series(name, "vitals"), number) for number, name in enumerate(names)]


def _verdict(run: Run) -> str:
    state = (
        "sick"
        if any(d.rank for d in run.diagnoses)
        else "well"
        if run.verdict.startswith("Healthy")
        else "open"
    )
    now = {d.name for d in run.diagnoses}
    items = [
        _item(d.name, d.severity, f"{d.numbers}. <b>{escape(d.remedy)}</b>", "now")
        for d in run.diagnoses
    ]
    earlier = [row for row in run.told if row["diagnosis"] not in now or "remedy" in row]
    items += [
        _item(r["diagnosis"], r.get("severity", "given"), _said(r), f"step {r['step']:,}")
        for r in earlier
    ]
    listed = f'<ul class="findings">{"".join(items)}</ul>' if items else ""
    return f'<div class="verdict {state}"><p>{escape(run.verdict)}</p>{listed}</div>'


def _item(name: str, severity: str, html: str, when: str) -> str:
    chip = f'<span class="chip {severity}">{severity}</span>'
    return f"<li>{chip} <b>{escape(name)}</b> <small>{when}</small><br>{html}</li>"


def _said(row: dict[str, Any]) -> str:
    return (
        f"remedy given: {escape(row['remedy'])}"
        if "remedy" in row
        else escape(row.get("numbers", ""))
    )


def _data(run: Run) -> list[str]:
    """How the photos were read, and which could not be."""
    told = next((str(row["data"]) for row in reversed(run.rows) if row.get("data")), "")
    broken = {name: why for row in run.rows for name, why in (row.get("left_out") or {}).items()}
    items = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in broken.items())
    listed = (
        f"<details><summary>{len(broken)} left out</summary><ul>{items}</ul></details>"
        if broken
        else ""
    )
    return [_section("Data", f"<p>{escape(told)}</p>{listed}")] if told or broken else []


def _timeline(run: Run) -> str:
    sheets = run.sheets
    chosen = (
        sheets
        if len(sheets) <= FRAMES
        else [sheets[round(i * (len(sheets) - 1) / (FRAMES - 1))] for i in range(FRAMES)]
    )
    shown = "".join(
        _picture(sheet, f"step {_step(sheet):,}", SHEET_PX) for sheet in reversed(chosen)
    )
    return (
        f'<div class="strip">{shown}</div>'
        if shown
        else '<p class="note">Nothing was validated yet.</p>'
    )


def _side_by_side(runs: Sequence[Run]) -> str:
    last = [(run, run.sheets[-1]) for run in runs if run.sheets]
    shown = (_picture(sheet, f"{run.name}, step {_step(sheet):,}", SHEET_PX) for run, sheet in last)
    return f'<div class="strip">{"".join(shown)}</div>'


def _picture(path: Path, caption: str, most_px: int) -> str:
    return (
        f'<figure class="sample"><img alt="samples, {escape(caption)}" src="{embedded(path, most_px)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _step(sheet: Path) -> int:
    return int(sheet.stem.removeprefix("step_"))


def _html_table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:]
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _section(title: str, html: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{html}</section>"


def _grid(figures: Iterable[str]) -> str:
    return f'<div class="plots">{"".join(figures)}</div>'


def _facts(text: str) -> Facts:
    """From the resolved recipe, which needs no code of its task to be read; what is not known is
    guessed.
    """
    try:
        return Facts.of(yaml.safe_load(text))
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        return Facts()
