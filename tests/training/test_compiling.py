"""`train.compile`: a trial decides, a run keeps to what it began with, and nothing here crashes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

import pytest
import torch
from safetensors.torch import load_file
from torch import _dynamo

from img2img.errors import UserError
from img2img.recipe import Recipe
from img2img.training import compiling, train
from img2img.training.compiling import Trial

FAST, SLOW = Trial(1.0, 0.5, 0.1), Trial(1.0, 0.95, 0.1)


@pytest.fixture(autouse=True)
def _as_it_is(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks are traced, and run as they are: no compiler is needed for that."""
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    _dynamo.reset()
    with _dynamo.config.patch(suppress_errors=False):
        yield


def recipe(photo_folder: Path, *changes: str) -> Recipe:
    small = ["data.crop_px=16", "data.resize_px=null", "train.batch_size=1", "train.steps=4"]
    small += ["train.schedule=constant", "generator.widths=[4, 8]", "generator.blocks=[1, 1]"]
    return Recipe.load("denoise_tiny", [f"data.path={photo_folder}", *small, *changes])


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def facts(run: Path) -> dict[str, Any]:
    newest = sorted((run / "checkpoints").glob("*.json"))[-1]
    found: dict[str, Any] = json.loads(newest.read_text())
    return found


def test_a_compiled_run_says_so_and_its_tensors_keep_their_names(
    photo_folder: Path, tmp_path: Path
) -> None:
    train(recipe(photo_folder), tmp_path / "off", device="cpu")
    train(recipe(photo_folder, "train.compile=on"), tmp_path / "on", device="cpu")
    assert facts(tmp_path / "on")["compiled"] is True
    assert "compiled" not in facts(tmp_path / "off")
    assert same(tmp_path / "on", tmp_path / "off"), "traced without a compiler: the same bits"


@pytest.mark.parametrize(("first", "then"), [(FAST, SLOW), (SLOW, FAST)])
def test_a_run_goes_on_as_it_began(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Trial, then: Trial
) -> None:
    trials = [first]
    monkeypatch.setattr(compiling, "_trial", lambda *_: trials[-1])
    auto = ["train.compile=auto"]
    train(recipe(photo_folder, *auto, "train.steps=2"), tmp_path / "run", device="cpu")
    trials.append(then)
    train(recipe(photo_folder, *auto), tmp_path / "run", device="cpu", resume=True)
    assert facts(tmp_path / "run").get("compiled", False) is (first is FAST)


def test_another_word_is_refused_when_a_run_goes_on(photo_folder: Path, tmp_path: Path) -> None:
    train(recipe(photo_folder, "train.steps=2"), tmp_path / "run", device="cpu")
    changed = recipe(photo_folder, "train.compile=on")
    with pytest.raises(UserError, match=r"train\.compile was off, and is on"):
        train(changed, tmp_path / "run", device="cpu", resume=True)


def no_compiler(*_: object, **__: object) -> Never:
    raise RuntimeError("InvalidCxxCompiler: no working C++ compiler found")


@pytest.mark.parametrize("word", ["on", "auto"])
def test_where_compiling_fails_the_run_is_plain(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, word: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.WARNING, "img2img")
    monkeypatch.setattr(compiling, "WORTH_S", 0)
    monkeypatch.setattr(torch.nn.Module, "compile", no_compiler)
    train(recipe(photo_folder, f"train.compile={word}"), tmp_path / "run", device="cpu")
    train(recipe(photo_folder), tmp_path / "off", device="cpu")
    assert "compiled" not in facts(tmp_path / "run")
    assert same(tmp_path / "run", tmp_path / "off")
    warned = [m for m in caplog.messages if m.startswith("train.compile")]
    assert len(warned) == (word == "on")
    assert all("no working C++ compiler" in message for message in warned)


def test_without_a_compiler_nothing_is_tried(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(compiling, "_trial", no_compiler)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    train(recipe(photo_folder, "train.compile=on"), tmp_path / "run", device="cpu")
    assert "train.compile: the run is not compiled (there is no C++ compiler)" in caplog.messages


def test_a_run_that_is_over_soon_is_not_worth_it(photo_folder: Path, tmp_path: Path) -> None:
    train(recipe(photo_folder, "train.compile=auto"), tmp_path / "run", device="cpu")
    assert "compiled" not in facts(tmp_path / "run")


def test_a_tenth_faster_and_repaid_pays() -> None:
    assert Trial(1.0, 0.9, 10.0).pays(steps=101)
    assert not Trial(1.0, 0.9, 10.0).pays(steps=99)
    assert not Trial(1.0, 0.92, 0.0).pays(steps=10**6)


def test_yaml_reads_on_and_off_as_truth_values() -> None:
    for word in ("on", "off", "auto"):
        assert Recipe.load("denoise_tiny", [f"train.compile={word}"]).train.compile == word
    assert Recipe.load("denoise_tiny").train.compile == "off"
