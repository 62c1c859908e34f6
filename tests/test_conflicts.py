"""A part of a recipe is asked for conflicts by itself, in a context of plain facts."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import pytest

from img2img.config import FrozenConfig
from img2img.conflicts import Conflict, RecipeContext, TaskFacts
from img2img.losses.reconstruction import PixelLoss
from img2img.models.patchgan import PatchGanConfig
from img2img.models.unet import UNetConfig
from img2img.recipe import Recipe
from img2img.resources import recipes_dir
from img2img.tasks import Task


@pytest.fixture
def context() -> RecipeContext:
    return RecipeContext.of(Recipe.load("translate_tiny"))


def test_all_that_speaks_against_a_part_is_listed(context: RecipeContext) -> None:
    assert context.adversarial is not None
    penalised = replace(context.adversarial, penalised=True, information=1.0)
    small = replace(context, discriminator_px=16, adversarial=penalised)
    fields = [conflict.at("discriminator").field for conflict in PatchGanConfig().conflicts(small)]
    assert fields == ["data.crop_px", "discriminator.norm", "adversarial.information"]
    assert not [*PatchGanConfig().conflicts(context)]


def test_a_conflict_names_the_changes_that_may_help(context: RecipeContext) -> None:
    (conflict,) = UNetConfig(levels=5).conflicts(replace(context, crop_px=80))
    assert str(conflict) == "data.crop_px is 80: generator 'unet' needs a multiple of 32"
    assert conflict.tries == ("generator.levels=4", "data.crop_px=64", "data.crop_px=96")


def test_a_field_of_its_own_gets_the_place_of_the_part(context: RecipeContext) -> None:
    (conflict,) = PixelLoss(kind="l1", region="hole").conflicts(context)
    assert conflict.field == ".region"
    sentence = "losses.2.region 'hole' needs a mask, and the task has none"
    assert str(conflict.at("losses.2")) == sentence
    assert Conflict("data.crop_px", "is 3").at("generator").field == "data.crop_px"


class Infill(Task):
    """Of a family of its own: it knows nothing of PhotoTask or MaskedTask."""

    kind: Literal["infill"] = "infill"

    condition_is_noise: ClassVar[bool] = False
    fills: ClassVar[bool] = True


class Sound(Task):
    """Likewise, from noise; 32 px high and wide, as a spectrogram."""

    kind: Literal["sound"] = "sound"

    condition_is_noise: ClassVar[bool] = True

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return (32, 32)


def refused(task: Task, part: FrozenConfig, like: str) -> list[str]:
    """Problems of a part in a recipe with another task."""
    recipe = Recipe.load(like)
    context = replace(RecipeContext.of(recipe), task=TaskFacts.of(task))
    return [conflict.problem for conflict in part.conflicts(context)]


def test_a_strangers_family_is_asked_for_what_it_can_do() -> None:
    """A mask, noise: whichever class says that it has them, and no other."""
    hole = PixelLoss(kind="l1", region="hole")
    assert not refused(Infill(), hole, "translate_tiny")
    assert refused(Sound(), hole, "translate_tiny")
    adversarial = Recipe.load("translate_tiny").adversarial
    assert adversarial is not None
    sees_mask = adversarial.model_copy(update={"sees": ("mask", "condition")})
    assert not refused(Infill(), sees_mask, "translate_tiny")
    assert [problem.split(",")[0] for problem in refused(Sound(), sees_mask, "translate_tiny")] == [
        "'mask'",
        "'condition'",
    ]
    dcgan = Recipe.load("dcgan").generator
    assert not refused(Sound(), dcgan, "dcgan") and refused(Infill(), dcgan, "dcgan")
    assert refused(Sound(), UNetConfig(levels=5), "translate_tiny")
    assert not refused(Infill(), UNetConfig(levels=5), "translate_tiny")


@pytest.mark.parametrize("name", sorted(path.stem for path in recipes_dir().glob("*.yaml")))
def test_no_part_of_a_shipped_recipe_has_a_conflict(name: str) -> None:
    assert not [*Recipe.load(name).conflicts()]
