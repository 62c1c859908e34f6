"""What a model has to beat: the trivial answers of a task, which cost nothing. One definition for
log, doctor, report and `img2img eval`; a plugin's task has them without saying anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.tasks.base import COPIED, Task
from img2img.tasks.photo import PhotoTask

NEAREST = "nearest-neighbor enlargement"
SHARES = ("ssim", "share_near_modes", "accuracy", "f1")  # metrics of which 1 is the best there is
HIGHER_IS_BETTER = ("_db", "modes_covered", "diversity", *SHARES)
MEAN_COLOR, MEAN = "the mean color of the training targets", "the mean of the training targets"


def trivial_answers(
    task: Task, condition: Tensor, mask: Tensor | None = None, mean: Tensor | None = None
) -> dict[str, Tensor]:
    """Pictures (B,C,H,W) by what they are: the task's own answer first, then the input, then means
    of the targets.

    `mean` is the mean training target (1,C,h,w). Where there is a mask, all keep what is known.
    """
    own = _own(task, condition)
    found = _copied(task, condition, own)
    if mean is not None:
        found |= _means(mean.to(own), own)
    if mask is not None:
        found = {name: torch.where(mask > 0.5, picture, own) for name, picture in found.items()}
    return {task.zeros_are: own} | {
        name: picture for name, picture in found.items() if name != task.zeros_are
    }


def mean_target(targets: Iterable[Tensor]) -> Tensor | None:
    """The mean (1,C,h,w) of training targets (B,C,H,W), as large as the first; None where there are
    none.
    """
    total, count = None, 0
    for target in targets:
        target = target.float()
        if total is not None and target.shape[-2:] != total.shape[-2:]:
            target = F.adaptive_avg_pool2d(target, (total.shape[-2], total.shape[-1]))
        whole = target.sum(0, keepdim=True)
        total, count = whole if total is None else total + whole, count + len(target)
    return None if total is None else total / count


def best_numbers(
    answers: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, float], dict[str, str]]:
    """For each metric the best number of any trivial answer, and which one has it: the first of
    equals.

    Each metric by itself: a model has to beat all that costs nothing in every number that is
    reported of it.
    """
    best, names = dict[str, float](), dict[str, str]()
    for name, numbers in answers.items():
        for metric, value in numbers.items():
            if value == value and (
                metric not in best or goodness(metric, value) > goodness(metric, best[metric])
            ):
                best[metric], names[metric] = value, name
    return best, names


def goodness(metric: str, value: float) -> float:
    """A metric's value as a number that is higher the better it is; a ratio is best at 1."""
    if metric.endswith("_ratio"):
        return -abs(1 - value)
    return value if higher_is_better(metric) else -value


def higher_is_better(metric: str) -> bool:
    """Whether a validated number is good when it is large."""
    return metric.endswith(HIGHER_IS_BETTER)


def same_purpose(task: Task, other: Task) -> bool:
    """Whether models of both tasks can stand in one table of results."""
    ours, theirs = ((t.kind, t.output_size((1, 1)), t.reads) for t in (task, other))
    return ours == theirs


def _own(task: Task, condition: Tensor) -> Tensor:
    stride = min(task.prediction_strides)
    size = task.output_size((condition.shape[-2], condition.shape[-1]))
    height, width = (side // stride for side in size)
    zeros = condition.new_zeros(
        len(condition), task.prediction_channels, height, width, dtype=torch.float32
    )
    return task.decode(condition.float(), zeros)


def _copied(task: Task, condition: Tensor, own: Tensor) -> dict[str, Tensor]:
    shown = task.shown(condition) if isinstance(task, PhotoTask) else None
    if shown is None or shown.shape[1] != own.shape[1]:
        return {}
    if shown.shape[-2:] == own.shape[-2:]:
        return {COPIED: shown.float()}
    return {NEAREST: F.interpolate(shown.float(), own.shape[-2:], mode="nearest")}


def _means(mean: Tensor, own: Tensor) -> dict[str, Tensor]:
    color = mean.mean((-2, -1), keepdim=True).expand_as(own)
    if mean.shape[-2:] != own.shape[-2:] or mean.shape[-2:] == (1, 1):
        return {MEAN_COLOR: color}
    return {MEAN_COLOR: color, MEAN: mean.expand_as(own)}
