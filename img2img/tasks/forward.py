"""The one way from a photo to its result: prepare, network, decode, finish. Validation and pipeline
share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from img2img.data.sample import Batch, sample_of
from img2img.pixels.color import resize
from img2img.pixels.color_space import SRGB, ColorDescription
from img2img.pixels.hints import Hints
from img2img.pixels.images import read_photo
from img2img.pixels.tensors import as_float
from img2img.pixels.tiling import MEASURED_PX, measured_overlap_of_halves, middle, pad_to_multiple
from img2img.resources import inputs_dir
from img2img.tasks.base import HeightWidth, Task
from img2img.tasks.masked import finished, prepared
from img2img.tasks.photo import PhotoTask

Network = Callable[[Tensor], Tensor]

_STRIP_PX = 1 << 20  # so that memory does not grow with the photo


def predict_rgb(
    task: Task, network: Network, multiple_of: int, condition: Tensor, strength: float = 1.0
) -> Tensor:
    """RGB that the task decodes from the network's prediction for a condition of any size.

    `strength` scales the prediction: 0 is the task's own trivial answer, 1 the network's full say.
    """
    height, width = task.output_size((condition.shape[-2], condition.shape[-1]))
    padded = pad_to_multiple(condition, multiple_of)
    prediction = network(padded).float() * strength
    return task.decode(padded, prediction)[..., :height, :width]


@runtime_checkable
class GraphNetwork(Protocol):
    """A network that holds a task's `prepare` and `decode` too: an exported graph."""

    def picture(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """RGB (B,3,H·scale,W·scale) of what `PhotoTask.graph_inputs` gives, of any size."""


def picture_of(
    task: PhotoTask,
    network: GraphNetwork,
    multiple_of: int,
    photo: Tensor,
    condition: Tensor,
    strength: float,
) -> Tensor:
    """The same by such a network; `strength` scales the prediction that its picture stands for."""
    rgb = network.picture(task.graph_inputs(photo, condition))
    if strength == 1:
        return rgb
    target = pad_to_multiple(rgb, multiple_of * task.scale)
    return predict_rgb(
        task,
        lambda padded: task.encode(Batch(condition=padded, target=target)),
        multiple_of,
        condition,
        strength,
    )


def graph_pair(task: PhotoTask, photo: np.ndarray, number: int) -> tuple[dict[str, Tensor], Tensor]:
    """What an exported graph is given of the training pair that a photo (H,W,3) makes, and the true
    picture (1,3,H,W); the photo is its own partner where pairs are read.
    """
    sample: Any = sample_of(task.reads, number, photo, photo, 0)
    batch = task.make_pair(sample, np.random.default_rng(number))
    condition, target = batch.condition, batch.target
    shown = task.shown(condition)
    alike = not task.fills and target.shape[-2:] == condition.shape[-2:]
    if alike and torch.equal(task.prepare(target), condition):  # it is made of the picture
        shown = target
    return task.graph_inputs(condition[:, :3] if shown is None else shown, condition), target


@dataclass(frozen=True)
class ForwardOptions:
    """How one photo goes through a network."""

    working_size: HeightWidth | None = None
    """Height and width the network works at; the photo's own by default."""
    strength: float = 1.0
    """Scales the prediction, see `predict_rgb`."""
    grey: bool = False
    """Take the color out of what the network predicts, before the guarantee is made exact."""
    hints: Hints | None = None
    """The user's colors in sRGB, for a task that takes them."""
    seed: int = 0
    """Of another version than the likeliest, 0, by tasks that know several."""
    color: ColorDescription = SRGB
    """What the photo's numbers mean: networks see sRGB, the result is in the photo's numbers."""


def forward(
    task: PhotoTask,
    network: Network | GraphNetwork,
    multiple_of: int,
    photo: Tensor,
    mask: Tensor | None = None,
    options: ForwardOptions = ForwardOptions(),
) -> Tensor:
    """The finished RGB (B,3,H·scale,W·scale) of a photo (B,3,H,W); `mask` (B,1,H,W), 1 = to be
    filled.
    """
    color, size = options.color, options.working_size or (photo.shape[-2], photo.shape[-1])
    seen = _in_srgb(photo, color, fitted=task.finishes_in_srgb)
    hole = None if mask is None else (resize(mask, size) > 0.01).to(seen)
    small = resize(seen, size)
    condition = prepared(task, small, hole)
    rgb = _predicted(task, network, multiple_of, small, condition, options)
    if task.finishes_in_srgb:
        return _carried_back(photo, finished(task, seen, rgb, mask), color, holdable=True)
    # What lay in a hole has no part in the result, so a filled photo is carried as it is.
    own = _carried_back(photo, rgb, color) if mask is None else _from_srgb(rgb, color)
    return finished(task, photo, own, mask)


def forward_in_strips(
    task: PhotoTask,
    network: Network | GraphNetwork,
    multiple_of: int,
    photo: Tensor,
    options: ForwardOptions,
    device: torch.device,
) -> Iterator[tuple[slice, Tensor]]:
    """The same for a task that finishes in strips (and so in sRGB), on a photo of any depth: rows
    of the result, and where they lie. No more than a strip of the photo is in float at a time.
    """
    color, (height, width) = options.color, photo.shape[-2:]
    working_size = options.working_size or (height, width)
    step = max(1, _STRIP_PX // width)
    rows = [slice(top, min(top + step, height)) for top in range(0, height, step)]

    def strip(at: slice) -> Tensor:
        return as_float(photo[..., at, :].contiguous()).to(device)

    narrow = [
        resize(_in_srgb(strip(at), color, fitted=True), (at.stop - at.start, working_size[1]))
        for at in rows
    ]
    small = resize(torch.cat(narrow, -2), working_size)
    condition = prepared(task, small, None)
    rgb = _predicted(task, network, multiple_of, small, condition, options)
    for at in rows:
        own = strip(at)
        done = task.finish_strip(_in_srgb(own, color, fitted=True), rgb, at.start, height)
        yield at, _carried_back(own, done, color, holdable=True)


def _predicted(
    task: PhotoTask,
    network: Network | GraphNetwork,
    multiple_of: int,
    small: Tensor,
    condition: Tensor,
    options: ForwardOptions,
) -> Tensor:
    """RGB at working size, where the photo is `small`, with the user's colors in it."""
    if options.hints is not None:
        condition = task.with_hints(condition, options.hints)
    if isinstance(network, GraphNetwork):
        rgb = picture_of(task, network, multiple_of, small, condition, options.strength)
    else:
        varied = _varied(task, network, options.seed)
        rgb = predict_rgb(task, varied, multiple_of, condition, options.strength)
    if options.grey:
        rgb = rgb.mean(1, keepdim=True).expand_as(rgb)
    return rgb if options.hints is None else task.apply_hints(rgb, options.hints)


def measured_overlap_px(run: Network, scale: int, device: torch.device) -> int:
    """The tile overlap of a network whose file tells none; `run` makes its result of a photo.

    It is measured on a photo that ships, so that it is the same for every photo and front end.
    """
    photo = torch.from_numpy(read_photo(inputs_dir() / "noisy.png").rgb.transpose(2, 0, 1).copy())
    seen = as_float(middle(photo[None], MEASURED_PX)).to(device)
    return measured_overlap_of_halves(run, seen, scale)


def _varied(task: PhotoTask, network: Network, seed: int) -> Network:
    """The network with a task's other versions of what it predicts; itself by seed 0."""
    return (lambda condition: task.vary(network(condition).float(), seed)) if seed else network


def in_own_numbers(
    change: Callable[[Tensor], Tensor], photo: Tensor, color: ColorDescription
) -> Tensor:
    """A change of sRGB pictures made to a photo (1,3,H,W) whose numbers mean `color`."""
    return _carried_back(photo, change(_in_srgb(photo, color)), color)


def _in_srgb(photo: Tensor, color: ColorDescription, *, fitted: bool = False) -> Tensor:
    if color.transform is None:
        return photo
    seen = color.to_srgb(photo.contiguous().cpu().numpy(), channels_first=True, fitted=fitted)
    return torch.from_numpy(seen).to(photo.device)


def _from_srgb(rgb: Tensor, color: ColorDescription) -> Tensor:
    if color.transform is None:
        return rgb
    return torch.from_numpy(
        color.from_srgb(rgb.contiguous().cpu().numpy(), channels_first=True)
    ).to(rgb.device)


def _carried_back(
    photo: Tensor, rgb: Tensor, color: ColorDescription, *, holdable: bool = False
) -> Tensor:
    if color.transform is None:
        return rgb
    own, srgb = (x.contiguous().cpu().numpy() for x in (photo, rgb))
    return torch.from_numpy(color.carried_back(own, srgb, holdable=holdable)).to(photo.device)
