"""Models that go both ways: the way asked for, by flag and from Python; refusals before any photo
is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img.cli import main
from img2img.errors import UserError
from img2img.inference.options import Options
from img2img.inference.pipeline import load
from img2img.modelfile import Card, save_model
from img2img.models.two_way import TwoWay
from img2img.recipe import Recipe


@pytest.fixture(scope="module")
def two_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of sepia and color."""
    fields = Recipe.load("cyclegan_tiny").fields()
    fields["generator"] = {"kind": "resnet", "width": 4, "blocks": 1}
    recipe = Recipe.parse(fields)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = recipe.build_generator()
        for weights in network.parameters():
            torch.nn.init.normal_(weights, 0.0, 0.1)
    path = tmp_path_factory.mktemp("models") / "two_way.safetensors"
    save_model(path, network, recipe, Card())
    return path


@pytest.fixture
def photo(tmp_path: Path, photos: list[np.ndarray]) -> Path:
    Image.fromarray(photos[0]).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_each_direction_is_its_own_generator(two_way: Path) -> None:
    model = load(two_way, device="cpu", precision="fp32")
    assert isinstance(model.generator, TwoWay)
    x = torch.rand(1, 3, 16, 24)
    with torch.inference_mode():
        for direction, network in (("AtoB", model.generator.AtoB), ("BtoA", model.generator.BtoA)):
            expected = ((network(x) + 1) / 2).clamp(0, 1)
            torch.testing.assert_close(model.predict_tensor(x, direction=direction), expected)  # type: ignore[arg-type]
    assert torch.equal(model.predict_tensor(x), model.predict_tensor(x, direction="AtoB"))
    assert model.generator.direction == "AtoB", "asking leaves the model as it was"


def test_any_size_comes_back_at_its_size(two_way: Path) -> None:
    model = load(two_way, device="cpu", precision="fp32")
    for size in ((17, 16), (16, 33), (45, 61)):
        photo = np.random.default_rng(0).integers(0, 2**16, (*size, 3), np.uint16)
        made = model(photo, direction="BtoA")
        assert made.shape == photo.shape and made.dtype == np.uint16


def test_the_command_goes_the_way_it_is_told(two_way: Path, photo: Path, tmp_path: Path) -> None:
    made = {}
    for name, flags in {
        "none": [],
        "AtoB": ["--direction", "AtoB"],
        "BtoA": ["--direction", "BtoA"],
    }.items():
        output = tmp_path / f"{name}.png"
        assert (
            main(
                [
                    "infer",
                    "--input",
                    str(photo),
                    "--model",
                    str(two_way),
                    "--output",
                    str(output),
                    *flags,
                ]
            )
            == 0
        )
        made[name] = np.asarray(Image.open(output))
    assert np.array_equal(made["none"], made["AtoB"]) and not np.array_equal(
        made["AtoB"], made["BtoA"]
    )


@pytest.mark.parametrize(
    ("model", "flags", "message"),
    [
        ("one way", ["--direction", "AtoB"], "goes one way only: leave --direction out"),
        (
            None,
            ["--direction", "AtoB"],
            "--direction: name the model that goes both ways with --model",
        ),
        ("two way", ["--direction", "atob"], "--direction: 'atob' is none of AtoB, BtoA"),
        ("two way", ["--direction", "BtoA", "--from-photo"], "--from-photo makes side A's picture"),
    ],
)
def test_a_direction_that_cannot_be_is_one_line_and_code_2(
    model: str | None,
    flags: list[str],
    message: str,
    two_way: Path,
    photo: Path,
    tiny_model: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {"one way": tiny_model("denoise"), "two way": two_way}
    named = ["--model", str(files[model])] if model else []
    assert main(["infer", "--input", str(photo), *named, *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(photo.parent.iterdir()) == [photo]


def test_python_is_refused_the_same(tiny_model: Callable[[str], Path]) -> None:
    model = load(tiny_model("denoise"), device="cpu")
    with pytest.raises(UserError, match="goes one way only"):
        model(np.zeros((32, 32, 3), np.uint8), direction="BtoA")
    with pytest.raises(UserError, match="goes one way only"):
        model.predict_tensor(torch.zeros(1, 3, 32, 32), direction="BtoA")
    with pytest.raises(UserError, match="is none of AtoB, BtoA"):
        Options(direction="back")  # type: ignore[arg-type]  # the mistake


def test_from_photo_makes_side_a(two_way: Path) -> None:
    """A color photo, made sepia first, goes the same way as the sepia picture itself."""
    model = load(two_way, device="cpu", precision="fp32")
    photo = np.random.default_rng(0).random((24, 32, 3), np.float32)
    sepia = (
        model.task.from_photo(torch.from_numpy(photo.transpose(2, 0, 1))[None])[0]
        .permute(1, 2, 0)
        .numpy()
    )
    np.testing.assert_allclose(model(photo, from_photo=True), model(sepia), atol=1e-5)
