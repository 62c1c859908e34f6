"""Tasks of strangers: found by name, import path and entry point, and breaking nobody."""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from task_samples import (
    pair,
)
from torch import Tensor

from img2img import tasks
from img2img.data.dataset import DataConfig
from img2img.data.sample import Batch, PhotoSample, as_tensor
from img2img.errors import UserError
from img2img.inference.steps import automatic_plan
from img2img.modelfile import Card, load_generator, save_model
from img2img.models.restorer import RestorerConfig
from img2img.pixels.color import downscale, upscale
from img2img.recipe import Recipe
from img2img.tasks import (
    AutoencoderTask,
    PhotoStatistics,
    PhotoTask,
    build_task,
    task_class,
    task_kinds,
    written_for,
)
from img2img.tasks.base import MainMetric
from img2img.tasks.forward import forward, predict_rgb
from img2img.tasks.photo import title
from img2img.testing import check_task


class Invert(PhotoTask):
    """A task as a stranger would write it: a negative in, a positive out."""

    kind: Literal["invert"] = "invert"
    haze: float = 0.0

    tiles: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        target = as_tensor(sample.photo)
        return Batch(condition=1 - target + self.haze * float(rng.random()), target=target)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return 1 - condition + prediction


PATH = f"{__name__}:Invert"


class Enlarge(PhotoTask):
    """A stranger's task that computes of its fields what others declare as class variables."""

    kind: Literal["enlarge"] = "enlarge"
    factor: int = 2
    drawn: bool = True

    scale = property(lambda self: self.factor)
    background = property(lambda self: "white" if self.drawn else "bleed")
    main_metric = property(lambda self: MainMetric("psnr_db"))
    for_found_photos = property(lambda self: self.drawn)
    picture_channels = property(lambda self: 3)

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        target = as_tensor(sample.photo)
        return Batch(condition=downscale(target, self.factor), target=target)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return upscale(condition, self.factor) + prediction


def recipe_fields(kind: str) -> dict[str, Any]:
    generator = {"kind": "restorer", "widths": [8], "blocks": [1], "unshuffle": 2}
    return {
        "name": "invert",
        "task": {"kind": kind, "haze": 0.1},
        "generator": generator,
        "data": {"crop_px": 32},
    }


@pytest.fixture
def entry_point(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`invert` as if a package had declared it in the group `img2img.tasks`."""
    point = SimpleNamespace(name="invert", value="invert:Invert", load=lambda: Invert)

    def absent() -> Any:
        return importlib.import_module("no_such_module")

    broken = SimpleNamespace(name="broken", value="no_such_module:Task", load=absent)
    no_task = SimpleNamespace(name="no-task", value="math:pi", load=lambda: math.pi)

    def installed(group: str) -> list[Any]:
        assert group == "img2img.tasks"
        return [broken, no_task, point]  # a package that cannot be used breaks its own task alone

    monkeypatch.setattr(tasks, "entry_points", installed)
    tasks.plugins.cache_clear()
    yield "invert"
    tasks.plugins.cache_clear()


def works_end_to_end(recipe: Recipe, photo: np.ndarray) -> Tensor:
    batch = pair(recipe.task, photo)
    network = recipe.generator.build(recipe.task).eval()
    rgb = predict_rgb(recipe.task, network, recipe.generator.multiple_of, batch.condition)
    assert rgb.shape == batch.target.shape
    assert torch.allclose(rgb, 1 - batch.condition), "a restorer starts at residual zero"
    return rgb


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("denois", "unknown task 'denois', did you mean 'denoise'?"),
        ({"kind": "denoise", "sigma": 3}, "task.sigma: unknown key, did you mean 'sigma_255'?"),
        ({"kind": "denoise", "sigma_255": [50, 3]}, "task.sigma_255: [50.0, 3.0] is not a range"),
        (
            {"kind": "inpaint", "hole_share": [0.1, 2]},
            "task.hole_share.1: input should be less than",
        ),
        (
            {"kind": "super-resolve", "factor": 32},
            "task.factor: input should be less than or equal to 16, got 32",
        ),
        (None, "task.kind is missing: name one of inpaint"),
        ({"sigma_255": [0, 1]}, "task.kind is missing"),
        (
            {"kind": "points", "labels": 3},
            "task: labels 3: a point's label is its Gaussian; write 0, or modes: 8",
        ),
        (["denoise"], "task.kind is missing"),
        ("no_such_module:Thing", "task.kind: cannot import 'no_such_module:Thing'"),
        ("math:pi", "task.kind: 'math:pi' is not a class derived from img2img.tasks.Task"),
    ],
)
def test_a_wrong_task_is_refused_with_field_and_fix(value: Any, message: str) -> None:
    with pytest.raises(UserError) as refused:
        build_task(value)
    assert message in str(refused.value)


def test_a_sixth_task_works_from_an_import_path(photos: list[np.ndarray]) -> None:
    recipe = Recipe.parse(recipe_fields(PATH))
    assert isinstance(recipe.task, Invert)
    works_end_to_end(recipe, photos[0])
    again = Recipe.parse(recipe.fields())
    assert again == recipe, "the run's own recipe.yaml finds the task again"


def test_a_strangers_task_may_compute_what_others_declare() -> None:
    task = Enlarge(factor=3)
    check_task(task)
    assert task.output_size((4, 6)) == (12, 18) and title(task) == "enlarge ×3"
    assert DataConfig().background_for(task) == "white" and task.for_found_photos
    assert DataConfig().background_for(Enlarge(drawn=False)) == "bleed"


def test_a_sixth_task_works_from_an_entry_point(
    entry_point: str, photos: list[np.ndarray], tmp_path: Any
) -> None:
    assert entry_point in task_kinds()
    recipe = Recipe.parse(recipe_fields(entry_point))
    made = works_end_to_end(recipe, photos[0])
    save_model(
        tmp_path / "invert.safetensors",
        RestorerConfig(**recipe_fields("")["generator"]).build(recipe.task),
        recipe,
        Card(),
    )
    header, network = load_generator(tmp_path / "invert.safetensors")
    assert header.recipe.task == recipe.task
    assert torch.equal(
        predict_rgb(header.recipe.task, network, 2, pair(recipe.task, photos[0]).condition), made
    )


@pytest.mark.usefixtures("entry_point")
def test_an_entry_point_that_is_no_task_is_left_out_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        assert "no-task" not in task_kinds()
        with pytest.raises(UserError, match="unknown task 'no-task'"):
            task_class("no-task", trusted=True)
    assert (
        caplog.text.count(
            "task 'no-task' (math:pi) is left out: TypeError: not a class derived from"
        )
        == 1
    )
    assert caplog.text.count("task 'broken' (no_such_module:Task) is left out") == 1


def test_a_model_file_may_not_choose_code_to_run(tmp_path: Any) -> None:
    recipe = Recipe.parse(recipe_fields(PATH))
    file = tmp_path / "invert.safetensors"
    save_model(file, recipe.generator.build(recipe.task), recipe, Card())
    with pytest.raises(UserError, match="a model file may not choose code"):
        load_generator(file)
    with pytest.raises(UserError, match="a model file may not choose code"):
        task_class("antigravity:Anything", trusted=False)


def test_a_broken_task_file_breaks_no_other_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "half_written.py").write_text("class (\n")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    known = set(tasks.built_in())
    assert set(tasks.built_in.__wrapped__()) == known
    assert "half_written.py is left out: SyntaxError" in caplog.text


STRANGERS = """
from typing import Literal

from img2img.data.sample import Batch, Sample, as_tensor
from img2img.tasks.base import Task
from img2img.tasks import PhotoTask


class Rotate(PhotoTask):
    kind: Literal["rotate"] = "rotate"
    degrees: float

    @classmethod
    def applies(cls, photo):
        raise RuntimeError("nobody asked me before")


class Older(Task):
    '"A task as it was written before there were families."'

    kind: Literal["older"] = "older"

    def make_pair(self, sample: Sample, rng):
        assert sample.photo is not None
        return Batch(condition=as_tensor(sample.photo), target=as_tensor(sample.photo))

    def decode(self, condition, prediction, mask=None):
        return condition + prediction

    def applies(self, photo):
        return "it is old"
"""


@pytest.fixture
def strangers(tmp_path: Path) -> dict[str, str]:
    """An environment in which a package with two tasks is installed, as pip lays it down."""
    site = tmp_path / "site"
    (site / "strangers-1.0.dist-info").mkdir(parents=True)
    (site / "strangers.py").write_text(STRANGERS)
    (site / "strangers-1.0.dist-info/METADATA").write_text("Name: strangers\nVersion: 1.0\n")
    (site / "strangers-1.0.dist-info/entry_points.txt").write_text(
        "[img2img.tasks]\nrotate = strangers:Rotate\nolder = strangers:Older\n"
    )
    paths = [str(site), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def test_a_strangers_task_with_a_required_field_breaks_nobodys_plan(
    strangers: dict[str, str], photo_folder: Path, tmp_path: Path
) -> None:
    """Nor does one that cannot be asked whether it applies; both are told once."""
    photos = [str(path) for path in sorted(photo_folder.glob("*.png"))[:2]]
    ran = subprocess.run(
        [sys.executable, "-m", "img2img", "infer", "--output", str(tmp_path / "out")]
        + [word for photo in photos for word in ("--input", photo)],
        env=strangers, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2
    for kind in ("rotate", "older"):
        assert ran.stderr.count(f"task '{kind}' is not asked whether it applies") == 1


def test_a_task_file_with_a_required_field_breaks_no_other_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scanned.py").write_text(STRANGERS)
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    tasks.built_in.cache_clear()
    try:
        assert {"rotate", "older"} <= set(tasks.photo_tasks())
        seen = PhotoStatistics(64, 64, has_mask=False, tints=2, noise_sigma_255=20)
        steps = automatic_plan(seen, None, None).steps
        assert [step.task for step in steps] == ["denoise", "super-resolve"]
        with pytest.raises(UserError, match=r"task\.degrees: is missing"):
            build_task("rotate")
        older, photo = build_task("older"), torch.rand(1, 3, 24, 32)  # before there were families
        assert isinstance(older, PhotoTask)
        assert torch.equal(forward(older, torch.zeros_like, 8, photo), photo)
    finally:
        monkeypatch.undo()
        tasks.built_in.cache_clear()


FORMER: dict[str, tuple[dict[str, Any], str]] = {
    "mask": ({"needs_mask": True}, "Task.needs_mask is gone: derive from img2img.tasks.MaskedTask"),
    "noise": ({"from_noise": True}, "Task.from_noise is gone: derive from img2img.tasks.NoiseTask"),
    "pairs": ({"reads_what": "pair"}, "Task.reads_what is gone: override the property `reads`"),
    "hints": ({"follow": lambda self, rgb, hints: rgb}, "Task.follow is gone: call it apply_hints"),
    "metrics": (
        {"metrics": lambda self, rgb, target, mask=None: {}},
        "Task.metrics takes (rgb, batch) now: the target is batch.target",
    ),
}


@pytest.mark.parametrize("said", FORMER)
def test_a_task_that_says_what_it_is_in_former_ways_is_told_the_present_one(
    said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    members, sentence = FORMER[said]
    annotations = {name: ClassVar[Any] for name in members if not callable(members[name])}
    body = {"__module__": __name__, "__annotations__": annotations, **members}
    former = type("Former", (tasks.Task,), body)
    point = SimpleNamespace(name="former", value="package:Former", load=lambda: former)
    monkeypatch.setattr(tasks, "entry_points", lambda group: [point])
    tasks.plugins.cache_clear()
    with caplog.at_level("WARNING", "img2img"):
        assert "former" not in task_kinds()
    tasks.plugins.cache_clear()
    assert f"task 'former' (package:Former) is left out: TypeError: {sentence}" in caplog.text


def test_a_method_names_the_tasks_that_it_trains_with_those_of_strangers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Squeeze(AutoencoderTask):
        kind: Literal["squeeze"] = "squeeze"

        @classmethod
        def for_fields(cls, fields: Any) -> Any:
            raise RuntimeError("a stranger's mistake")

    assert written_for("autoencoder") == ["reconstruct"]
    point = SimpleNamespace(name="squeeze", value="package:Squeeze", load=lambda: Squeeze)
    monkeypatch.setattr(tasks, "entry_points", lambda group: [point])
    tasks.plugins.cache_clear()
    try:
        assert written_for("cycle") == ["{kind: translate, source: unpaired}"]
        fields = {"name": "x", "task": "denoise", "generator": {"kind": "restorer"}}
        with pytest.raises(UserError, match=r"use task: squeeze or task: reconstruct$"):
            Recipe.parse({**fields, "train": {"method": "autoencoder"}})
    finally:
        tasks.plugins.cache_clear()
