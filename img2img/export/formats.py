"""The formats that a model can be written in, by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from img2img.export.graphs import write_onnx, write_openvino, write_torchscript
from img2img.export.layouts import ANY, write_layout
from img2img.modelfile import is_ours, save_model
from img2img.zoo.catalogue import Entry

Writer = Callable[[Entry, Path], str]
"""Writes a model to a path of the format's suffix; what lies next to that path under other names
becomes a part of the export too. Returns what the user should know of the file, in a few words, or
nothing. Raises UserError for a model that this format cannot hold.
"""


@dataclass(frozen=True)
class ExportFormat:
    """One way to write a model."""

    suffixes: tuple[str, ...]
    """Of its file; the first is the usual one."""
    write: Writer
    write_int8: Writer | None = None
    """The same with 8-bit numbers, by formats that have them."""


def write_safetensors(entry: Entry, path: Path) -> str:
    """Our own file: a copy of one of ours, and what other people trained with a header of ours."""
    generator = entry.load_generator()  # a file whose weights do not fit is refused, not copied
    if is_ours(entry.path):
        shutil.copyfile(entry.path, path)
    else:
        save_model(path, generator, entry.recipe, entry.card)
    return ""


FORMATS: Mapping[str, ExportFormat] = {
    "onnx": ExportFormat((".onnx",), write_onnx, partial(write_onnx, int8=True)),
    "openvino": ExportFormat((".xml",), write_openvino, partial(write_openvino, int8=True)),
    "torchscript": ExportFormat((".pt", ".pth", ".torchscript"), write_torchscript),
    "safetensors": ExportFormat((".safetensors",), write_safetensors),
    **{
        name: ExportFormat((".pth", ".safetensors"), partial(write_layout, format=name))
        for name in ("esrgan", "compact", "span", ANY)
    },
}
