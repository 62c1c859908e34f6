"""Self-ensemble: what follows from a mean over all eight views."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import img2img
from img2img.cli import main
from img2img.errors import UserError
from img2img.evaluation import evaluate
from img2img.inference.ensemble import ensembled
from img2img.inference.options import Options
from img2img.inference.request import Request
from img2img.pixels.images import from_array
from img2img.resources import samples_dir

ENSEMBLE = Options(self_ensemble=True)


def colors(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_a_ramp_added_to_every_view_becomes_its_mean_over_the_views() -> None:
    ramp = torch.tensor([[0.0, 1.0], [2.0, 7.0]])
    made = ensembled(lambda x: x + ramp, torch.zeros(1, 1, 2, 2))
    assert torch.equal(
        made, torch.full((1, 1, 2, 2), 10 / 4)
    )  # each corner meets each number twice


def test_a_picture_that_is_not_square_comes_back_upright_and_larger() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    twice = nn.Upsample(scale_factor=2)
    assert torch.equal(ensembled(twice, x), twice(x))


@pytest.mark.parametrize(("name", "size"), [("denoise", (37, 50)), ("super_resolve_x2", (19, 30))])
def test_a_turned_photo_gives_the_turned_result(name: str, size: tuple[int, int]) -> None:
    model, photo = (
        img2img.load(name, device="cpu", precision="fp32"),
        colors(*size).astype(np.float32) / 255,
    )
    upright = model(photo, self_ensemble=True)
    for turned in (np.rot90, np.fliplr):
        again = model(np.ascontiguousarray(turned(photo)), self_ensemble=True)
        np.testing.assert_allclose(again, turned(upright), atol=1e-4)
    assert np.abs(model(photo) - upright).max() > 1e-3  # one view alone is another picture


def test_a_chain_takes_it_where_it_can() -> None:
    """The coloring model never saw turned photos: it works as ever."""
    grey = from_array(np.repeat(colors(40, 48)[..., :1], 3, 2))
    plain, mean = (
        Request(("denoise", "colorize"), options=options).resolve().plan(grey)
        for options in (Options(), ENSEMBLE)
    )
    assert not mean.skipped and not np.array_equal(mean.run(grey).rgb, plain.run(grey).rgb)
    colorize = img2img.load("colorize", device="cpu")
    assert np.array_equal(colorize(grey.rgb, self_ensemble=True), colorize(grey.rgb))


def test_what_cannot_take_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for request in (
        Request(("colorize",), options=ENSEMBLE),
        Request(model="inpaint", options=ENSEMBLE),
    ):
        with pytest.raises(
            UserError, match=r"^self_ensemble: no step's model was trained on turned photos"
        ):
            request.resolve()
    with Image.open(samples_dir() / "astronaut.jpg") as image:
        grey = from_array(
            np.asarray(image.convert("L").resize((1000, 1000), Image.Resampling.LANCZOS))
        )
    found = Request(options=ENSEMBLE).resolve().plan(grey)
    assert found.models == "colorize" and "self_ensemble left out" in found.sentence
    with pytest.raises(
        UserError, match=r"^self_ensemble: 'colorize' was not trained on turned photos"
    ):
        evaluate("colorize", tmp_path, "colorize", self_ensemble=True)
    assert main(["infer", "--input", str(tmp_path), "--task", "colorize", "--self-ensemble"]) == 2
    assert "--self-ensemble" in capsys.readouterr().err


def test_evaluation_gives_it_a_row_of_its_own(
    photo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "eval",
        "--task",
        "super-resolve",
        "--model",
        "super_resolve_x2",
        "--data",
        str(photo_folder),
    ]
    assert main([*command, "--limit", "2", "--self-ensemble", "--json", "--device", "cpu"]) == 0
    rows = {
        row["method"]: row["values"]
        for row in json.loads(capsys.readouterr().out)["rows"]
        if row.get("values")
    }
    alone, mean = rows["super_resolve_x2"], rows["super_resolve_x2, self-ensemble"]
    assert (
        alone["Y-PSNR dB"] != mean["Y-PSNR dB"] and abs(alone["Y-PSNR dB"] - mean["Y-PSNR dB"]) < 1
    )


def test_it_is_no_baseline_of_its_own_model(photo_folder: Path, tmp_path: Path) -> None:
    report = evaluate(
        "super-resolve", photo_folder, "super_resolve_x2", limit=1, device="cpu", self_ensemble=True
    )
    captions = [caption for line in report.first for caption, _ in line.panels]
    assert len(captions) == 4 and not any("self-ensemble" in caption for caption in captions)
