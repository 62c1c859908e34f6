"""What training sees of transparent pictures: of pairs, side by side, with a class, of two sides,
and of photos.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2img.data.dataset import DataConfig, load_photos
from img2img.errors import UserError
from img2img.pixels.images import decode_rgb8
from img2img.recipe import Recipe, schema
from img2img.tasks import build_task, task_kinds


def strokes() -> np.ndarray:
    """Black lines on transparent, as a drawing program leaves them: black beneath, too."""
    drawing = np.zeros((64, 64, 4), np.uint8)
    drawing[20:24, 8:56, 3] = drawing[8:56, 30:34, 3] = 255
    return drawing


def cut_out(hidden: int, color: int = 90) -> np.ndarray:
    rgba = np.full((64, 64, 4), (hidden, hidden, hidden, 0), np.uint8)
    rgba[16:48, 16:48] = (color, color, color, 255)
    return rgba


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def batch_of(folder: Path, task: Any, **data: Any) -> Any:
    config = DataConfig(path=str(folder), crop_px=64, flip=False, validation_share=0, **data)  # type: ignore[arg-type]  # a single folder
    return load_photos(build_task(task), config, 0).train[0]


@pytest.mark.parametrize(
    ("background", "paper"), [(None, 1.0), ("white", 1.0), ("black", 0.0), ("#ff0000", 1 / 3)]
)
def test_drawings_of_pairs_lie_on_white_or_what_the_recipe_says(
    tmp_path: Path, background: str | None, paper: float
) -> None:
    for index in range(2):
        save(tmp_path / f"A/{index}.png", strokes())
        save(tmp_path / f"B/{index}.png", np.full((64, 64, 3), 128, np.uint8))
    batch = batch_of(
        tmp_path, "translate", **({} if background is None else {"background": background})
    )
    assert batch.condition[0, :, 0, 0].mean() == pytest.approx(paper)
    assert batch.condition[0, :, 22, 20].mean() == 0


@pytest.mark.parametrize("background", ["bleed", "white"])
def test_pictures_side_by_side_do_not_bleed_into_each_other(
    tmp_path: Path, background: str
) -> None:
    for index in range(2):
        halves = [cut_out(index * 255, 30), cut_out(255 - index * 255, 220)]
        save(tmp_path / f"{index}.png", np.concatenate(halves, 1))
    batch = batch_of(tmp_path, "translate", background=background)
    for picture, color in ((batch.condition, 30), (batch.target, 220)):
        outside = color / 255 if background == "bleed" else 1
        assert (picture[0, :, 32, 32] * 255).round().eq(color).all()
        assert picture[0, :, :8].sub(outside).abs().max() < 1e-6


@pytest.mark.parametrize("kind", [k for k in task_kinds() if build_task(k).reads == "photo"])
def test_hidden_colors_have_no_part_in_a_photo_that_is_trained_on(
    tmp_path: Path, kind: str
) -> None:
    batches = []
    for hidden in (0, 255):
        for index in range(2):
            save(tmp_path / str(hidden) / "set" / f"{index}.png", cut_out(hidden))
        batches.append(batch_of(tmp_path / str(hidden) / "set", {"kind": kind}))
    assert batches[0].target.equal(batches[1].target)
    assert batches[0].condition.equal(batches[1].condition)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (
            {"kind": "reconstruct", "size_px": 64, "labels": 2},
            ["x/1.png", "x/2.png", "y/1.png", "y/2.png"],
        ),
        (
            {"kind": "translate", "source": "unpaired"},
            ["trainA/1.png", "trainA/2.png", "trainB/1.png", "trainB/2.png"],
        ),
        (
            {"kind": "translate", "source": "unpaired", "side_a": "grey"},
            ["1.png", "2.png", "3.png", "4.png"],
        ),
        ({"kind": "translate", "source": "edges"}, ["1.png", "2.png"]),
    ],
    ids=str,
)
def test_classes_sides_and_halves_take_the_same_way(
    tmp_path: Path, task: dict[str, Any], names: list[str]
) -> None:
    batches = []
    for hidden in (0, 255):
        for name in names:
            save(tmp_path / str(hidden) / "set" / name, cut_out(hidden))
        batches.append(batch_of(tmp_path / str(hidden) / "set", task))
    assert batches[0].target.equal(batches[1].target)
    assert batches[0].condition.equal(batches[1].condition)
    assert (batches[0].target[0, 0, 32, 32] * 255).round() == 90


def test_transparent_palettes_and_deep_files_too(tmp_path: Path) -> None:
    palette = Image.fromarray(np.where(strokes()[..., 3] > 0, 1, 0).astype(np.uint8), "P")
    palette.putpalette([255, 0, 0, 40, 40, 40])
    palette.save(tmp_path / "a.png", transparency=0)
    assert (decode_rgb8(tmp_path / "a.png") == 40).all()
    assert decode_rgb8(tmp_path / "a.png", "white")[0, 0].tolist() == [255] * 3


@pytest.mark.parametrize("bad", ["whit", "#12", "null", "3"])
def test_a_background_that_is_none_is_refused_before_anything_is_loaded(bad: str) -> None:
    with pytest.raises(
        UserError, match=r"data\.background: give auto, bleed, or a color such as white"
    ):
        Recipe.load("denoise_tiny", [f"data.background={bad}"])


def test_the_schema_tells_of_it_and_a_written_recipe_keeps_it() -> None:
    assert "bleed" in schema()["$defs"]["DataConfig"]["properties"]["background"]["description"]
    recipe = Recipe.load("denoise_tiny", ["data.background='#ffeecc'"])
    assert recipe.data.background == "#ffeecc"
    assert Recipe.parse(recipe.fields()) == recipe
