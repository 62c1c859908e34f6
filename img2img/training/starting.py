"""What a training starts from (`train.init`), and what of it stays as it is (`train.freeze`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from img2img.errors import UserError
from img2img.modelfile import read_weights
from img2img.recipe import Recipe
from img2img.zoo.catalogue import CATALOGUE

PICTURE = 3  # channels of a picture in color; further ones (a mask, hints) stand behind


@dataclass
class Fit:
    """Weights of one network in the place of another's, by name."""

    weights: dict[str, Tensor]
    adapted: list[str] = field(default_factory=list)  # in words
    unfit: list[str] = field(default_factory=list)  # tensors that keep what they had
    unused: int = 0  # tensors of the model without a place
    taken: int = 0  # numbers
    whole: int = 0

    def said(self) -> str:
        """`2.66 of 2.66 million weights taken, input layer adapted from 1 to 3 channels`."""
        words = [f"{_of(self.taken, self.whole)} taken", *self.adapted]
        if self.unfit:
            first = ", ".join(self.unfit[:5]) + ", …" * (len(self.unfit) > 5)
            words.append(f"{len(self.unfit)} tensors start anew ({first})")
        if self.unused:
            words.append(f"{self.unused} of its tensors not used")
        return ", ".join(words)


def fit(theirs: Mapping[str, Tensor], was: Recipe, network: nn.Module, recipe: Recipe) -> Fit:
    """A model's weights for a recipe's network: those of the same name and shape, and of the layers
    that see the condition and make the picture, changed to this task's channels."""
    own = network.state_dict()
    found = Fit(
        dict(own),
        whole=sum(value.numel() for value in own.values()),
        unused=len(theirs.keys() - own.keys()),
    )
    transposed = {
        f"{name}.weight" for name, m in network.named_modules() if isinstance(m, nn.ConvTranspose2d)
    }
    for name, value in own.items():
        given = theirs.get(name)
        if given is not None and given.shape != value.shape:
            given = _adapted(given, value, was, recipe, name in transposed, found.adapted)
        if given is None:
            found.unfit.append(name)
        else:
            found.weights[name] = given
            found.taken += value.numel()
    return found


def _adapted(
    given: Tensor, wanted: Tensor, was: Recipe, recipe: Recipe, transposed: bool, said: list[str]
) -> Tensor | None:
    """The weights or biases of the first or last layer with other channels; None for any other
    layer.
    """
    old, new = was.task, recipe.task
    if given.dim() != wanted.dim() or any(
        task.from_noise or task.bottleneck for task in (old, new)
    ):
        return None
    into, out = (0, 1) if transposed else (1, 0)
    into, out = (into, out) if given.dim() > 1 else (-1, 0)
    differing = [d for d in range(given.dim()) if given.shape[d] != wanted.shape[d]]
    if differing == [into]:
        made = _seen(
            given.movedim(into, 0),
            wanted.shape[into],
            old.condition_channels,
            new.condition_channels,
        )
        told = f"input layer adapted from {old.condition_channels} to {new.condition_channels} channels"
    elif differing == [out]:
        made = _made(
            given.movedim(out, 0),
            wanted.shape[out],
            old.prediction_channels,
            new.prediction_channels,
        )
        told = f"output layer adapted from {old.prediction_channels} to {new.prediction_channels} channels"
    else:
        return None
    if made is None:
        return None
    said += [told] if told not in said else []
    return made.movedim(0, differing[0]).contiguous()


def _seen(weight: Tensor, size: int, before: int, now: int) -> Tensor | None:
    """(inputs, …) for another number of channels, each of which may be several inputs (pixels
    folded into channels).

    What a grey picture makes stays the same: one channel's weights are shared out to three, or
    three's summed up. Channels beside the picture start without effect.
    """
    if weight.shape[0] * now != size * before:
        if weight.shape[0] - before != size - now:
            return None
        kept = weight[: min(len(weight), size)]  # channels beside come behind all else
        return torch.cat([kept, kept.new_zeros(size - len(kept), *kept.shape[1:])])
    folded = weight.unflatten(0, (before, -1))
    old, new = (PICTURE if channels >= PICTURE else 1 for channels in (before, now))
    picture, beside = folded[:old], folded[old:][: now - new]
    if old < new:
        picture = picture.expand(new, *picture.shape[1:]) / new
    elif old > new:
        picture = picture.sum(0, keepdim=True)
    silent = weight.new_zeros(now - new - len(beside), *folded.shape[1:])
    return torch.cat([picture, beside, silent]).flatten(0, 1)


def _made(weight: Tensor, size: int, before: int, now: int) -> Tensor | None:
    """(outputs, …) for grey in the place of color, or the reverse: the mean, or the same three
    times.
    """
    if {before, now} != {1, PICTURE} or weight.shape[0] * now != size * before:
        return None
    folded = weight.unflatten(0, (before, -1))
    other = folded.expand(now, *folded.shape[1:]) if before < now else folded.mean(0, keepdim=True)
    return other.flatten(0, 1)


def difference(was: Recipe, recipe: Recipe) -> str:
    """How a model's network differs from the recipe's, and what to write to have the same."""
    theirs, ours = was.generator.model_dump(mode="json"), recipe.generator.model_dump(mode="json")
    if theirs["kind"] != ours["kind"]:
        return f"its generator is a {theirs['kind']}, and the recipe's a {ours['kind']}"
    if was.task.unpaired != recipe.task.unpaired:
        return f"it translates {'both ways' if was.task.unpaired else 'one way'}, and the recipe does not"
    if was.task.scale != recipe.task.scale:
        return f"it makes pictures ×{was.task.scale}, and the task ×{recipe.task.scale}"
    fields = [
        name for name in theirs if theirs[name] != ours.get(name) and _matters(recipe, name, was)
    ]
    if not fields:
        return "its task has other inputs and outputs"
    listed = ", ".join(
        f"generator.{name} is {theirs[name]} there and {ours.get(name)} here" for name in fields
    )
    same = " ".join(f"generator.{name}={_written(theirs[name])}" for name in fields)
    return f"{listed}: write {same}"


def _matters(recipe: Recipe, name: str, was: Recipe) -> bool:
    """Whether a field of the generator changes its weights' names or shapes."""
    try:
        other = recipe.generator.model_copy(update={name: getattr(was.generator, name)})
        return _shapes(recipe.model_copy(update={"generator": other})) != _shapes(recipe)
    except (ValueError, RuntimeError):  # a network of no sense without another field
        return True


def _shapes(recipe: Recipe) -> dict[str, Any]:
    with torch.device("meta"):
        return {name: value.shape for name, value in recipe.build_generator().state_dict().items()}


def _written(value: Any) -> str:
    return f"'{value}'" if isinstance(value, list) else str(value)


@dataclass
class Frozen:
    """The parts of a network that `train.freeze` names: no gradient, no statistics, no dropout."""

    parts: list[nn.Module]
    norms: list[nn.BatchNorm2d]  # of networks that always use the picture's own statistics
    count: int
    whole: int

    def said(self) -> str:
        """`3.40 of 10.66 million weights stay as they are`."""
        return f"{_of(self.count, self.whole)} stay as they are"

    def hold(self) -> None:
        """Undo what `train()` did to them."""
        for part in self.parts:
            part.eval()
        for norm in self.norms:
            norm.train()
            norm.track_running_stats = False


def freeze(network: nn.Module, names: Sequence[str]) -> Frozen:
    """Take the parts of these names (`encoder`, `down.0`) out of the training."""
    parts = [network.get_submodule(name) for name in names]
    for part in parts:
        part.requires_grad_(False)
    own_statistics = any(
        getattr(module, "at_test", "running") == "picture" for module in network.modules()
    )
    layers = {
        layer: None
        for part in parts
        for layer in part.modules()
        if isinstance(layer, nn.BatchNorm2d)
    }
    held = {parameter: None for part in parts for parameter in part.parameters()}
    count, whole = (sum(p.numel() for p in found) for found in (held, network.parameters()))
    return Frozen(parts, list(layers) if own_statistics else [], count, whole)


def _of(numbers: int, whole: int) -> str:
    return f"{numbers / 1e6:.2f} of {whole / 1e6:.2f} million weights"


def model_weights(name: str, network: nn.Module, recipe: Recipe) -> Fit:
    """The weights of a model (name, file or run folder) for a recipe's network.

    Raises UserError when they do not fit, and `train.init_partial` does not take those that do.
    """
    model = CATALOGUE.entry(name)  # raises for what is no model file
    was = model.recipe
    found = fit(read_weights(model.path), was, network, recipe)
    if not (found.unfit or found.unused) or (recipe.train.init_partial and found.taken):
        return found
    reason = f"'{name}' does not fit: {difference(was, recipe)}"
    if not found.taken:
        raise UserError(f"{reason}; nothing of it can be taken", field="train.init")
    share = _of(found.taken, found.whole)
    raise UserError(
        f"{reason}; or set train.init_partial=true to take what fits ({share})",
        field="train.init",
    )
