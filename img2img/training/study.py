"""One problem under every adversarial objective at equal steps, as a table in a page.

`python -m img2img.training.study RECIPE --page PAGE [--runs DIR] [key.path=value …]` trains the recipe once
a kind (finished runs are kept, stopped ones go on) and rewrites the table between the recipe's marks in the page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from img2img.files import write_text
from img2img.losses.objectives import OBJECTIVES
from img2img.recipe import Recipe
from img2img.training import train
from img2img.training.report import Run, table


def recipe_under(name: str, kind: str, overrides: Sequence[str]) -> Recipe:
    """The recipe with this objective, and a discriminator that reconstructs where the kind asks for one."""
    head = OBJECTIVES[kind].head  # type: ignore[index]  # a key of the table itself
    judge = ["discriminator.kind=dcgan"] if head == "reconstruction" else []
    recipe = Recipe.load(name, [*overrides, f"adversarial.kind={kind}", *judge])
    if recipe.adversarial and recipe.adversarial.penalised and getattr(recipe.discriminator, "norm", "") == "batch":
        raise SystemExit(
            f"{name}: discriminator.norm=batch shuts out gradient penalties; add discriminator.norm=instance"
        )
    return recipe


def run_all(name: str, runs: Path, overrides: Sequence[str]) -> list[Path]:
    """Train under every kind, each in its own folder."""
    folders = []
    for kind in OBJECTIVES:
        recipe = recipe_under(name, kind, overrides)
        folder = runs / f"{recipe.name}_{kind}"
        if not _finished(folder):
            train(recipe, folder, resume=(folder / "log.jsonl").exists())
        folders.append(folder)
    return folders


def page_with(page: str, name: str, markdown: str) -> str:
    """The page with the study's table between its marks, or with both added at the end."""
    begin, end = f"<!-- study: {name} -->", f"<!-- end of study: {name} -->"
    head, found, rest = page.partition(begin)
    tail = rest.partition(end)[2] if found else "\n"
    return f"{head if found else page.rstrip() + chr(10) * 2}{begin}\n{markdown}\n{end}{tail}"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _finished(folder: Path) -> bool:
    log = folder / "log.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return bool(lines) and "summary" in json.loads(lines[-1])


def main() -> None:
    """Train what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/study"))
    options = parser.parse_args()
    folders = run_all(options.recipe, options.runs, options.overrides)
    told = table([Run.read(folder) for folder in folders])
    page = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
    write_text(options.page, page_with(page, options.recipe, markdown_table(told)))


if __name__ == "__main__":
    main()
