"""Runs that are stopped, or to which something happens, at a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from img2img.data.sample import Batch
from img2img.errors import Interrupted
from img2img.recipe import Recipe
from img2img.training.trainer import Trainer


def stop_at(trainer: Trainer, step: int) -> None:
    """Have it stopped after so many steps, as Ctrl-C does."""
    after_step(trainer, step, trainer.stop)


def after_step(trainer: Trainer, step: int, happens: Callable[[], Any]) -> None:
    """Have something happen after so many steps: the last of the listeners."""
    trainer.listeners.append(lambda done, logs: happens() if done == step else None)


def before_step(trainer: Trainer, step: int, happens: Callable[[list[Batch]], Any]) -> None:
    """Have something happen to the batches of a step, counted from 0, before it is taken."""
    coming = trainer.batches

    def batches() -> Iterator[tuple[int, list[Batch]]]:
        for number, found in coming():
            if number == step:
                happens(found)
            yield number, found

    trainer.batches = batches  # type: ignore[method-assign]


def stopped_at(recipe: Recipe, out: Path, step: int, device: str = "cpu") -> None:
    """Run until `step`, then stop as Ctrl-C does."""
    trainer = Trainer(recipe, out, device=device)
    stop_at(trainer, step)
    with pytest.raises(Interrupted) as stop:
        trainer.run()
    assert stop.value.step == step
