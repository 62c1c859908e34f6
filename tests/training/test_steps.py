"""Training steps read like their papers: short, in order, and no base class calls them back; and
they do not wait for numbers that are only logged.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from img2img.recipe import Recipe
from img2img.training.methods import METHODS
from img2img.training.step import TrainingStep
from img2img.training.trainer import Trainer

STEPS = sorted({method.step for method in METHODS.values()}, key=lambda step: step.__name__)


def tree(owner: type) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(owner)))


def methods(owner: type) -> set[str]:
    return {node.name for node in ast.walk(tree(owner)) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_fits_on_a_screen(step: type[TrainingStep]) -> None:
    assert len(inspect.getsource(step).splitlines()) <= 70


@pytest.mark.parametrize("step", STEPS)
def test_a_step_overrides_nothing_that_all_steps_share(step: type[TrainingStep]) -> None:
    """Helpers are called by the algorithm; there are no hooks that a base class would fill in."""
    assert step.__mro__[1] is TrainingStep
    assert methods(step) & methods(TrainingStep) == {"__call__"}


def test_the_shared_part_calls_no_step() -> None:
    own = set().union(*(methods(step) for step in STEPS)) - {"__call__"}
    called = {node.attr for node in ast.walk(tree(TrainingStep)) if isinstance(node, ast.Attribute)}
    assert not own & called


class Reads(TorchDispatchMode):
    """Counts the numbers that are read from tensors: each waits for the device."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["translate_tiny", "denoise_tiny", "cyclegan_tiny", "vae_tiny"])
def test_a_step_reads_nothing_but_whether_its_updates_are_finite(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe.load(
        name, ["train.steps=6", "train.log_every=6", "train.ema_halflife_images=0"]
    )
    trainer = Trainer(recipe, tmp_path / "run", device="cpu")
    lists: list[int] = []  # `tolist` of a tensor on a CPU reads without an operation
    tolist = Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda x: (lists.append(x.numel()), tolist(x))[1])
    with closing(trainer.folder):
        for step, batches in islice(trainer.batches(), 3):
            lists.clear()
            with Reads() as reads:
                logs = trainer.step(batches, step)
                trainer.saver.averages.add(logs)
            updates = 1 + len(trainer.step.discriminators)
            assert reads.count == 0 and lists == [2] * updates
    assert trainer.saver.averages.take()[0]["g_loss"] > 0
