"""`best.safetensors`: the averaged weights of the best validation so far (`train.keep_best`)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from img2img.errors import UserError
from img2img.modelfile import Card
from img2img.tasks.base import MainMetric
from img2img.zoo.catalogue import CATALOGUE

log = logging.getLogger("img2img")


class Best:
    """The best model of a run. Its metrics are in its own header alone, where a resumed run reads
    them.
    """

    def __init__(self, path: Path, metric: MainMetric) -> None:
        self.path, self.metric = path, metric
        self.card: Card | None = None
        if path.exists():
            try:
                self.card = CATALOGUE.header(path).card
            except UserError as error:
                log.warning("%s: another takes its place", error)

    def is_reached_by(self, validation: Mapping[str, float]) -> bool:
        """Whether these numbers are at least as good by the task's main metric; of equals, the
        model that trained longer is kept.
        """
        value = validation.get(self.metric.name)
        if value is None:
            raise UserError(
                f"the task's main_metric is '{self.metric.name}', which is not measured",
                field="train.keep_best",
            )
        if not math.isfinite(value):
            return False
        best = self.card.metrics.get("validation", {}).get(self.metric.name) if self.card else None
        return best is None or (value >= best if self.metric.higher_is_better else value <= best)

    def summary(self) -> dict[str, Any] | None:
        """Its step, main metric and file, for the run's summary."""
        if self.card is None:
            return None
        value = self.card.metrics["validation"][self.metric.name]
        return {"step": self.card.steps, self.metric.name: value, "model": str(self.path)}
