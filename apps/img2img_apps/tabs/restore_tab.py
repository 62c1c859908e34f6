"""Restore: looks at the photo, proposes steps to tick, does them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from img2img.errors import Phrase, UserError
from img2img.inference.request import Request
from img2img_apps.examples import Examples
from img2img_apps.labels import LABELS
from img2img_apps.offered_models import is_installed, verb
from img2img_apps.panel import LOOK, QUIET, Panel, looked_at, paths_of
from img2img_apps.service import RequestOf, Service, UploadInfo, automatic_kinds
from img2img_apps.tabs.parts import columns, example_buttons, lead
from img2img_apps.wording import plan_on_page

_NAME = "restore"


def build(service: Service, examples: Examples) -> None:
    """Lay the tab out."""
    panel = Panel(service, _NAME)
    lead(
        "Drop in a photo. It says what it sees and proposes what to do; untick what you do not want."
    )
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
            panel.buttons("Restore")
        with right:
            panel.stage()
    panel.also[steps] = _proposed
    panel.plans = lambda seen: [_words(look, _proposed(seen), seen) for look in seen]
    panel.wire(lambda _, *values: _request(service, *values), [steps, panel.photos], shown)

    def changed(chosen: list[str], photos: Any) -> Any:
        """With several photos, what the ticks now mean for each."""
        paths = paths_of(photos)
        if len(paths) < 2:
            return gr.skip()
        seen = _looks(service, paths)
        return panel.planned(paths, [_words(look, chosen, seen) for look in seen])

    steps.input(changed, [steps, panel.photos], [panel.status], **LOOK, **QUIET)


def _request(service: Service, chosen: list[str], photos: Any) -> RequestOf:
    """Each photo's own plan without what was unticked; a step that no photo needs and is ticked is
    done to all.
    """
    paths = paths_of(photos)
    if not paths:
        raise UserError("Drop a photo first.")
    seen = _looks(service, paths)
    if not chosen and any(look.proposed.steps for look in seen):
        raise UserError("Tick at least one step.")

    def of(look: UploadInfo) -> Request | None:
        kinds = _steps(look, chosen, seen)
        if kinds == _own(look):
            return Request()
        return Request(tasks=kinds) if kinds else None

    return of


def _looks(service: Service, paths: list[Path]) -> list[UploadInfo]:
    return [look for path in paths if isinstance(look := looked_at(service, path), UploadInfo)]


def _own(look: UploadInfo) -> tuple[str, ...]:
    return tuple(step.task for step in look.proposed.steps)


def _proposed(seen: list[UploadInfo]) -> list[str]:
    """What any of the photos needs."""
    return [kind for kind in automatic_kinds() if any(kind in _own(look) for look in seen)]


def _steps(look: UploadInfo, chosen: list[str], seen: list[UploadInfo]) -> tuple[str, ...]:
    """What is ticked and this photo needs, and what is ticked although none needs it."""
    needed, own = _proposed(seen), _own(look)
    return tuple(
        kind for kind in automatic_kinds() if kind in chosen and (kind in own or kind not in needed)
    )


def _words(look: UploadInfo, chosen: list[str], seen: list[UploadInfo]) -> str:
    """What will be done to a photo, in words."""
    kinds = _steps(look, chosen, seen)
    if kinds == _own(look):
        return Phrase.joined(plan_on_page(look.proposed), "; ")
    return (
        f"{', then '.join(verb(kind).lower() for kind in kinds)}, as ticked"
        if kinds
        else "left as it is, as ticked"
    )
