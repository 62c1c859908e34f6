"""The adversarial part of a recipe: which game is played, and what keeps it stable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from img2img.errors import did_you_mean
from img2img.losses.diffaugment import Augmentation
from img2img.losses.objectives import OBJECTIVES, SHORT_KINDS, Kind, Objective, OptimizerKind
from img2img.ranges import Fields, renamed

Sees = Literal["condition", "mask", "label"]
Discriminates = Literal["pictures", "latent"]
Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Fields):
    """What may be said of a player's optimizer; None leaves it to the adversarial kind's paper."""

    optimizer: OptimizerKind | None = Field(
        None,
        description="by default the adversarial kind's own; muon: for restoring without a discriminator",
    )
    lr: float | None = Field(None, gt=0)
    betas: tuple[Beta, Beta] | None = Field(
        None, description="Adam's; the pix2pix family uses 0.5 for the first"
    )


class Adversarial(OptimizerConfig):
    """The objective, what D sees beside the picture, when it starts, its optimizer, and the
    stabilisers.

    `lr` and `betas` are the discriminator's; left out, the kind's own (Wasserstein) or `train.lr`.
    """

    former_names: ClassVar[dict[str, str]] = {"judges": "discriminates"}

    kind: Annotated[Kind, renamed(SHORT_KINDS)] = "non_saturating"
    weight: float = Field(1.0, ge=0, description="of the generator's adversarial loss")
    sees: tuple[Sees, ...] = Field((), description="what the discriminator gets beside the picture")
    discriminates: Discriminates = Field(
        "pictures",
        description="latent: codes against the prior (adversarial autoencoder, Makhzani et al. 2016)",
    )
    start_step: int = Field(0, ge=0, description="the discriminator rests before this step")
    phases: tuple[float, float, float] | None = Field(
        None,
        description="proportions of the run in which G learns alone, D learns alone, both learn; GLCIC: 18, 2, 80",
    )
    d_steps: int | None = Field(
        None, ge=1, description="D's steps to one of G's; train.steps counts D's"
    )
    d_loss_weight: float = Field(1.0, gt=0, description="slows D relative to G; pix2pix uses 0.5")
    clip_weights: float | None = Field(
        None, ge=0, description="D's weights are clipped to ± this, 0: not; wasserstein: 0.01"
    )
    gradient_penalty: float | None = Field(
        None, ge=0, description="its weight; wasserstein_gp and dragan: 10"
    )
    r1: float = Field(
        0.0,
        ge=0,
        description="weight γ of the gradient penalty at real ones (Mescheder et al. 2018)",
    )
    r1_every: int = Field(
        1, ge=1, description="R1 is computed every so many steps and weighs as much more (lazy)"
    )
    real_label: float = Field(
        1.0, gt=0.5, le=1, description="one-sided label smoothing: 0.9 (Salimans et al. 2016)"
    )
    label_noise: float = Field(
        0.0, ge=0, lt=0.5, description="share of samples whose two sides D gets swapped"
    )
    instance_noise: float = Field(
        0.0, ge=0, description="σ of noise on all that D sees, falling (Sønderby et al. 2017)"
    )
    instance_noise_until: float = Field(
        0.5, gt=0, le=1, description="part of the run by which it has fallen to 0"
    )
    instance_noise_floor: float = Field(0.0, ge=0, description="σ below which it does not fall")
    replay: int = Field(
        0, ge=0, description="pool of past fakes D learns from (Shrivastava et al. 2017): 50"
    )
    augment: Annotated[tuple[Augmentation, ...], renamed({"colour": "color"})] = Field(
        (), description="DiffAugment for few pictures: color translation cutout"
    )
    information: float = Field(
        0.0, ge=0, description="weight of InfoGAN's code loss (Chen et al. 2016)"
    )
    gamma: float = Field(0.5, gt=0, le=1, description="began: diversity, E[L(G(z))] / E[L(x)]")
    k_rate: float = Field(1e-3, gt=0, description="began: how fast k follows")
    per_kind: dict[Kind, dict[str, Any]] = Field(
        {},
        exclude=True,
        description="fields that have another value under a kind, in a recipe for several",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, fields: Any) -> Any:
        return as_the_kind_has_it(fields)

    @model_validator(mode="after")
    def _one_start(self) -> Adversarial:
        if self.phases is not None and (min(self.phases) < 0 or self.phases[2] == 0):
            raise ValueError("phases are proportions, none below 0 and the last above 0")
        if self.phases is not None and self.start_step:
            raise ValueError(
                "phases already say when the discriminator starts: leave start_step out"
            )
        return self

    @model_validator(mode="after")
    def _kind_has_it(self) -> Adversarial:
        own = self.objective_class
        if self.gradient_penalty and own.penalty is None:
            having = " and ".join(kind for kind, each in OBJECTIVES.items() if each.penalty)
            raise ValueError(
                f"gradient_penalty belongs to {having}, not to kind '{self.kind}'; r1 fits all"
            )
        if self.real_label < 1 and not own.smooths:
            having = ", ".join(kind for kind, each in OBJECTIVES.items() if each.smooths)
            raise ValueError(
                f"real_label smooths labels, and kind '{self.kind}' has none: use one of {having}"
            )
        return self

    @property
    def objective_class(self) -> type[Objective]:
        """The objective's class, with its defaults."""
        return OBJECTIVES[self.kind]

    @property
    def penalised(self) -> bool:
        """The discriminator's gradient is part of its loss."""
        return self.penalty_weight > 0 or self.r1 > 0

    @property
    def penalty_weight(self) -> float:
        """λ of the kind's gradient penalty."""
        if self.gradient_penalty is None:
            return self.objective_class.gradient_penalty
        return self.gradient_penalty

    @property
    def weight_limit(self) -> float | None:
        """What D's weights are clipped to, or None."""
        own = self.objective_class.clip_weights
        return (own if self.clip_weights is None else self.clip_weights) or None

    @property
    def d_steps_per_g_step(self) -> int:
        """D's steps to one of G's: `d_steps`, or what the kind's paper used."""
        return self.d_steps or self.objective_class.d_steps

    def noise_sigma(self, number: int, steps: int) -> float:
        """σ of the instance noise at a step of a run of `steps`."""
        left = max(0.0, 1 - number / (self.instance_noise_until * steps))
        return max(self.instance_noise_floor, self.instance_noise * left)

    def phase_starts(self, steps: int) -> tuple[int, int]:
        """The step from which D trains, and the one from which both do, in a run of `steps`."""
        if self.phases is None:
            return self.start_step, self.start_step
        g_alone, d_alone, _ = (part / sum(self.phases) * steps for part in self.phases)
        return round(g_alone), round(g_alone + d_alone)

    def build(self) -> Objective:
        """A fresh objective of this kind."""
        own = self.objective_class
        return own(**{name: getattr(self, name) for name in own.fields})


def as_the_kind_has_it(fields: Any) -> Any:
    """An adversarial part's fields with what its `per_kind` says of the kind in the place of what
    is said for all.

    What is resolved has no choice left. Raises ValueError for a kind or a field that is not there.
    """
    if not isinstance(fields, dict) or not isinstance(fields.get("per_kind"), dict):
        return fields
    known = Adversarial.model_fields
    per_kind = {SHORT_KINDS.get(kind, kind): own for kind, own in fields["per_kind"].items()}
    for kind, own in per_kind.items():
        _check_known(str(kind), OBJECTIVES, "per_kind")
        if not isinstance(own, dict | None):
            raise ValueError(
                f"per_kind.{kind}: {own!r} has no fields; write for example {{lr: 0.0001}}"
            )
        for name in own or ():
            _check_known(str(Adversarial.former_names.get(name, name)), known, f"per_kind.{kind}")
    chosen = fields.get("kind", known["kind"].default)
    if isinstance(chosen, str):  # unchecked yet: it may be a list, which no dict looks up
        chosen = SHORT_KINDS.get(chosen, chosen)
    own = next((own for kind, own in per_kind.items() if kind == chosen), None) or {}
    return {**{name: value for name, value in fields.items() if name != "per_kind"}, **own}


def _check_known(name: str, known: Iterable[str], where: str) -> None:
    if name not in known:
        raise ValueError(f"{where}: unknown '{name}'{did_you_mean(str(name), known)}")
