"""Damage as found photos have it: a function of photo and chance, of the stated size and strength,
in whichever task takes it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from img2img.data.sample import PhotoSample
from img2img.errors import UserError
from img2img.evaluation.protocols import FoundEnlargementProtocol, protocol_for
from img2img.pixels.augment import Augment
from img2img.pixels.kernels import blur_kernel, random_blur, random_sinc, sinc_kernel
from img2img.tasks import PhotoTask, build_task
from img2img.tasks.degradation import Degradation, Round
from img2img.testing import check_task

FOUND = {"kind": "super-resolve", "factor": 4, "back_projections": 0, "degrade": {}}
QUIET = {
    **{"blur_share": 0, "enlarged_share": 0, "reduced_share": 0, "gaussian_share": 1},
    **{"gaussian_sigma_255": (1e-3, 1e-3), "jpeg_quality": (100, 100)},
}


def photo(height: int = 64, width: int = 96) -> np.ndarray:
    y, x = np.mgrid[:height, :width] / 64
    return np.stack([x % 1, y % 1, (x + y) % 1], 2).astype(np.float32)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("fields", [{}, {"second": None}, {"shuffle_share": 1}], ids=str)
def test_it_is_a_function_of_photo_and_generator(fields: dict[str, Any], scale: int) -> None:
    damage = Degradation(**fields)
    first, again, other = (
        damage(photo(), np.random.default_rng(seed), scale) for seed in (1, 1, 2)
    )
    assert first.dtype == np.float32
    assert first.shape == (64 // scale, 96 // scale, 3)
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("fields", "least", "most"),
    [
        ({}, 0, 0.02),
        ({"gaussian_sigma_255": (30, 30)}, 0.05, 30 / 255),
        ({"gaussian_share": 0, "poisson_photons": (28, 28)}, 0.06, 0.15),
        ({"jpeg_quality": (5, 5)}, 0.03, 0.08),
        ({"blur_share": 1, "sinc_share": 0, "blur_sigma_px": (3, 3)}, 0.08, 0.15),
        ({"reduced_share": 1, "resize": (0.15, 0.15)}, 0.02, 0.08),
    ],
    ids=str,
)
def test_each_field_does_what_it_says(fields: dict[str, Any], least: float, most: float) -> None:
    wave = 0.5 + 0.2 * np.sin(np.mgrid[:96, :96][1] / 1.5)[..., None].repeat(3, 2)
    one = Degradation(first=Round(**{**QUIET, **fields}), second=None)
    damaged = [one(wave.astype(np.float32), np.random.default_rng(seed)) for seed in range(12)]
    # The low pass at the end takes away, or adds, what it does in every one of them.
    assert least <= np.mean([(x - wave).std() for x in damaged]) <= most


def test_kernels_sum_to_1_and_a_full_low_pass_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        for kernel in (random_blur(rng, (0.2, 3), (7, 21)), random_sinc(rng, (7, 21))):
            assert kernel.shape[0] == kernel.shape[1]
            assert kernel.shape[0] % 2 == 1
            assert 7 <= len(kernel) <= 21
            assert kernel.sum() == pytest.approx(1, abs=1e-4)
    ringing = sinc_kernel(math.pi / 3, 21)
    assert ringing.min() < 0
    assert ringing[10, 10] == ringing.max()
    wide = blur_kernel("gaussian", (3, 1), 0.0, 1.0, 21)
    assert wide[10, 13] > 2 * wide[13, 10]


@pytest.mark.parametrize(
    "fields",
    [FOUND, {"kind": "restoration", "degrade": {}}, {"kind": "denoise", "degrade": {}}],
    ids=lambda fields: str(fields["kind"]),
)
def test_every_restoration_takes_it(fields: dict[str, Any]) -> None:
    task = build_task(fields)
    assert task.draws
    check_task(task, tolerance=1e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "super-resolve", "degrade": {}}, "back_projections would bring back"),
        ({"kind": "denoise", "degrade": {}, "jpeg_share": 0.1}, "leave jpeg_share out"),
        ({"kind": "restoration", "degrade": {"first": {"resize": [2, 1]}}}, "is not a range"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build_task(fields)


def test_models_of_found_photos_are_measured_on_such() -> None:
    task = build_task(FOUND)
    assert isinstance(task, PhotoTask)
    assert task.for_found_photos
    protocol = protocol_for(task, Augment(crop_px=64))
    assert isinstance(protocol, FoundEnlargementProtocol)
    sample = PhotoSample(0, (photo() * 255).astype(np.uint8))
    (case,), (again,) = (list(protocol.cases("p", sample)) for _ in range(2))
    assert case.given.shape[-2:] == (16, 24)
    assert np.array_equal(case.given, again.given)
    assert list(protocol.baselines()) == ["denoise_real, super_resolve_x4"]
