"""A line for each recipe: share of the ceiling and what takes the time, or why there is none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from img2img.benchmark.ceiling import Ceiling, Rate
from img2img.benchmark.timing import Effort, Timing
from img2img.maintenance.recipe_speed import KINDS, measure_recipe, rows, shares_of
from img2img.recipe import Recipe

ONCE = Effort(warmup=0, repeats=1)
CEILING = Ceiling(
    tuple(Rate("convolution training", p, "", 10**9, Timing((1.0,))) for p in ("fp32", "bf16"))
)


def test_a_recipe_has_a_line_and_one_that_cannot_be_measured_says_why() -> None:
    ring, unknown = rows(["ring", "rung"], ONCE, CEILING)
    assert ring[:2] == ("ring", ring[1]) and ring[1].startswith("batch 256, ")
    assert ring[3].endswith("of the ceiling") and "Python" in ring[4] and "data" in ring[4]
    assert unknown[0] == "rung" and unknown[1].startswith("left out: ")


def test_a_step_of_several_micro_batches_draws_as_many() -> None:
    speed = measure_recipe(Recipe.load("ring", ["train.accumulate=3"]), ONCE)
    assert speed.data == pytest.approx(3 * speed.batch.median_s / speed.step.median_s)
    assert sum(speed.shares.values()) == pytest.approx(1)


def test_operators_are_parted_by_what_they_do() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    adam = torch.optim.Adam(layers.parameters(), fused=True)

    def call() -> None:
        layers(torch.rand(2, 3, 8, 8)).clone().sum().backward()
        adam.step()

    shares = shares_of(call)
    assert set(shares) == {*KINDS, "Python"}
    assert all(0 <= share <= 1 for share in shares.values())
