"""Which optimizer trains a network, and at which rate: as a recipe says it, and as it is chosen."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from img2img.config import FrozenConfig

OptimizerKind = Literal["adam", "rmsprop", "muon"]
Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerChoice(NamedTuple):
    """A network's optimizer, every default filled in."""

    kind: OptimizerKind
    lr: float
    betas: tuple[float, float]


DEFAULT = OptimizerChoice("adam", 2e-4, (0.9, 0.999))


class OptimizerConfig(FrozenConfig):
    """What a recipe may say of a network's optimizer; None leaves it to the objective's paper."""

    optimizer: OptimizerKind | None = Field(
        None,
        description="by default the adversarial kind's own; muon: for restoring without a "
        "discriminator",
    )
    lr: float | None = Field(None, gt=0)
    betas: tuple[Beta, Beta] | None = Field(
        None, description="Adam's; the pix2pix family uses 0.5 for the first"
    )

    def optimizer_or(self, default: OptimizerChoice) -> OptimizerChoice:
        """What is said here, and `default` where nothing is."""
        return OptimizerChoice(
            self.optimizer or default.kind, self.lr or default.lr, self.betas or default.betas
        )
