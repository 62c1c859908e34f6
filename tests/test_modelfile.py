"""The header of a model file: what other programs read in it, and files of before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import img2img
from img2img.errors import UserError
from img2img.modelfile import Card, is_ours, read_header, save_model
from img2img.recipe import Recipe

RECIPE = Recipe.load("super_resolve_tiny", ["generator.widths=[4]", "generator.blocks=[0]"])


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    card = Card(title="Tiny", author="A. B.", terms="CC-BY-4.0", notes="For tests.", steps=7)
    save_model(tmp_path / "m.safetensors", RECIPE.build_generator(), RECIPE, card)
    return tmp_path / "m.safetensors"


def test_other_programs_read_what_the_model_is(written: Path) -> None:
    found = metadata(written)
    assert (found["format"], found["img2img.format"]) == ("pt", "img2img/1")
    date = found.pop("modelspec.date")
    assert len(date) == 10 and date[4] == "-"
    assert {name: value for name, value in found.items() if name.startswith("modelspec.")} == {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "img2img/restorer",
        "modelspec.implementation": "img2img",
        "modelspec.title": "Tiny",
        "modelspec.author": "A. B.",
        "modelspec.description": "For tests.",
        "modelspec.license": "CC-BY-4.0",
        "modelspec.tags": "image-to-image, super-resolve, 2x",
    }


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    card = Card(terms="unknown")
    save_model(tmp_path / "m.safetensors", RECIPE.build_generator(), RECIPE, card)
    found = metadata(tmp_path / "m.safetensors")
    assert found["modelspec.title"] == RECIPE.name
    assert found["modelspec.description"] == "A network trained to enlarge (super-resolve)"
    assert not {"modelspec.author", "modelspec.license"} & found.keys()


def test_a_file_with_the_header_of_before_is_read(written: Path, tmp_path: Path) -> None:
    now, old = metadata(written), tmp_path / "old.safetensors"
    former = {"format": "img2img/1", "recipe": now["recipe"], "card": now["card"]}
    save_file(load_file(written), old, former)
    assert is_ours(old) and read_header(old) == read_header(written)
    x = torch.rand(1, 3, 16, 16)
    models = [img2img.load(path, device="cpu") for path in (old, written)]
    assert torch.equal(*(model.predict_tensor(x) for model in models))


def test_shipped_files_open_with_either_header() -> None:
    model = img2img.load("super_resolve_x2", device="cpu")
    assert model.recipe.generator.kind == "restorer"


@pytest.mark.parametrize("key", ["format", "img2img.format"])
def test_a_later_form_is_refused_by_name(key: str, tmp_path: Path) -> None:
    header = {"format": "pt", key: "img2img/9", "recipe": "{}", "card": json.dumps({})}
    save_file({"w": torch.zeros(1)}, tmp_path / "m.safetensors", header)
    with pytest.raises(UserError, match="of format img2img/9, this version reads img2img/1"):
        read_header(tmp_path / "m.safetensors")
    assert is_ours(tmp_path / "m.safetensors")
