"""Every expected value here can be worked out by hand."""

import math

import pytest
import torch

from img2img.evaluation import metrics
from img2img.pixels.color import from_lab


def flat(*rgb: float, size: tuple[int, int] = (16, 16)) -> torch.Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, *size).clone()


BLACK, WHITE = flat(0.0, 0.0, 0.0), flat(1.0, 1.0, 1.0)


def test_psnr_of_a_constant_error_of_a_tenth_is_20_db():
    assert metrics.psnr_db(flat(0.5, 0.5, 0.5), flat(0.6, 0.4, 0.6)) == pytest.approx(20, abs=1e-4)
    assert metrics.psnr_db(BLACK, WHITE) == 0
    assert metrics.psnr_db(WHITE, WHITE) == 100  # not infinite: a mean must survive it


def test_ssim_is_1_for_equal_pictures_and_follows_its_formula_for_flat_ones():
    assert metrics.ssim(flat(0.2, 0.5, 0.9), flat(0.2, 0.5, 0.9)) == pytest.approx(1)
    luminance_term = (2 * 0.5 * 1 + 1e-4) / (0.5**2 + 1 + 1e-4)
    assert metrics.ssim(flat(0.5, 0.5, 0.5), WHITE) == pytest.approx(luminance_term, abs=1e-4)


def test_y_psnr_is_of_studio_range_luma_and_ignores_the_border():
    first, second = flat(0.5, 0.5, 0.5, size=(24, 24)), flat(0.6, 0.6, 0.6, size=(24, 24))
    expected = -20 * math.log10(0.1 * 219 / 255)
    assert metrics.y_psnr_ssim(first, second, 4)[0] == pytest.approx(expected, abs=1e-4)
    framed = first.clone()
    framed[..., :4, :] = framed[..., -4:, :] = framed[..., :4] = framed[..., -4:] = 1
    assert metrics.y_psnr_ssim(framed, first, 4) == pytest.approx((100, 1))
    assert metrics.y_psnr_ssim(framed, first, 3)[0] < 30


def test_hole_l1_looks_at_missing_pixels_alone():
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :4] = 1
    made = WHITE.clone()
    made[..., :4] = 0.75
    made[..., 8:] = 0  # known pixels do not count
    assert metrics.hole_l1(made, WHITE, mask) == pytest.approx(0.25)


def test_ciede2000_of_black_and_white_is_100():
    tall = 300  # more than one strip
    black, white = flat(0.0, 0.0, 0.0, size=(tall, 4)), flat(1.0, 1.0, 1.0, size=(tall, 4))
    assert metrics.ciede2000(black, white) == pytest.approx(100, abs=0.01)
    assert metrics.ciede2000(white, white) == 0
    half = white.clone()
    half[..., : tall // 2, :] = 0
    assert metrics.ciede2000(half, white) == pytest.approx(50, abs=0.01)


def test_colorfulness_of_flat_red_and_of_red_beside_green():
    assert metrics.colorfulness(flat(0.3, 0.3, 0.3)) == pytest.approx(0, abs=1e-4)
    assert metrics.colorfulness(flat(1.0, 0.0, 0.0)) == pytest.approx(0.3 * math.hypot(255, 127.5))
    both = flat(1.0, 0.0, 0.0)
    both[..., :8] = flat(0.0, 1.0, 0.0)[..., :8]
    assert metrics.colorfulness(both) == pytest.approx(255 + 0.3 * 127.5)


def test_kid_of_two_features_each():
    # kernel (xy+1)³: within 1 and 27, across (1 + 1 + 8 + 27) / 4
    made, truth = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    assert metrics.kid(made, truth) == pytest.approx(1 + 27 - 2 * 9.25)


def test_kid_is_zero_on_average_for_one_distribution_and_grows_with_the_distance():
    draw = torch.Generator().manual_seed(0)
    sets = torch.randn(40, 20, 8, generator=draw, dtype=torch.float64)
    equal = [metrics.kid(a, b) for a, b in zip(sets[::2], sets[1::2], strict=True)]
    assert abs(sum(equal) / len(equal)) < 0.05
    assert metrics.kid(sets[0] + 1, sets[1]) > 1


def corners(*scales: float) -> torch.Tensor:
    """Points at ± each scale on its own axis, (2d,d): mean 0, variance 2 s² / (2d - 1)."""
    axes = torch.diag(torch.tensor(scales, dtype=torch.float64))
    return torch.cat([axes, -axes])


def test_fid_of_gaussians_follows_its_formula():
    first, second = corners(1, 2), corners(3, 5) + torch.tensor([4.0, -3.0])
    # |Δμ|² = 25; deviations are the scales times √(2/3), and commute: the rest is (3-1)² + (5-2)²
    assert metrics.fid(first, second) == pytest.approx(25 + (4 + 9) * 2 / 3)
    assert metrics.fid(second, first) == pytest.approx(metrics.fid(first, second))
    assert metrics.fid(first, first.flip(0)) == pytest.approx(0, abs=1e-9)


def test_fid_of_covariances_that_do_not_commute():
    # Σ₁ = diag(4, 1) c, Σ₂ = [[2, 1], [1, 2]] c with c = 2/3: for 2×2, tr √M = √(tr M + 2 √det M)
    first = corners(2, 1)
    root = torch.tensor([[3**0.5, 3**0.5], [1, -1]], dtype=torch.float64) / 2**0.5
    second = torch.cat([root, -root])
    shared = (8 + 2 + 2 * (4 * 3) ** 0.5) ** 0.5
    assert metrics.fid(first, second) == pytest.approx((5 + 4 - 2 * shared) * 2 / 3)


def test_fid_of_fewer_samples_than_features_is_biased_upwards():
    draw = torch.Generator().manual_seed(0)
    few, many = (
        metrics.fid(*torch.randn(2, n, 16, generator=draw, dtype=torch.float64)) for n in (8, 800)
    )
    assert 0 < many < 1 < few
    assert math.isnan(metrics.fid(torch.zeros(1, 16), torch.zeros(8, 16)))


@pytest.mark.skipif(
    metrics.missing("stlpips_alex") is not None, reason="wheel stlpips-pytorch is not installed"
)
def test_kid_features_have_mean_cosines_as_products():
    picture = torch.rand(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    features = metrics.kid_features(picture)
    assert features is not None
    assert features.shape == (1, 1152)
    assert 0 < float(features @ features.T) / 1152 <= 1


@pytest.mark.skipif(
    metrics.missing("stlpips_alex") is not None, reason="wheel stlpips-pytorch is not installed"
)
def test_perceptual_takes_several_pictures_at_one_truth_and_bounds_large_ones(monkeypatch):
    pictures = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    pair = metrics.perceptual("stlpips_alex", pictures, pictures[:1])
    alone = metrics.perceptual("stlpips_alex", pictures[1:], pictures[:1])
    assert pair == pytest.approx([0, alone[0]], abs=1e-6)
    monkeypatch.setattr(metrics, "MOST_PX", 32)
    assert metrics.perceptual("stlpips_alex", pictures[1:], pictures[:1]) != pytest.approx(alone)


def test_perceptual_networks_name_what_is_missing_and_leave_out_optional_networks(monkeypatch):
    monkeypatch.setattr(metrics, "missing", lambda network: "not here")
    assert metrics.perceptual_networks() == {"stlpips_alex": "not here", "stlpips_vgg": "not here"}
    monkeypatch.setattr(metrics, "missing", lambda network: None)
    assert list(metrics.perceptual_networks()) == ["stlpips_alex", "stlpips_vgg", "lpips_alex"]


# --- chroma


def picture_of(lab):
    """RGB (1,3,H,W) of rows of CIE Lab."""
    return from_lab(torch.tensor(lab, dtype=torch.float64).permute(2, 0, 1)[None])


def test_neutral_shift_is_that_of_the_mean_color_of_greys_alone():
    # two greys (C* 0 and 5), and a red that may be anything
    truth = picture_of([[(50, 0, 0), (50, 3, 4), (50, 40, 20)] * 8] * 24)
    veiled = picture_of([[(50, 3, 12), (50, 6, 0), (50, -20, 0)] * 8] * 24)
    # means: a* (3 + 6) / 2 - (0 + 3) / 2 = 3, b* 6 - 2 = 4
    assert metrics.neutral_shift(veiled, truth) == pytest.approx(5, abs=1e-3)
    colored = picture_of([[(50, 40, 20)] * 24] * 24)
    assert metrics.neutral_shift(veiled, colored) is None


def test_stray_edges_are_those_where_lightness_does_not_change():
    # columns: an edge of both, then one of color alone; 12 and 4 of b*
    row = [(40, 0, 0), (40, 0, 0), (60, 0, 12), (60, 0, 12), (60, 0, 16), (60, 0, 16)]
    assert metrics.stray_edges(picture_of([row] * 6)) == pytest.approx(4 / 16, abs=1e-3)
    aligned = [(40, 0, 0), (60, 0, 12), (60, 0, 12)]
    assert metrics.stray_edges(picture_of([aligned] * 3)) == pytest.approx(0, abs=1e-3)
    assert metrics.stray_edges(picture_of([[(40, 0, 0), (60, 0, 0)] * 3] * 3)) is None
