"""Inference of each model on photos from a training crop to 48 megapixels, each in a fresh process
for its memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from img2img.benchmark.ceiling import PRECISIONS, Ceiling
from img2img.benchmark.flops import count_flops
from img2img.benchmark.fresh_process import MeasurementFailed, in_fresh_process
from img2img.benchmark.photos import side_of, square_photo
from img2img.benchmark.sizes import PX_256
from img2img.benchmark.timing import Effort, Timing, time_repeats
from img2img.inference.pipeline import Model, load
from img2img.memory import peak_mb, reset_peak, resident_mb
from img2img.pixels.images import Photo
from img2img.resources import samples_dir
from img2img.runtimes.network import Backend, installed_runtimes
from img2img.tasks.photo import PhotoTask
from img2img.zoo.catalogue import Entry

WARMED_UP_ON_MP = (
    1.0  # larger photos begin with a warm-up on this much: it costs as much as they do
)
START_S = 60.0  # what a process may take before it begins to measure


@dataclass(frozen=True)
class PhotoSpeed:
    """A model's work on a photo of one size, from array to array."""

    timing: Timing
    flops: int
    dtype: torch.dtype
    idle_mb: float
    """with the model loaded, before the photo"""
    peak_mb: float
    """the whole process with the photo and its result"""
    tile_difference: float | None = None
    """the most that tiles differ from the whole, of 1; measured on small photos alone"""

    @classmethod
    def of(cls, measured: dict[str, Any]) -> PhotoSpeed:
        """From what the fresh process said."""
        dtype = next(d for d, name in PRECISIONS.items() if name == measured["precision"])
        timing = Timing(tuple(measured["seconds"]), measured["warmup"])
        memory = measured["idle_mb"], measured["peak_mb"]
        return cls(timing, measured["flops"], dtype, *memory, measured.get("tile_difference"))


@dataclass(frozen=True)
class InferenceSpeed:
    """By model and megapixels: what was measured, or why it was left out."""

    by_model: dict[str, dict[float, PhotoSpeed | str]]
    ceiling: Ceiling

    name: ClassVar[str] = "infer"

    def share_of_ceiling(self, speed: PhotoSpeed) -> float:
        """The model's rate over that of a convolution at its precision."""
        return self.ceiling.share(speed.flops, speed.timing, "convolution", speed.dtype)

    def fields(self) -> dict[str, Any]:
        """`infer.<model>.<megapixels>.seconds` and so on, for JSON."""
        return {
            model: {f"{mp:.3g}": self._fields_of(speed) for mp, speed in speeds.items()}
            for model, speeds in self.by_model.items()
        }

    def _fields_of(self, speed: PhotoSpeed | str) -> dict[str, Any]:
        if isinstance(speed, str):
            return {"left_out": speed}
        return speed.timing.fields() | {
            "peak_mb": speed.peak_mb,
            "idle_mb": speed.idle_mb,
            "share_of_ceiling": self.share_of_ceiling(speed),
            "gflop": speed.flops / 1e9,
            "precision": PRECISIONS[speed.dtype],
            "tile_difference": speed.tile_difference,
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A line each."""
        rows: list[tuple[str, ...]] = []
        for model, speeds in self.by_model.items():
            for megapixels, speed in speeds.items():
                at = f"{megapixels:.3g} MP"
                if isinstance(speed, str):
                    rows.append((model, at, f"left out: {speed}"))
                    continue
                share = f"{self.share_of_ceiling(speed):.0%} of the ceiling" if speed.flops else "-"
                memory = f"at most {speed.peak_mb:,.0f} MB, {speed.idle_mb:,.0f} MB idle"
                rows.append((model, at, speed.timing.text(), share, memory))
                if speed.tile_difference is not None:
                    off = f"{255 * speed.tile_difference:.2f}/255"
                    rows.append((model, at, f"in tiles at most {off} off the whole"))
        return rows


def measure_inference(
    entries: Sequence[Entry], megapixels: Sequence[float], ceiling: Ceiling, effort: Effort
) -> InferenceSpeed:
    """Each model at each size from small to large; megapixels are those of the result. Sizes that
    are expected to take longer than the budget are left out. Installed runtimes follow as
    `MODEL@RUNTIME`.
    """
    by_model = {}
    for entry in entries:
        for backend in _backends_of(entry):
            name = entry.title if backend == "torch" else f"{entry.title}@{backend}"
            by_model[name] = dict(_sizes_of(entry, megapixels, effort, backend))
    return InferenceSpeed(by_model, ceiling)


def _backends_of(entry: Entry) -> list[Backend]:
    graphs: list[Backend] = []
    if isinstance(entry.task, PhotoTask):
        graphs.extend(installed_runtimes())
    return graphs if entry.is_graph else ["torch", *graphs]


def _sizes_of(
    entry: Entry, megapixels: Sequence[float], effort: Effort, backend: Backend
) -> Iterator[tuple[float, PhotoSpeed | str]]:
    seconds_per_mp: float | None = None
    for size in megapixels:
        if not isinstance(entry.task, PhotoTask):
            yield size, "it makes pictures from noise, of one size"
            continue
        if seconds_per_mp is not None and seconds_per_mp * size > effort.budget_s:
            expected = f"some {seconds_per_mp * size:.0f} s are expected"
            yield size, f"{expected}, more than the budget of {effort.budget_s:g} s"
            continue
        try:
            measured = in_fresh_process(
                photo_speed,
                timeout_s=START_S + 4 * effort.budget_s,
                model=str(entry.path),
                megapixels=size,
                warmup=effort.warmup,
                repeats=effort.repeats,
                budget_s=effort.budget_s,
                backend=backend,
            )
        except MeasurementFailed as failure:
            yield size, str(failure)
            continue
        speed = PhotoSpeed.of(measured)
        seconds_per_mp = speed.timing.median_s / size
        yield size, speed


def photo_speed(
    model: str,
    megapixels: float,
    warmup: int,
    repeats: int,
    budget_s: float,
    backend: Backend = "torch",
) -> dict[str, Any]:
    """Time, operations (of torch's) and memory of a model at one size, for a process of its own."""
    loaded = load(model, device="cpu", backend=backend)
    reset_peak()
    idle = resident_mb()
    scale = loaded.photo_task.scale
    small = megapixels <= WARMED_UP_ON_MP
    photo, hole = _photo_for(loaded, side_of(megapixels) // scale)
    if not small:
        first = _photo_for(loaded, side_of(PX_256) // scale)
        loaded.run(*first)
    with recorded_inputs(loaded) as inputs:
        effort = Effort(warmup if small else 0, repeats, budget_s)
        timing = time_repeats(lambda: loaded.run(photo, hole), effort)
    peak = peak_mb()
    runs = len(timing.seconds) + timing.warmup
    return {
        "seconds": timing.seconds,
        "warmup": timing.warmup or 1,
        "flops": flops_of_inputs(loaded, inputs) // runs if backend == "torch" else 0,
        "precision": PRECISIONS[loaded.dtype],
        "idle_mb": idle,
        "peak_mb": peak,
        "tile_difference": loaded.tile_difference(photo) if megapixels <= PX_256 else None,
    }


def _photo_for(model: Model, side_px: int) -> tuple[Photo, np.ndarray | None]:
    """A square photo, and for models that fill a hole in its middle, a quarter of its side."""
    photo = square_photo(samples_dir() / "macaw.jpg", side_px)
    if not model.fills:
        return photo, None
    hole = np.zeros((side_px, side_px), bool)
    middle = slice(side_px * 3 // 8, side_px * 5 // 8)
    hole[middle, middle] = True
    return photo, hole


@contextmanager
def recorded_inputs(model: Model) -> Iterator[Counter[tuple[Any, ...]]]:
    """The shapes that the generator is given within the context, with what else it is given."""
    seen: Counter[tuple[Any, ...]] = Counter()

    def record(module: Any, inputs: tuple[Any, ...]) -> None:
        seen[(tuple(inputs[0].shape), *inputs[1:])] += 1

    handle = model.generator.register_forward_pre_hook(record)
    try:
        yield seen
    finally:
        handle.remove()


@torch.inference_mode()
def flops_of_inputs(model: Model, inputs: Counter[tuple[Any, ...]]) -> int:
    """Operations of the generator on all recorded inputs: each shape is run once to count them, so
    that nothing is counted while it is timed.
    """
    return sum(
        times * count_flops(partial(model.generator, torch.zeros(shape), *rest))
        for (shape, *rest), times in inputs.items()
    )
