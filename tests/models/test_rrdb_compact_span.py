"""RRDB, Compact and SPAN of ours, trained, open in spandrel with the same pixels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import img2img
from img2img.environment import declare_torchvision_ops
from img2img.errors import UserError
from img2img.models.span import FusedConv, Span, SpanConfig
from img2img.models.spandrel import spandrel
from img2img.pixels.color import upscale
from img2img.pixels.tiling import TileGrid, tiled
from img2img.recipe import Recipe

RRDB = {"kind": "rrdb", "width": 8, "blocks": 2}
COMPACT = {"kind": "compact", "width": 8, "convs": 2}
SPAN = {"kind": "span", "width": 8}


@pytest.fixture(autouse=True, scope="module")
def library() -> Any:
    declare_torchvision_ops()
    pytest.importorskip("spandrel", reason="pip install 'img2img[community]'")


def opened(state: Mapping[str, Tensor]) -> Any:
    """The descriptor of what spandrel finds in tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copied = {name: value.clone() for name, value in state.items()}
        return spandrel().ModelLoader("cpu").load_from_state_dict(copied).eval()


def recipe(generator: dict[str, Any], scale: int) -> Recipe:
    upsampling: dict[str, Any] = {"kind": "super-resolve", "factor": scale}
    return Recipe.parse(
        {
            "name": "x",
            "task": upsampling if scale > 1 else {"kind": "restoration", "source": "jpeg"},
            "generator": generator,
            "data": {"path": "data/samples", "crop_px": 16 * scale, "workers": 0},
            "train": {"steps": 2, "batch_size": 2, "lr": 0.01, "schedule": "constant"},
        }
    )


@pytest.mark.parametrize(
    ("generator", "scale", "found"),
    [
        (RRDB, 1, ("ESRGAN", ["8nf", "2nb", "unshuffle"])),
        (RRDB, 2, ("ESRGAN", ["8nf", "2nb", "unshuffle"])),
        (RRDB, 4, ("ESRGAN", ["8nf", "2nb"])),
        (COMPACT, 1, ("Compact", ["8nf", "2nc"])),
        (COMPACT, 3, ("Compact", ["8nf", "2nc"])),
        (SPAN, 2, ("SPAN", ["8nf"])),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_what_was_trained_opens_in_spandrel_with_the_same_pixels(
    generator: dict[str, Any], scale: int, found: tuple[str, list[str]], tmp_path: Path
) -> None:
    summary = img2img.train(recipe(generator, scale), tmp_path / "run", device="cpu")
    theirs = opened(load_file(summary["model"]))
    assert (theirs.architecture.id, theirs.tags, theirs.scale) == (*found, scale)
    model = img2img.load(summary["model"], device="cpu", precision="fp32")
    x = torch.rand(2, 3, 21, 30)  # no multiple of what pixels are folded by
    with torch.inference_mode():
        expected = theirs(x.clone())
        decoded = model.task.decode(x, model.generator(x)).clamp(0, 1)
    assert expected.std() > 0.01 and decoded.shape[-1] == 30 * scale
    assert (decoded - expected.clamp(0, 1)).abs().max() < 1e-5
    with torch.inference_mode():
        assert torch.equal(
            model.generator(x), model.generator.answer(x) - (upscale(x, scale) if scale > 1 else x)
        )


@pytest.mark.parametrize("scale", [1, 2])
def test_tiles_of_folded_pixels_are_the_whole(scale: int) -> None:
    torch.manual_seed(1)
    known = recipe(RRDB, scale)
    network = known.build_generator().eval()
    align = known.generator.tile_align_px
    x = torch.rand(1, 3, 107, 130)
    with torch.inference_mode():
        pieces = tiled(network, x, scale, TileGrid((x.shape[-2], x.shape[-1]), 48, align, 120))
        assert (pieces - network(x)).abs().max() < 1e-5


def test_the_scales_of_rrdb_are_those_of_real_esrgan() -> None:
    with pytest.raises(UserError, match="×1, ×2 or ×4, and the task ×3"):
        recipe(RRDB, 3)


def test_the_one_convolution_is_what_was_learned() -> None:
    torch.manual_seed(0)
    conv, x = FusedConv(3, 4), torch.randn(1, 3, 9, 9)
    apart = conv.conv(torch.nn.functional.pad(x, (1, 1, 1, 1))) + conv.sk(x)
    assert (conv(x) - apart).abs().max() < 1e-5


def test_a_file_of_span_has_the_convolutions_of_now() -> None:
    network = Span(SpanConfig(width=4), 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    state = network.state_dict()
    weight, bias = network.conv_1.fused()
    assert torch.equal(state["conv_1.eval_conv.weight"], weight)
    assert torch.equal(state["conv_1.eval_conv.bias"], bias)
    assert not any("eval_conv" in name for name, _ in network.named_parameters())


@pytest.mark.parametrize("generator", [RRDB, COMPACT, SPAN], ids=lambda g: g["kind"])
def test_the_picture_is_in_fp32_where_the_rest_is_in_bf16(generator: dict[str, Any]) -> None:
    network = recipe(generator, 2).build_generator()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        picture = network.answer(torch.rand(1, 3, 16, 16))
    assert picture.dtype == torch.float32
    assert (picture != picture.bfloat16().float()).any()
