import numpy as np
import pytest
import torch
from made_photos import picture

from img2img.data.sample import as_tensor
from img2img.evaluation import baselines
from img2img.evaluation.case import Case, as_8_bit
from img2img.evaluation.metrics import psnr_db
from img2img.pixels import degrade
from img2img.pixels.colour import upscale


@pytest.fixture
def holed() -> Case:
    truth = as_tensor(picture(0))
    mask = torch.zeros(1, 1, *truth.shape[-2:])
    mask[..., 20:30, 40:55] = 1
    return Case("p", "", truth * (1 - mask), truth, mask)


def test_pillows_bicubic_is_ours():
    small = as_tensor(picture(0))
    case = Case("p", "×2", small, torch.zeros(1, 3, 144, 176))
    assert (baselines.bicubic(case) - upscale(small, 2)).abs().max() < 1e-5


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_non_local_means_takes_noise_away_and_keeps_the_order_of_channels(sigma):
    truth = as_tensor(picture(0))
    noisy = degrade.gaussian_noise(picture(0).astype(np.float32) / 255, sigma, np.random.default_rng(0))
    case = Case("p", "", as_tensor(noisy), truth, sigma_255=sigma)
    assert psnr_db(as_8_bit(baselines.non_local_means(case)), truth) > psnr_db(as_8_bit(case.given), truth) + 3


@pytest.mark.parametrize("fill", [baselines.telea, baselines.navier_stokes, baselines.biharmonic])
def test_fills_change_the_hole_alone_and_come_near_the_truth(holed, fill):
    made = as_8_bit(fill(holed))
    assert torch.equal(made * (1 - holed.mask), holed.given)
    assert psnr_db(made, holed.truth) > psnr_db(holed.given, holed.truth) + 10


def test_8_bits_are_clipped_and_rounded():
    values = torch.tensor([-0.3, 0.0, 0.6 / 255, 1.7]).view(1, 1, 1, 4).expand(1, 3, 2, 4)
    assert as_8_bit(values)[0, 0, 0].tolist() == pytest.approx([0, 0, 1 / 255, 1])
