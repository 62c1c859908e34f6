"""Small photos and models whose networks predict nothing: their results are the task's trivial
baseline, exactly.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from made_photos import picture

from img2img.modelfile import Card, save_model
from img2img.pixels.images import Photo, write_photo
from img2img.recipe import Recipe

RESTORER = {"kind": "restorer", "widths": [8], "blocks": [1], "unshuffle": 2}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three photos."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        write_photo(folder / f"{seed}.png", Photo(picture(seed)))
    return folder


@pytest.fixture(scope="session")
def silent_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Save a model for a task whose network always predicts zero."""

    def save(
        task: dict,
        generator: dict = RESTORER,
        name: str = "silent",
        folder: Path | None = None,
        **fields,
    ) -> Path:
        fields = {"data": {"crop_px": 64}, **fields}
        recipe = Recipe.parse({"name": name, "task": task, "generator": generator, **fields})
        network = recipe.generator.build(recipe.task)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
        path = (folder or tmp_path_factory.mktemp("model")) / f"{name}.safetensors"
        save_model(path, network, recipe, Card(steps=7))
        return path

    return save
