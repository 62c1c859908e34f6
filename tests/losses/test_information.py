"""InfoGAN's code loss against values worked out by hand."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from img2img.losses.information import code_loss


def test_code_loss_is_cross_entropy_plus_half_squares() -> None:
    recognised = torch.tensor([[2.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, -1.0]])
    code = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    categorical = (log(exp(2) + 1 + exp(1)) - 2 + log(3)) / 2
    continuous = (0.5 * 0.5**2 + 0.5 * 1) / 2
    assert code_loss(recognised, code, (3, 1)).item() == pytest.approx(
        categorical + continuous, rel=1e-6
    )


def test_either_kind_of_code_may_be_missing() -> None:
    assert code_loss(torch.zeros(2, 4), torch.eye(4)[:2], (4, 0)).item() == pytest.approx(log(4))
    assert code_loss(
        torch.zeros(1, 2), torch.tensor([[1.0, -0.5]]), (0, 2)
    ).item() == pytest.approx(0.5 * 1.25)


def test_a_code_that_is_read_right_costs_nothing() -> None:
    code = torch.tensor([[0.0, 1.0, 0.3]])
    assert code_loss(torch.tensor([[-50.0, 50.0, 0.3]]), code, (2, 1)).item() == pytest.approx(
        0, abs=1e-6
    )
