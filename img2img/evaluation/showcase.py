"""README's pictures and results table, made from the shipped models by one command:

`python -m img2img.evaluation.showcase [--bench DIR]` writes before/after pictures to `data/showcase`, and with a folder
of benchmark sets also rewrites the table between the two `results` marks in README.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2img.errors import UserError
from img2img.evaluation.run import evaluate
from img2img.files import write_text
from img2img.inference.batch import Request, parse_tasks
from img2img.pixels.augment import resized
from img2img.pixels.images import Photo, quantise, read_mask, read_photo, write_photo
from img2img.resources import inputs_dir
from img2img.zoo import default_models

HEIGHT_PX = 300
GAP_PX = 6
BEGIN, END = "<!-- results: made by python -m img2img.evaluation.showcase -->", "<!-- end of results -->"


@dataclass(frozen=True)
class Exhibit:
    """One before/after picture: an input, and what is asked for."""

    name: str
    input: str
    tasks: str = "auto"
    mask: str | None = None
    scale: int | None = None


EXHIBITS = (
    Exhibit("colorize", "old_photo.jpg", "colorize"),
    Exhibit("denoise", "noisy.png", "denoise"),
    Exhibit("super_resolve", "small.jpg", "super-resolve", scale=4),
    Exhibit("inpaint", "object.jpg", "inpaint", mask="object_mask.png"),
    Exhibit("translate", "sketch.png", "translate"),
)

# Benchmark folders of each task.
BENCHES = (
    ("denoise", "cbsd68"),
    ("super-resolve", "set5"),
    ("super-resolve", "set14"),
    ("inpaint", "bsd100"),
    ("colorize", "bsd100"),
    ("colorize", "scenes"),
    ("translate", "clothing"),
)


def before_after(exhibit: Exhibit) -> np.ndarray:
    """The input (its mask in red) and the result side by side, (H,W,3) uint8."""
    photo = read_photo(inputs_dir() / exhibit.input)
    mask = None if exhibit.mask is None else read_mask(inputs_dir() / exhibit.mask, photo.size)
    _, made = Request(tasks=parse_tasks(exhibit.tasks), scale=exhibit.scale).apply(photo, mask)
    before = quantise(photo.rgb, np.uint8).copy()
    if mask is not None:
        before[mask] = (220, 40, 40)
    panels = [_panel(before), _panel(quantise(made.rgb, np.uint8))]
    return np.concatenate([panels[0], np.full((HEIGHT_PX, GAP_PX, 3), 255, np.uint8), panels[1]], 1)


def results_table(bench: Path, work: Path, limit: int | None) -> str:
    """Markdown of every evaluation; full reports with worst cases land in `work`."""
    reports = [
        evaluate(task, bench / folder, out=work / f"{task}-{folder}", limit=limit)
        for task, folder in BENCHES
        if _shipped(task)
    ]
    return "\n".join(report.to_markdown() for report in reports)


def _shipped(task: str) -> bool:
    try:
        return bool(default_models(task))
    except UserError:
        return False


def _panel(rgb: np.ndarray) -> np.ndarray:
    return resized(rgb, HEIGHT_PX / rgb.shape[0])[:HEIGHT_PX]


def main() -> None:
    """Make the pictures, and the table when benchmark photos are at hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, help="folder with the sets cbsd68, set5, set14, bsd100, scenes, clothing")
    parser.add_argument("--work", type=Path, default=Path("runs/showcase"), help="where full reports go")
    parser.add_argument("--limit", type=int, help="only the first N photos of each set")
    options = parser.parse_args()
    target = inputs_dir().parent / "showcase"
    for exhibit in (e for e in EXHIBITS if _shipped(e.tasks)):
        write_photo(target / f"{exhibit.name}.jpg", Photo(before_after(exhibit)), quality=88)
    if options.bench:
        readme = Path("README.md")
        head, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
        _, _, tail = rest.partition(END)
        table = results_table(options.bench, options.work, options.limit)
        write_text(readme, f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    main()
