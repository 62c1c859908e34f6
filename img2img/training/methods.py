"""The kinds of training step by the name a recipe gives them in `train.method`."""

from __future__ import annotations

from img2img.training.steps import PairedStep

STEPS: dict[str, type[PairedStep]] = {"paired": PairedStep}
