"""Adversarial objectives: what D and G minimise, each as its paper states it.

Scores are what the discriminator gives: logits of any shape, or, for BEGAN, the reconstruction
error of each sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.models.base import Head
from img2img.optimizer import OptimizerKind

Kind = Literal[
    "minimax",
    "non_saturating",
    "least_squares",
    "wasserstein",
    "wasserstein_gp",
    "dragan",
    "began",
    "hinge",
    "relativistic",
]
SHORT_KINDS: dict[str, Kind] = {
    "mm": "minimax",
    "ns": "non_saturating",
    "lsgan": "least_squares",
    "wgan": "wasserstein",
    "wgan_gp": "wasserstein_gp",
    "ragan": "relativistic",
}
"""Short names that recipes may use, and that recipes and model files of before do use."""

Penalty = Literal["between", "around_real"]


@dataclass
class Objective:
    """The losses of D and of G, by their scores. Class variables say what the kind needs and what
    its paper trained it with.

    Example:
        >>> import torch
        >>> objective = OBJECTIVES["least_squares"]()
        >>> objective.d_loss(real=torch.ones(4), fake=torch.zeros(4))  # D is right
        tensor(0.)
        >>> objective.g_loss(real=torch.ones(4), fake=torch.zeros(4))  # ½(D(G(z)) - 1)²
        tensor(0.5000)
    """

    head: ClassVar[Head] = "logits"
    """What it asks of D."""
    penalty: ClassVar[Penalty | None] = None
    """Where the norm of the critic's gradient is held at 1."""
    compares: ClassVar[bool] = False
    """`g_loss` reads the real scores."""
    smooths: ClassVar[bool] = False
    """It takes a `real_label` below 1."""
    optimizer: ClassVar[OptimizerKind] = "adam"
    lr: ClassVar[float] = 2e-4
    d_lr: ClassVar[float | None] = None
    """D's rate, where it is bound to something else than G's."""
    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)
    d_steps: ClassVar[int] = 1
    """D's steps to one of G's."""
    clip_weights: ClassVar[float | None] = None
    gradient_penalty: ClassVar[float] = 0.0
    """The weight λ of `penalty`."""
    blind_loss: ClassVar[float | None] = None
    """D's loss where it scores everything alike; Wasserstein's and BEGAN's have no such level."""
    critic: ClassVar[bool] = False
    """D is meant to be trained towards its best: that it wins is no fault."""
    learned: ClassVar[tuple[str, ...]] = ()
    """Numbers of its own that it learns on the way (`observe`)."""

    real_label: float = 1.0

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss.

        Args:
            real: D's scores of real pictures: logits of any shape, or (B,) errors for BEGAN.
            fake: D's scores of G's pictures, which G gets no gradient from here.

        Returns:
            A scalar.
        """
        raise NotImplementedError

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The generator's loss.

        Args:
            real: D's scores of real pictures; read by objectives that compare both (relativistic).
            fake: D's scores of G's pictures.

        Returns:
            A scalar.
        """
        raise NotImplementedError

    def observe(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Learn from the scores of a discriminator step what the objective itself keeps; returns
        numbers to log.
        """
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """What the objective itself learns on the way, to be saved with the run."""
        return {n: torch.tensor(getattr(self, n), dtype=torch.float64) for n in self.learned}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up again what `state_dict` gave."""
        for name in self.learned:
            setattr(self, name, float(state[name]))


class Minimax(Objective):
    """Goodfellow et al. 2014, equation 1: D by cross-entropy, G minimises log(1 - D(G(z))), which
    saturates.
    """

    smooths = True
    blind_loss: ClassVar[float | None] = 2 * math.log(2)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E[log D(x)] - E[log(1 - D(G(z)))], D the sigmoid of the logit."""
        # One-sided smoothing (Salimans et al. 2016): only the real label moves. As softplus, no
        # logarithm overflows.
        true = (
            self.real_label * F.softplus(-real).mean()
            + (1 - self.real_label) * F.softplus(real).mean()
        )
        return true + F.softplus(fake).mean()

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[log(1 - D(G(z)))]."""
        return -F.softplus(fake).mean()


class NonSaturating(Minimax):
    """Goodfellow et al. 2014, section 3: D as in minimax, G maximises log D(G(z)) instead."""

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E[log D(G(z))]."""
        return F.softplus(-fake).mean()


class LeastSquares(Objective):
    """Mao et al. 2017, equation 9 (labels 0, 1): ½(D(x)-1)² + ½D(G(z))² against ½(D(G(z))-1)²."""

    smooths = True
    blind_loss = 0.25

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - self.real_label).square().mean() + 0.5 * fake.square().mean()

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (fake - 1).square().mean()


class Wasserstein(Objective):
    """Arjovsky et al. 2017, algorithm 1: the critic's scores apart; Lipschitz by clipping its
    weights.
    """

    optimizer: ClassVar[OptimizerKind] = "rmsprop"
    lr = 5e-5
    d_lr: ClassVar[float | None] = (
        5e-5  # half a percent of the clipping range a step: faster, weights only flip sides
    )
    d_steps = 5
    clip_weights: ClassVar[float | None] = 0.01
    critic = True

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[D(G(z))] - E[D(x)]."""
        return fake.mean() - real.mean()

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E[D(G(z))]."""
        return -fake.mean()


class WassersteinGP(Wasserstein):
    """Gulrajani et al. 2017, equation 3: Lipschitz by λ(‖∇D(x̂)‖ - 1)² at x̂ drawn between real and
    fake.
    """

    penalty = "between"
    optimizer = "adam"
    lr = 1e-4
    d_lr = None
    betas = (0.0, 0.9)
    clip_weights = None
    gradient_penalty = 10.0


class Dragan(NonSaturating):
    """Kodali et al. 2017, equation 1: non-saturating, with λ(‖∇D(x+δ)‖ - 1)² near real data."""

    penalty = "around_real"
    gradient_penalty = 10.0


class Hinge(Objective):
    """Lim & Ye 2017: D stops caring beyond the margin, G pushes the logit up."""

    blind_loss = 2.0

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]."""
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E[D(G(z))]."""
        return -fake.mean()


class RelativisticAverage(Objective):
    """Jolicoeur-Martineau 2019, algorithm 2: is the real more real than the fake are on average,
    and the reverse.
    """

    compares = True
    blind_loss = 2 * math.log(2)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E[log σ(D(x) - E D(G(z)))] - E[log(1 - σ(D(G(z)) - E D(x)))]."""
        return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's, with real and fake in each other's place."""
        return self.d_loss(fake, real)


@dataclass
class BoundaryEquilibrium(Objective):
    """Berthelot et al. 2017: D is an autoencoder, scores are its errors L; k holds E[L(G(z))] at γ
    E[L(x)].

    Section 3.3: L_D = L(x) - k L(G(z)), L_G = L(G(z)), k ← k + λ(γ L(x) - L(G(z))); the convergence
    measure of section 3.4.1 is L(x) + |γ L(x) - L(G(z))|.
    """

    head = "reconstruction"
    lr = 1e-4
    learned = ("k",)

    gamma: float = 0.5
    k_rate: float = 1e-3
    k: float = field(default=0.0, init=False)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return real.mean() - self.k * fake.mean()

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean()

    def observe(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        balance = self.gamma * float(real.mean()) - float(fake.mean())
        self.k = min(1.0, max(0.0, self.k + self.k_rate * balance))
        return {"began_k": self.k, "began_measure": float(real.mean()) + abs(balance)}


OBJECTIVES: dict[Kind, type[Objective]] = {
    "minimax": Minimax,
    "non_saturating": NonSaturating,
    "least_squares": LeastSquares,
    "wasserstein": Wasserstein,
    "wasserstein_gp": WassersteinGP,
    "dragan": Dragan,
    "began": BoundaryEquilibrium,
    "hinge": Hinge,
    "relativistic": RelativisticAverage,
}
