"""What every task promises, asked of every task that is installed and of every shipped recipe's; a
new one is picked up by itself.

What only one task promises is in tests/tasks/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from img2img.data.sample import Batch, as_tensor
from img2img.recipe import Recipe
from img2img.resources import recipes_dir
from img2img.tasks import (
    MaskedTask,
    NoiseTask,
    PhotoStatistics,
    PhotoTask,
    Task,
    ask,
    built_in,
    photo_tasks,
)
from img2img.tasks.forward import ForwardOptions, forward
from img2img.testing import check_task

TASKS = {
    repr(Recipe.load(path).task): path
    for path in sorted(recipes_dir().glob("*.yaml"), reverse=True)
}
"""A shipped recipe of each task, of however many that have it."""
ON_PHOTOS = pytest.mark.parametrize(
    "task",
    [found() for found in built_in().values() if issubclass(found, PhotoTask)],
    ids=lambda task: task.kind,
)


@pytest.mark.parametrize("kind", built_in())
def test_a_task_keeps_the_contract(kind: str) -> None:
    check_task(built_in()[kind])


@pytest.mark.parametrize("recipe", TASKS.values(), ids=lambda path: path.stem)
def test_a_shipped_recipes_task_keeps_the_contract(recipe: Path) -> None:
    check_task(Recipe.load(recipe).task)


@ON_PHOTOS
def test_a_network_works_on_any_size_and_at_a_working_size(task: PhotoTask) -> None:
    photo, seen = torch.rand(1, 3, 37, 51), []

    def network(condition: Tensor) -> Tensor:
        seen.append(tuple(condition.shape[-2:]))
        size = task.output_size(seen[-1])
        return torch.randn(1, task.prediction_channels, *size) * 0.1

    mask = torch.zeros(1, 1, 37, 51) if isinstance(task, MaskedTask) else None
    assert forward(task, network, 8, photo, mask).shape == (1, 3, *task.output_size((37, 51)))
    assert seen == [(40, 56)]
    if not task.tiles:
        at_size = ForwardOptions(working_size=(18, 25))
        assert forward(task, network, 8, photo, mask, at_size).shape == (1, 3, 37, 51)
        assert seen[-1] == (24, 32)


@ON_PHOTOS
def test_metrics_tell_a_good_result_from_a_bad_one(
    task: PhotoTask, photos: list[np.ndarray]
) -> None:
    target, mask = as_tensor(photos[0]), torch.zeros(1, 1, 96, 96)
    mask[..., 24:48, 2:48] = 1
    batch = Batch(target, target, mask if isinstance(task, MaskedTask) else None)
    good, bad = (
        task.metrics((target + n * torch.randn_like(target)).clamp(0, 1), batch)
        for n in (0.01, 0.3)
    )
    assert good.keys() == bad.keys()
    assert all(np.isfinite(v) for v in (*good.values(), *bad.values()))
    assert all(good[name] > bad[name] + 10 for name in good if name.endswith("_db"))


UNTOUCHED: dict[str, Any] = {
    "width": 1200,
    "height": 900,
    "has_mask": False,
    "tints": 2,
    "noise_sigma_255": 1.0,
}


REPAIRED = ["repair", "denoise", "colorize"]


@pytest.mark.parametrize(
    ("change", "asks_for"),
    [
        ({}, []),
        ({"has_mask": True}, ["inpaint"]),
        ({"tints": 0}, ["colorize"]),
        ({"tints": 1}, ["colorize"]),
        ({"tints": 0, "tones": "few"}, []),
        ({"tints": 1, "tones": "halftone"}, []),
        ({"noise_sigma_255": 20.0}, ["denoise"]),
        ({"width": 300, "height": 200}, ["super-resolve"]),
        ({"damaged_share": 0.02, "tints": 0, "noise_sigma_255": 20.0}, REPAIRED),
        (
            {"has_mask": True, "tints": 0, "noise_sigma_255": 20.0, "width": 300, "height": 200},
            ["inpaint", "denoise", "colorize", "super-resolve"],
        ),
    ],
)
def test_each_task_says_when_it_applies(change: dict[str, Any], asks_for: list[str]) -> None:
    """In plan order; a task that is installed beside these may have reasons of its own."""
    photo = PhotoStatistics(**{**UNTOUCHED, **change})
    own = [kind for kind in photo_tasks() if kind in built_in()]
    assert [kind for kind in own if ask("applies", kind, photo)] == asks_for


def test_tasks_on_photos_are_those_that_take_one() -> None:
    families: dict[str, type[Task]] = built_in()
    assert set(photo_tasks()) >= {
        k for k, found in families.items() if issubclass(found, PhotoTask)
    }
    assert not any(issubclass(families[k], NoiseTask) for k in families if k in photo_tasks())
