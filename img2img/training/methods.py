"""The kinds of training step by the name a recipe gives them in `train.method`."""

from __future__ import annotations

from typing import Any

from img2img.training.autoencode import AutoencoderStep
from img2img.training.cycle import CycleStep
from img2img.training.paired import PairedStep
from img2img.training.step import TrainingStep

STEPS: dict[str, type[TrainingStep[Any]]] = {
    "paired": PairedStep,
    "cycle": CycleStep,
    "autoencoder": AutoencoderStep,
}
