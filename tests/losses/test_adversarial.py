"""Adversarial objectives against values worked out by hand; what a recipe says of them."""

from __future__ import annotations

from math import e, log
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from img2img.errors import UserError
from img2img.losses.adversarial import Adversarial
from img2img.losses.objectives import OBJECTIVES, Kind, Objective
from img2img.recipe import Recipe

REAL, FAKE = torch.tensor([[2.0], [0.5]]), torch.tensor([[-1.0], [3.0]])
KINDS: list[Kind] = list(OBJECTIVES)
SCORED: list[Kind] = [kind for kind in KINDS if OBJECTIVES[kind].head == "logits"]


def softplus(x: float) -> float:
    return log(1 + e**x)


def objective(kind: Kind, **fields: Any) -> Objective:
    return Adversarial(kind=kind, **fields).build()


CROSS_ENTROPY = (softplus(-2) + softplus(-0.5)) / 2 + (
    softplus(-1) + softplus(3)
) / 2  # -log D(x) - log(1 - D(G))


@pytest.mark.parametrize(
    ("kind", "d_loss", "g_loss"),
    [
        ("minimax", CROSS_ENTROPY, -(softplus(-1) + softplus(3)) / 2),  # G: log(1 - D(G))
        ("non_saturating", CROSS_ENTROPY, (softplus(1) + softplus(-3)) / 2),  # G: -log D(G)
        ("dragan", CROSS_ENTROPY, (softplus(1) + softplus(-3)) / 2),
        # ½(1 + ¼)/2 + ½(1 + 9)/2; G: ½(4 + 4)/2
        ("least_squares", 0.3125 + 2.5, 2.0),
        # (−1 + 3)/2 − (2 + ½)/2; G: −(−1 + 3)/2
        ("wasserstein", 1 - 1.25, -1.0),
        ("wasserstein_gp", 1 - 1.25, -1.0),
        # (0 + ½)/2 + (0 + 4)/2; G: −(−1 + 3)/2
        ("hinge", 0.25 + 2.0, -1.0),
        # real against the fake ones' mean, 1, and fake against the real ones', 1¼; G the other way
        # round
        (
            "relativistic",
            (softplus(1 - 2) + softplus(1 - 0.5)) / 2
            + (softplus(-1 - 1.25) + softplus(3 - 1.25)) / 2,
            (softplus(1.25 + 1) + softplus(1.25 - 3)) / 2
            + (softplus(2 - 1) + softplus(0.5 - 1)) / 2,
        ),
    ],
)
def test_losses_have_the_papers_values(kind: Kind, d_loss: float, g_loss: float) -> None:
    assert objective(kind).d_loss(REAL, FAKE).item() == pytest.approx(d_loss, rel=1e-6)
    assert objective(kind).g_loss(REAL, FAKE).item() == pytest.approx(g_loss, rel=1e-6)


def slopes(loss: Tensor, *of: Tensor) -> list[float]:
    return [float(g) for g in torch.autograd.grad(loss, of)]


@pytest.mark.parametrize("kind", SCORED)
def test_d_pushes_real_up_and_fake_down_and_g_pushes_fake_up(kind: Kind) -> None:
    real, fake = torch.tensor(0.3, requires_grad=True), torch.tensor(0.3, requires_grad=True)
    up, down = slopes(objective(kind).d_loss(real, fake), real, fake)
    assert up < 0 < down, "descent raises the real logit and lowers the fake one"
    assert slopes(objective(kind).g_loss(real.detach(), fake), fake)[0] < 0


def test_non_saturating_generator_learns_most_where_it_is_found_out_and_minimax_least() -> None:
    lost, won = (torch.tensor(x, requires_grad=True) for x in (-20.0, 20.0))
    assert slopes(objective("non_saturating").g_loss(lost, lost), lost)[0] == pytest.approx(
        -1, abs=1e-6
    )
    assert slopes(objective("non_saturating").g_loss(won, won), won)[0] == pytest.approx(
        0, abs=1e-6
    )
    assert slopes(objective("minimax").g_loss(lost, lost), lost)[0] == pytest.approx(0, abs=1e-6)
    assert slopes(objective("minimax").g_loss(won, won), won)[0] == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("kind", ["minimax", "non_saturating", "dragan", "relativistic"])
def test_logarithms_do_not_overflow(kind: Kind) -> None:
    far = torch.tensor([1e4, -1e4])
    assert objective(kind).d_loss(far, far).isfinite()
    assert objective(kind).g_loss(far, far).abs().item() == pytest.approx(
        1e4 if kind == "relativistic" else 5e3
    )


def test_hinge_discriminator_rests_beyond_the_margin() -> None:
    real, fake = torch.tensor(1.5, requires_grad=True), torch.tensor(-1.5, requires_grad=True)
    loss = objective("hinge").d_loss(real, fake)
    assert loss.item() == 0
    assert slopes(loss, real, fake) == [0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_map_counts_like_a_batch_of_logits(kind: Kind) -> None:
    real, fake = torch.rand(2, 2, 1, 3, 3)
    loss_of = objective(kind)
    assert loss_of.g_loss(real, fake).item() == pytest.approx(
        loss_of.g_loss(real.flatten(), fake.flatten()).item()
    )
    assert loss_of.d_loss(real, fake).item() == pytest.approx(
        loss_of.d_loss(real.flatten(), fake.flatten()).item()
    )


# --- label smoothing


def test_smoothing_moves_the_real_label_alone() -> None:
    real = 0.9 * (softplus(-2) + softplus(-0.5)) / 2 + 0.1 * (softplus(2) + softplus(0.5)) / 2
    fake_loss = (softplus(-1) + softplus(3)) / 2
    for kind in ("minimax", "non_saturating", "dragan"):
        assert objective(kind, real_label=0.9).d_loss(REAL, FAKE).item() == pytest.approx(
            real + fake_loss, rel=1e-6
        )
        assert torch.equal(
            objective(kind, real_label=0.9).g_loss(REAL, FAKE), objective(kind).g_loss(REAL, FAKE)
        )
    # ½((2 − 0.9)² + (0.5 − 0.9)²)/2 + ½(1 + 9)/2
    assert objective("least_squares", real_label=0.9).d_loss(REAL, FAKE).item() == pytest.approx(
        0.3425 + 2.5, rel=1e-6
    )


@pytest.mark.parametrize(
    "kind", ["wasserstein", "wasserstein_gp", "began", "hinge", "relativistic"]
)
def test_a_kind_without_labels_refuses_to_smooth_them(kind: Kind) -> None:
    with pytest.raises(
        ValidationError, match="has none: use one of minimax, non_saturating, least_squares, dragan"
    ):
        Adversarial(kind=kind, real_label=0.9)


# --- BEGAN


def test_began_holds_its_balance_as_worked_out_by_hand() -> None:
    loss_of = objective("began", gamma=0.5, k_rate=0.1)
    assert loss_of.d_loss(
        torch.tensor([0.9, 0.7]), torch.tensor([0.1, 0.3])
    ).item() == pytest.approx(0.8), "k is 0"
    # γL(x) − L(G) = 0.4 − 0.2: k = 0 + 0.1 · 0.2, and the measure 0.8 + 0.2
    first = loss_of.observe(torch.tensor([0.9, 0.7]), torch.tensor([0.1, 0.3]))
    assert first == {"began_k": pytest.approx(0.02), "began_measure": pytest.approx(1.0)}
    # 0.3 − 0.35: k = 0.02 − 0.005, and 0.6 + 0.05
    second = loss_of.observe(torch.tensor(0.6), torch.tensor(0.35))
    assert second == {"began_k": pytest.approx(0.015), "began_measure": pytest.approx(0.65)}
    assert loss_of.d_loss(torch.tensor(0.6), torch.tensor(0.4)).item() == pytest.approx(
        0.6 - 0.015 * 0.4
    )
    assert loss_of.g_loss(torch.tensor(0.6), torch.tensor(0.4)).item() == pytest.approx(0.4)


def test_began_keeps_k_between_0_and_1() -> None:
    loss_of = objective("began", k_rate=100.0)
    assert loss_of.observe(torch.tensor(1.0), torch.tensor(0.0))["began_k"] == 1
    assert loss_of.observe(torch.tensor(0.0), torch.tensor(1.0))["began_k"] == 0


def test_began_state_is_saved_and_loaded_exactly() -> None:
    one, other = objective("began", k_rate=0.1), objective("began", k_rate=0.1)
    one.observe(torch.tensor(0.7), torch.tensor(0.3))
    other.load_state_dict(one.state_dict())
    assert other.observe(torch.tensor(0.6), torch.tensor(0.1)) == one.observe(
        torch.tensor(0.6), torch.tensor(0.1)
    )


@pytest.mark.parametrize("kind", SCORED)
def test_other_kinds_have_nothing_to_save(kind: Kind) -> None:
    assert objective(kind).state_dict() == {}
    assert objective(kind).observe(REAL, FAKE) == {}


# --- the recipe's words


def test_each_kind_brings_its_papers_settings() -> None:
    found = {
        kind: (
            k.optimizer,
            k.lr,
            k.betas if k.optimizer == "adam" else None,
            k.d_steps,
            k.head,
            k.gradient_penalty,
        )
        for kind, k in OBJECTIVES.items()
    }
    dcgan = ("adam", 2e-4, (0.5, 0.999), 1, "logits", 0.0)
    assert found == {
        "minimax": dcgan,
        "non_saturating": dcgan,
        "least_squares": dcgan,
        "wasserstein": ("rmsprop", 5e-5, None, 5, "logits", 0.0),
        "wasserstein_gp": ("adam", 1e-4, (0.0, 0.9), 5, "logits", 10.0),
        "dragan": ("adam", 2e-4, (0.5, 0.999), 1, "logits", 10.0),
        "began": ("adam", 1e-4, (0.5, 0.999), 1, "reconstruction", 0.0),
        "hinge": dcgan,
        "relativistic": dcgan,
    }
    assert {kind: k.clip_weights for kind, k in OBJECTIVES.items() if k.clip_weights} == {
        "wasserstein": 0.01
    }


def test_the_recipe_overrides_a_kinds_own_settings() -> None:
    own, chosen = (
        Adversarial(kind="wasserstein_gp"),
        Adversarial(kind="wasserstein_gp", d_steps=2, gradient_penalty=1),
    )
    assert (own.d_steps_per_g_step, own.penalty_weight, own.weight_limit) == (5, 10, None)
    assert (chosen.d_steps_per_g_step, chosen.penalty_weight) == (2, 1)
    assert not Adversarial(kind="dragan", gradient_penalty=0).penalised
    assert Adversarial(kind="wasserstein", clip_weights=0.1).weight_limit == 0.1
    assert Adversarial(kind="wasserstein", clip_weights=0).weight_limit is None
    assert Adversarial(kind="hinge", clip_weights=0.1).weight_limit == 0.1
    assert Adversarial(kind="hinge", r1=1).penalised


def test_instance_noise_falls_to_nothing_and_stays_there() -> None:
    a = Adversarial(instance_noise=0.2, instance_noise_until=0.5)
    assert [a.noise_sigma(n, 100) for n in (0, 25, 50, 51, 99)] == pytest.approx(
        [0.2, 0.1, 0, 0, 0]
    )
    assert Adversarial().noise_sigma(0, 100) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "vanilla"},
        {"weight": -1},
        {"sees": ["depth"]},
        {"start_step": -1},
        {"lr": 0},
        {"d_steps": 0},
        {"label_noise": 0.5},
        {"real_label": 0.5},
        {"replay": -1},
        {"augment": ["blur"]},
        {"kind": "non_saturating", "gradient_penalty": 10},
        {"optimizer": "sgd"},
    ],
)
def test_impossible_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Adversarial.model_validate(fields)


def test_a_recipe_for_several_kinds_says_what_one_has_otherwise() -> None:
    fields = {"instance_noise": 1.0, "per_kind": {"began": {"instance_noise": 5.0, "gamma": 0.8}}}
    began, hinge = (
        Adversarial.model_validate({**fields, "kind": kind}) for kind in ("began", "hinge")
    )
    assert (began.instance_noise, began.gamma) == (5.0, 0.8)
    assert (hinge.instance_noise, hinge.gamma) == (1.0, 0.5)
    again = Adversarial.model_validate(began.model_dump())
    assert (again.instance_noise, again.per_kind) == (5.0, {}), "what is saved is what was used"
    with pytest.raises(
        ValidationError, match=r"per_kind\.began: unknown 'gama', did you mean 'gamma'"
    ):
        Adversarial.model_validate({"kind": "began", "per_kind": {"began": {"gama": 1}}})
    with pytest.raises(ValidationError, match="per_kind: unknown 'bgan', did you mean 'began'"):
        Adversarial.model_validate({"per_kind": {"bgan": {"gamma": 1}}})


@pytest.mark.parametrize("own", [5, ["lr"], "lr"], ids=str)
def test_what_a_kind_has_otherwise_must_be_fields(own: Any, tmp_path: Path) -> None:
    message = r"per_kind\.began: .* has no fields; write for example \{lr: 0\.0001\}"
    with pytest.raises(ValidationError, match=message):
        Adversarial.model_validate({"per_kind": {"began": own}})
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"adversarial: {{per_kind: {{began: {own}}}}}")
    with pytest.raises(UserError, match=rf"mine\.yaml: adversarial\.{message}"):
        Recipe.load(recipe)


def test_a_kind_that_is_no_word_is_refused_beside_what_kinds_have_otherwise() -> None:
    with pytest.raises(ValidationError, match="kind"):
        Adversarial.model_validate(
            {"kind": ["non_saturating"], "per_kind": {"began": {"lr": 1e-4}}}
        )


def test_what_is_asked_for_beats_what_a_recipe_says_of_a_kind() -> None:
    asked = Recipe.load(
        "ring", ["adversarial.kind=began", "adversarial.lr=1e-5", "adversarial.instance_noise=0"]
    )
    left, a = Recipe.load("ring", ["adversarial.kind=began"]).adversarial, asked.adversarial
    assert a is not None and left is not None
    assert (a.lr, a.instance_noise, a.gamma) == (1e-5, 0, left.gamma) and left.lr != a.lr


def test_instance_noise_falls_to_its_floor() -> None:
    noisy = Adversarial(instance_noise=2, instance_noise_until=0.5, instance_noise_floor=0.5)
    assert [noisy.noise_sigma(step, 100) for step in (0, 25, 37, 50, 100)] == pytest.approx(
        [2, 1, 0.52, 0.5, 0.5]
    )
