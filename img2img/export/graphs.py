"""ONNX, OpenVINO and TorchScript: one graph of `prepare`, generator and `decode`, written only when
it agrees with PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2img.errors import UserError, one_line
from img2img.export.int8 import quantised
from img2img.export.parity import check_parity
from img2img.runtimes.graph import OUTPUT, GraphSource, graph_of, quietly
from img2img.runtimes.network import compiled_openvino, session_of
from img2img.runtimes.onnx_file import METADATA_KEY, onnx_bytes, without_defaults
from img2img.runtimes.packages import package
from img2img.zoo.catalogue import Entry


def write_onnx(entry: Entry, path: Path, *, int8: bool = False) -> str:
    """Opset 18, dynamic height and width, with recipe, card and terms in its metadata."""
    content, note = _checked_onnx(_source(entry), int8)
    path.write_bytes(content)
    return note


def write_openvino(entry: Entry, path: Path, *, int8: bool = False) -> str:
    """The same as `.xml` with its `.bin`, in fp32."""
    library, source = package("openvino"), _source(entry)
    content, note = _checked_onnx(source, int8)
    model = library.Core().read_model(without_defaults(content))
    model.set_rt_info(source.metadata(), METADATA_KEY)
    if not int8:
        worst = check_parity(source, compiled_openvino(library, model), "OpenVINO's graph")
        note = _agrees(worst)
    library.save_model(model, path, compress_to_fp16=False)
    return note


def write_torchscript(entry: Entry, path: Path) -> str:
    """The same traced, for `torch.jit.load`; it is code, so img2img itself does not open it."""
    source = _source(entry)
    module, example = graph_of(source)
    try:
        with quietly():
            traced = torch.jit.trace(module, example, check_trace=False)
            extra = {f"{METADATA_KEY}.json": source.metadata()}
            torch.jit.save(traced, str(path), _extra_files=extra)
            loaded = torch.jit.load(str(path))
    except Exception as error:  # of any kind, by network and version of torch
        raise UserError(f"'{entry.title}' cannot be traced: {one_line(error, 160)}") from error

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            out: Tensor = loaded(*map(torch.from_numpy, inputs.values()))
        return out.numpy()

    return _agrees(check_parity(source, run, "the traced graph"))


def _source(entry: Entry) -> GraphSource:
    _ = entry.photo_task  # raises for what makes pictures from noise
    return GraphSource(entry.title, entry.recipe, entry.card, entry.load_generator())


def _checked_onnx(source: GraphSource, int8: bool) -> tuple[bytes, str]:
    content = onnx_bytes(source)
    note = _agrees(check_parity(source, session_of(content, "onnx"), f"the ONNX graph's {OUTPUT}"))
    return quantised(source, content) if int8 else (content, note)


def _agrees(worst: float) -> str:
    return f"differs from PyTorch by at most {worst * 255:.2g}/255"
