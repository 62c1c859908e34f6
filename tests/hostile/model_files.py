"""Files that pretend to be weights: what an attacker, a broken download or another program leaves.

All are written here from the formats' definitions, so that they may claim anything.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

TORCH_MAGIC, TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


@dataclass(frozen=True)
class StorageClaim:
    """What a pickle says of a storage; `key` names the bytes."""

    key: str = "0"
    numbers: int = 4
    storage_type: Any = torch.FloatStorage


@dataclass(frozen=True)
class TensorClaim:
    """What a pickle says of a tensor, true or not."""

    shape: tuple[Any, ...] = (4,)
    strides: tuple[Any, ...] = (1,)
    offset: Any = 0
    storage: StorageClaim = StorageClaim()

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.storage, self.offset, self.shape, self.strides, False, OrderedDict())
        return torch._utils._rebuild_tensor_v2, arguments


class Call:
    """Calls a function with arguments when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def pickled(value: Any, protocol: int = 2, view: tuple[Any, ...] = ()) -> bytes:
    """A pickle in which claims stand for storages; `view` follows each, as in the older form."""

    class ClaimPickler(pickle._Pickler):  # type: ignore[name-defined]  # the one in Python
        def persistent_id(self, part: Any) -> Any:
            if isinstance(part, StorageClaim):
                return ("storage", part.storage_type, part.key, "cpu", part.numbers, *view)
            return None

    stream = io.BytesIO()
    ClaimPickler(stream, protocol).dump(value)
    return stream.getvalue()


def torch_zip(
    path: Path,
    value: Any,
    storages: Mapping[str, bytes] | None = None,
    more: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """The form of torch.save since 1.6; a value in bytes is taken for the pickle itself."""
    description = value if isinstance(value, bytes) else pickled(value)
    entries = {"data.pkl": description, "version": b"3\n", **(more or {})}
    entries |= {f"data/{key}": content for key, content in (storages or {"0": bytes(16)}).items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(f"archive/{name}", content)
    return path


def overlapping_zip(path: Path, storages: int = 200, nbytes: int = 2**16) -> Path:
    """Each storage is all of the file behind its beginning, true CRC included: n times the file."""
    claims = {f"w{i}": TensorClaim((4,), (1,), 0, StorageClaim(f"{i}")) for i in range(storages)}
    torch_zip(path, claims, {f"{i}": bytes(nbytes) for i in range(storages)})
    content = path.read_bytes()
    with zipfile.ZipFile(path, "a") as archive:
        end = archive.start_dir
        for entry in archive.infolist():
            if "/data/" in entry.filename:
                begin = entry.header_offset + 30 + len(entry.filename)
                entry.file_size = entry.compress_size = end - begin
                entry.CRC = zlib.crc32(content[begin:end])
        archive.comment, archive.comment = b"x", b""  # writes the directory anew
    return path


def torch_legacy(
    path: Path,
    value: Any,
    storages: Mapping[str, tuple[int, bytes]] | None = None,
    keys: Any = None,
    machine: Any = None,
) -> Path:
    """The form of torch.save before 1.6; a storage is its claimed count of numbers, and bytes."""
    storages = {"0": (4, bytes(16))} if storages is None else storages
    description = value if isinstance(value, bytes) else pickled(value, view=(None,))
    content = pickled(TORCH_MAGIC) + pickled(TORCH_PROTOCOL)
    content += pickled({"little_endian": True} if machine is None else machine) + description
    content += keys if isinstance(keys, bytes) else pickled(list(storages))
    for numbers, raw in storages.values():
        content += struct.pack("<q", numbers) + raw
    path.write_bytes(content)
    return path


def safetensors(path: Path, header: Any, content: bytes = b"", length: int | None = None) -> Path:
    """A header of any content, which may lie about its own length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + content)
    return path


def doubled_tuple(depth: int, end: bytes = b".") -> bytes:
    """A pickle of ((…), (…)), each the same object: short, and 2**depth long for who walks it."""
    steps = b"".join(b"q%c h%c\x86".replace(b" ", b"") % (i, i) for i in range(depth))
    return b"\x80\x02)" + steps + end


def torchscript(path: Path) -> Path:
    """A real one, with code in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # people have such files all the same
        traced = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2), check_trace=False)
        torch.jit.save(traced, path)
    return path


def onnx(path: Path) -> Path:
    """The first fields of a ModelProto: ir_version 8, producer_name, an empty graph."""
    path.write_bytes(b"\x08\x08\x12\x07pytorch\x3a\x00\x42\x02\x10\x11")
    return path


def weights_of_no_restorer() -> dict[str, torch.Tensor]:
    """Tensors of a small classifier: fine to read, but nothing that makes a picture."""
    network = torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    return {f"classifier.{name}": value for name, value in network.state_dict().items()}


def bombs() -> dict[str, Callable[[Path], Path]]:
    """What writes small files that ask for gigabytes, by what they do; each is to be refused for
    nothing.
    """
    big = 700_000_000  # numbers; 2.8 GB in fp32, which a weights file might have
    one = {"0": b"\0" * 4}
    number = StorageClaim(numbers=1)
    wide = TensorClaim((big,), (1,), 0, number)
    repeated = TensorClaim((1000, 1000, 700), (0, 0, 0), 0, number)
    mebibyte = StorageClaim(numbers=2**18)
    many = {f"w{i}": TensorClaim((2**18,), (1,), 0, mebibyte) for i in range(5000)}
    laughs: dict[str, Any] = {"w": TensorClaim()}
    for _ in range(6):
        laughs = {f"{i}": laughs for i in range(100)}
    beyond = TensorClaim((big,), (1,), 0, StorageClaim(numbers=big))
    unpacked = TensorClaim((2**26,), (1,), 0, StorageClaim(numbers=2**26))
    return {
        "zip, shape beyond its storage": lambda path: torch_zip(path, {"w": wide}, one),
        "zip, storage beyond its record": lambda path: torch_zip(path, {"w": beyond}, one),
        "zip, one number a billion times": lambda path: torch_zip(path, {"w": repeated}, one),
        "zip, one storage many times": lambda path: torch_zip(path, many, {"0": bytes(2**20)}),
        "zip, compressed zeros": lambda path: torch_zip(
            path, {"w": unpacked}, {"0": bytes(2**28)}, compression=zipfile.ZIP_DEFLATED
        ),
        "legacy, storage beyond the file": lambda path: torch_legacy(
            path, {"w": beyond}, {"0": (big, b"")}
        ),
        "legacy, shape beyond its storage": lambda path: torch_legacy(
            path, {"w": wide}, {"0": (1, bytes(4))}
        ),
        "zip, a byte array": lambda path: torch_zip(path, {"w": Call(bytearray, big)}),
        "zip, a new tensor": lambda path: torch_zip(path, {"w": Call(torch.FloatTensor, big)}),
        "zip, a new storage": lambda path: torch_zip(path, {"w": Call(torch.FloatStorage, big)}),
        "zip, dicts that are one": lambda path: torch_zip(path, laughs),
        "safetensors, header": lambda path: safetensors(path, {}, b"", 90_000_000),
        "safetensors, shape": lambda path: safetensors(
            path, {"w": {"dtype": "F32", "shape": [big], "data_offsets": [0, 4]}}, bytes(4)
        ),
    }


def runs_a_command(marker: Path) -> Call:
    """Creates `marker` when it is unpickled."""
    return Call(os.system, f"touch '{marker}'")
