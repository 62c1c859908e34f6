"""What a pickle of tensors says, without doing what it says.

`torch.load(weights_only=True)` runs no foreign code, but it believes the numbers in a file: it
calls `bytearray(n)` and `FloatTensor(n)`, allocates the storages of the older form at the size that
is claimed, and grows them to the shape that is claimed. One kilobyte asks for a terabyte before
anything can be checked. Here the opcodes of the pickle are read by `pickletools`, which executes
none. Tensors come out as `TensorRef`: key of the storage, type, shape and strides, for the caller
to check against the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pickletools import OpcodeInfo, genops
from typing import IO, Any

import torch

MAX_FILE_BYTES = 4 * 2**30
"""The largest restorers have some 100 million weights, 0.4 GB; a checkpoint of a training, with
average and optimizer, is four times that.
"""

_MAX_OPCODES = 1_000_000  # a tensor takes about 25: 40,000 tensors
_MAX_DIMENSIONS = 16


class MoreThanTensors(Exception):
    """The pickle names something that is no part of a tensor."""


class Implausible(Exception):
    """What a file claims of itself, and no weights file has."""


@dataclass(frozen=True)
class TensorRef:
    """A tensor as a pickle describes it; sizes, strides and offset count numbers, not bytes."""

    key: str  # of its storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """How many numbers of the storage lie between its first and its last, both included."""
        if not self.numel:
            return 0
        return 1 + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))


@dataclass
class PickleContent:
    """What one pickle holds: dicts with text as keys, lists, tuples, scalars, `TensorRef`."""

    value: Any = None
    dtypes: dict[str, torch.dtype] = field(default_factory=dict)  # of storages, by key


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _StorageRef:
    key: str
    dtype: torch.dtype
    offset: int


_STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
}
_ORDERED_DICT = "collections.OrderedDict"
_TENSORS = {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"}
_PARAMETERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
# Small values that optimizers and schedules leave in a checkpoint: passed over, never called.
_PASSED_OVER = {
    *("collections.Counter", "builtins.set", "builtins.complex", "builtins.bytearray"),
    *("_codecs.encode", "torch.Size", "torch.device"),
    *map(str, _STORAGES.values()),  # "torch.float32"
}
_KNOWN = {_ORDERED_DICT, *_TENSORS, *_PARAMETERS, *_PASSED_OVER, *_STORAGES}

_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "NONE"),
}


def read_pickle(stream: IO[bytes]) -> PickleContent:
    """The next pickle of a stream, which then stands behind it.

    Time and memory grow with the length of the pickle, whatever is in it. Raises MoreThanTensors
    for what would need an import, Implausible for too many steps or sizes that cannot be,
    and ValueError, TypeError or LookupError for a pickle that is damaged.
    """
    content = PickleContent()
    stack: list[Any] = []
    below: list[list[Any]] = []  # the stacks under each mark
    memo: dict[int, Any] = {}
    steps: Iterable[tuple[OpcodeInfo, Any, int | None]] = genops(stream)
    for count, (opcode, argument, _) in enumerate(steps):
        if count > _MAX_OPCODES:
            raise Implausible(f"its pickle has more than {_MAX_OPCODES} steps")
        match opcode.name:
            case name if name in _LITERALS:
                stack.append(argument)
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list}.get(opcode.name, tuple)())
            case "EMPTY_SET":  # passed over, with its items
                stack.append(None)
            case "MARK":
                below.append(stack)
                stack = []
            case "ADDITEMS":
                stack = below.pop()
            case "TUPLE" | "LIST" | "DICT" | "APPENDS" | "SETITEMS":
                marked, stack = stack, below.pop()
                if opcode.name in ("TUPLE", "LIST"):
                    stack.append(tuple(marked) if opcode.name == "TUPLE" else marked)
                elif opcode.name == "APPENDS":
                    _list(stack[-1]).extend(marked)
                else:
                    if opcode.name == "DICT":
                        stack.append({})
                    _set_items(stack[-1], marked)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(opcode.name[-1])
                if len(stack) < length:
                    raise IndexError("the stack is empty")
                stack[-length:] = [tuple(stack[-length:])]
            case "APPEND":
                item = stack.pop()
                _list(stack[-1]).append(item)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set_items(stack[-1], [key, value])
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL" | "INST":
                stack.append(_global(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(_global(f"{text_of(module)}.{text_of(attribute)}"))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack[-1] = _called(stack[-1], arguments)
            case "BUILD":  # attributes: the `_metadata` of a state dict
                stack.pop()
            case "BINPERSID":
                storage = _storage(stack.pop())
                content.dtypes.setdefault(storage.key, storage.dtype)
                stack.append(storage)
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                content.value = stack.pop()
            case other:
                raise MoreThanTensors(f"the opcode {other}")
    return content


def _global(name: str) -> _Global:
    name = name.replace("__builtin__.", "builtins.")  # of Python 2
    if name not in _KNOWN:
        raise MoreThanTensors(name)
    return _Global(name)


def _called(function: _Global, arguments: tuple[Any, ...]) -> Any:
    """What a call of a known name gives; None for what is passed over."""
    if not isinstance(function, _Global) or type(arguments) is not tuple or len(arguments) > 8:
        raise TypeError("a call of what is no function")
    if function.name in _PASSED_OVER:
        return None
    if function.name in _STORAGES:
        raise MoreThanTensors(f"a call of {function.name}")
    if function.name in _PARAMETERS:
        return arguments[0]
    if function.name == _ORDERED_DICT:
        items: dict[str, Any] = {}
        for pairs in arguments:  # Python 2 gave [[key, value], …]
            for key, value in _list(pairs):
                _set_items(items, [key, value])
            pairs.clear()  # so that naming one list often takes no longer
        return items
    storage, offset, shape, strides, *rest = arguments
    if len(rest) > 2 and rest[2]:
        raise MoreThanTensors("a conjugate view")
    if not isinstance(storage, _StorageRef) or type(shape) is not tuple:
        raise TypeError("a tensor of what is no storage")
    if type(strides) is not tuple or len(shape) != len(strides):
        raise TypeError("a shape without strides")
    if len(shape) > _MAX_DIMENSIONS:
        raise Implausible(f"a tensor has {len(shape)} dimensions")
    for number in (offset, *shape, *strides):
        _whole(number)
    if math.prod(max(n, 1) for n in shape) > 2**62:  # an empty tensor may have such a shape
        raise Implausible("an empty tensor has an endless shape")
    return TensorRef(storage.key, storage.dtype, storage.offset + offset, shape, strides)


def _storage(identifier: Any) -> _StorageRef:
    """("storage", type, key, location, numbers), and in old files where a view lies in it."""
    if type(identifier) is not tuple or len(identifier) not in (5, 6):
        raise TypeError("a reference to what is no storage")
    kind, storage_type, key, _, _, *view = identifier
    if text_of(kind) != "storage":
        raise MoreThanTensors(f"a saved {text_of(kind)}")
    if not isinstance(storage_type, _Global) or storage_type.name not in _STORAGES:
        raise TypeError("a storage of no type")
    offset = _whole(view[0][1]) if view and type(view[0]) is tuple else 0
    return _StorageRef(text_of(key), _STORAGES[storage_type.name], offset)


def _set_items(target: Any, keys_and_values: list[Any]) -> None:
    """Keys that are no text are passed over: the numbers of an optimizer's states, and what hashes
    forever.
    """
    if type(target) is not dict:
        raise TypeError("items of what is no dict")
    for index in range(0, len(keys_and_values), 2):
        if type(keys_and_values[index]) is str:
            target[keys_and_values[index]] = keys_and_values[index + 1]


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError("items of what is no list")
    return value


def text_of(value: Any) -> str:
    """Raises TypeError for anything else: a nested tuple as a key of a dict may hash forever."""
    if type(value) is not str:
        raise TypeError("a name that is no text")
    return value


def _whole(value: Any) -> int:
    """A count; bounded, since numbers with a million digits take forever to multiply."""
    if type(value) is not int:
        raise TypeError("a size that is no whole number")
    if not 0 <= value <= MAX_FILE_BYTES:
        raise Implausible("a tensor's size is negative or endless")
    return value
