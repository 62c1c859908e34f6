"""A module with its optimizer: accumulation, freezing, the average of the weights, all by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from img2img.recipe import OptimizerChoice
from img2img.training.optimized import Ema, Logs, OptimizedModule, frozen

RATE = OptimizerChoice("adam", 0.1, (0.9, 0.999))


class Line(nn.Module):
    """y = w·x."""

    def __init__(self, w: float = 2.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


class Called(TorchDispatchMode):
    """Notes the operations that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(func.__name__.split(".")[0])
        return func(*args, **(kwargs or {}))


def gradient(batches: list[list[float]], accelerator: Accelerator) -> float:
    """Of the mean over each batch of (w·x)², over the micro-batches of one update."""
    optimized, seen = OptimizedModule(Line(), RATE, accelerator), []
    for batch in batches:
        loss = optimized.module(torch.tensor(batch)).square().mean()
        optimized.backward(loss, len(batches))
    take = optimized.optimizer.step

    def step() -> None:
        seen.append(float(optimized.module.get_parameter("w").grad))  # type: ignore[arg-type]  # set by backward
        take()

    optimized.optimizer.step = step  # type: ignore[method-assign]
    assert optimized.update() == pytest.approx(seen[0])
    return seen[0]


def test_micro_batches_have_the_gradient_of_the_whole_batch(accelerator: Accelerator) -> None:
    whole = gradient([[1.0, 2.0, 3.0, 4.0]], accelerator)
    assert whole == pytest.approx(2 * 2 * 30 / 4)
    assert gradient([[1.0, 2.0], [3.0, 4.0]], accelerator) == pytest.approx(whole)


def test_an_update_begins_the_next_step_without_gradients(accelerator: Accelerator) -> None:
    optimized = OptimizedModule(Line(), RATE, accelerator)
    optimized.backward(optimized.module(torch.tensor(1.0)))
    optimized.update()
    assert optimized.module.get_parameter("w").grad is None


def test_shares_of_micro_batches_add_up() -> None:
    logs = Logs()
    logs.add({"l1": 0.25, "g_loss": 1.0})
    logs.add({"l1": 0.5})
    assert logs == {"l1": 0.75, "g_loss": 1.0}


def test_a_frozen_module_passes_gradients_on_and_collects_none() -> None:
    network, fixed = Line(), Line()
    fixed.requires_grad_(False)
    x = torch.tensor(3.0, requires_grad=True)
    with frozen(network, fixed):
        y = fixed(network(x))
    y.backward()
    assert float(x.grad) == 4.0 and network.w.grad is None  # type: ignore[arg-type]  # set by backward
    assert network.w.requires_grad and not fixed.w.requires_grad, "all is as it was"


def test_it_is_thawed_when_something_fails_in_between() -> None:
    network = Line()
    with pytest.raises(ZeroDivisionError), frozen(network):
        1 / 0  # noqa: B018
    assert network.w.requires_grad


def test_the_average_ramps_up_as_tensorflows_does_and_then_halves_its_memory_each_halflife() -> (
    None
):
    """min(½^(images / half-life), (1 + n) / (10 + n)): 1/10 is kept at first, then 2/11, 3/12, …"""
    ema, source = Ema(Line(0.0), halflife_images=20, images_per_update=10), Line(1.0)
    source.seen.fill_(7.0)
    kept = 1.0
    for number in range(40):
        ema.update(source, number)
        kept *= min(0.5**0.5, (1 + number) / (10 + number))
        assert float(ema.module.get_parameter("w")) == pytest.approx(1 - kept, rel=1e-5)
    assert ema.module.get_buffer("seen").tolist() == [7.0], "buffers are copied"


def test_without_a_halflife_the_average_is_the_weights_of_now() -> None:
    ema = Ema(Line(0.0), halflife_images=0, images_per_update=10)
    ema.update(Line(1.0), 5)
    assert float(ema.module.get_parameter("w")) == 1.0


def test_without_a_halflife_weights_are_copied_when_they_are_asked_for() -> None:
    ema, source = Ema(Line(0.0), halflife_images=0, images_per_update=10), Line(1.0)
    source.seen.fill_(7.0)
    with Called() as called:
        for number in range(3):
            ema.update(source, number)
    assert called.names == {"copy_"}, "of the buffer alone"
    assert ema.module.get_buffer("seen").tolist() == [7.0]
    assert float(ema.module.get_parameter("w")) == 1.0
    source.w.data.fill_(2.0)
    assert float(ema.module.get_parameter("w")) == 1.0, "nothing was learned since"


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_gradients_are_scaled_only_where_their_norm_has_a_limit(
    clip_norm: float | None, accelerator: Accelerator
) -> None:
    optimized = OptimizedModule(Line(), RATE, accelerator, clip_norm)
    optimized.backward(optimized.module(torch.tensor(3.0)))
    with Called() as called:
        assert optimized.update() == 3.0, "before it is clipped"
    assert ("_foreach_mul_" in called.names) is (clip_norm is not None)
