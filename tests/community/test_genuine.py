"""The models in packages: the pixels of spandrel alone, better than bicubic, on their terms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import alone
from safetensors.torch import save_file
from torch.nn import functional as F

import img2img
from img2img.cli import main
from img2img.community.ncnn import read_ncnn
from img2img.community.packages import KNOWN, PackageModel, install_command
from img2img.modelfile import read_header
from img2img.pixels.color import downscale, upscale
from img2img.pixels.images import read_photo
from img2img.resources import samples_dir
from img2img.zoo.catalogue import CATALOGUE

pytestmark = pytest.mark.slow
FAITHFUL = ("dat_light_x2", "dat_light_x3", "dat_light_x4")  # the others invent detail


def file_of(model: PackageModel) -> Path:
    if model.path is None:
        pytest.skip(install_command(model.distribution))
    return model.path


def photo(side: int) -> np.ndarray:
    return read_photo(samples_dir() / "hawa_mahal.jpg").rgb[40 : 40 + side, 60 : 60 + side].copy()


@pytest.mark.parametrize("name", KNOWN)
def test_pixels_are_those_of_spandrel_alone(name: str, tmp_path: Path) -> None:
    path, rgb = file_of(KNOWN[name]), photo(48)
    if path.suffix == ".param":
        save_file(read_ncnn(path), tmp_path / "official.safetensors")
        path = tmp_path / "official.safetensors"
    ours = img2img.load(name, device="cpu")(rgb)
    assert np.abs(ours - alone(path, rgb)).max() <= 1


@pytest.mark.parametrize("name", KNOWN)
def test_its_terms_are_on_its_card(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file_of(KNOWN[name])
    card = CATALOGUE.entry(name).card
    assert (card.terms, card.title) == (KNOWN[name].license, KNOWN[name].title)
    assert main(["models"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(name + " "))
    assert card.terms in row and KNOWN[name].distribution in row


@pytest.mark.parametrize("name", KNOWN)
def test_the_overlap_on_its_card_is_the_measured_one(name: str) -> None:
    file_of(KNOWN[name])
    model = img2img.load(name, device="cpu")
    told = model.card.tile_overlap_px
    model.card = model.card.model_copy(update={"tile_overlap_px": None})
    assert told == model.with_measured_overlap().tile_overlap_px


@pytest.mark.parametrize("name", FAITHFUL)
def test_it_enlarges_better_than_bicubic(name: str) -> None:
    file_of(KNOWN[name])
    model = img2img.load(name, device="cpu")
    scale = model.photo_task.scale
    truth = torch.from_numpy(photo(48 * scale)).permute(2, 0, 1)[None].float() / 255
    small = downscale(truth, scale).clamp(0, 1)
    learned, bicubic = model.predict_tensor(small), upscale(small, scale).clamp(0, 1)
    assert F.mse_loss(learned, truth) < 0.85 * F.mse_loss(bicubic, truth)  # 0.7 dB


def test_import_keeps_one_for_good(tmp_path: Path) -> None:
    file_of(KNOWN["realesr_animevideov3"])
    kept, rgb = tmp_path / "kept.safetensors", photo(40)
    assert main(["import", "realesr_animevideov3", "--output", str(kept)]) == 0
    card = read_header(kept).card
    assert card.terms == "BSD-3-Clause" and card.tile_overlap_px is not None
    again = img2img.load(kept, device="cpu")(rgb)
    assert (again == img2img.load("realesr_animevideov3", device="cpu")(rgb)).all()


def test_tiles_of_a_large_photo_are_the_whole() -> None:
    file_of(KNOWN["realesr_animevideov3"])
    model, rgb = img2img.load("realesr_animevideov3", device="cpu"), photo(300)
    assert max(rgb.shape) > model.recipe.generator.tile_px(4)
    tiled = model(rgb).astype(int)
    with torch.inference_mode():
        x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        whole = (model.generator(x) + upscale(x, 4))[0].permute(1, 2, 0).numpy().clip(0, 1) * 255
    assert np.abs(tiled - whole).max() <= 1.51
