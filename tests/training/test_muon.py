"""Muon against what follows from its definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim import Adam

from img2img.training.muon import COEFFICIENTS, Muon, orthogonalized

LR, BETAS = 1e-2, (0.9, 0.99)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3)
    )


def hidden_weight(net: nn.Sequential) -> nn.Parameter:
    conv = net[2]
    assert isinstance(conv, nn.Conv2d)
    return conv.weight


def stepped(net: nn.Sequential, optimizer: torch.optim.Optimizer, times: int = 3) -> None:
    for seed in range(times):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        net(torch.randn(2, 3, 12, 12)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(8, 8), (8, 72), (72, 8)], ids=["square", "wide", "tall"])
def test_every_direction_comes_out_about_as_long(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    loud_and_rare = u * torch.logspace(0, -1.5, min(shape)) @ v
    turned = u.mT @ orthogonalized(loud_and_rare) @ v.mT
    lengths = turned.diagonal()
    assert lengths.min() > 0.6 and lengths.max() < 1.25
    assert torch.allclose(turned, torch.diag(lengths), atol=1e-4)  # its directions stay


def test_one_length_follows_the_polynomial() -> None:
    a, b, c = COEFFICIENTS
    x = 1 / math.sqrt(4)  # the singular values of the identity over its norm
    for _ in range(5):
        x = a * x + b * x**3 + c * x**5
    assert torch.allclose(orthogonalized(torch.eye(4)), x * torch.eye(4), atol=1e-5)


def test_nothing_moves_without_a_gradient() -> None:
    assert torch.equal(orthogonalized(torch.zeros(4, 6)), torch.zeros(4, 6))


def test_biases_and_outer_layers_move_as_adams_and_hidden_weights_alone_do_not() -> None:
    """One step only: after it the hidden weights differ, and all else sees other gradients."""
    by_muon, by_adam = network(), network()
    stepped(by_muon, Muon(by_muon, LR, BETAS, fused=True), 1)
    stepped(by_adam, Adam(by_adam.parameters(), LR, BETAS, fused=True), 1)
    pairs = zip(by_muon.named_parameters(), by_adam.parameters(), strict=True)
    assert [name for (name, mine), theirs in pairs if not torch.equal(mine, theirs)] == ["2.weight"]


def test_an_update_is_as_large_as_adams() -> None:
    net = network()
    hidden = hidden_weight(net)
    before = hidden.detach().clone()
    stepped(net, Muon(net, LR, BETAS, fused=True), 1)
    rms = float((hidden.detach() - before).square().mean().sqrt())
    # 0.2·√72 times a matrix of 8 singular values near 1, over its 8·72 entries
    assert 0.6 * 0.2 * LR < rms < 1.25 * 0.2 * LR


def test_the_momentum_is_nesterovs_and_weights_decay() -> None:
    net = network()
    optimizer = Muon(net, LR, BETAS, fused=True)
    hidden = hidden_weight(net)
    first, second = torch.randn(8, 8, 3, 3), torch.randn(8, 8, 3, 3)
    before = hidden.detach()
    for gradient in (first, second):
        before = hidden.detach().clone()
        hidden.grad = gradient
        optimizer.step()
    momentum = 0.95 * 0.05 * first + 0.05 * second
    expected = (
        orthogonalized((0.05 * second + 0.95 * momentum).flatten(1)) * 0.2 * math.sqrt(72) * LR
    )
    assert torch.allclose(
        before * (1 - 0.1 * LR) - hidden.detach(), expected.view(8, 8, 3, 3), atol=1e-6
    )
