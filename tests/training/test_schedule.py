"""Who trains at a step, by hand: G alone, D alone, both; d_steps; rests of D."""

from __future__ import annotations

from typing import Any

import pytest

from img2img.recipe import Recipe
from img2img.training.schedule import PhaseSchedule

G, D, BOTH, REST = (False, True, False), (True, False, False), (True, True, True), (False,) * 3
D_ONLY, G_ONLY = (True, False, True), (False, True, True)  # while both learn: G's loss has D's


def schedule(steps: int, **adversarial: Any) -> PhaseSchedule:
    fields = Recipe.load("inpaint_tiny").fields()
    fields["train"] |= {"steps": steps}
    fields["adversarial"] = {"kind": "non_saturating", **adversarial}
    return PhaseSchedule.of(Recipe.parse(fields))


@pytest.mark.parametrize(
    ("adversarial", "d_every", "expected"),
    [
        ({}, 1, [BOTH] * 8),
        ({"start_step": 3}, 1, [G] * 3 + [BOTH] * 5),
        ({"phases": [2, 1, 1]}, 1, [G] * 4 + [D] * 2 + [BOTH] * 2),  # GLCIC
        ({"d_steps": 3}, 1, [D_ONLY, D_ONLY, BOTH] * 2 + [D_ONLY] * 2),
        ({"start_step": 2, "d_steps": 2}, 1, [G] * 2 + [D_ONLY, BOTH] * 3),
        ({}, 2, [BOTH, G_ONLY] * 4),
        ({"d_steps": 2}, 4, [D_ONLY, G_ONLY, (False, False, True), G_ONLY] * 2),
        ({"phases": [2, 1, 1]}, 2, [G] * 4 + [D, REST, BOTH, G_ONLY]),
    ],
    ids=str,
)
def test_who_trains_at_each_of_eight_steps(
    adversarial: dict[str, Any], d_every: int, expected: list[tuple[bool, bool, bool]]
) -> None:
    found = schedule(8, **adversarial)
    assert [tuple(found.at(step, d_every)) for step in range(8)] == expected
    idle = [step for step in range(8) if found.at(step, d_every).idle]
    assert idle == [step for step, (d, g, _) in enumerate(expected) if not d and not g]


def test_without_a_discriminator_g_trains_to_the_end() -> None:
    recipe = Recipe.load("denoise_tiny", ["train.steps=5"])
    assert {tuple(PhaseSchedule.of(recipe).at(step)) for step in range(5)} == {G}


def test_the_kinds_own_d_steps_hold_unless_the_recipe_says_otherwise() -> None:
    assert schedule(50, kind="wasserstein").d_steps == 5
    assert schedule(50, kind="wasserstein", d_steps=2).d_steps == 2
