"""The one door to weight files of other people. Nothing in them is executed, what they are is
seen by content and not by suffix, and what they claim is checked before memory is taken for it.

Opened: safetensors, and what `torch.save` writes, as a zip or in the form before version 1.6.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from img2img.community.pickled import (
    MAX_FILE_BYTES,
    Implausible,
    MoreThanTensors,
    TensorRef,
    read_pickle,
    text_of,
)
from img2img.errors import Phrase, UserError

_MAX_HEADER_BYTES = 100_000_000  # of safetensors; its library's own limit
_MAX_PICKLE_BYTES = 16 * 2**20  # names and shapes only: about 150 bytes a tensor
_MAX_DIRECTORY_BYTES = 16 * 2**20  # of a zip; about 120 bytes a tensor
_MAX_ITEMS = 100_000  # tensors and dicts; the largest restorers have some 2,000
_MAX_DEPTH = 8  # {"state_dict": {"generator": {…}}} is 3
_MAX_SHARING = 2  # bytes of all tensors to bytes of the file: tied weights lie there once

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older form
_TORCH_PROTOCOL = 1001
_ONNX_TAGS = b"\x12\x1a\x22\x28\x32\x3a\x42"  # fields 2 to 8 of a ModelProto; field 1 comes first

StorageReader = Callable[[str], bytearray]
"""The bytes of a storage, by its key."""


def read_state_dict(path: Path) -> dict[str, Any]:
    """The tensors of a file by name, on the CPU, dense, contiguous, in the type they are stored
    in. Dicts in the file stay dicts (`params_ema`, `state_dict`); all else in it is left out.

    Raises UserError for what is no such file, is damaged, holds more than tensors, or is larger,
    packed or nested more than weights ever are.
    """
    if path.suffix.lower() == ".pt":
        raise UserError(
            Phrase("'", path, "' is not opened: .pt is the suffix of TorchScript, which is code"),
            remedy="where you trust it, save its state dict as .safetensors",
        )
    try:
        with _opened(path) as file:
            return _state_dict(file, os.fstat(file.fileno()).st_size, path)
    except MoreThanTensors as error:
        raise UserError(
            Phrase("'", path, f"' holds more than tensors ({_printable(str(error))})"),
            remedy="where you trust it, save its state dict alone, as .safetensors",
        ) from error
    except OSError as error:
        raise UserError(
            Phrase("'", path, f"' cannot be read: {error.strerror or 'the disk failed'}")
        ) from error
    except Implausible as error:
        raise UserError(
            Phrase("'", path, f"' is not read: {error}"), remedy="no weights file is like that"
        ) from error
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a damaged byte can end in anything that a parser raises
        reason = f" ({_printable(str(error))})" if isinstance(error, SafetensorError) else ""
        raise UserError(
            Phrase("'", path, f"' is damaged or cut short{reason}"), remedy="fetch it again"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A regular file of a size that weights have; never waits for the other end of a pipe."""

    def opened(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", opener=opened) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UserError(Phrase("'", path, "' is not a file"))
        if not found.st_size:
            raise UserError(Phrase("'", path, "' is empty"), remedy="fetch it again")
        if found.st_size > MAX_FILE_BYTES:
            gigabytes = f"{found.st_size / 2**30:.1f} GiB"
            limit = f"{MAX_FILE_BYTES // 2**30} GiB"
            raise UserError(
                Phrase("'", path, f"' is too large ({gigabytes}; weights have at most {limit})")
            )
        yield file


def _state_dict(file: IO[bytes], size: int, path: Path) -> dict[str, Any]:
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        state = _from_zip(file, size, path)
    elif head[5:9] == b"\0\0\0{":  # the length of a JSON header in eight bytes, and its brace
        state = _from_safetensors(path, size, int.from_bytes(head[:8], "little"))
    elif head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        state = _from_pickles(file, size, path)
    elif head[:1] == b"\x08" and head[2:3] and head[2:3] in _ONNX_TAGS:
        raise UserError(
            Phrase("'", path, "' is an ONNX graph, not weights"),
            remedy="open the .pth or .safetensors that it was exported from",
        )
    else:
        raise UserError(
            Phrase("'", path, "' is not a model file"),
            remedy="give a .safetensors, or a .pth or .ckpt that torch.save wrote",
        )
    if not state:
        raise UserError(Phrase("'", path, "' holds no tensors with names"))
    return state


def _from_safetensors(path: Path, size: int, header_bytes: int) -> dict[str, Any]:
    if header_bytes > _MAX_HEADER_BYTES:
        raise Implausible(f"its header has {header_bytes} bytes")
    if header_bytes > size - 8:
        raise EOFError("the header is cut short")
    with safe_open(path, framework="pt") as file:  # checks that tensors lie side by side
        names = list(file.keys())
        if len(names) > _MAX_ITEMS:
            raise Implausible(f"it holds {len(names)} tensors")
        # Copied: a tensor that stays mapped ends the process when its file is cut short later on.
        return {name: file.get_tensor(name).clone() for name in names}


def _from_zip(file: IO[bytes], size: int, path: Path) -> dict[str, Any]:
    """What `torch.save` writes: NAME/data.pkl describes the tensors, NAME/data/KEY are storages,
    none of it compressed.
    """
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = [entry.filename.split("/") for entry in entries]
        if any("constants.pkl" in name or "code" in name[:-1] for name in names):
            raise UserError(
                Phrase("'", path, "' is TorchScript, which is code, and is not opened"),
                remedy="where you trust it, save its state dict as .safetensors",
            )
        pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].filename.count("/") != 1:
            raise UserError(
                Phrase("'", path, "' is an archive that torch.save did not write"),
                remedy="unpack it, and open the weights in it",
            )
        if (
            any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            or any(entry.compress_size != entry.file_size for entry in entries)
            or sum(entry.file_size for entry in entries) > size
        ):
            raise Implausible("its parts are packed or overlap, as torch.save never does")
        records = {entry.filename: entry for entry in entries}
        if len(records) != len(entries):
            raise ValueError("two entries of one name")
        if pickles[0].file_size > _MAX_PICKLE_BYTES:
            raise Implausible(f"its pickle has {pickles[0].file_size} bytes")

        def record(name: str) -> bytearray:
            entry = records[f"{folder}/{name}"]
            with archive.open(entry) as stream:  # checks the CRC at its end
                return _read(stream, entry.file_size)

        folder = pickles[0].filename.split("/")[0]
        if f"{folder}/byteorder" in records and record("byteorder") != b"little":
            raise Implausible("its numbers are big-endian")
        tree = read_pickle(BytesIO(record("data.pkl"))).value
        return _built(tree, size, lambda key: record(f"data/{key}"))


def _check_directory(file: IO[bytes], size: int) -> None:
    """`zipfile` makes an object of each entry before it can be asked how many there are."""
    file.seek(max(0, size - 98))  # the records at the end: 56 + 20 + 22 bytes
    tail = file.read().rjust(98, b"\0")
    if tail[-22:-18] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        raise ValueError("the end of the archive is missing")
    (directory_bytes,) = struct.unpack("<I", tail[-10:-6])
    if tail[56:60] == b"PK\x06\x07":  # the larger form of zip
        if tail[:4] != b"PK\x06\x06" or struct.unpack("<Q", tail[64:72]) != (size - 98,):
            raise ValueError("the end of the archive is not where it says")
        (directory_bytes,) = struct.unpack("<Q", tail[40:48])
    if directory_bytes > _MAX_DIRECTORY_BYTES:
        raise Implausible(f"its directory has {directory_bytes} bytes")
    file.seek(0)


def _from_pickles(file: IO[bytes], size: int, path: Path) -> dict[str, Any]:
    """The form before 1.6: pickles of a magic number, a protocol, the machine, the tensors and the
    keys of their storages; then each storage after its count of numbers.
    """
    pickles = BytesIO(file.read(_MAX_PICKLE_BYTES))
    if read_pickle(pickles).value != _TORCH_MAGIC:
        raise UserError(Phrase("'", path, "' is a pickle that torch.save did not write"))
    if read_pickle(pickles).value != _TORCH_PROTOCOL:
        raise ValueError("an unknown protocol")
    machine = read_pickle(pickles).value
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        raise Implausible("its numbers are big-endian")
    content = read_pickle(pickles)
    keys = read_pickle(pickles).value
    position = pickles.tell()
    places: dict[str, tuple[int, int]] = {}
    for key in keys if isinstance(keys, list) else []:
        file.seek(position)
        (numbers,) = struct.unpack("<q", file.read(8))
        nbytes = numbers * content.dtypes[text_of(key)].itemsize
        if not 0 <= nbytes <= size - position - 8:
            raise ValueError("a storage that ends behind the file")
        places[key] = position + 8, nbytes
        position += 8 + nbytes

    def storage(key: str) -> bytearray:
        start, nbytes = places[key]
        file.seek(start)
        return _read(file, nbytes)

    return _built(content.value, size, storage)


def _read(stream: IO[bytes], nbytes: int) -> bytearray:
    content = bytearray()
    while len(content) < nbytes:
        piece = stream.read(min(nbytes - len(content), 2**24))
        if not piece:
            raise EOFError("the file ends too early")
        content += piece
    return content


def _built(tree: Any, file_bytes: int, storage: StorageReader) -> dict[str, Any]:
    """The tensors that a tree describes, once all of them are known to fit."""
    found: list[TensorRef] = []
    pruned = _pruned(tree, found, count()) if isinstance(tree, dict) else {}
    for ref in found:
        if ref.numel > ref.span:
            raise Implausible(f"a tensor shows {ref.span} numbers as {ref.numel}")
    total = sum(ref.numel * ref.dtype.itemsize for ref in found)
    if total > _MAX_SHARING * file_bytes:
        raise Implausible(f"its tensors have {total} bytes, the file {file_bytes}")
    contents = {key: storage(key) for key in dict.fromkeys(ref.key for ref in found if ref.numel)}

    def built(branch: dict[str, Any]) -> dict[str, Any]:
        return {
            name: built(value) if isinstance(value, dict) else _tensor(value, contents)
            for name, value in branch.items()
        }

    return built(pruned)


def _pruned(
    tree: dict[str, Any], found: list[TensorRef], items: Iterator[int], depth: int = 1
) -> dict[str, Any]:
    """Tensors and the dicts around them; `found` gets all tensors, `items` counts what is seen."""
    if depth > _MAX_DEPTH:
        raise Implausible(f"its dicts lie {depth} deep")
    kept: dict[str, Any] = {}
    for name, value in tree.items():
        if next(items) > _MAX_ITEMS:
            raise Implausible(f"it holds more than {_MAX_ITEMS} values")
        if isinstance(value, TensorRef):
            found.append(value)
            kept[name] = value
        elif isinstance(value, dict) and (inner := _pruned(value, found, items, depth + 1)):
            kept[name] = inner
    return kept


def _tensor(ref: TensorRef, contents: dict[str, bytearray]) -> Tensor:
    if not ref.numel:
        return torch.empty(ref.shape, dtype=ref.dtype)
    content, width = contents[ref.key], ref.dtype.itemsize
    if (ref.offset + ref.span) * width > len(content):
        raise ValueError("a tensor that ends behind its storage")
    numbers = torch.frombuffer(content, dtype=ref.dtype, count=ref.span, offset=ref.offset * width)
    return numbers.as_strided(ref.shape, ref.strides).contiguous()


def _printable(text: str) -> str:
    """Foreign text for a message: no control characters, not a page of it."""
    return "".join(c if c.isprintable() else "?" for c in text[:100])
