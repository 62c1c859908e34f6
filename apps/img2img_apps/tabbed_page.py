"""The page: masthead, tabs, endpoints."""

from __future__ import annotations

import gradio as gr

from img2img.cores import usable_cores
from img2img_apps import api
from img2img_apps.answers import Page
from img2img_apps.examples import Examples
from img2img_apps.fair_queue import MOST_SESSIONS, FairQueue
from img2img_apps.labels import OWN_TABS
from img2img_apps.model_facts import GENERATE
from img2img_apps.offered_models import Models
from img2img_apps.other_tasks import other_tasks
from img2img_apps.service import Service
from img2img_apps.settings import Settings
from img2img_apps.tabs import (
    erase_tab,
    generate_tab,
    models_tab,
    other_tab,
    restore_tab,
    simple_tab,
    train_tab,
    translate_tab,
)
from img2img_apps.train_runs import TrainRuns
from img2img_apps.workers import Workers
from img2img_apps.workspace import Workspace

_MASTHEAD = """<div><h1><span class="mark" aria-hidden="true"></span>img2img</h1>
<p>Restore, colorize, enlarge and repair photos on this machine.
Uploads are deleted after an hour.</p></div>"""
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
        api.endpoints(service, demo)
    demo.state_session_capacity = MOST_SESSIONS
    demo.queue(api_open=False)
    demo._queue = FairQueue(demo, at_once=max(1, service.settings.workers))
    return demo


def _tabs(demo: gr.Blocks, service: Service, examples: Examples) -> None:
    lists: dict[str, gr.Dropdown] = {}
    with gr.Tabs():
        with gr.Tab("Restore", id="restore"):
            lists["restoration"] = restore_tab.build(service, examples)
        with gr.Tab(OWN_TABS["colorize"], id="colorize"):
            lists["colorize"] = simple_tab.build_colorize(service, examples)
        with gr.Tab(OWN_TABS["super-resolve"], id="enlarge"):
            lists["super-resolve"] = simple_tab.build_enlarge(service, examples)
        with gr.Tab(OWN_TABS["denoise"], id="denoise"):
            lists["denoise"] = simple_tab.build_denoise(service, examples)
        with gr.Tab(OWN_TABS["inpaint"], id="erase"):
            lists["inpaint"] = erase_tab.build(service, examples)
        with gr.Tab(OWN_TABS["translate"], id="translate"):
            lists["translate"] = translate_tab.build(service, examples)
        with gr.Tab("Generate", id="generate"):
            lists[GENERATE] = generate_tab.build(service)
        for other in other_tasks(service.models):
            with gr.Tab(other.title, id=f"task-{other.kind}"):
                lists[other.kind] = other_tab.build(service, other)
        if service.settings.on_loopback:
            with gr.Tab("Train", id="train"):
                train_tab.build(
                    demo, service, TrainRuns(service.settings, service.workspace), lists
                )
        with gr.Tab("Models", id="models"):
            models_tab.build(demo, service, lists)


def service_of(settings: Settings, workspace: Workspace) -> Service:
    """What stands behind a page."""
    count = settings.workers
    threads = settings.threads or max(1, usable_cores() // max(1, count))
    workers = Workers(count, threads) if count else None
    return Service(settings, workspace, Models(workspace, settings.models), workers)
