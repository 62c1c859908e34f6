"""Pixel, colorfulness and masked losses against values worked out by hand."""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from img2img.losses import reconstruction
from img2img.losses.reconstruction import (
    ChromaLoss,
    ColorClassesLoss,
    ColorfulnessLoss,
    FeatureMatchingLoss,
    FocalFrequencyLoss,
    Loss,
    PerceptualLoss,
    PixelLoss,
    Region,
)
from img2img.pixels.chroma import BINS, encoded_bins, shares
from img2img.pixels.color import from_lab, to_lab
from img2img.pixels.tensors import masked_mean


def picture(*values: float) -> Tensor:
    """(1,3,1,n): grey pixels in a row."""
    return torch.tensor(values).expand(3, 1, -1)[None]


TARGET = picture(0.0, 0.0, 0.0, 0.0)
FAKE = picture(0.0, 0.2, -0.4, 1.0)
MASK = torch.tensor([0.0, 1.0, 1.0, 0.0]).view(1, 1, 1, 4)


@pytest.mark.parametrize(
    ("kind", "region", "value"),
    [
        ("l1", "all", 1.6 / 4),
        ("l2", "all", (0.04 + 0.16 + 1) / 4),
        ("l1", "hole", 0.6 / 2),
        ("l2", "hole", 0.2 / 2),
        ("l1", "known", 1.0 / 2),
        ("l2", "known", 1.0 / 2),
        ("charbonnier", "known", (0.1 + sqrt(1.01)) / 2),
    ],
)
def test_pixel_losses_have_the_stated_values(kind: Any, region: Region, value: float) -> None:
    loss = PixelLoss(kind=kind, region=region, epsilon=0.1)
    assert loss(FAKE, TARGET, MASK).item() == pytest.approx(value, rel=1e-6)


def test_charbonnier_is_round_at_zero_and_straight_far_away() -> None:
    loss, x = PixelLoss(kind="charbonnier", epsilon=1e-3), picture(0.0, 0.5).requires_grad_()
    loss(x, torch.zeros_like(x), None).backward()
    at_zero, far = x.grad[0, 0, 0].tolist()
    assert at_zero == 0
    assert far == pytest.approx(1 / 6, rel=1e-4)  # one of six values


@pytest.mark.parametrize("kind", ["l1", "l2", "charbonnier"])
def test_descent_moves_towards_the_target(kind: Any) -> None:
    x = picture(0.2, 0.8).requires_grad_()
    PixelLoss(kind=kind)(x, picture(0.5, 0.5), None).backward()
    assert (x.grad[..., 0] < 0).all()
    assert (x.grad[..., 1] > 0).all()


def test_pixels_outside_the_region_get_no_gradient() -> None:
    x = FAKE.clone().requires_grad_()
    PixelLoss(kind="l1", region="hole")(x, TARGET, MASK).backward()
    assert x.grad.ne(0).any(1)[0, 0].tolist() == [False, True, True, False]


def test_an_empty_region_costs_nothing_and_a_missing_mask_is_an_error() -> None:
    assert masked_mean(torch.ones(1, 3, 2, 2), torch.zeros(1, 1, 2, 2), "hole").item() == 0
    with pytest.raises(ValueError, match="needs a mask"):
        masked_mean(torch.ones(1, 3, 2, 2), None, "hole")


def test_masked_mean_counts_pixels_not_pictures() -> None:
    values = torch.stack([torch.full((3, 1, 2), 1.0), torch.full((3, 1, 2), 4.0)])
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]]).view(2, 1, 1, 2)
    assert masked_mean(values, mask, "hole").item() == pytest.approx((1 + 1 + 4) / 3)


def spread(red_green: float, yellow_blue: float) -> float:
    return sqrt(red_green**2 + yellow_blue**2)


def test_colorfulness_is_the_missing_share_of_chroma() -> None:
    red, dull = (
        torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        for c in ([1.0, 0.0, 0.0], [0.6, 0.4, 0.4])
    )
    expected = 1 - spread(0.2, 0.1) / (spread(1.0, 0.5) + 0.01)
    assert ColorfulnessLoss(kind="colorfulness")(dull, red, None).item() == pytest.approx(
        expected, abs=1e-4
    )


def test_colorfulness_asks_for_more_color_and_never_for_less() -> None:
    loss = ColorfulnessLoss(kind="colorfulness")
    vivid, grey = torch.rand(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5)
    assert loss(vivid, 0.5 + 0.5 * (vivid - 0.5), None).item() == 0
    faded = (0.5 + 0.2 * (vivid - 0.5)).requires_grad_()
    loss(faded, vivid, None).backward()
    more = (faded - 0.1 * faded.grad / faded.grad.abs().max()).detach()
    assert loss(more, vivid, None) < loss(faded, vivid, None) < loss(grey, vivid, None)
    fake = grey.clone().requires_grad_()
    loss(fake, vivid, None).backward()
    assert fake.grad.isfinite().all(), "a square root at zero"


def test_perceptual_loss_looks_at_the_crop_round_the_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    class Spy(torch.nn.Module):
        def forward(self, rgb: Tensor, target: Tensor) -> Tensor:
            seen.append(rgb)
            return (rgb - target).square().mean((1, 2, 3))

    monkeypatch.setattr(reconstruction, "perceptual_distance", lambda network: Spy())
    rgb, target = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    loss = PerceptualLoss(kind="perceptual", crop_px=32)
    loss(rgb, target, None, torch.tensor([[20, 40], [0, 0]]))
    for _ in range(8):
        loss(rgb, target, None)
    assert torch.equal(seen[0][0], rgb[0, :, 4:36, 24:56])
    assert torch.equal(seen[0][1], rgb[1, :, :32, :32])
    anywhere = [crop[0, 0, 0, 0].item() for crop in seen[1:]]
    assert all(crop.shape[-2:] == (32, 32) for crop in seen[1:])
    assert len(set(anywhere)) > 4, (
        "without a hole the crop is drawn anew each time: the middle alone would be trained"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "l3"},
        {"kind": "l1", "weight": -1},
        {"kind": "l1", "region": "edge"},
        {"kind": "perceptual", "network": "vgg"},
    ],
)
def test_impossible_losses_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Loss).validate_python(fields)


def test_focal_frequency_weighs_each_frequency_by_what_is_missing_of_it() -> None:
    """A mean of 0.25 and a cosine of amplitude 0.5 missing: orthonormal spectra of 8×8 pixels hold
    8·0.25 = 2 at frequency 0, and 8·0.5/2 = 2 at each of the cosine's two.
    """
    columns = torch.arange(8.0)
    cosine = 0.5 * torch.cos(2 * torch.pi * columns / 8).expand(1, 1, 8, 8)
    even, zeros = torch.full((1, 1, 8, 8), 0.25), torch.zeros(1, 1, 8, 8)
    loss = FocalFrequencyLoss(kind="focal_frequency")
    assert loss(even, zeros, None).item() == pytest.approx(2**2 / 64)
    assert loss(cosine + even, zeros, None).item() == pytest.approx(3 * 2**2 / 64)
    # Half the cosine: its two frequencies hold 1 each, and weigh half of the largest, 2.
    half = cosine / 2 + even
    assert loss(half, zeros, None).item() == pytest.approx((2**2 + 2 * 0.5 * 1) / 64)
    plain = FocalFrequencyLoss(kind="focal_frequency", alpha=0)
    assert plain(half, zeros, None).item() == pytest.approx(half.square().mean().item())


def test_focal_frequency_descends_to_the_target_without_a_gradient_through_its_weight() -> None:
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    loss = FocalFrequencyLoss(kind="focal_frequency")
    target = torch.full((1, 1, 8, 8), 0.25)
    loss(x, target, None).backward()
    # Of 64 pixels' mean, (x - 0.25)²: the weight is 1 where all of the difference is.
    torch.testing.assert_close(x.grad, torch.full_like(x, -2 * 0.25 / 64))
    same = target.clone().requires_grad_()
    loss(same, target, None).backward()
    assert not same.grad.any()


def test_feature_matching_is_the_mean_distance_of_each_layer_whatever_its_size() -> None:
    fake = [torch.full((2, 4, 8, 8), 1.0), torch.full((2, 1, 2, 2), 3.0)]
    real = [torch.zeros(2, 4, 8, 8), torch.zeros(2, 1, 2, 2)]
    assert FeatureMatchingLoss(kind="feature_matching")(fake, real).item() == 2


# --- chroma


def of_lab(*row: tuple[float, float, float]) -> Tensor:
    """(1,3,2,n): pixels in a row, twice."""
    return from_lab(torch.tensor(row).T[None, :, None].expand(-1, -1, 2, -1))


def test_neutral_chroma_is_the_distance_where_the_truth_is_grey() -> None:
    truth = of_lab((50, 0, 0), (50, 3, 4), (50, 40, 20))
    fake = of_lab((50, 5.5, 0), (50, 3, 15), (50, -20, 0))
    loss = ChromaLoss(kind="neutral_chroma")
    assert loss(fake, truth, None).item() == pytest.approx((0.05 + 0.1) / 2, abs=1e-4)
    assert loss(fake, of_lab((50, 40, 20)).expand(-1, -1, -1, 3), None).item() == 0
    # as exact within a training step
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(fake, truth, None).item() == pytest.approx(0.075, abs=1e-4)


def test_stray_edges_are_those_beyond_the_truths_where_lightness_does_not_change() -> None:
    truth = of_lab((40, 0, 0), (60, 0, 12), (60, 0, 14), (60, 0, 14))
    fake = of_lab((40, 0, 0), (60, 0, 20), (60, 0, 11), (60, 0, 14))
    # the edge of lightness is free; then 9 of 2 wanted and 3 of 0, of 3 places
    loss = ChromaLoss(kind="stray_edges")
    assert loss(fake, truth, None).item() == pytest.approx((7 + 3) / 3 / 110, abs=1e-4)
    assert loss(truth, truth, None).item() == 0


@pytest.mark.parametrize("kind", ["neutral_chroma", "stray_edges"])
def test_the_gradient_of_greys_is_finite(kind: Any) -> None:
    grey = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    ChromaLoss(kind=kind)(grey, torch.full((1, 3, 4, 4), 0.5), None).backward()
    assert grey.grad is not None and grey.grad.isfinite().all()


def test_color_classes_is_cross_entropy_and_least_where_the_shares_are_right() -> None:
    target = of_lab((50, 36, 22), (50, 0, 0), (50, 0, 0), (50, 0, 0))
    loss = ColorClassesLoss(kind="color_classes", uniform_share=1)
    blind = torch.zeros(1, BINS, 2, 4, requires_grad=True)
    value = loss(blind, target)
    assert value.item() == pytest.approx(log(BINS), rel=1e-4)
    value.backward()
    right = shares(to_lab(target)[:, 1:])
    assert blind.grad is not None and (blind.grad[right > 0.5] < 0).all()
    encoded = encoded_bins(to_lab(target)[:, 1:], 1.0)
    assert loss(encoded, target).item() < 0.1


def test_rare_colors_weigh_more_by_the_share_of_the_uniform() -> None:
    target = of_lab((50, 36, 22), (50, 0, 0), (50, 0, 0), (50, 0, 0))
    prediction = torch.zeros(1, BINS, 2, 4)
    prediction[:, :, :, 0] = -0.1 * shares(torch.tensor([[36.0], [22.0]])[None, :, :, None])[..., 0]

    def weights(uniform_share: float) -> float:
        return ColorClassesLoss(kind="color_classes", uniform_share=uniform_share)(
            prediction, target
        ).item()

    # only the rare color, a quarter of the pixels, is predicted badly: by logit -1 of its bin
    wrong = log(BINS - 1 + exp(-1)) + 1
    rare, common = (1 / (0.5 * p + 0.5 / BINS) for p in (0.25, 0.75))
    both = 0.25 * rare + 0.75 * common
    expected = (0.25 * rare * wrong + 0.75 * common * log(BINS)) / both
    assert weights(0.5) == pytest.approx(expected, rel=2e-3)
    assert weights(1.0) == pytest.approx(0.25 * wrong + 0.75 * log(BINS), rel=2e-3)


def test_a_coarse_prediction_is_compared_with_the_mean_color() -> None:
    target = of_lab((50, 0, 0), (50, 12, 0))
    loss = ColorClassesLoss(kind="color_classes", uniform_share=1)
    prediction = encoded_bins(torch.tensor([6.0, 0.0]).view(1, 2, 1, 1), 1.0)
    assert loss(prediction, target).item() < 0.2
