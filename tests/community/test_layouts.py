"""What was learned since goes back into the layout of the file that training began with."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import KNOWN, Known, saved
from safetensors.torch import load_file
from torch import Tensor

import img2img
from img2img.cli import main
from img2img.errors import UserError
from img2img.export.exporting import export_model
from img2img.models.spandrel import spandrel
from img2img.recipe import Recipe

ESRGAN, SPAN = KNOWN[0], KNOWN[3]
COMPACT = next(known for known in KNOWN if known.architecture == "Compact")
DAT = next(known for known in KNOWN if known.architecture == "DAT")
NAMES = {  # the first version's, and how later ones say the same
    "real_esrgan": (r"body.\1.rdb\2.conv\3", "conv_body", "conv_up", "conv_hr"),
    "esrgan": (r"RRDB_trunk.\1.RDB\2.conv\3", "trunk_conv", "upconv", "HRconv"),
}


def later(state: dict[str, Tensor], version: str) -> dict[str, Tensor]:
    """ESRGAN ×4 of two blocks with the names of a later version."""
    block, after, up, before_last = NAMES[version]
    renamed = {}
    for name, value in state.items():
        name = re.sub(r"model\.1\.sub\.(\d)\.RDB(\d)\.conv(\d)\.0", block, name)
        for old, new in {
            "model.0": "conv_first",
            "model.1.sub.2": after,
            "model.3": f"{up}1",
            "model.6": f"{up}2",
            "model.8": before_last,
            "model.10": "conv_last",
        }.items():
            name = re.sub(rf"^{re.escape(old)}\.(weight|bias)$", rf"{new}.\1", name)
        renamed[name] = value
    assert not any(name.startswith("model") for name in renamed)
    return renamed


def community_file(known: Known, folder: Path, version: str) -> Path:
    path = saved(known, folder, "theirs.pth")
    if version in NAMES:
        torch.save({"params_ema": later(torch.load(path, weights_only=True), version)}, path)
    return path


def fine_tuned(
    theirs: Path, known: Known, folder: Path, generator: str = "{kind: spandrel}"
) -> Path:
    recipe = Recipe.load(
        "super_resolve_tiny",
        [
            *(f"generator={generator}", f"train.init={theirs}", f"task.factor={known.scale}"),
            *("train.steps=2", "data.workers=0", f"data.crop_px={16 * known.scale}"),
            *("train.batch_size=2", "train.lr=0.001", "train.warmup_share=0"),
        ],
    )
    return Path(img2img.train(recipe, folder / "run", device="cpu")["model"])


def tensors(path: Path) -> tuple[str, dict[str, Tensor]]:
    """The key that they lie under in a file, and they."""
    if path.suffix == ".safetensors":
        return "", load_file(path)
    state = torch.load(path, weights_only=True)
    key = next(iter(state)) if len(state) == 1 else ""
    return key, state[key] if key else state


@pytest.mark.parametrize(
    ("known", "version", "format"),
    [
        (ESRGAN, "first", "esrgan"),
        (ESRGAN, "esrgan", "esrgan"),
        (ESRGAN, "real_esrgan", "esrgan"),
        (COMPACT, "", "compact"),
        (SPAN, "", "span"),
        (DAT, "", "community"),
    ],
    ids=lambda value: value.architecture if isinstance(value, Known) else value,
)
def test_fine_tuning_keeps_the_layout_of_the_file(
    known: Known, version: str, format: str, tmp_path: Path
) -> None:
    theirs = community_file(known, tmp_path, version)
    trained = fine_tuned(theirs, known, tmp_path)
    (before_key, before) = tensors(theirs)
    export_model(trained, format, tmp_path / "back.pth")
    key, after = tensors(tmp_path / "back.pth")
    assert key == before_key
    assert {n: v.shape for n, v in after.items()} == {n: v.shape for n, v in before.items()}
    moved = [n for n, v in after.items() if v.is_floating_point() and not torch.equal(v, before[n])]
    assert len(moved) > len(after) // 3, "it has learned"
    x = torch.rand(1, 3, 20, 24)
    model = img2img.load(trained, device="cpu")
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        opened: Any = spandrel().ModelLoader("cpu").load_from_file(tmp_path / "back.pth").eval()
        pixels, ours = opened(x.clone()), model.task.decode(x, model.generator(x)).clamp(0, 1)
    assert opened.architecture.id == known.architecture
    assert (pixels.clamp(0, 1) - ours).abs().max() < 1e-4


def test_ours_is_exported_with_terms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = community_file(ESRGAN, tmp_path, "real_esrgan")
    layout = "{kind: rrdb, width: 16, blocks: 2}"
    trained = fine_tuned(theirs, ESRGAN, tmp_path, layout)  # its names and shapes are theirs
    written = tmp_path / "4x-Mine.safetensors"
    asked = ["--format", "esrgan", "--output", str(written), "--model-card", "openmodeldb"]
    assert main(["export", "--model", str(trained), *asked]) == 0
    assert "opens in chaiNNer" in capsys.readouterr().out
    assert load_file(written).keys() == torch.load(theirs, weights_only=True)["params_ema"].keys()
    facts = json.loads(written.with_suffix(".json").read_text())
    assert (facts["architecture"], facts["scale"]) == ("esrgan", 4)
    assert facts["resources"][0]["size"] == written.stat().st_size
    again = img2img.load(written, device="cpu")
    x = torch.rand(1, 3, 16, 16)
    ours = img2img.load(trained, device="cpu", precision="fp32")
    with torch.inference_mode():
        assert torch.allclose(again.generator(x), ours.generator(x), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "format", "said"),
    [
        ("denoise", "esrgan", "a restorer has no layout that other programs open"),
        ("theirs.pth", "compact", "has the layout of esrgan"),
    ],
)
def test_another_layout_is_refused(model: str, format: str, said: str, tmp_path: Path) -> None:
    theirs = community_file(ESRGAN, tmp_path, "first")
    name = theirs if model == theirs.name else model
    with pytest.raises(UserError, match=said):
        export_model(name, format, tmp_path / "a.pth")
    assert not (tmp_path / "a.pth").exists()
