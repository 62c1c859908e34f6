"""The page: masthead, tabs, endpoints; and serving it."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

import gradio as gr

from img2img import __version__
from img2img.inference.batch import Request

from . import api
from .examples import Examples
from .guard import middleware, stay_local
from .models import GENERATE, Models, is_installed
from .service import Service, automatic_kinds
from .settings import Settings
from .tabs import erase, generate, models, restore, simple, train, translate
from .theme import css, theme
from .training import Trainings
from .workspace import Workspace

_MASTHEAD = """<div><h1><span class="mark" aria-hidden="true"></span>img2img</h1>
<p>Restore, colorize, enlarge and repair photos on this machine. Uploads are deleted after an hour.</p></div>"""
_SHADE = "() => { document.body.classList.toggle('dark'); }"


def page(service: Service) -> gr.Blocks:
    """Every tab and endpoint."""
    examples = Examples(service.workspace)
    with gr.Blocks(title="img2img", analytics_enabled=False) as demo:
        with gr.Row(elem_classes="masthead"):
            gr.HTML(_MASTHEAD, container=False, padding=False)
            shade = gr.Button("Light or dark", size="sm", elem_id="shade", scale=0)
        shade.click(None, js=_SHADE, api_visibility="private")
        _tabs(demo, service, examples)
        api.endpoints(service)
    demo.queue(default_concurrency_limit=2, max_size=64)
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


def serve(demo: gr.Blocks, service: Service) -> None:
    """Start answering; returns when the page is up. Never opens a tunnel."""
    settings = service.settings
    stay_local()
    demo.launch(
        server_name=settings.host,
        server_port=settings.port,
        auth=settings.auth,
        share=False,
        inbrowser=False,
        quiet=True,
        prevent_thread_lock=True,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        ssr_mode=False,
        max_file_size="200mb",
        app_kwargs={"middleware": middleware(settings), "docs_url": None, "redoc_url": None},
        theme=theme(),
        css=css(),
    )
    warning = (
        "" if settings.on_loopback or settings.auth else " (anyone who reaches this machine may use it: see --auth)"
    )
    print(f"img2img {__version__}: {demo.local_url}{warning}\nCtrl-C stops it.", file=sys.stderr, flush=True)
    service.workspace.keep_what_is_there()
    threading.Thread(target=_warm, args=(service,), daemon=True).start()


def _warm(service: Service) -> None:
    """Load what the first click will need, while the page is being read."""
    with suppress(Exception):  # it is only for speed
        for example in Examples(service.workspace).of(("", "small.jpg")):
            for kind in filter(is_installed, automatic_kinds()):
                service.run([example.path], Request((kind,)))
