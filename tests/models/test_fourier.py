"""Fast Fourier convolutions: they see the whole picture, at any size, and begin as nothing."""

from __future__ import annotations

import pytest
import torch

from img2img.models.fourier import FastFourierConv, FourierBlock, FourierUnit
from img2img.models.gated import GatedConfig
from img2img.tasks import build_task
from img2img.zoo.catalogue import CATALOGUE


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (2, 6)])
def test_a_fourier_unit_sees_everything_from_everywhere(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    unit, x = FourierUnit(4), torch.randn(1, 4, *size, requires_grad=True)
    made = unit(x)
    assert made.shape == x.shape
    made[0, 0, 0, 0].backward()
    assert (x.grad.abs().sum(1) > 0).all()


def test_a_pattern_has_the_same_features_in_a_larger_picture() -> None:
    """What was learned on crops holds for whole photos: a spectrum's scale must not matter."""
    torch.manual_seed(0)
    unit, x = FourierUnit(3), torch.randn(1, 3, 8, 12)
    torch.testing.assert_close(unit(x.tile(1, 1, 2, 3)), unit(x).tile(1, 1, 2, 3))


def test_the_spectrum_is_kept_in_fp32_under_autocast() -> None:
    torch.manual_seed(0)
    unit, x = FourierUnit(3), torch.randn(1, 3, 16, 16) + 50
    exact = unit(x)
    with torch.autocast("cpu", torch.bfloat16):
        made = unit(x)
    assert made.dtype == torch.float32
    assert torch.equal(made, exact)


def test_global_channels_see_far_and_reach_the_local_ones() -> None:
    torch.manual_seed(0)
    layer = FastFourierConv(6, 2)
    x = torch.randn(1, 6, 24, 24, requires_grad=True)
    layer(x)[0, 0, 4, 4].backward()  # a local channel, of one layer
    assert not x.grad[..., 6:, :].any(), "3×3 alone"
    x.grad = None
    layer(x)[0, 5, 4, 4].backward()  # a global one
    assert x.grad[0, 4:, 20, 20].any() and not x.grad[0, :4, 20, 20].any()
    x.grad = None
    layer(layer(x))[0, 0, 4, 4].backward()
    assert x.grad[0, 4:, 20, 20].any()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_block_begins_as_its_input_and_every_weight_learns(share: float) -> None:
    torch.manual_seed(0)
    block, x = FourierBlock(6, share), torch.randn(2, 6, 8, 8)
    assert torch.equal(block(x), x)
    optimizer = torch.optim.SGD(block.parameters(), 0.1)
    for _ in range(2):  # what lies before the last layers learns as soon as these are not zero
        optimizer.zero_grad()
        (block(x) - 1).square().mean().backward()
        optimizer.step()
    assert all(p.grad.any() for p in block.parameters())


def test_without_blocks_the_network_is_that_of_before_and_with_them_it_starts_as_it() -> None:
    entry = CATALOGUE.entry("inpaint")
    weights, task = entry.weights(), entry.recipe.task
    plain = GatedConfig(width=32).build(task).eval()
    plain.load_state_dict(weights)
    larger = GatedConfig(width=32, fourier_blocks=2).build(task).eval()
    found = larger.load_state_dict(weights, strict=False)
    assert not found.unexpected_keys
    assert {name.split(".")[0] for name in found.missing_keys} == {"fourier"}
    x = torch.rand(1, task.condition_channels, 32, 48)
    with torch.inference_mode():
        assert torch.equal(plain(x), larger(x))


def test_a_hole_is_filled_from_beyond_the_reach_of_convolutions() -> None:
    """Each pixel of the network's output changes with one far away."""
    torch.manual_seed(0)
    task = build_task("inpaint")
    x = torch.rand(1, 4, 16, 256, requires_grad=True)
    for blocks, sees in ((0, False), (1, True)):
        network = GatedConfig(width=8, dilations=(), fourier_blocks=blocks).build(task)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.2)
        x.grad = None
        network(x)[..., 0].sum().backward()
        assert x.grad[..., 255].any() == sees
