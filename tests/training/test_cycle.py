"""CycleGAN: what each network learns from, both directions in one file, resume bit for bit, and
that it learns.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from stopping import stopped_at
from torch import Tensor, nn

from img2img.data.dataset import load_photos
from img2img.data.sample import Batch
from img2img.diagnostics.runlog import read_rows
from img2img.errors import UserError
from img2img.inference.pipeline import load
from img2img.modelfile import load_generator
from img2img.models.two_way import TwoWay
from img2img.recipe import Recipe
from img2img.training import train
from img2img.training.checkpoint import latest_checkpoint
from img2img.training.cycle import CycleStep, side_pairs, sides
from img2img.training.discriminator import DiscriminatorTrainer
from img2img.training.method_metrics import CycleMetrics
from img2img.training.step import GradientNormProbe


def small(folder: Path | None = None, **parts: dict[str, Any]) -> Recipe:
    """The tiny recipe, tinier, fp32 and eight steps; `parts` change its fields."""
    fields = Recipe.load("cyclegan_tiny").fields()
    fields["data"] |= {"crop_px": 32, "resize_px": [32, 40], "validation_max": 2}
    fields["generator"] = {"kind": "resnet", "width": 4, "blocks": 1}
    fields["discriminator"] |= {"width": 4}
    fields["adversarial"] |= {"replay": 3}
    fields["train"] |= {
        "steps": 8,
        "batch_size": 1,
        "log_every": 1,
        "validate_every": 100,
        "precision": "fp32",
    }
    if folder is not None:
        fields["data"]["path"] = str(folder)
    for name, changes in parts.items():
        fields[name] = {**(fields[name] or {}), **changes}
    return Recipe.parse(fields)


def batch(recipe: Recipe, count: int = 2) -> Batch:
    return load_photos(recipe.task, recipe.data, recipe.seed).train.batch(0, count)


def copied(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def moved(before: list[Tensor], network: nn.Module) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


class Brighten(nn.Module):
    """A generator to follow by hand: prediction in [-1,1] of the picture plus a number."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.by) * 2 - 1


class Calm(DiscriminatorTrainer):
    """A discriminator of which G's loss is always 1."""

    def __init__(self) -> None:
        pass

    def adversarial_loss(self, real: Any, fake: Any, probe: Any = None) -> Tensor:
        return (fake.image.mean() * 0 + 1.0).sum()


def test_losses_are_the_papers_by_hand(accelerator: Accelerator) -> None:
    """G adds 0.2 and F takes 0.05: cycles miss by 0.15 on both sides, identities by 0.05 (A) and
    0.2 (B).
    """
    step = CycleStep(small(), accelerator)
    step.generator.module = two = TwoWay(lambda: Brighten(0.2))
    two.BtoA = Brighten(-0.05)
    step.discriminators = {"B": Calm(), "A": Calm()}
    given = Batch(condition=torch.full((1, 3, 32, 32), 0.3), target=torch.full((1, 3, 32, 32), 0.5))
    real = sides(given)
    fake = step.translate(real)
    pairs = side_pairs(real, fake)
    adversarial = step.adversarial_loss(pairs, GradientNormProbe())
    losses = step.cycle_losses(real, fake) | {"adversarial": (step.adversarial_weight, adversarial)}
    found = {name: (weight, round(value.item(), 5)) for name, (weight, value) in losses.items()}
    assert found == {"cycle": (10.0, 0.3), "identity": (5.0, 0.25), "adversarial": (0.5, 2.0)}


def test_each_discriminator_sees_the_side_it_is_named_after(accelerator: Accelerator) -> None:
    step = CycleStep(small(), accelerator)
    given, seen = batch(step.recipe), {}
    for side in "AB":

        def update(pairs: Any, side: str = side) -> dict[str, float]:
            seen[side] = pairs[0]
            return {"d_loss": 1.0 if side == "A" else 3.0, "d_accuracy": 0.5}

        step.discriminators[side].update = update  # type: ignore[method-assign,assignment]  # only look
    with torch.no_grad():
        fake = step.translate(sides(given))
        in_b = (step.generator.module.AtoB(given.condition) + 1) / 2  # type: ignore[operator]  # TwoWay
    values = step([given], 0)
    assert torch.equal(seen["A"][0].image, given.condition) and torch.equal(
        seen["B"][0].image, given.target
    )
    assert torch.equal(seen["A"][1].image, fake["A"]) and torch.equal(seen["B"][1].image, fake["B"])
    assert torch.allclose(fake["B"], in_b)
    assert (values["d_loss_A"], values["d_loss_B"], values["d_loss"], values["d_accuracy"]) == (
        1.0,
        3.0,
        2.0,
        0.5,
    )


def test_all_four_networks_learn_in_one_step_and_the_average_follows_both_ways(
    accelerator: Accelerator,
) -> None:
    step = CycleStep(small(), accelerator)
    networks = [
        *step.generator.module.children(),
        *(c.module for c in step.discriminators.values()),
        *step.ema.module.children(),
    ]
    before = [copied(network) for network in networks]
    values = step([batch(step.recipe)], 1).read()
    assert [moved(b, n) for b, n in zip(before, networks, strict=True)] == [True] * 6
    assert {
        "cycle",
        "identity",
        "adversarial",
        "g_loss",
        "g_signal",
        "g_grad_norm",
        "d_loss",
        "d_real",
    } <= values.keys()
    assert values["d_loss"] == pytest.approx((values["d_loss_A"] + values["d_loss_B"]) / 2)
    assert values["g_loss"] == pytest.approx(
        10 * values["cycle"] + 5 * values["identity"] + 0.5 * values["adversarial"], rel=1e-5
    )
    assert step.discriminator is step.discriminators["B"]
    assert step.score_function is not None


def test_a_generator_that_does_nothing_closes_cycles_but_does_not_translate(
    accelerator: Accelerator,
) -> None:
    """So the metrics say both: infinite PSNR there and back, and B → A no nearer to A than the
    photo itself.
    """
    step = CycleStep(small(), accelerator)
    step.ema.averaged = TwoWay(lambda: Brighten(0.0)).requires_grad_(False)
    given = batch(step.recipe, 1)
    translated, plain = (
        CycleMetrics(step).metrics(given, given.target, strength) for strength in (1.0, 0.0)
    )
    assert translated["cycle_A_psnr_db"] > 60 and translated["cycle_B_psnr_db"] > 60
    assert translated["BtoA_psnr_db"] == pytest.approx(plain["BtoA_psnr_db"], abs=1e-3)
    grey = 10 * np.log10(1 / float((given.condition - 0.5).square().mean()))
    assert plain["cycle_A_psnr_db"] == pytest.approx(grey, abs=1e-3)


def test_sheet_shows_three_pictures_a_side(accelerator: Accelerator) -> None:
    step = CycleStep(small(), accelerator)
    given = batch(step.recipe, 1)
    sheet = CycleMetrics(step).sheet([(given, given.target, given.target)] * 2)
    assert sheet.shape == (2 * 196, 6 * 196, 3)


# --- runs


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopped_and_resumed_run_ends_with_the_same_bits(
    precision: str, photo_folder: Path, tmp_path: Path
) -> None:
    """Both generators, both discriminators with their pools (3 fakes, so that they exchange),
    averages and Adam.
    """
    recipe = small(photo_folder, train={"precision": precision, "steps": 6})
    train(recipe, tmp_path / "whole", device="cpu")
    stopped_at(recipe, tmp_path / "cut", 4)
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    whole, cut = (latest_checkpoint(tmp_path / name / "checkpoints") for name in ("whole", "cut"))
    assert whole is not None and cut is not None and whole.tensors.keys() == cut.tensors.keys()
    assert [
        name for name, value in whole.tensors.items() if not torch.equal(value, cut.tensors[name])
    ] == []
    assert {name.split(".")[0] for name in cut.tensors} == {
        "generator",
        "ema",
        "critic_A",
        "critic_B",
        "remedies",
    }
    assert cut.tensors["critic_A.replay.picture"].shape[0] == 3


def test_one_file_holds_both_directions(photo_folder: Path, tmp_path: Path) -> None:
    summary = train(small(photo_folder, train={"steps": 2}), tmp_path / "run", device="cpu")
    assert set(summary["validation"]) == {"cycle_A_psnr_db", "cycle_B_psnr_db", "BtoA_psnr_db"}
    names = load_file(tmp_path / "run/model.safetensors").keys()
    assert {name.split(".")[0] for name in names} == {"AtoB", "BtoA"}
    header, network = load_generator(tmp_path / "run/model.safetensors")
    assert isinstance(network, TwoWay) and header.card.photos == 6
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(network(x), network.AtoB(x)) and torch.equal(
        network(x, "BtoA"), network.BtoA(x)
    )
    model = load(tmp_path / "run", device="cpu", precision="fp32")
    photo = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    there, back = model(photo), model(photo, direction="BtoA")
    assert there.shape == back.shape == photo.shape and not np.array_equal(there, back)
    assert np.array_equal(there, model(photo, direction="AtoB"))


def test_two_sides_in_folders_train_and_validate_on_their_test_pictures(
    photo_folder: Path, tmp_path: Path
) -> None:
    places = {"trainA": (0, 1), "trainB": (2, 3), "testA": (4,), "testB": (5,)}
    for name, numbers in places.items():
        (tmp_path / name).mkdir()
        for number in numbers:
            photo = photo_folder / f"photo_{number}.png"
            (tmp_path / name / photo.name).write_bytes(photo.read_bytes())
    recipe = small(tmp_path, task={"side_a": "files"}, train={"steps": 2})
    summary = train(recipe, tmp_path / "run", device="cpu")
    assert summary["photos"] == 6 and set(summary["validation"]) == {
        "cycle_A_psnr_db",
        "cycle_B_psnr_db",
    }
    assert json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1]) == summary


# --- every combination trains or is refused


@pytest.mark.parametrize(
    "objective",
    [
        "minimax",
        "non_saturating",
        "least_squares",
        "wasserstein",
        "hinge",
        "relativistic",
        "wasserstein_gp",
        "dragan",
        "began",
    ],
)
def test_every_objective_plays(objective: str, accelerator: Accelerator) -> None:
    kind = "dcgan" if objective == "began" else "patchgan"
    fields = small().fields() | {"discriminator": {"kind": kind, "width": 4, "norm": "none"}}
    fields["adversarial"]["kind"] = objective
    recipe = Recipe.parse(fields)
    step, given = CycleStep(recipe, accelerator), batch(recipe)
    for number in range(step.recipe.adversarial.d_steps_per_g_step):  # type: ignore[union-attr]  # it has one
        values = step([given], number).read()
    assert all(np.isfinite(value) for value in values.values()) and "g_loss" in values


@pytest.mark.parametrize(
    ("generator", "losses"),
    list(
        itertools.product(
            ["unet", "restorer"],
            [[], [("l2", "cycle")], [("charbonnier", "identity"), ("l1", "cycle")]],
        )
    ),
)
def test_every_generator_and_loss_trains(
    generator: str, losses: list[Any], accelerator: Accelerator
) -> None:
    kinds = {
        "unet": {"width": 4, "levels": 3},
        "restorer": {"widths": [8], "blocks": [1], "unshuffle": 2},
    }
    fields = small().fields() | {"generator": {"kind": generator, **kinds[generator]}}
    fields["losses"] = [{"kind": kind, "of": of} for kind, of in losses]
    recipe = Recipe.parse(fields)
    values = CycleStep(recipe, accelerator)([batch(recipe)], 0)
    assert {of for _, of in losses} == values.keys() & {"cycle", "identity"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task": {"kind": "denoise"}},
            "train.method 'cycle' learns from two sides without pairs: use task: "
            "{kind: translate, source: unpaired}",
        ),
        (
            {"task": {"kind": "points"}, "losses": []},
            "generator.kind 'resnet' does not fit task 'points'",
        ),
        (
            {"method": "paired"},
            "train.method 'paired' needs pairs, and the task has two sides without: use cycle",
        ),
        ({"losses": [{"kind": "l1"}]}, "losses.0.of 'target': there is no target to compare with"),
        ({"losses": [{"kind": "kl"}]}, "losses.0.kind 'kl' belongs to train.method autoencoder"),
        ({"adversarial": None, "discriminator": None}, "adversarial is missing: without pairs"),
        (
            {"adversarial": {"sees": ["condition"]}},
            "adversarial.sees 'condition', and without pairs",
        ),
        (
            {"adversarial": {"sees": ["mask"]}},
            "adversarial.sees 'mask', and task 'translate' has none",
        ),
        (
            {"losses": [], "adversarial": {"start_step": 3}},
            "losses is empty: before the discriminator starts",
        ),
        ({"data": {"crop_px": 36}}, "data.crop_px is 36: generator 'resnet' needs a multiple of 8"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    fields = small().fields()
    if "method" in changes:
        fields["train"]["method"] = changes.pop("method")
    with pytest.raises(UserError) as refused:
        Recipe.parse({**fields, **changes})
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_cycle_needs_the_method() -> None:
    fields = Recipe.load("translate_tiny").fields()
    fields["losses"][0]["of"] = "cycle"
    with pytest.raises(
        UserError, match=r"losses\.0\.of 'cycle': there is neither without method 'cycle'"
    ):
        Recipe.parse(fields)


def test_published_settings() -> None:
    r = Recipe.load("cyclegan")
    assert r.adversarial is not None
    assert r.g_optimizer() == r.d_optimizer() == ("adam", 2e-4, (0.5, 0.999))
    assert (r.train.batch_size, r.data.resize_px, r.data.crop_px) == (1, (286, 286), 256)
    assert (
        r.train.schedule,
        r.train.decay_from,
        r.adversarial.replay,
        r.adversarial.d_loss_weight,
    ) == (
        "linear",
        0.5,
        50,
        0.5,
    )
    assert [(loss.of, loss.weight) for loss in r.losses] == [("cycle", 10.0), ("identity", 5.0)]  # type: ignore[union-attr]  # both pixel losses


@pytest.mark.slow
def test_the_tiny_recipe_learns_both_ways(tmp_path: Path) -> None:
    """Cycles close far better than mid-grey does, and B → A is nearer to A than the untouched
    photo.
    """
    summary = train(Recipe.load("cyclegan_tiny"), tmp_path / "run", device="cpu")
    translated, plain = summary["validation"], summary["baseline"]
    assert translated["cycle_A_psnr_db"] > plain["cycle_A_psnr_db"] + 6
    assert translated["cycle_B_psnr_db"] > plain["cycle_B_psnr_db"] + 4
    assert translated["BtoA_psnr_db"] > plain["BtoA_psnr_db"] + 1
    rows = read_rows(tmp_path / "run/log.jsonl")
    assert [row for row in rows if "diagnosis" in row] == []
