"""`report.html` of a run, or of several side by side: one file, readable offline, light and dark.

It is made of what lies in the run's folder (log.jsonl, recipe.yaml, samples/), so it can be made
again at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from img2img.diagnostics.doctor import answer_of
from img2img.diagnostics.drawing import Plot, PlotCurve, drawn
from img2img.diagnostics.page import page
from img2img.diagnostics.recorded_run import Run
from img2img.files import write_text
from img2img.pixels.sheets import embedded
from img2img.tasks.baseline import higher_is_better

FRAMES = 8  # of the sample timeline
SHEET_PX = 560
NO_LOSS = {
    "step",
    "images",
    "seconds",
    "images_per_second",
    "data_wait",
    "lr",
    "d_lr",
    "began_k",
    "resumed_from_step",
}
# D's scores, accuracy and gradient at G's outputs; of CycleGAN's two sides, _A and _B follow.
D_SIGNS = ("d_real", "d_fake", "d_accuracy", "g_signal")
VITALS = ("diversity", "own_input", "coverage", "fidelity", "saturated", "dead")
VITALS_NOTE = (
    "diversity: how much outputs differ, over targets; own_input: distance to the own target over "
    "that to others (1: input ignored); coverage: real samples among fake ones; fidelity: fake "
    "samples among real ones; saturated: values at black or white, less the targets'; dead: "
    "outputs of one even color."
)
GRID_NOTE = "Energy at the frequencies upsampling leaves, over the targets'. 1: no grid."


def write_report(folder: Path) -> Path:
    """`report.html` in a run's folder."""
    return write_comparison([folder], folder / "report.html")


def write_comparison(folders: Sequence[Path], place: Path) -> Path:
    """One page about a run, or about several. Raises UserError for a folder that is no run."""
    runs = [Run(folder) for folder in folders]
    write_text(place, _page_of_one(runs[0]) if len(runs) == 1 else _page_of_several(runs))
    return place


def table(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Head and rows: run, steps, minutes, every metric with its baseline, verdict."""
    found = (name for run in runs for name in run.validated.get("validation", {}))
    metrics = list(dict.fromkeys(found))
    titles = (f"{m} {'↑' if higher_is_better(m) else '↓'} (baseline)" for m in metrics)
    rows: list[tuple[str, ...]] = [("run", "steps", "minutes", *titles, "verdict")]
    for run in runs:
        verdict = run.verdict.partition(":")[0]  # its first words
        if run.diagnoses:
            verdict += f": {', '.join(found.name for found in run.diagnoses)}"
        numbers = (_with_baseline(run, name) for name in metrics)
        rows.append((run.name, f"{run.step:,}", f"{run.minutes:.1f}", *numbers, verdict))
    return rows


def _with_baseline(run: Run, metric: str) -> str:
    """`30.12 (20.4)`."""
    value, plain = (run.validated.get(g, {}).get(metric) for g in ("validation", "baseline"))
    if value is None:
        return "–"
    return f"{value:.4g}" + (f" ({plain:.4g})" if plain is not None else "")


def _page_of_one(run: Run) -> str:
    recipe = f"<details><summary>recipe.yaml</summary><pre>{escape(run.recipe)}</pre></details>"
    parts = [
        _verdict(run),
        _html_table(table([run])),
        _plots_section(_plots(run)),
        _section("Samples", _timeline(run)),
        *_data(run),
        _section("Recipe", recipe),
    ]
    waiting = "" if run.data_wait is None else f", {run.data_wait:.0%} of a step waiting for data"
    subtitle = f"{run.step:,} of {run.facts.steps:,} steps, {run.minutes:.1f} minutes{waiting}"
    return page(run.name, subtitle, parts)


def _page_of_several(runs: Sequence[Run]) -> str:
    last = [(run.name, *list(run.sheets.items())[-1]) for run in runs if run.sheets]
    samples = _strip((sheet, f"{name}, step {step:,}") for name, step, sheet in last)
    parts = [
        _html_table(table(runs)),
        _section("Samples, the last of each", samples),
        _plots_section(_overlaid(runs)),
        *(_section(run.name, _verdict(run)) for run in runs),
    ]
    return page("Runs compared", ", ".join(run.name for run in runs), parts)


def loss_plot(run: Run) -> Plot:
    """Losses and their parts; G's whole loss is left out where it equals one of its parts."""
    names = [
        n
        for n in run.names()
        if n not in NO_LOSS and not n.startswith(D_SIGNS) and "_norm" not in n
    ]
    parts = [n for n in names if n != "g_loss"]
    one_part = any(run.series(n) == run.series("g_loss") for n in parts)
    return Plot("Losses", _curves(run, parts if one_part else names), True, marks=run.marks)


def _plots(run: Run) -> list[Plot]:
    marks, names = run.marks, run.names()
    scores = [n for n in names if n.startswith(("d_real", "d_fake"))]
    accuracies = [n for n in names if n.startswith("d_accuracy")]
    norms = [n for n in names if "_norm" in n or n.startswith("g_signal")]
    return [
        loss_plot(run),
        Plot("Scores of real D(x) and fake D(G(z))", _curves(run, scores), marks=marks),
        Plot(
            "Pairs of real and fake that D ranks rightly",
            _curves(run, accuracies),
            level=0.5,
            note="½: D cannot tell them apart. 1: D is always right.",
            marks=marks,
        ),
        Plot(
            "Gradient norms, and the norm of the gradient that D sends to G (g_signal)",
            _curves(run, norms),
            logarithmic=True,
            marks=marks,
        ),
        *(_metric_plot(run, name) for name in run.names("validation")),
        Plot(
            "Vital signs of the validated set",
            _curves(run, VITALS, "vitals"),
            level=1.0,
            note=VITALS_NOTE,
            marks=marks,
        ),
        Plot(
            "Vital sign: checkerboard",
            _curves(run, ["checkerboard"], "vitals"),
            level=1.0,
            note=GRID_NOTE,
            marks=marks,
        ),
    ]


def _curves(run: Run, names: Iterable[str], group: str | None = None) -> list[PlotCurve]:
    return [PlotCurve(name, run.series(name, group), n) for n, name in enumerate(names)]


def _metric_plot(run: Run, name: str) -> Plot:
    """A validated number on photos held out, on training photos, and of its baseline."""
    baseline = f"baseline: {answer_of(run.validated, name)}"
    curves = [
        PlotCurve("validation", run.series(name, "validation"), 0),
        PlotCurve("training photos", run.series(name, "training"), 1),
        PlotCurve(baseline, run.series(name, "baseline"), 3, dash=True),
    ]
    return Plot(_title(name), curves, marks=run.marks)


def _title(metric: str) -> str:
    return f"Validation: {metric} ({'higher' if higher_is_better(metric) else 'lower'} is better)"


def _overlaid(runs: Sequence[Run]) -> list[Plot]:
    """Each number that any run has, with a curve a run."""

    def curves(name: str, group: str | None = None) -> list[PlotCurve]:
        return [PlotCurve(run.name, run.series(name, group), n) for n, run in enumerate(runs)]

    metrics = list(dict.fromkeys(name for run in runs for name in run.names("validation")))
    return [
        *(Plot(_title(metric), curves(metric, "validation")) for metric in metrics),
        Plot("Pairs of real and fake that D ranks rightly", curves("d_accuracy"), level=0.5),
        Plot("Discriminator's loss", curves("d_loss")),
        Plot("Generator's loss", curves("g_loss")),
        Plot("Norm of the generator's gradient", curves("g_grad_norm"), logarithmic=True),
    ]


def _plots_section(plots: Iterable[Plot]) -> str:
    return _section("Curves", f'<div class="plots">{"".join(map(drawn, plots))}</div>')


def _verdict(run: Run) -> str:
    """The verdict, what is wrong now, and what was found or done before."""
    state = "well" if run.verdict.startswith("Healthy") else "open"
    if any(d.rank for d in run.diagnoses):
        state = "sick"
    now = {d.name for d in run.diagnoses}
    findings = [
        (str(d.name), str(d.severity), "now", f"{d.numbers}. <b>{escape(d.remedy)}</b>")
        for d in run.diagnoses
    ]
    for row in run.doctor_rows:
        if "remedy" in row or row["diagnosis"] not in now:
            remedy = f"remedy given: {escape(row['remedy'])}" if "remedy" in row else None
            html = remedy or escape(row.get("numbers", ""))
            severity, when = row.get("severity", "given"), f"step {row['step']:,}"
            findings.append((row["diagnosis"], severity, when, html))
    items = "".join(
        f'<li><span class="chip {severity}">{severity}</span> <b>{escape(name)}</b> '
        f"<small>{when}</small><br>{html}</li>"
        for name, severity, when, html in findings
    )
    listed = f'<ul class="findings">{items}</ul>' if items else ""
    return f'<div class="verdict {state}"><p>{escape(run.verdict)}</p>{listed}</div>'


def _data(run: Run) -> list[str]:
    """How the photos were read, and which could not be."""
    described = next((str(row["data"]) for row in reversed(run.rows) if row.get("data")), "")
    broken = {name: why for row in run.rows for name, why in (row.get("left_out") or {}).items()}
    if not (described or broken):
        return []
    listed = ""
    if broken:
        items = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in broken.items())
        listed = f"<details><summary>{len(broken)} left out</summary><ul>{items}</ul></details>"
    return [_section("Data", f"<p>{escape(described)}</p>{listed}")]


def _timeline(run: Run) -> str:
    """Sample sheets, the newest first, evenly chosen where there are many."""
    sheets = list(run.sheets.items())
    if not sheets:
        return '<p class="note">Nothing was validated yet.</p>'
    if len(sheets) > FRAMES:
        sheets = [sheets[round(i * (len(sheets) - 1) / (FRAMES - 1))] for i in range(FRAMES)]
    return _strip((sheet, f"step {step:,}") for step, sheet in reversed(sheets))


def _strip(sheets: Iterable[tuple[Path, str]]) -> str:
    """Sheets with their captions in a row."""
    figures = (
        f'<figure class="sample"><img alt="samples, {escape(caption)}" '
        f'src="{embedded(path, SHEET_PX)}"><figcaption>{escape(caption)}</figcaption></figure>'
        for path, caption in sheets
    )
    return f'<div class="strip">{"".join(figures)}</div>'


def _html_table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows[1:])
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _section(title: str, html: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{html}</section>"
