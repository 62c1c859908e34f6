"""Autoencoders: losses by hand, who learns from which of them, refusals, resume bit for bit,
drawing from the prior.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from stopping import stop_at
from torch import Tensor, nn

from img2img.data.sample import Batch, collate, sample_rng
from img2img.errors import Interrupted, UserError
from img2img.inference.pipeline import load
from img2img.inference.sampling import GenerateRequest, generate
from img2img.losses.reconstruction import FeatureLoss, KlLoss
from img2img.recipe import Recipe
from img2img.testing import sample_for
from img2img.training.autoencode import AutoencoderStep
from img2img.training.checkpoint import latest_checkpoint
from img2img.training.method_metrics import sharpness_gap
from img2img.training.optimized import frozen
from img2img.training.trainer import Trainer

SIDE, LATENT, BATCH = 16, 5, 4
L2, KL, FEATURES = (
    {"kind": "l2"},
    {"kind": "kl", "weight": 0.01},
    {"kind": "features", "weight": 0.01},
)
DCGAN = {"kind": "dcgan", "width": 4, "norm": "none"}
MLP = {"kind": "mlp", "hidden": [8]}


def recipe(
    losses: list[dict[str, Any]],
    task: dict[str, Any] | None = None,
    variational: bool = False,
    **more: Any,
) -> dict[str, Any]:
    return {
        "name": "x",
        "task": {"kind": "reconstruct", "size_px": SIDE, "latent": LATENT, **(task or {})},
        "data": {"crop_px": SIDE, "resize_px": [SIDE, 24]},
        "generator": {
            "kind": "autoencoder",
            "width": 4,
            "norm": "none",
            "variational": variational,
        },
        "losses": losses,
        "train": {
            "method": "autoencoder",
            "batch_size": BATCH,
            "steps": 6,
            "ema_halflife_images": 10,
        },
        **more,
    }


def gan(**adversarial: Any) -> dict[str, Any]:
    return {"adversarial": {"kind": "non_saturating", **adversarial}}


KINDS: dict[str, dict[str, Any]] = {
    "dae": recipe([L2], {"noise_sigma_255": 50}),
    "vae": recipe([L2, KL], variational=True),
    "cvae": recipe([L2, KL], {"labels": 2}, variational=True),
    "vae_gan": recipe([KL, FEATURES], variational=True, discriminator=DCGAN, **gan()),
    "aae": recipe([L2], discriminator=MLP, **gan(discriminates="latent")),
}


@pytest.fixture(scope="module")
def accelerator() -> Iterator[Accelerator]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(reset_partial_state=True)


def batch_for(known: Recipe, photos: list[np.ndarray]) -> Batch:
    items = []
    for number, photo in enumerate(photos[:BATCH]):
        rng = sample_rng(0, 0, number)
        seen = sample_for(known.task, known.data([photo], rng)[0], label=number % 2, number=number)
        items.append(known.task.make_pair(seen, rng))
    return collate(items)


def begun(
    kind: str, accelerator: Accelerator, photos: list[np.ndarray]
) -> tuple[AutoencoderStep, Batch]:
    """A step with large weights: DCGAN's start makes every picture grey."""
    known = Recipe.parse(KINDS[kind])
    step = AutoencoderStep(known, accelerator)
    with torch.no_grad():
        for weights in step.generator.module.parameters():
            weights.mul_(8)
    step.ema.module.load_state_dict(step.generator.module.state_dict())
    return step, batch_for(known, photos)


def has_gradient(network: nn.Module) -> bool:
    """Some of its weights have a gradient that is not zero."""
    return any(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


def learners(step: AutoencoderStep, value: Tensor) -> set[str]:
    """Who learns from a loss: encoder, decoder, discriminator."""
    step.generator.module.zero_grad()
    value.backward(retain_graph=True)
    parts = {"encoder": step.generator.module.encoder, "decoder": step.generator.module.decoder}
    if step.discriminators:
        parts["discriminator"] = step.discriminator.module
    return {name for name, network in parts.items() if has_gradient(network)}


# --- by hand


def test_kl_of_gaussians_from_the_standard_normal() -> None:
    # ½(μ² + σ² - 1 - ln σ²): ½ for μ 1, σ 1; ½(3 - ln 4) for μ 0, σ 2; the second picture's is the
    # prior itself.
    mean, log_variance = (
        torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
        torch.tensor([[0.0, math.log(4)], [0.0, 0.0]]),
    )
    assert float(KlLoss(kind="kl")(mean, log_variance)) == pytest.approx(
        (0.5 + 0.5 * (3 - math.log(4))) / 2
    )
    mean, log_variance = torch.randn(6, 3), torch.randn(6, 3)
    prior, own = (
        torch.distributions.Normal(0, 1),
        torch.distributions.Normal(mean, (log_variance / 2).exp()),
    )
    wanted = torch.distributions.kl_divergence(own, prior).sum(1).mean()
    assert torch.allclose(KlLoss(kind="kl")(mean, log_variance), wanted, atol=1e-5)


def test_feature_distance_is_half_the_squares_a_picture() -> None:
    fake, wanted = (
        torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]]),
        torch.tensor([[[1.0, 0.0]], [[4.0, 0.0]]]),
    )
    assert float(FeatureLoss(kind="features")(fake, wanted)) == (0.5 * 4 + 0.5 * 16) / 2


def test_sharpness_has_no_gap_for_the_same_all_for_grey_and_half_for_blur_as_for_noise() -> None:
    real = torch.rand(2, 3, 8, 8)
    assert sharpness_gap(real, real) == pytest.approx(0)
    assert sharpness_gap(torch.full_like(real, 0.5), real) == 1
    for contrast in (0.5, 1.5):
        fake = real.mean() + contrast * (real - real.mean())
        assert sharpness_gap(fake, real) == pytest.approx(0.5, abs=1e-4)


def test_codes_are_drawn_as_their_mean_and_variance_say(
    accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    step, batch = begun("vae", accelerator, photos)
    last = step.generator.module.encoder[-1]
    last.weight.data.zero_()
    last.bias.data = torch.tensor([3.0] * LATENT + [math.log(0.25)] * LATENT)
    with torch.no_grad():
        codes = [step.generator.module.encode(batch.condition) for _ in range(50)]
    drawn = torch.stack([code.drawn - code.mean for code in codes])
    assert codes[0].mean.unique().tolist() == [3]
    assert (float(drawn.mean()), float(drawn.std())) == pytest.approx((0, 0.5), abs=0.05)


# --- who learns from what


@pytest.mark.parametrize("kind", KINDS)
def test_each_loss_teaches_whom_its_paper_says(
    kind: str, accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    step, batch = begun(kind, accelerator, photos)
    step.generator.module.train()
    output = step.reconstruct(batch)
    with frozen(*step.d_modules):
        losses = step.reconstruction_losses(batch, output)
        if step.discriminators:
            adversarial = step.discriminator.adversarial_loss(*output.pair)
            losses["adversarial"] = (1.0, adversarial)
    taught = {name.split("_")[-1]: learners(step, value) for name, (_, value) in losses.items()}
    both = {"encoder", "decoder"}
    expected: dict[str, dict[str, set[str]]] = {
        "dae": {"l2": both},
        "vae": {"l2": both, "kl": {"encoder"}},
        "cvae": {"l2": both, "kl": {"encoder"}},
        "vae_gan": {
            "kl": {"encoder"},
            "features": both,
            "adversarial": {"decoder"},
        },  # Larsen et al., algorithm 1
        "aae": {"l2": both, "adversarial": {"encoder"}},
    }
    assert taught == expected[kind]


@pytest.mark.parametrize("kind", ["vae_gan", "aae"])
def test_a_discriminators_step_changes_the_discriminator_alone(
    kind: str, accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    step, batch = begun(kind, accelerator, photos)
    networks = (step.generator.module, step.discriminator.module)
    before = [p.detach().clone() for network in networks for p in network.parameters()]
    values = step.discriminator.update([step.reconstruct(batch).pair])
    after = [p for network in networks for p in network.parameters()]
    same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    own = len(list(step.generator.module.parameters()))
    assert all(same[:own]) and not all(same[own:])
    assert {"d_loss", "d_accuracy"} <= values.keys() and not has_gradient(step.generator.module)


def test_a_vae_gans_discriminator_sees_originals_and_half_reconstructions_half_draws(
    accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    step, batch = begun("vae_gan", accelerator, photos)
    output = step.reconstruct(batch)
    real, fake = (inputs.image for inputs in output.pair)
    assert real is batch.target
    half = BATCH // 2
    assert torch.allclose(fake[:half], output.rgb[:half], atol=1e-6)
    assert not torch.allclose(fake[half:], output.rgb[half:], atol=1e-3)


def test_an_aaes_discriminator_sees_codes_and_normal_draws(
    accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    step, batch = begun("aae", accelerator, photos)
    outputs = [step.reconstruct(batch) for _ in range(50)]
    pairs = [output.pair for output in outputs]
    assert torch.equal(pairs[0][1].image, outputs[0].code.mean[:, :, None, None])
    real = torch.cat([real.image for real, _ in pairs])
    assert real.shape == (50 * BATCH, LATENT, 1, 1)
    assert (float(real.mean()), float(real.std())) == pytest.approx((0, 1), abs=0.08)


def test_labels_reach_encoder_and_decoder(
    accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    step, batch = begun("cvae", accelerator, photos)
    network = step.ema.module
    assert network.label(batch.condition).tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    other = torch.cat([batch.condition[:, :3], 1 - batch.condition[:, 3:]], 1)
    assert not torch.allclose(network.encode(batch.condition).mean, network.encode(other).mean)
    code = torch.zeros(1, LATENT)
    assert not torch.allclose(*(network.decode(code, label[None]) for label in torch.eye(2)))


def test_a_denoising_autoencoder_sees_noise_and_learns_the_clean_picture(
    photos: list[np.ndarray],
) -> None:
    batch = batch_for(Recipe.parse(KINDS["dae"]), photos)
    assert float((batch.condition - batch.target).std()) == pytest.approx(50 / 255, rel=0.05)
    assert 0 <= batch.target.min() <= batch.target.max() <= 1


# --- refusals


def wrong(kind: str, **parts: Any) -> dict[str, Any]:
    fields = {**KINDS[kind]}
    for part, change in parts.items():
        fields[part] = {**fields.get(part, {}), **change} if isinstance(change, dict) else change
    return fields


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (wrong("vae", train={"method": "paired"}), "train.method 'paired' knows no codes"),
        (wrong("vae", data={"crop_px": 32}), "data.crop_px is 32, and the task's size_px 16"),
        (wrong("vae", task={"size_px": 20}, data={"crop_px": 24}), "data.crop_px is 24"),
        (wrong("vae", task={"size_px": 9}), "size 9 is not 4, 5, 6 or 7 doubled"),
        (
            {**KINDS["vae"], "generator": {"kind": "restorer"}},
            "it has no bottleneck, and the task asks for one",
        ),
        (
            wrong("vae", generator={"variational": False}),
            "losses.1.kind 'kl' holds Gaussians to the prior",
        ),
        (wrong("vae", losses=[L2]), "generator.variational without a loss of kind kl"),
        (wrong("vae", losses=[KL]), "losses compare no picture with the original"),
        (
            wrong("vae", losses=[L2, KL, FEATURES]),
            "losses.2.kind 'features' compares what a discriminator",
        ),
        (
            wrong("vae_gan", adversarial={"kind": "began"}),
            "losses.1.kind 'features' needs a discriminator",
        ),
        (
            wrong("vae_gan", adversarial={"sees": ["condition"]}),
            "discriminator sees no conditioning; leave it out",
        ),
        (
            wrong("vae_gan", adversarial={"sees": ["label"]}),
            "sees no conditioning; use discriminator.projection",
        ),
        (
            wrong(
                "vae_gan",
                task={"labels": 3},
                losses=[L2, KL],
                discriminator={"projection": True},
                adversarial={"kind": "began"},
            ),
            "adversarial.kind 'began' has none; leave it out",
        ),
        (
            wrong("dae", discriminator=DCGAN, **gan()),
            "adversarial discriminates draws from the prior",
        ),
        (
            {**KINDS["aae"], "discriminator": DCGAN},
            "adversarial.discriminates 'latent', and discriminator 'dcgan'",
        ),
        (wrong("aae", adversarial={"augment": ["color"]}), "adversarial.augment changes pictures"),
        (wrong("aae", losses=[L2, FEATURES]), "losses.1.kind 'features' compares"),
        (wrong("aae", losses=[]), "losses compare no picture"),
    ],
)
def test_what_cannot_be_trained_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        Recipe.parse(fields)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"losses": [{"kind": "l1"}, KL]},
            "losses.1.kind 'kl' belongs to train.method autoencoder",
        ),
        (
            {"train": {"method": "autoencoder"}},
            "train.method 'autoencoder' needs a bottleneck, and task 'denoise' has none: use task: "
            "reconstruct",
        ),
        (
            {"discriminator": MLP, "adversarial": {"discriminates": "latent"}},
            "adversarial.discriminates 'latent' belongs to train.method autoencoder",
        ),
        ({"generator": {"kind": "autoencoder"}}, "the task does not ask for one"),
    ],
)
def test_other_tasks_have_no_codes(change: dict[str, Any], message: str) -> None:
    plain = {
        "name": "x",
        "task": "denoise",
        "generator": {"kind": "restorer"},
        "data": {"crop_px": 64},
    }
    with pytest.raises(UserError) as refused:
        Recipe.parse({**plain, **change})
    assert message in str(refused.value)


# --- runs


@pytest.fixture
def class_folder(tmp_path: Path, photos: list[np.ndarray]) -> Path:
    for index, photo in enumerate(photos):
        place = tmp_path / "classes" / "ab"[index % 2] / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(place)
    return tmp_path / "classes"


def run_of(kind: str, folder: Path) -> Recipe:
    fields = {
        **KINDS[kind],
        "data": {**KINDS[kind]["data"], "path": str(folder), "validation_share": 0.5},
    }
    return Recipe.parse(
        {**fields, "train": {**fields["train"], "log_every": 1, "precision": "fp32"}}
    )


def tensors(out: Path) -> dict[str, Tensor]:
    checkpoint = latest_checkpoint(out / "checkpoints")
    assert checkpoint is not None
    return checkpoint.tensors


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_bit_for_bit(kind: str, class_folder: Path, tmp_path: Path) -> None:
    known = run_of(kind, class_folder)
    summary = Trainer(known, tmp_path / "whole", device="cpu").run()
    trainer = Trainer(known, tmp_path / "cut", device="cpu")
    stop_at(trainer, 3)
    with pytest.raises(Interrupted):
        trainer.run()
    Trainer(known, tmp_path / "cut", resume=True, device="cpu").run()
    whole, cut = tensors(tmp_path / "whole"), tensors(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert [name for name in whole if not torch.equal(whole[name], cut[name])] == []
    assert ("prior_sliced_wasserstein" in summary["validation"]) == (kind != "dae")
    assert {"psnr_db", "sharpness_gap"} <= summary["baseline"].keys()
    assert list((tmp_path / "whole/samples").glob("*.png"))
    uses_what_was_trained(kind, tmp_path / "whole", class_folder)


def uses_what_was_trained(kind: str, out: Path, folder: Path) -> None:
    """Draws from the prior where there is one, and photos at their own size where no class must be
    known.
    """
    model, photo = load(out, device="cpu"), Image.open(next(folder.rglob("*.png"))).resize((40, 23))
    if kind == "dae":
        with pytest.raises(UserError, match="follow no prior"):
            generate(model, GenerateRequest(count=3))
    else:
        pictures, columns = generate(model, GenerateRequest(count=3))
        assert pictures.shape == (3, 3, SIDE, SIDE)
        assert 0 <= pictures.min() <= pictures.max() <= 1
        assert columns == (2 if kind == "cvae" else None)
    if kind == "cvae":
        with pytest.raises(UserError, match="must be told a picture's class"):
            model(photo)
    else:
        assert model(photo).size == (40, 23)
