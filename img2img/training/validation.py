"""Validation: what the averaged weights answer to frozen batches, and the best trivial answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from img2img.data.dataset import Photos
from img2img.data.sample import Batch
from img2img.recipe import Recipe
from img2img.tasks.base import SheetRow
from img2img.tasks.baseline import best_numbers, mean_target
from img2img.tasks.forward import predict_rgb
from img2img.training.methods import METHODS
from img2img.training.step import TrainingStep

MEAN_OF = 64  # training samples in the mean target, where none of them are frozen for validation


class Baseline(NamedTuple):
    """The best of the trivial answers to frozen batches."""

    numbers: dict[str, float]  # by metric
    named: dict[str, str]  # by metric: which answer that is
    pictures: list[torch.Tensor]  # a batch each, of the answer that is best by the first metric


class ValidationResult(NamedTuple):
    """Frozen batches with their baseline and the outputs, and the means of the task's metrics."""

    rows: list[SheetRow]
    metrics: dict[str, float]
    baseline: Baseline


class Validation:
    """Measures the averaged generator on frozen batches, by the task's metrics.

    A set's baseline never changes, so it is computed once.
    """

    def __init__(self, recipe: Recipe, photos: Photos, step: TrainingStep) -> None:
        self.recipe, self.photos, self.step = recipe, photos, step
        self.method = METHODS[recipe.train.method.kind].metrics(step)
        self.accelerator = step.accelerator
        self.baselines: dict[str, Baseline] = {}

    def measure(self, batches: Sequence[Batch], name: str) -> ValidationResult:
        """Metrics on the frozen batches of this name ("validation" or "training")."""
        batches = [batch.to(self.accelerator.device) for batch in batches]
        metrics: list[dict[str, float]] = []
        outputs: list[torch.Tensor] = []
        with torch.inference_mode(), self.accelerator.autocast():
            if name not in self.baselines:
                self.baselines[name] = self._baseline(batches)
            for batch in batches:
                rgb = predict_rgb(
                    self.recipe.task,
                    self.step.ema.module,
                    self.recipe.generator.multiple_of,
                    batch.condition,
                )
                outputs.append(rgb)
                metrics.append(self.method.metrics(batch, rgb, strength=1.0))
        baseline = self.baselines[name]
        rows = list(zip(batches, baseline.pictures, outputs, strict=True))
        return ValidationResult(rows, _means(metrics), baseline)

    def _baseline(self, batches: Sequence[Batch]) -> Baseline:
        if not batches:
            return Baseline({}, {}, [])
        seen = self.photos.trained or [self.photos.train[number] for number in range(MEAN_OF)]
        mean = mean_target(batch.target for batch in seen)
        answers = [self.method.trivial(batch, mean) for batch in batches]
        numbers, named = best_numbers(
            {name: _means([a[name].metrics for a in answers]) for name in answers[0]}
        )
        shown = next(iter(named.values()), next(iter(answers[0])))
        return Baseline(numbers, named, [a[shown].rgb for a in answers])


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}
