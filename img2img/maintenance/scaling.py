"""How training scales: `python -m img2img.maintenance.scaling [RECIPE …]` takes steps of recipes in
one process and in two, one thread each, and prints photos a second, how many times as many two do
as one, and the share of a step that they spend exchanging gradients.

Each process takes its own samples, as many as the recipe's batch, again and again: what is measured
is the step. One and two are measured in turns, each time in new processes that torchrun starts. Of
the exchange, waiting for the slower of the two is a part. Measure on an idle machine with a core
for each process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist

from img2img.about import aligned, rounded
from img2img.benchmark.fresh_process import MeasurementFailed
from img2img.benchmark.machine import describe_machine
from img2img.data.dataset import load_photos
from img2img.errors import UserError
from img2img.recipe import Recipe
from img2img.training.processes import leave, wait_for_all
from img2img.training.setup import accelerator_for, build_step

MODULE = "img2img.maintenance.scaling"  # as torchrun starts it
PROCESSES = (1, 2)
RECIPES = ("denoise", "translate_pix2pix")  # few weights to exchange a step, and many
WARM_UP = 2  # steps


@dataclass(frozen=True)
class Pace:
    """Steps of one or several processes, as the first of them saw them."""

    processes: int
    images: int
    """of all processes, in all steps"""
    seconds: float
    exchange_s: float
    """of these, in all_reduce"""

    @property
    def images_per_second(self) -> float:
        """Of all processes."""
        return self.images / self.seconds


@dataclass(frozen=True)
class Scaling:
    """The paces of one recipe, by the number of processes, a pair for each round."""

    recipe: str
    rounds: list[dict[int, Pace]]

    def speed(self, processes: int) -> float:
        """Photos a second, the median of the rounds."""
        return median(paces[processes].images_per_second for paces in self.rounds)

    @property
    def ratio(self) -> float:
        """How many times as many photos a second two processes do: the median over the rounds."""
        one, two = PROCESSES
        return median(p[two].images_per_second / p[one].images_per_second for p in self.rounds)

    @property
    def exchange_share(self) -> float:
        """Of two processes' time, in all_reduce: the median over the rounds."""
        paces = [paces[PROCESSES[-1]] for paces in self.rounds]
        return median(pace.exchange_s / pace.seconds for pace in paces)

    def row(self) -> tuple[str, ...]:
        """The line of the table."""
        speeds = (f"{self.speed(processes):.3g}" for processes in PROCESSES)
        return (self.recipe, *speeds, f"×{self.ratio:.2f}", f"{self.exchange_share:.0%}")

    def fields(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "images_per_second": {str(each): self.speed(each) for each in PROCESSES},
            "ratio": self.ratio,
            "exchange_share": self.exchange_share,
            "rounds": [[asdict(pace) for pace in paces.values()] for paces in self.rounds],
        }


def measure(recipe: str, rounds: int, steps: int) -> Scaling:
    """One and two processes in turns. Raises MeasurementFailed where one ends with an error."""
    turns = [
        {each: _in_processes(each, recipe, steps) for each in PROCESSES} for _ in range(rounds)
    ]
    return Scaling(recipe, turns)


def _in_processes(processes: int, recipe: str, steps: int) -> Pace:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", MODULE, recipe, f"--steps={steps}", "--process"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        problem = next((line for line in lines if line.startswith("error: ")), lines[-1])
        raise MeasurementFailed(f"{processes} processes: {problem}")
    return Pace(**json.loads(done.stdout.splitlines()[-1]))


def take_steps(recipe: Recipe, steps: int) -> Pace:
    """In each of the processes: steps on the first samples that it has in a training."""
    train = recipe.train
    # The folder is where a run would log; nothing is written.
    accelerator = accelerator_for(recipe, "cpu", Path(tempfile.gettempdir()))
    photos = load_photos(recipe.task, recipe.data, recipe.seed)
    step = build_step(recipe, accelerator)
    first = accelerator.process_index * train.batch_size
    batch = photos.train.batch(first, train.batch_size).to(accelerator.device)
    adversarial = recipe.adversarial
    joint = adversarial.phase_starts(train.steps)[1] if adversarial else 0  # where all train
    for number in range(WARM_UP):
        step([batch] * train.accumulate, joint + number)
    wait_for_all(accelerator)
    with _exchange_timed() as exchanges:
        begun = time.perf_counter()
        for number in range(steps):
            step([batch] * train.accumulate, joint + WARM_UP + number)
        wait_for_all(accelerator)
        seconds = time.perf_counter() - begun
    return Pace(accelerator.num_processes, steps * step.images_per_step, seconds, sum(exchanges))


@contextmanager
def _exchange_timed() -> Iterator[list[float]]:
    """Within it, the seconds of each all_reduce."""
    real, seconds = dist.all_reduce, list[float]()

    def timed(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return real(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - begun)

    with patch.object(dist, "all_reduce", timed):
        yield seconds


def main() -> int:
    """Print the lines as they are measured; 1 where one could not be."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {MODULE}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipes", nargs="*", default=RECIPES, help=f"default: {RECIPES}")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of one, then two")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="of each")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.process:
        return _process(chosen.recipes[0], chosen.steps)
    machine, found, failed = describe_machine(), dict[str, Any](), False
    print(aligned(machine.rows()), file=sys.stderr)
    if machine.cores < PROCESSES[-1]:
        print(f"{machine.cores} core for {PROCESSES[-1]} processes", file=sys.stderr)
    heads = ("recipe", *(f"photos/s of {each}" for each in PROCESSES), "ratio", "in all_reduce")
    rows = [heads]
    for recipe in chosen.recipes:
        try:
            scaling = measure(recipe, chosen.rounds, chosen.steps)
        except MeasurementFailed as error:
            failed = True
            print(f"{recipe}: {error}", file=sys.stderr, flush=True)
            continue
        rows.append(scaling.row())
        found[recipe] = scaling.fields()
        print(aligned(rows[-1:]), file=sys.stderr, flush=True)
    report = {"machine": machine.fields(), "recipes": found}
    print(json.dumps(rounded(report), indent=2) if chosen.json else aligned(rows))
    return int(failed)


def _process(recipe: str, steps: int) -> int:
    """One of the processes that torchrun starts; the first prints what was measured."""
    try:
        pace = take_steps(Recipe.load(recipe), steps)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    if os.environ["RANK"] == "0":
        print(json.dumps(asdict(pace)), flush=True)
    leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())
