"""What happens after each step: in which order, and when checkpoints are due."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from img2img.data.dataset import TrainingSet, load_photos
from img2img.recipe import Recipe
from img2img.training.batches import load_batches
from img2img.training.listeners import SaveCheckpoint
from img2img.training.trainer import Trainer

QUICK = ["train.batch_size=1", "data.crop_px=32", "data.workers=0", "data.validation_max=1"]


class Recorder:
    """In the place of what saves: notes the steps."""

    def __init__(self) -> None:
        self.now = self.saved_at = 0.0
        self.steps: list[int] = []

    def save(self, step: int) -> None:
        self.steps.append(step)
        self.saved_at = self.now


@pytest.mark.parametrize(
    ("seconds_a_step", "expected"), [(0.1, [8, 16]), (20, [4, 8, 12, 16]), (70, [*range(1, 20)])]
)
def test_checkpoints_are_due_by_steps_and_by_minutes_and_not_at_the_end(
    seconds_a_step: float, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = ["train.steps=20", "train.checkpoint_every=8", "train.checkpoint_minutes=1"]
    recorder: Any = Recorder()
    monkeypatch.setattr("img2img.training.listeners.time.monotonic", lambda: recorder.now)
    due = SaveCheckpoint(Recipe.load("denoise_tiny", every).train, recorder)
    for step in range(1, 21):
        recorder.now += seconds_a_step
        due(step, {})
    assert recorder.steps == expected


def test_listeners_hear_of_each_step_after_it_is_logged(tmp_path: Path) -> None:
    recipe = Recipe.load("denoise_tiny", [*QUICK, "train.steps=3", "train.log_every=1"])
    trainer = Trainer(recipe, tmp_path / "run", device="cpu")
    seen: list[tuple[int, float, float]] = []

    def listen(step: int, logs: Mapping[str, float]) -> None:
        assert {"images_per_second", "data_wait", "g_grad_norm"} <= logs.keys()
        (row,) = (row for row in trainer.folder.rows if row["step"] == step and "g_loss" in row)
        seen.append((step, logs["g_loss"], row["g_loss"]))

    trainer.listeners.append(listen)
    trainer.run()
    assert [step for step, _, _ in seen] == [1, 2, 3]
    assert all(heard == logged for _, heard, logged in seen)


def test_processes_share_the_samples_and_a_resumed_run_goes_on_with_the_next(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers alone say who sees what: two processes with two micro-batches of two each."""
    overrides = [f"data.path={photo_folder}", "train.batch_size=2", "train.accumulate=2"]
    recipe = Recipe.load("denoise_tiny", [*QUICK, *overrides, "train.steps=2"])
    data = load_photos(recipe.task, recipe.data, recipe.seed).train
    numbers: list[int] = []
    take = TrainingSet.__getitem__

    def noted(self: TrainingSet, number: int) -> Any:
        numbers.append(number)
        return take(self, number)

    monkeypatch.setattr(TrainingSet, "__getitem__", noted)

    def seen(rank: int, done: int) -> list[int]:
        numbers.clear()
        process: Any = SimpleNamespace(process_index=rank, num_processes=2)
        assert len(list(load_batches(recipe, data, process, done))) == 2 * (2 - done)
        return list(numbers)

    assert seen(0, 0) == [0, 1, 4, 5, 8, 9, 12, 13] and seen(1, 0) == [2, 3, 6, 7, 10, 11, 14, 15]
    assert seen(0, 1) == [8, 9, 12, 13]
