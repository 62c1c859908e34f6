"""One problem under every adversarial objective at equal steps: a table and a picture in a page.

`python -m img2img.maintenance.study RECIPE --data DIR --page PAGE --picture FILE [--runs DIR]
[--limit N] [key.path=value …]` trains the recipe once a kind (finished runs are kept, stopped ones
go on), measures all of them on DIR by the task's protocol, and rewrites what lies between the
recipe's marks in the page.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from img2img.diagnostics.recorded_run import Run
from img2img.diagnostics.runlog import read_rows
from img2img.errors import UserError
from img2img.evaluation.generated import measure_generated
from img2img.evaluation.pictures import Line, drawn
from img2img.evaluation.report import Report
from img2img.evaluation.run import evaluate
from img2img.files import write_text
from img2img.inference.pipeline import Model, load
from img2img.inference.sampling import GenerateRequest, generate
from img2img.losses.objectives import OBJECTIVES, Kind
from img2img.pixels.augment import resized
from img2img.pixels.images import Photo, quantise, write_photo
from img2img.recipe import Recipe
from img2img.tasks.noise import NoiseTask
from img2img.training import train

WIDTH_PX = 900
ZOOM = 2  # of pictures made from noise


@dataclass(frozen=True)
class Measured:
    """What stands in the page: the table's head and rows, the protocol, and a line of pictures a
    kind.
    """

    protocol: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    lines: list[Line]


def recipe_under(name: str, kind: Kind, overrides: Sequence[str]) -> Recipe:
    """The recipe with this objective, and a discriminator that reconstructs where the kind asks for
    one.
    """
    asked, head = [*overrides, f"adversarial.kind={kind}"], OBJECTIVES[kind].head
    if head == "logits":
        return Recipe.load(name, asked)
    recipe = Recipe.load(name, overrides)
    discriminator = recipe.discriminator
    if discriminator is not None and head not in discriminator.networks:
        asked += ["discriminator.kind=dcgan"]
    # a projection adds to a score; a reconstruction can show the class
    if getattr(discriminator, "projection", False):
        asked += ["discriminator.projection=false", "adversarial.sees=[label]"]
    return Recipe.load(name, asked)


def run_all(name: str, runs: Path, overrides: Sequence[str]) -> dict[str, Path]:
    """Train under every kind, each in its own folder."""
    folders: dict[str, Path] = {}
    for kind in OBJECTIVES:
        recipe = recipe_under(name, kind, overrides)
        folder = runs / f"{recipe.name}_{kind}"
        log = folder / "log.jsonl"
        last_rows = read_rows(log)[-1:] if log.exists() else []
        if not any(row.get("summary") for row in last_rows):
            train(recipe, folder, resume=log.exists())
        folders[kind] = folder
    return folders


def measured(folders: dict[str, Path], data: str, limit: int | None) -> Measured:
    """Every run and the baselines of its task, on the same photos or samples."""
    models = {kind: load(folder, precision="fp32") for kind, folder in folders.items()}
    task = next(iter(models.values())).task
    report, lines = (
        _of_noise(models, data, limit)
        if isinstance(task, NoiseTask)
        else _of_photos(task.kind, folders, data, limit)
    )
    kinds = {model.name: kind for kind, model in models.items()}
    rows = []
    for row in report.rows:
        run = Run(folders[kinds[row.method]]) if row.method in kinds else None
        length = (f"{run.step:,}", f"{run.minutes:.1f}") if run else ("–", "–")
        numbers = (column.text(row.values.get(column.name)) for column in report.columns)
        rows.append(
            (kinds.get(row.method, row.method), *length, *numbers, run.verdict if run else "–")
        )
    head = (
        "objective",
        "steps",
        "minutes",
        *(column.title for column in report.columns),
        "the doctor",
    )
    protocol = f"{report.protocol}; {report.photo_count:,} photos"
    return Measured(protocol, head, list(dict.fromkeys(rows)), lines)


def _of_noise(models: dict[str, Model], data: str, limit: int | None) -> tuple[Report, list[Line]]:
    report = measure_generated(list(models.values()), data, limit)
    report.rows[:] = [row for row in report.rows if row.setting == "all"]
    return report, [
        Line(kind, tuple(("", picture) for picture in _of_each_class(m)))
        for kind, m in models.items()
    ]


def _of_each_class(model: Model) -> list[np.ndarray]:
    """The first sample of every class."""
    rgb, _ = generate(model, GenerateRequest(model.task.classes))
    panels = quantise(torch.as_tensor(rgb).permute(0, 2, 3, 1).numpy(), np.uint8)
    return [np.ascontiguousarray(panel.repeat(ZOOM, 0).repeat(ZOOM, 1)) for panel in panels]


def _of_photos(
    task: str, folders: dict[str, Path], data: str, limit: int | None
) -> tuple[Report, list[Line]]:
    reports = [evaluate(task, data, folder, limit=limit) for folder in folders.values()]
    total = reports[0]
    for report in reports[1:]:
        total = total + report
    given, truth = (
        tuple(("", line.panels[place][1]) for line in reports[0].first) for place in (0, -1)
    )
    results = [
        Line(kind, tuple(("", line.panels[-2][1]) for line in report.first))
        for kind, report in zip(folders, reports, strict=True)
    ]
    return total, [Line("input", given), *results, Line("truth", truth)]


def page_with(page: str, name: str, text: str) -> str:
    """The page with the study's text between its marks, or with both added at the end."""
    begin, end = f"<!-- study: {name} -->", f"<!-- end of study: {name} -->"
    head, found, rest = page.partition(begin)
    tail = rest.partition(end)[2] if found else "\n"
    return f"{head if found else page.rstrip() + chr(10) * 2}{begin}\n{text}\n{end}{tail}"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first one as its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def command(options: argparse.Namespace) -> str:
    """What was asked for as a line that can be run again, without this machine's folders."""
    words = [options.recipe]
    for override in options.overrides:
        key, _, value = override.partition("=")
        words.append(f"{key}={_portable(value)}" if key == "data.path" else override)
    for name in ("data", "page", "picture"):
        words += [f"--{name}", _portable(getattr(options, name))]
    words += ["--limit", str(options.limit)] if options.limit is not None else []
    return shlex.join(["python", "-m", "img2img.maintenance.study", *words])


def _portable(path: str | Path) -> str:
    """A path as it was given; one that begins at the root, which means nothing elsewhere, by its
    last name.
    """
    return Path(path).name if Path(path).is_absolute() else Path(path).as_posix()


def main() -> None:
    """Train what is missing, measure, and write the page and its picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    parser.add_argument("--data", required=True, help="what to measure on")
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True, help="a JPEG, linked from the page")
    parser.add_argument("--runs", type=Path, default=Path("runs/study"))
    parser.add_argument("--limit", type=int, help="only the first N photos, or samples a class")
    options = parser.parse_args()
    try:
        folders = run_all(options.recipe, options.runs, options.overrides)
        found = measured(folders, options.data, options.limit)
    except UserError as error:
        parser.error(str(error))
    sheet = drawn(found.lines)
    small = resized(sheet, min(1.0, WIDTH_PX / sheet.shape[1]))
    write_photo(options.picture, Photo(np.ascontiguousarray(small)), quality=82)
    link = Path(os.path.relpath(options.picture, options.page.parent)).as_posix()
    text = "\n".join(
        [
            f"`{command(options)}`: {found.protocol}.",
            "",
            markdown_table([found.head, *found.rows]),
            "",
            f"![]({link})",
        ]
    )
    page = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
    write_text(options.page, page_with(page, options.recipe, text))


if __name__ == "__main__":
    main()
