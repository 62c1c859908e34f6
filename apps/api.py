"""The HTTP API: one named endpoint a tab, each a photo in and a file with facts out. See `api_examples/`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from img2img.errors import UserError
from img2img.inference.batch import Request, parse_tasks
from img2img.inference.canvas import Canvas, parse_extend
from img2img.inference.pipeline import Options

from .panel import WORK
from .service import Outcome, Service

Answer = tuple[str, dict[str, Any]]


def endpoints(service: Service) -> None:
    """Register all endpoints; their widgets exist for the types alone and are not shown."""
    with gr.Column(visible=False):
        photo, mask = gr.File(label="photo"), gr.File(label="mask")
        strength = gr.Slider(0, 1, 1, label="strength")
        scale = gr.Radio([2, 4], value=2, label="scale")
        grow, feather = (gr.Slider(0, 512, 0, step=1, label=name) for name in ("mask_grow", "feather"))
        seed = gr.Number(0, precision=0, label="seed")
        from_photo = gr.Checkbox(label="from_photo")
        steps, extend, model = (
            gr.Textbox("auto", label="task"),
            gr.Textbox("0,0,0,0", label="extend"),
            gr.Textbox("", label="model"),
        )
        outputs = [gr.File(label="result"), gr.JSON(label="facts")]
        button = gr.Button("call")
    calls = _Calls(service)

    def add(name: str, call: Callable[..., Answer], inputs: Sequence[Any]) -> None:
        button.click(call, list(inputs), outputs, api_name=name, api_description=call.__doc__, **WORK)

    add("restore", calls.restore, [photo, steps])
    add("colorize", calls.colorize, [photo, strength, model])
    add("denoise", calls.denoise, [photo, strength, model])
    add("enlarge", calls.enlarge, [photo, scale, strength])
    add("erase", calls.erase, [photo, mask, grow, feather, extend, seed, model])
    add("translate", calls.translate, [photo, from_photo, seed, model])


class _Calls:
    """What the endpoints do; names and docstrings are the API's documentation."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def restore(self, photo: str, task: str, request: gr.Request) -> Answer:
        """What the photo needs; `task` is auto, or names such as denoise,colorize."""
        return self._answer(photo, lambda: Request(parse_tasks(task or "auto")), request)

    def colorize(self, photo: str, strength: float, model: str, request: gr.Request) -> Answer:
        """Colour for a grey photo; strength 0..1; model: a name from `img2img models`, or nothing."""
        return self._answer(photo, lambda: self._request("colorize", model, Options(strength=strength)), request)

    def denoise(self, photo: str, strength: float, model: str, request: gr.Request) -> Answer:
        """The photo without noise; strength 0..1."""
        return self._answer(photo, lambda: self._request("denoise", model, Options(strength=strength)), request)

    def enlarge(self, photo: str, scale: int, strength: float, request: gr.Request) -> Answer:
        """The photo 2 or 4 times as large; strength 0..1 is the amount of detail."""

        def wanted() -> Request:
            return Request(("super-resolve",), scale=int(scale), options=Options(strength=strength))

        return self._answer(photo, wanted, request)

    def erase(
        self, photo: str, mask: str | None, mask_grow: int, feather: int, extend: str, seed: int, model: str,
        request: gr.Request,
    ) -> Answer:  # fmt: skip
        """Fill what is white in the mask (of the photo's size); extend: L,T,R,B pixels of new canvas."""

        def wanted() -> Request:
            canvas = Canvas(int(mask_grow), int(feather), parse_extend(extend or "0,0,0,0"))
            return self._request("inpaint", model, Options(seed=int(seed or 0)), canvas)

        return self._answer(photo, wanted, request, mask)

    def translate(self, photo: str, from_photo: bool, seed: int, model: str, request: gr.Request) -> Answer:
        """A sketch to a picture; from_photo makes the sketch from the photo first."""

        def wanted() -> Request:
            return self._request("translate", model, Options(seed=int(seed or 0), from_photo=bool(from_photo)))

        return self._answer(photo, wanted, request)

    def _request(self, kind: str, model: str, options: Options, canvas: Canvas | None = None) -> Request:
        path = self.service.models.path(model or "", kind)
        return Request(() if path else (kind,), model=path, options=options, canvas=canvas or Canvas())

    def _answer(
        self, photo: str, wanted: Callable[[], Request], request: gr.Request, mask: str | None = None
    ) -> Answer:
        try:
            if mask:
                self.service.check_upload(Path(mask))
            uploads = [Path(photo)] if photo else []
            user = f"api {request.session_hash}"
            return _facts(self.service.run(uploads, wanted(), mask=Path(mask) if mask else None, user=user))
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None


def _facts(outcome: Outcome) -> Answer:
    facts = outcome.made[0].fields()
    names = ("task", "model", "size_in", "size_out", "seconds", "reason")
    return str(outcome.download), {name: facts[name] for name in names}
