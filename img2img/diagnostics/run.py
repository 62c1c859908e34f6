"""A run as its folder shows it: log, recipe, sample sheets, and what the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from img2img.diagnostics.chart import RunFacts
from img2img.diagnostics.doctor import diagnose, verdict
from img2img.diagnostics.findings import Diagnosis
from img2img.diagnostics.runlog import read_rows
from img2img.errors import UserError


@dataclass(frozen=True)
class Run:
    """A run's folder: its log, its recipe, and what follows from them."""

    folder: Path
    rows: list[dict[str, Any]]
    """Of log.jsonl."""
    recipe: str
    """YAML; empty where there is none."""
    facts: RunFacts

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a folder. Raises UserError for one that is no run."""
        if not (folder / "log.jsonl").is_file():
            raise UserError(f"'{folder}' is no run", remedy="it has no log.jsonl")
        recipe = folder / "recipe.yaml"
        text = recipe.read_text(encoding="utf-8") if recipe.is_file() else ""
        try:  # the resolved recipe needs no code of its task to be read
            facts = RunFacts.of(yaml.safe_load(text))
        except (yaml.YAMLError, KeyError, TypeError, ValueError):
            facts = RunFacts()
        return cls(folder, read_rows(folder / "log.jsonl"), text, facts)

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
        """Wall time; loading, validating and saving included."""
        logged = (max(row.get("seconds", 0) / 60, row.get("minutes", 0)) for row in self.rows)
        return float(max(logged, default=0.0))

    @property
    def data_wait(self) -> float | None:
        """The share of a step that waits for data; None where a log does not say."""
        shares = [value for _, value in self.series("data_wait")]
        return sum(shares) / len(shares) if shares else None

    @property
    def validated(self) -> dict[str, Any]:
        """The last row that was validated."""
        return next((row for row in reversed(self.rows) if row.get("validation")), {})

    @cached_property
    def diagnoses(self) -> list[Diagnosis]:
        """What is wrong at its end, the worst first."""
        return diagnose(self.rows, self.facts)

    @cached_property
    def verdict(self) -> str:
        """Whether it is any good so far, in a sentence or two."""
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
    def doctor_rows(self) -> list[dict[str, Any]]:
        """Rows with a finding or a remedy."""
        return [row for row in self.rows if "diagnosis" in row]

    @property
    def sheets(self) -> list[Path]:
        """Sample sheets, oldest first."""
        return sorted((self.folder / "samples").glob("step_*.png"))

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
