"""The page: masthead, tabs, endpoints."""

from __future__ import annotations

import gradio as gr

from . import api
from .answers import Page
from .examples import Examples
from .models import GENERATE, Models
from .service import Service
from .settings import Settings
from .tabs import erase, generate, models, restore, simple, train, translate
from .training import Trainings
from .workspace import Workspace

_MASTHEAD = """<div><h1><span class="mark" aria-hidden="true"></span>img2img</h1>
<p>Restore, colorize, enlarge and repair photos on this machine. Uploads are deleted after an hour.</p></div>"""
_SHADE = "() => { document.body.classList.toggle('dark'); }"


def page(service: Service) -> gr.Blocks:
    """Every tab and endpoint."""
    examples = Examples(service.workspace)
    with Page(title="img2img", analytics_enabled=False) as demo:
        with gr.Row(elem_classes="masthead"):
            gr.HTML(_MASTHEAD, container=False, padding=False)
            shade = gr.Button("Light or dark", size="sm", elem_id="shade", scale=0)
        shade.click(None, js=_SHADE, api_visibility="private")
        _tabs(demo, service, examples)
        api.endpoints(service)
    demo.queue(default_concurrency_limit=2, max_size=64, api_open=False)
    return demo


def _tabs(demo: gr.Blocks, service: Service, examples: Examples) -> None:
    lists: dict[str, gr.Dropdown] = {}
    with gr.Tabs():
        with gr.Tab("Restore", id="restore"):
            restore.build(service, examples)
        with gr.Tab("Colorize", id="colorize"):
            lists["colorize"] = simple.build_colorize(service, examples)
        with gr.Tab("Enlarge", id="enlarge"):
            lists["super-resolve"] = simple.build_enlarge(service, examples)
        with gr.Tab("Denoise", id="denoise"):
            lists["denoise"] = simple.build_denoise(service, examples)
        with gr.Tab("Erase", id="erase"):
            lists["inpaint"] = erase.build(service, examples)
        with gr.Tab("Translate", id="translate"):
            lists["translate"] = translate.build(service, examples)
        with gr.Tab("Generate", id="generate"):
            lists[GENERATE] = generate.build(service)
        if service.settings.on_loopback:
            with gr.Tab("Train", id="train"):
                train.build(demo, service, Trainings(service.settings, service.workspace), lists)
        with gr.Tab("Models", id="models"):
            models.build(service, lists)


def service_of(settings: Settings, workspace: Workspace) -> Service:
    """What stands behind a page."""
    return Service(settings, workspace, Models(workspace, settings.models))
