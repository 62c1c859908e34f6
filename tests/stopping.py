"""A run stopped on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from img2img.errors import Interrupted
from img2img.recipe import Recipe
from img2img.training.trainer import Trainer


def stopped_at(recipe: Recipe, out: Path, step: int) -> None:
    """Run until `step`, then stop as Ctrl-C does."""
    trainer = Trainer(recipe, out, device="cpu")
    take = trainer._one_step

    def one_step(*args: Any) -> None:
        take(*args)
        trainer.stop_wanted = trainer.done == step

    trainer._one_step = one_step  # type: ignore[method-assign]  # the test's stand-in for a finger on Ctrl-C
    with pytest.raises(Interrupted) as stop:
        trainer.run()
    assert stop.value.step == step
