"""Training steps read like their papers: short, in order, and no base class calls them back."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

from img2img.training.methods import METHODS
from img2img.training.step import TrainingStep

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
