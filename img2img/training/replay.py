"""A pool of past fakes, so that D does not forget what G used to make (Shrivastava et al. 2017;
CycleGAN uses 50).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from img2img.pixels.tensors import as_float, as_uint8

if TYPE_CHECKING:
    from img2img.training.discriminator import Shown

IN_CHECKPOINTS = {"local_center": "local_centre"}
"""The names that tensors have in checkpoints, where they bear another in code: runs go on."""


class ReplayPool:
    """At most `size` samples with all that was shown beside them; the pictures are kept as uint8
    unless `exact`.
    """

    def __init__(self, size: int, *, exact: bool = False) -> None:
        self.size, self.exact = size, exact
        self.kept: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self.kept["picture"]) if self.kept else 0

    def exchange(self, fake: Shown) -> Shown:
        """The samples to learn from: each is itself while the pool fills, then with p = ½ a past
        one.

        Draws from torch's generator, which the trainer seeds before each step.
        """
        given = {name: value.clone() for name, value in fake.tensors().items()}
        for place in range(len(fake.picture)):
            new = {
                name: self._packed(name, value[place : place + 1])
                for name, value in fake.tensors().items()
            }
            if len(self) < self.size:
                self.kept = {
                    n: torch.cat([self.kept[n], v]) if self.kept else v for n, v in new.items()
                }
            elif torch.rand(()) < 0.5:
                old = int(torch.randint(self.size, ()))
                for name, value in new.items():
                    given[name][place] = self._unpacked(self.kept[name][old], given[name])
                    self.kept[name][old] = value[0]
        return replace(fake, **given)

    def _packed(self, name: str, value: Tensor) -> Tensor:
        value = value.detach().cpu()
        if (
            self.exact or name != "picture"
        ):  # what is beside it may reach beyond [0,1], and is real for both sides
            return value.contiguous().clone()
        return as_uint8(value).contiguous()

    def _unpacked(self, value: Tensor, like: Tensor) -> Tensor:
        restored = as_float(value) if value.dtype == torch.uint8 else value
        return restored.to(device=like.device, dtype=like.dtype)

    def state(self) -> dict[str, Tensor]:
        """What is in the pool."""
        return {IN_CHECKPOINTS.get(name, name): value for name, value in self.kept.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up again what `state` gave."""
        names = {saved: name for name, saved in IN_CHECKPOINTS.items()}
        self.kept = {names.get(saved, saved): value for saved, value in tensors.items()}
