"""Reconstruction through a bottleneck."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from task_samples import (
    drawn,
    pairs_differ,
    zeros,
)

from img2img.tasks import (
    AutoencoderTask,
    build_task,
)
from img2img.testing import check_task


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"noise_sigma_255": 50},
        {"channels": 1, "size_px": 28},
        {"size_px": 16, "labels": 3},
    ],
    ids=str,
)
def test_it_keeps_the_contract(fields: dict[str, Any]) -> None:
    check_task(build_task({"kind": "reconstruct", **fields}), tolerance=1e-5)


def test_zeros_are_mid_grey(photos: list[np.ndarray]) -> None:
    task = build_task("reconstruct")
    assert torch.equal(zeros(task, drawn(task, photos)), torch.full((1, 3, 32, 32), 0.5))


def test_only_noise_is_drawn(photos: list[np.ndarray]) -> None:
    clean, noisy = (build_task({"kind": "reconstruct", "noise_sigma_255": s}) for s in (0, 50))
    assert pairs_differ(noisy, photos) and not pairs_differ(clean, photos)


def test_its_prior_makes_pictures_of_the_same_size() -> None:
    task = build_task({"kind": "reconstruct", "size_px": 16, "latent": 5, "labels": 3})
    assert isinstance(task, AutoencoderTask)
    assert (task.prior.size_px, task.prior.latent, task.prior.classes) == (16, 5, 3)
    (view,) = task.views((100, 40))
    assert view.size == (16, 16)
