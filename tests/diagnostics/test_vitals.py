"""Vital signs on sets whose state is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from img2img.diagnostics import vitals


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """(12,3,64,64) smooth pictures in [0.05, 0.95], each another."""
    torch.manual_seed(0)
    coarse = torch.rand(12, 3, 6, 6)
    fine = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic") + 0.03 * torch.randn(
        12, 3, 64, 64
    )
    return fine.clamp(0.05, 0.95)


def ring(count: int, modes: int = 8, sigma: float = 0.1, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * rng.integers(modes, size=count) / 8
    points = 2 * np.stack([np.cos(angles), np.sin(angles)], 1) + sigma * rng.standard_normal(
        (count, 2)
    )
    return torch.from_numpy(points.astype(np.float32))[:, :, None, None]


def test_the_truth_itself_is_healthy(pictures: Tensor) -> None:
    signs = vitals.vital_signs([pictures], [pictures], [pictures])
    assert signs["diversity"] == pytest.approx(1, abs=1e-4) and signs[
        "checkerboard"
    ] == pytest.approx(1)
    assert signs["own_input"] < 1e-3 and signs["saturated"] == signs["dead"] == 0
    assert 0 <= signs["target_low"] < signs["target_high"] <= 1 and "coverage" not in signs


def test_diversity_is_the_share_of_the_spread_that_is_left(pictures: Tensor) -> None:
    middle = pictures.mean(0, keepdim=True)
    for share in (0.0, 0.3, 1.0):
        made = middle + share * (pictures - middle)
        assert vitals.diversity(made, pictures) == pytest.approx(share, abs=1e-3)


def test_own_input_is_one_for_a_constant_and_grows_as_the_input_is_forgotten(
    pictures: Tensor,
) -> None:
    middle = pictures.mean(0, keepdim=True)
    ratios = [
        vitals.own_input(middle + share * (pictures - middle), pictures)
        for share in (1.0, 0.5, 0.1, 0.0)
    ]
    assert (
        ratios == sorted(ratios) and ratios[0] < 1e-3 and ratios[-1] == pytest.approx(1, abs=0.01)
    )


def test_a_sketch_is_compared_by_its_contours_where_it_has_no_color(pictures: Tensor) -> None:
    negatives = 0.6 - 0.2 * pictures.mean(1, keepdim=True).expand_as(pictures)
    assert vitals.own_input(negatives, pictures) < 0.2
    assert vitals.own_input(negatives.roll(1, 0), pictures) > 0.9


@pytest.mark.parametrize("side_px", [64, 28])
@pytest.mark.parametrize("period", [2, 4])
def test_checkerboard_hears_the_grid_of_both_strides(
    pictures: Tensor, period: int, side_px: int
) -> None:
    line = (torch.arange(side_px) % period == 0).float()
    grid = torch.outer(line, line) - line.mean() ** 2
    pictures = pictures[..., :side_px, :side_px]
    energy = [
        vitals.checkerboard(pictures + amount * grid, pictures) for amount in (0.0, 0.02, 0.05, 0.2)
    ]
    assert energy == sorted(energy) and energy[0] == 1 and energy[-1] > 20 * energy[0]


def test_blur_and_noise_are_no_checkerboard(pictures: Tensor) -> None:
    blurred = torch.nn.functional.avg_pool2d(pictures, 5, 1, 2, count_include_pad=False)
    noisy = pictures + 0.1 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    assert max(vitals.checkerboard(made, pictures) for made in (blurred, noisy)) < 3


def test_dead_and_saturated_are_shares_of_pictures_and_values(pictures: Tensor) -> None:
    made = pictures.clone()
    made[:3] = 0.5
    assert vitals.dead(made, pictures) == 0.25
    made[:6] = 1.0
    assert vitals.saturated(made, pictures) == pytest.approx(0.5)
    assert vitals.saturated(pictures, pictures) == 0


def test_coverage_is_the_share_of_modes_and_fidelity_of_good_samples() -> None:
    real = ring(800)
    for modes in (8, 4, 2):
        signs = vitals.noise_signs([ring(800, modes, seed=1)], [real])
        assert signs["coverage"] == pytest.approx(modes / 8, abs=0.08) and signs["fidelity"] > 0.9
    far = vitals.noise_signs([ring(800, seed=1) + 50], [real])
    assert far["coverage"] == far["fidelity"] == 0
    assert "dead" not in far and "target_low" not in far  # a point has neither contrast nor range


def test_pictures_from_noise_are_compared_as_sets() -> None:
    torch.manual_seed(0)
    base = torch.rand(2, 3, 32, 32)
    weights = torch.rand(160, 2, 1, 1, 1)
    pictures = (weights * base).sum(1) / 2
    signs = vitals.noise_signs([pictures[:80]], [pictures[80:]])
    assert (
        signs["coverage"] > 0.8
        and signs["diversity"] == pytest.approx(1, abs=0.25)
        and "own_input" not in signs
    )
    one = vitals.noise_signs([pictures[:1].expand(80, -1, -1, -1)], [pictures[80:]])
    assert one["diversity"] == 0


@pytest.mark.parametrize(("times", "plus", "low", "high"), [(255, 0, 0, 255), (2, -1, -1, 1)])
def test_ranges(times: float, plus: float, low: float, high: float) -> None:
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * times + plus
    found = vitals.ranges([x], [x / 2])
    span = high - low
    assert found["condition_low"] == pytest.approx(low, abs=0.03 * span)
    assert found["condition_high"] == pytest.approx(high, abs=0.03 * span)
    assert found["target_high"] == pytest.approx(high / 2, abs=0.03 * span)


def test_two_samples_and_other_sizes_are_no_reason_to_fail(pictures: Tensor) -> None:
    signs = vitals.vital_signs([pictures[:2]], [pictures[:2]], [pictures[:2]])
    assert "diversity" not in signs and "own_input" not in signs
    mixed = [pictures[:1], pictures[1:2, :, :48, :56], pictures[2:3]]
    assert vitals.vital_signs(mixed, mixed, mixed)["diversity"] == pytest.approx(1, abs=1e-4)
    broken = pictures.clone()
    broken[0] = float("nan")
    assert np.isfinite(list(vitals.vital_signs([pictures], [broken], [pictures]).values())).all()
