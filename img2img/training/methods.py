"""The training methods by the name that a recipe gives them in `train.method`."""

from __future__ import annotations

from typing import Any, NamedTuple

from img2img.training.autoencode import AutoencoderStep
from img2img.training.cycle import CycleStep
from img2img.training.method_metrics import AutoencoderMetrics, CycleMetrics, MethodMetrics
from img2img.training.paired import PairedStep
from img2img.training.step import TrainingStep


class MethodClasses(NamedTuple):
    """A method's algorithm, and what validation measures of it."""

    step: type[TrainingStep]
    metrics: type[MethodMetrics[Any]]


METHODS = {
    "paired": MethodClasses(PairedStep, MethodMetrics),
    "cycle": MethodClasses(CycleStep, CycleMetrics),
    "autoencoder": MethodClasses(AutoencoderStep, AutoencoderMetrics),
}
