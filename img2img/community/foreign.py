"""A model file of other people as one of ours: header and weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Unpack

from torch import Tensor

from img2img.community.architectures import ForeignModel, recognised
from img2img.community.junyanz import GeneratorOptions, is_junyanz, read_generator
from img2img.community.ncnn import MAGIC, read_ncnn
from img2img.community.reading import read_state_dict
from img2img.community.terms import terms_of
from img2img.errors import Advice, UserError
from img2img.modelfile import Header

MODEL_SUFFIXES = (".safetensors", ".pth", ".ckpt", ".param")
"""Of files that may hold a model; what is in one, its content says."""


def foreign_model(path: Path, **options: Unpack[GeneratorOptions]) -> ForeignModel:
    """The network in a file of other people, with a recipe and a card; `options` are of a pix2pix
    or CycleGAN generator.

    Raises UserError for a file that holds anything but tensors, tensors of no known network, where
    spandrel is not installed, and for options that the file contradicts.
    """
    state = read_ncnn(path) if _is_ncnn(path) else read_state_dict(path)
    if is_junyanz(state):
        found = ForeignModel(*read_generator(state, path, **options))
    elif options:
        name = next(iter(options))
        raise UserError(
            "is for generators of pix2pix and CycleGAN",
            field=(name,),
            remedy=Advice.leave_out(name),
            place=path,
        )
    else:
        found = recognised(state, path)
    return found.with_terms(terms_of(path))


def foreign_header(path: Path) -> Header:
    """Its recipe and card. Raises UserError as `foreign_model` does."""
    model = foreign_model(path)
    _LAST.keep(path, model)  # whoever asks what a file is mostly wants its tensors next
    return model.header


def foreign_weights(path: Path) -> dict[str, Tensor]:
    """Its tensors in fp32, by the names that its recipe's generator has for them. Raises UserError
    as `foreign_model` does.
    """
    model = _LAST.taken(path) or foreign_model(path)
    return model.weights


def forget_tensors() -> None:
    """Let the tensors go that are kept for whoever asked for a header last."""
    _LAST.clear()


def _is_ncnn(path: Path) -> bool:
    """Whether it is a graph of ncnn's, or the numbers that belong to one."""
    graph = path.with_suffix(".param") if path.suffix == ".bin" else path
    try:
        with graph.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC.encode()
    except OSError:
        return False


class _Last:
    """The model read last, until it is asked for; a file that has changed since is another."""

    def __init__(self) -> None:
        self._kept: tuple[Path, os.stat_result, ForeignModel] | None = None

    def keep(self, path: Path, model: ForeignModel) -> None:
        self._kept = path, path.stat(), model

    def clear(self) -> None:
        self._kept = None

    def taken(self, path: Path) -> ForeignModel | None:
        kept, self._kept = self._kept, None
        if kept is None or kept[0] != path:
            return None
        then, now = kept[1], path.stat()
        same = (then.st_mtime_ns, then.st_size, then.st_ino) == (
            *(now.st_mtime_ns, now.st_size),
            now.st_ino,
        )
        return kept[2] if same else None


_LAST = _Last()
