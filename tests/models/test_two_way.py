"""CycleGAN's generator as published, and two of them in one module."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from img2img.models.resnet import ResNet, ResNetConfig
from img2img.models.two_way import TwoWay
from img2img.models.unet import UNetConfig
from img2img.recipe import Recipe
from img2img.tasks import build_task

UNPAIRED = build_task({"kind": "translate", "source": "unpaired", "side_a": "grey"})


def test_nine_blocks_have_the_published_11_378_million_weights() -> None:
    """Printed by the authors' code for resnet_9blocks at 3 → 3 channels; six blocks: 7.838 M at
    this width.
    """
    with torch.device("meta"):
        nine, six = (ResNetConfig(blocks=n).build(UNPAIRED) for n in (9, 6))
    assert sum(p.numel() for p in nine.parameters()) == 11_378_179
    assert round(sum(p.numel() for p in six.parameters()) / 1e6, 3) == 7.838


def test_layers_are_the_papers() -> None:
    """c7s1-64, d128, d256, R256 × 9, u128, u64, c7s1-3 (section 7.2)."""
    with torch.device("meta"):
        network = ResNetConfig().build(UNPAIRED)
    convolutions = [
        layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, *[256] * 18, 128, 64, 3]
    assert [c.kernel_size[0] for c in convolutions] == [7, *[3] * 22, 7]
    assert [c.stride[0] for c in convolutions] == [1, 2, 2, *[1] * 18, 2, 2, 1]
    padded = [
        layer.padding[0] for layer in network.modules() if isinstance(layer, nn.ReflectionPad2d)
    ]
    assert padded == [3, *[1] * 18, 3]
    assert sum(isinstance(layer, nn.InstanceNorm2d) for layer in network.modules()) == 23


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("size", [(8, 8), (16, 24), (40, 8)])
def test_size_is_kept_and_predictions_are_signed(
    upsampling: str, norm: str, size: tuple[int, int]
) -> None:
    config = ResNetConfig.model_validate(
        {"width": 4, "blocks": 1, "upsampling": upsampling, "norm": norm}
    )
    network = config.build(UNPAIRED)
    made = network(torch.rand(2, 3, *size))
    assert made.shape == (2, 3, *size) and float(made.detach().abs().max()) <= 1
    made.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_a_cycle_recipe_builds_both_ways_of_either_generator() -> None:
    for kind, inner in (
        ("resnet", ResNet),
        ("unet", type(UNetConfig(width=4, levels=3).build(UNPAIRED))),
    ):
        fields = Recipe.load("cyclegan_tiny").fields()
        fields["generator"] = {"kind": kind, "width": 4}
        fields["data"] |= {"crop_px": 256, "resize_px": None}
        network = Recipe.parse(fields).build_generator()
        assert (
            isinstance(network, TwoWay)
            and isinstance(network.AtoB, inner)
            and isinstance(network.BtoA, inner)
        )
        different = zip(network.AtoB.parameters(), network.BtoA.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in different)


def test_direction_is_the_default_and_may_be_asked_for() -> None:
    network = TwoWay(lambda: ResNetConfig(width=4, blocks=1).build(UNPAIRED)).eval()
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(network(x), network.AtoB(x)) and torch.equal(
            network(x, "BtoA"), network.BtoA(x)
        )
        network.direction = "BtoA"
        assert torch.equal(network(x), network.BtoA(x)) and torch.equal(
            network(x, "AtoB"), network.AtoB(x)
        )
    assert {name.split(".")[0] for name in network.state_dict()} == {"AtoB", "BtoA"}
