"""What discriminators share: comparison within the batch, labels, codes, autoencoding; DCGAN's
guidelines.
"""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from img2img.errors import UserError
from img2img.models.base import DiscriminatorShapes
from img2img.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from img2img.models.discriminator_layers import MinibatchDiscrimination, MinibatchStd
from img2img.models.mlp import MlpDiscriminatorConfig, MlpGeneratorConfig
from img2img.models.patchgan import PatchGanConfig
from img2img.recipe import Recipe
from img2img.tasks import build_task

DISCRIMINATORS = [
    DcganDiscriminatorConfig(width=4, norm="none"),
    MlpDiscriminatorConfig(hidden=(8,)),
]
BOTH = pytest.mark.parametrize("config", DISCRIMINATORS, ids=lambda c: c.kind)


# --- a batch compared with itself


def test_minibatch_std_is_the_mean_of_each_features_spread() -> None:
    x = torch.randn(4, 3, 2, 5)
    spreads = [np.std(x[:, c, i, j].numpy()) for c in range(3) for i in range(2) for j in range(5)]
    out = MinibatchStd()(x)
    assert torch.equal(out[:, :3], x)
    assert out.shape == (4, 4, 2, 5)
    assert torch.allclose(out[:, 3], torch.tensor(float(np.mean(spreads))), atol=1e-4)


def test_minibatch_std_of_equal_samples_is_nothing_and_learns() -> None:
    x = torch.rand(1, 3, 2, 2).expand(4, -1, -1, -1).requires_grad_()
    out = MinibatchStd()(x)
    out.sum().backward()
    assert out[:, 3].max() < 1e-3
    assert x.grad is not None and x.grad.isfinite().all()


def test_minibatch_discrimination_sums_closeness_to_the_others() -> None:
    layer = MinibatchDiscrimination(features=6, kernels=3, dimensions=2)
    h = torch.randn(4, 6)
    with torch.no_grad():
        out = layer(h)
        m = (h @ layer.project.weight.T).view(4, 3, 2).numpy()
    for i in range(4):
        for kernel in range(3):
            others = [
                exp(-float(np.abs(m[i, kernel] - m[j, kernel]).sum())) for j in range(4) if j != i
            ]
            assert out[i, 6 + kernel].item() == pytest.approx(sum(others), rel=1e-4)
    assert torch.equal(out[:, :6], h)


@pytest.mark.parametrize(
    "config",
    [
        DcganDiscriminatorConfig(width=4, norm="none", minibatch_std=True),
        DcganDiscriminatorConfig(width=4, norm="none", minibatch_discrimination=3),
        MlpDiscriminatorConfig(hidden=(8,), minibatch_discrimination=3),
        PatchGanConfig(width=4, norm="none", minibatch_std=True),
    ],
    ids=str,
)
def test_a_score_depends_on_the_company_where_that_is_asked_for(config: Any) -> None:
    network = config.build(DiscriminatorShapes(3, size_px=32))
    pictures = torch.rand(3, 3, 32, 32)
    among_copies = network(pictures[:1].expand(3, -1, -1, -1))[:1]
    assert not torch.allclose(network(pictures)[:1], among_copies, atol=1e-7)
    alone = type(config)(
        **{k: v for k, v in config.model_dump().items() if not k.startswith("minibatch")}
    )
    network = alone.build(DiscriminatorShapes(3, size_px=32))
    assert torch.allclose(
        network(pictures)[:1], network(pictures[:1].expand(3, -1, -1, -1))[:1], atol=1e-6
    )


# --- labels and codes


@BOTH
def test_projection_makes_the_score_depend_on_the_label(config: Any) -> None:
    shapes, picture = DiscriminatorShapes(3, size_px=16, classes=4), torch.rand(2, 3, 16, 16)
    network = config.model_copy(update={"projection": True}).build(shapes)
    one, two = (network(picture, None, torch.tensor([label, label])) for label in (1, 2))
    assert not torch.allclose(one, two)
    with pytest.raises(ValueError, match="needs the label"):
        network(picture)
    plain = config.build(shapes)
    assert torch.equal(*(plain(picture, None, torch.tensor([label, label])) for label in (1, 2)))


def test_projection_adds_the_inner_product_of_label_and_features() -> None:
    network = MlpDiscriminatorConfig(hidden=(), projection=True).build(
        DiscriminatorShapes(2, size_px=1, classes=3, codes=2)
    )
    x, label = torch.randn(4, 2, 1, 1), torch.tensor([0, 1, 2, 1])
    h = x.flatten(1)
    score = network.head.score(h)[:, 0] + (network.head.embedding.weight[label] * h).sum(1)
    expected = torch.cat([score[:, None], network.head.codes(h)], 1)
    assert torch.allclose(network(x, None, label), expected, atol=1e-6), (
        "the codes' outputs are left alone"
    )


@BOTH
def test_codes_are_recognised_beside_the_score(config: Any) -> None:
    network, picture = (
        config.build(DiscriminatorShapes(1, size_px=16, codes=5)),
        torch.rand(2, 1, 16, 16),
    )
    assert network(picture).shape == (2, 6)
    network(picture)[:, 1:].sum().backward()
    assert not network.head.score.weight.grad.any(), "the score has no part in reading them"


def test_quadratic_features_are_the_products_of_all_pairs() -> None:
    network = MlpDiscriminatorConfig(hidden=(), quadratic=True).build(
        DiscriminatorShapes(3, size_px=1)
    )
    x = torch.randn(2, 3, 1, 1)
    a, b, c = x.flatten(1).unbind(1)
    seen = torch.stack([a, b, c, a * a, a * b, a * c, b * b, b * c, c * c], 1)
    assert torch.allclose(network(x), network.head.score(seen), atol=1e-6)


@BOTH
def test_an_autoencoding_judge_gives_back_what_it_was_shown_the_size_of(config: Any) -> None:
    network = config.build(DiscriminatorShapes(4, size_px=16, head="reconstruction"))
    assert network(torch.rand(2, 4, 16, 16)).shape == (2, 4, 16, 16)


@pytest.mark.parametrize("head", ["logits", "reconstruction"])
@pytest.mark.parametrize("config", DISCRIMINATORS, ids=lambda c: c.kind)
def test_spectral_norm_holds_every_layer_at_one(config: Any, head: Any) -> None:
    asked = config.model_copy(update={"spectral": True, "minibatch_discrimination": 2})
    asked = asked.model_copy(update={"projection": head == "logits"})
    network = asked.build(DiscriminatorShapes(3, size_px=16, head=head, classes=5)).train()
    for _ in range(30):  # power iterations
        network(torch.rand(2, 3, 16, 16), label=torch.tensor([0, 1]))
    weighted = [n for n, p in network.named_parameters() if p.dim() > 1]
    assert weighted and all(name.endswith("parametrizations.weight.original") for name in weighted)
    for layer in (
        network.get_submodule(name.partition(".parametrizations")[0]) for name in weighted
    ):
        weight: Any = layer.weight.detach()
        outwards = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
        assert torch.linalg.matrix_norm(outwards.flatten(1), 2).item() <= 1.02


# --- makers


@pytest.mark.parametrize("size", [16, 20, 28, 32, 64])
def test_dcgan_makes_and_judges_every_stated_size(size: int) -> None:
    task = build_task({"kind": "generate", "size_px": size, "latent": 8})
    assert DcganGeneratorConfig(width=4).build(task)(torch.randn(2, 8, 1, 1)).shape == (
        2,
        3,
        size,
        size,
    )
    discriminator = DcganDiscriminatorConfig(width=4).build(DiscriminatorShapes(3, size_px=size))
    assert discriminator(torch.rand(2, 3, size, size)).shape == (2, 1)


@pytest.mark.parametrize("size", [7, 9, 17, 22, 50, 100])
def test_other_sizes_are_refused(size: int) -> None:
    reason = f"size {size} is not 4, 5, 6 or 7 doubled"
    fields = {
        "name": "x",
        "task": {"kind": "generate", "size_px": size},
        "data": {"crop_px": max(16, size)},
        "generator": {"kind": "mlp"},
        "discriminator": {"kind": "mlp"},
        "adversarial": {"kind": "non_saturating"},
        "losses": [],
    }
    for part in ("generator", "discriminator") if size >= 16 else ("generator",):
        with pytest.raises(UserError, match=rf"'dcgan'.*: {reason}"):
            Recipe.parse({**fields, part: {"kind": "dcgan"}})


def test_dcgan_follows_its_guidelines() -> None:
    generator = DcganGeneratorConfig(width=4).build(build_task({"kind": "generate", "size_px": 32}))
    discriminator = DcganDiscriminatorConfig(width=4).build(DiscriminatorShapes(3, size_px=32))
    of_generator = [type(layer).__name__ for layer in generator.layers]
    assert of_generator == ["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 3 + ["ConvTranspose2d"], (
        "none on the output"
    )
    of_discriminator = [
        type(layer).__name__
        for layer in discriminator.tower
        if type(layer).__name__ != "SignedInput"
    ]
    assert of_discriminator == [
        "Conv2d",
        "Identity",
        "LeakyReLU",
        *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2,
    ], "nor the input"
    assert all(
        layer.stride == (2, 2) for layer in discriminator.tower if isinstance(layer, nn.Conv2d)
    )
    assert not any("Pool" in type(layer).__name__ for layer in discriminator.modules())
    for layer in (*generator.modules(), *discriminator.modules()):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.weight.numel() > 1000:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)


def test_an_mlp_without_hidden_layers_is_linear() -> None:
    network = MlpGeneratorConfig(hidden=()).build(
        build_task({"kind": "generate", "size_px": 8, "latent": 5})
    )
    a, b = torch.randn(2, 1, 5, 1, 1)
    assert torch.allclose(network(a + b) + network(a * 0), network(a) + network(b), atol=1e-5)
    assert network(a).shape == (1, 3, 8, 8)
