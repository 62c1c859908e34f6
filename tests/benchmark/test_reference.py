"""The reference that training is compared with does the same mathematics as our step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img.benchmark.flops import count_flops
from img2img.benchmark.reference import PlainInference
from img2img.benchmark.run import RECIPE
from img2img.benchmark.sizes import QUICK
from img2img.benchmark.train_speed import first_batch, same_start, step_calls
from img2img.inference.pipeline import load
from img2img.pixels.images import Photo
from img2img.recipe import Recipe
from img2img.zoo.catalogue import CATALOGUE

LOSSES = ("d_loss", "l1", "adversarial", "g_loss")


@pytest.fixture
def recipe() -> Recipe:
    """The recipe of the benchmark in small, in fp32 and without dropout, which draws numbers."""
    exact = ["train.precision=fp32", "generator.dropout=0", "train.batch_size=4"]
    return Recipe.load(RECIPE, [*QUICK.recipe_changes, *exact])


def test_losses_and_weights_are_ours(recipe: Recipe) -> None:
    """In the first step from the same weights, and in those after it, which have seen the updates
    of both networks.
    """
    step, reference = same_start(recipe)
    ours, theirs = step_calls(step, reference, first_batch(recipe))
    before = {name: value.clone() for name, value in reference.generator.state_dict().items()}
    for number in range(3):
        logs, losses = ours(), theirs()
        for name in LOSSES:
            wanted = pytest.approx(float(logs[name]), rel=1e-5 if number == 0 else 1e-3)
            assert float(losses[name]) == wanted, (number, name)
    for name, mine in step.generator.module.state_dict().items():
        learned = reference.generator.state_dict()[name]
        if mine.is_floating_point() and not torch.equal(learned, before[name]):
            moved = (learned - before[name]).abs().mean()
            assert (learned - mine).abs().mean() < 0.05 * moved, name


def test_both_do_the_same_number_of_operations(recipe: Recipe) -> None:
    """Neither leaves out a pass through a network, or a gradient."""
    ours, theirs = step_calls(*same_start(recipe), first_batch(recipe))
    assert count_flops(ours) == count_flops(theirs) > 0


def test_the_reference_is_plain(recipe: Recipe) -> None:
    step, reference = same_start(recipe)
    _, theirs = step_calls(step, reference, first_batch(recipe))
    dtypes, strided = set[torch.dtype](), set[bool]()

    def look(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        dtypes.add(inputs[0].dtype)
        strided.add(inputs[0].is_contiguous())

    for network in (reference.generator, reference.discriminator):
        for layer in network.modules():
            layer.register_forward_pre_hook(look)
    theirs()
    assert (dtypes, strided) == ({torch.float32}, {True})


@pytest.mark.parametrize("name", ["denoise", "super_resolve_x2", "colorize", "inpaint"])
def test_plain_inference_makes_our_picture(name: str, tiny_model: Callable[[str], Path]) -> None:
    """To a level of 255, in the same precision."""
    rgb = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    hole = np.zeros(rgb.shape[:2], bool)
    hole[40:60, 50:90] = True
    model, plain = (
        load(tiny_model(name), device="cpu", precision="fp32"),
        PlainInference(CATALOGUE.entry(tiny_model(name))),
    )
    mask = hole if model.fills else None
    ours, theirs = model.run(Photo(rgb), mask).rgb, plain.run(rgb, mask)
    assert theirs.shape == ours.shape and theirs.dtype == np.uint8
    assert np.abs(ours.astype(int) - theirs).max() <= 1
