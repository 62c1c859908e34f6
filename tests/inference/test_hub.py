"""Models as folders of the Hugging Face Hub's form, and what other places are told of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml

import img2img
from img2img.community.terms import terms_in_json
from img2img.errors import UserError
from img2img.inference.pipeline import Model
from img2img.modelcards import hub_card, openmodeldb
from img2img.modelfile import Card, Header, save_model
from img2img.recipe import Recipe

METRICS = {"validation": {"psnr_y_db": 31.234567, "ssim": 0.9}, "baseline": {"psnr_y_db": 28.0}}
CARD = Card(
    title="Tiny",
    author="A. B.",
    terms="CC-BY-NC-4.0",
    data="DIV2K, /home/somebody/photos",
    photos=800,
    steps=7,
    metrics=METRICS,
    notes="For tests.",
)
RECIPE = Recipe.load("super_resolve_tiny", ["generator={kind: rrdb, width: 4, blocks: 2}"])


@pytest.fixture(scope="module")
def model() -> Model:
    generator = RECIPE.build_generator()
    return Model("tiny", RECIPE, CARD, generator, torch.device("cpu"), "fp32")


def test_a_folder_holds_the_model(model: Model, tmp_path: Path) -> None:
    folder = model.save_pretrained(tmp_path / "kept")
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", "config.json", "README.md")
    }
    again = Model.from_pretrained(folder, device="cpu", precision="fp32")
    assert (again.recipe, again.card) == (model.recipe, model.card)
    x = torch.rand(1, 3, 12, 14)
    assert torch.equal(again.predict_tensor(x), model.predict_tensor(x))
    assert torch.equal(
        img2img.load(folder, device="cpu", precision="fp32").predict_tensor(x),
        model.predict_tensor(x),
    )
    config = json.loads((folder / "config.json").read_text())
    assert (config["library_name"], config["architecture"]) == ("img2img", "rrdb")
    assert Recipe.parse(config["recipe"]) == RECIPE


def test_a_card_that_somebody_wrote_stays(model: Model, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'user/name' is no folder .* `hf download`"):
        Model.from_pretrained("user/name")


def test_the_card_has_the_hubs_header() -> None:
    text = hub_card(Header(recipe=RECIPE, card=CARD), "tiny")
    _, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "license": "cc-by-nc-4.0",
        "pipeline_tag": "image-to-image",
        "library_name": "img2img",
        "tags": ["img2img", "super-resolve", "rrdb"],
        "datasets": ["DIV2K"],
        "metrics": ["psnr", "ssim"],
    }
    assert huggingface_hub.ModelCard(text).data.license == "cc-by-nc-4.0"
    assert "# Tiny" in body and "| psnr_y_db | 31.23 | 28 |" in body
    assert "- Author: A. B." in body and 'img2img.load("FOLDER")' in body


def test_terms_that_are_no_identifier_and_noise() -> None:
    card = CARD.model_copy(update={"terms": "ask me first", "metrics": {}})
    text = hub_card(Header(recipe=Recipe.load("dcgan"), card=card), "x")
    header = yaml.safe_load(text.split("---\n")[1])
    assert (header["license"], header["license_name"]) == ("other", "ask me first")
    assert header["pipeline_tag"] == "unconditional-image-generation"
    assert "| metric |" not in text and "img2img generate --model FOLDER" in text
    assert "metrics" not in header


def test_openmodeldb_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "2x-Tiny.safetensors"
    save_model(path, RECIPE.build_generator(), RECIPE, CARD)
    fields = openmodeldb(Header(recipe=RECIPE, card=CARD), path)
    assert (fields["architecture"], fields["size"], fields["scale"]) == (
        *("esrgan", ["4nf", "2nb"]),
        2,
    )
    (resource,) = fields["resources"]
    assert (resource["type"], resource["size"]) == ("safetensors", path.stat().st_size)
    assert len(resource["sha256"]) == 64
    assert (fields["inputChannels"], fields["trainingIterations"]) == (3, 7)
    path.with_suffix(".json").write_text(json.dumps(fields), encoding="utf-8")
    terms = terms_in_json(path)
    assert terms is not None
    assert (terms.title, terms.author, terms.terms) == ("Tiny", "A. B.", "CC-BY-NC-4.0")
    assert terms.notes == "For tests."


class FakeApi:
    """What is asked of huggingface_hub's HfApi."""

    calls: list[Any]

    def __init__(self, token: str | None = None) -> None:
        type(self).calls = [("token", token)]

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        self.calls.append(("create", repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
        files = {path.name for path in Path(folder_path).iterdir()}
        self.calls.append(("upload", repo_id, files))
        return f"https://huggingface.co/{repo_id}"


def test_a_push_uploads_the_folder(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    address = model.push_to_hub("me/tiny", private=True, token="secret")
    assert address == "https://huggingface.co/me/tiny"
    assert FakeApi.calls == [
        ("token", "secret"),
        ("create", "me/tiny", True, True),
        ("upload", "me/tiny", {"model.safetensors", "config.json", "README.md"}),
    ]


def test_the_hub_is_offline_by_default(model: Model) -> None:
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    with pytest.raises(UserError, match="works offline: start with HF_HUB_OFFLINE=0"):
        model.push_to_hub("me/tiny")


def test_a_refusal_of_the_hub_is_one_line(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("401 Client Error\nInvalid token")

    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setattr(FakeApi, "create_repo", refuse)
    with pytest.raises(UserError, match=r"'me/tiny' is not pushed: .*401 Client Error") as refused:
        model.push_to_hub("me/tiny")
    assert "\n" not in str(refused.value)


def test_a_missing_package_is_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'img2img\[hub\]'"):
        model.push_to_hub("me/tiny")
