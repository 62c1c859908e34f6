"""A model of other people kept as a file of ours (`img2img import`)."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import torch

from img2img.community.architectures import ForeignModel
from img2img.community.foreign import foreign_model
from img2img.community.junyanz import GeneratorOptions
from img2img.errors import Advice, Phrase, UserError
from img2img.files import check_free
from img2img.inference.pipeline import Model
from img2img.modelfile import is_ours, save_model, with_weights
from img2img.zoo.catalogue import CATALOGUE, Entry

SUFFIX = ".safetensors"


def import_model(
    source: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    **options: Unpack[GeneratorOptions],
) -> Entry:
    """Write a model of other people as a self-describing file.

    Args:
        source: the name of a package's model (`img2img models` lists them), or a file.
        output: the file to write, `NAME.safetensors`.
        overwrite: replace a file of that name.
        options: of a pix2pix or CycleGAN generator, what its tensors do not tell.

    Returns:
        What the catalogue knows of the file written.

    Raises:
        UserError: a file that is not theirs, that cannot be read, or an output of another form or
            that exists; options that the file contradicts.
    """
    target = Path(output)
    if target.suffix != SUFFIX:
        raise UserError(
            Phrase("'", target, f"' does not end in {SUFFIX}"),
            field="output",
            remedy=Advice.set("output", target.with_suffix(SUFFIX)),
        )
    check_free(target, overwrite)
    entry = CATALOGUE.entry(source)
    if is_ours(entry.path):
        raise UserError(
            Phrase("'", entry.path, "' is a model file of ours already"), remedy="copy it"
        )
    given = {name: value for name, value in options.items() if value is not None}
    found = (
        foreign_model(entry.path, **given)  # type: ignore[arg-type]  # some of the options
        if given
        else ForeignModel(entry.header, entry.weights())
    )
    recipe, card = found.header.recipe, found.header.card
    generator = with_weights(recipe, found.weights, entry.path)
    model = Model(entry.title, recipe, card, generator, torch.device("cpu"), "fp32")
    save_model(target, generator, recipe, model.with_measured_overlap())
    return CATALOGUE.entry(target)
