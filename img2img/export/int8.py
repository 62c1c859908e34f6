"""Graphs in 8 bits by ONNX Runtime's own tool, and what that costs on the photos that ship."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kornia.metrics import psnr
from torch import Tensor

from img2img.errors import UserError, one_line
from img2img.pixels.images import read_photo
from img2img.resources import samples_dir
from img2img.runtimes.graph import GraphSource, as_arrays, quietly
from img2img.runtimes.network import session_of
from img2img.runtimes.packages import package
from img2img.tasks.forward import graph_pair

PHOTOS = 6
SIDE_PX = 192


def quantised(source: GraphSource, content: bytes) -> tuple[bytes, str]:
    """A graph with 8-bit convolutions (static, calibrated on the photos that ship), and the dB that
    they cost there.
    """
    pairs = list(calibration_pairs(source))
    package("onnxruntime")
    tools: Any = package("onnxruntime.quantization")
    inputs = [as_arrays(given) for given, _ in pairs]

    class Reader(tools.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        plain.write_bytes(content)
        try:
            with quietly():
                tools.quantize_static(
                    str(plain),
                    str(small),
                    Reader(),
                    quant_format=tools.QuantFormat.QDQ,
                    op_types_to_quantize=["Conv"],
                    per_channel=True,
                )
        except Exception as error:  # of any kind
            raise UserError(
                f"onnxruntime cannot quantise '{source.name}': {one_line(error, 160)}"
            ) from error
        result = small.read_bytes()
    return result, _cost(content, result, pairs)


def calibration_pairs(source: GraphSource) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Inputs of a graph and the true pictures, of the middle of photos that ship."""
    for number, path in enumerate(sorted(samples_dir().glob("*.jpg"))[:PHOTOS]):
        photo = read_photo(path).rgb
        top, left = (max(0, (n - SIDE_PX) // 2) for n in photo.shape[:2])
        part = photo[top : top + SIDE_PX, left : left + SIDE_PX]
        yield graph_pair(source.task, np.ascontiguousarray(part), number)


def _cost(content: bytes, result: bytes, pairs: list[tuple[dict[str, Tensor], Tensor]]) -> str:
    plain, small = (session_of(graph, "onnx") for graph in (content, result))
    before: list[float] = []
    after: list[float] = []
    for inputs, target in pairs:
        for run, found in ((plain, before), (small, after)):
            picture = torch.from_numpy(run(as_arrays(inputs)).copy()).clamp(0, 1)
            found.append(min(100.0, float(psnr(picture.double(), target.double(), 1.0))))
    was, now = float(np.mean(before)), float(np.mean(after))
    return f"int8 costs {was - now:.2f} dB on {len(pairs)} photos ({was:.2f} → {now:.2f})"
