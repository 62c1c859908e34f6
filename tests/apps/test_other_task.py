"""Tasks of another package, found by their entry points: a tab and an endpoint each, built from
what their classes say.
"""

from __future__ import annotations

import importlib
import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from img2img import tasks
from img2img.cli import in_flags, main
from img2img.errors import UserError, rendered
from img2img.maintenance.browser import RunningApp, running_app
from img2img.maintenance.client import answered, called, uploaded
from img2img.maintenance.screenshots import open_tab
from img2img.modelfile import Card, save_model
from img2img.recipe import Recipe
from img2img.resources import inputs_dir
from img2img.zoo.catalogue import CATALOGUE
from img2img_apps.labels import OWN_TABS
from img2img_apps.offered_models import Models
from img2img_apps.other_tasks import OtherTask, other_tasks
from img2img_apps.service import escaped
from img2img_apps.workspace import Workspace

PHOTO, OBJECT = inputs_dir() / "small.jpg", inputs_dir() / "object.jpg"
MASK = inputs_dir() / "object_mask.png"
MODULE = '''
from typing import ClassVar, Literal

import torch
from img2img.data.sample import Batch, as_tensor
from img2img.tasks import MaskedTask, PhotoTask


class Invert(PhotoTask):
    """A negative in, a positive out.

    This paragraph is for programmers.
    """

    kind: Literal["old-negative"] = "old-negative"
    tiles: ClassVar[bool] = True
    verb: ClassVar[str] = "invert"

    def make_pair(self, sample, rng):
        target = as_tensor(sample.photo)
        return Batch(condition=1 - target, target=target)

    def decode(self, condition, prediction):
        return 1 - condition + prediction


class Whiten(MaskedTask):
    kind: Literal["whiten"] = "whiten"
    verb: ClassVar[str] = "whiten the masked part"

    @property
    def condition_channels(self):
        return 4

    def prepare(self, photo, mask=None):
        known = torch.zeros_like(photo[:, :1]) if mask is None else mask
        return torch.cat([photo * (1 - known), known], 1)

    def make_pair(self, sample, rng):
        target = as_tensor(sample.photo)
        return Batch(condition=self.prepare(target), target=target)

    def decode(self, condition, prediction):
        return torch.ones_like(prediction) + 0 * prediction
'''
POINTS = "[img2img.tasks]\nold-negative = strange_tasks:Invert\nwhiten = strange_tasks:Whiten\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an installed package of two tasks, which this process finds as well."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "strange_tasks.py").write_text(MODULE)
    installed = folder / "strange_tasks-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: strange-tasks\nVersion: 1.0\n"
    )
    (installed / "entry_points.txt").write_text(POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        tasks.plugins.cache_clear()
        yield folder
    tasks.plugins.cache_clear()


@pytest.fixture(scope="module")
def models(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of each."""
    folder = tmp_path_factory.mktemp("brought") / "own"
    folder.mkdir()
    network = {"kind": "restorer", "widths": [8], "blocks": [1], "unshuffle": 2}
    for kind in ("old-negative", "whiten"):
        fields = {"name": kind, "task": kind, "generator": network, "data": {"crop_px": 32}}
        recipe = Recipe.parse(fields)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            save_model(folder / f"{kind}.safetensors", recipe.build_generator(), recipe, Card())
    return folder


@pytest.fixture(scope="module")
def app(
    launcher: list[str], package: Path, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    """The app where the package is installed."""
    log = tmp_path_factory.mktemp("app") / "app.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
        )
        with running_app(log, ["--models", str(models)], launcher) as running:
            yield running


@pytest.fixture
def infer(models: Path, tmp_path: Path) -> Callable[..., bytes]:
    """The bytes `img2img infer` makes of a photo with a model of the package."""

    def run(photo: Path, kind: str, suffix: str, *flags: str) -> bytes:
        output = tmp_path / f"expected{suffix}"
        model = str(models / f"{kind}.safetensors")
        command = ["infer", "--input", str(photo), "--output", str(output), "--model", model]
        assert main([*command, *flags]) == 0
        return output.read_bytes()

    return run


def test_words_come_from_the_class(package: Path, tmp_path: Path) -> None:
    found = other_tasks(Models(Workspace(tmp_path)))
    assert [other.kind for other in found] == ["old-negative", "whiten"]
    negative, whiten = found
    assert (negative.title, negative.verb) == ("Old negative", "Invert")
    assert negative.lead == "A negative in, a positive out."
    assert whiten.lead == "Whiten the masked part.", "without a docstring of its own"
    assert whiten.task.fills and not negative.task.fills


def test_each_option_is_offered_by_the_tasks_that_have_it(package: Path) -> None:
    always = ["strength", "seed", "model"]
    found = {kind: OtherTask(kind, task).options for kind, task in tasks.photo_tasks().items()}
    assert found["old-negative"] == found["denoise"] == always
    assert found["whiten"] == [*always, "mask"]
    assert found["translate"] == [*always, "direction", "from_photo"], "a model of it may"


def test_a_task_without_a_model_says_how_to_get_one(package: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        Models(Workspace(tmp_path)).chosen("", "whiten")
    assert escaped(str(caught.value)) == (
        "no model for Whiten is here: load one on the Models tab, or train one"
    )
    with pytest.raises(UserError) as caught:
        CATALOGUE.default("whiten")
    assert str(caught.value) == (
        "no model for whiten is shipped: train one with img2img train RECIPE, or name a model file "
        "or run with model"
    )
    assert rendered(str(caught.value), in_flags).endswith("or run with --model")


def test_a_built_in_task_has_one_tab(tmp_path: Path) -> None:
    """A tab of its own, or this one as soon as a model for it is brought along."""
    assert set(OWN_TABS) <= set(tasks.photo_tasks())
    assert not [
        other for other in other_tasks(Models(Workspace(tmp_path))) if other.kind in OWN_TABS
    ]


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_an_endpoint_makes_the_bytes_the_command_line_makes(
    app: RunningApp, infer: Callable[..., bytes], strength: float
) -> None:
    values = [strength, 0, ""]
    name, content, facts = called(app.url, "old-negative", PHOTO, *values)
    assert content == infer(PHOTO, "old-negative", Path(name).suffix, "--strength", str(strength))
    assert facts["task"] == "old-negative"


def test_an_endpoint_takes_a_mask(app: RunningApp, infer: Callable[..., bytes]) -> None:
    name, content, _ = called(app.url, "whiten", OBJECT, 1.0, 0, "own/whiten", MASK)
    assert content == infer(OBJECT, "whiten", Path(name).suffix, "--mask", str(MASK))


def test_an_endpoint_says_what_is_amiss(app: RunningApp) -> None:
    photo = uploaded(app.url, PHOTO)
    none = answered(app.url, "old-negative", [photo, 1.0, 0, "no/such"])
    assert "event: error" in none and "load it again on the Models tab" in none
    more = answered(app.url, "old-negative", [photo, 1.0, 0, "own/old-negative", *[None] * 5])
    assert "give 4 values (photo, strength, seed, model), not 9" in more
    unmarked = answered(app.url, "whiten", [photo, 1.0, 0, "", None])
    assert "nothing is marked: give a mask, white over what should go" in unmarked
    assert "extend" not in unmarked and "task" not in unmarked, "it has none"


def test_endpoints_are_described_by_their_tasks(app: RunningApp) -> None:
    with urllib.request.urlopen(f"{app.url}gradio_api/info") as answer:
        known = json.load(answer)["named_endpoints"]
    described = known["/old-negative"]
    assert described["description"].startswith("A negative in, a positive out.")
    for kind, own in (("old-negative", []), ("whiten", ["mask"])):
        given = known[f"/{kind}"]["parameters"]
        names = [parameter["parameter_name"] for parameter in given]
        later = ["strength_mask", "format", "quality", "metadata"]
        expected = ["photo", "strength", "seed", "model", *own, *later]
        assert names == expected, "none that it does not have"
        needed = [p["parameter_name"] for p in given if not p["parameter_has_default"]]
        assert needed == ["photo"], "a call with the photo alone is answered"
    assert "mask" not in described["description"] and "mask" in known["/whiten"]["description"]
    assert set(known) > {"/denoise", "/whiten"}


def test_a_tab_makes_the_bytes_the_command_line_makes(
    open_page: Callable[..., Any], app: RunningApp, infer: Callable[..., bytes], tmp_path: Path
) -> None:
    page = open_page(app.url)
    open_tab(page, "Old negative")
    page.get_by_text("A negative in, a positive out.").wait_for()
    assert page.locator("#old-negative-mask").count() == 0, "only a task that fills asks for one"
    page.locator("#old-negative-photos input[type=file]").set_input_files(PHOTO)
    page.locator("#old-negative-status", has_text=PHOTO.name).wait_for()
    page.locator("#old-negative-run", has_text="Invert").click()
    page.locator("#old-negative-status .good").wait_for()
    with page.expect_download() as download:
        page.locator("#old-negative-download").click()
    made = tmp_path / download.value.suggested_filename
    download.value.save_as(made)
    assert made.read_bytes() == infer(PHOTO, "old-negative", made.suffix)
    open_tab(page, "Whiten")
    page.locator("#whiten-mask").wait_for()
