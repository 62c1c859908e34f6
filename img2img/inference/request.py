"""What a user wants of photos, in three steps: `Request.resolve` checks it once and finds the
models, `ResolvedRequest.plan` says what is to be done to one photo, `Plan.run` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from img2img.devices import Precision, pick_device, precision_for
from img2img.errors import Advice, Option, Phrase, UserError
from img2img.inference.canvas import Canvas
from img2img.inference.ensemble import can_ensemble
from img2img.inference.options import Options
from img2img.inference.output_size import OutputSize, WidthHeight
from img2img.inference.plan import Plan, PlanStep
from img2img.inference.statistics import statistics, with_mask_alone
from img2img.inference.steps import (
    NONE,
    asked_steps,
    automatic_plan,
    check_detail,
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
    """Names in the order of the steps, or NONE; empty: the automatic plan."""
    model: str | None = None
    """A shipped model's name, a model file, or a run folder; it brings its task."""
    scale: float | None = None
    """Enlargement, the one of `size`."""
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
    size: OutputSize = field(default_factory=OutputSize)
    """How large results are to be; as large as the models make them by default."""

    @property
    def output_size(self) -> OutputSize:
        """The size that was asked for, in whichever field. Raises UserError where both say one."""
        return self.size if self.scale is None else replace(self.size, scale=self.scale)

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
        size = self.output_size
        steps = asked_steps(self.tasks, size.growth(), self.model, self.detail)
        if steps is not None:
            self._check_steps(steps)
            if size.scale is not None or size == OutputSize():
                check_detail(steps, self.detail)  # else each photo shows which model it takes
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
        if self.model is not None and steps:
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
    """By name alone: where a size in pixels is asked for, each photo shows how many enlarge it."""

    def expected(self, size: WidthHeight) -> Plan | None:
        """The plan for a photo of this (width, height) as far as its size tells it; None where the
        choice is left to what is seen. Raises UserError for a size that cannot be reached.
        """
        request, steps = self.request, self.steps
        growth = request.output_size.growth(size)
        if growth is not None:
            steps = asked_steps(request.tasks, growth, request.model, request.detail)
            check_detail(steps or (), request.detail)
        return None if steps is None else self._reduced(Plan(steps), size)

    def _reduced(self, plan: Plan, size: WidthHeight) -> Plan:
        """The plan with the reduction, if any, from what its steps make of a photo of this size to
        the size that was asked for.
        """
        wanted = self.request.output_size.of(size)
        return plan if wanted in (None, plan.size_out(size)) else replace(plan, reduced_to=wanted)

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
        known = seen if mask is None else None
        measure = cache(lambda: known or statistics(photo, mask))
        return self._planned(photo.size, mask is not None, measure, hints)

    def plan_for(self, seen: PhotoStatistics) -> Plan:
        """The same for a photo of these statistics, which need not be at hand; with a mask where
        they say so. Raises UserError as `plan` does.
        """
        return self._planned((seen.width, seen.height), seen.has_mask, lambda: seen)

    def _planned(
        self,
        size: WidthHeight,
        masked: bool,
        measure: Callable[[], PhotoStatistics],
        hints: Hints | None = None,
    ) -> Plan:
        request, options = self.request, self.request.options
        if hints is not None:
            options = replace(options, hints=hints)
        plan = self.expected(size)
        if plan is None:
            looked = with_mask_alone(size) if masked else measure()
            growth = request.output_size.growth(size)
            plan = self._reduced(automatic_plan(looked, growth, request.detail), size)
        elif request.tasks == (NONE,):
            plan = replace(plan, skipped=("no task was asked for",))
        elif not request.model:
            plan = replace(plan, steps=for_found_photos(plan.steps, measure))
        check_photo(plan, size, masked)
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


_ALONE = {AUTO: "it chooses the tasks itself", NONE: "nothing is done"}


def parse_tasks(text: str) -> tuple[str, ...]:
    """`auto`, `none`, or task names separated by commas; `auto` is the empty tuple. Raises
    UserError for unknown names.
    """
    names = tuple(part.strip() for part in text.split(","))
    if names == (AUTO,):
        return ()
    if names == (NONE,):
        return names
    for name in names:
        if name in (AUTO, NONE):
            raise UserError(f"'{text}': {name} stands alone, {_ALONE[name]}", field="task")
        if name not in task_kinds():
            task_class(name, trusted=False)  # raises with what was probably meant
    return names


def _ensembles(steps: Sequence[PlanStep]) -> bool:
    return any(can_ensemble(step.model.recipe) for step in steps)
