"""A model of other people kept as a file of ours (`img2img import`)."""

from __future__ import annotations

from pathlib import Path

import torch

from img2img.errors import Advice, Phrase, UserError
from img2img.inference.pipeline import Model
from img2img.modelfile import is_ours, save_model
from img2img.pixels.images import read_photo
from img2img.resources import inputs_dir
from img2img.zoo.catalogue import CATALOGUE, Entry

SUFFIX = ".safetensors"


def import_model(source: str | Path, output: str | Path) -> Entry:
    """Write a model of other people as a self-describing file.

    Args:
        source: the name of a package's model (`img2img models` lists them), or a file.
        output: the file to write, `NAME.safetensors`.

    Returns:
        What the catalogue knows of the file written.

    Raises:
        UserError: a file that is not theirs, that cannot be read, or an output of another form.
    """
    target = Path(output)
    if target.suffix != SUFFIX:
        raise UserError(
            Phrase("'", target, f"' does not end in {SUFFIX}"),
            field="output",
            remedy=Advice.set("output", target.with_suffix(SUFFIX)),
        )
    entry = CATALOGUE.entry(source)
    if is_ours(entry.path):
        raise UserError(
            Phrase("'", entry.path, "' is a model file of ours already"), remedy="copy it"
        )
    generator = entry.load_generator()
    model = Model(entry.title, entry.recipe, entry.card, generator, torch.device("cpu"), "fp32")
    save_model(target, generator, entry.recipe, model.with_measured_overlap(_photo()))
    return CATALOGUE.entry(target)


def _photo() -> torch.Tensor:
    """A picture with edges and texture, (1,3,H,W) uint8."""
    rgb = read_photo(inputs_dir() / "noisy.png").rgb
    return torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None]
