"""Every shipped recipe trains; every combination trains or is refused with its reason; every
mistake is named.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from pydantic import ValidationError

from img2img.config import FrozenConfig
from img2img.conflicts import Conflict, RecipeContext
from img2img.data.sample import Batch, collate, sample_rng
from img2img.errors import UserError
from img2img.losses.perceptual import missing
from img2img.modelfile import Card, load_generator, read_header, save_model
from img2img.recipe import Recipe, schema, schema_json
from img2img.resources import recipes_dir
from img2img.tasks import photo_tasks, task_kinds
from img2img.tasks.denoise import Denoise
from img2img.testing import sample_for
from img2img.training.methods import METHODS
from img2img.training.paired import PairedStep
from img2img.training.step import TrainingStep

RECIPES = sorted(recipes_dir().glob("*.yaml"))
SHIPPED = pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)

SMALL: dict[str, dict[str, Any]] = {
    "unet": {"width": 4, "levels": 4},
    "restorer": {"widths": [8], "blocks": [1], "unshuffle": 2},
    "color_unet": {"width": 16},
    "gated": {"width": 8, "dilations": [1, 2]},
    "glcic": {"width": 8, "dilations": [2, 4]},
    "patchgan": {"width": 4},
    "unet_sn": {"width": 4},
    "global_local": {"width": 4, "features": 8, "local_px": 32},
    "dcgan": {"width": 4},
    "mlp": {"hidden": [8]},
    "resnet": {"width": 4, "blocks": 1},
    "autoencoder": {"width": 4},
    "rrdb": {"width": 4, "blocks": 2},
    "compact": {"width": 4, "convs": 1},
    "span": {"width": 4},
}


@pytest.fixture(scope="module")
def accelerator() -> Iterator[Accelerator]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(reset_partial_state=True)


def shrunk(fields: dict[str, Any]) -> dict[str, Any]:
    """The same recipe with narrow networks on two 64 px crops."""
    fields = json.loads(json.dumps(fields))
    for part in ("generator", "discriminator"):
        if fields.get(part):
            fields[part].update(SMALL[fields[part]["kind"]])
    side = fields["task"].get("size_px", 64)
    fields["data"] = {**fields.get("data", {}), "crop_px": side, "resize_px": [side, side + 8]}
    fields["train"] = {**fields.get("train", {}), "batch_size": 2}
    for loss in fields.get("losses", []):
        if loss.get("crop_px"):
            loss["crop_px"] = 32
    return fields


def batch_for(recipe: Recipe, photos: Sequence[np.ndarray]) -> Batch:
    items = []
    for number, photo in enumerate(photos[:2]):
        rng = sample_rng(recipe.seed, 0, number)
        pictures = recipe.data([photo, photo[:, ::-1]], rng)
        label = number % max(1, recipe.task.classes)
        items.append(recipe.task.make_pair(sample_for(recipe.task, *pictures, label, number), rng))
    return collate(items)


def weights(network: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def both_weights(step: TrainingStep) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The weights of the generator and of the discriminators, if there are any."""
    of_d = [w for network in step.d_modules for w in weights(network)]
    return weights(step.generator.module), of_d


def changed(before: list[torch.Tensor], after: list[torch.Tensor]) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def steps_once(
    recipe: Recipe, accelerator: Accelerator, photos: Sequence[np.ndarray]
) -> TrainingStep:
    """One joint step; G and D must learn from it, and D not from G's loss."""
    step, batch = (
        METHODS[recipe.train.method.kind].step(recipe, accelerator),
        batch_for(recipe, photos),
    )
    a = recipe.adversarial
    number = a.phase_starts(recipe.train.steps)[1] + a.d_steps_per_g_step - 1 if a else 0
    before = both_weights(step)
    losses = step([batch], number)
    after = both_weights(step)
    assert all(math.isfinite(value) for value in losses.values())
    assert changed(before[0], after[0])
    of_d = [p for network in step.d_modules for p in network.parameters()]
    assert all(p.requires_grad and p.grad is None for p in of_d)
    assert not a or changed(before[1], after[1])
    assert ("adversarial" in losses) == (a is not None)
    return step


# --- what is shipped


@SHIPPED
def test_a_shipped_recipe_is_short_and_named_like_its_file(path: Path) -> None:
    recipe = Recipe.load(path)
    assert len(path.read_text().splitlines()) <= 40
    assert path.read_text().startswith("# ")
    assert recipe.name == path.stem
    assert Recipe.load(path.stem) == Recipe.load(f"recipes/{path.name}") == recipe
    assert recipe.data.path in {("data/samples",), ("mnist",), ("fashion-mnist",)}


@SHIPPED
def test_a_shipped_recipe_steps_saves_and_comes_back_the_same(
    path: Path, accelerator: Accelerator, photos: list[np.ndarray], tmp_path: Path
) -> None:
    recipe = Recipe.parse(shrunk(yaml.safe_load(path.read_text())))
    if any(loss.kind == "perceptual" and missing(loss.network) for loss in recipe.losses):
        pytest.skip("its perceptual network is not installed")
    step = steps_once(recipe, accelerator, photos)
    for half in (False, True):
        save_model(
            tmp_path / "model.safetensors", step.ema.module, recipe, Card(steps=1), half=half
        )
        header, network = load_generator(tmp_path / "model.safetensors")
        assert header.recipe == recipe
        trained = step.ema.module.state_dict()
        assert half or all(
            torch.equal(value, trained[name]) for name, value in network.state_dict().items()
        )
        condition = batch_for(recipe, photos).condition
        with torch.inference_mode():
            difference = (network(condition) - step.ema.module(condition)).abs().max()
        assert difference <= (0.02 if half else 1e-6)


@SHIPPED
def test_a_shipped_recipe_builds_at_its_full_size(path: Path) -> None:
    recipe = Recipe.load(path)
    with torch.device("meta"):
        network = recipe.generator.build(recipe.task)
    a_line = getattr(recipe.generator, "hidden", None) == ()  # six numbers are all there is
    assert a_line or sum(p.numel() for p in network.parameters()) > 10_000


@SHIPPED
def test_the_resolved_recipe_reads_back(path: Path, tmp_path: Path) -> None:
    recipe = Recipe.load(path)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert yaml.safe_load(recipe.to_yaml()).keys() == Recipe.model_fields.keys()


def test_there_is_a_tiny_recipe_for_every_task_on_photos() -> None:
    tiny = {Recipe.load(path).task.kind for path in RECIPES if path.stem.endswith("_tiny")}
    assert tiny == set(photo_tasks())


def test_pix2pix_is_as_published() -> None:
    r = Recipe.load("translate_pix2pix")
    assert r.adversarial is not None
    weights_of_l1 = sum(loss.weight for loss in r.losses) / r.adversarial.weight
    assert weights_of_l1 == pytest.approx(100 * 2), (
        "the paper's λ weighs L1 on [-1,1], and pictures here are in [0,1]"
    )
    assert r.g_optimizer() == r.d_optimizer() == ("adam", 2e-4, (0.5, 0.999))
    assert (r.train.batch_size, r.data.resize_px, r.data.crop_px, r.adversarial.d_loss_weight) == (
        1,
        (286, 286),
        256,
        0.5,
    )
    assert (r.train.schedule, r.train.decay_from) == ("linear", 0.5)


def test_glcic_has_three_phases_in_the_papers_proportions() -> None:
    r = Recipe.load("inpaint_glcic")
    assert r.adversarial is not None
    d_starts, both_start = r.adversarial.phase_starts(r.train.steps)
    assert (d_starts / r.train.steps, both_start / r.train.steps) == pytest.approx((0.18, 0.20))
    assert r.adversarial.weight == 4e-4
    assert [loss.kind for loss in r.losses] == ["l2"]


# --- every combination trains or is refused

STEPPED = (
    4  # of the combinations of a task and a generator, drawn by seed, a step is taken; all are read
)
COMMUNITY = ("rrdb", "compact", "span")  # layouts that other programs open
FITS = {
    "translate": {"unet", "resnet", "restorer"},
    "colorize": {"unet", "resnet", "restorer", "color_unet"},
    "denoise": {"unet", "resnet", "restorer", *COMMUNITY},
    "restoration": {"unet", "resnet", "restorer", *COMMUNITY},
    "super-resolve": {"restorer", *COMMUNITY},
    "repair": {"unet", "resnet", "restorer"},
    "inpaint": {"unet", "resnet", "restorer", "gated", "glcic"},
    "points": {"mlp"},
    "generate": {"dcgan", "mlp"},
    "reconstruct": {"autoencoder"},
}
FROM_NOISE = {"points", "generate"}
ON_PHOTOS = [task for task in FITS if task not in FROM_NOISE | {"reconstruct"}]
GENERATORS = [
    "unet",
    "resnet",
    "restorer",
    "color_unet",
    "gated",
    "glcic",
    "dcgan",
    "mlp",
    "autoencoder",
    *COMMUNITY,
]
DISCRIMINATORS = [None, "patchgan", "global_local", "unet_sn", "dcgan", "mlp"]
OBJECTIVES = [
    None,
    "minimax",
    "non_saturating",
    "least_squares",
    "wasserstein",
    "wasserstein_gp",
    "dragan",
    "began",
    "hinge",
    "relativistic",
]
PENALISED = {"wasserstein_gp", "dragan"}
NEED_32_PX = {"patchgan", "global_local", "unet_sn"}
AUTOENCODERS = {"dcgan", "mlp"}  # discriminators that BEGAN can play with


def combination(
    task: str, generator: str, discriminator: str | None, objective: str | None, **more: Any
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": "x",
        "task": {"kind": task},
        "generator": {"kind": generator, **SMALL[generator]},
    }
    if generator == "color_unet":
        fields["generator"]["pretrained"] = False
    if discriminator:
        fields["discriminator"] = {"kind": discriminator, **SMALL[discriminator]}
    if objective:
        fields["adversarial"] = {"kind": objective, "weight": 0.1, **more}
    if task in FROM_NOISE:
        fields["losses"] = []
    side = 64
    if task in ("generate", "reconstruct"):
        fields["task"]["size_px"] = side = 16
    method = "paired"
    if task == "reconstruct" and generator == "autoencoder":
        method, fields["losses"] = "autoencoder", [{"kind": "l2"}, {"kind": "kl"}]
        fields["generator"]["variational"] = True
    return {
        **fields,
        "data": {"crop_px": side},
        "train": {"batch_size": 2, "steps": 10, "method": method},
    }


def test_the_table_of_combinations_knows_every_kind() -> None:
    union = Recipe.model_json_schema()["properties"]
    # Networks of other people: tests/community
    others = {"spandrel"}
    assert set(GENERATORS) | others == set(union["generator"]["discriminator"]["mapping"])
    assert set(DISCRIMINATORS) - {None} == set(
        union["discriminator"]["anyOf"][0]["discriminator"]["mapping"]
    )
    assert FITS.keys() <= set(task_kinds()), "a task that is not in the table is not enumerated"


def reason_against(
    task: str, generator: str, discriminator: str | None, objective: str | None
) -> str | None:
    """What the refusal of a combination must say, or None where it trains."""
    if generator not in FITS[task]:
        size = (
            "size 1 is not 4, 5, 6 or 7 doubled"
            if (task, generator) == ("points", "dcgan")
            else "it "
        )
        return f"generator.kind '{generator}' does not fit task '{task}': {size}"
    if objective is None and task in FROM_NOISE:
        return "adversarial is missing: noise has no target"
    if (discriminator is None) != (objective is None):
        return f"{'adversarial' if objective is None else 'discriminator'} is missing"
    if discriminator is None or objective is None:
        return None
    if task == "points" and discriminator != "mlp":
        return f"does not suit discriminator '{discriminator}'"
    if task in ("generate", "reconstruct") and discriminator in NEED_32_PX:
        return f"data.crop_px 16 does not suit discriminator '{discriminator}'"
    if objective == "began" and discriminator not in AUTOENCODERS:
        cannot = f"discriminates by reconstruction, and '{discriminator}' cannot: use dcgan or mlp"
        return f"adversarial.kind 'began' {cannot}"
    if objective in PENALISED and discriminator not in (
        "mlp",
        "unet_sn",
    ):  # the others normalise by the batch unless told otherwise
        return "discriminator.norm 'batch' mixes samples"
    if discriminator == "global_local" and task != "inpaint":
        problem = f"looks at the hole, and task '{task}' has no mask; use patchgan"
        return f"discriminator.kind 'global_local' {problem}"
    return None


@pytest.mark.parametrize(("task", "generator"), list(itertools.product(FITS, GENERATORS)))
def test_every_combination_trains_or_is_refused(
    task: str, generator: str, accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    trains = []
    for discriminator, objective in itertools.product(DISCRIMINATORS, OBJECTIVES):
        fields = combination(task, generator, discriminator, objective)
        reason = reason_against(task, generator, discriminator, objective)
        if reason is None:
            trains.append(Recipe.model_validate(fields))
            continue
        with pytest.raises(ValidationError) as refused:
            Recipe.model_validate(fields)
        assert reason in str(refused.value), (discriminator, objective)
    assert bool(trains) == (generator in FITS[task])
    for recipe in random.Random(f"{task} {generator}").sample(trains, min(len(trains), STEPPED)):
        steps_once(recipe, accelerator, photos)


@pytest.mark.parametrize("discriminator", ["patchgan", "global_local", "dcgan", "mlp"])
@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o])
def test_every_objective_trains_with_every_discriminator_that_can_play_it(
    objective: str, discriminator: str, accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    if objective == "began" and discriminator not in AUTOENCODERS:
        pytest.skip("refused: see above")
    fields = combination("inpaint", "gated", discriminator, objective)
    if objective in PENALISED and discriminator != "mlp":
        fields["discriminator"]["norm"] = "none"
    steps_once(Recipe.parse(fields), accelerator, photos)


@pytest.mark.parametrize("task", ON_PHOTOS)
@pytest.mark.parametrize("sees", [["condition"], ["mask"], ["condition", "mask"]])
def test_whatever_the_discriminator_sees_trains_or_is_refused(
    task: str, sees: list[str], accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    fields = combination(task, "restorer", "patchgan", "non_saturating", sees=sees)
    if "mask" in sees and task != "inpaint":
        with pytest.raises(UserError, match=r"adversarial\.sees 'mask', and task"):
            Recipe.parse(fields)
    else:
        steps_once(Recipe.parse(fields), accelerator, photos)


@pytest.mark.parametrize("task", ON_PHOTOS)
@pytest.mark.parametrize("loss", ["l1", "l2", "charbonnier", "colorfulness"])
@pytest.mark.parametrize("region", ["all", "hole", "known"])
def test_every_loss_trains_or_is_refused(
    task: str, loss: str, region: str, accelerator: Accelerator, photos: list[np.ndarray]
) -> None:
    fields = combination(task, "restorer", None, None)
    fields["losses"] = [
        {"kind": loss, **({} if region == "all" else {"region": region})},
        {"kind": "l1", "weight": 0.1},
    ]
    if region != "all" and (loss == "colorfulness" or task != "inpaint"):
        with pytest.raises(UserError, match=r"losses\.0\.region"):
            Recipe.parse(fields)
    else:
        steps_once(Recipe.parse(fields), accelerator, photos)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize(("crop_px", "local_px"), [(64, 32), (64, 64), (128, 32), (128, 64)])
def test_a_tower_that_ends_in_one_pixel_is_refused_where_it_could_not_train(
    norm: str,
    batch_size: int,
    crop_px: int,
    local_px: int,
    accelerator: Accelerator,
    photos: list[np.ndarray],
) -> None:
    fields = combination("inpaint", "gated", "global_local", "non_saturating")
    fields["discriminator"] |= {"norm": norm, "local_px": local_px}
    fields["data"]["crop_px"], fields["train"]["batch_size"] = crop_px, batch_size
    one_pixel = crop_px == 64 or local_px == 32
    if one_pixel and (norm == "instance" or (norm == "batch" and batch_size == 1)):
        with pytest.raises(UserError, match=f"norm '{norm}' has one pixel"):
            Recipe.parse(fields)
        return
    recipe = Recipe.parse(fields)
    steps_once(recipe, accelerator, photos[:batch_size])


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (
            {"phases": [2, 1, 7]},
            [(True, False), (True, False), (False, True), (True, True)],
        ),  # of ten steps
        ({"phases": [0.1, 0, 0.9]}, [(True, False), (True, True), (True, True), (True, True)]),
        ({"start_step": 2}, [(True, False), (True, False), (True, True), (True, True)]),
    ],
)
def test_phases_train_who_they_should(
    when: dict[str, Any],
    expected: list[tuple[bool, bool]],
    accelerator: Accelerator,
    photos: list[np.ndarray],
) -> None:
    fields = combination("inpaint", "glcic", "global_local", "non_saturating", **when)
    step = PairedStep(Recipe.parse(fields), accelerator)
    batch = batch_for(step.recipe, photos)
    who = []
    for number in (0, 1, 2, 3):
        before = both_weights(step)
        step([batch], number)
        who.append(tuple(changed(*pair) for pair in zip(before, both_weights(step), strict=True)))
    assert who == expected


def test_a_recipe_builds_its_discriminator(photos: list[np.ndarray]) -> None:
    recipe = Recipe.parse(combination("inpaint", "gated", "global_local", "non_saturating"))
    batch = batch_for(recipe, photos)
    assert recipe.build_discriminator()(batch.target, batch.local_center).shape == (2, 1)


# --- refusals and mistakes


def plain(**more: Any) -> dict[str, Any]:
    return {**combination("inpaint", "gated", None, None), **more}


def gan(**more: Any) -> dict[str, Any]:
    return {**combination("inpaint", "gated", "patchgan", "non_saturating"), **more}


def noise(kind: str, **more: Any) -> dict[str, Any]:
    return {**combination(kind, "mlp", "mlp", "non_saturating"), **more}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (plain(trian={}), "trian: unknown key, did you mean 'train'?"),
        (
            plain(task={"kind": "denoise", "sigma": 3}),
            "task.sigma: unknown key, did you mean 'sigma_255'?",
        ),
        (
            plain(
                task={
                    "kind": "denoise",
                    "camera_share": 0.5,
                    "jpeg_share": 0.3,
                    "poisson_share": 0.4,
                }
            ),
            "task: camera_share 0.5 + jpeg_share 0.3 + poisson_share 0.4 make 1.2: "
            "together they may be at most 1",
        ),
        (plain(data={"crop": 64}), "data.crop: unknown key, did you mean 'crop_px'?"),
        (plain(train={"step": 1}), "train.step: unknown key, did you mean 'steps'?"),
        (
            plain(generator={"kind": "restorer", "width": 8}),
            "generator.width: unknown key, did you mean 'widths'?",
        ),
        (
            gan(discriminator={"kind": "patchgan", "layer": 3}),
            "discriminator.layer: unknown key, did you mean 'layers'?",
        ),
        (gan(adversarial={"wieght": 3}), "adversarial.wieght: unknown key, did you mean 'weight'?"),
        (
            plain(losses=[{"kind": "l1"}, {"kind": "perceptual", "crop": 32}]),
            "losses.1.crop: unknown key, did you mean",
        ),
        (
            plain(generator={"kind": "unett"}),
            "generator.kind: unknown 'unett', did you mean 'unet'?",
        ),
        (
            plain(generator={"width": 4}),
            "generator.kind: is missing: "
            "one of autoencoder, color_unet, compact, dcgan, gated, glcic, mlp, resnet, restorer, "
            "rrdb, span, spandrel, unet",
        ),
        (
            gan(discriminator={"kind": "patch"}),
            "discriminator.kind: unknown 'patch', did you mean 'patchgan'?",
        ),
        (plain(losses=[{"kind": "l11"}]), "losses.0.kind: unknown 'l11', did you mean 'l1'?"),
        (plain(task="inpant"), "unknown task 'inpant', did you mean 'inpaint'?"),
        (
            gan(adversarial={"kind": "gan"}),
            "adversarial.kind: input should be 'minimax', 'non_saturating', 'least_squares', "
            "'wasserstein', 'wasserstein_gp', 'dragan', 'began', 'hinge' or "
            "'relativistic', got 'gan'",
        ),
        (plain(train={"lr": "fast"}), "train.lr: input should be a valid number"),
        (plain(train={"lr": 0}), "train.lr: input should be greater than 0, got 0"),
        (plain(train={"betas": [0.5, "x"]}), "train.betas.1: input should be a valid number"),
        (
            plain(generator={"kind": "restorer", "widths": [8, 0], "blocks": [1, 1]}),
            "generator.widths.1: input should be",
        ),
        (
            plain(generator={"kind": "restorer", "widths": [8], "blocks": [1, 1]}),
            "generator: widths has 1 entries and blocks 2",
        ),
        (
            plain(data={"crop_px": 64, "resize_px": [90, 80]}),
            "data.resize_px: [90, 80] is not a range",
        ),
        (plain(name="no spaces"), "name: string should match pattern"),
        ({"name": "x", "task": "denoise"}, "generator: is missing"),
        ({"name": "x"}, "task.kind is missing: name one of"),
        (["denoise"], "a recipe is a mapping with the keys name, seed, task"),
        (
            plain(data={"crop_px": 60}),
            "data.crop_px is 60: generator 'gated' needs a multiple of 8",
        ),
        (plain(losses=[]), "losses is empty"),
        (
            gan(losses=[], adversarial={"start_step": 3}),
            "losses is empty: before the discriminator starts",
        ),
        (gan(adversarial={"phases": [1, 1, 0]}), "adversarial: phases are proportions"),
        (
            gan(adversarial={"phases": [1, 1, 1], "start_step": 5}),
            "adversarial: phases already say when",
        ),
        (
            plain(losses=[{"kind": "perceptual", "crop_px": 96}]),
            "losses.0.crop_px is larger than data.crop_px (64)",
        ),
        (
            plain(losses=[{"kind": "perceptual"}], data={"crop_px": 24}),
            "losses.0.network 'stlpips_vgg' needs a data.crop_px",
        ),
        (gan(data={"crop_px": 24}), "data.crop_px 24 does not suit discriminator 'patchgan'"),
        (
            gan(discriminator={"kind": "patchgan", "layers": 5}),
            "with 5 layers it needs at least 96",
        ),
        (gan(discriminator={"kind": "global_local"}), "it needs at least 64 and its local_px, 128"),
        (
            gan(adversarial={"kind": "non_saturating", "gradient_penalty": 10}),
            "adversarial: gradient_penalty belongs to wasserstein_gp and dragan, "
            "not to kind 'non_saturating'; r1 fits all",
        ),
        (
            gan(adversarial={"kind": "wasserstein", "real_label": 0.9}),
            "real_label smooths labels, and kind 'wasserstein' has none",
        ),
        (gan(adversarial={"kind": "hinge", "r1": 1}), "discriminator.norm 'batch' mixes samples"),
        (
            gan(adversarial={"d_steps": 11}),
            "train.steps is 10: too few for adversarial.d_steps 11, G would never train",
        ),
        (
            gan(adversarial={"kind": "wasserstein", "start_step": 6}),
            "too few for adversarial.d_steps 5",
        ),
        (
            gan(adversarial={"sees": ["label"]}),
            "adversarial.sees 'label', and task 'inpaint' has no classes",
        ),
        (
            gan(adversarial={"information": 1}),
            "adversarial.information weighs codes, and the task has none",
        ),
        (
            gan(discriminator={"kind": "dcgan", "projection": True}),
            "discriminator.projection needs labels, and task 'inpaint' has no classes",
        ),
        (
            gan(discriminator={"kind": "mlp", "quadratic": True}),
            "data.crop_px 64 does not suit discriminator 'mlp': "
            "the products of so many pixels fill the memory",
        ),
        (
            gan(discriminator={"kind": "dcgan"}, data={"crop_px": 72}),
            "data.crop_px 72 does not suit discriminator 'dcgan': "
            "size 72 is not 4, 5, 6 or 7 doubled",
        ),
        (
            gan(
                discriminator={"kind": "global_local", "local_px": 32},
                adversarial={"augment": ["cutout"]},
            ),
            "adversarial.augment moves or cuts the hole",
        ),
        (
            noise("points", losses=[{"kind": "l1"}]),
            "losses.0.kind 'l1': noise has no target to compare with",
        ),
        (
            noise("points", adversarial=None, discriminator=None),
            "adversarial is missing: noise has no target",
        ),
        (
            noise("points", adversarial={"augment": ["color"]}),
            "adversarial.augment changes pictures, and the task makes",
        ),
        (
            noise("points", adversarial={"sees": ["condition"]}),
            "adversarial.sees 'condition', and the task's is noise",
        ),
        (
            noise("points", adversarial={"start_step": 3}),
            "losses is empty: before the discriminator starts",
        ),
        (
            noise("generate", data={"crop_px": 32}),
            "data.crop_px is 32, and the task makes 16 px: write that",
        ),
        (
            noise(
                "generate",
                task={"kind": "generate", "size_px": 16, "categorical": 3},
                adversarial={"kind": "began", "information": 1},
            ),
            "adversarial.kind 'began' has no scores, with which codes could be recognised",
        ),
        (
            noise(
                "generate",
                task={"kind": "generate", "size_px": 16, "labels": 3},
                discriminator={"kind": "mlp", "projection": True},
                adversarial={"kind": "began"},
            ),
            "discriminator.projection adds to a score, and adversarial.kind 'began' has none; "
            "adversarial.sees",
        ),
        (
            noise(
                "generate", generator={"kind": "dcgan"}, task={"kind": "generate", "size_px": 22}
            ),
            "generator.kind 'dcgan' does not fit task 'generate': "
            "size 22 is not 4, 5, 6 or 7 doubled",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_mistake_is_named_with_its_field_and_its_fix(fields: Any, message: str) -> None:
    with pytest.raises(UserError) as refused:
        Recipe.parse(fields, where="mine.yaml")
    assert str(refused.value).startswith("mine.yaml: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_several_mistakes_are_counted() -> None:
    with pytest.raises(UserError, match=r"\(and 2 more\)"):
        Recipe.parse(plain(a=1, b=2, c=3))


@pytest.mark.parametrize("text", ["name: [", "just words", "", "- a\n- b", "\udcff"])
def test_a_file_that_is_no_recipe_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"mine\.yaml"):
        Recipe.load(path)


def test_a_misspelt_recipe_is_suggested() -> None:
    with pytest.raises(UserError, match=r"no recipe 'denoise_tyni', did you mean 'denoise_tiny'\?"):
        Recipe.load("denoise_tyni")


def test_a_runs_folder_for_a_recipe_is_told_how_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: mine")
    with pytest.raises(
        UserError, match=rf"img2img train {tmp_path}/recipe.yaml with out {tmp_path} and resume"
    ):
        Recipe.load(tmp_path)


# --- overrides


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("train.lr=1e-4", lambda r: r.train.lr == 1e-4),
        ("train.steps=7", lambda r: r.train.steps == 7),
        ("train.steps=1e3", lambda r: r.train.steps == 1000),
        ("train.betas=[0.5, 9e-1]", lambda r: r.train.betas == (0.5, 0.9)),
        ("train.betas.0=0.25", lambda r: r.train.betas == (0.25, 0.999)),
        ("data.resize_px=[70,80]", lambda r: r.data.resize_px == (70, 80)),
        ("data.resize_px=null", lambda r: r.data.resize_px is None),
        ("data.path=/my photos", lambda r: r.data.path == ("/my photos",)),
        ("data.path=[a, b]", lambda r: r.data.path == ("a", "b")),
        ("data.flip=false", lambda r: r.data.flip is False),
        ("losses.0.weight=2.5", lambda r: r.losses[0].weight == 2.5),
        ("losses=[{kind: l2}]", lambda r: [loss.kind for loss in r.losses] == ["l2"]),
        ("task.source=edges", lambda r: r.task.source == "edges"),
        ("discriminator.width=8", lambda r: r.discriminator.width == 8),
        ("name=other", lambda r: r.name == "other"),
        ("train.init=super_resolve_x4", lambda r: r.train.init == "super_resolve_x4"),
    ],
)
def test_an_override_is_read_as_yaml(override: str, read: Any) -> None:
    base = ["train.betas=[0.9, 0.999]"]
    assert read(Recipe.load("translate_tiny", [*base, override]))
    assert not read(Recipe.load("translate_tiny", [*base, "name=plain"]))


def test_later_overrides_win_and_the_task_may_be_a_bare_name(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("{name: x, task: denoise, generator: {kind: restorer}}")
    recipe = Recipe.load(path, ["task.sigma_255=[1, 2]", "seed=3", "seed=4"])
    assert recipe.task.model_dump()["sigma_255"] == (1, 2)
    assert recipe.seed == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.stesp=7", "train.stesp: unknown key, did you mean 'steps'?"),
        ("trane.steps=7", "trane: unknown key, did you mean 'train'?"),
        ("generator.wdith=7", "generator.wdith: unknown key, did you mean 'width'?"),
        ("losses.0.wieght=7", "losses.0.wieght: unknown key, did you mean 'weight'?"),
        ("losses.5.weight=7", "'losses.5.weight': the list has 1 entries, counted from 0"),
        ("losses.first=7", "'losses.first': the list has 1 entries, counted from 0"),
        ("name.first=7", "'name.first': name is a single value, it has no fields"),
        ("train.steps", "'train.steps' is not an override: write key.path=value"),
        ("=7", "'=7' is not an override"),
        ("train.betas=[0.5", "its value is not readable as YAML"),
        ("train.steps=", "train.steps: input should be a valid integer, got None"),
    ],
)
def test_a_wrong_override_is_named(override: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        Recipe.load("translate_tiny", [override])
    assert message in str(refused.value)


# --- schema and header


def test_the_schema_is_json_and_knows_every_task_and_key() -> None:
    read = json.loads(schema_json())
    assert read == schema()
    assert set(read["properties"]) == set(Recipe.model_fields)
    tasks = {
        o["properties"]["kind"].get("const"): o
        for o in read["properties"]["task"]["anyOf"]
        if "properties" in o
    }
    assert tasks.keys() - {None} == set(task_kinds())
    assert read["properties"]["data"]["$ref"] == "#/$defs/DataConfig"
    assert "string" in read["$defs"]["DataConfig"]["properties"]["path"]["type"]
    for path in RECIPES:
        fields = yaml.safe_load(path.read_text())
        assert fields.keys() <= set(read["properties"])
        assert fields["task"].keys() <= tasks[fields["task"]["kind"]]["properties"].keys()


@pytest.mark.parametrize("method", ["cycle", {"kind": "cycle"}])
def test_a_method_is_its_kind_or_its_fields_and_is_saved_as_the_kind(method: Any) -> None:
    fields = Recipe.load("cyclegan_tiny").fields()
    assert fields["train"]["method"] == "cycle"
    fields["train"]["method"] = method
    recipe = Recipe.parse(fields)
    assert recipe == Recipe.load("cyclegan_tiny")
    assert "\n  method: cycle\n" in recipe.to_yaml()


@pytest.mark.parametrize("key", ["train.method", "train.method.kind"])
def test_a_method_is_overridden_in_a_word(key: str) -> None:
    with pytest.raises(UserError, match="'paired' needs pairs, and the task has two sides without"):
        Recipe.load("cyclegan_tiny", [f"{key}=paired"])
    with pytest.raises(
        UserError, match=r"train\.method\.kind: unknown 'cycel', did you mean 'cycle'"
    ):
        Recipe.load("cyclegan_tiny", [f"{key}=cycel"])


def test_the_schema_knows_the_methods_by_word_and_by_fields_and_says_what_they_ask() -> None:
    method = schema()["$defs"]["TrainConfig"]["properties"]["method"]
    word, union = method["anyOf"]
    assert set(word["enum"]) == set(union["discriminator"]["mapping"]) == set(METHODS)
    assert method["default"] == "paired"
    described = {name: schema()["$defs"][name]["description"] for name in union_members(union)}
    assert "needs discriminators" in described["CycleMethod"]
    assert "kl alone" in described["AutoencoderMethod"]


@pytest.mark.parametrize("part", ["generator", "discriminator", "losses", "train"])
def test_the_schema_says_in_words_what_a_part_asks_of_the_others(part: str) -> None:
    """Whoever fills in a recipe by its schema reads the rules before they refuse it."""
    defined = Recipe.model_fields[part].annotation
    ruled = [config for config in configs(defined) if "conflicts" in vars(config)]
    for config in ruled:
        entry = schema()["$defs"][config.__name__]
        texts = [entry["description"], *(f.get("description", "") for f in own_fields(config))]
        assert re.search(r"\b(For|for|needs|Needs|not|at most)\b", " ".join(texts)), config
    assert ruled


def configs(annotation: Any) -> Iterator[type[FrozenConfig]]:
    """The config classes in a field's type, and in the fields of these."""
    if isinstance(annotation, type) and issubclass(annotation, FrozenConfig):
        yield annotation
        for field in annotation.model_fields.values():
            yield from configs(field.annotation)
    for inner in get_args(annotation):
        yield from configs(inner)


def own_fields(config: type[FrozenConfig]) -> Iterator[dict[str, Any]]:
    yield from schema()["$defs"][config.__name__]["properties"].values()


def union_members(union: dict[str, Any]) -> list[str]:
    return [member["$ref"].rsplit("/", 1)[1] for member in union["oneOf"]]


class Picky(Denoise):
    """A task of somebody else's that has a rule of its own."""

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if context.crop_px > 32:
            smaller = ("data.crop_px=40", "data.crop_px=32")
            yield Conflict(".kind", f"'{self.kind}' takes crops of up to 32 px", smaller)


def test_a_task_of_somebody_elses_may_refuse_and_a_change_that_helps_is_named() -> None:
    fields = {"name": "x", "generator": {"kind": "restorer"}, "data": {"crop_px": 64}}
    task = f"{__name__}:Picky"
    expected = r"recipe: task\.kind '.*' takes crops of up to 32 px: set data\.crop_px=32$"
    with pytest.raises(UserError, match=expected):
        Recipe.parse({**fields, "task": {"kind": task}})
    assert Recipe.parse({**fields, "task": {"kind": task}, "data": {"crop_px": 32}})


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "5",
        "null",
        "{}",
        '{"name": "x", "task": 7}',
        "not json",
        '{"task": {"kind": "os:system"}}',
    ],
)
def test_a_hostile_header_is_one_line_and_runs_nothing(tmp_path: Path, text: str) -> None:
    from safetensors.torch import save_file

    save_file(
        {"w": torch.zeros(1)},
        tmp_path / "m.safetensors",
        {"format": "img2img/1", "recipe": text, "card": "{}"},
    )
    with pytest.raises(UserError, match=r"m\.safetensors"):
        read_header(tmp_path / "m.safetensors")


# --- words of earlier recipes and model files


FORMER_WORDS = {
    "adversarial.kind": {
        "mm": "minimax",
        "ns": "non_saturating",
        "lsgan": "least_squares",
        "wgan": "wasserstein",
        "wgan_gp": "wasserstein_gp",
        "ragan": "relativistic",
    },
}


@pytest.mark.parametrize(("former", "current"), FORMER_WORDS["adversarial.kind"].items())
def test_short_kinds_of_objectives_are_read(former: str, current: str) -> None:
    recipe = Recipe.load("ring", [f"adversarial.kind={former}"])
    assert recipe == Recipe.load("ring", [f"adversarial.kind={current}"])
    assert recipe.adversarial is not None and recipe.adversarial.kind == current


def test_fields_under_their_former_names_are_read() -> None:
    fields = Recipe.load("colorize_tiny").fields()
    fields["generator"]["kind"] = "colour_unet"
    fields["data"]["colour_jitter"] = fields["data"].pop("color_jitter")
    fields["losses"].append({"kind": "colourfulness", "weight": 0.03})
    recipe = Recipe.parse(fields)
    assert recipe.generator.kind == "color_unet" and recipe.losses[-1].kind == "colorfulness"

    fields = Recipe.load("aae").fields()
    fields["adversarial"]["judges"] = fields["adversarial"].pop("discriminates")
    assert Recipe.parse(fields) == Recipe.load("aae")
    fields = Recipe.load("ring").fields()
    fields["task"]["centre"] = fields["task"].pop("center")
    assert Recipe.parse(fields) == Recipe.load("ring")
    fields = Recipe.load("translate_tiny").fields()
    fields["adversarial"]["augment"] = ["colour", "cutout"]
    augmented = Recipe.parse(fields).adversarial
    assert augmented is not None and augmented.augment == ("color", "cutout")


def test_an_override_by_a_former_name_beats_the_recipe() -> None:
    assert Recipe.load("denoise_tiny", ["data.colour_jitter=0.25"]).data.color_jitter == 0.25
    moved = Recipe.load("ring", ["task.centre=[1, 2]"])
    assert moved == Recipe.load("ring", ["task.center=[1, 2]"])


def test_what_a_recipe_says_of_a_kind_by_its_short_name_is_read() -> None:
    fields = Recipe.load("ring").fields()
    fields["adversarial"] |= {"kind": "wgan", "per_kind": {"wgan": {"lr": 0.125}}}
    read = Recipe.parse(fields).adversarial
    assert read is not None and (read.kind, read.lr) == ("wasserstein", 0.125)


def test_a_recipe_without_a_discriminator_says_so() -> None:
    with pytest.raises(UserError, match="discriminator: recipe 'denoise_tiny' has none"):
        Recipe.load("denoise_tiny").build_discriminator()
