"""Gradient penalties on functions whose gradient is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from img2img.losses.penalties import around, between, gradients, r1_penalty, unit_norm_penalty

W = torch.tensor([3.0, -4.0, 0.0, 12.0])  # |w| = 13
PICTURES = torch.rand(5, 1, 2, 2)


def linear(x: Tensor) -> Tensor:
    return x.flatten(1) @ W.to(x.dtype)[:, None]


def quadratic(x: Tensor) -> Tensor:
    return 0.5 * x.flatten(1).square().sum(1, keepdim=True)  # its gradient is x


def test_a_linear_discriminator_is_penalised_by_how_far_its_slope_is_from_one() -> None:
    assert unit_norm_penalty(linear, PICTURES).item() == pytest.approx((13 - 1) ** 2)
    assert r1_penalty(linear, PICTURES).item() == pytest.approx(13**2 / 2)


def test_a_quadratic_discriminator_is_penalised_sample_by_sample() -> None:
    norms = PICTURES.flatten(1).norm(dim=1)
    assert torch.allclose(gradients(quadratic, PICTURES), PICTURES.flatten(1))
    assert unit_norm_penalty(quadratic, PICTURES).item() == pytest.approx(
        (norms - 1).square().mean().item()
    )
    assert r1_penalty(quadratic, PICTURES).item() == pytest.approx(norms.square().mean().item() / 2)


def test_a_map_of_patches_is_scored_by_its_mean() -> None:
    def four(x: Tensor) -> Tensor:
        return linear(x)[..., None, None].expand(-1, -1, 2, 2)

    assert r1_penalty(four, PICTURES).item() == pytest.approx(13**2 / 2)


def test_a_flat_discriminator_has_a_penalty_and_finite_slopes() -> None:
    w = torch.zeros(4, 1, requires_grad=True)
    penalty = unit_norm_penalty(lambda x: x.flatten(1) @ w, PICTURES)
    penalty.backward()
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    assert w.grad is not None and w.grad.isfinite().all()


def test_the_penalty_teaches_the_discriminator_and_not_the_picture() -> None:
    w = W[:, None].clone().requires_grad_()
    images = PICTURES.clone().requires_grad_()
    unit_norm_penalty(lambda x: x.flatten(1) @ w, images).backward()
    # d(|w| - 1)²/dw = 2 (|w| - 1) w/|w|
    assert w.grad is not None and torch.allclose(w.grad[:, 0], 2 * 12 * W / 13, rtol=1e-4)
    assert images.grad is None


def test_penalties_run_in_fp32_whatever_surrounds_them() -> None:
    scores, seen = torch.nn.Linear(4, 1), []

    def watched(x: Tensor) -> Tensor:
        out = scores(x.flatten(1))
        seen.append((x.dtype, out.dtype))
        return out

    plain = unit_norm_penalty(watched, PICTURES), r1_penalty(watched, PICTURES)
    with torch.autocast("cpu", torch.bfloat16):
        under = unit_norm_penalty(watched, PICTURES), r1_penalty(watched, PICTURES)
        r1_penalty(watched, PICTURES.bfloat16())
    assert torch.equal(torch.stack(plain), torch.stack(under))
    assert set(seen) == {(torch.float32, torch.float32)}


def test_between_draws_one_share_a_sample() -> None:
    real, fake = torch.ones(500, 3, 2, 2), torch.zeros(500, 3, 2, 2)
    shares = between(real, fake).flatten(1)
    assert torch.equal(shares, shares[:, :1].expand_as(shares)), "the whole sample lies on one line"
    assert 0 <= shares.min() < 0.02 and 0.98 < shares.max() <= 1
    assert shares[:, 0].mean().item() == pytest.approx(0.5, abs=0.05)
    assert shares[:, 0].var().item() == pytest.approx(1 / 12, abs=0.01)


def test_around_is_normal_noise_of_half_the_datas_deviation() -> None:
    real = 3 * torch.randn(400, 1, 8, 8)
    away = (around(real) - real) / (0.5 * real.std())
    assert abs(float(away.mean())) < 0.02
    assert float(away.std()) == pytest.approx(1, abs=0.02)
    assert float((away.abs() < 1).float().mean()) == pytest.approx(0.683, abs=0.02)
