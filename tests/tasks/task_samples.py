"""What the tests of several tasks make their batches of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from img2img.data.sample import Batch, sample_rng
from img2img.tasks import Task
from img2img.testing import sample_for

SIZES = [(16, 16), (17, 23), (16, 61), (129, 33)]


def pair(task: Task, photo: np.ndarray, seed: int = 0) -> Batch:
    return task.make_pair(sample_for(task, photo), sample_rng(seed, 0, 0))


def batch_of(target: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(condition=target, target=target, mask=mask)


def random_mask(size: tuple[int, int]) -> Tensor:
    mask = torch.zeros(1, 1, *size)
    mask[..., size[0] // 4 : size[0] // 2, 2 : size[1] // 2] = 1
    return mask


def any_prediction(task: Task, condition: Tensor, amplitude: float = 1.0) -> Tensor:
    height, width = task.output_size((condition.shape[-2], condition.shape[-1]))
    return torch.randn(1, task.prediction_channels, height, width) * amplitude


def eight_bits(rgb: Tensor) -> Tensor:
    return (rgb * 255).round() / 255


def zeros(task: Task, batch: Batch) -> Tensor:
    """What the network says at its start, and the trivial answer that it means."""
    nothing = torch.zeros(1, task.prediction_channels, *batch.target.shape[-2:])
    return task.decode(batch.condition, nothing)


def drawn(task: Task, photos: list[np.ndarray], seed: int = 0, number: int = 0) -> Batch:
    """A pair of a noise task, whose photo, if it reads any, was cut to the size it makes."""
    side = getattr(task, "size_px", 96)
    photo = photos[number][:side, :side]
    sample = sample_for(task, photo, label=1, number=number)
    return task.make_pair(sample, sample_rng(seed, 0, number))


def pairs_differ(task: Task, photos: list[np.ndarray]) -> bool:
    """No two seeds give the same condition."""
    first, *others = (pair(task, photos[0], seed).condition for seed in range(1, 6))
    return not any(torch.equal(first, other) for other in others)
