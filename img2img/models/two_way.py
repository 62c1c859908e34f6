"""Two generators that undo each other, in one module, so that one model file holds both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

Direction = Literal["AtoB", "BtoA"]


class TwoWay(nn.Module):
    """(B,C,H,W) through the generator of the asked direction, or of `self.direction` where none is
    asked for.
    """

    def __init__(self, build: Callable[[], nn.Module], direction: Direction = "AtoB") -> None:
        super().__init__()
        self.AtoB, self.BtoA = build(), build()
        self.direction: Direction = direction

    def forward(self, x: Tensor, direction: Direction | None = None) -> Tensor:
        return self.one(direction or self.direction)(x)

    def one(self, direction: Direction) -> nn.Module:
        """The generator of one direction."""
        return self.AtoB if direction == "AtoB" else self.BtoA
