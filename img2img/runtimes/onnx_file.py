"""ONNX files: written of a model, and read without trust."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import torch

from img2img.errors import Phrase, UserError, one_line
from img2img.modelfile import Header
from img2img.runtimes.graph import (
    FORMAT,
    OUTPUT,
    GraphSource,
    graph_of,
    header_of,
    quietly,
)
from img2img.runtimes.packages import package

OPSET = 18
METADATA_KEY = "img2img"
_MAX_BYTES = 2**31 - 1  # protobuf's own limit
_MAX_METADATA = 16 * 2**20
_FIELD_TAGS = b"\x12\x1a\x22\x28\x32\x3a\x42"  # fields 2 to 8 of a ModelProto; field 1 comes first
_MARK = f'"format": "{FORMAT.partition("/")[0]}/'.encode()
_REQUIRED = ("input", "mask")  # other inputs have zeros for a default


def onnx_bytes(source: GraphSource) -> bytes:
    """A model's graph as an ONNX file with its metadata. Raises UserError for a network with
    operations that the exporter does not know.
    """
    onnx = package("onnx")
    module, example = graph_of(source)
    sizes = {
        name: {2: "height", 3: "width"}
        if name in _REQUIRED
        else {2: f"{name}_height", 3: f"{name}_width"}
        for name in module.names
    }
    written: Any = io.BytesIO()  # taken, though its type says it is not
    try:
        with quietly(), _without_stdout():
            torch.onnx.export(
                module,
                example,
                written,
                input_names=list(module.names),
                output_names=[OUTPUT],
                dynamic_axes={**sizes, OUTPUT: {2: "height_out", 3: "width_out"}},
                opset_version=OPSET,
                dynamo=False,
            )
    except UserError:
        raise
    except Exception as error:  # of any kind, by network and version of torch
        raise UserError(
            f"model '{source.name}' cannot be written as ONNX: {one_line(error, 160)}"
        ) from error
    model = onnx.load_model_from_string(written.getvalue())
    for value in model.graph.input:
        if value.name not in _REQUIRED:
            channels = value.type.tensor_type.shape.dim[1].dim_value
            zeros = onnx.helper.make_tensor(
                value.name, onnx.TensorProto.FLOAT, (1, channels, 1, 1), [0.0] * channels
            )
            model.graph.initializer.append(zeros)
    model.producer_name = "img2img"
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, source.metadata()
    return model.SerializeToString()


@contextmanager
def _without_stdout() -> Iterator[None]:
    """Of an operation that it does not know, torch's exporter prints the whole graph, past Python's
    own `sys.stdout`.
    """
    sys.stdout.flush()
    stdout = os.dup(1)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def is_our_graph(path: Path) -> bool:
    """Whether a file is, by its content, an ONNX graph that says it is of ours."""
    try:
        with path.open("rb") as file:
            head = file.read(3)
            graph = len(head) == 3 and head[0] == 8 and head[2] in _FIELD_TAGS
            if not graph or path.stat().st_size > _MAX_BYTES:
                return False
            with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
                return content.rfind(_MARK) >= 0
    except (OSError, ValueError):
        return False


def read_onnx(path: Path) -> tuple[Header, bytes]:
    """Recipe, card and bytes of a graph that we wrote. Raises UserError for any other file, and for
    one that asks for more than its own bytes.
    """
    onnx = package("onnx")
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _MAX_BYTES else b""
    except OSError as error:
        raise UserError(Phrase("'", path, f"' cannot be read: {error.strerror}")) from error
    if not content:
        raise UserError(Phrase("'", path, f"' is no graph of ours: it has {size} bytes"))
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:
        raise UserError(
            Phrase("'", path, "' is a damaged ONNX file"), remedy="fetch it again"
        ) from error
    found = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    if len(found) != 1 or len(found[0]) > _MAX_METADATA:
        raise UserError(
            Phrase("'", path, "' is an ONNX graph that img2img did not write"),
            remedy="open the .pth or .safetensors that it was exported from",
        )
    if reason := _untrusted(model):
        raise UserError(Phrase("'", path, f"' is not run: {reason}"))
    try:
        metadata = json.loads(found[0])
        if metadata["format"] != FORMAT:
            raise UserError(
                Phrase("'", path, f"' is of format {metadata['format']}, not {FORMAT}"),
                remedy="update img2img",
            )
        return header_of(metadata, Phrase("metadata of '", path, "'")), content
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(Phrase("'", path, f"' has broken metadata: {one_line(error)}")) from error


def without_defaults(content: bytes) -> bytes:
    """The same graph with all of its inputs to be given, for runtimes that take no defaults."""
    model = package("onnx").load_model_from_string(content)
    inputs = {value.name for value in model.graph.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in inputs]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model.SerializeToString()


def _untrusted(model: Any) -> str:
    """Why a graph is not run: it names other files, operators of others, or numbers that it does
    not hold; nothing where it is plain.
    """
    if model.functions or model.training_info:
        return "it defines functions"
    if any(opset.domain not in ("", "ai.onnx") for opset in model.opset_import):
        return "it has operators beyond ONNX's own"
    for node, tensor in _parts(model.graph):
        if node is not None and node.domain not in ("", "ai.onnx"):
            return "it has operators beyond ONNX's own"
        if tensor is not None and (reason := _beyond(tensor)):
            return reason
    return ""


def _beyond(tensor: Any) -> str:
    onnx = package("onnx")
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return "its numbers lie in another file"
    if any(side < 0 for side in tensor.dims):
        return "a tensor has a side below 0"
    numbers = math.prod(tensor.dims)
    try:
        width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError):
        return "a tensor is of an unknown type"
    held = len(tensor.raw_data) // width if tensor.raw_data else _listed(tensor)
    return "" if numbers <= max(held, 0) else f"a tensor of {numbers} numbers holds {held}"


def _listed(tensor: Any) -> int:
    lists = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
    return max(len(getattr(tensor, name)) for name in lists)


def _parts(graph: Any) -> Iterator[tuple[Any, Any]]:
    """Each node and each tensor of a graph and of those inside it."""
    left = [graph]
    while left:
        now = left.pop()
        yield from ((None, tensor) for tensor in now.initializer)
        for sparse in now.sparse_initializer:
            yield from ((None, tensor) for tensor in (sparse.values, sparse.indices))
        for node in now.node:
            yield node, None
            for attribute in node.attribute:
                left += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
                if attribute.HasField("t"):
                    yield None, attribute.t
                yield from ((None, tensor) for tensor in attribute.tensors)
