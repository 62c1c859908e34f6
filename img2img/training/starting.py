"""The weights a training starts from (`train.init`), and those that are frozen (`train.freeze`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from img2img.community.layouts import layout_weights
from img2img.conflicts import TaskFacts
from img2img.errors import RecipeField, UserError
from img2img.models.picture import LayoutConfig
from img2img.models.spandrel import SpandrelConfig
from img2img.recipe import Recipe
from img2img.tasks import AutoencoderTask, NoiseTask, UnpairedTask
from img2img.zoo.catalogue import CATALOGUE

COLOR = 3  # channels of a picture in color; further ones (a mask, hints) come after them


@dataclass
class Fit:
    """A model's weights in the places of another network's, by name."""

    weights: dict[str, Tensor]
    adapted: list[str] = field(default_factory=list)
    """Layers that were changed to other channels, in words."""
    unfit: list[str] = field(default_factory=list)
    """Tensors of the network that keep what they had."""
    unused: int = 0
    """Tensors of the model without a place."""
    taken: int = 0
    """Numbers, of `whole` that the network has."""
    whole: int = 0

    def summary(self) -> str:
        """`2.66 of 2.66 million weights taken, input layer adapted from 1 to 3 channels`."""
        words = [f"{_millions(self.taken, self.whole)} taken", *self.adapted]
        if self.unfit:
            first = ", ".join(self.unfit[:5]) + ", …" * (len(self.unfit) > 5)
            words.append(f"{len(self.unfit)} tensors start anew ({first})")
        if self.unused:
            words.append(f"{self.unused} of its tensors not used")
        return ", ".join(words)


def fit(weights: Mapping[str, Tensor], model: Recipe, network: nn.Module, recipe: Recipe) -> Fit:
    """A model's weights for the network of another recipe: those of the same name and shape; those
    of the first and the last layer are changed to this task's channels.
    """
    own = network.state_dict()
    found = Fit(
        dict(own),
        whole=sum(value.numel() for value in own.values()),
        unused=len(weights.keys() - own.keys()),
    )
    transposed = {
        f"{name}.weight" for name, m in network.named_modules() if isinstance(m, nn.ConvTranspose2d)
    }
    for name, value in own.items():
        given = weights.get(name)
        if given is not None and given.shape != value.shape:
            given, adapted = _adapted(given, value, model, recipe, name in transposed)
            if given is not None and adapted not in found.adapted:
                found.adapted.append(adapted)
        if given is None:
            found.unfit.append(name)
        else:
            found.weights[name] = given
            found.taken += value.numel()
    return found


def _adapted(
    given: Tensor, wanted: Tensor, model: Recipe, recipe: Recipe, transposed: bool
) -> tuple[Tensor | None, str]:
    """The weights or biases of the first or last layer for other channels, and what was done; None
    for any other layer.
    """
    old, new = model.task, recipe.task
    if given.dim() != wanted.dim() or any(
        isinstance(task, NoiseTask | AutoencoderTask) for task in (old, new)
    ):
        return None, ""
    inputs, outputs = (0, 1) if transposed else (1, 0)
    if given.dim() == 1:  # biases have outputs alone
        inputs, outputs = -1, 0
    masked = all(TaskFacts.of(task).fills for task in (old, new))
    change: Callable[..., Tensor | None]
    differing = [d for d in range(given.dim()) if given.shape[d] != wanted.shape[d]]
    if differing == [inputs]:
        layer, channels = "input", (old.condition_channels, new.condition_channels)
        change = partial(_other_inputs, mask_last=masked)
    elif differing == [outputs]:
        layer, channels = "output", (old.prediction_channels, new.prediction_channels)
        change = partial(_other_outputs, proposals=masked)
    else:
        return None, ""
    (axis,) = differing
    changed = change(given.movedim(axis, 0), wanted.shape[axis], *channels)
    said = f"{layer} layer adapted from {channels[0]} to {channels[1]} channels"
    return None if changed is None else changed.movedim(0, axis).contiguous(), said


def _other_inputs(
    weight: Tensor, size: int, before: int, now: int, mask_last: bool = False
) -> Tensor | None:
    """Weights (inputs, …) for another number of input channels, each of which may be several inputs
    (pixels folded into channels).

    The output for a grey picture stays the same: one channel's weights are shared out to three, or
    three's summed up. Conditioning channels that are new start without effect. With `mask_last`
    the last channel is a mask before and now, and keeps its weights.
    """
    if weight.shape[0] * now != size * before:
        if weight.shape[0] - before != size - now:
            return None
        kept = weight[: min(len(weight), size)]  # conditioning channels come after all else
        return torch.cat([kept, kept.new_zeros(size - len(kept), *kept.shape[1:])])
    folded = weight.unflatten(0, (before, -1))
    old, new = (COLOR if channels >= COLOR else 1 for channels in (before, now))
    picture, conditioning, mask = folded[:old], folded[old:], folded[:0]
    if mask_last:
        conditioning, mask, now = conditioning[:-1], conditioning[-1:], now - 1
    conditioning = conditioning[: now - new]
    if old < new:
        picture = picture.expand(new, *picture.shape[1:]) / new
    elif old > new:
        picture = picture.sum(0, keepdim=True)
    silent = weight.new_zeros(now - new - len(conditioning), *folded.shape[1:])
    return torch.cat([picture, conditioning, silent, mask]).flatten(0, 1)


def _other_outputs(
    weight: Tensor, size: int, before: int, now: int, proposals: bool = False
) -> Tensor | None:
    """Weights (outputs, …) for grey in the place of color, or the reverse: the mean, or the same
    three times. With `proposals` what comes after color says how much of a proposed change is
    wanted: of new ones, none.
    """
    if proposals and min(before, now) >= COLOR and weight.shape[0] * now == size * before:
        folded = weight.unflatten(0, (before, -1))[:now]
        none = weight.new_zeros(now - len(folded), *folded.shape[1:])
        return torch.cat([folded, none]).flatten(0, 1)
    if {before, now} != {1, COLOR} or weight.shape[0] * now != size * before:
        return None
    folded = weight.unflatten(0, (before, -1))
    other = folded.expand(now, *folded.shape[1:]) if before < now else folded.mean(0, keepdim=True)
    return other.flatten(0, 1)


def difference(model: Recipe, recipe: Recipe) -> str:
    """How a model's network differs from the recipe's, and what to write to have the same."""
    theirs, ours = model.generator.model_dump(mode="json"), recipe.generator.model_dump(mode="json")
    if theirs["kind"] != ours["kind"]:
        kinds = f"its generator is a {theirs['kind']}, and the recipe's a {ours['kind']}"
        kept = theirs["kind"] == SpandrelConfig().kind
        return f"{kinds}: write generator='{{kind: {theirs['kind']}}}'" if kept else kinds
    ways, wanted = (
        "both ways" if isinstance(task, UnpairedTask) else "one way"
        for task in (model.task, recipe.task)
    )
    if ways != wanted:
        return f"it translates {ways}, and the recipe does not"
    before, now = (task.output_size((1, 1))[0] for task in (model.task, recipe.task))
    if before != now:
        return f"it makes pictures ×{before}, and the task ×{now}"
    fields = [
        name for name in theirs if theirs[name] != ours.get(name) and _matters(recipe, name, model)
    ]
    if not fields:
        return "its task has other inputs and outputs"
    listed = ", ".join(
        f"generator.{name} is {theirs[name]} there and {ours.get(name)} here" for name in fields
    )
    written = {n: f"'{theirs[n]}'" if isinstance(theirs[n], list) else theirs[n] for n in fields}
    same = " ".join(f"generator.{name}={value}" for name, value in written.items())
    return f"{listed}: write {same}"


def _matters(recipe: Recipe, name: str, model: Recipe) -> bool:
    """Whether a field of the generator changes its weights' names or shapes."""

    def shapes(known: Recipe) -> dict[str, torch.Size]:
        with torch.device("meta"):
            state = known.build_generator().state_dict()
        return {name: value.shape for name, value in state.items()}

    try:
        other = recipe.generator.model_copy(update={name: getattr(model.generator, name)})
        return shapes(recipe.model_copy(update={"generator": other})) != shapes(recipe)
    except (ValueError, RuntimeError):  # a network that makes no sense without another field
        return True


@dataclass
class Frozen:
    """The parts of a network that `train.freeze` names: no gradient, no statistics, no dropout."""

    parts: list[nn.Module]
    norms: list[nn.BatchNorm2d]
    """Those that must be put back to the picture's own statistics, where a network uses them."""
    count: int
    """Frozen numbers, of `whole` that the network has."""
    whole: int

    def summary(self) -> str:
        """`3.40 of 10.66 million weights stay as they are`."""
        return f"{_millions(self.count, self.whole)} stay as they are"

    def hold(self) -> None:
        """Put them back to evaluation, after `network.train()`."""
        for part in self.parts:
            part.eval()
        for norm in self.norms:
            norm.train()
            norm.track_running_stats = False


def freeze(network: nn.Module, names: Sequence[str]) -> Frozen:
    """Freeze the parts of these names (`encoder`, `down.0`)."""
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


def _millions(numbers: int, whole: int) -> str:
    return f"{numbers / 1e6:.2f} of {whole / 1e6:.2f} million weights"


def with_network_of_start(recipe: Recipe, begun: Path | None = None) -> Recipe:
    """The recipe with the network of the model that it starts from, where it leaves that open
    (`generator: {kind: spandrel}`); of a run begun in a folder, with the network that it has.
    Raises UserError where the task does not suit that network.
    """
    generator, init = recipe.generator, recipe.train.init
    if not isinstance(generator, SpandrelConfig) or generator.architecture or init is None:
        return recipe
    known = begun / "recipe.yaml" if begun else None
    if known is not None and known.is_file():  # the file it began with may be gone since
        theirs = Recipe.load(known).generator
    else:
        theirs = CATALOGUE.entry(init).recipe.generator
    if not isinstance(theirs, SpandrelConfig):
        raise UserError(
            f"'{init}' is a {theirs.kind}", field=RecipeField("generator.kind"), remedy="write that"
        )
    return Recipe.parse({**recipe.fields(), "generator": theirs.model_dump(mode="json")})


def model_weights(name: str, network: nn.Module, recipe: Recipe) -> Fit:
    """The weights of a model (name, file or run folder) for a recipe's network.

    Raises UserError when they do not fit, and `train.init_partial` does not take those that do.
    """
    model = CATALOGUE.entry(name)  # raises for what is no model file
    weights = model.weights()
    if isinstance(recipe.generator, LayoutConfig) and isinstance(
        model.recipe.generator, SpandrelConfig
    ):
        weights = layout_weights(model.recipe, model.load_generator(), as_ours=True)
    found = fit(weights, model.recipe, network, recipe)
    if not (found.unfit or found.unused) or (recipe.train.init_partial and found.taken):
        return found
    reason = f"'{name}' does not fit: {difference(model.recipe, recipe)}"
    if not found.taken:
        raise UserError(f"{reason}; nothing of it can be taken", field="train.init")
    share = _millions(found.taken, found.whole)
    raise UserError(
        f"{reason}; or set train.init_partial=true to take what fits ({share})",
        field="train.init",
    )
