"""The training methods by the name that a recipe gives them in `train.method`."""

from __future__ import annotations

from typing import Any, NamedTuple

from img2img.training.autoencode import AutoencoderStep
from img2img.training.cycle import CycleStep
from img2img.training.measures import AutoencoderMeasures, CycleMeasures, Measures
from img2img.training.paired import PairedStep
from img2img.training.step import TrainingStep


class Method(NamedTuple):
    """An algorithm, and what validation measures of it."""

    step: type[TrainingStep]
    measures: type[Measures[Any]]


METHODS = {
    "paired": Method(PairedStep, Measures),
    "cycle": Method(CycleStep, CycleMeasures),
    "autoencoder": Method(AutoencoderStep, AutoencoderMeasures),
}
