"""What a check says, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from img2img.data.checks.looks import Looked
from img2img.data.dataset import DataConfig, PairMaker
from img2img.data.source import Opened, name_of

Severity = Literal["refused", "left out", "hint", "note"]
"""Training does not begin; it begins without these files; it would learn better with another
choice; nothing has to be done."""
NAMED = 5  # in a line; the rest are counted


@dataclass(frozen=True)
class Found:
    """One thing that was found: a file, a pair, or copies of each other."""

    files: tuple[Path, ...]
    note: str = ""
    to_mend: tuple[Path, ...] | None = None
    """Those of the files that go into the fix list; all where None."""


@dataclass(frozen=True)
class DataFinding:
    """All of one kind that was found."""

    kind: str
    severity: Severity
    problem: str
    remedy: str
    found: Sequence[Found] = ()

    @property
    def line(self) -> str:
        """`hint: grey: 2 of 60 photos …: a.png, b.png: leave them out`."""
        named = [
            " and ".join(map(name_of, one.files)) + f" ({one.note})" * bool(one.note)
            for one in self.found[:NAMED]
        ]
        named += ["…"] * (len(self.found) > NAMED)
        words = (f"{self.severity}: {self.kind}", self.problem, ", ".join(named), self.remedy)
        return ": ".join(word for word in words if word)

    @property
    def to_mend(self) -> list[Path]:
        """The files of the fix list; none of a note."""
        if self.severity == "note":
            return []
        return [
            p for one in self.found for p in (one.files if one.to_mend is None else one.to_mend)
        ]

    def fields(self) -> dict[str, Any]:
        """For JSON, with every file."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "count": len(self.found),
            "problem": self.problem,
            "remedy": self.remedy,
            "found": [{"files": [*map(str, one.files)], "note": one.note} for one in self.found],
        }


@dataclass(frozen=True)
class Inspected:
    """What checks go by: the recipe's task and settings, its files as they are listed, and a look
    at each.
    """

    task: PairMaker
    config: DataConfig
    opened: Opened
    looked: Sequence[Looked]
    needs_partners: bool = False
    """Training refuses files without partner, rather than leaving them out."""
    fits: Callable[[int], bool] = field(default=lambda crop_px: True)
    """Whether the recipe takes crops of a side."""

    @property
    def readable(self) -> list[Looked]:
        """Those that training can read."""
        return [one for one in self.looked if one.pictures]
