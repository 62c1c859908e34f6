"""The adversarial part of a recipe: the objective, and what keeps D and G in balance."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from img2img.config import Renamed
from img2img.conflicts import Conflict, RecipeContext
from img2img.errors import did_you_mean
from img2img.losses.diffaugment import Augmentation
from img2img.losses.objectives import OBJECTIVES, SHORT_KINDS, Kind, Objective
from img2img.models.base import Head
from img2img.optimizer import OptimizerChoice, OptimizerConfig

Sees = Literal["condition", "mask", "label"]
Discriminates = Literal["pictures", "latent"]


class Adversarial(OptimizerConfig):
    """The objective, what conditioning D sees, when it starts, its optimizer, and the stabilisers.

    `lr` and `betas` are the discriminator's; left out, the kind's own (Wasserstein) or `train.lr`.
    """

    former_names: ClassVar[dict[str, str]] = {"judges": "discriminates"}

    kind: Annotated[Kind, Renamed(SHORT_KINDS)] = "non_saturating"
    weight: float = Field(1.0, ge=0, description="of the generator's adversarial loss")
    sees: tuple[Sees, ...] = Field(
        (),
        description="D's conditioning, what it sees in addition to the picture: the condition (not "
        "of noise, nor without pairs), the mask or the label, of a task that has one; none for "
        "autoencoders",
    )
    discriminates: Discriminates = Field(
        "pictures",
        description="latent: codes against the prior (adversarial autoencoder, Makhzani et al. "
        "2016), by discriminator mlp and train.method autoencoder",
    )
    start_step: int = Field(0, ge=0, description="the discriminator rests before this step")
    phases: tuple[float, float, float] | None = Field(
        None,
        description="proportions of the run in which G learns alone, D learns alone, both learn; "
        "GLCIC: 18, 2, 80",
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
    augment: Annotated[tuple[Augmentation, ...], Renamed({"colour": "color"})] = Field(
        (),
        description="DiffAugment for few pictures: color translation cutout; not for points, codes",
    )
    information: float = Field(
        0.0,
        ge=0,
        description="weight of InfoGAN's code loss (Chen et al. 2016); needs a task with codes, "
        "and discriminator dcgan or mlp",
    )
    gamma: float = Field(0.5, gt=0, le=1, description="began: diversity, E[L(G(z))] / E[L(x)]")
    k_rate: float = Field(1e-3, gt=0, description="began: how fast k follows")
    per_kind: dict[Annotated[Kind, Renamed(SHORT_KINDS)], dict[str, Any]] = Field(
        {},
        exclude=True,
        description="fields that have another value under a kind, in a recipe for several",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, fields: Any) -> Any:
        return for_its_kind(fields)

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
    def optimizer_of_the_paper(self) -> OptimizerChoice:
        """What the objective's paper trained both networks with."""
        paper = self.objective_class
        return OptimizerChoice(paper.optimizer, paper.lr, paper.betas)

    @property
    def head(self) -> Head:
        """What the objective asks of D."""
        return self.objective_class.head

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

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from self._conflicts_with_codes(context)
        yield from self._conflicts_with_the_run(context)
        yield from self._conflicts_with_the_task(context)

    def _conflicts_with_codes(self, context: RecipeContext) -> Iterator[Conflict]:
        """Autoencoders: D sees codes and draws of the prior, or pictures decoded from them."""
        discriminator, latent = context.discriminator, self.discriminates == "latent"
        if not context.method.has_codes:
            if latent:
                problem = "belongs to train.method autoencoder: leave it out"
                yield Conflict(".discriminates", f"'latent' {problem}")
            return
        if not latent and not context.has_prior:
            problem = "discriminates draws from the prior: set generator.variational: true"
            yield Conflict("adversarial", f"{problem} and add a loss of kind kl")
        if self.sees:
            projects = self.sees[0] == "label" and self.head == "logits"
            instead = "use discriminator.projection" if projects else "leave it out"
            problem = f"an autoencoder's discriminator sees no conditioning; {instead}"
            yield Conflict(".sees", f"'{self.sees[0]}': {problem}")
        if latent and discriminator and discriminator.kind != "mlp":
            problem = f"and discriminator '{discriminator.kind}' needs pixels: use mlp"
            yield Conflict(".discriminates", f"'latent', {problem}")
        if latent and self.augment:
            yield Conflict(".augment", "changes pictures, and D sees codes")

    def _conflicts_with_the_run(self, context: RecipeContext) -> Iterator[Conflict]:
        """Both networks must come to train within the run's steps."""
        steps, (d_start, both_start) = context.steps, self.phase_starts(context.steps)
        if d_start > 0 and not context.losses:
            problem = "is empty: before the discriminator starts there is nothing to learn from"
            yield Conflict("losses", problem)
        if self.start_step >= steps:
            problem = f"is {d_start}, and the run has {steps} steps: D would never train"
            yield Conflict(".start_step", problem)
        if both_start + self.d_steps_per_g_step > steps:
            few = f"is {steps}: too few for adversarial.d_steps {self.d_steps_per_g_step}"
            yield Conflict("train.steps", f"{few}, G would never train")

    def _conflicts_with_the_task(self, context: RecipeContext) -> Iterator[Conflict]:
        """D can see only what the task's batches hold."""
        task = context.task
        if "mask" in self.sees and not task.fills:
            yield Conflict(".sees", f"'mask', and task '{task.kind}' has none")
        if "condition" in self.sees and task.condition_is_noise:
            yield Conflict(".sees", "'condition', and the task's is noise; 'label' shows the class")
        if "label" in self.sees and not task.classes:
            yield Conflict(".sees", f"'label', and task '{task.kind}' has no classes")
        if self.information and not sum(task.code_sizes):
            problem = "weighs codes, and the task has none: set task.categorical or task.continuous"
            yield Conflict(".information", problem)
        if self.augment and not task.has_pixels:
            yield Conflict(".augment", "changes pictures, and the task makes points")
        if self.information and self.head == "reconstruction":
            problem = "has no scores, with which codes could be recognised"
            yield Conflict(".kind", f"'{self.kind}' {problem}")

    def build(self) -> Objective:
        """A fresh objective of this kind."""
        own = self.objective_class
        return own(**{f.name: getattr(self, f.name) for f in fields(own) if f.init})


def for_its_kind(fields: Any, asked: Container[str] = ()) -> Any:
    """An adversarial part's fields, with what `per_kind` has for its kind in their place.

    Fields named in `asked`, which the user has set otherwise, stay; `per_kind` itself is gone.
    Raises ValueError for an unknown kind or field.
    """
    if not isinstance(fields, dict) or not isinstance(fields.get("per_kind"), dict):
        return fields
    known = Adversarial.model_fields
    per_kind = {SHORT_KINDS.get(kind, kind): own for kind, own in fields["per_kind"].items()}
    for kind, own in per_kind.items():
        _check_known(str(kind), OBJECTIVES, "per_kind")
        if not isinstance(own, dict | None):
            problem = f"{own!r} has no fields; write for example {{lr: 0.0001}}"
            raise ValueError(f"per_kind.{kind}: {problem}")
        for name in own or ():
            _check_known(str(Adversarial.former_names.get(name, name)), known, f"per_kind.{kind}")
    chosen = fields.get("kind", known["kind"].default)
    if isinstance(chosen, str):  # unchecked yet: it may be a list, which no dict looks up
        chosen = SHORT_KINDS.get(chosen, chosen)
    own = next((own for kind, own in per_kind.items() if kind == chosen), None) or {}
    for_all = {name: value for name, value in fields.items() if name != "per_kind"}
    return for_all | {name: value for name, value in own.items() if name not in asked}


def _check_known(name: str, known: Iterable[str], where: str) -> None:
    if name not in known:
        raise ValueError(f"{where}: unknown '{name}'{did_you_mean(str(name), known)}")
