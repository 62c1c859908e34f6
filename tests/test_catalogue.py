"""The catalogue: every header is read once, by nobody else, and again when its file changes."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import img2img
from img2img.cli import main
from img2img.errors import UserError
from img2img.modelfile import Card, load_generator, read_header, save_model
from img2img.zoo import catalogue as rooms
from img2img.zoo.catalogue import CATALOGUE, Catalogue


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths whose headers were read, in order, from an empty catalogue on."""
    paths: list[Path] = []

    def read(path: Path) -> object:
        paths.append(path)
        return read_header(path)

    monkeypatch.setattr(rooms, "read_header", read)
    CATALOGUE.clear()
    return paths


def test_a_header_is_read_once_however_often_a_model_is_asked_for(
    zoo: Path, reads: list[Path]
) -> None:
    first = CATALOGUE.entry("denoise")
    for again in ("denoise", zoo / "denoise.safetensors", f"{zoo}/denoise.safetensors"):
        assert CATALOGUE.entry(again).header is first.header
    CATALOGUE.shipped(), CATALOGUE.default("denoise"), CATALOGUE.defaults("super-resolve")
    assert sorted(reads) == sorted(zoo.glob("*.safetensors"))


def test_one_photo_after_another_reads_each_header_once_and_the_weights_once(
    zoo: Path, reads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    weights = img2img.modelfile.read_weights
    monkeypatch.setattr(
        "img2img.zoo.catalogue.read_weights", lambda path: opened.append(path) or weights(path)
    )
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    for name in ("a", "b"):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    photos, out = ["--input", str(tmp_path)], ["--output", str(tmp_path / "out")]
    for task in ("auto", "denoise", "auto"):
        assert main(["infer", *photos, *out, "--task", task, "--overwrite"]) == 0
    assert len(reads) == len(set(reads)) <= len(list(zoo.glob("*.safetensors")))
    assert len(opened) == len(set(opened)) > 0


def test_a_file_that_is_replaced_is_read_again_even_within_a_tick_of_the_clock(
    tiny_zoo: Path, tmp_path: Path, reads: list[Path]
) -> None:
    header, network = load_generator(tiny_zoo / "denoise.safetensors")
    path = tmp_path / "run/model.safetensors"
    for steps in (10, 20):
        save_model(path, network, header.recipe, Card(steps=steps))
        os.utime(path, ns=(1_000_000_000, 1_000_000_000))
        entry = CATALOGUE.entry(path.parent)
        assert (entry.card.steps, entry.title) == (steps, "run")
    assert reads == [path, path]


def test_what_is_no_model_is_refused_each_time_and_not_remembered(
    tiny_zoo: Path, tmp_path: Path
) -> None:
    found, path = Catalogue(), tmp_path / "broken.safetensors"
    for _ in range(2):
        with pytest.raises(UserError, match=r"No such file|is not a model file"):
            found.header(path)
    path.write_bytes(b"no model")
    with pytest.raises(UserError, match="is not a model file"):
        found.entry(path)
    path.write_bytes((tiny_zoo / "denoise.safetensors").read_bytes())
    assert found.entry(path).task.kind == "denoise"


def test_nobody_else_reads_headers() -> None:
    package = Path(img2img.__file__).parent
    apps = package.parent / "apps"
    users = {
        path.relative_to(package.parent).as_posix()
        for folder in (package, apps)
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "read_header"
    }
    assert users == {"img2img/modelfile.py", "img2img/zoo/catalogue.py"}
