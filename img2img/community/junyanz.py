"""Generators of junyanz's pytorch-CycleGAN-and-pix2pix (`latest_net_G.pth`) as our networks.

Such a file is a state dict alone: the options its network was built with are not in it. Nearly all
of them show in the names and shapes of the tensors:

- kind: how deep U-Net blocks are nested, or how many residual blocks there are;
- width, and the channels of input and output: the first and the last convolution;
- norm: batch has tensors. Instance norm and none have none; convolutions before a norm have a bias
  with instance norm alone. Statistics that old versions kept of instance norm were never used.
- dropout: in a residual block it moves the second convolution by one place. In a U-Net it shows
  nowhere, and matters only if training goes on.

Their pictures lie in [-1,1] like those within our networks, so that the same picture in [0,1] gives
the same result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypedDict, Unpack

import torch
from torch import Tensor

from img2img.errors import Advice, Option, UserError
from img2img.modelfile import Card, Header
from img2img.models.blocks import AtTest, Norm
from img2img.recipe import Recipe
from img2img.tasks.unpaired import DIRECTIONS, Direction
from img2img.version import __version__

NORMS: tuple[Norm, ...] = ("batch", "instance", "none")
AT_TEST: tuple[AtTest, ...] = ("running", "picture")
DROPOUT = 0.5
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_DEEPEST, _MOST_BLOCKS = 9, 64  # what is looked at before a file is refused


class GeneratorOptions(TypedDict, total=False):
    """What a user may tell of a checkpoint; None is read off the tensors."""

    kind: str | None
    """`unet_128`, `unet_256`, `resnet_6`, `resnet_9`, also as `resnet_9blocks`."""
    norm: Norm | None
    dropout: bool | None
    """Of a U-Net, whose tensors do not show it: on unless this is False."""
    at_test: AtTest | None
    """Statistics that batch norm goes by: `running`, their test.py with `--eval` and the default
    here, or `picture`, without."""
    direction: Direction | None
    """Which half of a pair side by side is the input; AtoB by default, as theirs."""


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a generator lie in its state dict."""

    network: Literal["unet", "resnet"]
    depth: int
    """Halvings of a U-Net, residual blocks of a ResNet."""
    first: str
    """The first convolution: (width, channels in, k, k)"""
    last: str
    """The last one; its output has the channels of the picture."""
    inner: str
    """A convolution before a norm."""
    norm: str
    """That norm."""
    dropout: bool | None
    """None where it does not show."""

    @property
    def kind(self) -> str:
        """The word for it in their options, without `blocks`."""
        return f"unet_{2**self.depth}" if self.network == "unet" else f"resnet_{self.depth}"

    def names(self) -> Iterator[tuple[str, str]]:
        """Every module that has tensors: its name there, and here."""
        yield from (_unet_names if self.network == "unet" else self._resnet_names)(self.depth)

    def _resnet_names(self, blocks: int) -> Iterator[tuple[str, str]]:
        """Ours has one layer more at the front, which brings [0,1] to [-1,1]."""
        second = 6 if self.dropout else 5
        end = 10 + blocks
        for place in (1, 2, 4, 5, 7, 8, end, end + 1, end + 3, end + 4, end + 7):
            yield f"model.{place}", f"layers.{place + 1}"
        for block in range(10, end):
            for place in (1, 2, second, second + 1):
                yield f"model.{block}.conv_block.{place}", f"layers.{block + 1}.layers.{place}"


def _unet_names(levels: int) -> Iterator[tuple[str, str]]:
    """Of a U-Net of nested blocks, from the outermost to the innermost."""
    theirs, ours = "model.model.", "model."
    for level in range(levels):
        if level == 0:
            parts = {0: "down.0", 3: "up.1"}
        elif level == levels - 1:
            parts = {1: "down.1", 3: "up.1", 4: "up.2"}
        else:
            parts = {1: "down.1", 2: "down.2", 5: "up.1", 6: "up.2"}
        yield from ((f"{theirs}{place}", ours + part) for place, part in parts.items())
        theirs += "3.model." if level else "1.model."
        ours += "inner."


def is_junyanz(state: Mapping[str, Any]) -> bool:
    """Whether the tensors are named like those of a generator, or discriminator, of theirs."""
    plain = _plain(state)
    return _layout(plain) is not None or _is_discriminator(plain)


def recognise(
    state: Mapping[str, Any], name: str = "translate", **options: Unpack[GeneratorOptions]
) -> Recipe:
    """The recipe of a generator, with which `convert` gives its weights.

    Args:
        state: what `latest_net_G.pth` holds.
        name: what the recipe is to be called.
        options: what is known of it.

    Raises:
        UserError: the tensors are of no such generator, or an option contradicts them.
    """
    state = _plain(state)
    layout = _layout(state) or _refuse(state)
    _check_options(layout, options)
    norm = _norm(state, layout, options.get("norm"))
    biased = f"{layout.inner}.bias" in state
    dropout = _dropout(layout, options.get("dropout"))
    at_test = options.get("at_test") or "running"
    if at_test != "running" and norm != "batch":
        raise UserError(
            f"chooses the statistics of batch norm, and the norm is {norm}",
            field=("at_test",),
            remedy=Advice.leave_out("at_test"),
        )
    width, channels_in = (int(n) for n in state[f"{layout.first}.weight"].shape[:2])
    # Weights of a transposed convolution have input and output the other way round.
    channels_out = int(state[f"{layout.last}.weight"].shape[layout.network == "unet"])
    for channels, what in ((channels_in, "takes"), (channels_out, "makes")):
        if channels not in (1, 3):
            raise UserError(f"its network {what} {channels} channels, and pictures have 3 or 1")
    depth = "levels" if layout.network == "unet" else "blocks"
    as_published = norm != "batch"
    fields = {
        "name": re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip("_.-") or "translate",
        "task": {
            "kind": "translate",
            "direction": options.get("direction") or "AtoB",
            "input_channels": None if channels_in == 3 else 1,
            "output_channels": channels_out,
        },
        "data": {"crop_px": 2**layout.depth if layout.network == "unet" else 256},
        "generator": {
            "kind": layout.network,
            "width": width,
            depth: layout.depth,
            "norm": norm,
            "at_test": at_test,
            "dropout": DROPOUT * dropout,
            "biases": None if biased == as_published else biased,
        },
    }
    return Recipe.parse(fields, where="the checkpoint's recipe", trusted=False)


def convert(state: Mapping[str, Any], recipe: Recipe) -> dict[str, Tensor]:
    """The weights by the names of the recipe's generator, fp32. Raises UserError for tensors that
    are missing, of another shape, or of something else.
    """
    state = _plain(state)
    layout = _layout(state) or _refuse(state)
    with torch.device("meta"):
        wanted = recipe.build_generator().state_dict()
    weights: dict[str, Tensor] = {}
    left = set(state)
    for theirs, ours in layout.names():
        for part in ("weight", "bias", *_STATISTICS):
            name, place = f"{theirs}.{part}", f"{ours}.{part}"
            left.discard(name)
            if place not in wanted:
                # What old versions kept of instance norm was never used.
                left |= {name} & state.keys() if part not in _STATISTICS else set()
            elif part == "num_batches_tracked":  # only since PyTorch 0.4.1, and of no effect
                weights[place] = torch.tensor(0)
            elif name not in state:
                raise UserError(f"tensor '{name}' is missing: the file is not whole")
            elif (shape := tuple(state[name].shape)) != (fits := tuple(wanted[place].shape)):
                raise UserError(f"tensor '{name}' is {shape}, and {layout.kind} has {fits}")
            else:
                weights[place] = state[name].detach().float()
    if left:
        raise UserError(f"tensor '{min(left)}' belongs to no generator of pix2pix or CycleGAN")
    return weights


def read_generator(
    state: Mapping[str, Any], path: Path, **options: Unpack[GeneratorOptions]
) -> tuple[Header, dict[str, Tensor]]:
    """Recipe, card and weights of what a file holds. Raises UserError as `recognise` and `convert`
    do, naming the file.
    """
    try:
        recipe = recognise(state, path.stem, **options)
        weights = convert(state, recipe)
    except UserError as error:
        raise error.at(path) from error
    card = Card(network=description(recipe), title=path.stem, terms="unknown", version=__version__)
    return Header(recipe=recipe, card=card), weights


def description(recipe: Recipe) -> str:
    """What was recognised, in a line for the card."""
    generator = recipe.generator.model_dump()
    kind = generator["kind"]
    depth = 2 ** generator["levels"] if kind == "unet" else generator["blocks"]
    said = f"{kind}_{depth} of width {generator['width']}, norm {generator['norm']}"
    said += f", dropout {generator['dropout']:g}" if generator["dropout"] else ", no dropout"
    return f"pix2pix or CycleGAN, {said}"


def _plain(state: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Names without the prefix of a network on several GPUs; empty for what holds more than
    tensors.
    """
    if not all(isinstance(value, Tensor) for value in state.values()):
        return {}
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return state


def _layout(state: Mapping[str, Tensor]) -> _Layout | None:
    """None for tensors that lie in neither way."""
    if _kernel(state, "model.model.0") == 4 and _kernel(state, "model.model.3") == 4:
        levels, inside = 1, "model.model.1.model."
        while levels < _DEEPEST and any(name.startswith(inside) for name in state):
            levels, inside = levels + 1, f"{inside}3.model."
        inner = "model.model.1.model."
        if levels < 5 or any(name.startswith(inside) for name in state):
            return None
        return _Layout(
            "unet", levels, "model.model.0", "model.model.3", f"{inner}1", f"{inner}2", None
        )
    blocks = 0
    while blocks < _MOST_BLOCKS and f"model.{10 + blocks}.conv_block.1.weight" in state:
        blocks += 1
    last = f"model.{17 + blocks}"
    if not blocks or _kernel(state, "model.1") != 7 or _kernel(state, last) != 7:
        return None
    dropout = "model.10.conv_block.6.weight" in state and _kernel(state, "model.10.conv_block.6")
    return _Layout("resnet", blocks, "model.1", last, "model.1", "model.2", bool(dropout))


def _kernel(state: Mapping[str, Tensor], module: str) -> int:
    """Side of a convolution's kernel; 0 where there is no convolution of that name."""
    weight = state.get(f"{module}.weight")
    return weight.shape[-1] if weight is not None and weight.dim() == 4 else 0


def _is_discriminator(state: Mapping[str, Tensor]) -> bool:
    patches = _kernel(state, "model.0") == 4 and _kernel(state, "model.2") == 4
    return patches or (_kernel(state, "net.0") == 1 and _kernel(state, "net.2") == 1)


def _refuse(state: Mapping[str, Tensor]) -> NoReturn:
    if _is_discriminator(state):
        raise UserError(
            "holds a discriminator, which makes no pictures", remedy="give latest_net_G.pth"
        )
    raise UserError(
        "holds no generator of pix2pix or CycleGAN: no U-Net of 128 or 256 px, no ResNet of 6 or 9 "
        "blocks"
    )


def _norm(state: Mapping[str, Tensor], layout: _Layout, asked: Norm | None) -> Norm:
    """As the tensors show it. What is asked for decides between instance and none, which have no
    tensors: a variant of theirs may have biases where theirs has none.
    """
    scaled = f"{layout.norm}.weight" in state
    if scaled and f"{layout.norm}.running_mean" not in state:
        raise UserError("its norm has weights and no statistics, which none of theirs has")
    if asked is not None and (asked == "batch") != scaled:
        shown = "has the tensors of batch norm" if scaled else "has no tensors of a batch norm"
        raise UserError(
            f"the file {shown}", field=Option("norm", asked), remedy=Advice.leave_out("norm")
        )
    if scaled:
        return "batch"
    return asked or ("instance" if f"{layout.inner}.bias" in state else "none")


def _dropout(layout: _Layout, asked: bool | None) -> bool:
    if layout.dropout is None:
        return asked is not False
    if asked not in (None, layout.dropout):
        raise UserError(
            f"the residual blocks in the file have {'one' if layout.dropout else 'none'}",
            field="dropout",
            remedy=Advice.leave_out("dropout"),
        )
    return layout.dropout


def _check_options(layout: _Layout, options: GeneratorOptions) -> None:
    """Raise UserError for a kind that the file is not of, and for words that are no choice."""
    kind = options.get("kind")
    if kind is not None and kind.removesuffix("blocks") != layout.kind:
        raise UserError(
            f"the file is of {layout.kind}",
            field=Option("kind", kind),
            remedy=Advice.leave_out("kind"),
        )
    choices = {"norm": NORMS, "at_test": AT_TEST, "direction": DIRECTIONS}
    for name, known in choices.items():
        if (value := options.get(name)) not in (None, *known):
            raise UserError(f"'{value}' is none of {', '.join(known)}", field=name)
