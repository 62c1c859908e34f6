"""The pix2pix U-Net against its published size and layout."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from img2img.models.base import Shapes
from img2img.models.resnet import ResNetConfig
from img2img.models.unet import UNetConfig

RGB: Any = SimpleNamespace(condition_channels=3, prediction_channels=3, prediction_strides=(1,))


def layers(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, kind)]


def tiny(shapes: Shapes = RGB, **fields: Any) -> nn.Module:
    return UNetConfig(width=4, levels=fields.pop("levels", 4), **fields).build(shapes)


def test_has_the_published_54_million_parameters() -> None:
    with torch.no_grad():
        network = UNetConfig().build(RGB)
    assert (
        sum(p.numel() for p in network.parameters()) == 54_413_955
    )  # junyanz prints 54.414 M for unet_256, 3 -> 3, batch norm
    assert [c.out_channels for c in layers(network, nn.Conv2d)] == [
        64,
        128,
        256,
        512,
        512,
        512,
        512,
        512,
    ]


def test_innermost_features_are_one_pixel_for_256_px() -> None:
    network = UNetConfig(width=4, levels=8).build(RGB).eval()
    sizes: list[torch.Size] = []
    layers(network, nn.Conv2d)[-1].register_forward_hook(
        lambda _m, _i, out: sizes.append(out.shape)
    )
    assert network(torch.rand(1, 3, 256, 256)).shape == (1, 3, 256, 256)
    assert sizes == [torch.Size([1, 32, 1, 1])]


def test_dropout_is_on_the_three_blocks_above_the_innermost() -> None:
    network = UNetConfig(width=4, levels=8).build(RGB)
    block, found = network.model, []
    while isinstance(block.inner, nn.Module) and hasattr(block.inner, "up"):
        found.append(any(isinstance(layer, nn.Dropout) and layer.p == 0.5 for layer in block.up))
        block = block.inner
    found.append(any(isinstance(layer, nn.Dropout) for layer in block.up))
    assert found == [False, False, False, False, True, True, True, False]


def test_dropout_acts_only_while_training() -> None:
    network, x = tiny(levels=5), torch.rand(1, 3, 32, 32)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


def test_outermost_and_innermost_down_have_no_norm_and_convolutions_before_norm_no_bias() -> None:
    network = tiny(levels=5)
    convolutions = [
        layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    assert len(layers(network, nn.BatchNorm2d)) == (5 - 2) + (5 - 1)
    assert [c.bias is not None for c in convolutions].count(True) == 1, (
        "the last layer alone has no norm after it"
    )


@pytest.mark.parametrize("config", [UNetConfig, ResNetConfig])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("biases", [None, False, True])
def test_biases_before_a_norm_are_as_asked_for(config: Any, norm: Any, biases: bool | None) -> None:
    network = config(width=4, norm=norm, biases=biases).build(RGB)
    inner = [
        layer.bias is not None
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.out_channels != 3
    ]
    assert set(inner) == {norm != "batch" if biases is None else biases}


def test_residual_blocks_have_dropout_where_it_is_asked_for() -> None:
    assert not layers(ResNetConfig(width=4).build(RGB), nn.Dropout)
    network, x = ResNetConfig(width=4, blocks=2, dropout=0.3).build(RGB), torch.rand(1, 3, 16, 16)
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.3, 0.3]
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


def test_starts_from_gaussians_of_002() -> None:
    network = UNetConfig(width=16, levels=5).build(RGB)
    kernels = torch.cat([c.weight.detach().flatten() for c in layers(network, nn.Conv2d)])
    scales = torch.cat([n.weight.detach() for n in layers(network, nn.BatchNorm2d)])
    assert kernels.std().item() == pytest.approx(0.02, rel=0.02)
    assert abs(kernels.mean().item()) < 1e-4
    assert scales.mean().item() == pytest.approx(1, abs=0.005)
    assert scales.std().item() == pytest.approx(0.02, rel=0.2)


def test_resize_upsampling_has_no_transposed_convolution() -> None:
    assert layers(tiny(upsampling="transposed"), nn.ConvTranspose2d)
    network = tiny(upsampling="resize")
    assert not layers(network, nn.ConvTranspose2d)
    assert network(torch.rand(1, 3, 16, 16)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d), ("none", nn.Identity)],
)
def test_normalisation_is_the_one_asked_for(norm: str, kind: type[nn.Module]) -> None:
    network = tiny(norm=norm)
    for norm_of in (nn.BatchNorm2d, nn.InstanceNorm2d):
        assert bool(layers(network, norm_of)) is (norm_of is kind)


def test_tanh_output_is_bounded_and_linear_is_not() -> None:
    x = torch.rand(1, 3, 16, 16)
    for output, bounded in (("tanh", True), ("linear", False)):
        network = tiny(output=output)
        with torch.no_grad():
            network.model.up[1].weight.mul_(1e4)
        assert (network(x).abs().max().item() <= 1) is bounded


def after_training(at_test: str) -> tuple[nn.Module, Tensor]:
    network = tiny(at_test=at_test, dropout=0.0).train()
    for _ in range(3):
        network(torch.rand(4, 3, 32, 32))
    return network.eval(), torch.rand(2, 3, 32, 32)


def test_running_statistics_make_pictures_independent_of_their_batch() -> None:
    network, x = after_training("running")
    assert torch.allclose(network(x)[:1], network(x[:1]), atol=1e-6)


def test_statistics_of_the_picture_equal_batch_norm_in_training() -> None:
    network, x = after_training("picture")
    used = network(x[:1])
    assert not torch.allclose(network(x)[:1], used, atol=1e-3), (
        "a batch's statistics are not a picture's"
    )
    assert torch.allclose(network.train()(x[:1]), used, atol=1e-6)


@pytest.mark.parametrize("at_test", ["running", "picture"])
def test_using_the_network_changes_no_buffer_and_training_does(at_test: str) -> None:
    network, x = after_training(at_test)
    before = {name: value.clone() for name, value in network.named_buffers()}
    network(x)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    network.train()(x)
    assert not any(torch.equal(value, before[name]) for name, value in network.named_buffers())
