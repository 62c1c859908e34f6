"""A run as its folder shows it: log, recipe, sample sheets, and what the doctor finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from img2img.diagnostics.chart import RunFacts
from img2img.diagnostics.doctor import diagnose, verdict
from img2img.diagnostics.runlog import read_rows
from img2img.errors import UserError


class Run:
    """A run's folder at the time when it is read: its log, its recipe, and what follows from them.

    Raises UserError for a folder that is no run.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "log.jsonl").is_file():
            raise UserError(f"'{folder}' is no run", remedy="it has no log.jsonl")
        self.folder, self.name = folder, folder.resolve().name
        recipe = folder / "recipe.yaml"
        self.recipe = recipe.read_text(encoding="utf-8") if recipe.is_file() else ""
        """YAML; empty where there is none."""
        try:  # the resolved recipe needs no code of its task to be read
            self.facts = RunFacts.of(yaml.safe_load(self.recipe))
        except (yaml.YAMLError, KeyError, TypeError, ValueError):
            self.facts = RunFacts()
        self.rows = read_rows(folder / "log.jsonl")
        self.step = max((int(row.get("step", 0)) for row in self.rows), default=0)
        """The last one logged."""
        validated = (row for row in reversed(self.rows) if row.get("validation"))
        self.validated = next(validated, dict[str, Any]())
        """The last row that was validated; empty before the first."""
        self.doctor_rows = [row for row in self.rows if "diagnosis" in row]
        """Rows with a finding or a remedy."""
        self.marks = [int(row["step"]) for row in self.doctor_rows]
        """The steps at which the doctor found or did something."""
        self.diagnoses = diagnose(self.rows, self.facts)
        """What is wrong at its end, the worst first."""
        self.verdict = verdict(self.rows, self.facts)
        """Whether it is any good so far, in a sentence or two."""
        sheets = sorted((folder / "samples").glob("step_*.png"))
        self.sheets = {int(sheet.stem.removeprefix("step_")): sheet for sheet in sheets}
        """Sample sheets by their step, oldest first."""

    @property
    def minutes(self) -> float:
        """Wall time; loading, validating and saving included."""
        logged = (max(row.get("seconds", 0) / 60, row.get("minutes", 0)) for row in self.rows)
        return float(max(logged, default=0.0))

    @property
    def data_wait(self) -> float | None:
        """The share of a step that waits for data; None where a log does not say."""
        shares = [value for _, value in self.series("data_wait")]
        return sum(shares) / len(shares) if shares else None

    def verdict_fields(self) -> dict[str, Any]:
        """The verdict and all that is wrong, as an object; findings as they stand in log.jsonl."""
        return {
            "run": str(self.folder),
            "step": self.step,
            "steps": self.facts.steps,
            "verdict": self.verdict,
            "findings": [found.row() for found in self.diagnoses],
        }

    def series(self, name: str, group: str | None = None) -> list[tuple[int, float]]:
        """(step, value) of a logged name, or of a name in a group such as `validation`."""
        found = []
        for row in self.rows:
            value = (row.get(group) or {}).get(name) if group else row.get(name)
            if not row.get("summary") and isinstance(value, int | float):
                found.append((int(row.get("step", 0)), float(value)))
        return found

    def names(self, group: str | None = None) -> list[str]:
        """Everything logged as a number, in order of appearance."""
        rows = [row for row in self.rows if not row.get("summary")]
        held = [(row.get(group) or {}) if group else row for row in rows]
        numbers = (k for row in held for k, v in row.items() if isinstance(v, int | float))
        return list(dict.fromkeys(numbers))
