"""Between a model trained for fidelity and its crisper continuation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from img2img.errors import UserError
from img2img.inference.blend import pair_of
from img2img.inference.pipeline import load
from img2img.inference.request import Request
from img2img.modelfile import Card, read_weights, save_model
from img2img.pixels.images import Photo
from img2img.recipe import Recipe
from img2img.zoo.catalogue import CATALOGUE

FAITHFUL: dict[str, Any] = {
    "name": "sr",
    "task": {"kind": "super-resolve", "factor": 4},
    "generator": {"kind": "restorer", "widths": [8], "blocks": [1], "unshuffle": 1},
    "data": {"crop_px": 64},
}
PLAYED = {
    "discriminator": {"kind": "patchgan", "width": 8},
    "adversarial": {"kind": "non_saturating"},
}


def saved(folder: Path, name: str, seed: int, overlap_px: int = 24, **fields: Any) -> Path:
    recipe = Recipe.parse({**FAITHFUL, **fields, "name": name})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = recipe.build_generator()
        for weights in network.parameters():
            torch.nn.init.normal_(weights, 0, 0.05)
    save_model(folder / f"{name}.safetensors", network, recipe, Card(tile_overlap_px=overlap_px))
    return folder / f"{name}.safetensors"


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setattr("img2img.zoo.zoo_dir", lambda: tmp_path)
    faithful = saved(tmp_path, "sr", 1)
    crisp = saved(tmp_path, "sr_gan", 2, overlap_px=40, train={"init": "sr"}, **PLAYED)
    saved(tmp_path, "tuned", 3, train={"init": "sr"})  # no discriminator: not a crisper one
    saved(
        tmp_path,
        "wider",
        4,
        train={"init": "sr"},
        generator={**FAITHFUL["generator"], "widths": [12]},
        **PLAYED,
    )
    return faithful, crisp


def test_either_half_finds_the_other(pair: tuple[Path, Path]) -> None:
    for name in ("sr", "sr_gan"):
        found = pair_of(CATALOGUE.entry(name))
        assert found and (found.faithful.path, found.crisp.path) == pair
    assert pair_of(CATALOGUE.entry("tuned")) is None
    assert pair_of(CATALOGUE.entry("wider")) is None


@pytest.mark.parametrize("name", ["sr", "sr_gan"])
def test_weights_lie_between_the_halves(pair: tuple[Path, Path], name: str) -> None:
    plain, crisp = (read_weights(path) for path in pair)
    for detail in (0, 0.25, 1):
        model = load(name, device="cpu", detail=detail)
        assert model.card.tile_overlap_px == 40, "the wider of the two"
        for key, value in model.generator.state_dict().items():
            assert torch.allclose(value, (1 - detail) * plain[key] + detail * crisp[key], atol=1e-7)
    plainest = load(name, device="cpu", detail=0).generator.state_dict()
    assert all(torch.equal(value, plain[key]) for key, value in plainest.items())


@pytest.mark.usefixtures("pair")
def test_a_request_reaches_the_mixture_and_nothing_else_changes(rng: np.random.Generator) -> None:
    photo = Photo(rng.integers(0, 256, (20, 24, 3)).astype(np.uint8))
    made = {
        d: Request(("super-resolve",), scale=4, detail=d).resolve().plan(photo).run(photo).rgb
        for d in (None, 0.0, 0.5, 1.0)
    }
    assert (made[None] == made[0.0]).all(), "faithful unless asked"
    assert (made[1.0] == load("sr_gan").run(photo).rgb).all()
    assert (made[0.5] != made[0.0]).any() and (made[0.5] != made[1.0]).any()
    automatic = Request(scale=4, detail=0.5).resolve().plan(photo)
    assert automatic.steps[-1].detail == 0.5, "in an automatic plan too"


@pytest.mark.usefixtures("pair")
def test_what_has_no_crisper_half_is_refused(tiny_zoo: Path) -> None:
    with pytest.raises(UserError, match=r"^detail: model 'tuned' has no crisper"):
        Request(model="tuned", detail=0.5).resolve()
    with pytest.raises(UserError, match=r"^detail must be a number from 0 to 1, not 'a'$"):
        load("sr_gan", detail="a")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^detail: 1\.5 is not between 0 and 1"):
        Request(("super-resolve",), scale=4, detail=1.5).resolve()
    with pytest.raises(UserError, match="has no crisper"):
        load(tiny_zoo / "denoise.safetensors", detail=0.5)
