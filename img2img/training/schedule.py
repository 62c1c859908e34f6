"""What a step's number decides: the learning rate, and who trains.

Pure functions of the step: nothing to save, and nothing to get out of step on resume.
"""

from __future__ import annotations

import math
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


def phase_at(step: int, recipe: Recipe, d_every: int = 1) -> Phase:
    """Who trains at a step (counted from 0).

    Without an adversarial part G alone trains. With one, at first G alone (`start_step`, or
    GLCIC's first phase), then D alone (GLCIC's second phase), then both: G after every `d_steps`
    steps of D. `d_every` > 1 lets D rest in between, which weakens it (a remedy of the doctor's).
    """
    adversarial = recipe.adversarial
    if adversarial is None:
        return Phase(d_trains=False, g_trains=True, adversarial=False)
    d_start, both_start = adversarial.phase_starts(recipe.train.steps)
    d_trains = step >= d_start and step % d_every == 0
    if step < both_start:
        return Phase(d_trains, g_trains=step < d_start, adversarial=False)
    d_steps = adversarial.d_steps_per_g_step
    return Phase(d_trains, g_trains=(step - both_start) % d_steps == d_steps - 1, adversarial=True)


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
