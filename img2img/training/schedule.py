"""Learning rates as pure functions of the step: nothing to save, nothing to get out of step on
resume.
"""

from __future__ import annotations

import math

from img2img.recipe import TrainConfig


def learning_rate_factor(train: TrainConfig, step: int) -> float:
    """What train.lr is multiplied with at a step (counted from 0), warm-up included."""
    rising = train.warmup_steps or train.warmup_share * train.steps
    warm = min(1.0, (step + 1) / rising) if rising else 1.0
    done = step / train.steps
    if train.schedule == "cosine":
        low = train.final_lr_ratio
        return warm * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))
    if train.schedule == "linear" and done > train.decay_from:
        return warm * max(0.0, (1 - done) / (1 - train.decay_from))
    return warm
