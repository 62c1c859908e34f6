"""A pool of past fakes, so that D does not forget what G used to generate.

Shrivastava et al. 2017; CycleGAN keeps 50.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from img2img.pixels.tensors import as_float, as_uint8
from img2img.training.discriminator_input import DiscriminatorInput

IN_CHECKPOINTS = {
    "image": "picture",
    "conditioning": "beside",
    "local_center": "local_centre",
    "label": "label",
    "code": "code",
}
"""Fields of a DiscriminatorInput by the names that checkpoints have always had for them."""


@dataclass(eq=False)
class ReplayPool:
    """At most `size` past fakes with their conditioning; images as uint8 unless `exact`."""

    size: int
    exact: bool = field(default=False, kw_only=True)
    kept: dict[str, Tensor] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.kept["image"]) if self.kept else 0

    def exchange(self, fake: DiscriminatorInput) -> DiscriminatorInput:
        """The fakes that D learns from: each is itself while the pool fills, then with p = ½ an
        older one, whose place it takes.

        Draws from torch's global generator, which is seeded before each training step.
        """
        given = {name: value.clone() for name, value in fake.tensors().items()}
        for index in range(len(fake.image)):
            new = {
                name: self._packed(name, value[index : index + 1])
                for name, value in fake.tensors().items()
            }
            if len(self) < self.size:
                self.kept = {
                    n: torch.cat([self.kept[n], v]) if self.kept else v for n, v in new.items()
                }
            elif torch.rand(()) < 0.5:
                old = int(torch.randint(self.size, ()))
                for name, value in new.items():
                    past, like = self.kept[name][old], given[name]
                    past = as_float(past) if past.dtype == torch.uint8 else past
                    given[name][index] = past.to(device=like.device, dtype=like.dtype)
                    self.kept[name][old] = value[0]
        return replace(fake, **given)

    def _packed(self, name: str, value: Tensor) -> Tensor:
        value = value.detach().cpu()
        # Conditioning may reach beyond [0,1], and D also sees it with real images: it must come
        # back as it was, or D could tell fakes by its rounding.
        if self.exact or name != "image":
            return value.contiguous().clone()
        return as_uint8(value).contiguous()

    def state(self) -> dict[str, Tensor]:
        """The pool as named tensors."""
        return {IN_CHECKPOINTS[name]: value for name, value in self.kept.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state` gave."""
        names = {saved: name for name, saved in IN_CHECKPOINTS.items()}
        self.kept = {names[saved]: value for saved, value in tensors.items()}
