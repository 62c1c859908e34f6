"""How many processes load the data, chosen by the machine or by the recipe; and that they do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from forked import Forks

from img2img.recipe import Recipe
from img2img.training import batches
from img2img.training.batches import is_of_loader, load_batches, loader_workers
from img2img.training.checkpoint import latest_checkpoint


def chosen(
    monkeypatch: pytest.MonkeyPatch, device: str, cores: int, threads: int, *changes: str,
    recipe: str = "denoise_tiny",
) -> int:  # fmt: skip
    monkeypatch.setattr(batches, "usable_cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    accelerator: Any = SimpleNamespace(device=torch.device(device))
    return loader_workers(Recipe.load(recipe, changes), accelerator)


@pytest.mark.parametrize(
    ("device", "cores", "threads", "workers"),
    [
        ("cpu", 1, 1, 0), ("cpu", 2, 2, 0), ("cpu", 2, 1, 1), ("cpu", 4, 4, 0), ("cpu", 4, 2, 2),
        ("cpu", 8, 8, 1), ("cpu", 16, 8, 8), ("cpu", 64, 64, 8), ("cpu", 2, 8, 0),
        ("cuda", 1, 1, 0), ("cuda", 4, 4, 3), ("cuda", 64, 32, 8), ("mps", 8, 8, 7),
    ],
)  # fmt: skip
def test_loaders_get_the_cores_that_are_left(
    monkeypatch: pytest.MonkeyPatch, device: str, cores: int, threads: int, workers: int
) -> None:
    assert chosen(monkeypatch, device, cores, threads) == workers


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert chosen(monkeypatch, "cuda", 16, 16) == 3


def test_a_number_in_the_recipe_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, "cpu", 1, 1, "data.workers=3") == 3
    assert chosen(monkeypatch, "cuda", 64, 1, "data.workers=0") == 0


def test_what_is_drawn_needs_no_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, "cuda", 64, 1, "data.workers=auto", recipe="ring") == 0


@pytest.mark.parametrize("word", ["auto", "null"])
def test_auto_can_be_written(word: str) -> None:
    assert Recipe.load("denoise_tiny", [f"data.workers={word}"]).data.workers is None
    assert Recipe.load("denoise_tiny").data.workers is None


TRAINED_AFTER_THREADS = """
import sys
import cv2, numpy
import img2img

cv2.setNumThreads(2)
cv2.GaussianBlur(numpy.zeros((2048, 2048, 3), numpy.uint8), (0, 0), 3)
changes = ["train.steps=2", "data.workers=2", f"data.path={sys.argv[1]}"]
img2img.train(img2img.Recipe.load("denoise_tiny", changes), sys.argv[2], device="cpu")
"""


def test_loaders_work_after_opencv_has_used_its_threads(
    forks: Forks, photo_folder: Path, tmp_path: Path
) -> None:
    """A forked process does not have them."""
    ended = forks(TRAINED_AFTER_THREADS, photo_folder, tmp_path / "run")
    assert ended.code == 0, ended.err
    assert (tmp_path / "run/model.safetensors").is_file()


FAILING_LOADER = """
import os, signal, sys
from pathlib import Path
from torch.utils.data import get_worker_info
import img2img.cli
from img2img.data.dataset import TrainingSet

fault, photos, run = sys.argv[1:4]
collate = TrainingSet.collate


def failing(self, samples):
    if not get_worker_info() or not list(Path(run).glob("checkpoints/*.json")):
        return collate(self, samples)
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return lambda: "cannot be pickled"


TrainingSet.collate = failing
recipe = ["denoise_tiny", "train.steps=100000", "train.checkpoint_every=2", "data.workers=1"]
arguments = ["train", *recipe, f"data.path={photos}", "--out", run, "--device", "cpu"]
sys.exit(img2img.cli.main(arguments))
"""


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset by peer"), EOFError()])
def test_a_connection_that_a_loader_cuts_is_no_fault_of_the_disk(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def handing_over(*_: Any, **__: Any) -> Iterator[Any]:
        yield "a batch"
        raise error

    monkeypatch.setattr(batches, "DataLoader", handing_over)
    data: Any = SimpleNamespace(collate=None)
    accelerator: Any = SimpleNamespace(num_processes=1, process_index=0)
    coming = load_batches(Recipe.load("denoise_tiny", ["data.workers=1"]), data, accelerator, 0)
    assert next(coming) == "a batch"
    with pytest.raises(RuntimeError) as raised:
        next(coming)
    assert is_of_loader(raised.value) and raised.value.__cause__ is error


@pytest.mark.skipif(sys.platform != "linux", reason="the loader is forked with the fault in it")
@pytest.mark.parametrize("fault", ["killed", "cannot be sent"])
def test_a_loader_that_ends_leaves_what_is_saved_and_says_what_helps(
    forks: Forks, photo_folder: Path, tmp_path: Path, fault: str
) -> None:
    run = tmp_path / "run"
    done = forks(FAILING_LOADER, fault, photo_folder, run)
    (error,) = (line for line in done.err.splitlines() if line.startswith("error:"))
    saved = latest_checkpoint(run / "checkpoints")
    assert done.code == 1 and saved is not None
    kept = f"the checkpoint of step {saved.facts['step']} is kept"
    for words in ("loads photos ended", kept, "data.workers=0", "go on with --resume"):
        assert words in error
    assert "Traceback" not in done.err
