"""How long a user waits: `python -m img2img.maintenance.benchmark` starts the app and restores
a photo.

Wall seconds depend on what else the machine does; processor seconds (the app's own, with its
threads) do not, and on N idle cores the wait lies between them and their N-th part. Memory is the
most the app's process has held at once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from img2img.benchmark.photos import side_of, square_photo
from img2img.cores import cpu_seconds
from img2img.maintenance.browser import RunningApp, chromium, running_app
from img2img.maintenance.client import called
from img2img.memory import peak_mb
from img2img.pixels.images import write_photo
from img2img.resources import inputs_dir


@dataclass
class Cost:
    """Time and memory that a call took."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: int = 0


def main() -> None:
    """Measure the start, and each call on a photo of the asked size, the first in a fresh app."""
    parser = argparse.ArgumentParser(
        prog="python -m img2img.maintenance.benchmark", description=__doc__
    )
    parser.add_argument("--megapixels", type=float, default=1.0)
    parser.add_argument("--task", default="auto", help="auto, or names such as denoise,colorize")
    parser.add_argument("--turns", type=int, default=2, help="how often")
    parser.add_argument(
        "--rest", type=float, default=0.0, help="seconds between the page and the click"
    )
    parser.add_argument(
        "--page", action="store_true", help="load it in Chromium too, until it can be used"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photo = photo_of(chosen.megapixels, Path(folder) / "photo.jpg")
        with running_app(Path(folder) / "app.log", seconds=600) as app:
            start_cpu_s = cpu_seconds(app.process.pid)
            print(
                f"start until the page is there: {app.seconds:.1f} s, "
                f"{start_cpu_s:.1f} s of processor",
                flush=True,
            )
            if chosen.page:
                loaded_s, usable_s = page_seconds(app.url)
                print(
                    f"page: loaded in {loaded_s:.1f} s, usable {usable_s:.1f} s later", flush=True
                )
            time.sleep(chosen.rest)
            for turn in range(1, chosen.turns + 1):
                with costs(app) as cost:
                    _, content, facts = called(app.url, "restore", photo, chosen.task)
                result = f"{facts['task']}, {facts['size_out']}, {len(content)} bytes"
                spent = f"{cost.wall_s:.1f} s, {cost.cpu_s:.1f} s of processor"
                print(f"result {turn} ({result}): {spent}, at most {cost.peak_mb} MB", flush=True)


def photo_of(megapixels: float, path: Path) -> Path:
    """The old photo of the inputs, repeated to a square of so many megapixels."""
    write_photo(path, square_photo(inputs_dir() / "old_photo.jpg", side_of(megapixels)))
    return path


def page_seconds(url: str) -> tuple[float, float]:
    """How long a browser that runs already loads the page, and then until the first tab takes a
    photo and its button is there.
    """
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(600_000)
        started = time.monotonic()
        page.goto(url)
        loaded = time.monotonic()
        page.locator("#restore-photos input[type=file]").wait_for(state="attached")
        page.locator("#restore-run").wait_for()
        return loaded - started, time.monotonic() - loaded


@contextmanager
def costs(app: RunningApp) -> Iterator[Cost]:
    """What the app's process spends while the block runs."""
    cost, started, before = Cost(), time.monotonic(), cpu_seconds(app.process.pid)
    yield cost
    cost.wall_s, cost.cpu_s = time.monotonic() - started, cpu_seconds(app.process.pid) - before
    cost.peak_mb = round(peak_mb(app.process.pid))


if __name__ == "__main__":
    main()
