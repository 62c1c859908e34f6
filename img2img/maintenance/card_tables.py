"""The tables of the cards, read back: one a benchmark for the zoo's README, one line a task
for the main one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from img2img.evaluation.peers import rival_networks

PUBLISHED = " (published)"


@dataclass(frozen=True)
class ResultTable:
    """What `Report.to_markdown` writes, as cells. The method whose card it is stands in bold."""

    heading: str  # "denoise on 68 photos of cbsd68. Protocol: …"
    # "setting" where there are several, "method", a title a number: "PSNR dB ↑"
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def benchmark(self) -> str:
        """The folder measured on."""
        return self.heading.partition(". Protocol:")[0].rpartition(" of ")[2]

    def to_markdown(self) -> str:
        """The table as the cards hold it."""
        lines = [self.titles, ("---",) * len(self.titles), *self.rows]
        text = [self.heading, "", *(f"| {' | '.join(cells)} |" for cells in lines)]
        return "\n".join([*text, *(f"\n{note}" for note in self.notes)]) + "\n"


def tables_of(card: str) -> list[ResultTable]:
    """The tables of a card, in order."""
    tables: list[ResultTable] = []
    for line in filter(None, card.splitlines()):
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split(" | "))
        if ". Protocol: " in line and not line.startswith("|"):
            tables.append(ResultTable(line, (), ()))
        elif not line.startswith("|"):
            tables[-1] = replace(tables[-1], notes=(*tables[-1].notes, line))
        elif not tables[-1].titles:
            tables[-1] = replace(tables[-1], titles=cells)
        elif not line.startswith("| ---"):
            tables[-1] = replace(tables[-1], rows=(*tables[-1].rows, cells))
    return tables


def merged(tables: Sequence[ResultTable]) -> list[ResultTable]:
    """One table for each heading: a method once at each setting, bold where a card is its own.

    A card measured since a column was added brings that column, with dashes in the rows of others.
    """
    found: dict[tuple[str, bool], ResultTable] = {}
    for table in tables:
        key = table.heading, table.titles[0] == "setting"
        known = found.get(key, replace(table, rows=(), notes=()))
        titles = tuple(dict.fromkeys((*known.titles, *table.titles)))
        rows: list[tuple[str, ...]] = []
        for part in (known, table):
            for cells in part.rows:
                row = tuple(dict(zip(part.titles, cells, strict=True)).get(t, "–") for t in titles)
                same = next((i for i, other in enumerate(rows) if _agree(row, other)), len(rows))
                rows[same : same + 1] = [_joined(row, *rows[same : same + 1])]
        notes = tuple(dict.fromkeys((*known.notes, *table.notes)))
        found[key] = replace(known, titles=titles, rows=_by_setting(titles, rows), notes=notes)
    return list(found.values())


def _agree(row: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two rows have the same setting, method and numbers, as far as both have them."""
    pairs = ((a.strip("*"), b.strip("*")) for a, b in zip(row, other, strict=True))
    return all(a == b or "–" in (a, b) for a, b in pairs)


def _joined(*rows: tuple[str, ...]) -> tuple[str, ...]:
    """Rows that agree as one: every number that one of them has, the method bold if one has it."""
    return tuple(
        max(cells, key=lambda cell: (cell != "–", "*" in cell)) for cells in zip(*rows, strict=True)
    )


class Headline(NamedTuple):
    """A line of the main README: where in the cards its number stands."""

    task: str
    model: str
    benchmark: str
    setting: str  # "" in tables without settings
    column: str  # with its arrow


HEADLINES = (
    Headline("denoise", "denoise", "cbsd68", "σ 25", "PSNR dB ↑"),
    Headline("denoise photos as found", "denoise_real", "bsd100", "camera", "PSNR dB ↑"),
    Headline("super-resolve", "super_resolve_x2", "set14", "×2", "Y-PSNR dB ↑"),
    Headline("super-resolve", "super_resolve_x4", "set14", "×4", "Y-PSNR dB ↑"),
    Headline("super-resolve, crisp", "super_resolve_x4_gan", "bsd100", "×4", "ST-LPIPS AlexNet ↓"),
    Headline("inpaint", "inpaint", "bsd100", "20–30 %", "ST-LPIPS AlexNet ↓"),
    Headline("colorize", "colorize", "bsd100", "", "CIEDE2000 ↓"),
    Headline("translate", "edges2clothes", "clothing", "", "KID ↓"),
)


def headline_row(headline: Headline, card: str, models: Collection[str]) -> tuple[str, ...] | None:
    """Task, benchmark, number, ours, the best classical, the best network of others that was
    measured with it, the best published; None where ours is not measured.
    """
    for table in tables_of(card):
        if table.benchmark != headline.benchmark or headline.column not in table.titles:
            continue
        place, best = table.titles.index(headline.column), max if "↑" in headline.column else min
        rows = [row for row in table.rows if not headline.setting or row[0] == headline.setting]
        values = {
            row[table.titles.index("method")]: row[place] for row in rows if row[place] != "–"
        }
        published = {
            m.removesuffix(PUBLISHED): v.strip("()")
            for m, v in values.items()
            if m.endswith(PUBLISHED)
        }
        ours = (*models, *(f"{model}, self-ensemble" for model in models))
        others_measured = {
            m: v
            for m, v in values.items()
            if m.strip("*") not in ours and not m.endswith(PUBLISHED)
        }
        networks = rival_networks()
        rivals = {m: v for m, v in others_measured.items() if m in networks}
        classical = {m: v for m, v in others_measured.items() if m not in networks}
        others = [
            f"{v[m]} ({m})"
            if (m := best(v, key=lambda method: float(v[method]), default=""))
            else "–"
            for v in (classical, rivals, published)
        ]
        where = f"{table.benchmark}, {headline.setting}".removesuffix(", ")
        return (
            headline.task,
            where,
            headline.column,
            f"**{values[f'**{headline.model}**']}**",
            *others,
        )
    return None


def _by_setting(
    titles: tuple[str, ...], rows: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    """Rows of a setting together, settings in order of appearance, published figures last."""
    if titles[0] != "setting":
        return tuple(rows)
    settings = list(dict.fromkeys(row[0] for row in rows))
    return tuple(sorted(rows, key=lambda row: (settings.index(row[0]), row[1].endswith(PUBLISHED))))
