"""Inference of each model on photos from a training crop to 48 megapixels, and the plain reference
with the same weights; each in a fresh process for its memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from psutil import virtual_memory

from img2img.benchmark.ceiling import PRECISIONS, Ceiling
from img2img.benchmark.flops import count_flops
from img2img.benchmark.fresh_process import MeasurementFailed, in_fresh_process
from img2img.benchmark.photos import side_of, square_photo
from img2img.benchmark.reference import PlainInference
from img2img.benchmark.sizes import PX_256
from img2img.benchmark.timing import Effort, Timing, time_repeats
from img2img.inference.pipeline import Model, load
from img2img.memory import peak_mb, reset_peak, resident_mb
from img2img.pixels.images import Photo
from img2img.resources import samples_dir
from img2img.runtimes.network import Backend, installed_runtimes
from img2img.tasks.photo import PhotoTask
from img2img.zoo.catalogue import CATALOGUE, Entry

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


BySize = dict[float, PhotoSpeed | str]
"""By megapixels: what was measured, or why it was left out."""


@dataclass(frozen=True)
class InferenceSpeed:
    """Each model, and the plain reference with its weights where torch runs it."""

    by_model: dict[str, BySize]
    ceiling: Ceiling
    references: dict[str, BySize] = field(default_factory=dict)
    """by model"""

    name: ClassVar[str] = "infer"

    def share_of_ceiling(self, speed: PhotoSpeed) -> float:
        """The model's rate over that of a convolution at its precision."""
        return self.ceiling.share(speed.flops, speed.timing, "convolution", speed.dtype)

    def fields(self) -> dict[str, Any]:
        """`infer.<model>.<megapixels>.seconds` and so on, for JSON."""
        found = {
            model: {f"{mp:.3g}": self._fields_of(speed) for mp, speed in speeds.items()}
            for model, speeds in self.by_model.items()
        }
        for model, speeds in self.references.items():
            for mp, speed in speeds.items():
                found[model][f"{mp:.3g}"]["reference"] = self._fields_of(speed)
        return found

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
        plain = {f"{model}, reference": by_size for model, by_size in self.references.items()}
        for model, speeds in sorted((self.by_model | plain).items()):
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
    are expected to take longer than the budget, or more memory than is free, are left out.
    Installed runtimes follow as `MODEL@RUNTIME`.
    """
    by_model, references = {}, {}
    for entry in entries:
        for backend in _backends_of(entry):
            name = entry.title if backend == "torch" else f"{entry.title}@{backend}"
            measured = partial(in_fresh_process, photo_speed, backend=backend)
            by_model[name] = dict(_sizes_of(entry, megapixels, effort, measured))
        if isinstance(entry.task, PhotoTask) and not entry.is_graph:
            measured = partial(in_fresh_process, reference_speed)
            references[entry.title] = dict(_sizes_of(entry, megapixels, effort, measured))
    return InferenceSpeed(by_model, ceiling, references)


def _backends_of(entry: Entry) -> list[Backend]:
    graphs: list[Backend] = []
    if isinstance(entry.task, PhotoTask):
        graphs.extend(installed_runtimes())
    return graphs if entry.is_graph else ["torch", *graphs]


def _sizes_of(
    entry: Entry,
    megapixels: Sequence[float],
    effort: Effort,
    measure: Callable[..., dict[str, Any]],
) -> Iterator[tuple[float, PhotoSpeed | str]]:
    last: tuple[float, PhotoSpeed] | None = None
    for size in megapixels:
        if not isinstance(entry.task, PhotoTask):
            yield size, "it makes pictures from noise, of one size"
            continue
        if last is not None and (too_much := _beyond(effort.budget_s, size, *last)):
            yield size, too_much
            continue
        try:
            measured = measure(
                timeout_s=START_S + 4 * effort.budget_s,
                model=str(entry.path),
                megapixels=size,
                warmup=effort.warmup,
                repeats=effort.repeats,
                budget_s=effort.budget_s,
            )
        except MeasurementFailed as failure:
            yield size, str(failure)
            continue
        last = size, PhotoSpeed.of(measured)
        yield last


def _beyond(budget_s: float, size: float, measured_at: float, speed: PhotoSpeed) -> str | None:
    """Why a size is left out, by what a smaller one took: None where it may be measured."""
    growth = size / measured_at
    seconds = speed.timing.median_s * growth
    if seconds > budget_s:
        expected = f"some {seconds:.0f} s are expected"
        return f"{expected}, more than the budget of {budget_s:g} s"
    needed_mb, free_mb = (speed.peak_mb - speed.idle_mb) * growth, virtual_memory().available / 1e6
    if needed_mb > free_mb:
        return (
            f"some {needed_mb:,.0f} MB are expected, more than the {free_mb:,.0f} MB that are free"
        )
    return None


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
    photo, hole = _photo_for(loaded.photo_task, side_of(megapixels) // scale)
    if not small:
        first = _photo_for(loaded.photo_task, side_of(PX_256) // scale)
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


def reference_speed(
    model: str, megapixels: float, warmup: int, repeats: int, budget_s: float
) -> dict[str, Any]:
    """Time and memory of the plain reference at one size, for a process of its own."""
    entry = CATALOGUE.entry(model)
    reference = PlainInference(entry)
    reset_peak()
    idle = resident_mb()
    photo, hole = _photo_for(entry.photo_task, side_of(megapixels) // entry.scale)
    small = megapixels <= WARMED_UP_ON_MP
    effort = Effort(warmup if small else 0, repeats, budget_s)
    timing = time_repeats(lambda: reference.run(photo.rgb, hole), effort)
    return {
        "seconds": timing.seconds,
        "warmup": timing.warmup,
        "flops": 0,
        "precision": "fp32",
        "idle_mb": idle,
        "peak_mb": peak_mb(),
    }


def _photo_for(task: PhotoTask, side_px: int) -> tuple[Photo, np.ndarray | None]:
    """A square photo, and for models that fill a hole in its middle, a quarter of its side."""
    photo = square_photo(samples_dir() / "macaw.jpg", side_px)
    if not task.fills:
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
