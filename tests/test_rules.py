"""A part of a recipe is asked for conflicts by itself, in a context of plain facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from img2img.losses.reconstruction import PixelLoss
from img2img.models.patchgan import PatchGanConfig
from img2img.models.unet import UNetConfig
from img2img.recipe import Recipe
from img2img.resources import recipes_dir
from img2img.rules import Conflict, RecipeContext


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


@pytest.mark.parametrize("name", sorted(path.stem for path in recipes_dir().glob("*.yaml")))
def test_no_part_of_a_shipped_recipe_has_a_conflict(name: str) -> None:
    assert not [*Recipe.load(name).conflicts()]
