"""A model written in a format for other programs (`img2img export`)."""

from __future__ import annotations

from pathlib import Path

from img2img.errors import Advice, Phrase, UserError, did_you_mean
from img2img.export.formats import FORMATS
from img2img.files import atomic_files, write_text
from img2img.modelcards import MODEL_CARDS
from img2img.zoo.catalogue import CATALOGUE, Entry


def export_model(
    model: str | Path,
    format: str,
    output: str | Path,
    model_card: str | None = None,
    *,
    int8: bool = False,
    overwrite: bool = False,
) -> tuple[Entry, str]:
    """Write a model in another format, whole or not at all.

    Args:
        model: a shipped model's name, a model file or a run's folder.
        format: one of `FORMATS`.
        output: the file to write; its suffix is the format's.
        model_card: one of `MODEL_CARDS`, which is written with it: what a place for models is told.
        int8: 8-bit numbers, of formats that have them.
        overwrite: replace files of those names.

    Returns:
        The model, and what is to be known of the file.

    Raises:
        UserError: an unknown format or model, another suffix, a file that exists, a model that the
            format cannot hold, a package that is missing; no file is left then.
    """
    target = Path(output)
    if model_card is not None and model_card not in MODEL_CARDS:
        near = did_you_mean(model_card, MODEL_CARDS)
        raise UserError(f"unknown '{model_card}'{near}", field="model_card")
    if format not in FORMATS:
        raise UserError(f"unknown '{format}'{did_you_mean(format, FORMATS)}", field="format")
    suffixes = FORMATS[format].suffixes
    if target.suffix.lower() not in suffixes:
        raise UserError(
            Phrase("'", target, f"' does not end in {' or '.join(suffixes)}"),
            field="output",
            remedy=Advice.set("output", target.with_suffix(suffixes[0])),
        )
    write = FORMATS[format].write_int8 if int8 else FORMATS[format].write
    if write is None:
        able = [name for name, one in FORMATS.items() if one.write_int8]
        raise UserError(f"is for {' and '.join(able)}", field=("int8",), remedy="leave it out")
    entry = CATALOGUE.entry(model)
    if entry.is_graph:
        raise UserError(
            Phrase("'", entry.path, "' was exported already"),
            field="model",
            remedy="name the model that it was exported from",
        )
    with atomic_files(target, overwrite=overwrite) as path:
        note = write(entry, path)
        if model_card is not None:
            suffix, card_of = MODEL_CARDS[model_card]
            write_text(path.with_suffix(suffix), card_of(entry.header, path))
    return entry, note
