"""Models: a card for each model that is offered, and loading a model file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.route_utils import API_PREFIX

from img2img.about import main_metric, model_card
from img2img.community.packages import PackageModel
from img2img.errors import UserError
from img2img.modelfile import Card
from img2img.resources import cards_dir
from img2img.tasks.photo import title
from img2img.zoo import measurements, shipped_models
from img2img.zoo.catalogue import CATALOGUE
from img2img_apps.labels import OWN_TABS
from img2img_apps.model_facts import GENERATE, ModelFacts
from img2img_apps.offered_models import verb
from img2img_apps.panel import INSPECT, PRIVATE, QUIET, bad, model_choices, status
from img2img_apps.service import Service, escaped
from img2img_apps.tabs.parts import lead, plain_examples
from img2img_apps.wording import memory_errors

_EVERY_S = 1.0  # a look at which files of the folder have been read
_NEEDS_NONE = ("restoration",)  # whose tab works without a model of its own


def build(demo: gr.Blocks, service: Service, dropdowns: dict[str, gr.Dropdown]) -> None:
    """Lay the tab out; `dropdowns` by task learn of a model that is loaded here, and of those in
    the folder of models as they are read.
    """
    lead(
        "What the models here were trained on, how well they do, and what their terms are. No code "
        "in a model file is ever run."
    )
    with gr.Row(equal_height=False):
        upload = gr.File(
            label="Load a model: your own, or other people's (.safetensors, .pth, .ckpt)",
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

    async def follow(request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        """The lists and cards again whenever more of the folder has been read."""
        user, left = f"{request.session_hash}", -1

        def seen() -> tuple[Any, ...]:
            return (_cards(service, dropdowns, user), *refreshed(service, dropdowns, user))

        while left:
            unread = len(await asyncio.to_thread(service.models.unread))
            if unread != left:
                yield await asyncio.to_thread(seen)
            left = unread
            service.models.read_folder()
            await asyncio.sleep(_EVERY_S if left else 0)

    if service.models.folder is not None:
        demo.load(follow, None, [cards, *dropdowns.values()], concurrency_limit=None, **QUIET)
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
        with memory_errors(path, "use a smaller model"):
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
    models = service.models
    cards = [
        _packaged(name, path, models.packaged[name])
        if name in models.packaged
        else _card(service, name, path, models.facts(name, path))
        for name, path in models.known(user).items()
    ]
    absent = [
        f'<article class="card"><h3>{escaped(_does(kind))}</h3>'
        '<p class="absent">Not installed yet.</p></article>'
        for kind in kinds
        if kind not in _NEEDS_NONE and not models.of_task(kind, user)
    ]
    return f'<div class="cards">{"".join(cards + absent)}</div>'


def _card(service: Service, name: str, path: Path, facts: ModelFacts | None) -> str:
    if facts is None:
        return _article(name, '<p class="absent">Is being read …</p>')
    if facts.problem:
        return _article(name, f"{bad('Cannot be used.')}<p>{escaped(facts.problem)}</p>")
    try:
        header = CATALOGUE.header(path)
    except UserError:  # gone since
        return ""
    task, card = header.recipe.task, header.card
    rows = {
        "Does": _does(facts.kind or task.kind) + title(task).removeprefix(task.kind),
        **(_theirs(card) if card.terms else _ours(card)),
        "Size": f"{CATALOGUE.entry(path).size_mb:.1f} MB",
    }
    whole = f"<pre>{escaped(_whole(path))}</pre>"
    more = f"<details><summary>All it says of itself</summary>{whole}</details>"
    return _article(name, f"{_listed(rows)}{_pictures(service, path)}{more}")


def _packaged(name: str, path: Path, model: PackageModel) -> str:
    """A model of an installed package, by what is known of it without opening it."""
    rows = {
        "Does": _does(model.kind) + model.task.removeprefix(model.kind),
        "Network": model.title,
        "Terms": f"{model.license} ({model.license_source})",
        "From": f"the package {model.distribution}",
        "Size": f"{model.size_mb:.1f} MB",
    }
    return _article(name, _listed(rows))


def _article(name: str, content: str) -> str:
    return f'<article class="card"><h3>{escaped(name)}</h3>{content}</article>'


def _listed(rows: dict[str, str]) -> str:
    listed = "".join(f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in rows.items())
    return f"<dl>{listed}</dl>"


def _ours(card: Card) -> dict[str, str]:
    return {
        "Measured": main_metric(card.metrics),
        "Trained on": f"{card.photos} photos, {card.images} looks, {card.minutes:g} minutes",
        "Terms of the data": card.data_terms,
    }


def _theirs(card: Card) -> dict[str, str]:
    unknown = "unknown: see where the file comes from"
    terms = unknown if card.terms == "unknown" else card.terms
    return {"Network": card.network, "By": card.author or "unknown", "Terms": terms}


def _pictures(service: Service, path: Path) -> str:
    """Fetched by the browser when they are looked at."""
    measured = measurements(path)
    if measured is None:
        return ""
    kept = service.workspace.keep(measured.pictures, "cards")
    source = f"{API_PREFIX.lstrip('/')}/file={quote(str(kept))}"
    says = "Input, best baseline, this model, truth: the first four photos of its benchmark"
    picture = f'<img loading="lazy" alt="{says}" title="{says}" src="{source}">'
    return f"<details><summary>Before and after</summary>{picture}</details>"


def _whole(path: Path) -> str:
    """The card as `img2img models NAME` prints it, without the place of the file on this
    machine.
    """
    return model_card(str(path)).replace(str(path), path.name).replace(f"{cards_dir()}/", "")
