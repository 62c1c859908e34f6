"""PatchGAN and the global-local pair: published sizes, what each sees, spectral normalisation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from img2img.models.base import DiscriminatorShapes
from img2img.models.global_local import GlobalLocalConfig, local_crop
from img2img.models.patchgan import PatchGanConfig
from img2img.models.unet_discriminator import UNetDiscriminatorConfig


def test_patchgan_has_the_published_size_and_30_by_30_logits() -> None:
    with torch.no_grad():
        network = PatchGanConfig().build(DiscriminatorShapes(6))
    assert sum(p.numel() for p in network.parameters()) == 2_768_705  # junyanz prints 2.769 M
    assert PatchGanConfig(width=4).build(DiscriminatorShapes(6))(
        torch.rand(1, 6, 256, 256)
    ).shape == (
        1,
        1,
        30,
        30,
    )


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_one_logit_sees_a_patch_of_the_stated_side(layers: int, patch: int) -> None:
    network = (
        PatchGanConfig(width=4, layers=layers, norm="none").build(DiscriminatorShapes(3)).double()
    )
    picture = torch.rand(1, 3, 160, 160, dtype=torch.double, requires_grad=True)
    logits = network(picture)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    seen = picture.grad.abs().sum((0, 1)) > 0
    assert seen.any(0).sum() == seen.any(1).sum() == patch


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_the_stated_least_size_is_enough_and_needed(layers: int) -> None:
    config = PatchGanConfig(width=4, layers=layers, norm="instance")
    network, least = config.build(DiscriminatorShapes(3)), config.minimum_px
    assert network(torch.rand(1, 3, least, least)).numel() >= 1
    if least > 32:
        with pytest.raises((RuntimeError, ValueError)):
            network(torch.rand(1, 3, 2 ** (layers + 1), 2 ** (layers + 1)))


@pytest.mark.parametrize(
    "config",
    [
        PatchGanConfig(width=4, spectral=True),
        GlobalLocalConfig(width=4, features=8, norm="none", spectral=True),
    ],
)
def test_spectral_norm_bounds_every_layer(config: Any) -> None:
    network = config.build(DiscriminatorShapes(3)).train()
    for _ in range(20):  # power iterations
        network(torch.rand(2, 3, 64, 64), torch.tensor([[32, 32], [32, 32]]))
    weighted = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert weighted
    for layer in weighted:
        assert torch.linalg.matrix_norm(
            layer.weight.detach().flatten(1), 2
        ).item() == pytest.approx(1, abs=0.1)


def test_no_spectral_norm_unless_asked_for() -> None:
    for network in (
        PatchGanConfig(width=4).build(DiscriminatorShapes(3)),
        GlobalLocalConfig(width=4, features=8).build(DiscriminatorShapes(3)),
    ):
        assert not any(nn.utils.parametrize.is_parametrized(layer) for layer in network.modules())


def test_patchgan_does_not_normalise_its_first_and_last_layer() -> None:
    network = PatchGanConfig(width=4).build(DiscriminatorShapes(3))
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds.count("BatchNorm2d") == 3
    assert kinds[1:4] == ["Conv2d", "Identity", "LeakyReLU"]
    assert kinds[-1] == "Conv2d"


@pytest.mark.parametrize(
    ("center", "top", "left"),
    [
        ((50, 60), 34, 44),  # 16 px on either side
        ((0, 0), 0, 0),  # moved inside at a corner
        ((99, 119), 68, 88),
        ((16, 104), 0, 88),
    ],
)
def test_local_crop_is_centered_and_kept_inside(
    center: tuple[int, int], top: int, left: int
) -> None:
    row, column = torch.meshgrid(torch.arange(100.0), torch.arange(120.0), indexing="ij")
    crop = local_crop(torch.stack([row, column])[None], torch.tensor([center]), 32)
    assert crop.shape == (1, 2, 32, 32)
    assert crop[0, :, 0, 0].tolist() == [top, left]
    assert crop[0, :, -1, -1].tolist() == [top + 31, left + 31]


def test_local_crop_follows_each_pictures_own_center_and_shrinks_to_small_pictures() -> None:
    pictures = torch.rand(2, 3, 64, 64)
    crops = local_crop(pictures, torch.tensor([[8, 8], [50, 40]]), 16)
    assert torch.equal(crops[0], pictures[0, :, 0:16, 0:16])
    assert torch.equal(crops[1], pictures[1, :, 42:58, 32:48])
    assert local_crop(pictures, torch.tensor([[8, 8], [50, 40]]), 128).shape[-2:] == (64, 64)


def test_global_tower_sees_everything_and_local_tower_the_crop_alone() -> None:
    network = (
        GlobalLocalConfig(width=4, features=8, local_px=32, norm="none")
        .build(DiscriminatorShapes(3))
        .eval()
    )
    with torch.no_grad():  # positive weights: no unit is dead, every pixel in reach counts
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.01)
    picture = torch.rand(1, 3, 128, 128).mul(0.5).add(0.5).requires_grad_()
    center = torch.tensor([[64, 64]])

    network.local(local_crop(network.signed(picture), center, 32)).sum().backward()
    seen = picture.grad[0].abs().sum(0) > 0
    assert seen[48:80, 48:80].all()
    assert seen.sum() == 32 * 32

    picture.grad = None
    network.whole(network.signed(picture)).sum().backward()
    assert (picture.grad[0].abs().sum(0) > 0).all()
    assert network(picture, center).shape == (1, 1)


def test_both_towers_reach_the_logit() -> None:
    network = (
        GlobalLocalConfig(width=4, features=8, local_px=32, norm="none")
        .build(DiscriminatorShapes(3))
        .eval()
    )
    picture = torch.rand(1, 3, 128, 128)
    here, there = (network(picture, torch.tensor([[n, n]])) for n in (20, 100))
    assert not torch.equal(here, there), "the local crop moved"
    changed = picture.clone()
    changed[..., :40] = 0
    assert not torch.equal(network(changed, torch.tensor([[100, 100]])), there), (
        "the change is outside the local crop"
    )


def test_global_local_has_the_papers_towers() -> None:
    with torch.no_grad():
        network = GlobalLocalConfig().build(DiscriminatorShapes(4))
    widths = {
        name: [c.out_channels for c in getattr(network, name) if isinstance(c, nn.Conv2d)]
        for name in ("whole", "local")
    }
    assert widths == {"whole": [64, 128, 256, 512, 512, 512], "local": [64, 128, 256, 512, 512]}
    assert all(
        c.kernel_size == (5, 5) and c.stride == (2, 2)
        for c in network.modules()
        if isinstance(c, nn.Conv2d)
    )
    assert (network.join.in_features, network.join.out_features) == (2048, 1)


def test_global_local_refuses_to_guess_the_center() -> None:
    with pytest.raises(ValueError, match="center"):
        GlobalLocalConfig(width=4, features=8).build(DiscriminatorShapes(3))(
            torch.rand(1, 3, 64, 64)
        )


def test_the_unet_has_the_published_size_and_a_logit_a_pixel() -> None:
    with torch.no_grad():
        network = UNetDiscriminatorConfig(spectral=False).build(DiscriminatorShapes(3))
    assert sum(p.numel() for p in network.parameters()) == 4_376_897  # Real-ESRGAN's, width 64
    small = UNetDiscriminatorConfig(width=4).build(DiscriminatorShapes(4))
    assert small(torch.rand(2, 4, 32, 48)).shape == (2, 1, 32, 48)


def test_the_unet_normalises_all_but_its_ends_unless_told_otherwise() -> None:
    network = UNetDiscriminatorConfig(width=4).build(DiscriminatorShapes(3)).train()
    for _ in range(20):  # power iterations
        network(torch.rand(2, 3, 32, 32))
    normed = {
        name: nn.utils.parametrize.is_parametrized(layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d)
    }
    assert [name for name, is_normed in normed.items() if not is_normed] == ["first.0", "score"]
    for name in set(normed) - {"first.0", "score"}:
        weight = network.get_submodule(name).weight.detach().flatten(1)
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.1)
    plain = UNetDiscriminatorConfig(width=4, spectral=False).build(DiscriminatorShapes(3))
    assert not any(nn.utils.parametrize.is_parametrized(layer) for layer in plain.modules())


def test_a_unets_logit_sees_its_own_pixel_and_what_lies_far_round_it() -> None:
    torch.manual_seed(0)
    network = UNetDiscriminatorConfig(width=4, spectral=False).build(DiscriminatorShapes(3))
    picture = torch.rand(1, 3, 128, 128, requires_grad=True)
    network(picture)[0, 0, 64, 64].backward()
    seen = picture.grad.abs().sum((0, 1)) > 0
    assert seen[64, 64] and seen[64 - 16, 64] and seen[64, 64 + 16]
    assert not seen[0, 0]
