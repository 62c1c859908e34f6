"""Network interpolation: between a model trained for fidelity and its crisper continuation (Wang et
al. 2018, ESRGAN).

A model continued from another by `train.init` against a discriminator stays so near to it that
their weights may be mixed: θ = (1 - detail) θ_faithful + detail θ_crisp (section 3.4, eq. 15).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from img2img.arguments import check_share
from img2img.errors import Advice, UserError
from img2img.modelfile import Card
from img2img.recipe import Recipe
from img2img.zoo.catalogue import CATALOGUE, Entry


class BlendPair(NamedTuple):
    """Two models of one network: before and after it was trained against a discriminator."""

    faithful: Entry
    crisp: Entry


def pair_of(model: Entry) -> BlendPair | None:
    """The pair that a model is one half of; None for a model that stands alone.

    A crisp model's other half is what its recipe began with; a faithful one's is the shipped model
    that began with it.
    """
    if model.is_graph:  # its weights are no longer there to be mixed
        return None
    before = _start(model)
    if before is not None:
        return BlendPair(before, model)
    for other in CATALOGUE.shipped().values():
        start = _start(other)
        if start is not None and start.path == model.path:
            return BlendPair(model, other)
    return None


def checked_pair(model: Entry, detail: float) -> BlendPair:
    """The pair to mix. Raises UserError for a model that stands alone, or a detail beyond [0,1]."""
    pair = pair_of(model)
    if pair is None:
        raise UserError(
            f"model '{model.name}' has no crisper or plainer half",
            field="detail",
            remedy=Advice.leave_out("detail"),
        )
    check_share("detail", detail)
    return pair


def blended(model: Entry, detail: float) -> tuple[Recipe, Card, nn.Module]:
    """The network between the two halves of a model's pair. Raises UserError as `checked_pair`
    does.
    """
    pair = checked_pair(model, detail)
    faithful, crisp = pair.faithful.load_generator(), pair.crisp.load_generator()
    plain = faithful.state_dict()
    crisp.load_state_dict(
        {
            k: plain[k].lerp(v, detail) if v.is_floating_point() else v
            for k, v in crisp.state_dict().items()
        }
    )
    widest = max(entry.card.tile_overlap_px or 0 for entry in pair)
    card = pair.crisp.card.model_copy(update={"tile_overlap_px": widest})
    return pair.crisp.recipe, card, crisp


def _start(model: Entry) -> Entry | None:
    """The model that this one continued against a discriminator, if it can be found and has the
    same build.
    """
    recipe = model.recipe
    if recipe.train.init is None or recipe.adversarial is None:
        return None
    try:
        start = CATALOGUE.entry(recipe.train.init)
    except UserError:
        return None
    before = start.recipe
    return start if (before.task, before.generator) == (recipe.task, recipe.generator) else None
