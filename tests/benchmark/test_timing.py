"""Ratios and shares follow from seconds and operations as they are defined; no clock is real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat

import pytest
import torch

from img2img.benchmark.ceiling import Ceiling, Rate, rates_of_convolution
from img2img.benchmark.data_speed import DataSpeed, time_loop
from img2img.benchmark.sizes import ConvolutionShape
from img2img.benchmark.timing import Effort, Timing, time_in_turns, time_repeats
from img2img.benchmark.train_speed import Side, StepPair, TrainingSpeed
from img2img.data.sample import Batch


class FakeClock:
    """Time passes only where work says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, *seconds: float) -> Callable[..., None]:
        """Work that takes these seconds, call after call."""
        left = iter(seconds)

        def call(*_: object) -> None:
            self.now += next(left)

        return call


def test_repeats_are_taken_in_turns_after_a_warm_up() -> None:
    clock, order = FakeClock(), list[str]()
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    time_in_turns(calls, Effort(warmup=1, repeats=2), clock)
    assert order == ["a", "b"] * 3


def test_the_ratio_is_the_median_over_pairs() -> None:
    clock = FakeClock()
    calls = {"ours": clock.work(50, 1, 2, 4), "reference": clock.work(50, 3, 4, 20)}
    timings = time_in_turns(calls, Effort(1, 3, budget_s=1000), clock)
    assert timings["ours"].seconds == (1, 2, 4)
    # 3, 2 and 5 times as fast; the ratio of the medians, 2, would not do
    assert timings["ours"].speedup_over(timings["reference"]) == 3


def test_median_and_spread() -> None:
    timing = Timing((1.0, 2.0, 3.0, 4.0, 100.0))
    assert timing.median_s == 3 and timing.spread == pytest.approx((4 - 2) / 3)
    assert Timing((5.0,)).spread == 0


def test_a_budget_ends_the_repeats_but_not_the_first() -> None:
    clock = FakeClock()
    timing = time_repeats(clock.work(*repeat(10.0, 9)), Effort(0, 9, budget_s=25), clock)
    assert timing.seconds == (10, 10, 10)
    assert time_repeats(clock.work(99.0), Effort(0, 9, budget_s=25), clock).seconds == (99,)


def test_a_budget_ends_the_warm_up_but_not_its_first() -> None:
    clock = FakeClock()
    timing = time_repeats(clock.work(*repeat(30.0, 9)), Effort(5, 9, budget_s=25), clock)
    assert (timing.warmup, timing.seconds) == (1, (30,))


def test_operations_of_a_convolution_are_those_counted_by_hand() -> None:
    shape = ConvolutionShape(batch=2, channels=4, side_px=8)
    forward, training = rates_of_convolution(shape, torch.float32, Effort(0, 1))
    by_hand = 2 * (4 * 3 * 3) * (2 * 4 * 8 * 8)  # multiply and add, for each number that comes out
    assert forward.flops == by_hand
    assert training.flops == 3 * by_hand  # and a convolution each for the two gradients
    rate = Rate("convolution", "fp32", "", by_hand, Timing((by_hand / 5e9,)))
    assert rate.gflops == pytest.approx(5)


@pytest.fixture
def ceiling() -> Ceiling:
    """1 GFLOP/s forward in fp32; trained in bf16 at 2 and 4 GFLOP/s by shape."""
    return Ceiling(
        (
            Rate("convolution", "fp32", "a", 10**9, Timing((1.0,))),
            Rate("convolution training", "bf16", "a", 10**9, Timing((0.5,))),
            Rate("convolution training", "bf16", "b", 10**9, Timing((0.25,))),
        )
    )


def test_the_best_shape_is_the_ceiling(ceiling: Ceiling) -> None:
    assert ceiling.gflops("convolution training", torch.bfloat16) == 4
    assert ceiling.fields() == {
        "convolution_fp32_gflops": 1,
        "convolution_training_bf16_gflops": 4,
    }


def test_fields_of_training_follow_from_its_timings(ceiling: Ceiling) -> None:
    large = StepPair(16, Timing((2.0, 4.0, 2.0)), Timing((6.0, 8.0, 10.0)), 2 * 10**9)
    single = StepPair(1, Timing((1.0,)), Timing((1.5,)), 10**9)
    sides: dict[Side, dict[str, float]] = {
        "ours": {"idle_mb": 200.0, "peak_mb": 700.0},
        "reference": {"idle_mb": 210.0, "peak_mb": 900.0},
    }
    pairs, memory = {1: single, 16: large}, {1: sides, 16: sides}
    fields = TrainingSpeed(pairs, torch.bfloat16, ceiling, memory).fields()
    assert fields["ratio_to_reference"] == 3  # of 3, 2, 5
    assert fields["ratio_to_reference_batch1"] == 1.5
    assert fields["share_of_ceiling"] == pytest.approx(0.25)  # 2 GFLOP in 2 s of 4 GFLOP/s
    assert fields["batch16"]["ours"]["photos_per_second"] == 8
    assert fields["batch16"]["reference"]["photos_per_second"] == 2
    assert fields["memory"] == sides
    assert fields["by_batch"]["16"] == {
        "seconds": 2.0,
        "reference_seconds": 8.0,
        "ratio": 3,
        "idle_mb": 200.0,
        "peak_mb": 700.0,
        "reference_idle_mb": 210.0,
        "reference_peak_mb": 900.0,
    }


def test_the_share_of_data_is_what_a_training_waits() -> None:
    clock, x = FakeClock(), torch.zeros(1, 1, 1, 1)
    arrive = clock.work(70.0, 1.0, 0.0, 2.0)

    def batches() -> Iterator[Batch]:
        while True:
            arrive()
            yield Batch(x, x)

    wait, step = time_loop(batches(), clock.work(70.0, 9.0, 9.0, 9.0), Effort(1, 3), clock)
    speed = DataSpeed(16, 0, Timing((4.0,)), wait, step)
    assert (wait.seconds, step.seconds) == ((1, 0, 2), (9, 9, 9))
    assert speed.share_of_step == pytest.approx(3 / 30)
    assert speed.samples_per_second == 4 and speed.consumed_per_second == pytest.approx(16 / 9)
