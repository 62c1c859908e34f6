"""One problem under every objective: which recipes are played, and what becomes of the page."""

from __future__ import annotations

import pytest

from img2img.losses.objectives import OBJECTIVES
from img2img.training.study import markdown_table, page_with, recipe_under


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("name", ["edges2clothes", "fashion_mnist"])
def test_both_problems_can_be_played_under_every_kind(name: str, kind: str) -> None:
    recipe = recipe_under(name, kind, ["train.steps=50"])
    assert recipe.adversarial is not None and recipe.discriminator is not None
    assert recipe.adversarial.kind == kind
    assert OBJECTIVES[kind].head in recipe.discriminator.heads
    assert recipe.train.steps == 50


def test_a_study_is_added_once_and_then_replaced_between_its_marks() -> None:
    first = page_with("# Page\n\nText.\n", "a", "| 1 |")
    both = page_with(first, "b", "| 2 |")
    again = page_with(both, "a", "| 3 |")
    assert first == "# Page\n\nText.\n\n<!-- study: a -->\n| 1 |\n<!-- end of study: a -->\n"
    assert "| 1 |" in both and "| 2 |" in both
    assert again == both.replace("| 1 |", "| 3 |")


def test_the_first_row_heads_the_table() -> None:
    assert markdown_table([("run", "psnr"), ("a", "1")]) == "| run | psnr |\n| --- | --- |\n| a | 1 |"
