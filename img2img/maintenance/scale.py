"""Many photos: `python -m img2img.maintenance.scale` measures `img2img infer` on a folder, in one
process and on Ray with one and more workers, and works out what a million and a billion photos
take; `--write` puts both into `img2img/cluster/README.md`.

The rate is that after the first quarter of the photos: what starts once counts little in a long
run. Results of all runs have to be the same bytes.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from img2img.benchmark.photos import side_of, square_photo
from img2img.cores import set_threads
from img2img.errors import UserError
from img2img.files import sha256_of, write_text
from img2img.inference.batch import FileBatch
from img2img.inference.folder import FolderRun
from img2img.inference.ledger import Ledger, Question
from img2img.inference.ray_engine import RayEngine
from img2img.inference.request import Request
from img2img.maintenance.showcase import between_marks
from img2img.maintenance.study import markdown_table
from img2img.pixels.images import write_photo
from img2img.resources import samples_dir

COMMAND = "python -m img2img.maintenance.scale"
PAGE = Path("img2img/cluster/README.md")
REQUEST = Request(("denoise",), device="cpu")
DAY_S = 86_400
READS, WRITES = 4, 3
"""Of a photo by URL: its content, and what the store says of it and of its result; the result, the
manifest, and a look for a former result, which stores charge as a write.
"""


@dataclass(frozen=True)
class Prices:
    """What is assumed, in US dollars as large clouds ask without a contract; put in your own."""

    core_hour: float = 0.04
    million_gets: float = 0.4
    million_puts: float = 5.0
    cores: int = 64
    """of a machine"""


@dataclass(frozen=True)
class MeasuredRun:
    """A folder worked through."""

    name: str
    cores: int
    photos_per_s: float
    start_s: float
    """until the first result"""
    peak_mb: float
    """of a worker, the largest; of the one process otherwise"""
    answers_s: float
    """what the process that began the run spent on the manifest, for each photo"""


@dataclass(frozen=True)
class ScaleMeasured:
    """Runs of the same photos, and what a photo is."""

    megapixels: float
    photos: int
    bytes_in: float
    bytes_out: float
    runs: tuple[MeasuredRun, ...]

    @property
    def core_s(self) -> float:
        """Of a megapixel, with as many workers as were measured."""
        last = self.runs[-1]
        return last.cores / last.photos_per_s / self.megapixels

    @property
    def most_per_s(self) -> float:
        """Photos a second that one run can have: what one manifest takes."""
        return 1 / max(run.answers_s for run in self.runs[1:])


def measure(photos: int, megapixels: float, workers: Sequence[int]) -> ScaleMeasured:
    """Denoise so many JPEG files: the plain engine, then Ray with so many workers."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        photo = square_photo(samples_dir() / "macaw.jpg", side_of(megapixels))
        for number in range(photos):
            write_photo(folder / f"{number:05}.jpg", photo)
        runs, contents = [], []
        for count in (0, *workers):
            out = Path(place) / f"results{count}"
            batch = FileBatch([str(folder)], REQUEST, f"{out}/")
            engine = RayEngine(workers=count) if count else None
            runs.append(_measured_run(FolderRun(batch, engine=engine), count))
            results = sorted(out.glob("*.jpg"))
            contents.append([sha256_of(path) for path in results])
            if contents[-1] != contents[0] or len(results) != photos:
                raise UserError(f"other results with {count} workers than with none")
        bytes_in = _mean_bytes(folder.iterdir())
        return ScaleMeasured(megapixels, photos, bytes_in, _mean_bytes(results), tuple(runs))


def _measured_run(run: FolderRun, workers: int) -> MeasuredRun:
    begun_s = time.perf_counter()
    ends_s, peak_mb = [], 0.0
    with _timed_answers() as answers:
        for result in run.run():
            if result.error is not None:
                raise UserError(result.error)
            ends_s.append(time.perf_counter())
            if len(ends_s) % 8 == 0:
                peak_mb = max(peak_mb, _memory_mb(of_workers=bool(workers)))
    first = len(ends_s) // 4
    rate = (len(ends_s) - 1 - first) / (ends_s[-1] - ends_s[first])
    name = f"Ray, {workers} worker{'s' * (workers > 1)}" if workers else "plain"
    answers_s = sum(answers) / len(ends_s)
    return MeasuredRun(name, workers or 1, rate, ends_s[0] - begun_s, peak_mb, answers_s)


@contextmanager
def _timed_answers() -> Iterator[list[float]]:
    """How long each round of answers to workers takes."""
    real, seconds = Ledger.answers, list[float]()

    def answers(self: Ledger, questions: Sequence[Question]) -> dict[int, Any]:
        begun_s = time.perf_counter()
        said = real(self, questions)
        seconds.append(time.perf_counter() - begun_s)
        return said

    with patch.object(Ledger, "answers", answers):
        yield seconds


def _memory_mb(of_workers: bool) -> float:
    own = psutil.Process()
    processes = own.children(recursive=True) if of_workers else [own]
    sizes = [0.0]
    for process in processes:
        try:
            if not of_workers or process.cmdline()[0].startswith("ray::MapWorker"):
                sizes.append(process.memory_info().rss / 2**20)
        except (psutil.Error, IndexError):  # it has just ended
            continue
    return max(sizes)


def _mean_bytes(paths: Iterable[Path]) -> float:
    sizes = [path.stat().st_size for path in paths]
    return sum(sizes) / len(sizes)


# --- what it means for many


def takes(
    measured: ScaleMeasured, photos: float, megapixels: float, prices: Prices
) -> dict[str, str]:
    """What so many photos of a size take, by name."""
    core_hours = photos * megapixels * measured.core_s / 3600
    a_day = math.ceil(core_hours / (24 * prices.cores))
    requests = photos / 1e6 * (READS * prices.million_gets + WRITES * prices.million_puts)
    grown = megapixels / measured.megapixels
    bytes_in, bytes_out = (photos * b * grown for b in (measured.bytes_in, measured.bytes_out))
    return {
        "photos": f"10{_EXPONENTS[round(math.log10(photos))]}",
        "MP each": f"{megapixels:g}",
        "core hours": _short(core_hours),
        f"hours on one machine of {prices.cores} cores": _short(core_hours / prices.cores),
        "machines for a day": f"{a_day:,}",
        "runs at once": f"{math.ceil(photos / DAY_S / measured.most_per_s):,}",
        "US$ for cores": _short(core_hours * prices.core_hour),
        "US$ for requests": _short(requests),
        "TB in": _short(bytes_in / 1e12),
        "TB out": _short(bytes_out / 1e12),
        "Gbit/s on a day": _short((bytes_in + bytes_out) * 8 / DAY_S / 1e9),
    }


_EXPONENTS = {6: "⁶", 9: "⁹"}
MANY = ((1e6, 1), (1e6, 12), (1e9, 1), (1e9, 12))


def text_of(measured: ScaleMeasured, prices: Prices) -> str:
    """Both tables, and what they rest on."""
    plain = measured.runs[0].photos_per_s
    rows = [
        ("", "photos/s", "of plain", "first result after", "memory of a worker"),
        *(
            (
                *(run.name, f"{run.photos_per_s:.2f}", f"×{run.photos_per_s / plain:.2f}"),
                *(f"{run.start_s:.1f} s", f"{run.peak_mb:.0f} MB"),
            )
            for run in measured.runs
        ),
    ]
    many = [takes(measured, photos, megapixels, prices) for photos, megapixels in MANY]
    mb_in, mb_out = (b / measured.megapixels / 1e6 for b in (measured.bytes_in, measured.bytes_out))
    return (
        f"{measured.photos} JPEG files of {measured.megapixels:g} MP denoised, one thread in each "
        f"process; the results are the same bytes.\n\n{markdown_table(rows)}\n\n"
        f"By the last line a megapixel takes {measured.core_s:.2f} core seconds, and so\n\n"
        f"{markdown_table(_columns(many))}\n\n"
        f"Assumed: ${prices.core_hour:g} for an hour of a core like these, "
        f"${prices.million_gets:g} for a million reads from a store ({READS} a photo), "
        f"${prices.million_puts:g} for a million writes ({WRITES}), none for traffic in a region; "
        f"{mb_in:.2f} MB a megapixel in and {mb_out:.2f} MB out. Runs at once: one manifest takes "
        f"{_short(measured.most_per_s)} photos a second here; what is more in a day is split by "
        "prefix into as many runs, each with an output of its own.\n"
    )


def _columns(many: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    """A line each thing, a column each number of photos."""
    return [(name, *(one[name] for one in many)) for name in many[0]]


def _short(number: float) -> str:
    """Two digits that count: `0.035`, `4.2`, `420`, `42,000`."""
    if number <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(number))
    return f"{round(number, digits):,.{max(0, digits)}f}"


def main() -> None:
    """Measure, print, and write the page of a checkout where that is wanted."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--megapixels", type=float, default=0.5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--core-hour", type=float, default=Prices.core_hour, help="its price in $")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE}")
    chosen = parser.parse_args()
    set_threads(1)
    measured = measure(chosen.photos, chosen.megapixels, chosen.workers)
    text = text_of(measured, Prices(core_hour=chosen.core_hour))
    print(text)
    if chosen.write:
        page = PAGE.read_text(encoding="utf-8")
        write_text(PAGE, between_marks(page, "scale", text, COMMAND))


if __name__ == "__main__":
    main()
