"""Pictures from noise in the app: what is asked of `img2img generate`, what is shown, and what is
refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img.errors import UserError
from img2img.inference.sampling import GenerateRequest
from img2img_apps.model_facts import GENERATE
from img2img_apps.noise_pictures import GeneratedGrid, class_names, generate_grid, header_of
from img2img_apps.offered_models import Models
from img2img_apps.service import Service, Stopped
from img2img_apps.settings import Settings
from img2img_apps.workspace import Workspace


@pytest.fixture
def service(tmp_path: Path, zoo: Path, maker: Path) -> Iterator[Service]:
    (tmp_path / "work").mkdir()
    workspace = Workspace(tmp_path / "work")
    yield Service(Settings(models=maker.parent), workspace, Models(workspace, maker.parent))
    workspace.close()


@pytest.mark.parametrize(
    ("wanted", "flags"),
    [
        (GenerateRequest(6, 3), ["--n", "6", "--seed", "3"]),
        (GenerateRequest(5, 0, "Bag"), ["--n", "5", "--label", "Bag"]),
        (GenerateRequest(4, interpolate=(2, 9)), ["--n", "4", "--interpolate", "2", "9"]),
    ],
)
def test_grids_are_the_bytes_the_command_line_writes(
    service: Service, generate: Callable[..., bytes], wanted: GenerateRequest, flags: list[str]
) -> None:
    assert generate_grid(service, "own/clothes", wanted).grid.read_bytes() == generate(*flags)


def test_each_picture_has_a_name(service: Service) -> None:
    assert generate_grid(service, "", GenerateRequest(4, 2)).names == (
        "seed 2, Boot",
        "seed 3, Coat",
        "seed 4, Bag",
        "seed 5, Boot",
    )
    walk = generate_grid(service, "", GenerateRequest(3, label="1", interpolate=(2, 9)))
    assert walk.names[1] == "50% of the way from seed 2 to seed 9, Bag"


def test_one_by_one_shows_the_pictures_of_the_grid(service: Service) -> None:
    made = generate_grid(service, "", GenerateRequest(4))
    with Image.open(made.grid) as grid, Image.open(made.one(2)) as one:
        cell = grid.convert("L").crop(
            (18 + 1, 1, 18 + 17, 17)
        )  # the second of three columns, a line around each
        assert np.array_equal(
            np.asarray(one.resize((16, 16), Image.Resampling.NEAREST)), np.asarray(cell)
        )
    assert made.one(0) == made.one(5) == made.preview


def test_points_are_only_shown_together(service: Service, tmp_path: Path) -> None:
    made = GeneratedGrid("ring", tmp_path / "g.png", tmp_path / "s.png", ("seed 0",), 0.1, None)
    assert made.one(1) == made.preview


def test_too_many_unknown_classes_and_models_are_refused(service: Service) -> None:
    for model, wanted, said in (
        ("", GenerateRequest(145), "at most 144"),
        ("", GenerateRequest(4, label="Hat"), "unknown class 'Hat'"),
        ("denoise", GenerateRequest(4), "Models tab"),
        ("/etc/passwd", GenerateRequest(4), "Models tab"),
    ):
        with pytest.raises(UserError, match=said):
            generate_grid(service, model, wanted)


def test_the_limit_of_megapixels_holds_for_grids(service: Service) -> None:
    small = Service(Settings(max_megapixels=0.01), service.workspace, service.models)
    with pytest.raises(UserError, match=r"more than the 0\.01 allowed here: make fewer"):
        generate_grid(small, "own/clothes", GenerateRequest(40))
    assert len(generate_grid(small, "own/clothes", GenerateRequest(39)).names) == 39


def test_stop_ends_it_after_a_batch(service: Service) -> None:
    heard: list[tuple[int, int]] = []

    def report(done: int, total: int) -> None:
        heard.append((done, total))
        service.stop("me")

    with pytest.raises(Stopped):
        generate_grid(service, "", GenerateRequest(140), "me", report)
    assert heard == [(64, 140)]
    assert len(generate_grid(service, "", GenerateRequest(1)).names) == 1, (
        "the model is as good as before"
    )


def test_without_a_model_it_says_what_to_do(workspace_without: Service) -> None:
    assert workspace_without.models.of_task(GENERATE) == []
    assert class_names(header_of(workspace_without, "", None)) == []
    with pytest.raises(UserError, match="load one on the Models tab, or train one"):
        generate_grid(workspace_without, "", GenerateRequest(1))


def test_own_model_is_its_users_alone(service: Service, maker: Path) -> None:
    upload = service.workspace.new_folder() / "mine.safetensors"
    shutil.copyfile(maker, upload)
    name = service.models.add(upload, "me")
    assert generate_grid(service, name, GenerateRequest(1), "me").model == "mine"
    with pytest.raises(UserError, match="Models tab"):
        generate_grid(service, name, GenerateRequest(1), "you")


@pytest.fixture
def workspace_without(tmp_path: Path, zoo: Path) -> Iterator[Service]:
    """No model here makes anything of noise."""
    (tmp_path / "bare").mkdir()
    workspace = Workspace(tmp_path / "bare")
    yield Service(Settings(), workspace, Models(workspace))
    workspace.close()
