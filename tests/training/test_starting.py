"""Fine-tuning: what a model's weights become in another network, what stays frozen, and the line
that recipes/README.md prints.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stopping import stopped_at

from img2img.cli import main
from img2img.diagnostics.runlog import read_rows
from img2img.errors import UserError
from img2img.modelfile import Card, load_generator, save_model
from img2img.recipe import Recipe
from img2img.resources import recipes_dir, samples_dir
from img2img.tasks.translate import Translate
from img2img.training import train
from img2img.training.checkpoint import latest_checkpoint
from img2img.training.starting import fit

README = recipes_dir() / "README.md"
UNET = {"kind": "unet", "width": 4, "levels": 3, "norm": "instance", "dropout": 0.0}
GENERATORS: dict[str, dict[str, Any]] = {
    "unet": UNET,
    "unet, resized": {**UNET, "upsampling": "resize"},
    "resnet": {"kind": "resnet", "width": 4, "blocks": 1},
    "restorer": {"kind": "restorer", "widths": [8, 12], "blocks": [1, 1], "unshuffle": 2},
}


def recipe_for(task: dict[str, Any], generator: dict[str, Any], **more: Any) -> Recipe:
    steps = {"steps": 2, "batch_size": 2, "log_every": 1, "validate_every": 100}
    fields = {
        "name": "tuned",
        "task": task,
        "generator": generator,
        "data": {"crop_px": 32, "resize_px": [32, 40]},
    }
    return Recipe.parse({**fields, "train": {**steps, **more}})


def translate(source: str, generator: dict[str, Any], **more: Any) -> Recipe:
    return recipe_for({"kind": "translate", "source": source}, generator, **more)


def randomised(recipe: Recipe) -> torch.nn.Module:
    """A generator all of whose weights do something."""
    network = recipe.build_generator().eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.normal_(0.0, 0.2)
    return network


def saved(recipe: Recipe, path: Path) -> Path:
    save_model(path, randomised(recipe), recipe, Card())
    return path


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize(("before", "now"), [("edges", "pairs"), ("pairs", "grey")])
def test_what_is_made_of_a_grey_picture_stays_the_same(kind: str, before: str, now: str) -> None:
    was, recipe = (translate(source, GENERATORS[kind]) for source in (before, now))
    old, new = randomised(was), recipe.build_generator().eval()
    found = fit(old.state_dict(), was, new, recipe)
    assert (found.unfit, found.unused) == ([], 0)
    channels = was.task.condition_channels, recipe.task.condition_channels
    assert found.adapted == [f"input layer adapted from {channels[0]} to {channels[1]} channels"]
    new.load_state_dict(found.weights)
    grey = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        outputs = [
            net(grey.expand(-1, n, -1, -1)) for net, n in zip((old, new), channels, strict=True)
        ]
    torch.testing.assert_close(*outputs, atol=2e-5, rtol=1e-4)


def test_channels_beside_the_picture_start_without_effect() -> None:
    was, recipe = recipe_for({"kind": "denoise"}, UNET), recipe_for({"kind": "inpaint"}, UNET)
    old, new = randomised(was), recipe.build_generator().eval()
    new.load_state_dict(fit(old.state_dict(), was, new, recipe).weights)
    x = torch.rand(1, recipe.task.condition_channels, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(new(x), old(x[:, :3]), atol=2e-5, rtol=1e-4)
    back = fit(new.state_dict(), recipe, old, was)
    assert all(torch.equal(back.weights[name], value) for name, value in old.state_dict().items())


def test_a_mask_stays_the_last_channel_when_others_join() -> None:
    generator = {"kind": "restorer", "widths": [8], "blocks": [1], "unshuffle": 2}
    was = recipe_for({"kind": "inpaint", "fill": "mirrored"}, generator)
    recipe = recipe_for({**was.task.model_dump(), "noise_channels": 2}, generator)
    old, new = randomised(was), recipe.build_generator().eval()
    new.load_state_dict(fit(old.state_dict(), was, new, recipe).weights)
    x, noise = torch.rand(1, 7, 32, 32), torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        made = new(torch.cat([x[:, :6], noise, x[:, 6:]], 1))
        torch.testing.assert_close(made, old(x), atol=2e-5, rtol=1e-4)
    back = fit(new.state_dict(), recipe, old, was)
    assert all(torch.equal(back.weights[name], value) for name, value in old.state_dict().items())


def test_a_further_proposal_starts_unasked_for() -> None:
    was = recipe_for({"kind": "inpaint", "fill": "mirrored"}, {"kind": "gated", "width": 8})
    recipe = recipe_for({"kind": "inpaint", "fill": "exemplar"}, {"kind": "gated", "width": 8})
    old, new = randomised(was), recipe.build_generator().eval()
    found = fit(old.state_dict(), was, new, recipe)
    assert found.adapted == [
        "input layer adapted from 7 to 10 channels",
        "output layer adapted from 6 to 9 channels",
    ]
    new.load_state_dict(found.weights)
    x, pieces = torch.rand(1, 7, 32, 32), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        made, before = new(torch.cat([x[:, :6], pieces, x[:, 6:]], 1)), old(x)
    torch.testing.assert_close(made[:, :6], before, atol=1e-3, rtol=1e-3)
    assert not made[:, 6:].any()


class Drawing(Translate):
    """Predicts one channel."""

    @property
    def prediction_channels(self) -> int:
        return 1


def test_grey_output_becomes_colored() -> None:
    colored = translate("pairs", GENERATORS["restorer"])
    recipes = [colored.model_copy(update={"task": Drawing(source="pairs")}), colored]
    old, new = (randomised(recipe) for recipe in recipes)
    found = fit(old.state_dict(), recipes[0], new, recipes[1])
    assert found.adapted[-1] == "output layer adapted from 1 to 3 channels" and not found.unfit
    new.load_state_dict(found.weights)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(new(x), old(x).expand(-1, 3, -1, -1), atol=2e-5, rtol=1e-4)


def test_a_shipped_model_of_edges_starts_a_training_on_pairs(
    tmp_path: Path, photo_folder: Path
) -> None:
    for name in ("A", "B"):
        shutil.copytree(photo_folder, tmp_path / "pairs" / name)
    fields = Recipe.load("edges2clothes").fields()
    fields["losses"], fields["adversarial"], fields["discriminator"] = [{"kind": "l1"}], None, None
    fields["task"] |= {"source": "pairs"}
    fields["data"] |= {"path": str(tmp_path / "pairs"), "crop_px": 64, "resize_px": [64, 80]}
    fields["train"] |= {"steps": 1, "batch_size": 2, "lr": 1e-12, "init": "edges2clothes"}
    train(Recipe.parse(fields), tmp_path / "run", device="cpu")
    said = next(row["init"] for row in read_rows(tmp_path / "run/log.jsonl") if "init" in row)
    assert said.startswith("'edges2clothes': 5.") and said.endswith(
        "million weights taken, input layer adapted from 1 to 3 channels"
    )
    was, shipped = load_generator(
        Path(str(recipes_dir().parent / "img2img/zoo/edges2clothes.safetensors"))
    )
    assert was.recipe.task.condition_channels == 1
    _, tuned = load_generator(tmp_path / "run/model.safetensors")
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            tuned(grey.expand(-1, 3, -1, -1)), shipped(grey), atol=1e-4, rtol=1e-3
        )


@pytest.mark.parametrize(
    ("generator", "said"),
    [
        (
            {**UNET, "width": 8},
            "generator.width is 4 there and 8 here: write generator.width=4; or set",
        ),
        (
            {**UNET, "levels": 4},
            "generator.levels is 3 there and 4 here: write generator.levels=3; or set",
        ),
        (
            {**UNET, "norm": "batch"},
            "generator.norm is instance there and batch here: write generator.norm=instance",
        ),
        (
            {**UNET, "dropout": 0.5, "width": 8},
            "generator.width is 4 there and 8 here: write generator.width=4;",
        ),
        (
            GENERATORS["restorer"],
            "its generator is a unet, and the recipe's a restorer; nothing of it can be taken",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, generator: dict[str, Any], said: str) -> None:
    path = saved(translate("pairs", UNET), tmp_path / "model.safetensors")
    with pytest.raises(UserError) as refused:
        train(translate("grey", generator, init=str(path)), tmp_path / "run", device="cpu")
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert str(refused.value).startswith(f"train.init: '{path}' does not fit: ")
    assert not (tmp_path / "run").exists()


def test_another_enlargement_is_named(tmp_path: Path) -> None:
    two, four = (
        recipe_for({"kind": "super-resolve", "factor": n}, GENERATORS["restorer"]) for n in (2, 4)
    )
    path = saved(two, tmp_path / "model.safetensors")
    asked = four.model_copy(update={"train": four.train.model_copy(update={"init": str(path)})})
    with pytest.raises(
        UserError, match=r"it makes pictures ×2, and the task ×4; or set train\.init_partial=true"
    ):
        train(asked, tmp_path / "run", device="cpu")


def test_the_same_difference_is_mended_by_what_the_error_says(tmp_path: Path) -> None:
    path = saved(
        translate("grey", {**UNET, "width": 8, "levels": 4}), tmp_path / "model.safetensors"
    )
    with pytest.raises(UserError, match=r"write generator\.width=8 generator\.levels=4; or"):
        train(translate("grey", UNET, init=str(path)), tmp_path / "run", device="cpu")
    written = {**UNET, "width": 8, "levels": 4}
    train(translate("grey", written, init=str(path)), tmp_path / "run", device="cpu")


def test_partly_means_what_fits_and_the_rest_starts_anew(tmp_path: Path) -> None:
    was = translate("edges", {**UNET, "levels": 4})
    path = saved(was, tmp_path / "model.safetensors")
    recipe = translate("grey", {**UNET, "levels": 3}, init=str(path), init_partial=True, lr=1e-12)
    train(recipe, tmp_path / "run", device="cpu")
    (said,) = [row["init"] for row in read_rows(tmp_path / "run/log.jsonl") if "init" in row]
    assert (
        "tensors start anew (model.inner.inner.up.1.weight" in said
        and "of its tensors not used" in said
    )
    (_, old), (_, new) = load_generator(path), load_generator(tmp_path / "run/model.safetensors")
    torch.testing.assert_close(
        new.model.down[0].weight, old.model.down[0].weight, atol=1e-6, rtol=0
    )  # type: ignore[union-attr, index]
    nothing = translate("grey", GENERATORS["restorer"], init=str(path), init_partial=True)
    with pytest.raises(UserError, match="nothing of it can be taken"):
        train(nothing, tmp_path / "none", device="cpu")


# --- frozen parts


def parts(out: Path) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(out / "checkpoints")
    assert checkpoint is not None
    return checkpoint.tensors


@pytest.mark.parametrize("at_test", ["running", "picture"])
def test_frozen_parts_keep_weights_statistics_and_average(tmp_path: Path, at_test: str) -> None:
    generator = {**UNET, "norm": "batch", "dropout": 0.5, "at_test": at_test}
    path = saved(translate("grey", generator), tmp_path / "model.safetensors")
    recipe = translate(
        "grey", generator, steps=3, init=str(path), freeze=["model.inner", "model.down"], lr=1e-2
    )
    train(recipe, tmp_path / "run", device="cpu")
    before, after = load_generator(path)[1].state_dict(), parts(tmp_path / "run")
    for name, value in before.items():
        frozen = name.startswith(("model.inner.", "model.down."))
        for kept in ("generator.network", "ema"):
            assert torch.equal(after[f"{kept}.{name}"], value) == frozen, (kept, name)
    (row,) = [row for row in read_rows(tmp_path / "run/log.jsonl") if "frozen" in row]
    shapes = translate("grey", generator).build_generator().model
    count = sum(p.numel() for part in (shapes.inner, shapes.down) for p in part.parameters())  # type: ignore[union-attr]
    assert row["frozen_parameters"] == count and row["frozen"].endswith(
        "million weights stay as they are"
    )


def test_a_frozen_run_resumes_exactly(tmp_path: Path) -> None:
    generator = {**UNET, "norm": "batch", "dropout": 0.5}
    recipe = translate("grey", generator, steps=6, freeze="model.inner", optimizer="muon")
    assert recipe.train.freeze == ("model.inner",)
    train(recipe, tmp_path / "whole", device="cpu")
    stopped_at(recipe, tmp_path / "cut", 3)
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    whole, cut = parts(tmp_path / "whole"), parts(tmp_path / "cut")
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)
    with pytest.raises(UserError, match="another train"):
        train(translate("grey", generator, steps=6), tmp_path / "cut", resume=True, device="cpu")


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        ("model.inner.inne", "did you mean 'model.inner.inner'?"),
        ("encoder", "generator 'unet' has no such part; parts: model.down, model.up, model.inner"),
        ("down.0", "did you mean 'model.down.0'?"),
        (
            ["model.inner", "model.down", "model.up"],
            "names all of the generator: nothing would learn",
        ),
    ],
)
def test_parts_that_cannot_be_frozen_are_told_when_the_recipe_is_read(
    freeze: Any, said: str
) -> None:
    with pytest.raises(UserError, match=r"train\.freeze") as refused:
        translate("grey", UNET, freeze=freeze)
    assert said in str(refused.value)


@pytest.mark.parametrize("path", sorted(recipes_dir().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_generator_has_parts_to_freeze(path: Path) -> None:
    recipe = Recipe.load(path)
    with torch.device("meta"):
        names = [
            n
            for n, part in recipe.build_generator().named_modules()
            if [*part.parameters(recurse=False)]
        ]
    fields = recipe.fields()
    fields["train"] |= {"freeze": names[:1]}
    if len(names) == 1:
        with pytest.raises(UserError, match="names all of the generator"):
            Recipe.parse(fields)
    else:
        assert Recipe.parse(fields).train.freeze == (names[0],)


# --- what the README prints


def readme_line() -> list[str]:
    """The command for a few pairs of one's own."""
    (line,) = [
        line
        for line in README.read_text().splitlines()
        if "MY_PAIRS" in line and "train.init=" in line
    ]
    return shlex.split(line.partition("#")[0])


def test_the_readmes_line_for_fifty_pairs_works_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(recipes_dir(), tmp_path / "recipes")
    for number, path in enumerate(sorted(samples_dir().glob("*.jpg"))[:12]):
        with Image.open(path) as image:
            photo = image.convert("RGB").resize((160, 140))
        for side, picture in (("A", photo.convert("L").convert("RGB")), ("B", photo)):
            (tmp_path / "MY_PAIRS" / side).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "MY_PAIRS" / side / f"{number}.png")
    program, *arguments = readme_line()
    assert program == "img2img"
    assert (
        main([*arguments, "train.steps=2", "train.batch_size=2", "--out", "run", "--device", "cpu"])
        == 0
    )
    summary = read_rows(tmp_path / "run/log.jsonl")[-1]
    assert summary["summary"] and summary["data"].startswith(
        "11 pairs: A/ and B/; 1 for validation"
    )
    (said,) = [row["init"] for row in read_rows(tmp_path / "run/log.jsonl") if "init" in row]
    assert "input layer adapted from 1 to 3 channels" in said
    assert np.isfinite(summary["validation"]["psnr_db"])
