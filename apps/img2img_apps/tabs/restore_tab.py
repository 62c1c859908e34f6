"""Restore: looks at the photo, proposes steps to tick, does them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from img2img.errors import Phrase, UserError
from img2img.inference.options import Options
from img2img.inference.request import Request
from img2img_apps.examples import Examples
from img2img_apps.labels import LABELS
from img2img_apps.offered_models import is_installed, verb
from img2img_apps.panel import INSPECT, QUIET, Panel, model_choice, paths_of, upload_info
from img2img_apps.service import RequestOf, Service, UploadInfo, automatic_kinds
from img2img_apps.tabs.parts import columns, example_buttons, lead, strength_slider
from img2img_apps.tools.restore import TOOL
from img2img_apps.wording import plan_on_page

_NAME = "restore"
_MODELS_FOR = "restoration"  # a task that no plan proposes: its models are chosen by name


def build(service: Service, examples: Examples) -> gr.Dropdown:
    """Lay the tab out. Models that restore at the photo's own size are chosen here too, instead of
    the steps.
    """
    panel = Panel(service, _NAME)
    lead(TOOL.lead)
    with columns() as (left, right):
        with left:
            panel.drop_zone()
            shown = example_buttons(
                _NAME,
                examples.of(
                    ("Old photo", "old_photo.jpg"), ("Noisy", "noisy.png"), ("Small", "small.jpg")
                ),
            )
            kinds = [kind for kind in automatic_kinds() if is_installed(kind)]
            steps = gr.CheckboxGroup(
                [(verb(kind), kind) for kind in kinds],
                label=LABELS["task"],
                info="Proposed for your photos; each gets those it needs, in this order",
                elem_id=f"{_NAME}-steps",
            )
            with gr.Accordion(LABELS["model"], open=False, elem_id=f"{_NAME}-model"):
                model = model_choice(service, _MODELS_FOR, shipped=True)
                strength = strength_slider(_NAME, "0 leaves the photo as it is")
            panel.buttons("Restore")
        with right:
            panel.stage()
    panel.also[steps] = _proposed
    panel.plans = lambda infos: [_words(info, _proposed(infos), infos) for info in infos]

    def request(
        user: str, chosen: list[str], photos: Any, model: str, strength: float
    ) -> Request | RequestOf:
        options = Options(strength=strength)
        if model:
            return service.request(_MODELS_FOR, model, options, user=user)
        return _request(service, chosen, photos, options)

    panel.wire(request, [steps, panel.photos, model, strength], shown)

    def changed(chosen: list[str], photos: Any) -> Any:
        """With several photos, the plan of each by the ticks as they are now."""
        paths = paths_of(photos)
        if len(paths) < 2:
            return gr.skip()
        infos = _infos(service, paths)
        return panel.planned(paths, [_words(info, chosen, infos) for info in infos])

    steps.input(changed, [steps, panel.photos], [panel.status], **INSPECT, **QUIET)
    return model


def _request(service: Service, chosen: list[str], photos: Any, options: Options) -> RequestOf:
    """Each photo's own plan without what was unticked; a step that no photo needs and is ticked is
    done to all.
    """
    paths = paths_of(photos)
    if not paths:
        raise UserError("Drop a photo first.")
    infos = _infos(service, paths)
    if not chosen and any(info.proposed.steps for info in infos):
        raise UserError("Tick at least one step.")

    def request_of(info: UploadInfo) -> Request | None:
        kinds = _steps(info, chosen, infos)
        if kinds == _own(info):
            return Request(options=options)
        return Request(tasks=kinds, options=options) if kinds else None

    return request_of


def _infos(service: Service, paths: list[Path]) -> list[UploadInfo]:
    return [info for path in paths if isinstance(info := upload_info(service, path), UploadInfo)]


def _own(info: UploadInfo) -> tuple[str, ...]:
    return tuple(step.task for step in info.proposed.steps)


def _proposed(infos: list[UploadInfo]) -> list[str]:
    """The tasks that any of the photos needs."""
    return [kind for kind in automatic_kinds() if any(kind in _own(info) for info in infos)]


def _steps(info: UploadInfo, chosen: list[str], infos: list[UploadInfo]) -> tuple[str, ...]:
    """Tasks that are ticked and this photo needs, and those ticked although no photo needs them."""
    needed, own = _proposed(infos), _own(info)
    return tuple(
        kind for kind in automatic_kinds() if kind in chosen and (kind in own or kind not in needed)
    )


def _words(info: UploadInfo, chosen: list[str], infos: list[UploadInfo]) -> str:
    """The plan for a photo in words."""
    kinds = _steps(info, chosen, infos)
    if kinds == _own(info):
        return Phrase.joined(plan_on_page(info.proposed), "; ")
    return (
        f"{', then '.join(verb(kind).lower() for kind in kinds)}, as ticked"
        if kinds
        else "left as it is, as ticked"
    )
