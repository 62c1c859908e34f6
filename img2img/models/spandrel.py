"""Networks of other people, built by spandrel (ESRGAN, DAT, SPAN, LaMa, …).

They answer with a picture, and are wrapped here to say what it adds to a task's trivial answer.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from img2img.conflicts import Conflict, RecipeContext
from img2img.environment import declare_torchvision_ops
from img2img.errors import UserError, one_line
from img2img.models.base import Shapes
from img2img.models.picture import PictureConfig, PictureNetwork

Tiling = Literal["supported", "discouraged", "internal"]
Names = Literal["own", "esrgan", "real_esrgan", "unknown"]

WHOLE_PX = 1024  # a photo of a network for which tiling is discouraged goes whole up to this side
_MOST = 65536  # of a whole number among the parameters: widths, depths, sizes
_MOST_BYTES = 4 * 2**30  # of what a network is built of; no file with more is opened
_MOST_OPERATIONS = 30_000  # that build a network; the deepest take some 10,000
_MOST_LISTED = 4096  # of a number in a list: depths of stages, widths
_ONE_BY_ONE = ("DRUNet",)  # called by spandrel for one picture at a time
_OWN_LAYOUT = ("GFPGAN", "IPT")  # reshape what convolutions give: not channels-last


class SpandrelConfig(PictureConfig):
    """A network by the name that spandrel has for it. `img2img import` and `train.init` fill these
    fields in; by hand, `architecture` and `parameters` are enough.
    """

    kind: Literal["spandrel"] = "spandrel"
    architecture: str = Field("", description="spandrel's name: ESRGAN, Compact, SPAN, DAT, …")
    variant: str = Field("", description="its class, where an architecture has several")
    parameters: dict[str, Any] = Field(
        {}, description="what its class is built with; what is left out is the class's default"
    )
    scale: int = Field(1, ge=1, le=16, description="output size over input size")
    masked: bool = Field(
        False, description="it completes holes: the last channel of what it sees is a mask"
    )
    tiling: Tiling = Field(
        "supported",
        description="whether a photo may go through it in tiles; discouraged: above 1024 px only",
    )
    size_multiple_px: int = Field(
        1, ge=1, le=1024, description="sides of what it sees are multiples of this"
    )
    names: Names = Field(
        "own", description="of the tensors in its file: own, those of the class as spandrel has it"
    )
    wrapped: str = Field("", description="the key under which its file has the tensors")

    network: ClassVar[Any] = None
    exact_in_fp32: ClassVar[bool] = True

    @field_validator("parameters")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, number, most in _numbers(value):
            if not abs(number) <= most:
                raise ValueError(f"{name} is {number}: at most {most}")
        return value

    @property
    def community_format(self) -> str:
        """What exporting to its layout is called."""
        return self.architecture.lower()

    @property
    def tile_align_px(self) -> int:
        """Windows of attention start where they would in the whole photo."""
        return math.lcm(64, self.size_multiple_px)

    def tile_px(self, scale: int) -> int:
        return {1: 512, 2: 384}.get(scale, 256)

    def tiles_photo(self, size: tuple[int, int]) -> bool:
        if self.tiling == "discouraged":
            return max(size) > WHOLE_PX
        return self.tiling == "supported"

    @property
    def left_open(self) -> bool:
        """It is the network of the file that training starts from."""
        return not self.architecture

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if self.left_open:
            if context.starts_from is None:
                problem = "is missing: name one, or start from a file with train.init"
                yield Conflict(".architecture", problem)
            return
        if self.scale != context.scale:
            yield self._conflict_of_scale(context)
        fills = self.masked
        if fills != context.task.fills:
            does = "completes holes" if fills else "sees no mask"
            task = f"task '{context.task.kind}' {'fills holes' if not fills else 'has none'}"
            yield Conflict(".architecture", f"'{self.architecture}' {does}, and {task}")

    def _conflict_of_scale(self, context: RecipeContext) -> Conflict:
        task = f"the task enlarges ×{context.scale}" if context.scale > 1 else "the task keeps size"
        if context.starts_from is None:
            written = (f"generator.scale={context.scale}",)
            return Conflict(".scale", f"is {self.scale}, and {task}", written)
        as_file = (f"task.factor={self.scale}",) if min(self.scale, context.scale) > 1 else ()
        does = f"enlarges ×{self.scale}" if self.scale > 1 else "keeps size"
        other = "" if as_file else f": start from a file for ×{context.scale}, or take a recipe"
        fitting = f" for ×{self.scale}" if other else ""
        problem = f"'{context.starts_from}' {does}, and {task}{other}{fitting}"
        return Conflict("train.init", problem, as_file)

    def build(self, shapes: Shapes) -> nn.Module:
        """Raises UserError where its class cannot be built with the parameters, or not within the
        size that networks have.
        """
        network = _class_of(self.architecture, self.variant)
        try:
            with torch.device("cpu"), Bounded():  # its numbers are looked at, also for shapes alone
                module = network(**self.parameters)
                built = SpandrelNetwork(_architecture(self.architecture).load(module.state_dict()))
        except Exception as error:  # of any of 42 libraries' worth of constructors
            raise UserError(
                f"{self.architecture} cannot be built with these: {one_line(error)}",
                field="generator.parameters",
            ) from error
        if built.scale != self.scale:
            problem = f"is {self.scale}, and its parameters build one of ×{built.scale}"
            raise UserError(problem, field="generator.scale")
        if built.masked != self.masked:
            problem = f"is {self.masked}, and {self.architecture} is otherwise"
            raise UserError(problem, field="generator.masked")
        return built

    @classmethod
    def of(cls, descriptor: Any) -> SpandrelConfig:
        """The fields of a network that spandrel has loaded. Raises ValueError where the class has
        parameters that are not plain data.
        """
        module, size = descriptor.model, descriptor.size_requirements
        defaults = inspect.signature(type(module).__init__).parameters
        return cls(
            architecture=descriptor.architecture.id,
            variant=type(module).__name__,
            parameters={
                name: json.loads(json.dumps(value))
                for name, value in module.hyperparameters.items()
                if name not in defaults or value is not defaults[name].default
            },
            scale=descriptor.scale,
            masked=descriptor.purpose == "Inpainting",
            tiling=descriptor.tiling.name.lower(),
            size_multiple_px=size.multiple_of,
        )


class SpandrelNetwork(PictureNetwork):
    """(B,Cin,H,W) to what its picture adds to the input, bicubically enlarged: (B,3,H·s,W·s).

    Networks of one channel see each of the three by itself; a fourth (alpha) is opaque. Of a
    masked network the condition's last channel is the mask.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__(int(descriptor.scale))
        self.network = descriptor.model
        self.descriptor = [descriptor]  # in a list, so that its module is registered once
        self.masked = descriptor.purpose == "Inpainting"
        self.default_layout = descriptor.architecture.id in _OWN_LAYOUT

    def answer(self, picture: Tensor, mask: Tensor | None = None) -> Tensor:
        (descriptor,), batch = self.descriptor, len(picture)
        seen = _channels(picture, descriptor.input_channels)
        height, width = seen.shape[-2:]
        inputs = [_padded(x, descriptor.size_requirements) for x in (seen, mask) if x is not None]
        if self.default_layout:
            inputs = [x.contiguous() for x in inputs]
        at_once = 1 if descriptor.architecture.id in _ONE_BY_ONE else len(seen)
        parts = zip(*(x.split(at_once) for x in inputs), strict=True)
        out = torch.cat([descriptor._call_fn(self.network, *part) for part in parts])
        out = out[..., : height * self.scale, : width * self.scale]
        if len(out) != batch:  # channel by channel
            out = out.reshape(batch, 3, *out.shape[-2:])
        return out.expand(-1, 3, -1, -1) if out.shape[1] == 1 else out[:, :3]


class Bounded(TorchDispatchMode):
    """While a network is built from what a file says: RuntimeError before it takes more memory or
    time than any that is published, and no warnings of what torch will do one day.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bytes = self._operations = 0
        self._warnings = warnings.catch_warnings()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled in it; to be kept out of that, torch imports Dynamo: a second."""
        return False

    def __enter__(self) -> Bounded:
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._warnings.__exit__(*error)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self._operations += 1
        if self._operations > _MOST_OPERATIONS:
            raise RuntimeError("it has more layers than any network")
        self._check(_numbers_asked_for(func, args))
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self._check(out.numel())
            if func._schema.returns[0].alias_info is None:  # its memory is its own
                self._bytes += out.numel() * out.dtype.itemsize
                self._check(self._bytes // 4)
        return out

    def _check(self, numbers: int) -> None:
        if numbers * 4 > _MOST_BYTES:
            raise RuntimeError(f"it is larger than {_MOST_BYTES // 2**30} GiB")


def _numbers_asked_for(func: Any, args: Sequence[Any]) -> int:
    """How many the result of an operation may have: by a size among its arguments, or by tensors
    that are broadcast against each other.
    """
    if func.overloadpacket.__name__ in ("arange", "linspace"):
        return int(max((abs(a) for a in args if isinstance(a, int | float)), default=0))
    sizes = [a for a in args if isinstance(a, list | tuple) and all(type(n) is int for n in a)]
    shapes = [a.shape for a in args if isinstance(a, Tensor)]
    if len(shapes) > 1:
        sides = max(len(shape) for shape in shapes)
        aligned = [(1,) * (sides - len(shape)) + tuple(shape) for shape in shapes]
        sizes.append([max(side) for side in zip(*aligned, strict=True)])
    return max((math.prod(map(abs, size)) for size in sizes), default=0)


def spandrel() -> Any:
    """The library. Raises UserError where it is not installed."""
    declare_torchvision_ops()  # it imports torchvision, which may lack its own
    try:
        return importlib.import_module("spandrel")
    except ImportError as error:
        raise UserError(
            "models of other people need spandrel", remedy="pip install 'img2img[community]'"
        ) from error


@cache
def _architecture(name: str) -> Any:
    support = spandrel().MAIN_REGISTRY.get(name)
    if support is None:
        known = ", ".join(sorted(one.architecture.id for one in spandrel().MAIN_REGISTRY))
        raise UserError(f"spandrel knows no architecture '{name}'", remedy=f"one of {known}")
    return support.architecture


def _class_of(architecture: str, variant: str) -> Any:
    """The class of a network among those that its architecture's package has."""
    name = _architecture(architecture).id
    package = importlib.import_module(f"spandrel.architectures.{name}")
    found = {
        value.__name__: value
        for value in vars(package).values()
        if isinstance(value, type) and issubclass(value, nn.Module)
    }
    if variant in found:
        return found[variant]
    if variant or len(found) != 1:
        raise UserError(
            f"'{variant}' is none of {name}'s classes",
            field="generator.variant",
            remedy=f"one of {', '.join(found)}",
        )
    return next(iter(found.values()))


def _channels(picture: Tensor, wanted: int) -> Tensor:
    if wanted == 1:
        return picture.reshape(-1, 1, *picture.shape[-2:])
    if wanted == 4:
        return torch.cat([picture, torch.ones_like(picture[:, :1])], 1)
    return picture


def _padded(x: Tensor, requirements: Any) -> Tensor:
    """Mirrored, then repeated, on the right and the bottom: as spandrel's own call does it."""
    right, bottom = requirements.get_padding(x.shape[-1], x.shape[-2])
    if not right and not bottom:
        return x
    mirrored = min(right, x.shape[-1] - 1), min(bottom, x.shape[-2] - 1)
    x = nn.functional.pad(x, (0, mirrored[0], 0, mirrored[1]), "reflect")
    rest = (0, right - mirrored[0], 0, bottom - mirrored[1])
    return nn.functional.pad(x, rest, "replicate") if any(rest) else x


def _numbers(
    value: Any, name: str = "parameters", most: int = _MOST
) -> Iterator[tuple[str, float, int]]:
    """Numbers, and lengths of lists, each with its name and the most that it may be."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}", most)
    elif isinstance(value, list):
        yield f"the length of {name}", len(value), 64
        for inner in value:
            yield from _numbers(inner, name, _MOST_LISTED)
    elif isinstance(value, int | float):
        yield name, value, most
