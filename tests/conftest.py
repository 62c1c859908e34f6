"""Fixtures of all tests: small photos, cut from the shipped samples, and fixed randomness."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from forked import Forks
from PIL import Image

from img2img.modelfile import Card, save_model
from img2img.recipe import Recipe
from img2img.resources import samples_dir


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", metavar="K/N", help="every N-th test, from the K-th on; names the others"
    )


_LONG = (
    *("apps/test_page.py", "apps/test_api.py", "apps/test_community_models.py"),
    *("diagnostics/test_doctor.py", "hostile/test_models.py", "hostile/test_photos.py"),
    *("maintenance/test_faults.py", "test_recipes.py", "training/test_processes.py"),
    *("training/test_telling.py", "training/test_trainer.py"),
)
"""Files that take longest: begun first, so that at the end no process is left with one of them."""


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):  # pytest-xdist: not those of most tests first
        config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)  # after -m has chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONG))
    if wanted := config.getoption("--part"):
        part, parts = (int(number) for number in wanted.split("/"))
        chosen = sorted(items, key=lambda item: item.nodeid)[part - 1 :: parts]
        left_out = [item for item in items if item not in chosen]
        items[:] = [item for item in items if item in chosen]
        config.hook.pytest_deselected(items=left_out)
        config.stash[_LEFT_OUT] = [item.nodeid for item in left_out]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for nodeid in config.stash.get(_LEFT_OUT, []):
        terminalreporter.write_line(f"not in this part: {nodeid}")


_LEFT_OUT = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    """Two, or one where every core has a process of tests; what they start inherits it."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    threads = max(1, min(2, torch.get_num_threads() // processes))
    torch.set_num_threads(threads)  # OMP_NUM_THREADS=1 holds on a busy machine
    if processes > 1:
        os.environ["OMP_NUM_THREADS"] = str(threads)


@pytest.fixture(scope="session", autouse=True)
def _commands_declared_once() -> Iterator[None]:
    """Not by every call of `img2img.cli.main`, each of which would take 30 ms more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.main.get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test starts from the same torch seed, whatever ran before it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(autouse=True)
def _cores_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who else uses this machine is not told, so that nothing warns of it now and then; photos are
    loaded by the training itself where a recipe does not ask for other processes.
    """
    monkeypatch.setattr("img2img.cores._COUNTS", Path("/nowhere/stat"))
    monkeypatch.setattr("img2img.training.batches.usable_cores", lambda: 1)


@pytest.fixture
def accelerator() -> Iterator[Accelerator]:
    """An accelerator on the CPU, for steps that are taken by hand."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Runs programs in processes of their own that have imported everything already."""
    if not hasattr(os, "fork"):
        pytest.skip("processes are not forked here")
    forks = Forks(tmp_path_factory.mktemp("forked") / "printed")
    yield forks
    forks.close()


@pytest.fixture
def rng() -> np.random.Generator:
    """A numpy generator that is the same in every test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def photos() -> list[np.ndarray]:
    """Six real photos, (96,96,3) uint8, shrunk middle squares of shipped samples. Copy before
    writing into one.
    """
    return [_small(path) for path in sorted(samples_dir().glob("*.jpg"))[:6]]


@pytest.fixture
def photo_folder(tmp_path: Path, photos: list[np.ndarray]) -> Path:
    """A folder of six 96 px PNG files, photo_0.png to photo_5.png."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, photo in enumerate(photos):
        Image.fromarray(photo).save(folder / f"photo_{index}.png")
    return folder


_RESTORER = {"kind": "restorer", "widths": [8, 12], "blocks": [1, 1], "unshuffle": 2}
_UNET = {"kind": "unet", "width": 4, "levels": 3, "norm": "none", "dropout": 0.0}
TINY = {
    "denoise": ({"kind": "denoise"}, _RESTORER),
    "super_resolve_x2": ({"kind": "super-resolve", "factor": 2}, _RESTORER),
    "super_resolve_x4": ({"kind": "super-resolve", "factor": 4}, _RESTORER),
    "colorize": ({"kind": "colorize"}, _UNET),
    "inpaint": ({"kind": "inpaint"}, _UNET),
    "edges2clothes": ({"kind": "translate", "source": "edges"}, _UNET),
}


@pytest.fixture(scope="session")
def tiny_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of untrained models under the zoo's names; all weights are random, so that each does
    something.
    """
    folder = tmp_path_factory.mktemp("zoo")
    for name, (task, generator) in TINY.items():
        save_tiny(folder / f"{name}.safetensors", task, generator)
    return folder


@pytest.fixture
def zoo(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny_zoo` in the place of the shipped models."""
    monkeypatch.setattr("img2img.zoo.zoo_dir", lambda: tiny_zoo)
    return tiny_zoo


@pytest.fixture
def found_zoo(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny_zoo` with a model for photos as they are found besides, in the place of the shipped
    models.
    """
    folder = Path(shutil.copytree(zoo, tmp_path / "zoo"))
    save_tiny(
        folder / "denoise_real.safetensors", {"kind": "denoise", "camera_share": 0.7}, _RESTORER
    )
    monkeypatch.setattr("img2img.zoo.zoo_dir", lambda: folder)
    return folder


def save_tiny(path: Path, task: dict[str, Any], generator: dict[str, Any]) -> Path:
    """A model file with random weights."""
    recipe = Recipe.parse(
        {"name": path.stem, "task": task, "generator": generator, "data": {"crop_px": 64}}
    )
    network = recipe.generator.build(recipe.task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for weights in network.parameters():
            torch.nn.init.normal_(weights, 0.0, 0.05)
    save_model(path, network, recipe, Card(tile_overlap_px=24))
    return path


@pytest.fixture(scope="session")
def tiny_model(tiny_zoo: Path) -> Callable[[str], Path]:
    """The file of an untrained model by zoo name."""
    return lambda name: tiny_zoo / f"{name}.safetensors"


@pytest.fixture
def noise_model(tmp_path: Path) -> Callable[..., Path]:
    """Save an untrained MLP for a task from noise, as NAME.safetensors in `tmp_path`."""

    def saved(task: dict[str, Any], name: str = "made", class_names: tuple[str, ...] = ()) -> Path:
        players = {
            "generator": {"kind": "mlp"},
            "discriminator": {"kind": "mlp"},
            "adversarial": {"kind": "non_saturating"},
        }
        fields = {**players, "losses": [], "data": {"crop_px": task.get("size_px", 32)}}
        recipe = Recipe.parse({"name": name, "task": task, **fields})
        card = Card(steps=7, class_names=class_names)
        save_model(tmp_path / f"{name}.safetensors", recipe.build_generator(), recipe, card)
        return tmp_path / f"{name}.safetensors"

    return saved


def _small(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        side = min(image.size)
        left, top = ((n - side) // 2 for n in image.size)
        square = image.convert("RGB").crop((left, top, left + side, top + side))
        photo = np.asarray(square.resize((96, 96), Image.Resampling.LANCZOS))
    photo.flags.writeable = False
    return photo
