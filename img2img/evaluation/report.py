"""What an evaluation found: a table for terminal and Markdown, numbers per photo, JSON, and a
picture of the worst.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from img2img.errors import UserError
from img2img.evaluation.metrics import Column
from img2img.evaluation.pictures import Line, drawn
from img2img.files import write_text
from img2img.pixels.images import Photo, write_photo

Values = dict[str, float | None]


@dataclass(frozen=True)
class Row:
    """One method at one setting, over all photos. A value that could not be measured is None."""

    setting: str
    method: str
    kind: Literal["model", "baseline", "published"]
    values: Values


@dataclass(frozen=True)
class PhotoScore:
    """One method on one photo at one setting."""

    photo: str
    setting: str
    method: str
    values: Values


@dataclass(frozen=True)
class Report:
    """What `img2img eval` measured. `notes` hold what a reader of the numbers must know."""

    task: str
    data: str
    protocol: str
    columns: tuple[Column, ...]
    photo_count: int
    rows: list[Row]
    photos: list[PhotoScore]
    models: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # photo: reason
    not_measured: dict[str, str] = field(default_factory=dict)  # peer: reason
    notes: list[str] = field(default_factory=list)
    worst: list[Line] = field(default_factory=list)
    first: list[Line] = field(default_factory=list)

    def __add__(self, other: Report) -> Report:
        """Two models of one task on the same photos, such as ×2 and ×4, as one report."""
        return Report(
            **{name: getattr(self, name) for name in ("task", "data", "protocol")},
            columns=tuple(dict.fromkeys(self.columns + other.columns)),
            photo_count=max(self.photo_count, other.photo_count),
            rows=self.rows + other.rows,
            photos=self.photos + other.photos,
            models=self.models + other.models,
            skipped={**self.skipped, **other.skipped},
            not_measured={**self.not_measured, **other.not_measured},
            notes=list(dict.fromkeys(self.notes + other.notes)),
            worst=self.worst + other.worst,
            first=self.first + other.first,
        )

    def to_json(self) -> str:
        """The whole report but pictures and single photos, as one JSON object."""
        plain = ("task", "data", "protocol", "photo_count", "models", "skipped", "not_measured")
        fields: dict[str, Any] = {name: getattr(self, name) for name in (*plain, "notes")}
        fields["columns"] = [asdict(column) for column in self.columns]
        fields["rows"] = [asdict(row) for row in self.rows]
        return json.dumps(fields, ensure_ascii=False, indent=2)

    def to_markdown(self) -> str:
        """A heading line with the protocol, the table, and the notes; the model's name is bold."""
        titles = self._titles()
        table = [titles, ["---"] * len(titles)]
        for row in self.rows:
            cells = self._cells(row)
            if row.kind == "model":
                cells[-len(self.columns) - 1] = f"**{row.method}**"
            table.append(cells)
        lines = [f"{self._heading()}. Protocol: {self.protocol}.", ""]
        lines += [f"| {' | '.join(cells)} |" for cells in table]
        return "\n".join([*lines, *(f"\n{note}" for note in self._remarks())]) + "\n"

    def to_csv(self) -> str:
        """Every number of every photo, setting and method, one line each."""
        names = list(dict.fromkeys(name for score in self.photos for name in score.values))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["photo", "setting", "method", *names])
        for score in self.photos:
            numbers = [
                "" if (n := score.values.get(name)) is None else f"{n:.6g}" for name in names
            ]
            writer.writerow([score.photo, score.setting, score.method, *numbers])
        return text.getvalue()

    def print(self, console: Console | None = None) -> None:
        """The table on the terminal."""
        console = console or Console()
        cells = [self._cells(row) for row in self.rows]
        # Titles wrap where the terminal is narrow, numbers never: rather the lines are longer.
        widths = [
            max(map(len, (*title.split(), *(row[index] for row in cells))))
            for index, title in enumerate(self._titles())
        ]
        narrow = sum(widths) + 3 * len(widths) + 1
        table = Table(title=self._heading(), title_justify="left", title_style="bold")
        for index, title in enumerate(self._titles()):
            numeric = index >= len(self._titles()) - len(self.columns)
            table.add_column(
                title,
                justify="right" if numeric else "left",
                no_wrap=not numeric,
                min_width=widths[index],
            )
        styles = {"model": "bold", "baseline": "", "published": "dim"}
        for index, row in enumerate(self.rows):
            ends = index + 1 < len(self.rows) and self.rows[index + 1].setting != row.setting
            table.add_row(*cells[index], style=styles[row.kind], end_section=ends)
        table.width = narrow if narrow > console.width else None
        console.print(table, crop=False)
        for line in (f"Protocol: {self.protocol}.", *self._remarks()):
            console.print(line, markup=False, highlight=False)

    def write(self, out: Path) -> None:
        """`report.json`, `report.md`, `photos.csv` and, of a measured model, `worst.png` and
        `first.png` in `out`.
        """
        if out.exists() and not out.is_dir():
            raise UserError(f"'{out}' is a file, not a folder", field="out")
        write_text(out / "report.json", self.to_json() + "\n")
        write_text(out / "report.md", self.to_markdown())
        write_text(out / "photos.csv", self.to_csv())
        for name, lines in (("worst", self.worst), ("first", self.first)):
            if lines:
                write_photo(out / f"{name}.png", Photo(np.ascontiguousarray(drawn(lines))))

    def _heading(self) -> str:
        photos = "1 photo" if self.photo_count == 1 else f"{self.photo_count} photos"
        return f"{self.task} on {photos} of {Path(self.data).resolve().name}"

    def _titles(self) -> list[str]:
        return [
            *(["setting"] if any(row.setting for row in self.rows) else []),
            "method",
            *(column.title for column in self.columns),
        ]

    def _cells(self, row: Row) -> list[str]:
        numbers = [column.text(row.values.get(column.name)) for column in self.columns]
        if row.kind == "published":
            numbers = [
                f"({n})" if c.name in row.values else n
                for c, n in zip(self.columns, numbers, strict=True)
            ]
        settings = [row.setting] if any(r.setting for r in self.rows) else []
        return [*settings, row.method, *numbers]

    def _remarks(self) -> list[str]:
        skipped = [f"Left out: {photo}: {reason}." for photo, reason in self.skipped.items()]
        absent = [f"{peer}: {reason}" for peer, reason in self.not_measured.items()]
        return [*absent, *(f"Note: {note}." for note in self.notes), *skipped]
