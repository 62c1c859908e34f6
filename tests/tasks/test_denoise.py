"""Denoising: one kind of damage a sample, and the noise to take away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from task_samples import (
    pair,
    pairs_differ,
    zeros,
)

from img2img.tasks import (
    build_task,
)
from img2img.testing import check_task


@pytest.mark.parametrize(
    "fields",
    [
        {},
        *(
            {name: 1}
            for name in (
                "camera_share",
                "correlated_share",
                "jpeg_share",
                "poisson_share",
                "grey_share",
            )
        ),
    ],
    ids=str,
)
def test_it_keeps_the_contract(fields: dict[str, Any]) -> None:
    check_task(build_task({"kind": "denoise", **fields}), tolerance=1e-6)


@pytest.mark.parametrize(
    "share", ["grey_share", "camera_share", "correlated_share", "jpeg_share", "poisson_share"]
)
def test_each_seed_damages_a_photo_in_its_own_way(share: str, photos: list[np.ndarray]) -> None:
    assert pairs_differ(build_task({"kind": "denoise", share: 1}), photos)


def test_zeros_leave_the_photo_as_it_is(photos: list[np.ndarray]) -> None:
    task = build_task("denoise")
    batch = pair(task, photos[0])
    assert torch.equal(zeros(task, batch), batch.condition)


def test_denoise_takes_values_beyond_the_range() -> None:
    task, noisy = build_task("denoise"), torch.randn(1, 3, 16, 16)
    assert torch.equal(task.prepare(noisy), noisy)
    assert torch.equal(task.finish(noisy, noisy), noisy.clamp(0, 1))
