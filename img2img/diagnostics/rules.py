"""The doctor's rules as a table: what is measured, from where on it is bad, the words, the remedy.

Every threshold is a ratio, a share or an accuracy, so that it holds for all objectives, whose
losses have no common scale. The numbers were set between healthy runs (ring under every objective,
the tiny recipes) and runs spoilt on purpose, both in tests/diagnostics/test_doctor.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from img2img.diagnostics import readings
from img2img.diagnostics.chart import Chart
from img2img.diagnostics.findings import (
    SEVERITIES,
    Cause,
    Diagnosis,
    Finding,
    Grades,
    Severity,
    grade,
)
from img2img.diagnostics.readings import Measure, vital
from img2img.diagnostics.remedies import remedy_for


@dataclass(frozen=True)
class Sign:
    """A reading that shows a finding: where it is mild, clear and severe, and its words."""

    reading: str
    grades: Grades
    says: str
    """A template that the readings fill in."""
    remedy: Cause | None = None
    """Whose remedies help where this sign is the worst; by default those of the rule's finding."""


@dataclass(frozen=True)
class Rule:
    """What is measured, the signs that it is graded by, and the sentence."""

    name: Finding
    measure: Measure
    signs: tuple[Sign, ...]
    says: str = "{signs}"
    """A template that the readings and what the bad signs say fill in."""
    one_sign: bool = False
    """Only the first of the bad signs is put into the sentence."""
    remedy_without_d: Cause | None = None

    def examine(self, chart: Chart) -> Diagnosis | None:
        """The finding, if there is one, with the first remedy that this run's recipe takes."""
        found = self.measure(chart)
        bad: list[tuple[Severity, Sign]] = []
        for sign in self.signs:
            if (severity := grade(found.get(sign.reading), sign.grades)) is not None:
                bad.append((severity, sign))
        if not bad:
            return None
        worst, sign = max(bad, key=lambda one: SEVERITIES.index(one[0]))  # the first of equals
        said = [one.says.format(**found) for _, one in bad][: 1 if self.one_sign else None]
        numbers = self.says.format(**found, signs=", and ".join(said))
        without_d = None if chart.facts.kind else self.remedy_without_d
        remedy = remedy_for(sign.remedy or without_d or self.name, chart.facts.recipe)
        return Diagnosis(self.name, worst, chart.step, numbers, remedy.line, remedy.overrides)


_GROWN = "{0} is {{{0}:.3g}} times what it was at the beginning"
_SPIKE = "the highest {0} is {{{0}:.3g}} times the usual one"
_DIVERSITY = "outputs differ {{{}:.2f}} times as much as targets do"
_FIDELITY = "{{{}:.0%}} of the fake samples lie among real ones"

RULES: tuple[Rule, ...] = (
    Rule(
        Finding.NOT_A_NUMBER,
        readings.not_a_number,
        (Sign("met", (0.0, 0.5, 1.0), "{found}"),),  # always severe
    ),
    Rule(
        Finding.EXPLODING_GRADIENTS,
        readings.exploding_gradients,
        # As networks leave their small first weights, gradients grow up to 30-fold; two orders are
        # more than learning.
        (
            Sign("g_grad_norm", (100, 1e3, 1e4), _GROWN.format("g_grad_norm"), Cause.EXPLODING_G),
            Sign("d_grad_norm", (100, 1e3, 1e4), _GROWN.format("d_grad_norm"), Cause.EXPLODING_D),
        ),
    ),
    Rule(
        Finding.WRONG_RANGE,
        readings.wrong_range,
        (
            Sign(
                "out",
                (0, 1, 2),
                "the {side} values reach from {low:.3g} to {high:.3g}, and pictures are in 0 to 1",
            ),
        ),
    ),
    Rule(
        Finding.DISCRIMINATOR_WINNING,
        readings.discriminator_winning,
        (
            # A tenth of the loss of a blind D: G's samples are told apart with 95 % certainty.
            Sign("certainty", (10, 30, 100), "its loss is {share:.2g} of a blind one's"),
            # Gradients may fall 30-fold as pictures get better; a Wasserstein critic's may do so
            # without harm, and only its disappearance counts.
            Sign(
                "faded",
                (30, 100, 1e3),
                "its gradient to G has fallen {faded:.3g}-fold from its highest",
            ),
            Sign(
                "critic_faded",
                (1e3, 1e4, 1e5),
                "its gradient to G has fallen {critic_faded:.3g}-fold from its highest",
            ),
        ),
        says="D tells {accuracy:.1%} of the pairs apart, and {signs}",
    ),
    Rule(
        Finding.DISCRIMINATOR_BLIND,
        readings.discriminator_blind,
        (
            # Fakes are bad at first, and a D that sees anything tells 0.57 of them apart; later ½
            # is what one hopes for.
            Sign("best", (0.55, 0.535, 0.525), "at its best it told {best:.0%} of the pairs apart"),
            # Below a third D points the wrong way, and G follows.
            Sign("fooled", (0.33, 0.2, 0.05), "it ranks fakes above real ones"),
        ),
        says="D tells {now:.1%} of the pairs apart (50 % is guessing); {signs}",
        one_sign=True,
    ),
    Rule(
        Finding.FOOLING_WITH_GARBAGE,
        readings.fooling_with_garbage,
        (
            Sign(  # below 4 a healthy run does it by chance
                "fall",
                (4, 10, 30),
                "G's adversarial loss fell from {first:.3g} to {last:.3g}, D tells "
                "{accuracy:.1%} of the pairs apart, and validation is hardly better than a trivial "
                "answer",
            ),
        ),
    ),
    Rule(
        Finding.MODE_COLLAPSE,
        readings.mode_collapse,
        (
            # Blurred outputs still differ 0.8 as much as their targets, and regression without a
            # discriminator half as much where it cannot know.
            Sign("diversity", (0.6, 0.4, 0.2), _DIVERSITY.format("diversity")),
            Sign("diversity_without_d", (0.4, 0.25, 0.1), _DIVERSITY.format("diversity_without_d")),
            Sign(  # one of eight modes missing costs 0.12
                "coverage",
                (0.5, 0.3, 0.1),
                "{coverage:.0%} of the real samples have fakes around them",
            ),
            Sign("modes_share", (0.7, 0.55, 0.3), "{found:.0f} of {modes} modes are covered"),
        ),
        remedy_without_d=Cause.COLLAPSE_WITHOUT_D,
    ),
    Rule(
        Finding.LOW_FIDELITY,
        readings.low_fidelity,
        (
            # Healthy rings end above 0.5; of pictures, whose thumbnails lie on a few axes, only the
            # worst are found.
            Sign("fidelity_of_points", (0.4, 0.3, 0.2), _FIDELITY.format("fidelity_of_points")),
            Sign(
                "fidelity_of_pictures",
                (0.1, 0.05, 0.02),
                _FIDELITY.format("fidelity_of_pictures"),
            ),
        ),
    ),
    Rule(
        Finding.EXCESS_DIVERSITY,
        vital("diversity", of_many=True),
        # Healthy GANs begin up to twice as widely scattered as the data.
        (Sign("diversity", (2.5, 4.0, 8.0), _DIVERSITY.format("diversity")),),
    ),
    Rule(
        Finding.INPUT_IGNORED,
        vital("own_input"),
        (
            # 1 is a constant output, which three photos may miss by 0.02. Healthy tasks lie below
            # 0.7, rough sketches at 0.8.
            Sign(
                "own_input",
                (0.92, 0.95, 0.975),
                "an output is {own_input:.2f} times as far from its own target as from those of "
                "other inputs (1: input unused)",
            ),
        ),
    ),
    Rule(
        Finding.OVERFITTING,
        readings.overfitting,
        (
            # Photos differ in how much can be gained on them, so only the change counts; 1.4 dB
            # happens on twenty photos.
            Sign(
                "gap_db",
                (2, 4, 7),
                "since its best validation, {metric} on training photos and on photos held out "
                "have gone {gap_db:.1f} dB apart",
            ),
        ),
    ),
    Rule(
        Finding.DEAD_OUTPUTS,
        vital("dead"),
        # No photo is without contrast, so any share is a sickness; a tenth forgives a dark crop.
        (Sign("dead", (0.1, 0.4, 0.8), "{dead:.0%} of the outputs are one even color"),),
    ),
    Rule(
        Finding.SATURATED_OUTPUTS,
        vital("saturated"),
        (
            # Beyond the targets' own share of clipped values: a tenth of the picture is seen at
            # once.
            Sign(
                "saturated",
                (0.1, 0.3, 0.6),
                "{saturated:.0%} more of the output values lie at 0 or 1 than of the targets'",
            ),
        ),
    ),
    Rule(
        Finding.CHECKERBOARD,
        vital("checkerboard"),
        (
            # Targets have 1 by definition; a few small crops reach 2 by chance.
            Sign(
                "checkerboard",
                (5, 12, 30),
                "outputs have {checkerboard:.3g} times the energy of targets at the grid of the "
                "upsampling",
            ),
        ),
    ),
    Rule(
        Finding.LOSS_SPIKES,
        readings.loss_spikes,
        (
            # Healthy steps reach 10 times the usual gradient.
            Sign("d_grad_norm", (20, 50, 200), _SPIKE.format("d_grad_norm"), Cause.SPIKES_OF_D),
            Sign("g_grad_norm", (20, 50, 200), _SPIKE.format("g_grad_norm"), Cause.SPIKES_OF_G),
            # 0.29 is the deviation of an accuracy drawn at random.
            Sign("swing", (0.25, 0.33, 0.4), "D's accuracy varies by ±{swing:.2f}", Cause.SWINGS),
        ),
    ),
)
