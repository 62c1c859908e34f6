"""D in training, its stabilisers, and who trains when: by what D sees and whose weights move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.optim import Adam, Optimizer, RMSprop

from img2img.data.sample import Batch, collate, sample_rng
from img2img.errors import UserError
from img2img.losses.adversarial import Adversarial
from img2img.models.base import DiscriminatorShapes
from img2img.models.dcgan import DcganDiscriminatorConfig
from img2img.models.mlp import MlpDiscriminatorConfig
from img2img.optimizer import OptimizerChoice
from img2img.recipe import Recipe
from img2img.testing import sample_for
from img2img.training.discriminator import DiscriminatorTrainer
from img2img.training.discriminator_input import DiscriminatorInput
from img2img.training.paired import PairedStep
from img2img.training.step import Remedies

STILL = OptimizerChoice("adam", 1e-12, (0.5, 0.999))  # a discriminator that does not move
POINT = DiscriminatorShapes(2, size_px=1)


def trainer_of(
    accelerator: Accelerator, shapes: DiscriminatorShapes = POINT, hidden: Any = (), **fields: Any
) -> DiscriminatorTrainer:
    head = Adversarial(**fields).objective_class.head
    torch.manual_seed(0)
    shapes = DiscriminatorShapes(**{**vars(shapes), "head": head})
    module = MlpDiscriminatorConfig(hidden=hidden).build(shapes)
    return DiscriminatorTrainer(module, Adversarial(**fields), shapes, STILL, accelerator)


def points(x: float, y: float, count: int = 1) -> DiscriminatorInput:
    return DiscriminatorInput(
        torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(count, -1, -1, -1)
    )


def watched(network: torch.nn.Module) -> list[Tensor]:
    """Everything the network is shown from now on."""
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    return seen


# --- what D learns from


def test_label_noise_swaps_its_share_and_the_same_by_seed(accelerator: Accelerator) -> None:
    c = trainer_of(accelerator, kind="wasserstein", label_noise=0.3, clip_weights=100)
    plain = trainer_of(accelerator, kind="wasserstein", clip_weights=100)
    pair = (points(1, 0, 4000), points(0, 2, 4000))
    apart = plain.update([pair]).read()["d_loss"]
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(c.update([pair]).read()["d_loss"])
    # score(fake) − score(real) is the same for all pairs: swapping a share s of them leaves (1 −
    # 2s) of it
    assert (1 - losses[0] / apart) / 2 == pytest.approx(0.3, abs=0.03)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] != pytest.approx(losses[2], rel=1e-6)


def test_scores_are_logged_of_the_sides_before_they_are_swapped(accelerator: Accelerator) -> None:
    c = trainer_of(accelerator, kind="wasserstein", label_noise=0.49, clip_weights=100)
    values = c.update([(points(1, 0, 50), points(0, 2, 50))])
    (score,) = (c.score(p.image) for p in (points(1, 0),))
    assert values["d_real"] == pytest.approx(float(score), rel=1e-5)
    assert values["d_accuracy"] in (0.0, 1.0)


def test_instance_noise_lies_on_real_and_fake_alike_and_falls_to_nothing(
    accelerator: Accelerator,
) -> None:
    c = trainer_of(accelerator, kind="non_saturating", instance_noise=0.4, instance_noise_until=0.5)
    seen = watched(c.module)
    found = []
    for number in (0, 25, 50, 80):
        c.begin_step(number, 100, 1.0)
        c.update([(points(1, 1, 3000), points(-1, -1, 3000))])
        c.adversarial_loss(points(1, 1, 3000), points(-1, -1, 3000))
        found += [[float(x.std(0).mean()) for x in seen]]
        seen.clear()
    assert [len(stds) for stds in found] == [3, 3, 3, 3], (
        "real and fake when D learns, fake when G does"
    )
    for stds, sigma in zip(found, (0.4, 0.2, 0.0, 0.0), strict=True):
        assert stds == pytest.approx([sigma] * 3, abs=0.02 * (sigma > 0))


@pytest.mark.parametrize("kind", ["non_saturating", "relativistic"])
def test_augmentation_treats_real_and_fake_alike_when_d_learns_and_when_g_does(
    kind: Any, accelerator: Accelerator
) -> None:
    shapes = DiscriminatorShapes(3, size_px=16)
    module = DcganDiscriminatorConfig(width=4, norm="none").build(shapes)
    augmented = Adversarial(kind=kind, augment=("cutout",))
    c = DiscriminatorTrainer(module, augmented, shapes, STILL, accelerator)
    seen = watched(c.module)
    real, fake = (
        DiscriminatorInput(torch.ones(40, 3, 16, 16)),
        DiscriminatorInput(torch.ones(40, 3, 16, 16)),
    )
    c.update([(real, fake)])
    c.adversarial_loss(real, fake)
    assert len(seen) == (4 if kind == "relativistic" else 3)
    for shown in seen:
        assert 0.05 < (shown == 0.5).float().mean() < 0.3
        assert (shown == 0.5).flatten(1).any(1).all(), "each sample has its hole"


def test_the_replay_pool_feeds_d_and_never_g(accelerator: Accelerator) -> None:
    c = trainer_of(accelerator, kind="non_saturating", replay=10)
    seen = watched(c.module)
    for n in range(30):
        c.update([(points(0, 0), points(1, n))])
        fake = seen[-1].flatten().tolist()
        c.adversarial_loss(points(0, 0), points(1, n))
        assert seen[-1].flatten().tolist() == [1, n]
        if n >= 10 and fake != [1, n]:
            assert fake[1] < n
            return
    pytest.fail("D never saw a past fake")


# --- penalties and clipping


def test_weights_are_clipped_after_every_step_of_d(accelerator: Accelerator) -> None:
    c = trainer_of(accelerator, hidden=(8,), kind="wasserstein")
    assert max(float(p.detach().abs().max()) for p in c.module.parameters()) > 0.01
    c.update([(points(1, 0, 4), points(0, 2, 4))])
    assert max(float(p.detach().abs().max()) for p in c.module.parameters()) <= 0.01


@pytest.mark.parametrize("kind", ["wasserstein_gp", "dragan"])
def test_a_linear_critic_pays_ten_times_its_slopes_distance_from_one(
    kind: Any, accelerator: Accelerator
) -> None:
    c = trainer_of(accelerator, kind=kind)
    slope = float(c.module.get_submodule("head.score").weight.detach().norm())
    values = c.update([(points(1, 0, 6), points(0, 2, 6))]).read()
    assert values["d_penalty"] == pytest.approx(10 * (slope - 1) ** 2, rel=1e-4)
    plain = trainer_of(accelerator, kind=kind, gradient_penalty=0).update(
        [(points(1, 0, 6), points(0, 2, 6))]
    )
    assert values["d_loss"] - values["d_penalty"] == pytest.approx(float(plain["d_loss"]), rel=1e-4)


def test_lazy_r1_is_computed_every_so_many_steps_and_weighs_as_much_more(
    accelerator: Accelerator,
) -> None:
    c = trainer_of(accelerator, kind="non_saturating", r1=2, r1_every=3)
    slope = float(c.module.get_submodule("head.score").weight.detach().norm())
    paid = []
    for number in range(7):
        c.begin_step(number, 7, 1.0)
        paid.append(c.update([(points(1, 0, 4), points(0, 2, 4))]).read()["d_penalty"])
    due = 3 * 2 * 0.5 * slope**2
    assert paid == pytest.approx([due, 0, 0, due, 0, 0, due], rel=1e-4)


@pytest.mark.parametrize(
    "fields", [{"kind": "wasserstein_gp"}, {"kind": "dragan"}, {"kind": "hinge", "r1": 1}], ids=str
)
def test_penalties_are_the_same_bits_under_bf16(fields: dict[str, Any]) -> None:
    values = []
    for precision in ("no", "bf16"):
        AcceleratorState._reset_state(reset_partial_state=True)
        c = trainer_of(Accelerator(cpu=True, mixed_precision=precision), hidden=(16, 16), **fields)
        torch.manual_seed(1)
        values.append(
            c.update(
                [
                    (
                        DiscriminatorInput(torch.randn(8, 2, 1, 1)),
                        DiscriminatorInput(torch.randn(8, 2, 1, 1)),
                    )
                ]
            )
        )
    AcceleratorState._reset_state(reset_partial_state=True)
    assert values[0]["d_penalty"] == values[1]["d_penalty"] > 0
    assert values[0]["d_real"] != values[1]["d_real"], "the scores themselves are rounded"


# --- what D sees with the picture


@pytest.mark.parametrize("how", [{"sees": ["label"]}, {"projection": True}, {}], ids=str)
def test_scores_change_with_the_label_where_d_sees_it(
    how: dict[str, Any], accelerator: Accelerator
) -> None:
    fields = noise_recipe("generate", "non_saturating", sees=how.get("sees", []))
    fields["discriminator"]["projection"] = how.get("projection", False)
    step = PairedStep(Recipe.parse(fields), accelerator)
    batch, picture = batch_of(step), torch.rand(4, 3, 16, 16)
    scores = []
    for label in (0, 2):
        labelled = Batch(**{**vars(batch), "label": torch.full((4,), label), "target": picture})
        scores.append(step.discriminator.adversarial_loss(*step.pair(labelled, picture)))
    assert torch.equal(*scores) == (how == {})


def test_information_teaches_generator_and_discriminator_alike(accelerator: Accelerator) -> None:
    moved = []
    for weight in (1.0, 3.0):
        fields = noise_recipe("generate", "non_saturating", information=weight)
        fields["task"] |= {"categorical": 3, "continuous": 1}
        torch.manual_seed(0)
        step = PairedStep(Recipe.parse(fields), accelerator)
        batch = batch_of(step)
        values = step([batch], 0).read()
        assert values["code_loss"] > 0
        moved.append(
            (
                values["d_loss"] - values["code_loss"] * weight,
                values["g_grad_norm"],
                values["d_grad_norm"],
            )
        )
    assert moved[0][0] == pytest.approx(moved[1][0], rel=1e-5), "the rest of D's loss is as it was"
    assert moved[0][1] != pytest.approx(moved[1][1], rel=1e-3), "the codes' gradient reaches G"
    assert moved[0][2] != pytest.approx(moved[1][2], rel=1e-3), "and D"


# --- who trains when, how fast


def noise_recipe(
    task: str = "points", kind: str = "non_saturating", **adversarial: Any
) -> dict[str, Any]:
    task_fields: dict[str, Any] = {"kind": task, "latent": 4} | (
        {"size_px": 16, "labels": 3} if task == "generate" else {}
    )
    return {
        "name": "x",
        "task": task_fields,
        "data": {"crop_px": 16, "validation_share": 0.5, "validation_max": 20},
        "generator": {"kind": "mlp", "hidden": [8]},
        "discriminator": {"kind": "mlp", "hidden": [8]},
        "adversarial": {"kind": kind, **adversarial},
        "losses": [],
        "train": {"batch_size": 4, "steps": 12, "schedule": "constant"},
    }


def batch_of(step: PairedStep, count: int = 4) -> Batch:
    side = step.task.output_size((1, 1))[0]
    pictures = torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8).numpy()
    return collate(
        [
            step.task.make_pair(
                sample_for(step.task, pictures[n], label=n % 3, number=n), sample_rng(0, 0, n)
            )
            for n in range(count)
        ]
    )


def snapshot(*networks: torch.nn.Module) -> list[list[Tensor]]:
    return [[p.detach().clone() for p in network.parameters()] for network in networks]


@pytest.mark.parametrize(
    ("kind", "d_steps"), [("non_saturating", 3), ("wasserstein", 5), ("hinge", 1)]
)
def test_g_and_its_average_move_only_with_every_kth_step_of_d(
    kind: str, d_steps: int, accelerator: Accelerator
) -> None:
    asked = {"d_steps": d_steps} if kind == "non_saturating" else {}  # wgan brings its five
    step = PairedStep(Recipe.parse(noise_recipe(kind=kind, **asked)), accelerator)
    networks = step.generator.module, step.ema.module, step.discriminator.module
    for number in range(2 * d_steps):
        before = snapshot(*networks)
        values = step([batch_of(step)], number)
        g, average, d = (
            any(not torch.equal(a, b) for a, b in zip(old, new, strict=True))
            for old, new in zip(before, snapshot(*networks), strict=True)
        )
        last = number % d_steps == d_steps - 1
        assert (g, average, d) == (last, last, True)
        assert ("g_loss" in values, "d_loss" in values) == (last, True)


def test_g_and_d_have_rates_of_their_own(accelerator: Accelerator) -> None:
    fields = noise_recipe(lr=4e-3)
    fields["train"]["lr"] = 1e-3
    step = PairedStep(Recipe.parse(fields), accelerator)
    before = snapshot(step.generator.module, step.discriminator.module)
    step([batch_of(step)], 0)
    after = snapshot(step.generator.module, step.discriminator.module)
    largest = [
        max(float((a - b).abs().max()) for a, b in zip(*pair, strict=True))
        for pair in zip(before, after, strict=True)
    ]
    assert largest == pytest.approx([1e-3, 4e-3], rel=1e-3), (
        "Adam's first step is as long as its rate"
    )


@pytest.mark.parametrize(
    ("train", "adversarial", "g", "d"),
    [
        (
            {},
            {"kind": "non_saturating"},
            ("adam", 2e-4, (0.5, 0.999)),
            ("adam", 2e-4, (0.5, 0.999)),
        ),
        ({}, {"kind": "wasserstein_gp"}, ("adam", 1e-4, (0.0, 0.9)), ("adam", 1e-4, (0.0, 0.9))),
        (
            {},
            {"kind": "wasserstein"},
            ("rmsprop", 5e-5, (0.5, 0.999)),
            ("rmsprop", 5e-5, (0.5, 0.999)),
        ),
        (
            {"lr": 1e-3},
            {"kind": "began"},
            ("adam", 1e-3, (0.5, 0.999)),
            ("adam", 1e-3, (0.5, 0.999)),
        ),
        (
            {"lr": 1e-3},
            {"kind": "non_saturating", "lr": 4e-3},
            ("adam", 1e-3, (0.5, 0.999)),
            ("adam", 4e-3, (0.5, 0.999)),
        ),
        (
            {"betas": [0.9, 0.99]},
            {"kind": "wasserstein", "optimizer": "adam", "betas": [0.0, 0.9]},
            ("rmsprop", 5e-5, (0.9, 0.99)),
            ("adam", 5e-5, (0.0, 0.9)),
        ),
    ],
)
def test_optimizers_are_the_kinds_own_unless_the_recipe_says_otherwise(
    train: dict[str, Any], adversarial: dict[str, Any], g: tuple[Any, ...], d: tuple[Any, ...]
) -> None:
    fields = noise_recipe(**adversarial)
    fields["train"] |= train
    recipe = Recipe.parse(fields)
    assert (recipe.g_optimizer(), recipe.d_optimizer()) == (g, d)


def test_without_an_adversarial_part_the_optimizer_is_plain_adam() -> None:
    fields = {"name": "x", "task": "denoise", "generator": {"kind": "restorer"}}
    assert Recipe.parse(fields).g_optimizer() == ("adam", 2e-4, (0.9, 0.999))


@pytest.mark.parametrize(("kind", "expected"), [("wasserstein", RMSprop), ("wasserstein_gp", Adam)])
def test_the_stated_optimizer_is_the_one_that_runs(
    kind: str, expected: type[Optimizer], accelerator: Accelerator
) -> None:
    step = PairedStep(Recipe.parse(noise_recipe(kind=kind)), accelerator)
    for optimized in (step.generator, step.discriminator.optimized):
        assert isinstance(optimized.optimizer, expected)


def test_looking_at_scores_does_not_change_what_comes_after(accelerator: Accelerator) -> None:
    """A validation between two steps leaves no trace, or a resumed run would not be the same."""
    fields = noise_recipe("generate")
    del fields["task"]["labels"]
    fields["discriminator"] = {"kind": "dcgan", "width": 4}
    results = []
    for looked in (False, True):
        torch.manual_seed(0)
        step = PairedStep(Recipe.parse(fields), accelerator)
        batch = batch_of(step)
        step([batch], 0)
        if looked:
            assert step.score_function is not None
            step.score_function(torch.rand(5, 3, 16, 16))
        results.append(
            (
                step.discriminator.module.training,
                step.discriminator.adversarial_loss(*step.pair(batch, batch.target)),
            )
        )
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])


def test_the_scores_of_a_batch_are_ranked_in_all_pairs(accelerator: Accelerator) -> None:
    c = trainer_of(accelerator, kind="non_saturating")
    with torch.no_grad():
        score = c.module.get_submodule("head.score")
        score.weight.copy_(torch.tensor([[1.0, 0.0]]))
        score.bias.zero_()
    real, fake = (
        DiscriminatorInput(torch.tensor([[x, 0.0] for x in xs]).view(-1, 2, 1, 1))
        for xs in ([1, 2, 3], [0, 2, 5])
    )
    # 1>0; 2>0, 2=2; 3>0, 3>2: 4 right, 1 tie, of 9
    assert c.update([(real, fake)]).read()["d_accuracy"] == pytest.approx(4.5 / 9)


@pytest.mark.parametrize("kind", ["non_saturating", "began"])
def test_scores_that_are_shown_are_higher_for_what_looks_real(
    kind: Any, accelerator: Accelerator
) -> None:
    c = trainer_of(accelerator, kind=kind)
    with torch.no_grad():
        for parameter in c.module.parameters():
            parameter.zero_()
        if kind == "non_saturating":
            c.module.get_submodule("head.score").weight.copy_(torch.tensor([[-1.0, -1.0]]))
    near, far = c.score(torch.tensor([[0.1, 0.1], [5.0, 5.0]]).view(2, 2, 1, 1))
    assert near > far, "an autoencoder that gives back zeros finds zeros real"


def test_remedies_reach_the_discriminator(accelerator: Accelerator) -> None:
    """Half the rate, noise on what it sees, and a rest every other step in which its weights stay
    as they are.
    """
    fields = noise_recipe(lr=1e-3)
    fields["train"] |= {"schedule": "constant", "warmup_steps": 0}
    step = PairedStep(Recipe.parse(fields), accelerator)
    step.remedies = Remedies(d_lr_factor=0.5, instance_noise=0.05, d_every=2)
    moved = []
    for number in range(4):
        before = [p.clone() for p in step.discriminator.module.parameters()]
        values = step([batch_of(step)], number)
        after = step.discriminator.module.parameters()
        moved.append(not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)))
        assert ("d_loss" in values) == moved[-1] and "g_loss" in values
    assert moved == [True, False, True, False]
    assert step.discriminator.noise_sigma == 0.05
    assert [group["lr"] for group in step.discriminator.optimized.optimizer.param_groups] == [
        0.5e-3
    ]


@pytest.mark.parametrize("kind", ["patchgan", "global_local", "unet_sn"])
def test_features_of_the_fake_are_drawn_to_those_of_the_real_in_every_layer(
    accelerator: Accelerator, kind: str
) -> None:
    fields = Recipe.load("inpaint_tiny").fields()
    fields["generator"] = {"kind": "gated", "width": 8, "dilations": [1]}
    narrow = {} if kind == "unet_sn" else {"norm": "none"}
    narrow |= {"features": 8, "local_px": 32} if kind == "global_local" else {}
    fields["discriminator"] = {"kind": kind, "width": 4, **narrow}
    fields["losses"] = [{"kind": "l1"}, {"kind": "feature_matching", "weight": 2.0}]
    step = PairedStep(Recipe.parse(fields), accelerator)
    task, photo = step.task, np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    batch = collate([task.make_pair(sample_for(task, photo), sample_rng(0, 0, n)) for n in (0, 1)])
    fake = torch.rand(2, 3, 64, 64, requires_grad=True)
    pair = step.pair(batch, fake)
    real_maps, fake_maps = step.discriminator.feature_maps(pair)
    assert len(real_maps) == len(fake_maps) >= 4
    for real, made in zip(real_maps, fake_maps, strict=True):
        assert real.shape == made.shape and not real.requires_grad
        (gradient,) = torch.autograd.grad(made.sum(), fake, retain_graph=True)
        assert gradient.any()
    ((name, (weight, value)),) = step.feature_losses(pair).items()
    assert (name, weight) == ("1_feature_matching", 2.0) and value > 0
    same = step.feature_losses(step.pair(batch, batch.target))[name][1]
    assert same.item() < 0.2 * value.item(), "spectral norm's estimates move, no more"
    logged = [step([batch], n) for n in (0, step.recipe.train.steps - 1)]
    assert name not in logged[0] and logged[1][name] > 0, "D rests, and the loss with it"


@pytest.mark.parametrize(
    ("recipe", "changes", "problem"),
    [
        ("linear", [], "noise has no target"),
        ("inpaint_tiny", ["adversarial.augment=[color]"], "adversarial.augment"),
        ("inpaint_tiny", ["discriminator=null", "adversarial=null"], "discriminator that scores"),
        ("cyclegan_tiny", [], "belongs to train.method paired"),
        ("dae", [], "belongs to train.method paired"),
        ("inpaint_tiny", ["discriminator={kind: unet_sn}", "data.crop_px=60"], "multiple of 8"),
    ],
)
def test_feature_matching_is_refused_where_it_means_nothing(
    recipe: str, changes: list[str], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        Recipe.load(recipe, [*changes, "losses=[{kind: feature_matching}]"])
