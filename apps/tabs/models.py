"""Models: what each was trained on and how well it does, and loading one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from img2img.about import main_metric
from img2img.errors import UserError
from img2img.modelfile import read_header
from img2img.tasks import task_kinds

from ..models import is_installed, verb
from ..panel import LOOK, PRIVATE, bad, model_choices, status
from ..service import Service, escaped, plain_words
from .parts import lead


def build(service: Service, dropdowns: dict[str, gr.Dropdown]) -> None:
    """Lay the tab out; `dropdowns` by task learn of a model that is loaded here."""
    lead("What the models here were trained on, and how well they do. A model file holds no code.")
    cards = gr.HTML(_cards(service, None), container=False, padding=False, elem_id="models-cards")
    with gr.Row(equal_height=False):
        upload = gr.File(
            label="Load a model of your own (.safetensors)",
            file_types=[".safetensors"],
            height=130,
            elem_id="models-upload",
        )
        said = status('<p class="quiet">Files are checked before use, and deleted after an hour.</p>', "models-status")
    outputs = [said, cards, *dropdowns.values()]

    def load(path: str | None, request: gr.Request) -> tuple[Any, ...]:
        if not path:
            return tuple(gr.skip() for _ in outputs)
        user = f"{request.session_hash}"
        message = _loaded(service, Path(path), user)
        return (message, _cards(service, user), *refreshed(service, dropdowns, user))

    upload.upload(load, [upload], outputs, **LOOK, **PRIVATE)


def refreshed(service: Service, dropdowns: dict[str, gr.Dropdown], user: str) -> list[Any]:
    """Every model list, as a user sees it now."""
    return [gr.update(choices=model_choices(service, kind, user)) for kind in dropdowns]


def _loaded(service: Service, path: Path, user: str) -> str:
    try:
        with plain_words(path):
            if not service.workspace.holds(path):
                raise UserError("this file is not there any more: upload it again")
            name = service.models.add(path, user)
    except UserError as error:
        return bad(str(error))
    kind = read_header(service.models.known(user)[name]).recipe.task.kind
    return f'<p class="good">Loaded “{escaped(name)}”: choose it under Model where it says “{escaped(verb(kind))}”.</p>'


def _cards(service: Service, user: str | None) -> str:
    there = [_card(name, path) for name, path in service.models.known(user).items()]
    absent = [
        f'<article class="card"><h3>{escaped(verb(kind))}</h3><p class="absent">Not installed yet.</p></article>'
        for kind in task_kinds()
        if not is_installed(kind)
    ]
    return f'<div class="cards">{"".join(there + absent)}</div>'


def _card(name: str, path: Path) -> str:
    try:
        header = read_header(path)
    except UserError:
        return ""
    task, card = header.recipe.task, header.card
    facts = {
        "Does": verb(task.kind) + (f" ×{task.scale}" if task.scale > 1 else ""),
        "Measured": main_metric(card.metrics),
        "Trained on": f"{card.photos} photos, {card.images} looks, {card.minutes:g} minutes",
        "Terms of the data": card.data_terms,
        "Size": f"{path.stat().st_size / 1e6:.1f} MB",
    }
    rows = "".join(f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in facts.items())
    return f'<article class="card"><h3>{escaped(name)}</h3><dl>{rows}</dl></article>'
