"""The data pipeline alone, and for how long a training step waits for it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from img2img.benchmark.timing import Clock, Effort, Timing
from img2img.benchmark.train_speed import CPU, LARGE_BATCH, with_batch
from img2img.data.dataset import load_photos
from img2img.data.sample import Batch
from img2img.errors import StructuredError
from img2img.recipe import Recipe
from img2img.training.batches import load_batches, loader_workers
from img2img.training.setup import accelerator_for, build_step


@dataclass(frozen=True)
class DataSpeed:
    """The pipeline by itself, and in a training that goes on while it works."""

    batch_size: int
    workers: int
    alone: Timing
    """a batch"""
    wait: Timing
    """for a batch, in training"""
    step: Timing
    """on a batch, in training"""

    name: ClassVar[str] = "data"

    @property
    def share_of_step(self) -> float:
        """Share of the training's time that it waits for data: 0 where workers are always ahead."""
        waited, worked = sum(self.wait.seconds), sum(self.step.seconds)
        return waited / (waited + worked)

    @property
    def samples_per_second(self) -> float:
        """That the pipeline yields by itself."""
        return self.batch_size / self.alone.median_s

    @property
    def consumed_per_second(self) -> float:
        """That a training step could consume, were it never to wait."""
        return self.batch_size / self.step.median_s

    def fields(self) -> dict[str, Any]:
        """`data.share_of_step` and what it is made of, for JSON."""
        return {
            "share_of_step": self.share_of_step,
            "samples_per_second": self.samples_per_second,
            "consumed_per_second": self.consumed_per_second,
            "workers": self.workers,
            "alone": self.alone.fields(),
            "wait": self.wait.fields(),
            "step": self.step.fields(),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A line each."""
        at = f"batch {self.batch_size}, {self.workers} workers"
        return [
            ("pipeline alone", f"{self.samples_per_second:.3g} samples/s", self.alone.text(), at),
            ("step consumes", f"{self.consumed_per_second:.3g} samples/s", self.step.text(), at),
            ("step waits", f"{self.share_of_step:.1%} of its time", self.wait.text(), at),
        ]


def measure_data(recipe: Recipe, effort: Effort) -> DataSpeed:
    """A pix2pix recipe's own data and its step, at a batch of 16."""
    recipe = with_batch(recipe, LARGE_BATCH)
    accelerator = accelerator_for(recipe, "cpu", Path(tempfile.gettempdir()))
    photos = load_photos(recipe.task, recipe.data, recipe.seed)
    step, numbers = build_step(recipe, accelerator), count()

    def batches() -> Generator[Batch]:
        for batch, _ in load_batches(recipe, photos.train, accelerator, 0):
            if isinstance(batch, StructuredError):
                raise batch
            yield batch.to(CPU)

    with closing(batches()) as alone:
        yielded, _ = time_loop(alone, lambda batch: None, effort)
    with closing(batches()) as coming:
        wait, work = time_loop(coming, lambda batch: step([batch], next(numbers)), effort)
    return DataSpeed(LARGE_BATCH, loader_workers(recipe, accelerator), yielded, wait, work)


def time_loop(
    batches: Iterator[Batch],
    work: Callable[[Batch], object],
    effort: Effort,
    clock: Clock = time.perf_counter,
) -> tuple[Timing, Timing]:
    """A training loop by the clock: how long it waits for each batch, and works on it."""
    waits, works = list[float](), list[float]()
    begun = clock()
    for round_ in range(effort.warmup + effort.repeats):
        if round_ == effort.warmup:
            begun = clock()
        before = clock()
        batch = next(batches)
        arrived = clock()
        work(batch)
        done = clock()
        if round_ >= effort.warmup:
            waits.append(arrived - before)
            works.append(done - arrived)
            if done - begun > effort.budget_s:
                break
    return Timing(tuple(waits), effort.warmup), Timing(tuple(works), effort.warmup)
