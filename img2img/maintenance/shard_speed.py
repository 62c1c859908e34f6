"""Samples a second from a folder, from its shards on this disk, behind HTTP and in S3:
`python -m img2img.maintenance.shard_speed [--photos DIR] [--samples N]`.

Both servers run on this machine, in processes of their own, so that what is measured is what
requests cost here, and no network. Nothing decoded is kept; places take turns, a round each.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from img2img.about import aligned
from img2img.data.dataset import TrainingSet, load_photos
from img2img.data.sharding import write_shards
from img2img.data.shards import INDEX
from img2img.recipe import Recipe
from img2img.resources import samples_dir
from img2img.testing.file_servers import s3_server, web_server

ROUNDS = 5
BUCKET = "shards"


@contextmanager
def server_of(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(kind, folder, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("end")
        process.join()


def _serve(kind: str, folder: Path, pipe: Connection) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's, a line for each request
    with ExitStack() as stack:
        if kind == "s3":
            url = stack.enter_context(s3_server(folder, BUCKET))
        else:
            url = stack.enter_context(web_server(folder)).url
        pipe.send(url)
        pipe.recv()


Seconds = tuple[float, float]
"""By the clock, and of the processor for this process."""


def measure(data: dict[str, TrainingSet], samples: int) -> dict[str, list[Seconds]]:
    """Seconds for each place and round, the first round left out."""
    took: dict[str, list[Seconds]] = {place: [] for place in data}
    for round_ in range(ROUNDS + 1):
        for place, train in data.items():
            begun = time.perf_counter(), time.process_time()
            train.batch(round_ * samples, samples)
            if round_:
                took[place].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    return took


def main() -> None:
    """Write shards, start the servers, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=samples_dir())
    parser.add_argument("--samples", type=int, default=48, help="in a round")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "AWS_ACCESS_KEY_ID": "anyone"}
        os.environ |= {"AWS_SECRET_ACCESS_KEY": "secret"}
        written = write_shards(options.photos, folder / "out", shard_bytes=10**6)
        print(written.line.partition(": data")[0], flush=True)
        web = stack.enter_context(server_of("web", folder / "out"))
        os.environ["AWS_ENDPOINT_URL_S3"] = stack.enter_context(server_of("s3", folder / "out"))
        shards = ["data.path=data/samples", "data.kind=shards", "data.download_cache_mb=0"]
        changes = {
            "folder": [f"data.path={options.photos}"],
            "shards, this disk": [*shards, f"data.urls={folder}/out/{INDEX}"],
            "shards, HTTP": [*shards, f"data.urls={web}/{INDEX}"],
            "shards, S3": [*shards, f"data.urls=s3://{BUCKET}/{INDEX}"],
            "shards, S3, downloaded before": [
                *shards,
                f"data.urls=s3://{BUCKET}/{INDEX}",
                "data.download_cache_mb=10000",
            ],
        }
        data = {}
        for place, changed in changes.items():
            recipe = Recipe.load("denoise_tiny", ["data.cache_mb=0", *changed])
            data[place] = load_photos(recipe.task, recipe.data, recipe.seed).train
        took = measure(data, options.samples)
    rows: list[tuple[str, ...]] = [("place", "samples/s", "lowest", "highest", "CPU ms/sample")]
    for place, rounds in took.items():
        speeds = [options.samples / clock for clock, _ in rounds]
        processor = 1e3 * median(used for _, used in rounds) / options.samples
        numbers = median(speeds), min(speeds), max(speeds), processor
        rows.append((place, *(f"{number:.1f}" for number in numbers)))
    print(aligned(rows))


if __name__ == "__main__":
    main()
