"""An app with small random models, as a process of its own, and a browser where there is one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2img.cli import main
from img2img.maintenance.browser import RunningApp, chromium, chromium_path, running_app
from img2img.modelfile import Card, save_model
from img2img.recipe import Recipe

Infer = Callable[..., bytes]
PATIENCE_MS = 300_000  # a crowded machine is slow; less than what ends a test that hangs


@pytest.fixture(scope="session")
def launcher(tiny_zoo: Path) -> list[str]:
    """Python's arguments that run the command line with the small models in the place of the
    shipped ones.
    """
    code = (
        "import sys; from pathlib import Path; import img2img.zoo; "
        f"img2img.zoo.zoo_dir = lambda: Path({str(tiny_zoo)!r}); "
        "from img2img.cli import main; sys.exit(main())"
    )
    return ["-c", code]


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of pictures from noise, of three named classes, in a folder `own`."""
    task = {"kind": "generate", "size_px": 16, "channels": 1, "latent": 8, "labels": 3}
    network = {"kind": "dcgan", "width": 8}
    fields = {
        "name": "clothes",
        "task": task,
        "generator": network,
        "discriminator": network,
        "losses": [],
    }
    recipe = Recipe.parse(
        fields | {"adversarial": {"kind": "non_saturating"}, "data": {"crop_px": 16}}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = recipe.build_generator()
    path = tmp_path_factory.mktemp("models") / "own" / "clothes.safetensors"
    path.parent.mkdir()
    save_model(path, generator, recipe, Card(class_names=("Coat", "Bag", "Boot")))
    return path


@pytest.fixture(scope="session")
def app(
    launcher: list[str], maker: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    """A running app that takes at most 4 megapixels and has a model of its owner's."""
    folder = tmp_path_factory.mktemp("app")
    flags = ["--max-megapixels", "4", "--data-root", str(folder), "--models", str(maker.parent)]
    with running_app(folder / "app.log", flags, launcher) as running:
        yield running


@pytest.fixture(scope="session")
def slow_app(launcher: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """An app on a machine where a tile takes a second or two: time to do something meanwhile."""
    slowed = (
        "import time; from img2img_apps.service import TileProgress; "
        "called = TileProgress.__call__; "
        "slow = lambda pieces: time.sleep(1.5 * ((pieces.totals[0] or 0) > 1)); "
        "TileProgress.__call__ = lambda self, *tile: (slow(self), called(self, *tile))[1]; "
    )
    folder = tmp_path_factory.mktemp("slow")
    with running_app(folder / "app.log", (), ["-c", slowed + launcher[1]]) as running:
        yield running


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of several tiles."""
    path = tmp_path_factory.mktemp("large") / "large.png"
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1900, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def slow_page(window: Any, slow_app: RunningApp) -> Iterator[Any]:
    """The slow app's page."""
    page = window.new_page()
    page.goto(slow_app.url)
    yield page
    page.close()


@pytest.fixture(scope="session")
def generate(maker: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """The bytes of the grid `img2img generate` makes with the model."""

    def run(*flags: str) -> bytes:
        grid = tmp_path_factory.mktemp("grid") / "grid.png"
        assert main(["generate", "--model", str(maker), "--grid", str(grid), *flags]) == 0
        return grid.read_bytes()

    return run


@pytest.fixture(scope="session")
def infer(tiny_zoo: Path) -> Infer:
    """The bytes `img2img infer` makes of a photo into an output file, with the same models."""

    def run(photo: Path, output: Path, *flags: str) -> bytes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("img2img.zoo.zoo_dir", lambda: tiny_zoo)
            assert main(["infer", "--input", str(photo), "--output", str(output), *flags]) == 0
        return output.read_bytes()

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if chromium_path() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright: pip install 'img2img[test]'")
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def window(browser: Any) -> Iterator[Any]:
    """A window for the pages of all tests, one after the other: what they share of Gradio's scripts
    is fetched once. Each page is a session of its own for the app.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address as another user: in a window that shares nothing."""
    contexts = []

    def opened(url: str, **options: Any) -> Any:
        contexts.append(context := browser.new_context(accept_downloads=True, **options))
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def page(window: Any, app: RunningApp) -> Iterator[Any]:
    """The app's page; a request to any other place fails the test."""
    outside: list[str] = []
    page = window.new_page()
    page.on(
        "request",
        lambda r: None if r.url.startswith((app.url, "data:", "blob:")) else outside.append(r.url),
    )
    page.goto(app.url)
    yield page
    page.close()
    assert not outside, f"the page asked for {outside}"
