"""Adam for channels-last weights is Adam, and its kernel has nothing to copy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from img2img.models.blocks import channels_last
from img2img.training.adam import DenseAdam

FORMATS = (torch.channels_last, torch.contiguous_format)


def trained(optimizer: type[Adam], gradients: torch.memory_format, fused: bool) -> list[Tensor]:
    """Weights and moments after a few steps, with gradients in a memory format."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Conv2d(8, 1, 3), nn.Conv2d(1, 5, 1))
    weights = list(channels_last(layers).parameters())
    taken = optimizer(weights, lr=0.1, betas=(0.5, 0.999), fused=fused)
    for _ in range(3):
        for p in weights:
            drawn = torch.randn(p.shape)
            p.grad = drawn.to(memory_format=gradients) if p.dim() == 4 else drawn
        taken.step()
    moments = [taken.state[p][name] for p in weights for name in ("exp_avg", "exp_avg_sq")]
    assert all(p.stride() == m.stride() for p, m in zip(weights, moments[::2], strict=True))
    return [p.detach() for p in weights] + moments


@pytest.mark.parametrize("gradients", FORMATS)
@pytest.mark.parametrize("fused", [False, True])
def test_it_is_adam_bit_for_bit(gradients: torch.memory_format, fused: bool) -> None:
    ours, theirs = (trained(each, gradients, fused) for each in (DenseAdam, Adam))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


class Kernel(TorchDispatchMode):
    """Keeps what the fused kernel is given."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.__name__.startswith("_fused_adam_"):
            self.given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        return func(*args, **(kwargs or {}))


def test_the_kernel_is_given_contiguous_tensors_alone() -> None:
    for optimizer, contiguous in ((DenseAdam, True), (Adam, False)):
        with Kernel() as kernel:
            trained(optimizer, torch.channels_last, fused=True)
        assert len(kernel.given) == 5 * 6, "weights, gradients, two moments and a count of steps"
        assert all(x.is_contiguous() for x in kernel.given) is contiguous
