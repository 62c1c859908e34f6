"""What a user wants of photos, in three steps: `Request.resolve` checks it once and finds the
models, `ResolvedRequest.plan` says what is to be done to one photo, `Plan.run` does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from img2img.devices import Precision, pick_device, precision_for
from img2img.errors import Advice, Option, Phrase, UserError
from img2img.inference.canvas import Canvas
from img2img.inference.ensemble import can_ensemble
from img2img.inference.options import Options
from img2img.inference.plan import Plan, PlanStep
from img2img.inference.statistics import statistics, with_mask_alone
from img2img.inference.steps import (
    asked_steps,
    automatic_plan,
    check_from_photo,
    check_hints,
    check_photo,
    for_found_photos,
)
from img2img.pixels.hints import Hints
from img2img.pixels.images import Photo
from img2img.runtimes.network import Backend, check_backend
from img2img.tasks import PhotoStatistics, task_class, task_kinds

AUTO = "auto"


@dataclass(frozen=True)
class Request:
    """What a user wants of photos; `img2img infer` and the widgets of the app fill it in."""

    tasks: tuple[str, ...] = ()
    """Names in the order of the steps; none: the automatic plan."""
    model: str | None = None
    """A shipped model's name, a model file, or a run folder; it brings its task."""
    scale: int | None = None
    """Enlargement, 2 or 4."""
    detail: float | None = None
    """0..1, between a model and its crisper half."""
    options: Options = field(default_factory=Options)
    canvas: Canvas = field(default_factory=Canvas)
    device: str = AUTO
    precision: Precision = "auto"
    backend: Backend | None = None
    """What runs the networks: torch, onnx, openvino, or auto, the fastest; None: torch, and for an
    exported file its runtime.
    """

    def resolve(
        self, *, with_mask: bool | None = None, with_hints: bool = False
    ) -> ResolvedRequest:
        """The request with its models found, and everything checked that needs no photo.

        Args:
            with_mask: whether masks come with the photos; None where that is not known yet.
            with_hints: whether painted colors do.

        Returns:
            What plans photo by photo.

        Raises:
            UserError: what would fail on every photo.

        Example:
            >>> request = Request(("denoise", "super-resolve"), scale=2, device="cpu").resolve()
            >>> [step.model.name for step in request.steps]
            ['denoise', 'super_resolve_x2']
        """
        precision_for(pick_device(self.device), self.precision)
        check_backend(self.backend)
        steps = asked_steps(self.tasks, self.scale, self.model, self.detail)
        if steps is not None:
            self._check_steps(steps)
        if self.options.direction is not None and self.model is None:
            raise UserError(
                Advice("name the model that goes both ways with ", Option("model"))
                | Advice.leave_out("direction"),
                field="direction",
            )
        if with_mask is not None:
            self._check_mask(steps or (), with_mask)
        if with_hints and self.canvas.extends:
            raise UserError(
                Phrase(Option("extend"), " changes the photo's size"),
                field="hints",
                remedy="do one after the other",
            )
        if steps is not None and (with_hints or self.options.hints is not None):
            check_hints(steps)
        return ResolvedRequest(self, steps)

    def _check_steps(self, steps: Sequence[PlanStep]) -> None:
        """What the options ask of the models that were named."""
        if self.options.self_ensemble and not _ensembles(steps):
            raise UserError(
                "no step's model was trained on turned photos",
                field="self_ensemble",
                remedy="leave it out",
            )
        if self.model is not None:
            self.options.check_direction(self.model, steps[0].model.photo_task)
        if self.options.from_photo:
            check_from_photo(steps)

    def _check_mask(self, steps: Sequence[PlanStep], with_mask: bool) -> None:
        self.canvas.check(with_mask)
        for step in steps:
            fills = step.model.photo_task.fills
            if fills and not (with_mask or self.canvas.extends):
                raise UserError(
                    Phrase(Option("task", step.task), " fills masks"),
                    remedy=Advice(
                        *("give ", Option("mask"), " (white = fill) or ", Option("extend"))
                    ),
                )


@dataclass(frozen=True)
class ResolvedRequest:
    """A request that was checked; `steps` are those asked for by name, None leaves the choice to
    each photo.
    """

    request: Request
    steps: tuple[PlanStep, ...] | None

    def plan(
        self,
        photo: Photo,
        mask: np.ndarray | None = None,
        *,
        hints: Hints | None = None,
        seen: PhotoStatistics | None = None,
    ) -> Plan:
        """What is to be done to a photo that lies on its canvas already.

        Args:
            photo: what `read_photo` gives.
            mask: boolean (H,W), True = to be filled.
            hints: colors painted on this photo.
            seen: its statistics without a mask, where they are known.

        Returns:
            The steps, each with its model and reason; `Plan.run` takes them.

        Raises:
            UserError: the photo is too small, or no step takes this mask, colors or sketch.

        Example:
            >>> from img2img.pixels.images import read_photo
            >>> from img2img.resources import inputs_dir
            >>> plan = Request(device="cpu").resolve().plan(read_photo(inputs_dir() / "noisy.png"))
            >>> [(step.verb, step.reason) for step in plan.steps]
            [('denoise', 'it is noisy (σ about 21 of 255)'), ('enlarge ×2', '... small (360×270)')]
        """
        request, options = self.request, self.request.options
        if hints is not None:
            options = replace(options, hints=hints)
        known = seen if mask is None else None
        measure = cache(lambda: known or statistics(photo, mask))
        if self.steps is None:
            looked = measure() if mask is None else with_mask_alone(photo)
            plan = automatic_plan(looked, request.scale, request.detail)
        else:
            named = self.steps if request.model else for_found_photos(self.steps, measure)
            plan = Plan(named)
        check_photo(plan, photo.size, mask is not None)
        if options.hints is not None:
            check_hints(plan.steps)
        if options.from_photo:
            check_from_photo(plan.steps)
        skipped = plan.skipped
        if options.self_ensemble and plan.steps and not _ensembles(plan.steps):
            why = " left out: no step's model was trained on turned photos"
            skipped += (Phrase(Option("self_ensemble"), why),)
        return replace(
            plan,
            skipped=skipped,
            options=options,
            feather_px=request.canvas.feather_px,
            device=request.device,
            precision=request.precision,
            backend=request.backend,
        )


def parse_tasks(text: str) -> tuple[str, ...]:
    """`auto`, or task names separated by commas; `auto` is the empty tuple. Raises UserError for
    unknown names.
    """
    names = tuple(part.strip() for part in text.split(","))
    if names == (AUTO,):
        return ()
    for name in names:
        if name == AUTO:
            raise UserError(
                f"'{text}': auto stands alone, it chooses the tasks itself", field="task"
            )
        if name not in task_kinds():
            task_class(name, trusted=False)  # raises with what was probably meant
    return names


def _ensembles(steps: Sequence[PlanStep]) -> bool:
    return any(can_ensemble(step.model.recipe) for step in steps)
