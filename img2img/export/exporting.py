"""A model written in a format for other programs (`img2img export`)."""

from __future__ import annotations

from pathlib import Path

from img2img.errors import Advice, Phrase, UserError, did_you_mean
from img2img.export.formats import FORMATS
from img2img.files import atomic_files
from img2img.zoo.catalogue import CATALOGUE, Entry


def export_model(model: str | Path, format: str, output: str | Path) -> tuple[Entry, str]:
    """Write a model in another format, whole or not at all.

    Args:
        model: a shipped model's name, a model file or a run's folder.
        format: one of `FORMATS`.
        output: the file to write; its suffix is the format's.

    Returns:
        The model, and what is to be known of the file.

    Raises:
        UserError: an unknown format or model, another suffix, a model that the format cannot hold,
            a package that is missing; no file is left then.
    """
    target = Path(output)
    if format not in FORMATS:
        raise UserError(f"unknown '{format}'{did_you_mean(format, FORMATS)}", field="format")
    suffixes = FORMATS[format].suffixes
    if target.suffix.lower() not in suffixes:
        raise UserError(
            Phrase("'", target, f"' does not end in {' or '.join(suffixes)}"),
            field="output",
            remedy=Advice.set("output", target.with_suffix(suffixes[0])),
        )
    entry = CATALOGUE.entry(model)
    with atomic_files(target) as path:
        return entry, FORMATS[format].write(entry, path)
