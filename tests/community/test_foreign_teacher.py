"""Other people's files as teachers: of enlargement, and of restoration at the photo's own size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import KNOWN, saved
from PIL import Image

from img2img.errors import UserError
from img2img.modelfile import read_header
from img2img.recipe import Recipe
from img2img.training import train

TERMS = {"name": "Toy", "author": "somebody", "license": "CC-BY-4.0"}
TASKS: list[dict[str, Any]] = [{"kind": "super-resolve", "factor": 4}, {"kind": "restoration"}]


def recipe_for(task: dict[str, Any], teacher: Path, folder: Path) -> Recipe:
    return Recipe.parse(
        {
            "name": "student",
            "task": task,
            "generator": {"kind": "restorer", "widths": [8], "blocks": [1], "unshuffle": 1},
            "data": {"crop_px": 32, "path": str(folder)},
            "losses": [{"kind": "l1"}, {"kind": "l1", "against": "teacher"}],
            "train": {"steps": 2, "batch_size": 1, "teacher": str(teacher)},
        }
    )


@pytest.mark.parametrize(("known", "task"), [*zip(KNOWN[:2], TASKS, strict=True)])
def test_a_file_of_other_people_teaches_and_its_terms_are_named(
    known: Any, task: dict[str, Any], photos: list[np.ndarray], tmp_path: Path
) -> None:
    file, sides = saved(known, tmp_path), ["A", "B"] if task["kind"] == "restoration" else ["."]
    file.with_suffix(".json").write_text(json.dumps(TERMS))
    for side in sides:
        (tmp_path / "photos" / side).mkdir(parents=True)
        for index, photo in enumerate(photos[:3]):
            Image.fromarray(photo).save(tmp_path / "photos" / side / f"{index}.png")
    train(recipe_for(task, file, tmp_path / "photos"), tmp_path / "run", device="cpu")
    assert len(list((tmp_path / "run/teacher").iterdir())) == 2  # of three, one is held out
    stated = read_header(tmp_path / "run/model.safetensors").card.teacher
    assert stated.endswith("(CC-BY-4.0)"), stated


def test_damage_that_is_drawn_anew_is_not_for_a_teacher(tmp_path: Path) -> None:
    """Pairs hold one input of a photo; what is damaged by chance has many."""
    task = {"kind": "restoration", "source": "jpeg"}
    with pytest.raises(UserError, match="task 'restoration' draws its input anew"):
        recipe_for(task, tmp_path / "any.pth", tmp_path)
