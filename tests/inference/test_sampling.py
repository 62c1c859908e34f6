"""Pictures from noise: a sample is its seed, walks and sums go through the seeds they name, files
hold them all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2img.data.sample import as_picture
from img2img.errors import UserError
from img2img.inference.pipeline import Model, load
from img2img.inference.sampling import (
    GenerateRequest,
    check_places,
    default_grid,
    generate,
    label_number,
    latents,
    noise_task,
    samples,
    slerp,
    write_grid,
    write_samples,
)
from img2img.pixels.images import quantise
from img2img.tasks.generate import Generate

NAMES = ("Bag", "Ankle boot", "Coat")
CLASSES = {"kind": "generate", "size_px": 28, "channels": 1, "latent": 8, "labels": 3}
CODES = {"kind": "generate", "size_px": 32, "latent": 8, "categorical": 4, "continuous": 2}
POINTS = {"kind": "points"}


@pytest.fixture
def model(noise_model: Callable[..., Path]) -> Callable[..., Model]:
    """A model with random weights for a task from noise."""
    return lambda task, names=(): load(noise_model(task, class_names=names), device="cpu")


def test_a_sample_is_its_seed_however_many_are_asked_for(model: Callable[..., Model]) -> None:
    m = model(CLASSES)
    many, _ = generate(m, GenerateRequest(count=100, seed=5))
    assert many.shape == (100, 3, 28, 28)
    assert 0 <= many.min() < many.max() <= 1
    for count in (1, 64, 65):
        assert torch.equal(generate(m, GenerateRequest(count=count, seed=5))[0], many[:count])
    assert torch.allclose(
        generate(m, GenerateRequest(count=1, seed=12))[0][0], many[7], atol=1e-6
    ), "seed 12 is number 7 of seed 5"
    assert not torch.equal(generate(m, GenerateRequest(count=3, seed=5, label="1"))[0][0], many[0])


def test_classes_come_in_turn_unless_one_is_asked_for(model: Callable[..., Model]) -> None:
    task = noise_task(model(CLASSES))
    drawn = latents(task, GenerateRequest(count=7, seed=2), None)
    assert drawn.label is not None
    assert (drawn.label.tolist(), drawn.columns) == ([2, 0, 1, 2, 0, 1, 2], 3)
    drawn = latents(task, GenerateRequest(count=3), 1)
    assert drawn.label is not None
    assert (drawn.label.tolist(), drawn.columns) == ([1, 1, 1], None)


def test_labels_go_by_number_or_name(model: Callable[..., Model]) -> None:
    assert [label_number(text, 3, NAMES) for text in ("2", "ankle BOOT", "Bag")] == [2, 1, 0]
    assert label_number("7", 2, ("7", "1")) == 0, "a name goes before a number"
    for text, message in (
        ("3", "unknown class '3'"),
        ("coart", "did you mean 'Coat'"),
        ("-1", "unknown class"),
    ):
        with pytest.raises(UserError, match=message):
            label_number(text, 3, NAMES)
    with pytest.raises(UserError, match="0 to 2"):
        label_number("5", 3)
    with pytest.raises(UserError, match="knows no classes"):
        label_number("0", 0)
    m = model(CLASSES, NAMES)
    assert torch.equal(
        generate(m, GenerateRequest(count=2, label="coat"))[0],
        generate(m, GenerateRequest(count=2, label="2"))[0],
    )


def test_a_walk_goes_from_one_sample_to_the_other_along_the_sphere(
    model: Callable[..., Model],
) -> None:
    m = model(CLASSES)
    walk, _ = generate(m, GenerateRequest(count=9, interpolate=(3, 8), label="0"))
    for place, seed in ((0, 3), (8, 8)):
        end, _ = generate(m, GenerateRequest(count=1, seed=seed, label="0"))
        assert torch.allclose(walk[place], end[0], atol=1e-5)
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    path = slerp(a, b, torch.linspace(0, 1, 3))
    assert torch.allclose(
        path, torch.tensor([[3.0, 0.0], [4.5**0.5, 4.5**0.5], [0.0, 3.0]]), atol=1e-6
    )
    assert torch.equal(slerp(a, a, torch.tensor([0.0, 0.5])), torch.stack([a, a]))


def test_a_sum_shows_its_operands_and_last_itself() -> None:
    task = Generate(size_px=28, latent=8)
    z = samples(task, range(10), None).noise
    drawn = latents(task, GenerateRequest(arithmetic=" 1,2 - 3+ 4,5,6"), None)
    a, b, c = z[1:3].mean(0), z[3], z[4:7].mean(0)
    assert torch.allclose(drawn.noise, torch.stack([a, b, c, a - b + c]), atol=1e-6)
    assert drawn.columns == 4
    assert torch.equal(latents(task, GenerateRequest(arithmetic="7"), None).noise, z[[7, 7]])


def test_codes_are_drawn_and_walked(model: Callable[..., Model]) -> None:
    m = model(CODES)
    drawn = samples(noise_task(m), range(50), None).code
    assert drawn is not None
    assert drawn[:, :4].sum(1).eq(1).all() and drawn[:, :4].sum(0).gt(0).all()
    assert drawn[:, 4:].abs().max() <= 1
    walk = latents(noise_task(m), GenerateRequest(count=20, code=1), None)
    assert walk.code is not None
    assert (walk.code.shape, walk.columns) == ((20, 6), 5)
    assert walk.noise.unique(dim=0).shape == (1, 8)
    assert walk.code[:5, 5].tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])
    assert walk.code[:, 4].eq(0).all()
    assert walk.code[5:10, :4].tolist() == [[0, 1, 0, 0]] * 5
    assert generate(m, GenerateRequest(count=20, code=0))[0].shape == (20, 3, 32, 32)
    with pytest.raises(UserError, match="2 continuous codes"):
        generate(m, GenerateRequest(code=2))
    with pytest.raises(UserError, match="no continuous codes"):
        generate(model(CLASSES), GenerateRequest(code=0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 0}, "count: 0"),
        ({"seed": -1}, "seed: "),
        ({"interpolate": (-1, 2)}, "seed: "),
        (
            {"interpolate": (1, 2), "arithmetic": "1+2"},
            "interpolate and arithmetic are different pictures: leave one out",
        ),
        ({"arithmetic": "1 - cat"}, "arithmetic: '1 - cat'"),
        ({"arithmetic": "1 +"}, "arithmetic: "),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_model_is_read(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        GenerateRequest(**fields)


def test_ten_thousand_points_are_numbers(model: Callable[..., Model], tmp_path: Path) -> None:
    m = model(POINTS)
    points, _ = generate(m, GenerateRequest(count=10_000))
    write_samples(noise_task(m), points, tmp_path / "points.npy")
    array = np.load(tmp_path / "points.npy")
    assert (array.shape, array.dtype) == ((10_000, 2), np.float32)
    assert len(np.unique(array, axis=0)) == 10_000, (
        "in full precision, whatever the model was trained in"
    )
    write_grid(noise_task(m), points, None, tmp_path / "points.png")
    with Image.open(tmp_path / "points.png") as image:
        assert image.size == (400, 400)
    with pytest.raises(UserError, match=r"NAME\.npy"):
        write_samples(noise_task(m), points, tmp_path / "folder")


def test_pictures_are_files_of_their_own_an_array_or_one_grid(
    model: Callable[..., Model], tmp_path: Path
) -> None:
    m = model(CLASSES)
    pictures, columns = generate(m, GenerateRequest(count=6))
    write_samples(noise_task(m), pictures, tmp_path / "all.npy")
    array = np.load(tmp_path / "all.npy")
    assert (array.shape, array.dtype) == ((6, 28, 28, 1), np.uint8)
    write_samples(noise_task(m), pictures, tmp_path / "all")
    assert [p.name for p in sorted((tmp_path / "all").iterdir())] == [
        f"0000{n}.png" for n in range(6)
    ]
    with Image.open(tmp_path / "all" / "00004.png") as image:
        assert np.array_equal(np.asarray(image.convert("L")), array[4, ..., 0])
    write_grid(noise_task(m), pictures, columns, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (3 * 30, 2 * 30)
        cell = np.asarray(image.convert("RGB"))[31:59, 31:59]
    assert np.array_equal(cell, quantise(as_picture(pictures[4]), np.uint8))
    color = model(CODES)
    assert noise_task(color).as_array(generate(color, GenerateRequest(count=2))[0]).shape == (
        2,
        32,
        32,
        3,
    )


def test_places_are_checked_and_the_grid_has_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for output, grid, message in (
        ("a.png", None, "grid a.png"),
        (None, "a.foo", "a.foo"),
        (None, "a", "no suffix"),
    ):
        with pytest.raises(UserError, match=message):
            check_places(output, grid)
    for output in ("folder", "a.npy", str(tmp_path)):
        check_places(output, "grid.png")
    (tmp_path / "runs" / "ring").mkdir(parents=True)
    (tmp_path / "m.safetensors").touch()
    assert default_grid(str(tmp_path / "runs" / "ring")) == tmp_path / "runs" / "ring.generate.png"
    assert default_grid(str(tmp_path / "m.safetensors")) == tmp_path / "m.generate.png"
    monkeypatch.chdir(tmp_path)
    assert default_grid("fashion_mnist") == Path("fashion_mnist.generate.png")


def test_a_model_of_photos_makes_none(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match="img2img infer"):
        generate(load(tiny_model("denoise"), device="cpu"), GenerateRequest())


def test_a_model_of_noise_takes_no_photo(model: Callable[..., Model]) -> None:
    for task in (CLASSES, POINTS):
        m = model(task)
        with pytest.raises(UserError, match="img2img generate"):
            m(np.zeros((32, 32, 3), np.uint8))
        with pytest.raises(UserError, match="img2img generate"):
            m.predict_tensor(torch.zeros(1, 3, 32, 32))
