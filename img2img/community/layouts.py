"""How a file of other people names its tensors, so that what was learned since can be written back
into the same layout.

spandrel builds ESRGAN with the names of its first version, whichever version a file has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

from torch import Tensor, nn

from img2img.errors import UserError
from img2img.models.picture import LayoutConfig
from img2img.models.spandrel import Names, SpandrelConfig, SpandrelNetwork
from img2img.recipe import Recipe

PUBLISHED_UNDER = "params_ema"
"""The key of a `.pth` under which training programs keep averaged weights."""

# Parts of a name, in the first version as in the later ones.
_ESRGAN = {
    "esrgan": ("conv_first", r"RRDB_trunk.\1.RDB\2.conv\3", "trunk_conv", "upconv", "HRconv"),
    "real_esrgan": ("conv_first", r"body.\1.rdb\2.conv\3", "conv_body", "conv_up", "conv_hr"),
}


def layout_of(
    state: Mapping[str, Any], tensors: Set[str], architecture: str, own: Set[str]
) -> dict[str, str]:
    """`names` and `wrapped` of a config: of a file with this state, whose tensors have these names,
    and the network that spandrel built of it `own` ones.
    """
    keys = (key for key, value in state.items() if isinstance(value, dict) and tensors <= {*value})
    names: Names = "unknown"
    if tensors <= own:
        names = "own"
    elif architecture == "ESRGAN":
        names = "real_esrgan" if "conv_body.weight" in tensors else "esrgan"
    return {"names": names, "wrapped": next(keys, "")}


def layout_weights(
    recipe: Recipe, network: nn.Module, *, as_ours: bool = False
) -> dict[str, Tensor]:
    """The weights of a network by the names of its file; `as_ours`: by those that our generators of
    the same architecture have.

    Raises UserError where the network has no layout that others open, or an unknown one.
    """
    generator = recipe.generator
    if isinstance(generator, LayoutConfig):
        return network.state_dict()
    if not isinstance(generator, SpandrelConfig) or not isinstance(network, SpandrelNetwork):
        raise UserError(
            f"a {generator.kind} has no layout that other programs open",
            remedy="train a generator of kind rrdb, compact or span",
        )
    for module in network.modules():
        # Of SPAN: the convolution that is computed with, of those that learned.
        getattr(module, "update_params", lambda: None)()
    weights = network.network.state_dict()
    names = generator.names
    if as_ours and generator.architecture == "ESRGAN":
        names = "real_esrgan"
    if names == "unknown":
        raise UserError(
            f"how the file of this {generator.architecture} names its tensors is not known",
            remedy="export it as safetensors",
        )
    if names == "own":
        return weights
    return {_in_esrgan(name, weights, names): value for name, value in weights.items()}


def _in_esrgan(name: str, weights: Mapping[str, Tensor], layout: str) -> str:
    """A name of the first version (`model.1.sub.0.RDB1.conv1.0.weight`) in a later one."""
    first, block, after, enlarging, before_last = _ESRGAN[layout]
    part, kind = name.rsplit(".", 1)
    inner = re.fullmatch(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d+)\.0", part)
    if inner:
        return f"{inner.expand(block)}.{kind}"
    if re.fullmatch(r"model\.1\.sub\.\d+", part):
        return f"{after}.{kind}"
    if part.startswith("model.1."):
        return name  # of ESRGAN+, which no later version has
    number, last = _place(name), max(map(_place, weights))
    by_place = {0: first, last - 2: before_last, last: "conv_last"}
    return f"{by_place.get(number, f'{enlarging}{number // 3}')}.{kind}"


def _place(name: str) -> int:
    """The first number in a name: its layer's."""
    return int(re.findall(r"\d+", name)[0])
