"""What helps against a finding: changes of the run's recipe. Each is tried on the recipe before it
is proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from img2img.diagnostics.findings import Cause, Finding
from img2img.recipe import Recipe

SLOWER, FASTER = 1 / 4, 4
SMALL_BATCH = 16  # below, G and D see too little of the data at once


@dataclass(frozen=True)
class Remedy:
    """A change in words, and as overrides `key.path=value` of the recipe."""

    words: str
    overrides: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """Both as one sentence."""
        return f"{self.words}: set {' '.join(self.overrides)}" if self.overrides else self.words


Candidate = Callable[[Recipe], Remedy | None]


def remedy_for(finding: str, recipe: Recipe | None) -> Remedy:
    """The first remedy that the recipe takes and is changed by; only words where there is none, or
    no recipe.
    """
    last_resort, candidates = REMEDIES[finding]
    if recipe is None:
        return Remedy(last_resort)
    offered = (candidate(recipe) for candidate in candidates)
    taken = (r for r in offered if r and recipe.changed(r.overrides) not in (None, recipe))
    return next(taken, Remedy(last_resort))


def _slower_g(recipe: Recipe) -> Remedy:
    return Remedy("Lower train.lr", (f"train.lr={recipe.g_optimizer().lr * SLOWER:.3g}",))


def _d_rate(recipe: Recipe, words: str, factor: float) -> Remedy | None:
    if recipe.adversarial is None:
        return None
    return Remedy(words, (f"adversarial.lr={recipe.d_optimizer().lr * factor:.3g}",))


_slower_d = partial(_d_rate, words="Lower adversarial.lr", factor=SLOWER)
_faster_d = partial(_d_rate, words="Raise adversarial.lr", factor=FASTER)


def _both_slower(recipe: Recipe) -> Remedy:
    d, g = _slower_d(recipe), _slower_g(recipe)
    return Remedy("Lower both rates", (*g.overrides, *d.overrides)) if d else g


def _one_rate(recipe: Recipe) -> Remedy | None:
    """G that learns three times as fast as D: both at the rate in the middle."""
    if recipe.adversarial is None:
        return None
    g, d = recipe.g_optimizer().lr, recipe.d_optimizer().lr
    middle = f"{(g * d) ** 0.5:.3g}"
    rates = (f"train.lr={middle}", f"adversarial.lr={middle}")
    return Remedy("Let both learn at one rate", rates) if g > 3 * d else None


def _set(words: str, *overrides: str) -> Candidate:
    return lambda recipe: Remedy(words, overrides)


def _clipped(recipe: Recipe) -> Remedy | None:
    """The generator's gradients alone: the discriminator's are not clipped."""
    if recipe.train.clip_norm is not None:
        return None
    return Remedy("Clip the generator's gradients", ("train.clip_norm=1",))


def _r1(recipe: Recipe) -> Remedy | None:
    a = recipe.adversarial
    if a is None or a.penalised:
        return None
    return Remedy("Hold D's slope at real pictures", ("adversarial.r1=1",))


def _noise(recipe: Recipe) -> Remedy | None:
    a = recipe.adversarial
    if a is None or a.instance_noise or a.instance_noise_floor:
        return None
    return Remedy("Put noise on all that D sees", ("adversarial.instance_noise=0.1",))


def _less_noise(recipe: Recipe) -> Remedy | None:
    a = recipe.adversarial
    if a is None or not (a.instance_noise or a.instance_noise_floor):
        return None
    half = (
        f"adversarial.instance_noise={a.instance_noise / 2:.3g}",
        f"adversarial.instance_noise_floor={a.instance_noise_floor / 2:.3g}",
    )
    return Remedy("Halve the noise on what D sees", half)


def _true_labels(recipe: Recipe) -> Remedy | None:
    if recipe.adversarial is None or not recipe.adversarial.label_noise:
        return None
    return Remedy("Swap no labels", ("adversarial.label_noise=0",))


def _wider_d(recipe: Recipe) -> Remedy | None:
    width = getattr(recipe.discriminator, "width", 0)
    if not width:
        return None
    return Remedy("Widen the discriminator", (f"discriminator.width={2 * width}",))


def _more_d_steps(recipe: Recipe) -> Remedy | None:
    a = recipe.adversarial
    if a is None:
        return None
    return Remedy("Give D more steps", (f"adversarial.d_steps={a.d_steps_per_g_step + 1}",))


def _more_g_steps(recipe: Recipe) -> Remedy | None:
    """`train.steps` counts D's steps: those beyond its kind's usual number are lost to G."""
    a = recipe.adversarial
    if a is None or a.d_steps_per_g_step <= a.objective_class.d_steps:
        return None
    return Remedy("Give G more of the steps", (f"adversarial.d_steps={a.objective_class.d_steps}",))


def _smaller_weight(recipe: Recipe) -> Remedy | None:
    """Not where there is no other loss: a weight alone changes nothing under Adam."""
    a = recipe.adversarial
    if a is None or not recipe.losses:
        return None
    return Remedy("Weigh D's word less", (f"adversarial.weight={a.weight * SLOWER:.3g}",))


def _first_loss(recipe: Recipe) -> Remedy | None:
    if recipe.adversarial is None or not recipe.losses:
        return None
    weight = f"losses.0.weight={recipe.losses[0].weight * FASTER:.3g}"
    return Remedy("Weigh the first loss higher", (weight,))


def _larger_batch(recipe: Recipe) -> Remedy | None:
    size = recipe.train.batch_size
    if size >= SMALL_BATCH:
        return None
    return Remedy("Show more at once", (f"train.batch_size={max(SMALL_BATCH, 4 * size)}",))


def _minibatch_discrimination(recipe: Recipe) -> Remedy | None:
    off = getattr(recipe.discriminator, "minibatch_discrimination", None) == 0
    if not off or recipe.train.batch_size == 1:
        return None
    return Remedy("Let D compare samples", ("discriminator.minibatch_discrimination=16",))


def _minibatch_std(recipe: Recipe) -> Remedy | None:
    off = getattr(recipe.discriminator, "minibatch_std", None) is False
    if not off or recipe.train.batch_size == 1:
        return None
    return Remedy("Let D see a batch's spread", ("discriminator.minibatch_std=true",))


def _wgan_gp(recipe: Recipe) -> Remedy | None:
    """Its penalty takes samples one by one, which batch norm does not."""
    if recipe.adversarial is None or recipe.discriminator is None:
        return None
    norm = ("discriminator.norm=instance",) if recipe.discriminator.batch_normed else ()
    return Remedy("Use another objective", ("adversarial.kind=wasserstein_gp", *norm))


def _began_diversity(recipe: Recipe) -> Remedy | None:
    a = recipe.adversarial
    if a is None or a.kind != "began" or a.gamma >= 1:
        return None
    return Remedy("Ask for more diversity", ("adversarial.gamma=1",))


def _sees_condition(recipe: Recipe) -> Remedy | None:
    a = recipe.adversarial
    if a is None or "condition" in a.sees:
        return None
    sees = ", ".join((*a.sees, "condition"))
    return Remedy("Let D see the input", (f"adversarial.sees=[{sees}]",))


def _times(recipe: Recipe, words: str, count: str, factor: float) -> Remedy:
    """A whole number of the training, `steps` or `batch_size`, times a factor; 1 at least."""
    number = int(getattr(recipe.train, count) * factor)
    return Remedy(words, (f"train.{count}={max(1, number)}",))


_longer = partial(_times, words="Train longer", count="steps", factor=2)
_shorter = partial(_times, words="More photos, or fewer steps", count="steps", factor=1 / 2)
_double_batch = partial(_times, words="Show more at once", count="batch_size", factor=2)


def _clipped_and_slower(recipe: Recipe) -> Remedy:
    clip = ("train.clip_norm=1",) if recipe.train.clip_norm is None else ()
    rates = _both_slower(recipe).overrides
    return Remedy("Lower the rates and resume", (*rates, *clip))


_BALANCE = (_larger_batch, _more_g_steps, _one_rate)
REMEDIES: Mapping[str, tuple[str, tuple[Candidate, ...]]] = {
    Finding.NOT_A_NUMBER: (
        "Lower the rates and resume",
        (_clipped_and_slower, _set("Compute exactly", "train.precision=fp32")),
    ),
    Cause.EXPLODING_G: ("Lower train.lr", (_clipped, _slower_g)),
    Cause.EXPLODING_D: ("Lower D's rate", (_r1, _slower_d)),
    Finding.WRONG_RANGE: ("Divide by 255 (or add 1 and halve) once, in the task's make_pair", ()),
    Finding.DISCRIMINATOR_WINNING: ("Lower adversarial.lr", (_slower_d, _noise)),
    Finding.DISCRIMINATOR_BLIND: (
        "Raise adversarial.lr",
        (_less_noise, _true_labels, _faster_d, _wider_d),
    ),
    Finding.FOOLING_WITH_GARBAGE: ("Strengthen D", (_faster_d, _more_d_steps, _smaller_weight)),
    Finding.MODE_COLLAPSE: (
        "Weaken D",
        (
            *_BALANCE,
            _noise,
            _began_diversity,
            _minibatch_discrimination,
            _minibatch_std,
            _wgan_gp,
            _less_noise,
            _longer,
        ),
    ),
    Cause.COLLAPSE_WITHOUT_D: (
        "Train longer, and look whether the input tells the target",
        (_longer,),
    ),
    Finding.LOW_FIDELITY: ("Train longer", (*_BALANCE, _longer)),
    Finding.EXCESS_DIVERSITY: ("Lower the rates", (_both_slower, _longer)),
    Finding.INPUT_IGNORED: (
        "Look whether the input tells the target",
        (_sees_condition, _first_loss, _smaller_weight, _longer),
    ),
    Finding.OVERFITTING: ("More photos", (_set("Mirror the photos", "data.flip=true"), _shorter)),
    Finding.DEAD_OUTPUTS: ("Lower train.lr, and look at the data", (_slower_g,)),
    Finding.SATURATED_OUTPUTS: (
        "Lower train.lr, and look whether targets are in [0,1]",
        (_slower_g, _smaller_weight),
    ),
    Finding.CHECKERBOARD: (
        "Train longer",
        (
            _set("Enlarge without overlapping kernels", "generator.upsampling=resize"),
            _first_loss,
            _longer,
        ),
    ),
    Cause.SPIKES_OF_G: ("Lower train.lr", (_clipped, _slower_g)),
    Cause.SPIKES_OF_D: ("Lower D's rate", (_r1, _slower_d)),
    Cause.SWINGS: ("Lower both rates", (_both_slower, _double_batch)),
}
"""By finding, or by the form of one: what to say where no change of the recipe helps, and the
changes in the order of their promise.
"""
