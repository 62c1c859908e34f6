"""Convolutions, normalisations and joins of a training step work on channels-last tensors, forward
and backward: in any other format they are several times slower on a CPU, or a copy follows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from img2img.data.sample import Batch
from img2img.models.blocks import channels_last as laid_out
from img2img.models.blocks import norm_layer
from img2img.recipe import Recipe
from img2img.training.methods import METHODS

CONVOLUTIONS = {"convolution", "convolution_backward"}
NORMS = {"native_batch_norm", "native_batch_norm_backward"}
WATCHED = {*CONVOLUTIONS, *NORMS, "cat"}
SMALL = ["generator.levels=5", "generator.width=4", "discriminator.width=4", "data.crop_px=64"]


class Formats(TorchDispatchMode):
    """Notes the watched operations that are called, and what they take or give that is not
    channels-last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.called: set[str] = set()
        self.others: list[tuple[str, torch.Size]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, result = func.__name__.split(".")[0], func(*args, **(kwargs or {}))
        if name in WATCHED:
            self.called.add(name)
            tensors = [x for x in tree_leaves((args, result)) if isinstance(x, Tensor)]
            pictures = [x for x in tensors if x.dim() == 4]
            self.others += [(name, x.shape) for x in pictures if not channels_last(x)]
        return result


def channels_last(x: Tensor) -> bool:
    """Dense, with the channels of a pixel next to each other."""
    return x.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def bf16() -> Iterator[Accelerator]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True, mixed_precision="bf16")
    AcceleratorState._reset_state(reset_partial_state=True)


def formats_of_a_step(recipe: Recipe, accelerator: Accelerator) -> Formats:
    """Of a step in which D and G train."""
    step = METHODS[recipe.train.method.kind].step(recipe, accelerator)
    side = recipe.data.crop_px
    condition = torch.rand(2, recipe.task.condition_channels, side, side)
    batch = Batch(condition, torch.rand(2, 3, side, side)).to(accelerator.device)
    with Formats() as formats:
        step([batch], 0)
    return formats


def test_the_mode_sees_what_is_not_channels_last() -> None:
    """A slice of the channels is neither dense nor in the order of the weights."""
    norm = torch.nn.BatchNorm2d(4)
    x = torch.rand(2, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    with Formats() as formats:
        norm(x[:, :4]).sum().backward()
    assert ("native_batch_norm", torch.Size([2, 4, 6, 6])) in formats.others
    assert formats.called == NORMS


@pytest.mark.parametrize("pictures", [1, 3])
@pytest.mark.parametrize("side", [8, 32])
def test_instance_norm_has_the_gradients_of_its_definition(pictures: int, side: int) -> None:
    """Channels-last, as in training: those of torch's own in fp64 and its default format."""
    x = torch.rand(pictures, 3, side, side)
    first, last = nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 2, 3)
    theirs = copy.deepcopy(nn.Sequential(first, nn.InstanceNorm2d(64), last)).double()
    ours = laid_out(nn.Sequential(first, norm_layer("instance", 64), last))
    given = x.to(memory_format=torch.channels_last).requires_grad_()
    defined = x.double().requires_grad_()
    with Formats() as formats:
        ours(given).square().sum().backward()
    theirs(defined).square().sum().backward()
    assert formats.called >= CONVOLUTIONS | NORMS
    assert formats.others == []
    for mine, exact in [
        (given, defined),
        *zip(ours.parameters(), theirs.parameters(), strict=True),
    ]:
        assert mine.grad is not None and exact.grad is not None
        assert torch.allclose(mine.grad.double(), exact.grad, rtol=1e-3, atol=1e-2)


def test_instance_norm_is_torchs_in_use() -> None:
    norm, x = norm_layer("instance", 64).eval(), torch.rand(2, 64, 32, 32)
    x = x.to(memory_format=torch.channels_last)
    assert torch.equal(norm(x), nn.InstanceNorm2d(64)(x))


def test_pix2pix_trains_channels_last(bf16: Accelerator) -> None:
    recipe = Recipe.load("translate_pix2pix", [*SMALL, "data.resize_px=[64, 70]"])
    formats = formats_of_a_step(recipe, bf16)
    assert formats.called == WATCHED
    assert formats.others == []
