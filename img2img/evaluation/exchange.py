"""What goes through the pipes between an evaluation and the process of one method: JSON and arrays,
so that neither side unpickles or imports anything of the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np


@dataclass(frozen=True)
class Given:
    """What a method is given of a case, as arrays."""

    x: np.ndarray  # (3,H,W) float32; noise may leave [0,1]
    hole: np.ndarray | None = None  # (H,W) bool, True where pixels are missing
    sigma_255: float = 0.0  # of the noise, for methods that are told it
    scale: int = 1  # size of the result over that of `x`

    @property
    def rgb(self) -> np.ndarray:
        """(H,W,3) float32, as OpenCV and scikit-image take pictures."""
        return np.ascontiguousarray(self.x.transpose(1, 2, 0))

    @property
    def sigma(self) -> float:
        """σ of the noise on the scale of `x`."""
        return self.sigma_255 * (1 / 255)


ArrayMethod = Callable[[Given], np.ndarray]
"""Gives the result as (H,W,3), uint8 or float in [0,1]."""


def send(
    stream: IO[bytes], fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None
) -> None:
    """A message: one line of JSON, then the bytes of its arrays."""
    arrays = arrays or {}
    shapes = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    stream.write(json.dumps({"fields": fields, "arrays": shapes}).encode() + b"\n")
    for array in arrays.values():
        stream.write(np.ascontiguousarray(array).tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The next message. Raises EOFError when the other side has ended."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    head = json.loads(line)
    arrays = {}
    for name, (dtype, shape) in head["arrays"].items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        data = stream.read(size)
        if len(data) != size:
            raise EOFError
        arrays[name] = np.frombuffer(bytearray(data), dtype).reshape(shape)  # writable
    return head["fields"], arrays
