"""NIQE against its formulas, against another implementation, and on photos made worse."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import gamma

from img2img.data.sample import as_tensor
from img2img.evaluation.niqe import fit_aggd, mscn, niqe, patch_features, pristine
from img2img.pixels import degrade
from img2img.pixels.images import decode_rgb8
from img2img.resources import inputs_dir, samples_dir

BENCH = Path(os.environ.get("IMG2IMG_BENCH", "nowhere"))
PHOTOS = ("astronaut", "cat", "petra", "koala")


def photo(path: Path) -> torch.Tensor:
    return as_tensor(decode_rgb8(path))


def test_mscn_of_a_line_is_worked_out_from_the_window() -> None:
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    center = (weights / weights.sum())[3]
    luma = np.full((21, 21), 10.0)
    luma[:, 10] = 110  # mean 10 + 100 w, variance 100² (w - w²)
    normalised = mscn(luma)
    deviation = 100 * np.sqrt(center - center**2)
    assert normalised[10, 10] == pytest.approx(100 * (1 - center) / (deviation + 1))
    assert normalised[10, 2] == 0, "flat spots are exactly 0"


def test_a_fit_finds_a_gaussian_and_a_laplacian_of_two_widths() -> None:
    rng = np.random.default_rng(0)
    gaussian, laplacian = rng.normal(0, 3, (300, 300)), rng.laplace(0, 1, (300, 300))
    laplacian = np.where(rng.random((300, 300)) < 2 / 3, abs(laplacian) * 2, -abs(laplacian))
    shape, left, right = fit_aggd(np.stack([gaussian, laplacian]))
    assert shape == pytest.approx([2, 1], abs=0.03)
    assert left == pytest.approx([3 * 2**0.5, 1], rel=0.03)  # β² = 2σ² of a Gaussian
    assert right == pytest.approx([3 * 2**0.5, 2], rel=0.03)


def test_a_fit_of_two_values_is_the_shape_with_their_ratio_of_moments() -> None:
    # equal and opposite: (mean |x|)² / mean x² = 1, more than any shape has: the last one
    values = np.where(np.arange(16).reshape(1, 4, 4) % 2, 1.0, -1.0)
    shape, left, right = fit_aggd(values)
    assert shape == pytest.approx([10])
    assert left == right == pytest.approx(np.sqrt(gamma(1 / 10) / gamma(3 / 10)))


def test_a_patch_without_texture_has_no_features() -> None:
    luma = np.random.default_rng(0).integers(0, 255, (200, 390)).astype(np.float64)
    assert patch_features(luma).shape == (8, 36), "whole patches alone"
    assert not np.isnan(patch_features(luma)).any()
    luma[:, :192] = 100  # two of four columns; the second one meets texture at its right edge
    assert np.isnan(patch_features(luma)).any(1).tolist() == [True, False, False, False] * 2


def test_the_pristine_model_is_a_gaussian_of_36_features() -> None:
    mean, covariance = pristine()
    assert (mean.shape, covariance.shape) == ((36,), (36, 36))
    assert np.array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_too_small_or_too_flat_pictures_have_no_niqe() -> None:
    cat = photo(samples_dir() / "cat.jpg")
    assert niqe(cat[..., :192, :192]) is not None
    assert niqe(cat[..., :191, :]) is None and niqe(cat[..., :, :191]) is None
    assert niqe(torch.zeros(1, 3, 200, 200)) is None


@pytest.mark.parametrize(
    ("name", "value"), [("noisy", 11.34996), ("found_scan", 3.97640), ("found_camera", None)]
)
def test_basicsr_measures_the_same(name: str, value: float | None) -> None:
    """Values of `calculate_niqe` of BasicSR 1.4.2, which halves in single precision."""
    assert niqe(photo(inputs_dir() / f"{name}.png")) == pytest.approx(value, abs=3e-4)


@pytest.mark.skipif(
    not (BENCH / "set14").is_dir(), reason="IMG2IMG_BENCH names no folder with set14"
)
def test_the_value_published_for_the_baboon_is_met() -> None:
    """5.72957338 by the authors' MATLAB code, as BasicSR states."""
    assert niqe(photo(BENCH / "set14" / "baboon.png")) == pytest.approx(5.72957338, abs=2e-6)


@pytest.mark.parametrize("name", PHOTOS)
def test_noise_and_blur_make_it_worse_the_more_there_is(name: str) -> None:
    good = photo(samples_dir() / f"{name}.jpg")[..., :288, :384]
    rgb = good[0].permute(1, 2, 0).numpy()
    noisy = [
        as_tensor(degrade.gaussian_noise(rgb, sigma, np.random.default_rng(0))).clamp(0, 1)
        for sigma in (10, 25, 50)
    ]
    kernel = torch.ones(3, 1, 3, 3) / 9
    blurred = [good]
    for _ in range(8):
        padded = torch.nn.functional.pad(blurred[-1], (1, 1, 1, 1), mode="replicate")
        blurred.append(torch.nn.functional.conv2d(padded, kernel, groups=3))
    for worse in (noisy, blurred[2::3]):
        values = [niqe(x) or 0 for x in (good, *worse)]
        assert values == sorted(values), name
