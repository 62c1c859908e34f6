"""Model files that ask for what cannot be, trainings that do not suit a file of other people, and
a computer without spandrel: one line each that says what to do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import KNOWN, saved
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_architectures import photo

import img2img
from img2img.cli import main
from img2img.errors import UserError
from img2img.models.blocks import channels_last
from img2img.models.spandrel import SpandrelConfig
from img2img.recipe import Recipe
from img2img.training.starting import difference, with_network_of_start

ESRGAN, SPAN = KNOWN[0], KNOWN[3]
ONE = next(known for known in KNOWN if known.architecture == "NAFNet")
LAMA = next(known for known in KNOWN if known.architecture == "LaMa")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    theirs = saved(ESRGAN, folder)
    assert main(["import", str(theirs), "--output", str(folder / "kept.safetensors")]) == 0
    return folder / "kept.safetensors"


def _claiming(kept: Path, folder: Path, generator: dict[str, Any]) -> Path:
    with safe_open(kept, framework="pt") as file:
        metadata = file.metadata()
    recipe = json.loads(metadata["recipe"])
    recipe["generator"].update(generator)
    path = folder / "claims.safetensors"
    save_file(load_file(kept), path, {**metadata, "recipe": json.dumps(recipe)})
    return path


@pytest.mark.parametrize(
    ("generator", "problem"),
    [
        ({"parameters": {"num_filters": 65_000, "num_blocks": 2}}, "larger than 4 GiB"),
        (
            {
                "architecture": "SwinIR",
                "variant": "SwinIR",
                "parameters": {"depths": [60_000] * 5, "num_heads": [2] * 5},
            },
            "at most 4096",
        ),
        ({"parameters": {"num_filters": 4, "num_blocks": 60_000}}, "more layers than any"),
        (
            {
                "architecture": "FDAT",
                "variant": "FDAT",
                "parameters": {"num_groups": 60_000, "depth_per_group": 60_000},
            },
            "larger than 4 GiB",
        ),
        (
            {
                "architecture": "SwinIR",
                "variant": "SwinIR",
                "parameters": {"window_size": 1000, "img_size": 60_000, "num_heads": [6] * 4},
            },
            "larger than 4 GiB",
        ),
        ({"parameters": {"nonsense": 1}}, "unexpected keyword"),
        ({"parameters": {"num_filters": "many"}}, "cannot be built"),
        ({"parameters": {"num_filters": -3}}, "cannot be built"),
        ({"parameters": {"num_filters": 1e300}}, "at most 65536"),
        ({"architecture": "../../os"}, "no architecture"),
        ({"variant": "ESRGANArch"}, "none of ESRGAN's classes"),
        ({"parameters": {"scale": 2, "num_filters": 16, "num_blocks": 2}}, "build one of ×2"),
    ],
)
def test_a_header_that_claims_too_much_is_refused(
    generator: dict[str, Any],
    problem: str,
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("img2img.models.spandrel._MOST_OPERATIONS", 1000)
    path = _claiming(kept, tmp_path, generator)
    with pytest.raises(UserError, match=problem):
        img2img.load(path, device="cpu")


def test_empty_tensors_do_not_stand_for_large_layers(tmp_path: Path) -> None:
    state = torch.load(saved(ESRGAN, tmp_path), weights_only=True)
    state["model.0.weight"] = torch.zeros(60_000_000, 0, 3, 3)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"x\.pth' does not load"):
        img2img.load(tmp_path / "x.pth", device="cpu")


def test_weights_of_five_dimensions_keep_their_layout() -> None:
    module = torch.nn.Conv2d(4, 4, 3)
    module.register_buffer("modulated", torch.ones(1, 2, 3, 3, 3))
    laid_out = channels_last(module)
    assert laid_out.weight.is_contiguous(memory_format=torch.channels_last)
    assert laid_out.modulated.is_contiguous()  # type: ignore[operator]  # a buffer


@pytest.mark.parametrize(
    ("recipe", "known", "problem"),
    [
        ("super_resolve_x4", SPAN, "enlarges ×2, and the task enlarges ×4: set task.factor=2"),
        ("denoise", SPAN, "the task keeps size: start from a file for ×1"),
        ("super_resolve_x4", ONE, "keeps size, and the task enlarges ×4: start from a file for ×4"),
        ("colorize", ONE, "'spandrel' does not fit task 'colorize'"),
        ("denoise", LAMA, "'LaMa' completes holes, and task 'denoise' has none"),
    ],
    ids=lambda x: x if isinstance(x, str) else x.architecture,
)
def test_a_training_that_does_not_suit_the_file_says_what_does(
    recipe: str, known: Any, problem: str, tmp_path: Path
) -> None:
    changes = ["generator={kind: spandrel}", f"train.init={saved(known, tmp_path)}"]
    with pytest.raises(UserError) as found:
        with_network_of_start(Recipe.load(recipe, changes))
    assert problem in str(found.value)


def test_parts_of_a_network_left_open_are_frozen(tmp_path: Path) -> None:
    swin = next(known for known in KNOWN if known.architecture == "SwinIR")
    start = f"train.init={saved(swin, tmp_path)}"
    open_one = ["generator={kind: spandrel}", start, "data.crop_px=64"]
    frozen = Recipe.load("super_resolve_x2", [*open_one, "train.freeze=[network.conv_first]"])
    assert with_network_of_start(frozen).generator.architecture == "SwinIR"
    unknown = Recipe.load("super_resolve_x2", [*open_one, "train.freeze=[network.conv_frst]"])
    with pytest.raises(UserError, match=r"no such part, did you mean 'network\.conv_first'"):
        with_network_of_start(unknown)


def test_another_network_than_the_file_s_is_told_how_to_take_it() -> None:
    ours = Recipe.load("super_resolve_x4")
    theirs = ours.model_copy(update={"generator": SpandrelConfig(architecture="ESRGAN")})
    assert difference(theirs, ours).endswith("write generator='{kind: spandrel}'")


def test_flips_and_turns_are_averaged(tmp_path: Path) -> None:
    model, rgb = img2img.load(saved(SPAN, tmp_path), device="cpu"), photo()
    averaged = model(rgb, self_ensemble=True)
    turned = np.rot90(model(np.rot90(rgb).copy(), self_ensemble=True), -1)
    assert np.abs(averaged.astype(int) - turned).max() <= 1
    assert (averaged != model(rgb)).any()


def test_without_the_library_the_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(SPAN, tmp_path)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    assert main(["models", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'img2img[community]'" in line


def test_our_own_models_do_without_the_library(tmp_path: Path) -> None:
    photo_file = img2img.resources.inputs_dir() / "small.jpg"
    code = f"""
import sys
from img2img.cli import main
assert main(["models"]) == 0
assert main(["infer", "--input", {str(photo_file)!r}, "--model", "denoise",
             "--output", {str(tmp_path / "o.png")!r}]) == 0
assert "spandrel" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
