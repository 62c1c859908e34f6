"""Adversarial objectives against values worked out by hand."""

from __future__ import annotations

from math import e, log

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from img2img.losses.adversarial import Adversarial, Kind, Objective

REAL, FAKE = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [3.0]])


def softplus(x: float) -> float:
    return log(1 + e**x)


def objective(kind: Kind) -> Objective:
    return Adversarial(kind=kind).build()


@pytest.mark.parametrize(
    ("kind", "d_loss", "g_loss"),
    [
        # -log D(x) - log(1 - D(G)), means over the batch; G: -log D(G)
        ("ns", (softplus(-2) + log(2)) / 2 + (softplus(-1) + softplus(3)) / 2, (softplus(1) + softplus(-3)) / 2),
        # ½(1 + 1)/2 + ½(1 + 9)/2; G: ½(4 + 4)/2
        ("lsgan", 0.5 + 2.5, 2.0),
        # (0 + 1)/2 + (0 + 4)/2; G: -(−1 + 3)/2
        ("hinge", 0.5 + 2.0, -1.0),
    ],
)
def test_losses_have_the_papers_values(kind: Kind, d_loss: float, g_loss: float) -> None:
    assert objective(kind).d_loss(REAL, FAKE).item() == pytest.approx(d_loss, rel=1e-6)
    assert objective(kind).g_loss(None, FAKE).item() == pytest.approx(g_loss, rel=1e-6)


def slopes(loss: Tensor, *of: Tensor) -> list[float]:
    return [float(g) for g in torch.autograd.grad(loss, of)]


@pytest.mark.parametrize("kind", ["ns", "lsgan", "hinge"])
def test_d_pushes_real_up_and_fake_down_and_g_pushes_fake_up(kind: Kind) -> None:
    real, fake = torch.tensor(0.3, requires_grad=True), torch.tensor(0.3, requires_grad=True)
    up, down = slopes(objective(kind).d_loss(real, fake), real, fake)
    assert up < 0 < down, "descent raises the real logit and lowers the fake one"
    assert slopes(objective(kind).g_loss(None, fake), fake)[0] < 0


def test_non_saturating_generator_learns_most_where_it_is_found_out() -> None:
    lost, won = (torch.tensor(x, requires_grad=True) for x in (-20.0, 20.0))
    assert slopes(objective("ns").g_loss(None, lost), lost)[0] == pytest.approx(-1, abs=1e-6)
    assert slopes(objective("ns").g_loss(None, won), won)[0] == pytest.approx(0, abs=1e-6)


def test_non_saturating_losses_do_not_overflow() -> None:
    far = torch.tensor([1e4, -1e4])
    assert objective("ns").d_loss(far, far).isfinite()
    assert objective("ns").g_loss(None, far).item() == pytest.approx(5e3)


def test_hinge_discriminator_rests_beyond_the_margin() -> None:
    real, fake = torch.tensor(1.5, requires_grad=True), torch.tensor(-1.5, requires_grad=True)
    loss = objective("hinge").d_loss(real, fake)
    assert loss.item() == 0
    assert slopes(loss, real, fake) == [0, 0]


@pytest.mark.parametrize("kind", ["ns", "lsgan", "hinge"])
def test_a_patch_map_counts_like_a_batch_of_logits(kind: Kind) -> None:
    patches = torch.rand(2, 1, 3, 3)
    assert objective(kind).g_loss(None, patches).item() == pytest.approx(
        objective(kind).g_loss(None, patches.flatten()).item()
    )


@pytest.mark.parametrize(
    "fields", [{"kind": "vanilla"}, {"weight": -1}, {"sees": ["depth"]}, {"start_step": -1}, {"lr": 0}]
)
def test_impossible_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Adversarial.model_validate(fields)
