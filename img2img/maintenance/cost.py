"""Cost as work grows: `python -m img2img.maintenance.cost BENCH.json [BENCH.json …]` draws what
`img2img bench --json` measured, and writes it as tables into `img2img/zoo/README.md`.

Ours and the plain reference are those of the files, of which the last that has a part counts; the
methods of other people are those that `eval --peers` measured, as the cards hold them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2img.evaluation.peers import PEAK_MEMORY, SECONDS, rival_networks
from img2img.files import write_text
from img2img.maintenance.card_tables import HEADLINES, Headline, ResultTable, tables_of
from img2img.maintenance.cost_chart import CostCurve, CostPanel, drawn
from img2img.maintenance.showcase import between_marks
from img2img.resources import cards_dir

COMMAND = "python -m img2img.maintenance.cost"
PICTURE = Path("data/showcase/cost.svg")
PAGE = Path("img2img/zoo/README.md")

Bench = Mapping[str, Any]
"""What `img2img bench --json` prints."""
Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Titles, and rows of as many cells."""


@dataclass(frozen=True)
class PeerCost:
    """A method on photos of a benchmark, as a card holds it; ours is one of them, in bold."""

    model: str
    """ours, whose card it is"""
    method: str
    seconds_per_mp: float
    peak_mb: str


def joined(benches: Iterable[Bench]) -> dict[str, Any]:
    """The parts of several files; of a part that several have, the last, but of inference each
    model's last.
    """
    found: dict[str, Any] = {}
    for bench in benches:
        models = {**found.get("infer", {}), **bench.get("infer", {})}
        found |= {**bench, **({"infer": models} if models else {})}
    return found


def peers_of(cards: Path) -> list[PeerCost]:
    """Each model with a headline, and what was measured next to it at its setting."""
    found: list[PeerCost] = []
    for headline, table in _with_costs(cards):
        columns = [_column(table, name) for name in ("method", SECONDS.name, PEAK_MEMORY.name)]
        for row in table.rows:
            method, seconds, peak = (row[column] for column in columns)
            if row[0] == headline.setting and seconds != "–" and "self-ensemble" not in method:
                found.append(PeerCost(headline.model, method, float(seconds), peak))
    return found


def notes_of(cards: Path) -> list[str]:
    """How their seconds and memory were measured."""
    notes = (note for _, table in _with_costs(cards) for note in table.notes)
    names = tuple(f"Note: {column.name}:" for column in (SECONDS, PEAK_MEMORY))
    return list(dict.fromkeys(note for note in notes if note.startswith(names)))


def _with_costs(cards: Path) -> Iterator[tuple[Headline, ResultTable]]:
    for headline in HEADLINES:
        card = cards / f"{headline.model}.md"
        for table in tables_of(card.read_text(encoding="utf-8")) if card.is_file() else ():
            measured = any(title.startswith(SECONDS.name) for title in table.titles)
            if table.benchmark == headline.benchmark and measured:
                yield headline, table


def _column(table: ResultTable, name: str) -> int:
    return next(n for n, title in enumerate(table.titles) if title.startswith(name))


def text_of(bench: Bench, peers: Sequence[PeerCost], notes: Sequence[str] = ()) -> str:
    """The picture, then tables of training, of photos, and of other people's methods."""
    parts = [f"![{_ALT}](../../{PICTURE.as_posix()})\n", _machine(bench["machine"])]
    if "train" in bench:
        parts.append(_table(*_training(bench["train"]["by_batch"])))
    if "infer" in bench:
        parts.append(_table(*_inference(bench["infer"])))
    if peers:
        parts += [_ABOUT_PEERS, _table(*_of_others(peers)), *(f"{note}\n" for note in notes)]
    return "\n".join(parts)


_ALT = "seconds and memory over batch size and megapixels, ours, the plain reference and others"
_ABOUT_PEERS = (
    "Next to methods of other people, all on the small photos of the benchmarks above; the picture "
    "draws others' networks as straight lines, for their seconds a megapixel:\n"
)


def _machine(machine: Mapping[str, Any]) -> str:
    bf16 = [name for name in ("amx", "avx512_bf16") if machine[name]]
    return (
        f"Measured on {machine['cpu']} with {machine['threads']} threads "
        f"(bf16 in hardware: {' and '.join(bf16) or 'no'}), PyTorch {machine['torch']}. Memory is "
        "the most that the process held beyond what it held before its first photo or step.\n"
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _training(by_batch: Mapping[str, Any]) -> Table:
    titles = ("pix2pix, 256²: batch", "ours", "reference", "ours is", "ours, MB", "reference, MB")
    rows = [
        (
            size,
            f"{cost['seconds']:.3g} s",
            f"{cost['reference_seconds']:.3g} s",
            f"×{cost['ratio']:.2f}",
            f"{cost['peak_mb'] - cost['idle_mb']:,.0f}",
            f"{cost['reference_peak_mb'] - cost['reference_idle_mb']:,.0f}",
        )
        for size, cost in by_batch.items()
    ]
    return titles, rows


def _inference(infer: Mapping[str, Any]) -> Table:
    sizes = list(dict.fromkeys(size for costs in infer.values() for size in costs))
    rows = [
        (name, *(_cell(costs.get(size, {})) for size in sizes))
        for name, costs in _lines(infer)
        if any("seconds" in cost for cost in costs.values())
    ]
    return ("megapixels of the result", *(f"{size} MP" for size in sizes)), rows


def _lines(infer: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Models and runtimes, each with its costs by size; a model's reference follows it."""
    for name, costs in infer.items():
        yield name, costs
        reference = {size: cost["reference"] for size, cost in costs.items() if "reference" in cost}
        if reference:
            yield f"{name}, reference", reference


def _cell(cost: Mapping[str, Any]) -> str:
    if "seconds" not in cost:
        return "–"
    return f"{cost['seconds']:.3g} s, {cost['peak_mb'] - cost['idle_mb']:,.0f} MB"


def _of_others(peers: Sequence[PeerCost]) -> Table:
    rows = [(p.model, p.method, f"{p.seconds_per_mp:.2f}", p.peak_mb) for p in peers]
    return ("benchmark of", "method", "s/MP", "peak MB"), rows


# --- the picture


def panels_of(bench: Bench, peers: Sequence[PeerCost]) -> list[CostPanel]:
    """Two of training, and two of each model that was measured at more than one size: seconds,
    then memory.
    """
    panels: list[CostPanel] = []
    if by_batch := bench.get("train", {}).get("by_batch"):
        costs = {float(size): cost for size, cost in by_batch.items()}
        panels += _pair(
            "training pix2pix, 256²", "batch", {"ours": costs, "reference": _plain_steps(costs)}
        )
    rivals, models = rival_networks(), bench.get("infer", {})
    for model in (name for name in models if "@" not in name):
        curves = {
            name.replace(model, "ours").removeprefix("ours, ").removeprefix("ours@"): {
                float(size): cost for size, cost in costs.items() if "seconds" in cost
            }
            for name, costs in _lines(models)
            if name.partition("@")[0].removesuffix(", reference") == model
        }
        if len(curves["ours"]) < 2:
            continue
        others = [p for p in peers if p.model == model and p.method in rivals]
        panels += _pair(model, "megapixels", curves, others)
    return panels


def _plain_steps(costs: Mapping[float, Any]) -> dict[float, Any]:
    names = ("seconds", "peak_mb", "idle_mb")
    return {
        size: {name: cost[f"reference_{name}"] for name in names} for size, cost in costs.items()
    }


def _pair(
    title: str, x: str, costs: Mapping[str, Mapping[float, Any]], others: Sequence[PeerCost] = ()
) -> tuple[CostPanel, CostPanel]:
    seconds = [
        CostCurve(name, [(size, cost["seconds"]) for size, cost in by_size.items()])
        for name, by_size in costs.items()
        if by_size
    ]
    memory = [
        CostCurve(
            name, [(size, cost["peak_mb"] - cost["idle_mb"]) for size, cost in by_size.items()]
        )
        for name, by_size in costs.items()
        if by_size
    ]
    ends = [size for curve in seconds for size, _ in curve.points]
    seconds += [
        CostCurve(
            p.method, [(x, x * p.seconds_per_mp) for x in (min(ends), max(ends))], dashed=True
        )
        for p in others
    ]
    return CostPanel(f"{title}: seconds", x, seconds), CostPanel(f"{title}: MB", x, memory)


def main() -> None:
    """Write the picture and the tables of a checkout."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("bench", type=Path, nargs="+", help="of `img2img bench --json`")
    chosen = parser.parse_args()
    bench = joined(json.loads(path.read_text(encoding="utf-8")) for path in chosen.bench)
    peers = peers_of(cards_dir())
    write_text(PICTURE, drawn(panels_of(bench, peers)))
    page = PAGE.read_text(encoding="utf-8")
    write_text(
        PAGE, between_marks(page, "cost", text_of(bench, peers, notes_of(cards_dir())), COMMAND)
    )


if __name__ == "__main__":
    main()
