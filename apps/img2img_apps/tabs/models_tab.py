"""Models: a card for each model that is offered, and loading a model file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection
from pathlib import Path
from typing import Any

import gradio as gr

from img2img.about import main_metric, model_card
from img2img.community.foreign import MODEL_SUFFIXES
from img2img.errors import UserError
from img2img.modelfile import Card
from img2img.resources import cards_dir
from img2img.tasks.photo import title
from img2img.zoo import measurements, shipped_models
from img2img.zoo.catalogue import CATALOGUE
from img2img_apps.labels import OWN_TABS
from img2img_apps.offered_models import GENERATE, kind_of, verb
from img2img_apps.panel import INSPECT, PRIVATE, bad, model_choices, status
from img2img_apps.service import Service, escaped
from img2img_apps.tabs.parts import lead, plain_examples
from img2img_apps.wording import memory_errors


def build(service: Service, dropdowns: dict[str, gr.Dropdown]) -> None:
    """Lay the tab out; `dropdowns` by task learn of a model that is loaded here."""
    lead("What the models here were trained on, and how well they do. A model file holds no code.")
    with gr.Row(equal_height=False):
        upload = gr.File(
            label="Load a model: your own, or other people's (.safetensors, .pth)",
            file_types=list(MODEL_SUFFIXES),
            height=130,
            min_width=280,
            elem_id="models-upload",
        )
        status_line = status(
            '<p class="quiet">Files are checked before use, and deleted after an hour.</p>',
            "models-status",
        )
    smallest = min(shipped_models().values(), key=lambda path: path.stat().st_size, default=None)
    examples = plain_examples("models", [f"A copy of {smallest.stem}"] if smallest else [])
    cards = gr.HTML(
        _cards(service, dropdowns, None), container=False, padding=False, elem_id="models-cards"
    )
    outputs = [status_line, cards, *dropdowns.values()]

    def load(path: str | None, request: gr.Request) -> tuple[Any, ...]:
        if not path:
            return tuple(gr.skip() for _ in outputs)
        user = f"{request.session_hash}"
        message = _loaded(service, dropdowns, Path(path), user)
        return (message, _cards(service, dropdowns, user), *refreshed(service, dropdowns, user))

    upload.upload(load, [upload], outputs, **INSPECT, **PRIVATE)
    for button in examples:
        brought = (
            str(service.workspace.keep(smallest)) if smallest else None
        )  # as if somebody had uploaded it
        shown = button.click(
            lambda path=brought: path, None, [upload], **INSPECT, **PRIVATE, show_progress="hidden"
        )
        shown.then(load, [upload], outputs, **INSPECT, **PRIVATE)


def refreshed(service: Service, dropdowns: dict[str, gr.Dropdown], user: str) -> list[Any]:
    """Every model list, as a user sees it now."""
    return [_refreshed(service, kind, user) for kind in dropdowns]


def _refreshed(service: Service, kind: str, user: str) -> Any:
    """The first that comes into an empty list is chosen."""
    choices = model_choices(service, kind, user, shipped=kind in OWN_TABS)
    return (
        gr.update(choices=choices, value=choices[0][1])
        if len(choices) == 1
        else gr.update(choices=choices)
    )


def _loaded(service: Service, dropdowns: Collection[str], path: Path, user: str) -> str:
    try:
        with memory_errors(path):
            if not service.workspace.holds(path):
                raise UserError("this file is not there any more", remedy="upload it again")
            name = service.models.add(path, user)
    except UserError as error:
        return bad(error.phrase)
    kind = service.models.kind(name, user)
    if kind is None or kind not in dropdowns:
        useless = '<p class="quiet">No tab of this page works with it.</p>'
        return f'<p class="good">Loaded “{escaped(name)}”.</p>{useless}'
    where = f"choose it under Model where it says “{_does(kind)}”"
    return f'<p class="good">Loaded “{escaped(name)}”: {escaped(where)}.</p>'


def _does(kind: str) -> str:
    return "Generate" if kind == GENERATE else verb(kind)


def _cards(service: Service, kinds: Collection[str], user: str | None) -> str:
    cards = [_card(name, path) for name, path in service.models.known(user).items()]
    absent = [
        f'<article class="card"><h3>{escaped(_does(kind))}</h3>'
        '<p class="absent">Not installed yet.</p></article>'
        for kind in kinds
        if not service.models.of_task(kind, user)
    ]
    return f'<div class="cards">{"".join(cards + absent)}</div>'


def _card(name: str, path: Path) -> str:
    try:
        header = CATALOGUE.header(path)
    except UserError:
        return ""
    task, card = header.recipe.task, header.card
    facts = {
        "Does": _does(kind_of(path) or task.kind) + title(task).removeprefix(task.kind),
        **(_theirs(card) if card.terms else _ours(card)),
        "Size": f"{path.stat().st_size / 1e6:.1f} MB",
    }
    rows = "".join(f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in facts.items())
    whole = f"<pre>{escaped(_whole(path))}</pre>"
    more = f"<details><summary>All it says of itself</summary>{whole}</details>"
    shown = f"<h3>{escaped(name)}</h3><dl>{rows}</dl>{_pictures(path)}{more}"
    return f'<article class="card">{shown}</article>'


def _ours(card: Card) -> dict[str, str]:
    return {
        "Measured": main_metric(card.metrics),
        "Trained on": f"{card.photos} photos, {card.images} looks, {card.minutes:g} minutes",
        "Terms of the data": card.data_terms,
    }


def _theirs(card: Card) -> dict[str, str]:
    return {"Network": card.network, "By": card.author or "unknown", "Terms": card.terms}


def _pictures(path: Path) -> str:
    measured = measurements(path)
    if measured is None:
        return ""
    source = "data:image/jpeg;base64," + b64encode(measured.pictures.read_bytes()).decode()
    says = "Input, best baseline, this model, truth: the first four photos of its benchmark"
    picture = f'<img alt="{says}" title="{says}" src="{source}">'
    return f"<details><summary>Before and after</summary>{picture}</details>"


def _whole(path: Path) -> str:
    """The card as `img2img models NAME` prints it, without the place of the file on this
    machine.
    """
    return model_card(str(path)).replace(str(path), path.name).replace(f"{cards_dir()}/", "")
