"""The training step of pix2pix in turns with the plain reference: same modules, weights, batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from img2img.benchmark.ceiling import PRECISIONS, Ceiling
from img2img.benchmark.flops import count_flops
from img2img.benchmark.fresh_process import in_fresh_process
from img2img.benchmark.reference import PlainPix2Pix
from img2img.benchmark.timing import Effort, Timing, time_in_turns
from img2img.data.dataset import load_photos
from img2img.data.sample import Batch
from img2img.devices import precision_for
from img2img.memory import peak_mb, reset_peak, resident_mb
from img2img.recipe import Recipe
from img2img.training.setup import accelerator_for, build_step
from img2img.training.step import TrainingStep

CPU = torch.device("cpu")
LARGE_BATCH = 16
Side = Literal["ours", "reference"]


@dataclass(frozen=True)
class StepPair:
    """Our step and the reference's at one batch size, repeat by repeat in turns."""

    batch_size: int
    ours: Timing
    reference: Timing
    flops: int
    """of our step"""

    @property
    def ratio(self) -> float:
        """How many times as fast as the reference ours is."""
        return self.ours.speedup_over(self.reference)

    def photos_per_second(self, timing: Timing) -> float:
        """At the median step."""
        return self.batch_size / timing.median_s

    def fields(self) -> dict[str, Any]:
        """Both sides, for JSON."""
        sides = {"ours": self.ours, "reference": self.reference}
        return {
            side: timing.fields() | {"photos_per_second": self.photos_per_second(timing)}
            for side, timing in sides.items()
        } | {"gflop": self.flops / 1e9}


@dataclass(frozen=True)
class TrainingSpeed:
    """The training step against the reference and against the ceiling."""

    pairs: dict[int, StepPair]
    """by batch size; 1 and 16 are among them"""
    dtype: torch.dtype
    ceiling: Ceiling
    memory: dict[int, dict[Side, dict[str, float]]]
    """by batch size, each side in a process of its own: `peak_mb`, and `idle_mb` before the first
    step"""

    name: ClassVar[str] = "train"

    def share_of_ceiling(self, pair: StepPair) -> float:
        """The step's rate over that at which a convolution trains."""
        return self.ceiling.share(pair.flops, pair.ours, "convolution training", self.dtype)

    def fields(self) -> dict[str, Any]:
        """`train.ratio_to_reference` and so on, for JSON."""
        large, single = self.pairs[LARGE_BATCH], self.pairs[1]
        return {
            "ratio_to_reference": large.ratio,
            "ratio_to_reference_batch1": single.ratio,
            "share_of_ceiling": self.share_of_ceiling(large),
            "share_of_ceiling_batch1": self.share_of_ceiling(single),
            "precision": PRECISIONS[self.dtype],
            "batch16": large.fields(),
            "batch1": single.fields(),
            "memory": self.memory[LARGE_BATCH],
            "by_batch": {str(size): self._cost_of(size) for size in self.pairs},
        }

    def _cost_of(self, batch_size: int) -> dict[str, float]:
        pair, memory = self.pairs[batch_size], self.memory[batch_size]
        return {
            "seconds": pair.ours.median_s,
            "reference_seconds": pair.reference.median_s,
            "ratio": pair.ratio,
            **memory["ours"],
            **{f"reference_{name}": mb for name, mb in memory["reference"].items()},
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A line each."""
        rows: list[tuple[str, ...]] = []
        for size, pair in self.pairs.items():
            at = f"batch {size}"
            ours, theirs = (
                (f"{pair.photos_per_second(timing):.3g} photos/s", timing.text())
                for timing in (pair.ours, pair.reference)
            )
            gflops = pair.flops / pair.ours.median_s / 1e9
            share = f"{gflops:,.0f} GFLOP/s, {self.share_of_ceiling(pair):.0%} of the ceiling"
            rows.append((at, f"ours, {PRECISIONS[self.dtype]}", *ours, share))
            rows.append((at, "plain fp32 reference", *theirs, f"ours is ×{pair.ratio:.2f}"))
            for side, memory in self.memory[size].items():
                peak = f"at most {memory['peak_mb']:,.0f} MB"
                rows.append((at, side, peak, f"{memory['idle_mb']:,.0f} MB idle"))
        return rows


def measure_training(
    recipe: Recipe, batch_sizes: Sequence[int], ceiling: Ceiling, effort: Effort
) -> TrainingSpeed:
    """The step of a pix2pix recipe, against the reference and the ceiling."""
    sides: tuple[Side, ...] = ("ours", "reference")

    def memory_of(size: int, side: Side) -> dict[str, float]:
        return in_fresh_process(
            step_memory, recipe_fields=recipe.fields(), batch_size=size, side=side
        )

    return TrainingSpeed(
        pairs={size: time_steps(recipe, size, effort) for size in batch_sizes},
        dtype=precision_for(CPU, recipe.train.precision),
        ceiling=ceiling,
        memory={size: {side: memory_of(size, side) for side in sides} for size in batch_sizes},
    )


def time_steps(recipe: Recipe, batch_size: int, effort: Effort) -> StepPair:
    """Both steps in turns on one batch of the recipe's data."""
    sized = with_batch(recipe, batch_size)
    batch = first_batch(sized)
    ours, reference = step_calls(*same_start(sized), batch)
    timings = time_in_turns({"ours": ours, "reference": reference}, effort)
    return StepPair(batch_size, timings["ours"], timings["reference"], count_flops(ours))


def same_start(recipe: Recipe) -> tuple[TrainingStep, PlainPix2Pix]:
    """The recipe's step as `img2img train` builds it, and the reference with the same weights."""
    torch.manual_seed(recipe.seed)
    # The folder is where a run would log; nothing is written.
    step = build_step(recipe, accelerator_for(recipe, "cpu", Path(tempfile.gettempdir())))
    reference = PlainPix2Pix(recipe)
    reference.generator.load_state_dict(step.generator.module.state_dict())
    reference.discriminator.load_state_dict(step.discriminator.module.state_dict())
    return step, reference


def step_calls(
    step: TrainingStep, reference: PlainPix2Pix, batch: Batch
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A step of each, on a batch in the memory format that each is used to."""
    numbers, channels_last = count(), batch.to(CPU)

    def ours() -> Any:
        return step([channels_last], next(numbers))

    def theirs() -> Any:
        return reference.step(batch.condition.contiguous(), batch.target.contiguous())

    return ours, theirs


def step_memory(recipe_fields: dict[str, Any], batch_size: int, side: Side) -> dict[str, Any]:
    """The peak of two steps of one side alone, and what the process held before; for a process of
    its own.
    """
    recipe = with_batch(Recipe.parse(recipe_fields), batch_size)
    batch = first_batch(recipe)
    reset_peak()
    idle = resident_mb()
    if side == "ours":
        step = build_step(recipe, accelerator_for(recipe, "cpu", Path(tempfile.gettempdir())))
        for number in range(2):
            step([batch.to(CPU)], number)
    else:
        reference = PlainPix2Pix(recipe)
        for _ in range(2):
            reference.step(batch.condition, batch.target)
    return {"idle_mb": idle, "peak_mb": peak_mb()}


def first_batch(recipe: Recipe) -> Batch:
    """The first training samples, as many as the recipe's batch."""
    photos = load_photos(recipe.task, recipe.data, recipe.seed)
    return photos.train.batch(0, recipe.train.batch_size)


def with_batch(recipe: Recipe, batch_size: int) -> Recipe:
    """The recipe with another batch size."""
    changed = recipe.changed([f"train.batch_size={batch_size}"])
    assert changed is not None, "batch sizes from 1 up suit every recipe"
    return changed
