"""What network a state dict is of: spandrel knows by names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from img2img.community.layouts import layout_of
from img2img.community.terms import Terms
from img2img.errors import Phrase, UserError, one_line
from img2img.modelfile import Card, Header
from img2img.models.spandrel import (
    Bounded,
    SpandrelConfig,
    SpandrelNetwork,
    spandrel,
)
from img2img.recipe import Recipe
from img2img.version import __version__

_MOST_LAYERS = 10_000  # of a number in a tensor's name: spandrel builds as many layers


@dataclass(frozen=True)
class ForeignModel:
    """Other people's network as one of ours."""

    header: Header
    weights: dict[str, Tensor]

    def with_terms(self, terms: Terms | None) -> ForeignModel:
        """The same with what the file that belongs to it tells of author and terms."""
        if terms is None:
            return self
        card = self.header.card.model_copy(update=terms.card_fields())
        return replace(self, header=self.header.model_copy(update={"card": card}))


def recognised(state: Mapping[str, Any], path: Path) -> ForeignModel:
    """The network that a state dict is of. Raises UserError for one of no network that restores
    pictures.
    """
    tensors = spandrel().canonicalize_state_dict(dict(state))
    names = {*tensors}  # spandrel may rename them
    descriptor = _descriptor(tensors, path)
    network = SpandrelNetwork(descriptor)
    own = {*network.network.state_dict()}
    layout = layout_of(state, names, descriptor.architecture.id, own)
    try:
        generator = SpandrelConfig.of(descriptor).model_copy(update=layout)
    except (TypeError, ValueError) as error:  # parameters beyond plain data, or beyond all bounds
        raise UserError(Phrase("'", path, f"' does not load: {one_line(error)}")) from error
    return ForeignModel(
        Header(recipe=_recipe(descriptor, generator, path), card=_card(descriptor, path)),
        {name: value.float() for name, value in network.state_dict().items()},
    )


def _descriptor(tensors: dict[str, Any], path: Path) -> Any:
    library = spandrel()
    loader = library.ModelLoader("cpu")
    numbers = (int(n) for name in tensors for n in re.findall(r"\d+", str(name)))
    if max(numbers, default=0) > _MOST_LAYERS:
        raise UserError(Phrase("'", path, "' names layers that no network has"))
    try:
        # Layers draw their first weights.
        with torch.random.fork_rng(devices=[]), Bounded():
            return loader.load_from_state_dict(tensors)
    except library.UnsupportedModelError as error:
        raise UserError(
            Phrase("'", path, "' holds weights of no known network that restores pictures"),
            remedy="img2img models lists what opens",
        ) from error
    except Exception as error:  # of any of 42 libraries' worth of constructors
        raise UserError(Phrase("'", path, f"' does not load: {one_line(error)}")) from error


def _recipe(descriptor: Any, generator: SpandrelConfig, path: Path) -> Recipe:
    scale = generator.scale
    if descriptor.purpose == "Inpainting":
        task: dict[str, Any] = {"kind": "inpaint", "whole_px": generator.tile_px(scale) * 2}
    elif scale > 1:
        task = {"kind": "super-resolve", "factor": scale, "back_projections": 0}
    else:
        task = {"kind": "restoration"}
    fields = {
        "name": re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip("_.-") or "model",
        "task": task,
        "generator": generator.model_dump(mode="json"),
        # As training programs do but for faces; it allows a mean over turned photos.
        "data": {"crop_px": 64 * scale, "rotate": descriptor.purpose in ("SR", "Restoration")},
    }
    return Recipe.parse(fields, where=path, trusted=False)


def _card(descriptor: Any, path: Path) -> Card:
    tags = ", ".join(descriptor.tags)
    return Card(
        network=f"{descriptor.architecture.name}{f' ({tags})' if tags else ''}",
        title=path.stem,
        data_terms="unknown",
        terms="unknown",
        tile_overlap_px=None,
        version=__version__,
    )
