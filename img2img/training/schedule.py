"""What a step's number decides: the learning rate, and who trains.

Pure functions of the step: nothing to save, and nothing to get out of step on resume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from img2img.recipe import Recipe, TrainConfig


class Phase(NamedTuple):
    """Who trains at a step."""

    d_trains: bool
    g_trains: bool
    adversarial: bool
    """G's loss includes the adversarial one"""

    @property
    def idle(self) -> bool:
        """Nobody trains: D rests at a step that is not G's."""
        return not (self.d_trains or self.g_trains)


@dataclass(frozen=True)
class PhaseSchedule:
    """Who trains when, in a run with a discriminator: at first G alone (`start_step`, or GLCIC's
    first phase), then D alone (GLCIC's second phase), then both: G after each `d_steps` of D.
    """

    d_start: int
    """the step (counted from 0) from which D trains"""
    both_start: int
    """the step from which G trains with D's loss"""
    d_steps: int
    """D's steps to one of G's"""

    @classmethod
    def of(cls, recipe: Recipe) -> PhaseSchedule:
        """As a recipe says it; without an adversarial part G trains alone to the end."""
        steps, adversarial = recipe.train.steps, recipe.adversarial
        if adversarial is None:
            return cls(steps, steps, 1)
        return cls(*adversarial.phase_starts(steps), adversarial.d_steps_per_g_step)

    def at(self, step: int, d_every: int = 1) -> Phase:
        """The phase of a step. With `d_every` > 1 D rests in between, a remedy of the doctor's."""
        d_trains = step >= self.d_start and step % d_every == 0
        if step < self.both_start:
            return Phase(d_trains, g_trains=step < self.d_start, adversarial=False)
        last_of_d = (step - self.both_start) % self.d_steps == self.d_steps - 1
        return Phase(d_trains, g_trains=last_of_d, adversarial=True)


def learning_rate_factor(train: TrainConfig, step: int) -> float:
    """What `train.lr` is multiplied with at a step (counted from 0), warm-up included."""
    rising = train.warmup_steps or train.warmup_share * train.steps
    warm = min(1.0, (step + 1) / rising) if rising else 1.0
    done = step / train.steps
    if train.schedule == "cosine":
        low = train.final_lr_ratio
        return warm * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))
    if train.schedule == "linear" and done > train.decay_from:
        return warm * max(0.0, (1 - done) / (1 - train.decay_from))
    return warm
