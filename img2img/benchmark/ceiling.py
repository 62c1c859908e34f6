"""The fastest that torch multiplies matrices and convolves on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from img2img.benchmark.flops import count_flops
from img2img.benchmark.sizes import BenchmarkSizes, ConvolutionShape
from img2img.benchmark.timing import Effort, Timing, time_repeats
from img2img.devices import has_fast_bf16
from img2img.models.blocks import channels_last

Operation = Literal["matrix product", "convolution", "convolution training"]
PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16"}


@dataclass(frozen=True)
class Rate:
    """How fast one operation ran."""

    operation: Operation
    precision: str
    shape: str
    flops: int
    timing: Timing

    @property
    def gflops(self) -> float:
        """Billions of floating-point operations a second."""
        return self.flops / self.timing.median_s / 1e9


@dataclass(frozen=True)
class Ceiling:
    """All measured rates; the best of an operation is its ceiling."""

    rates: tuple[Rate, ...]

    name: ClassVar[str] = "ceiling"

    def gflops(self, operation: Operation, dtype: torch.dtype) -> float:
        """The best rate of an operation at a precision, over all shapes."""
        precision = PRECISIONS[dtype]
        fitting = [r for r in self.rates if (r.operation, r.precision) == (operation, precision)]
        return max(rate.gflops for rate in fitting)

    def share(self, flops: int, timing: Timing, operation: Operation, dtype: torch.dtype) -> float:
        """The rate of some work over the best rate of an operation."""
        return flops / timing.median_s / 1e9 / self.gflops(operation, dtype)

    def fields(self) -> dict[str, Any]:
        """`ceiling.<operation>_<precision>_gflops`, the best of its shapes, for JSON."""
        best: dict[str, float] = {}
        for rate in self.rates:
            key = f"{rate.operation.replace(' ', '_')}_{rate.precision}_gflops"
            best[key] = max(rate.gflops, best.get(key, 0.0))
        return best

    def rows(self) -> list[tuple[str, ...]]:
        """A line each."""
        return [
            (r.operation, r.precision, r.shape, f"{r.gflops:,.0f} GFLOP/s", r.timing.text())
            for r in self.rates
        ]


def measure_ceiling(sizes: BenchmarkSizes, effort: Effort) -> Ceiling:
    """Matrix products and 3×3 convolutions (channels-last) in fp32, and in bf16 where the processor
    has it.
    """
    rates: list[Rate] = []
    for dtype in PRECISIONS:
        if dtype == torch.bfloat16 and not has_fast_bf16(torch.device("cpu")):
            continue
        rates.append(_rate_of_matrix_product(sizes.matrix_side, dtype, effort))
        for shape in sizes.convolutions:
            rates += rates_of_convolution(shape, dtype, effort)
    return Ceiling(tuple(rates))


def _rate_of_matrix_product(side: int, dtype: torch.dtype, effort: Effort) -> Rate:
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))

    def call() -> Tensor:
        return a @ b

    flops, timing = count_flops(call), time_repeats(call, effort)
    return Rate("matrix product", PRECISIONS[dtype], f"{side}² × {side}²", flops, timing)


def rates_of_convolution(
    shape: ConvolutionShape, dtype: torch.dtype, effort: Effort
) -> tuple[Rate, Rate]:
    """A 3×3 convolution forward, and forward and backward with gradients of weights and input."""
    channels, side = shape.channels, shape.side_px
    layer = channels_last(nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(dtype))
    x = torch.randn(shape.batch, channels, side, side).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn(x.shape).to(dtype).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward() -> None:
        layer(x)

    def train() -> None:
        x.grad = layer.weight.grad = None
        layer(x).backward(gradient)

    described = f"{shape.batch}×{channels}×{side}×{side}"

    def rate(operation: Operation, call: Callable[[], None]) -> Rate:
        flops, timing = count_flops(call), time_repeats(call, effort)
        return Rate(operation, PRECISIONS[dtype], described, flops, timing)

    return rate("convolution", forward), rate("convolution training", train)
