"""What bounds the training of each recipe: `python -m img2img.maintenance.recipe_speed [RECIPE …]`
takes steps of all shipped recipes, or of these, and prints a line for each.

A line says how much of the ceiling the step reaches (the fastest that a convolution trains on this
machine), and what the processor's seconds go into. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from operator import itemgetter
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from img2img.about import aligned
from img2img.benchmark.ceiling import PRECISIONS, Ceiling, measure_ceiling
from img2img.benchmark.flops import count_flops
from img2img.benchmark.sizes import FULL
from img2img.benchmark.timing import Effort, Timing, time_in_turns
from img2img.benchmark.train_speed import CPU
from img2img.data.dataset import load_photos
from img2img.data.sample import Batch
from img2img.devices import precision_for
from img2img.errors import UserError
from img2img.recipe import Recipe
from img2img.resources import recipes_dir
from img2img.training.setup import accelerator_for, build_step

KINDS = {
    "convolutions": ("conv", "mm", "linear"),
    "normalisations": ("norm",),
    "optimizer": ("_fused_", "_foreach_"),
    "copies": ("copy", "contiguous", "clone", "cat", "fill_", "zero_"),
    "other operators": ("",),
}
"""What operators do, and parts of the names of those that do it; the first that fits."""


@dataclass(frozen=True)
class RecipeSpeed:
    """A step on the recipe's own batch, D and G in training where there is a D."""

    name: str
    batch_size: int
    accumulate: int
    step: Timing
    batch: Timing
    """drawing the samples of a micro-batch, in the same process"""
    flops: int
    dtype: torch.dtype
    shares: dict[str, float]
    """of the processor's seconds of a step, by what they go into"""

    @property
    def data(self) -> float:
        """The seconds of a step's samples over those of the step."""
        return self.accumulate * self.batch.median_s / self.step.median_s

    def row(self, ceiling: Ceiling) -> tuple[str, ...]:
        """Share of the ceiling, and what takes the time, the most first."""
        share = ceiling.share(self.flops, self.step, "convolution training", self.dtype)
        parts = {**self.shares, "data": self.data}
        most_first = sorted(parts.items(), key=itemgetter(1), reverse=True)
        named = [f"{name} {part:.0%}" for name, part in most_first]
        return (
            self.name,
            f"batch {self.batch_size}, {PRECISIONS[self.dtype]}",
            self.step.text(),
            f"{share:.1%} of the ceiling",
            ", ".join(named),
        )


def measure_recipe(recipe: Recipe, effort: Effort) -> RecipeSpeed:
    """Take steps on the recipe's first samples. Raises UserError where its data are not here."""
    photos = load_photos(recipe.task, recipe.data, recipe.seed)
    # The folder is where a run would log; nothing is written.
    step = build_step(recipe, accelerator_for(recipe, "cpu", Path(tempfile.gettempdir())))
    numbers = count(0, recipe.train.batch_size)

    def draw() -> Batch:
        return photos.train.batch(next(numbers), recipe.train.batch_size)

    batches = [draw().to(CPU) for _ in range(recipe.train.accumulate)]
    a = recipe.adversarial
    joint = a.phase_starts(recipe.train.steps)[1] + a.d_steps_per_g_step - 1 if a else 0
    take = partial(step, batches, joint)
    timings = time_in_turns({"step": take, "batch": draw}, effort)
    dtype = precision_for(CPU, recipe.train.precision)
    return RecipeSpeed(
        recipe.name,
        recipe.train.batch_size,
        recipe.train.accumulate,
        timings["step"],
        timings["batch"],
        count_flops(take),
        dtype,
        shares_of(take),
    )


def shares_of(call: Callable[[], object]) -> dict[str, float]:
    """Shares of a call's processor seconds by the `KINDS` of torch's operators; the rest is
    `Python`, which calls them.
    """
    begun = time.process_time()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        call()
    spent: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        if event.key.startswith("aten::"):
            kind = next(k for k, parts in KINDS.items() if any(p in event.key for p in parts))
            spent[kind] += event.self_cpu_time_total / 1e6
    operators = sum(spent.values())
    whole = max(time.process_time() - begun, operators)
    spent["Python"] = whole - operators
    return {kind: seconds / whole for kind, seconds in spent.items()}


def rows(names: Sequence[str], effort: Effort, ceiling: Ceiling) -> Iterator[tuple[str, ...]]:
    """A line for each recipe; one whose data are not here says so."""
    for name in names:
        try:
            yield measure_recipe(Recipe.load(name), effort).row(ceiling)
        except UserError as error:
            yield name, f"left out: {error}"


def main() -> None:
    """Print the lines as they are measured."""
    parser = argparse.ArgumentParser(
        prog="python -m img2img.maintenance.recipe_speed", description=__doc__
    )
    parser.add_argument("recipes", nargs="*", help="all that ship by default")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for each")
    chosen = parser.parse_args()
    effort = FULL.effort(chosen.budget)
    names = chosen.recipes or sorted(path.stem for path in recipes_dir().glob("*.yaml"))
    for row in rows(names, effort, measure_ceiling(FULL, effort)):
        print(aligned([row]), flush=True)


if __name__ == "__main__":
    main()
