"""Memory of the app as it serves: `python -m img2img.maintenance.soak` starts it, lets users call
it at the same time, and prints what its processes hold against the requests served.

Each request uploads a photo, of sizes and tasks by turns, waits for the result and fetches it. The
slope is that of the second half, when models are loaded and pools of memory are filled.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
import psutil

from img2img.about import aligned
from img2img.benchmark.photos import square_photo
from img2img.cores import cpu_seconds
from img2img.files import write_text
from img2img.maintenance.browser import RunningApp, running_app
from img2img.maintenance.client import User
from img2img.maintenance.cost_chart import CostCurve, CostPanel, drawn
from img2img.pixels.images import write_photo
from img2img.resources import inputs_dir

CALLS: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("denoise", (1.0, "")),
    ("restore", ("auto", 1.0, "")),
    ("enlarge", (2, 1.0, None, "")),
    ("colorize", (1.0, "", None)),
)
SIDES_PX = (32, 48, 72, 108)
READINGS = 20


@dataclass(frozen=True)
class MemoryReading:
    """What the app's processes held when so many requests had been served."""

    served: int
    seconds: float
    cpu_s: float  # of all its processes, since the beginning
    page_mb: float
    workers_mb: float  # together; 0 where the page's process does all


def main() -> None:
    """Start the app, call it, and print the curve; exit code 1 where a request was lost."""
    parser = argparse.ArgumentParser(prog="python -m img2img.maintenance.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--users", type=int, default=10, help="at the same time")
    parser.add_argument("--workers", type=int, default=0, help="of the app")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the curve")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw it")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder) / f"{side_px}.jpg" for side_px in SIDES_PX]
        for photo, side_px in zip(photos, SIDES_PX, strict=True):
            write_photo(photo, square_photo(inputs_dir() / "old_photo.jpg", side_px))
        flags = ["--workers", f"{chosen.workers}"]
        with running_app(Path(folder) / "app.log", flags, seconds=600) as app:
            soak = Soak(app, photos, chosen.users)
            readings = []
            for reading in soak.readings(chosen.requests):
                readings.append(reading)
                print(f"{reading}", flush=True)
    print(table(readings), summary(readings, soak.lost), sep="\n\n")
    if chosen.csv:
        with chosen.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows([[f.name for f in fields(MemoryReading)], *map(astuple, readings)])
    if chosen.svg:
        write_text(chosen.svg, picture(readings))
    sys.exit(bool(soak.lost))


@dataclass
class Soak:
    """Users who call an app at the same time."""

    app: RunningApp
    photos: Sequence[Path]
    users: int
    lost: int = 0

    def readings(self, requests: int) -> Iterator[MemoryReading]:
        """The memory at the beginning, then after each part of so many requests."""
        started, every = time.monotonic(), max(1, requests // READINGS)
        first = self._reading(0, 0.0)
        yield replace(first, cpu_s=0.0)
        with ThreadPoolExecutor(self.users) as pool:
            calls = [pool.submit(self._call, number) for number in range(requests)]
            for served, call in enumerate(as_completed(calls), 1):
                self.lost += not call.result()
                if served % every == 0:
                    reading = self._reading(served, time.monotonic() - started)
                    yield replace(reading, cpu_s=round(reading.cpu_s - first.cpu_s, 1))

    def _call(self, number: int) -> bool:
        """Whether a call was answered with a picture."""
        name, values = CALLS[number % len(CALLS)]
        photo = self.photos[number // len(CALLS) % len(self.photos)]
        user = User(self.app.url, f"10.0.0.{number % self.users + 1}")
        try:
            stream = user.answer(name, user.asks(name, [user.uploads(photo), *values]))
            result, _ = json.loads(stream.partition("event: complete\ndata: ")[2].splitlines()[0])
            with urllib.request.urlopen(f"{user.url}gradio_api/file={result['path']}") as answer:
                return bool(answer.read())
        except (OSError, LookupError) as error:
            print(f"{name} {photo.name}: {error}", file=sys.stderr)
            return False

    def _reading(self, served: int, seconds: float) -> MemoryReading:
        page = psutil.Process(self.app.process.pid)
        processes = page, *page.children(recursive=True)
        spent_s = sum(cpu_seconds(one.pid) for one in processes)
        held = [one.memory_info().rss / 1e6 for one in processes]
        memory = round(held[0], 1), round(sum(held[1:]), 1)
        return MemoryReading(served, round(seconds, 1), round(spent_s, 1), *memory)


def slope_mb(readings: Sequence[MemoryReading], name: str) -> float:
    """By how much memory grows in 1,000 requests: a line through the second half."""
    half = readings[len(readings) // 2 :]
    served, held = [one.served for one in half], [getattr(one, name) for one in half]
    return 1000 * float(np.polyfit(served, held, 1)[0])


def table(readings: Sequence[MemoryReading]) -> str:
    """The curve as text."""
    rows = [tuple(f"{value:g}" for value in astuple(one)) for one in readings]
    return aligned([("requests", "seconds", "CPU s", "page MB", "workers MB"), *rows])


def summary(readings: Sequence[MemoryReading], lost: int) -> str:
    """What the curve says, in lines."""
    last = readings[-1]
    each = f"{last.cpu_s / last.served:.3f} s of processor each"
    lines = [f"{last.served} requests in {last.seconds:.0f} s, {each}, {lost} lost"]
    for name, words in (("page_mb", "page"), ("workers_mb", "workers")):
        held = [getattr(one, name) for one in readings]
        lines.append(
            f"{words}: {held[len(held) // 2]:.0f} MB half-way, {held[-1]:.0f} MB at the end, "
            f"{slope_mb(readings, name):+.1f} MB in 1,000 requests"
        )
    return "\n".join(lines)


def picture(readings: Sequence[MemoryReading]) -> str:
    """The curve as an SVG file."""
    curves = [
        CostCurve(words, [(one.served, getattr(one, name)) for one in readings if one.served])
        for name, words in (("page_mb", "page"), ("workers_mb", "workers"))
    ]
    return drawn([CostPanel("memory, MB", "requests", curves)])


if __name__ == "__main__":
    main()
