"""The pictures and tables of the READMEs, made from the shipped models by one command:

`python -m img2img.maintenance.showcase [--bench DIR] [--model NAME]` writes before/after pictures
to `data/showcase`, and with a folder of benchmark sets also every model's card (numbers and the
first four photos, `img2img/zoo/cards`). What lies between the `results` marks in
`img2img/zoo/README.md` and the `summary` marks in `README.md` are the numbers of the cards, written
anew each time.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from img2img.data.labelled import KNOWN
from img2img.errors import UserError
from img2img.evaluation.pictures import drawn
from img2img.evaluation.report import Report
from img2img.evaluation.run import evaluate
from img2img.files import write_text
from img2img.inference.request import Request, parse_tasks
from img2img.maintenance.card_tables import HEADLINES, headline_row, merged, tables_of
from img2img.pixels.augment import resized
from img2img.pixels.images import Photo, quantise, read_mask, read_photo, write_photo
from img2img.resources import cards_dir, inputs_dir
from img2img.zoo import shipped_models
from img2img.zoo.catalogue import CATALOGUE

HEIGHT_PX, CARD_PX = 300, 900
GAP_PX = 6
COMMAND = "python -m img2img.maintenance.showcase"


@dataclass(frozen=True)
class Exhibit:
    """One before/after pair: an input, and what is asked for; pairs of one name are stacked in one
    picture.
    """

    name: str
    input: str
    tasks: str = "auto"
    model: str | None = None
    mask: str | None = None
    scale: int | None = None


EXHIBITS = (
    Exhibit("colorize", "old_photo.jpg", "colorize"),
    Exhibit("denoise", "noisy.png", "denoise"),
    *(
        Exhibit("denoise_real", f"found_{kind}.png", "denoise", model="denoise_real")
        for kind in ("scan", "plate", "camera")
    ),
    Exhibit("super_resolve", "small.jpg", "super-resolve", scale=4),
    Exhibit("inpaint", "object.jpg", "inpaint", mask="object_mask.png"),
    Exhibit("translate", "sketch.png", "translate"),
)


@dataclass(frozen=True)
class Bench:
    """A shipped model on a benchmark folder, or on data known by name, compared with `rival`."""

    model: str
    folder: str
    rival: str | None = None
    in_tables: bool = True  # else in the card alone: it has a row for each class
    self_ensemble: bool = False  # with a row for the mean over flips and turns


BENCHES = (
    Bench("denoise", "cbsd68", self_ensemble=True),
    Bench("denoise_real", "bsd100", "denoise"),
    Bench("super_resolve_x2", "set5", self_ensemble=True),
    Bench("super_resolve_x2", "set14", self_ensemble=True),
    Bench("super_resolve_x4", "set5", self_ensemble=True),
    Bench("super_resolve_x4", "set14", self_ensemble=True),
    Bench("super_resolve_x4", "bsd100", self_ensemble=True),
    Bench("super_resolve_x4_gan", "set14", "super_resolve_x4"),
    Bench("super_resolve_x4_gan", "bsd100", "super_resolve_x4"),
    Bench("inpaint", "bsd100"),
    Bench("inpaint_glcic", "bsd100", "inpaint"),
    Bench("colorize", "bsd100"),
    Bench("colorize", "scenes"),
    Bench("edges2clothes", "clothing"),
    Bench("fashion_mnist", "fashion-mnist", in_tables=False),
)


def before_after(exhibit: Exhibit) -> np.ndarray:
    """The input (its mask in red) and the result side by side, (H,W,3) uint8."""
    photo = read_photo(inputs_dir() / exhibit.input)
    mask = None if exhibit.mask is None else read_mask(inputs_dir() / exhibit.mask, photo.size)
    request = Request(
        tasks=parse_tasks(exhibit.tasks), scale=exhibit.scale, model=exhibit.model
    ).resolve()
    result = request.plan(photo, mask).run(photo, mask)
    before = quantise(photo.rgb, np.uint8).copy()
    if mask is not None:
        before[mask] = (220, 40, 40)
    panels = [
        resized(rgb, HEIGHT_PX / rgb.shape[0])[:HEIGHT_PX]
        for rgb in (before, quantise(result.rgb, np.uint8))
    ]
    return np.concatenate([panels[0], np.full((HEIGHT_PX, GAP_PX, 3), 255, np.uint8), panels[1]], 1)


def stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures below each other, as wide as the narrowest."""
    width = min(row.shape[1] for row in rows)
    gap = np.full((GAP_PX, width, 3), 255, np.uint8)
    return np.concatenate([part for row in rows for part in (row[:, :width], gap)][:-1], 0)


def measured(
    bench: Path, work: Path, limit: int | None, only: Collection[str], *, peers: bool = False
) -> dict[str, list[Report]]:
    """Reports of the shipped models by name, with `peers` compared with methods of other people;
    full reports land in `work`.
    """
    reports: dict[str, list[Report]] = {}
    for entry in BENCHES:
        if entry.model not in shipped_models() or (only and entry.model not in only):
            continue
        rival = entry.rival if entry.rival in shipped_models() else None
        task = CATALOGUE.entry(entry.model).task.kind
        out = work / f"{entry.model}-{entry.folder}"
        data = entry.folder if entry.folder in KNOWN else bench / entry.folder
        report = evaluate(
            task,
            data,
            entry.model,
            out,
            rival,
            limit=limit,
            self_ensemble=entry.self_ensemble,
            peers=peers and entry.in_tables,
        )
        reports.setdefault(entry.model, []).append(report)
    return reports


def write_cards(reports: Mapping[str, list[Report]], folder: Path) -> None:
    """Write each model's card: its numbers, and the first photos of its first benchmark."""
    for model, found in reports.items():
        write_text(folder / f"{model}.md", "\n".join(report.to_markdown() for report in found))
        sheet = drawn(found[0].first)
        small = resized(sheet, min(1.0, CARD_PX / sheet.shape[1]))
        write_photo(folder / f"{model}.jpg", Photo(np.ascontiguousarray(small)), quality=80)


def results_text(folder: Path) -> str:
    """All tables of the cards, one a benchmark, in the order of the benchmarks."""
    names = dict.fromkeys(entry.model for entry in BENCHES if entry.in_tables)
    found = [table for name in names for table in tables_of(_card(folder, name))]
    return "\n".join(table.to_markdown() for table in merged(found))


def summary_text(folder: Path) -> str:
    """One line a task: ours, the best that is no network, the best network of others measured
    with it, the best published.
    """
    rows = [
        headline_row(headline, _card(folder, headline.model), shipped_models())
        for headline in HEADLINES
    ]
    measured_here = ("ours", "best classical", "best rival network")
    head = ("task", "benchmark", "measure", *measured_here, "best published")
    lines = [head, ("---",) * len(head), *filter(None, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def between_marks(page: str, name: str, text: str, command: str = COMMAND) -> str:
    """The page with the text between its marks of that name, `<!-- NAME: made by … -->` and
    `<!-- end of NAME -->`.
    """
    begin, end = f"<!-- {name}: made by {command} -->", f"<!-- end of {name} -->"
    if begin not in page or end not in page:
        raise ValueError(f"the page has no marks {begin} … {end}")
    head, _, rest = page.partition(begin)
    return f"{head}{begin}\n{text}{end}{rest.partition(end)[2]}"


def write_tables(root: Path, cards: Path) -> None:
    """The cards' numbers in both READMEs of a checkout."""
    for page, name, text in (
        (root / "img2img/zoo/README.md", "results", results_text(cards)),
        (root / "README.md", "summary", summary_text(cards)),
    ):
        write_text(page, between_marks(page.read_text(encoding="utf-8"), name, text))


def _card(folder: Path, model: str) -> str:
    path = folder / f"{model}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _shipped(exhibit: Exhibit) -> bool:
    try:
        return (
            exhibit.model in shipped_models()
            if exhibit.model
            else bool(CATALOGUE.defaults(exhibit.tasks))
        )
    except UserError:
        return False


def main() -> None:
    """Make the pictures, and cards and tables when a folder of benchmark photos is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--bench",
        type=Path,
        help="folder with the sets cbsd68, set5, set14, bsd100, scenes, clothing",
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/showcase"), help="where full reports go"
    )
    parser.add_argument("--limit", type=int, help="only the first N photos of each set")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        help="measure this one alone; may be given repeatedly",
    )
    parser.add_argument(
        "--peers", action="store_true", help="measure rivals too: hours on two cores"
    )
    options = parser.parse_args()
    target = inputs_dir().parent / "showcase"
    for name, exhibits in groupby(filter(_shipped, EXHIBITS), key=lambda exhibit: exhibit.name):
        write_photo(
            target / f"{name}.jpg", Photo(stacked([before_after(e) for e in exhibits])), quality=88
        )
    if options.bench:
        only, limit = options.model, options.limit
        reports = measured(options.bench, options.work, limit, only, peers=options.peers)
        write_cards(reports, cards_dir())
    write_tables(Path(), cards_dir())


if __name__ == "__main__":
    main()
