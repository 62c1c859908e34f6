"""Networks of other people, built by spandrel (ESRGAN, DAT, SPAN, LaMa, …).

They answer with a picture. Ours predict what a task's trivial answer lacks, so a network is wrapped
here to say that difference: strength, tiles, alpha and 16 bits then work on it as on any other.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from img2img.conflicts import Conflict, RecipeContext
from img2img.environment import declare_torchvision_ops
from img2img.errors import UserError
from img2img.models.base import GeneratorConfig, Shapes
from img2img.pixels.color import upscale

Tiling = Literal["supported", "discouraged", "internal"]

WHOLE_PX = 1024  # a photo of a network for which tiling is discouraged goes whole up to this side
_MOST = 65536  # of a whole number among the parameters: widths, depths, sizes


class SpandrelConfig(GeneratorConfig):
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
    tiling: Tiling = Field(
        "supported",
        description="whether a photo may go through it in tiles; discouraged: above 1024 px only",
    )
    size_multiple_px: int = Field(
        1, ge=1, le=1024, description="sides of what it sees are multiples of this"
    )

    network: ClassVar[Any] = None
    enlarges: ClassVar[bool] = True
    exact_in_fp32: ClassVar[bool] = True

    @field_validator("parameters")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, number in _numbers(value):
            if abs(number) > _MOST:
                raise ValueError(f"{name} is {number}: at most {_MOST}")
        return value

    @property
    def tile_align_px(self) -> int:
        """Windows of attention start where they would in the whole photo."""
        return math.lcm(64, self.size_multiple_px)

    @property
    def tile_px(self) -> int:
        """Smaller where it enlarges more: the last layers work at the size of the result."""
        return {1: 512, 2: 384}.get(self.scale, 256)

    def tiles_photo(self, size: tuple[int, int]) -> bool:
        if self.tiling == "discouraged":
            return max(size) > WHOLE_PX
        return self.tiling == "supported"

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if not self.architecture:
            if context.starts_from is None:
                problem = "is missing: name one, or start from a file with train.init"
                yield Conflict(".architecture", problem)
        elif context.scale != self.scale:
            problem = f"is {self.scale}, and the task enlarges ×{context.scale}"
            yield Conflict(".scale", problem, (f"generator.scale={context.scale}",))

    def build(self, shapes: Shapes) -> nn.Module:
        with warnings.catch_warnings():  # of what torch will do one day
            warnings.simplefilter("ignore")
            module = _class_of(self.architecture, self.variant)(**self.parameters)
            return SpandrelNetwork(_architecture(self.architecture).load(module.state_dict()))

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
            tiling=descriptor.tiling.name.lower(),
            size_multiple_px=size.multiple_of,
        )


class SpandrelNetwork(nn.Module):
    """(B,Cin,H,W) to what its picture adds to the input, bicubically enlarged: (B,3,H·s,W·s).

    Networks of one channel see each of the three by itself; a fourth (alpha) is opaque. Of a
    masked network the condition's last channel is the mask.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network = descriptor.model
        self.descriptor = [descriptor]  # in a list, so that its module is registered once
        self.masked = descriptor.purpose == "Inpainting"
        self.scale = int(descriptor.scale)

    def forward(self, condition: Tensor) -> Tensor:
        picture, mask = condition[:, :3], condition[:, -1:] if self.masked else None
        if picture.shape[1] == 1:
            picture = picture.expand(-1, 3, -1, -1)
        given = upscale(picture, self.scale) if self.scale > 1 else picture
        return self.answer(picture, mask).float() - given

    def answer(self, picture: Tensor, mask: Tensor | None = None) -> Tensor:
        """The network's own picture (B,3,H·s,W·s), unbounded."""
        (descriptor,), batch = self.descriptor, len(picture)
        seen = _channels(picture, descriptor.input_channels)
        height, width = seen.shape[-2:]
        padded = _padded(seen, descriptor.size_requirements)
        if mask is None:
            out = descriptor._call_fn(self.network, padded)
        else:
            out = descriptor._call_fn(
                self.network, padded, _padded(mask, descriptor.size_requirements)
            )
        out = out[..., : height * self.scale, : width * self.scale]
        if len(out) != batch:  # channel by channel
            out = out.reshape(batch, 3, *out.shape[-2:])
        return out.expand(-1, 3, -1, -1) if out.shape[1] == 1 else out[:, :3]


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


def _numbers(value: Any, name: str = "parameters") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, int | float):
        yield name, value
