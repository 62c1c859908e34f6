"""Floating-point operations, counted by torch: a multiplication and an addition are two."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def count_flops(call: Callable[[], object]) -> int:
    """Operations of the matrix products and convolutions in a call, backward passes included; what
    is done element by element is not counted.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
