"""A plan: the models that a photo goes through in order, why, and running them.

Which steps a photo needs is found in `steps`; command line, app and evaluation come here by way of
a `Request`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from img2img.devices import Precision
from img2img.errors import Option, Phrase
from img2img.inference.canvas import feathered
from img2img.inference.loaded import MODELS
from img2img.inference.mixing import by_region
from img2img.inference.options import Options
from img2img.inference.output_size import WidthHeight
from img2img.inference.pipeline import FinishedPart, Model, OnPart, OnTile
from img2img.pixels.images import Photo, quantise
from img2img.pixels.masks import grow
from img2img.pixels.reduction import reduced
from img2img.runtimes.network import Backend
from img2img.tasks import photo_tasks
from img2img.zoo.catalogue import Entry

OnStepTile = Callable[[int, int], None]
"""Called with a step, counted from 0, and how many of its tiles are done."""


@dataclass(frozen=True)
class StepPart:
    """A finished part of what a step makes: left, top, width and height in px of a picture of that
    size, and its pixels, which may change after the call.
    """

    step: int
    box: tuple[int, int, int, int]
    size: WidthHeight
    photo: Photo


OnStepPart = Callable[[StepPart], None]


@dataclass(frozen=True)
class PlanStep:
    """One model applied to the photo; `reason` completes "because …", and is empty for what was
    asked for.
    """

    model: Entry
    verb: str
    reason: str = ""
    detail: float | None = None
    """In [0,1], mixes the model with its crisper half; None leaves it as it is."""
    fill: Entry | None = None
    """The model that fills what this one finds."""

    @property
    def task(self) -> str:
        """The name of the model's task."""
        return self.model.task.kind

    def fields(self) -> dict[str, object]:
        """Plain data for `--json`, the model by its name."""
        named = {"task": self.task, "model": self.model.name, "verb": self.verb}
        filled = {} if self.fill is None else {"fill": self.fill.name}
        return named | filled | {"reason": self.reason, "detail": self.detail}


@dataclass(frozen=True)
class Plan:
    """The steps for one photo in order, and how they are run.

    `skipped` are sentences on what is left out: steps without a model, options without use.
    `declined` are sentences on what the photo nearly asks for, but what was seen speaks against.
    """

    steps: tuple[PlanStep, ...] = ()
    skipped: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()
    reduced_to: WidthHeight | None = None
    """What the result is reduced to after the steps; None leaves it as large as they make it."""
    options: Options = field(default_factory=Options)
    feather_px: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    backend: Backend | None = None

    @property
    def tasks(self) -> str:
        """Task names, separated by commas."""
        return ",".join(step.task for step in self.steps)

    @property
    def models(self) -> str:
        """Model names, separated by commas."""
        entries = [entry for step in self.steps for entry in (step.model, step.fill) if entry]
        return ",".join(entry.name for entry in entries)

    @property
    def tag(self) -> str:
        """What stands in a result's name: the task, or `auto` for several and for a copy."""
        tasks = {step.task for step in self.steps}
        return tasks.pop() if len(tasks) == 1 else "auto"

    @property
    def keeps_known(self) -> bool:
        """Every step fills, and all else comes back bit for bit."""
        fills = (step.fill or step.model.photo_task.fills for step in self.steps)
        return bool(self.steps) and all(fills)

    @property
    def scale(self) -> int:
        """By how much the steps enlarge."""
        return math.prod(step.model.scale for step in self.steps)

    def size_out(self, size: WidthHeight) -> WidthHeight:
        """(width, height) of the result of a photo of this (width, height)."""
        return self.reduced_to or (size[0] * self.scale, size[1] * self.scale)

    @property
    def sentence(self) -> Phrase:
        """One line for people: what will be done, and why."""
        return self.explained("copied unchanged")

    def explained(self, unchanged: str) -> Phrase:
        """The same, where `unchanged` says what becomes of a photo to which nothing is done."""
        return Phrase.joined(self.sentences(unchanged), "; ")

    def sentences(self, unchanged: str) -> list[str]:
        """What is done and why, then what is left out."""
        if not (self.steps or self.skipped or self.reduced_to):
            asked = Phrase("what may be asked: ", Option("task", "|".join(photo_tasks())))
            return [f"{unchanged}, nothing needs doing", asked, *self.declined]
        reasons = list(dict.fromkeys(step.reason for step in self.steps if step.reason))
        verbs = [step.verb for step in self.steps]
        if self.reduced_to:
            verbs.append("reduce to {}×{}".format(*self.reduced_to) + " as asked" * bool(reasons))
        done = _listed(verbs, ", then ") or unchanged
        why = ", as asked" if verbs else ""
        if reasons:
            why = f", because {_listed(reasons, ' and ')}"
        return [done + why, *self.skipped, *self.declined]

    def tile_counts(self, size: WidthHeight) -> tuple[int | None, ...]:
        """How many tiles each step will have on a photo of a (width, height); None where only the
        work itself shows it, or its first tile: other people's models are measured before it.
        """
        counts: list[int | None] = []
        for step in self.steps:
            task = step.model.photo_task
            overlap_px = MODELS.measured_overlap_px(
                step.model, self.device, self.precision, step.detail, self.backend
            )
            known = task.tiles and step.fill is None  # what is found may be filled in many parts
            counts.append(_tile_count(step.model, size, overlap_px) if known else None)
            size = (size[0] * task.scale, size[1] * task.scale)
        return tuple(counts)

    def run(
        self,
        photo: Photo,
        mask: np.ndarray | None = None,
        on_tile: OnStepTile | None = None,
        on_mask: Callable[[np.ndarray], None] | None = None,
        on_part: OnStepPart | None = None,
        strength: np.ndarray | None = None,
    ) -> Photo:
        """The photo after every step, in float between them and at its own depth at the end, where
        it may be reduced.

        Args:
            photo: the one that was planned for.
            mask: boolean (H,W), True = to be filled.
            on_tile: called as work goes on with the step, counted from 0, and its tiles done;
                raising in it cancels.
            on_mask: called with the mask that is filled, the one given or the one found.
            on_part: called with each part of a step's picture that is finished, after `on_tile`.
            strength: (H,W) uint8 or uint16; the top of it takes the result, 0 leaves the photo.

        Returns:
            The result; `write_photo` writes it.

        Example:
            >>> import numpy as np
            >>> from img2img.inference.request import Request
            >>> photo = Photo(np.full((32, 48, 3), 128, np.uint8))
            >>> plan = Request(("super-resolve",), scale=2, device="cpu").resolve().plan(photo)
            >>> plan.run(photo).size
            (96, 64)
        """
        depth, before = photo.rgb.dtype, photo
        for number, step in enumerate(self.steps):
            model = MODELS.get(step.model, self.device, self.precision, step.detail, self.backend)
            dtype = depth if number == len(self.steps) - 1 else np.dtype(np.float32)
            tile = None if on_tile is None else partial(on_tile, number)
            hole = mask
            if step.fill is not None:
                hole = model.find(photo, tile) if mask is None else mask
                model = MODELS.get(step.fill, self.device, self.precision, None, self.backend)
            if hole is not None and model.fills and on_mask is not None:
                on_mask(hole)
            part = None if on_part is None else partial(_part, on_part, number, model, photo)
            photo = self._applied(model, photo, hole, dtype, tile, part)
            scale = model.photo_task.scale
            if mask is not None and scale > 1:
                mask = mask.repeat(scale, 0).repeat(scale, 1)
        if self.reduced_to is not None:
            # It may be cancelled too, but counts as no tile.
            last = max(len(self.steps) - 1, 0)
            uncounted = partial(on_tile, last, 0) if on_tile else lambda: None
            photo = reduced(photo, self.reduced_to, uncounted)
        return photo if strength is None else by_region(before, photo, strength)

    def _applied(
        self,
        model: Model,
        photo: Photo,
        mask: np.ndarray | None,
        dtype: np.dtype[Any],
        on_tile: OnTile | None,
        on_part: OnPart | None,
    ) -> Photo:
        """The photo after one model; a fill is made wider by the feather, and fades out over it."""
        options, feather_px = self.options, self.feather_px
        if not model.photo_task.takes_hints:
            options = replace(options, hints=None)  # they are for another step of the plan
        if model.fills and mask is not None and (not mask.any() or mask.all()):
            alpha = None if photo.alpha is None else quantise(photo.alpha, dtype)
            return photo.with_pixels(quantise(photo.rgb, dtype), alpha)  # nothing to fill, or by
        if not model.fills or mask is None or not feather_px:
            return model.run(photo, mask, options, dtype, on_tile, on_part)
        filled = model.run(photo, grow(mask, feather_px), options, dtype, on_tile, on_part)
        return feathered(photo, filled, mask, feather_px)


def _part(on_part: OnStepPart, step: int, model: Model, photo: Photo, part: FinishedPart) -> None:
    """Hand on a part of what a model makes of a photo."""
    (width, height), scale = photo.size, model.photo_task.scale
    size = width * scale, height * scale
    on_part(StepPart(step, part.box, size, photo.with_pixels(part.rgb)))


def _tile_count(model: Entry, size: WidthHeight, overlap_px: int | None) -> int | None:
    generator, scale = model.recipe.generator, model.photo_task.scale
    height_width = (size[1], size[0])
    if max(size) <= generator.tile_px(scale) or not generator.tiles_photo(height_width):
        return 1
    if overlap_px is None:
        return None
    return len(generator.tile_grid(height_width, scale, overlap_px).tiles())


def _listed(words: list[str], last: str) -> str:
    """`a, b and c`, the last joined by `last`."""
    return last.join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
