"""Checkpoints of pix2pix and CycleGAN give the pictures of the original networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pix2pix_networks import discriminator, original
from torch import Tensor, nn

import img2img
from img2img.cli import main
from img2img.community.foreign import foreign_model
from img2img.community.junyanz import convert, description, is_junyanz, recognise
from img2img.errors import UserError
from img2img.modelfile import read_header
from img2img.recipe import Recipe

NORMS = ("batch", "instance", "none")
KINDS = ("unet_128", "unet_256", "resnet_6", "resnet_9")


def saved(network: nn.Module, folder: Path) -> dict[str, Tensor]:
    """As their programs write it and ours read it."""
    path = folder / "latest_net_G.pth"
    torch.save(network.state_dict(), path)
    state: dict[str, Tensor] = torch.load(path, weights_only=True)
    return state


def ours(state: dict[str, Tensor], **options: Any) -> tuple[Recipe, nn.Module]:
    recipe = recognise(state, **options)
    generator = recipe.build_generator()
    generator.load_state_dict(convert(state, recipe))
    return recipe, generator.eval()


def assert_same(state: dict[str, Tensor], network: nn.Module, **options: Any) -> Recipe:
    """Pictures in [0,1] of both, the original's by way of its own [-1,1]."""
    recipe, generator = ours(state, **options)
    photo = torch.rand(1, recipe.task.condition_channels, 256, 256)
    with torch.no_grad():
        theirs = ((network(photo * 2 - 1) + 1) / 2).expand(-1, 3, -1, -1)
        picture = recipe.task.decode(photo, generator(photo))
    assert theirs.std() > 1e-3, "the network does something"
    assert (picture - theirs).abs().max() <= 1e-5
    return recipe


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_generator_gives_the_pictures_of_the_original(
    tmp_path: Path, kind: str, norm: str, dropout: bool
) -> None:
    network = original(kind, norm, dropout=dropout)
    state = saved(network, tmp_path)
    assert is_junyanz(state)
    options = {"dropout": dropout} if kind.startswith("unet") else {}
    generator = assert_same(state, network, **options).fields()["generator"]
    depth = generator.get("levels") or generator["blocks"]
    assert f"{generator['kind']}_{2**depth if 'levels' in generator else depth}" == kind
    assert (generator["norm"], generator["width"]) == (norm, 4)
    assert generator["dropout"] == (0.5 if dropout else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_with_dropout_where_theirs_has_it(kind: str) -> None:
    for dropout in (False, True):
        state = original(kind, "instance", dropout=dropout).state_dict()
        _, generator = ours(state, **({"dropout": dropout} if "unet" in kind else {}))
        found = [m.p for m in generator.modules() if isinstance(m, nn.Dropout)]
        assert bool(found) == dropout and set(found) <= {0.5}


def test_what_tensors_show_may_be_told_as_well() -> None:
    for kind, norm in (("unet_128", "batch"), ("resnet_9", "instance")):
        state = original(kind, norm).state_dict()
        seen = recognise(state)
        assert recognise(state, kind=kind, norm=norm) == seen  # type: ignore[arg-type]  # are Norms
    assert recognise(state, kind="resnet_9blocks", dropout=False) == seen


def test_a_network_from_several_gpus_and_one_of_half_precision() -> None:
    network = original("resnet_6", "instance")
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    assert_same(state, network)
    halves = {name: value.half() for name, value in network.state_dict().items()}
    _, generator = ours(halves)
    assert {value.dtype for value in generator.state_dict().values()} == {torch.float32}


def test_statistics_that_old_versions_kept_of_instance_norm_are_not_used() -> None:
    network = original("unet_128", "instance", old=True)
    state = network.state_dict()
    assert any(name.endswith("running_mean") for name in state)
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    assert assert_same(state, network).fields()["generator"]["norm"] == "instance"


def test_batch_norm_of_before_it_counted_batches() -> None:
    network = original("resnet_6", "batch")
    state = {n: v for n, v in network.state_dict().items() if "num_batches" not in n}
    assert_same(state, network)


@pytest.mark.parametrize("kind", ["unet_256", "resnet_6"])
def test_statistics_of_the_picture_are_what_their_test_without_eval_goes_by(kind: str) -> None:
    network = original(kind, "batch").train()
    assert_same(network.state_dict(), network, at_test="picture")


@pytest.mark.parametrize("kind", ["unet_128", "resnet_6"])
@pytest.mark.parametrize("nc", [(1, 3), (3, 1), (1, 1)])
def test_grey_pictures(kind: str, nc: tuple[int, int]) -> None:
    network = original(kind, "instance", nc=nc)
    recipe = assert_same(network.state_dict(), network)
    photo = torch.rand(1, 3, 8, 8)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    seen = (photo * weights).sum(1, keepdim=True) if nc[0] == 1 else photo
    assert torch.allclose(recipe.task.prepare(photo), seen, atol=1e-6)  # type: ignore[attr-defined]  # is a PhotoTask


@pytest.mark.parametrize("kind", ["unet_128", "resnet_6"])
@pytest.mark.parametrize(("built", "told"), [("instance", "none"), ("none", "instance")])
def test_variants_whose_biases_mislead_are_told(kind: str, built: str, told: str) -> None:
    """Instance norm without biases, and biases without a norm."""
    state = original(kind, built).state_dict()
    network = original(kind, told)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            bias = state.get(f"{name}.bias")
            module.bias = None if bias is None else nn.Parameter(bias)
    network.load_state_dict(state)
    assert assert_same(state, network, norm=told).fields()["generator"]["norm"] == told


UNET = original("unet_128", "batch").state_dict()
RESNET = original("resnet_6", "instance").state_dict()


@pytest.mark.parametrize(
    ("state", "options", "message"),
    [
        (UNET, {"kind": "unet_256"}, "kind unet_256: the file is of unet_128: leave kind out"),
        (UNET, {"norm": "none"}, "norm none: the file has the tensors of batch norm"),
        (RESNET, {"norm": "batch"}, "norm batch: the file has no tensors of a batch norm"),
        (RESNET, {"norm": "layer"}, "norm: 'layer' is none of batch, instance, none"),
        (RESNET, {"dropout": True}, "dropout: the residual blocks in the file have none"),
        (RESNET, {"at_test": "picture"}, "at_test chooses the statistics of batch norm"),
        (UNET, {"direction": "AtoC"}, "direction: 'AtoC' is none of AtoB, BtoA"),
        (discriminator().state_dict(), {}, "holds a discriminator, .*: give latest_net_G.pth"),
        ({"conv_first.weight": torch.zeros(4, 3, 3, 3)}, {}, "holds no generator of pix2pix"),
        ({}, {}, "holds no generator of pix2pix"),
        ({"state_dict": UNET}, {}, "holds no generator of pix2pix"),
        (original("unet_128", "batch", nc=(1, 2)).state_dict(), {}, "its network makes 2 channels"),
        (original("resnet_6", "none", ngf=2).state_dict(), {}, "generator.width"),
    ],
)
def test_what_is_no_generator_or_contradicts_it_is_refused(
    state: dict[str, Tensor], options: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        recognise(state, **options)


@pytest.mark.parametrize("state", [UNET, RESNET])
def test_tensors_that_are_missing_of_another_shape_or_too_many_are_named(
    state: dict[str, Tensor],
) -> None:
    recipe = recognise(state)
    names = [name for name in state if ".1.model.1" in name or "conv_block.5" in name]
    names = [name for name in names if name.endswith("weight")]
    without = {name: value for name, value in state.items() if name != names[-1]}
    with pytest.raises(UserError, match=f"'{names[-1]}' is missing"):
        convert(without, recipe)
    with pytest.raises(UserError, match=rf"'{names[0]}' is \(1, 2, 3, 4\), and .* has \("):
        convert({**state, names[0]: torch.zeros(1, 2, 3, 4)}, recipe)
    with pytest.raises(UserError, match=r"'model\.99\.filt' belongs to no generator"):
        convert({**state, "model.99.filt": torch.zeros(1)}, recipe)


def test_the_card_says_what_was_recognised() -> None:
    assert description(recognise(UNET)).endswith("unet_128 of width 4, norm batch, dropout 0.5")
    assert description(recognise(RESNET)).endswith("resnet_6 of width 4, norm instance, no dropout")


def test_the_verb_keeps_a_checkpoint_that_restores_photos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = original("resnet_9", "instance")
    saved(network, tmp_path)
    source, model = tmp_path / "latest_net_G.pth", tmp_path / "mine.safetensors"
    photo = (np.random.default_rng(0).random((48, 64, 3)) * 255).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "in.png")
    assert main(["import", str(source), "--output", str(model), "--direction", "BtoA"]) == 0
    assert "resnet_9 of width 4, norm instance, no dropout" in capsys.readouterr().out
    assert main(["import", str(source), "--output", str(model)]) == 2
    assert "mine.safetensors' exists" in capsys.readouterr().err
    header = read_header(model)
    assert header.recipe.fields()["task"]["direction"] == "BtoA"
    assert header.card.data_terms == "unknown"
    ends = ["--input", str(tmp_path / "in.png"), "--output", str(tmp_path / "out.png")]
    assert (
        main(["infer", "--model", str(model), *ends, "--device", "cpu", "--precision", "fp32"]) == 0
    )
    with torch.no_grad():
        x = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
        expected = (network(x)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    found = np.asarray(Image.open(tmp_path / "out.png"), np.float32)
    assert np.abs(found - expected).max() <= 0.51


def test_a_checkpoint_works_wherever_a_model_does(tmp_path: Path) -> None:
    network = original("resnet_6", "instance")
    saved(network, tmp_path)
    model = img2img.load(tmp_path / "latest_net_G.pth", device="cpu", precision="fp32")
    photo = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        expected = (network(photo * 2 - 1) + 1) / 2
    assert (model.predict_tensor(photo) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "unet_256"], "--kind unet_256: the file is of resnet_9: leave --kind out"),
        (["--norm", "batch"], "--norm batch: the file has no tensors of a batch norm"),
        (["--dropout"], "--dropout: the residual blocks in the file have none"),
        (["--at-test", "picture"], "--at-test chooses the statistics of batch norm"),
        (["--output", "mine.pth"], "use --output mine.safetensors"),
    ],
)
def test_the_verb_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    saved(original("resnet_9", "instance"), tmp_path)
    source = tmp_path / "latest_net_G.pth"
    place = [] if "--output" in options else ["--output", str(tmp_path / "mine.safetensors")]
    assert main(["import", str(source), *place, *options]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not (tmp_path / "mine.safetensors").exists()


def test_options_are_refused_for_other_networks(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv_first.weight": torch.zeros(4, 3, 3, 3)}, path)
    with pytest.raises(UserError, match=r"norm is for generators of pix2pix .*: leave norm out"):
        foreign_model(path, norm="batch")
