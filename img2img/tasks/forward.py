"""The one way from a photo to its result: prepare, network, decode, finish. Validation and pipeline
share it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from img2img.pixels.color import resize
from img2img.pixels.color_space import SRGB, ColorDescription
from img2img.pixels.hints import Hints
from img2img.pixels.tiling import pad_to_multiple
from img2img.tasks.base import Size, Task
from img2img.tasks.masked import MaskedTask
from img2img.tasks.photo import PhotoTask

Network = Callable[[Tensor], Tensor]


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


def forward(
    task: PhotoTask,
    network: Network,
    multiple_of: int,
    photo: Tensor,
    mask: Tensor | None = None,
    working_size: Size | None = None,
    strength: float = 1.0,
    grey: bool = False,
    hints: Hints | None = None,
    color: ColorDescription = SRGB,
) -> Tensor:
    """The finished RGB (B,3,H·scale,W·scale) of a photo (B,3,H,W), the network working at
    `working_size`.

    With `grey`, what the network made has its color taken out before the task makes its guarantee
    exact. `hints` are a user's colors in sRGB, for a task that takes them. `color` says what the
    photo's numbers mean: networks see sRGB, the result is in the photo's own numbers again.
    """
    size = working_size or (photo.shape[-2], photo.shape[-1])
    seen = _in_srgb(photo, color, fitted=task.finishes_in_srgb)
    rgb = predict_rgb(task, network, multiple_of, _condition(task, seen, mask, size), strength)
    if grey:
        rgb = rgb.mean(1, keepdim=True).expand_as(rgb)
    if hints is not None:
        rgb = task.apply_hints(rgb, hints)
    if task.finishes_in_srgb:
        return _carried_back(photo, _finished(task, seen, rgb, mask), color, holdable=True)
    own = (
        _carried_back(photo, rgb, color) if mask is None else _from_srgb(rgb, color)
    )  # no matter what lay in a hole
    return _finished(task, photo, own, mask)


def _condition(task: PhotoTask, photo: Tensor, mask: Tensor | None, size: Size) -> Tensor:
    small = resize(photo, size)
    if not isinstance(task, MaskedTask):
        return task.prepare(small)
    return task.prepare(small, None if mask is None else (resize(mask, size) > 0.01).to(small))


def _finished(task: PhotoTask, photo: Tensor, rgb: Tensor, mask: Tensor | None) -> Tensor:
    if isinstance(task, MaskedTask):
        return task.finish(photo, rgb, mask)
    return task.finish(photo, rgb)


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
