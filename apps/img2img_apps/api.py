"""The HTTP API: one named endpoint a tab, a photo (or a seed) in, a file with facts out. See
`api_examples/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import gradio as gr

from img2img.errors import Named, Option, Phrase, UserError, rendered
from img2img.inference.canvas import Canvas, parse_extend
from img2img.inference.options import Options
from img2img.inference.output_size import OutputSize
from img2img.inference.request import Request, parse_tasks
from img2img.inference.sampling import GenerateRequest
from img2img_apps.checks import MOST_SEED
from img2img_apps.noise_pictures import MOST_SAMPLES, generate_grid
from img2img_apps.other_tasks import OtherTask, other_tasks
from img2img_apps.panel import WORK
from img2img_apps.service import WAYS, RunOutcome, Service, direction_of
from img2img_apps.wording import in_api

FileAndFacts = tuple[str, dict[str, Any]]
TAB = "api"


def endpoints(service: Service) -> None:
    """Register all endpoints; their widgets exist for the types alone and are not shown."""
    with gr.Column(visible=False):
        photo, mask, hints = (gr.File(label=name) for name in ("photo", "mask", "hints"))
        strength = gr.Slider(0, 1, 1, label="strength")
        detail = gr.Number(None, minimum=0, maximum=1, label="detail")
        scale = gr.Number(2, label="scale")
        sides = [
            gr.Number(None, precision=0, minimum=1, label=name)
            for name in ("longer_side", "width", "height")
        ]
        grow, feather = (
            gr.Slider(0, 512, 0, step=1, label=name) for name in ("mask_grow", "feather")
        )
        seed = gr.Number(0, precision=0, minimum=0, maximum=MOST_SEED, label="seed")
        count = gr.Slider(1, MOST_SAMPLES, 64, step=1, label="count")
        to_seed = gr.Number(None, precision=0, minimum=0, maximum=MOST_SEED, label="to_seed")
        label = gr.Textbox("", label="label")
        direction = gr.Radio(list(WAYS), value="", label="direction")
        from_photo = gr.Checkbox(label="from_photo")
        steps, extend, model = (
            gr.Textbox("auto", label="task"),
            gr.Textbox("0,0,0,0", label="extend"),
            gr.Textbox("", label="model"),
        )
        outputs = [gr.File(label="result"), gr.JSON(label="facts")]
        button = gr.Button("call")
    calls = _Calls(service)
    own = {
        "strength": strength,
        "seed": seed,
        "model": model,
        "mask": mask,
        "direction": direction,
        "from_photo": from_photo,
    }

    def add(
        name: str, call: Callable[..., FileAndFacts], inputs: Sequence[Any], description: str = ""
    ) -> None:
        button.click(
            call,
            list(inputs),
            outputs,
            api_name=name,
            api_description=description or call.__doc__,
            **WORK,
        )

    add("restore", calls.restore, [photo, steps, strength, model])
    add("colorize", calls.colorize, [photo, strength, model, hints])
    add("denoise", calls.denoise, [photo, strength, model])
    add("enlarge", calls.enlarge, [photo, scale, strength, detail, model, *sides])
    add("erase", calls.erase, [photo, mask, grow, feather, extend, seed, model])
    add("translate", calls.translate, [photo, from_photo, seed, model, direction])
    for other in other_tasks(service.models):
        chosen = {name: own[name] for name in other.options}
        words = "; ".join(_OPTIONS[name] for name in chosen if name in _OPTIONS)
        defaults = {name: widget.value for name, widget in chosen.items()}
        add(
            other.kind,
            calls.other(other, defaults),
            [photo, *chosen.values()],
            f"{other.lead} {words}.",
        )
    add("generate", calls.generate, [label, seed, count, to_seed, model])


_OPTIONS = {
    "strength": "strength 0..1",
    "model": "model: a name, or nothing for the first",
    "mask": "mask (of the photo's size): white = fill",
    "direction": "direction (AtoB, BtoA): for models that go both ways",
    "from_photo": "from_photo makes the input of a photo first",
}
"""What a description says of the options of a task without an endpoint of its own."""


class _Calls:
    """The endpoints; names and docstrings are the API's documentation."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def restore(
        self, photo: str, task: str, strength: float, model: str, request: gr.Request
    ) -> FileAndFacts:
        """What the photo needs; `task` is auto, or names such as denoise,colorize; strength 0..1;
        model: instead of the task, the name of one that restores at the photo's own size.
        """

        def wanted() -> Request:
            options = Options(strength=strength)
            if model:
                return self.service.request("restoration", model, options)
            return Request(parse_tasks(task or "auto"), options=options)

        return self._answer(photo, wanted, request)

    def colorize(
        self, photo: str, strength: float, model: str, hints: str | None, request: gr.Request
    ) -> FileAndFacts:
        """Color for a grey photo; strength 0..1; model: a name from `img2img models`, or nothing;
        hints: the photo with colors painted on it, or a transparent picture of its size with
        nothing but them, or nothing."""

        def wanted() -> Request:
            return self.service.request("colorize", model, Options(strength=strength))

        return self._answer(photo, wanted, request, hints=hints)

    def denoise(self, photo: str, strength: float, model: str, request: gr.Request) -> FileAndFacts:
        """The photo without noise; strength 0..1."""
        return self._answer(
            photo,
            lambda: self.service.request("denoise", model, Options(strength=strength)),
            request,
        )

    def enlarge(
        self, photo: str, scale: float, strength: float, detail: float | None, model: str,
        request: gr.Request, longer_side: int | None = None, width: int | None = None,
        height: int | None = None,
    ) -> FileAndFacts:  # fmt: skip
        """The photo `scale` times as large (2, 3.5, … up to 16; up to 1 it is reduced); strength
        0..1; detail 0..1 or nothing: from faithful to crisp, ×4; model: a name, whose own scale
        then counts, or nothing. longer_side, width or height (both: exactly that size) in px, or
        nothing: instead of any scale.
        """

        def wanted() -> Request:
            kind, options = "super-resolve", Options(strength=strength)
            size = OutputSize(None, longer_side, width, height)
            if model:
                by_model = self.service.request(kind, model, options)
                return replace(by_model, detail=detail, size=size)
            if size == OutputSize():
                if scale is None:
                    raise UserError("give a number", field="scale")
                size = OutputSize(scale)
            return Request((kind,), detail=detail, options=options, size=size)

        return self._answer(photo, wanted, request)

    def erase(
        self, photo: str, mask: str | None, mask_grow: int, feather: int, extend: str, seed: int,
        model: str, request: gr.Request,
    ) -> FileAndFacts:  # fmt: skip
        """Fill what is white in the mask (of the photo's size); extend: L,T,R,B pixels of new
        canvas.
        """

        def wanted() -> Request:
            canvas = Canvas(int(mask_grow), int(feather), parse_extend(extend or "0,0,0,0"))
            if not (mask or canvas.extends):
                raise _nothing_marked("extend")
            return self.service.request("inpaint", model, Options(seed=int(seed or 0)), canvas)

        return self._answer(photo, wanted, request, mask=mask)

    def translate(
        self,
        photo: str,
        from_photo: bool,
        seed: int,
        model: str,
        direction: str,
        request: gr.Request,
    ) -> FileAndFacts:
        """A sketch to a picture; from_photo makes the sketch first; direction (AtoB, BtoA): for
        models that go both.
        """

        def wanted() -> Request:
            options = Options(
                seed=int(seed or 0),
                from_photo=bool(from_photo),
                direction=direction_of(direction or "", model),
            )
            return self.service.request("translate", model, options)

        return self._answer(photo, wanted, request)

    def other(self, other: OtherTask, defaults: Mapping[str, Any]) -> Callable[..., FileAndFacts]:
        """The endpoint of a task that has none of its own, with the options that the task has."""

        def call(photo: str, request: gr.Request, *values: Any) -> FileAndFacts:
            given = {**defaults, **dict(zip(defaults, values, strict=False))}
            mask = given.get("mask")

            def wanted() -> Request:
                if other.task.fills and not mask:
                    raise _nothing_marked()
                way = WAYS[given.get("direction") or ""]
                from_photo = bool(given.get("from_photo"))
                options = Options(given["strength"], int(given["seed"] or 0), from_photo, way)
                return self.service.request(other.kind, given["model"], options)

            return self._answer(photo, wanted, request, mask=mask)

        # Gradio names an endpoint's parameters as the function does.
        named = {"photo": Parameter.empty, "request": Parameter.empty, **defaults}
        call.__signature__ = Signature(  # type: ignore[attr-defined]  # inspect reads it
            [Parameter(n, Parameter.POSITIONAL_OR_KEYWORD, default=d) for n, d in named.items()]
        )
        return call

    def generate(
        self,
        label: str,
        seed: int,
        count: int,
        to_seed: int | None,
        model: str,
        request: gr.Request,
    ) -> FileAndFacts:
        """A grid of pictures from noise, of `count` seeds from `seed` on, or with to_seed a walk
        from one to the other. label: a class by number or name, or nothing for all in turn; model:
        a name, or nothing for the first."""
        ends = None if to_seed is None else (int(seed or 0), int(to_seed))
        wanted = GenerateRequest(int(count), 0 if ends else int(seed or 0), label or None, ends)
        grid = generate_grid(self.service, model or "", wanted, f"{request.session_hash}", tab=TAB)
        facts = {"model": grid.model, "made": grid.names, "seconds": round(grid.seconds, 3)}
        return str(grid.grid), facts

    def _answer(
        self,
        photo: str,
        wanted: Callable[[], Request],
        request: gr.Request,
        *,
        mask: str | None = None,
        hints: str | None = None,
    ) -> FileAndFacts:
        if not photo:
            raise UserError("give an uploaded photo", field="photo")
        for upload in filter(None, (photo, mask, hints)):
            self.service.check_upload(Path(upload))
        outcome = self.service.run(
            [Path(photo)],
            wanted(),
            mask=Path(mask) if mask else None,
            hints=Path(hints) if hints else None,
            user=f"{request.session_hash}",
            tab=TAB,
        )
        return _facts(outcome)


def _nothing_marked(*others: str) -> UserError:
    """What a tool that fills says where it is given nothing to fill."""
    ways: list[str | Named] = ["give a ", Option("mask"), ", white over what should go"]
    for name in others:
        ways += [", or ", Option(name)]
    return UserError("nothing is marked", remedy=Phrase(*ways))


def _facts(outcome: RunOutcome) -> FileAndFacts:
    facts = outcome.succeeded[0].fields()
    names = ("task", "model", "size_in", "size_out", "seconds", "reason")
    facts["reason"] = rendered(outcome.succeeded[0].reason or "", in_api)
    return str(outcome.download), {name: facts[name] for name in names}
