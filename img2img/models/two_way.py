"""Two generators that undo each other in one module: one model file holds both directions."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class TwoWay(nn.Module):
    """(B,C,H,W) through the generator of a direction, `AtoB` or `BtoA`; of `self.direction` where
    none is asked for.
    """

    def __init__(self, build: Callable[[], nn.Module], direction: str = "AtoB") -> None:
        super().__init__()
        self.AtoB, self.BtoA = build(), build()
        self.direction = direction

    def forward(self, x: Tensor, direction: str | None = None) -> Tensor:
        network = self.AtoB if (direction or self.direction) == "AtoB" else self.BtoA
        return network(x)
