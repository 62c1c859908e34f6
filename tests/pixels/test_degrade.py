"""Noise, blur, JPEG and camera damage: of the stated strength, and a pure function of the rng."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from img2img.pixels import degrade

GREY = np.full((128, 128, 3), 0.5, np.float32)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sigma", [5.0, 25.0, 50.0])
@pytest.mark.parametrize("noise", [degrade.gaussian_noise, degrade.correlated_noise])
def test_noise_has_the_stated_strength_and_no_bias(
    noise: Callable[..., np.ndarray], sigma: float
) -> None:
    added = (noise(GREY, sigma, generator()) - GREY) * 255
    assert added.std() == pytest.approx(sigma, rel=0.02)
    assert abs(added.mean()) < sigma * 0.03


def test_gaussian_noise_is_white_not_clipped_and_the_stated_dtype() -> None:
    noisy = degrade.gaussian_noise(np.zeros((128, 128, 3), np.float32), 50, generator())
    assert noisy.dtype == np.float32
    assert (noisy < 0).mean() == pytest.approx(0.5, abs=0.02)
    assert abs(np.corrcoef(noisy[:, 1:].ravel(), noisy[:, :-1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noisy[..., 0].ravel(), noisy[..., 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(("blur_px", "neighbour"), [(0.7, 0.6), (1.2, 0.83)])
def test_correlated_noise_resembles_its_neighbours(blur_px: float, neighbour: float) -> None:
    noise = degrade.correlated_noise(GREY, 25, generator(), blur_px) - GREY
    # Gaussian smoothing of width s correlates pixels at distance 1 by exp(-1/4s²)
    assert np.exp(-1 / (4 * blur_px**2)) == pytest.approx(neighbour, abs=0.02)
    assert np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1] == pytest.approx(
        neighbour, abs=0.06
    )


@pytest.mark.parametrize(("level", "photons"), [(0.5, 100), (0.1, 100), (0.5, 1000)])
def test_shot_noise_has_the_variance_of_counting(level: float, photons: float) -> None:
    shot = degrade.poisson_noise(np.full((128, 128, 3), level, np.float32), photons, generator())
    assert shot.mean() == pytest.approx(level, rel=0.02)
    assert shot.var() == pytest.approx(level / photons, rel=0.05)


def test_shot_noise_leaves_black_black() -> None:
    assert not degrade.poisson_noise(GREY * 0 - 0.1, 100, generator()).any()


def test_jpeg_keeps_channel_order_and_hurts_more_at_lower_quality(photos: list[np.ndarray]) -> None:
    photo = photos[0].astype(np.float32) / 255
    errors = [np.abs(degrade.jpeg(photo, quality) - photo).mean() for quality in (10, 50, 95)]
    assert errors[0] > errors[1] > errors[2] > 0
    assert errors[2] < 0.015, "red and blue are not swapped"
    red = degrade.jpeg(np.full((16, 16, 3), (1.0, 0.0, 0.0), np.float32), 95)
    assert np.allclose(red, (1, 0, 0), atol=0.02)


def test_jpeg_clips_as_a_file_does() -> None:
    made = degrade.jpeg(np.full((16, 16, 3), 1.7, np.float32), 95)
    assert made.max() == 1
    assert made.dtype == np.float32


def test_blur_spreads_a_point_and_keeps_its_light() -> None:
    point = np.zeros((33, 33, 3), np.float32)
    point[16, 16] = 1
    made = degrade.blur(point, 2.0)
    assert made.sum() == pytest.approx(3, rel=1e-3)
    assert made[16, 16, 0] == pytest.approx(1 / (2 * np.pi * 4), rel=0.05)


def test_camera_damage_grows_with_strength(photos: list[np.ndarray]) -> None:
    photo = photos[0].astype(np.float32) / 255
    weak, full, strong = (
        np.mean(
            [np.abs(degrade.camera(photo, generator(seed), s) - photo).mean() for seed in range(12)]
        )
        for s in (0.1, 1, 2)
    )
    assert 0 < weak < full < strong


@pytest.mark.parametrize(
    ("damage", "settings"),
    [
        (degrade.gaussian_noise, {"sigma_255": 25}),
        (degrade.correlated_noise, {"sigma_255": 25}),
        (degrade.poisson_noise, {"photons": 100}),
        (degrade.camera, {}),
    ],
)
def test_damage_is_a_function_of_its_generator(
    damage: Any, settings: dict[str, float], photos: list[np.ndarray]
) -> None:
    photo = photos[0].astype(np.float32) / 255
    before = photo.copy()
    first, second, other = (damage(photo, rng=generator(seed), **settings) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.array_equal(photo, before), "the photo itself is left alone"
