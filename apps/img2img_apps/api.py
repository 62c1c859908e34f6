"""The HTTP API: an endpoint for each tool, a photo (or a seed) in, a file with facts out. See
`api_examples/`.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

import gradio as gr

from img2img_apps.answers import Page
from img2img_apps.panel import WORK
from img2img_apps.service import Service
from img2img_apps.tools import Tool, all_tools
from img2img_apps.tools.base import FileAndFacts
from img2img_apps.tools.controls import Control


def endpoints(service: Service, page: Page) -> None:
    """Register all endpoints; their widgets exist for the types alone and are not shown."""
    with gr.Column(visible=False):
        button = gr.Button("call")
        for tool in all_tools(service).values():
            page.controls[tool.name] = tool.controls
            button.click(
                _call(service, tool),
                [_widget(control) for control in tool.controls],
                [gr.File(label="result"), gr.JSON(label="facts")],
                api_name=tool.name,
                api_description=tool.description,
                **WORK,
            )


def _call(service: Service, tool: Tool) -> Callable[..., FileAndFacts]:
    """A tool's endpoint, with parameters called as its controls: Gradio names them as the function
    does.
    """

    def call(request: gr.Request, *values: Any) -> FileAndFacts:
        named = zip((control.name for control in tool.controls), values, strict=False)
        return tool.answer(service, tool.given(dict(named)), f"{request.session_hash}")

    defaults = {
        one.name: Parameter.empty if one.name == "photo" else one.default for one in tool.controls
    }
    call.__signature__ = Signature(  # type: ignore[attr-defined]  # inspect reads it
        [
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default)
            for name, default in {"request": Parameter.empty, **defaults}.items()
        ]
    )
    return call


def _widget(control: Control) -> Any:
    """The component that stands for a control's type."""
    shown: dict[str, Any] = {"value": control.default, "label": control.name}
    ends: dict[str, Any] = {"minimum": control.least, "maximum": control.most}
    match control.kind:
        case "file":
            return gr.File(label=control.name)
        case "range":
            return gr.Slider(step=control.step, **ends, **shown)
        case "number" | "whole" | "seed":
            return gr.Number(precision=0 if control.is_whole else None, **ends, **shown)
        case "switch":
            return gr.Checkbox(**shown)
        case "choice":
            return gr.Radio([value for value, _ in control.choices], **shown)
        case _:
            return gr.Textbox(**shown)
