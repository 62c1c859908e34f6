"""Real-ESRGAN networks in ncnn's form (`NAME.param` and `NAME.bin`), read into the state dict of
the official PyTorch checkpoints: RRDBNet (Wang et al. 2018, ESRGAN) and SRVGGNetCompact (Wang et
al. 2021, Real-ESRGAN).

`.param` is text: the number 7767517, a line of two counts, then one line for each layer: its kind,
name, how many blobs (intermediate results) it reads and writes, their names, and numbers as
`key=value`. `.bin` holds the weights of those layers one after the other. Each network is written
down here as its forward pass over the graph, so a tensor gets its name from what the layer does,
and a graph that computes anything else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2img.errors import Phrase, UserError

MAGIC = "7767517"
_MAX_PARAM_BYTES = 2 * 2**20  # RRDB of 23 blocks: 116 kB
_MAX_BIN_BYTES = 512 * 2**20  # RRDB of 23 blocks: 33 MB
_MAX_LAYERS = 20_000
# Four bytes before a convolution's weights say how they are stored.
_DTYPES = {0: "<f4", 0x01306B47: "<f2"}
_INT8 = 0x000D4B38
_GROWTH = 32  # channels that each convolution of a dense block adds
_STRANGER = "is another network than Real-ESRGAN's"

Setting = float | tuple[float, ...]
# What a convolution ends with: a leaky ReLU of slope 0.2, or nothing.
_LEAKY: dict[int, Setting] = {9: 2.0, 10: (0.2,)}
_LINEAR: dict[int, Setting] = {9: 0.0, 10: ()}


def read_ncnn(path: Path) -> dict[str, Tensor]:
    """The weights of an ncnn network, fp32, under the names of the official checkpoints
    (`conv_first.weight`, `body.0.rdb1.conv1.weight`, … or, for Compact, `body.0.weight`, …).

    `path` is the `.param` or the `.bin` file; the other one lies next to it. Raises UserError for
    files that are broken, quantized, or of another network.
    """
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    text = _read(param, _MAX_PARAM_BYTES)
    try:
        graph = Graph(_layers(text.decode("ascii", "replace")))
        forward_pass = _compact if graph.count("PReLU") else _rrdb
        forward_pass(graph)
    except _BrokenError as error:
        raise UserError(Phrase("'", param, f"' {error}"), remedy=error.remedy) from error
    data = _read(weights, _MAX_BIN_BYTES)
    try:
        return _tensors(graph, data)
    except _BrokenError as error:
        raise UserError(Phrase("'", weights, f"' {error}")) from error


class _BrokenError(Exception):
    """What is wrong with a file, and what mends it, if anything does; the caller knows its name."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.remedy = remedy


def _read(path: Path, limit: int) -> bytes:
    """A whole file. Raises UserError when it is missing or larger than any network of this kind."""
    if not path.is_file():
        raise UserError(
            Phrase("'", path, "' is missing"),
            remedy="an ncnn model is two files of one name, .param and .bin",
        )
    if path.stat().st_size > limit:
        raise UserError(Phrase("'", path, f"' is larger than {limit // 2**20} MB"))
    return path.read_bytes()


def _stranger(layer: Layer, problem: str) -> _BrokenError:
    return _BrokenError(f"{_STRANGER}: layer '{layer.name:.60}' ({layer.kind:.30}) {problem}")


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file. Lists of numbers have their key brought back to the plain one:
    `-23310=1,0.2` is `{10: (0.2,)}`.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: dict[int, Setting]

    def whole(self, key: int) -> int:
        """The number of that key, which counts something. Raises when it is none."""
        value = self.values.get(key)
        if not isinstance(value, float) or not value.is_integer() or not 0 < value < 2**31:
            raise _BrokenError(f"is broken: layer '{self.name:.60}' has no valid number {key}")
        return int(value)

    def require(self, wanted: dict[int, Setting], *, optional: set[int], free: set[int]) -> None:
        """Raise unless each number is as wanted: those of `optional` may be left out, because
        ncnn's default is the same; those of `free` are read elsewhere.
        """
        known = wanted.keys() | free
        given = {key: value for key, value in self.values.items() if key not in free}
        missing = wanted.keys() - optional - given.keys()
        if missing or not given.keys() <= known or any(wanted[k] != v for k, v in given.items()):
            raise _stranger(self, "has other settings")


def _layers(text: str) -> list[Layer]:
    """The layers of a `.param` file in their order. Raises for text that is not one."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or lines[0].strip() != MAGIC:
        raise _BrokenError(f"is not ncnn's text: it does not begin with {MAGIC}")
    if len(lines) - 2 > _MAX_LAYERS:
        raise _BrokenError(f"has more than {_MAX_LAYERS} layers")
    try:
        count, _ = map(int, lines[1].split())
        layers = [_layer(line.split()) for line in lines[2:]]
    except (ValueError, IndexError) as error:
        raise _BrokenError("is broken: a line is not one of ncnn's") from error
    if count != len(layers):
        raise _BrokenError(f"is broken: it announces {count} layers and has {len(layers)}")
    return layers


def _layer(words: list[str]) -> Layer:
    """A line of a `.param` file. Raises ValueError or IndexError for a line that is none."""
    kind, name = words[:2]
    reads, writes = int(words[2]), int(words[3])
    if not (kind.isprintable() and name.isprintable()):
        raise ValueError("messages show these words")
    if reads < 0 or writes < 0 or reads + writes > len(words) - 4:
        raise ValueError("blobs are missing")
    values: dict[int, Setting] = {}
    for word in words[4 + reads + writes :]:
        key_text, _, value = word.partition("=")
        key = int(key_text)
        if key <= -23300:  # a list: its length, then its items
            length, *items = value.split(",")
            if int(length) != len(items):
                raise ValueError("a list of another length")
            values[-23300 - key] = tuple(map(float, items))
        else:
            values[key] = float(value)
    blobs = words[4 : 4 + reads + writes]
    return Layer(kind, name, tuple(blobs[:reads]), tuple(blobs[reads:]), values)


class Graph:
    """The layers of a network, asked for one after the other as its forward pass runs over them.

    Each step names the blobs that it works on and returns the blob it yields; it raises when the
    graph has no such layer. Steps with weights are given their `name` in the official checkpoints.
    """

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers
        self.names: dict[str, str] = {}  # of layers with weights: ncnn's name → the official one
        self._origin: dict[str, str] = {}  # copies that Split makes of a blob → that blob
        self._channels: dict[str, int] = {}
        self._unused: dict[tuple[str, tuple[str, ...]], Layer] = {}
        blobs = [blob for layer in layers for blob in layer.outputs]
        if len(set(blobs)) < len(blobs) or len({one.name for one in layers}) < len(layers):
            raise _BrokenError("is broken: two layers or blobs share a name")
        for layer in layers:
            inputs = tuple(self._origin.get(blob, blob) for blob in layer.inputs)
            if layer.kind == "Split" and len(inputs) == 1:
                self._origin.update(dict.fromkeys(layer.outputs, inputs[0]))
            elif self._unused.setdefault((layer.kind, inputs), layer) is not layer:
                raise _stranger(layer, "stands twice")

    def count(self, kind: str) -> int:
        """How many layers there are of a kind."""
        return sum(layer.kind == kind for layer in self.layers)

    def channels(self, blob: str) -> int:
        """How many channels a blob has that a step has yielded."""
        return self._channels[blob]

    def photo(self) -> str:
        """The network's input, of three channels."""
        return self._output(self._take("Input"), channels=3)

    def convolution(
        self, name: str, blob: str, channels: int | None, activation: dict[int, Setting] = _LINEAR
    ) -> str:
        """3×3 to so many channels (None: any), stride 1, with bias, zeros around the border."""
        layer = self._take("Convolution", blob)
        ones: dict[int, Setting] = dict.fromkeys((2, 3, 4, 5, 12, 13, 14, 15, 16), 1.0)
        wanted = {1: 3.0, 11: 3.0, 8: 0.0, 18: 0.0, 19: 0.0, **ones, **activation}
        optional = {2, 3, 8, *range(11, 20), *(_LINEAR if activation is _LINEAR else ())}
        layer.require(wanted, optional=optional, free={0, 6})
        outputs = layer.whole(0)
        if channels not in (None, outputs):
            raise _stranger(layer, f"yields {outputs} channels, not {channels}")
        if layer.whole(6) != outputs * self._channels[blob] * 9:
            shape = f"{outputs} × {self._channels[blob]} × 3 × 3"
            raise _stranger(layer, f"has {layer.whole(6)} weights, not {shape}")
        self.names[layer.name] = name
        return self._output(layer, outputs)

    def prelu(self, name: str, blob: str) -> str:
        """A leaky ReLU with a learnt slope for each channel."""
        layer = self._take("PReLU", blob)
        layer.require({0: float(self._channels[blob])}, optional=set(), free=set())
        self.names[layer.name] = name
        return self._output(layer, self._channels[blob])

    def concatenation(self, blobs: list[str]) -> str:
        """The channels of all blobs, in that order."""
        if len(blobs) == 1:
            return blobs[0]
        layer = self._take("Concat", *blobs)
        layer.require({0: 0.0}, optional={0}, free=set())
        return self._output(layer, sum(self._channels[blob] for blob in blobs))

    def scaled_sum(self, blob: str, base: str) -> str:
        """0.2 · blob + base."""
        layer = self._take("Eltwise", blob, base)
        layer.require({0: 1.0, 1: (0.2, 1.0)}, optional=set(), free=set())
        return self._output(layer, self._channels[base])

    def sum(self, blob: str, base: str) -> str:
        """blob + base."""
        swapped = ("BinaryOp", (base, blob)) in self._unused
        layer = self._take("BinaryOp", *((base, blob) if swapped else (blob, base)))
        layer.require({0: 0.0, 1: 0.0}, optional={0, 1}, free=set())
        return self._output(layer, self._channels[base])

    def nearest(self, blob: str, factor: int) -> str:
        """Every pixel `factor` times in both directions."""
        layer = self._take("Interp", blob)
        unset: dict[int, Setting] = dict.fromkeys((3, 4, 5, 6), 0.0)
        wanted = {0: 1.0, 1: float(factor), 2: float(factor), **unset}
        layer.require(wanted, optional=set(unset), free=set())
        return self._output(layer, self._channels[blob])

    def pixel_shuffle(self, blob: str) -> tuple[str, int]:
        """Channels laid out as pixels of three channels, and the factor by which that enlarges."""
        layer = self._take("PixelShuffle", blob)
        layer.require({1: 0.0}, optional={1}, free={0})
        factor = layer.whole(0)
        if self._channels[blob] != 3 * factor**2:
            raise _stranger(layer, "does not yield three channels")
        return self._output(layer, 3), factor

    def end(self, blob: str) -> None:
        """Raise when the graph goes on, or has layers that the forward pass has not met."""
        for (kind, inputs), layer in self._unused.items():
            if kind == "Interp" and inputs == (blob,):
                raise _BrokenError(
                    f"ends with a resize (layer '{layer.name:.60}'), which the official layout of"
                    " its network cannot hold",
                    remedy="use the file of the network's own scale: it holds the same weights",
                )
            raise _stranger(layer, "is not part of it")

    def _take(self, kind: str, *blobs: str) -> Layer:
        layer = self._unused.pop((kind, blobs), None)
        if layer is None:
            after = f"after {blobs[0][:60]!r}" if blobs else "at its beginning"
            raise _BrokenError(f"{_STRANGER}: no {kind} stands {after}")
        return layer

    def _output(self, layer: Layer, channels: int) -> str:
        if len(layer.outputs) != 1:
            raise _stranger(layer, f"yields {len(layer.outputs)} blobs, not one")
        self._channels[layer.outputs[0]] = channels
        return layer.outputs[0]


def _rrdb(graph: Graph) -> None:
    """The forward pass of RRDBNet ×4 with nearest enlargement (ESRGAN, section 3.1)."""
    blocks = (graph.count("Convolution") - 6) // 15
    if blocks < 1:
        raise _BrokenError(f"{_STRANGER}: it has neither PReLU layers nor dense blocks")
    first = body = graph.convolution("conv_first", graph.photo(), None)
    width = graph.channels(first)
    for block in range(blocks):
        start = body
        for rdb in (1, 2, 3):
            dense, place = [body], f"body.{block}.rdb{rdb}"
            for k in (1, 2, 3, 4):
                joined = graph.concatenation(dense)
                dense.append(graph.convolution(f"{place}.conv{k}", joined, _GROWTH, _LEAKY))
            joined = graph.concatenation(dense)
            body = graph.scaled_sum(graph.convolution(f"{place}.conv5", joined, width), body)
        body = graph.scaled_sum(body, start)
    body = graph.sum(graph.convolution("conv_body", body, width), first)
    for up in (1, 2):
        body = graph.convolution(f"conv_up{up}", graph.nearest(body, 2), width, _LEAKY)
    body = graph.convolution("conv_hr", body, width, _LEAKY)
    graph.end(graph.convolution("conv_last", body, 3))


def _compact(graph: Graph) -> None:
    """The forward pass of SRVGGNetCompact of any depth, width and scale: the convolutions predict
    the difference to the photo enlarged by its nearest pixels.
    """
    photo = body = graph.photo()
    width, last = None, 2 * graph.count("PReLU")
    for index in range(0, last, 2):
        body = graph.convolution(f"body.{index}", body, width)
        width = graph.channels(body)
        body = graph.prelu(f"body.{index + 1}", body)
    body, factor = graph.pixel_shuffle(graph.convolution(f"body.{last}", body, None))
    graph.end(graph.sum(body, graph.nearest(photo, factor)))


def _tensors(graph: Graph, data: bytes) -> dict[str, Tensor]:
    """The weights in a `.bin` file, fp32, by their official names; the file is used up exactly."""
    found: dict[str, Tensor] = {}
    start = 0

    def take(dtype: str, count: int, name: str) -> np.ndarray:
        nonlocal start
        size = count * np.dtype(dtype).itemsize
        if start + size > len(data):
            raise _BrokenError(f"is cut off: it ends within the weights of layer '{name:.60}'")
        values = np.frombuffer(data, dtype, count, start)
        start += -(-size // 4) * 4  # the next weights begin at a multiple of four bytes
        return values

    for layer in graph.layers:
        if layer.name not in graph.names:
            continue
        place, channels = graph.names[layer.name], layer.whole(0)
        if layer.kind == "PReLU":
            found[f"{place}.weight"] = _tensor(take("<f4", channels, layer.name))
            continue
        (tag,) = take("<u4", 1, layer.name).tolist()
        if tag not in _DTYPES:
            raise _BrokenError(
                "holds quantized (int8) weights, which are not read"
                if tag == _INT8
                else f"is broken, or quantized: layer '{layer.name:.60}' has the unknown tag"
                f" 0x{tag:08X}"
            )
        weights = _tensor(take(_DTYPES[tag], layer.whole(6), layer.name))
        found[f"{place}.weight"] = weights.reshape(channels, -1, 3, 3)
        found[f"{place}.bias"] = _tensor(take("<f4", channels, layer.name))
    if start != len(data):
        raise _BrokenError(f"does not fit its .param file: {len(data) - start} bytes are left over")
    return found


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
