"""The kinds of training step by the name a recipe gives them in `train.method`."""

from __future__ import annotations

from typing import Any

from img2img.training.autoencode import AutoencoderStep
from img2img.training.cycle import CycleStep
from img2img.training.game import Game
from img2img.training.steps import PairedStep

STEPS: dict[str, type[Game[Any]]] = {"paired": PairedStep, "cycle": CycleStep, "autoencoder": AutoencoderStep}
