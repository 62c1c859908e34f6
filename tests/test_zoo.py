"""Shipping a run: what its model file says of where it began."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from img2img.maintenance import ship as shipping
from img2img.modelfile import Card, read_header, save_model
from img2img.recipe import Recipe
from img2img.zoo import model_path, shipped_models


def saved(path: Path, init: str | None) -> None:
    generator = {"kind": "restorer", "widths": [8], "blocks": [1], "unshuffle": 2}
    fields = {"name": path.stem, "task": "denoise", "generator": generator, "data": {"crop_px": 64}}
    recipe = Recipe.parse({**fields, "train": {"init": init}})
    save_model(
        path, recipe.build_generator(), recipe, Card(metrics={"validation": {"psnr_db": 30.0}})
    )


@pytest.mark.parametrize(
    ("init", "kept"),
    [("plain", "plain"), ("crisp", "plain"), ("runs/block_1", None), (None, None)],
    ids=["another model", "its own earlier block", "a run", "fresh"],
)
def test_a_shipped_model_names_the_shipped_model_it_began_with(
    init: str | None, kept: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo, run = tmp_path / "zoo", tmp_path / "run.safetensors"
    for place in ("img2img.zoo.zoo_dir", "img2img.maintenance.ship.zoo_dir"):
        monkeypatch.setattr(place, lambda: zoo)
    saved(zoo / "plain.safetensors", None)
    saved(zoo / "crisp.safetensors", "plain")  # what ships so far
    saved(run, init)
    monkeypatch.setattr(sys, "argv", ["zoo", str(run), "crisp", "--terms", "CC0"])
    shipping.main()
    header = read_header(zoo / "crisp.safetensors")
    assert header.recipe.train.init == kept
    assert header.card.data_terms == header.recipe.data.terms == "CC0"


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_model_says_its_photos_terms(name: str) -> None:
    assert read_header(shipped_models()[name]).card.data_terms != "unknown"


def test_a_folder_of_a_models_name_does_not_hide_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "denoise/model.safetensors"
    run.parent.mkdir()
    assert model_path("denoise") == shipped_models()["denoise"]  # a folder of photos, or of a run
    run.touch()
    assert model_path("denoise") == shipped_models()["denoise"]
    assert model_path("./denoise").samefile(run) and model_path(Path("denoise")).samefile(run)
