"""Super-resolution: reduced again, the result is its input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from task_samples import (
    SIZES,
    eight_bits,
    pair,
    zeros,
)
from torch import Tensor
from torch.nn import functional as F

from img2img.pixels.color import downscale, upscale
from img2img.tasks import (
    build_task,
)
from img2img.testing import check_task


@pytest.mark.parametrize("fields", [{"factor": factor} for factor in (2, 3, 4)], ids=str)
def test_it_keeps_the_contract(fields: dict[str, Any]) -> None:
    check_task(build_task({"kind": "super-resolve", **fields}), tolerance=1e-6)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_zeros_are_bicubic_enlargement(factor: int, photos: list[np.ndarray]) -> None:
    task = build_task({"kind": "super-resolve", "factor": factor})
    batch = pair(task, photos[0])
    assert torch.equal(zeros(task, batch), upscale(batch.condition, factor))


def test_a_condition_is_as_a_file_of_8_bits_holds_it(photos: list[np.ndarray]) -> None:
    condition = pair(build_task("super-resolve"), photos[0]).condition
    assert torch.equal(condition, eight_bits(condition))


def away_from_clipping(rgb: Tensor, scale: int) -> Tensor:
    """Input pixels under whose bicubic window nothing of the result is clipped."""
    clipped = ((rgb <= 0) | (rgb >= 1)).any(1, keepdim=True).float()
    near = F.max_pool2d(clipped, 4 * scale + 1, stride=1, padding=2 * scale)
    return F.max_pool2d(near, scale) == 0


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_super_resolution_reduced_again_is_its_input_whatever_the_network_says(
    size: tuple[int, int], factor: int
) -> None:
    task = build_task({"kind": "super-resolve", "factor": factor})
    large = size[0] * factor, size[1] * factor
    checks = torch.ones(1, 3, *large)
    checks[..., ::2, 1::2] = checks[..., 1::2, ::2] = -1
    garbage = {
        "noise": torch.randn(1, 3, *large) * 0.07,
        "everything redder": checks.abs() * 0.4,
        "checks": checks * 0.1,
    }
    for name, prediction in garbage.items():
        photo = eight_bits(0.3 + 0.4 * torch.rand(1, 3, *size))
        done = eight_bits(task.finish(photo, task.decode(task.prepare(photo), prediction)))
        kept = away_from_clipping(done, factor)
        assert kept.float().mean() > 0.1, name
        error = (downscale(done, factor) - photo).abs() * kept
        assert error.max() <= 2 / 255, name


def test_super_resolution_keeps_what_the_network_adds_beyond_its_input() -> None:
    task, photo = build_task("super-resolve"), torch.full((1, 3, 16, 16), 0.5)
    detail = torch.full((1, 3, 32, 32), 0.2)
    detail[..., ::2, 1::2] = detail[..., 1::2, ::2] = -0.2  # too fine for the input to know of
    assert torch.allclose(task.finish(photo, task.decode(photo, detail)) - 0.5, detail, atol=0.02)
