"""What was measured, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from img2img.about import aligned, rounded


class Section(Protocol):
    """One thing that was measured."""

    @property
    def name(self) -> str: ...

    def fields(self) -> dict[str, Any]:
        """For JSON."""

    def rows(self) -> list[tuple[str, ...]]:
        """For people, a line each."""


def as_text(section: Section) -> str:
    """A section under its name, its rows as columns."""
    rows = section.rows()
    columns = max((len(row) for row in rows), default=0)
    padded = [(*row, *[""] * (columns - len(row))) for row in rows]
    return f"{section.name}\n{aligned(padded)}\n" if rows else f"{section.name}\nnothing measured\n"


def as_fields(sections: Iterable[Section]) -> dict[str, Any]:
    """All sections as plain data by name, numbers with four digits."""
    return {section.name: rounded(section.fields()) for section in sections}
