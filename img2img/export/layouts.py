"""State dicts as the community's programs open them (chaiNNer, ComfyUI, upscayl, spandrel)."""

from __future__ import annotations

from pathlib import Path

import torch

from img2img.community.layouts import PUBLISHED_UNDER, layout_weights
from img2img.errors import Advice, Phrase, UserError
from img2img.files import write_tensors
from img2img.modelfile import modelspec
from img2img.models.picture import LayoutConfig
from img2img.models.spandrel import SpandrelConfig
from img2img.tasks.photo import PhotoTask
from img2img.zoo.catalogue import Entry

ANY = "community"
"""The format of whatever layout the model has."""


def write_layout(entry: Entry, path: Path, format: str = ANY) -> str:
    """The network alone, fp32: its tensors by the names of its architecture, or of the file that
    training began with.

    Raises UserError for a network without such a layout, or with another one than `format`.
    """
    recipe, generator = entry.recipe, entry.recipe.generator
    weights = layout_weights(recipe, entry.load_generator())
    assert isinstance(generator, LayoutConfig | SpandrelConfig), "else it has no layout"
    if format not in (ANY, generator.community_format):
        raise UserError(
            Phrase("'", Path(entry.name), f"' has the layout of {generator.community_format}"),
            field="format",
            remedy=Advice.set("format", ANY),
        )
    tensors = {name: value.contiguous() for name, value in weights.items()}
    if path.suffix == ".safetensors":
        write_tensors(path, tensors, {"format": "pt", **modelspec(recipe, entry.card)})
    else:
        key = generator.wrapped if isinstance(generator, SpandrelConfig) else PUBLISHED_UNDER
        torch.save({key: tensors} if key else tensors, path)
    opens = "opens in chaiNNer, ComfyUI and others"
    guaranteed = type(entry.photo_task).finish is not PhotoTask.finish
    return f"{opens}, without what img2img does after the network" if guaranteed else opens
