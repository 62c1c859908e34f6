"""Adversarial objectives. Each owns both players' losses and says which discriminators it can be played against."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["ns", "lsgan", "hinge"]
Sees = Literal["condition", "mask"]


class Objective:
    """What the two players minimise, from the logits the discriminator gives to real and made pictures."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, a scalar."""
        raise NotImplementedError

    def g_loss(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """The generator's loss, a scalar; `real` only for objectives that compare the two."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Tensor]:
        """What the objective itself learns on the way, to be saved with the run."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up again what `state_dict` gave."""


class NonSaturating(Objective):
    """Goodfellow et al. 2014: D by cross-entropy, G maximises log D(G(z)); as softplus, no logarithm overflows."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def g_loss(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return F.softplus(-fake).mean()


class LeastSquares(Objective):
    """Mao et al. 2017, equation 9 (labels 0 and 1): ½(D(x)-1)² + ½D(G(z))² against ½(D(G(z))-1)²."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()

    def g_loss(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return 0.5 * (fake - 1).square().mean()


class Hinge(Objective):
    """Lim & Ye 2017: D stops caring beyond the margin, G pushes the logit up."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def g_loss(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake.mean()


_OBJECTIVES: dict[str, type[Objective]] = {"ns": NonSaturating, "lsgan": LeastSquares, "hinge": Hinge}


class Adversarial(BaseModel):
    """The adversarial part of a recipe: the objective, what D sees beside the picture, when it starts, its rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "ns"
    weight: float = Field(1.0, ge=0, description="of the generator's adversarial loss")
    sees: tuple[Sees, ...] = Field((), description="what the discriminator gets beside the picture")
    start_step: int = Field(0, ge=0, description="the discriminator rests before this step")
    phases: tuple[float, float, float] | None = Field(
        None, description="proportions of the run in which G learns alone, D learns alone, both learn; GLCIC: 18, 2, 80"
    )
    d_loss_weight: float = Field(1.0, gt=0, description="slows D relative to G; pix2pix uses 0.5")
    lr: float | None = Field(None, gt=0, description="the discriminator's rate; train.lr when left out")
    betas: tuple[float, float] = Field((0.5, 0.999), description="Adam's, for the discriminator")

    @model_validator(mode="after")
    def _one_start(self) -> Adversarial:
        if self.phases is not None and (min(self.phases) < 0 or self.phases[2] == 0):
            raise ValueError("phases are proportions, none below 0 and the last above 0")
        if self.phases is not None and self.start_step:
            raise ValueError("phases already say when the discriminator starts: leave start_step out")
        return self

    def turns(self, steps: int) -> tuple[int, int]:
        """The step from which the discriminator learns, and the one from which both do, in a run of `steps`."""
        if self.phases is None:
            return self.start_step, self.start_step
        alone, judging, _ = (part / sum(self.phases) * steps for part in self.phases)
        return round(alone), round(alone + judging)

    def build(self) -> Objective:
        """A fresh objective of this kind."""
        return _OBJECTIVES[self.kind]()
