"""What a protocol is: it makes cases of a photo, names baselines, scores results, and is stated
with every number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from img2img.data.sample import Sample
from img2img.evaluation import baselines, metrics
from img2img.evaluation.case import Case, Method
from img2img.evaluation.metrics import PERCEPTUAL_METRICS, Column
from img2img.evaluation.niqe import LEAST_PX as NIQE_LEAST_PX
from img2img.evaluation.niqe import niqe
from img2img.evaluation.peers import Peer
from img2img.pixels.augment import Augment
from img2img.tasks.photo import PhotoTask

Scores = dict[str, float | None]
NIQE = Column("NIQE", "lower", 2)
LEAST_PX = 32  # perceptual networks and the window of SSIM need so much


class Protocol(ABC):
    """One measurement of one model's task; a fresh instance for each run. `crop` is how the recipe
    cuts photos.
    """

    statement: ClassVar[str]
    own_columns: ClassVar[tuple[Column, ...]]
    reports_perceptual: ClassVar[bool] = False
    """Whether perceptual distances are reported too."""
    reports_niqe: ClassVar[bool] = True
    """Whether NIQE is reported too, of results that are large enough for it."""
    ranked_by: ClassVar[Column]
    """The number that decides the worst cases, and which trivial answer is the best."""
    called: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The names that trivial answers have in tables."""

    def __init__(self, task: PhotoTask, crop: Augment, device: torch.device | str = "cpu") -> None:
        self.task, self.crop, self.device = task, crop, torch.device(device)
        self.perceptual = metrics.perceptual_networks() if self.reports_perceptual else {}
        self.niqe_of_photos: dict[str, float | None] = {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The numbers of a row of the table; NIQE among them once a photo was fit for it."""
        return (
            *self.own_columns,
            *(Column(PERCEPTUAL_METRICS[network], "lower", 4) for network in self.perceptual),
            *([NIQE] if any(v is not None for v in self.niqe_of_photos.values()) else []),
        )

    @property
    def least_px(self) -> int:
        """The shorter side a photo must have."""
        return max(LEAST_PX, self.task.minimum_px * self.task.scale)

    def baselines(self) -> dict[str, Method]:
        """Methods that need no training but are more than a trivial answer, by the name the table
        gives them.
        """
        return {}

    def peers(self) -> tuple[Peer, ...]:
        """Other people's models and classical methods to measure by this protocol, each in a
        process of its own. One of a baseline's name is that baseline.
        """
        return ()

    def trivial(self, case: Case) -> dict[str, Tensor]:
        """The task's trivial answers, by the name the table gives them."""
        return {
            self.called.get(name, name): rgb
            for name, rgb in baselines.trivial(self.task, case).items()
        }

    @abstractmethod
    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        """What every method is given of a photo, one case a setting; `sample.number` is its place
        in the folder.
        """

    @abstractmethod
    def measure(self, case: Case, rgb: Tensor) -> Scores:
        """The numbers of one result but perceptual distances and NIQE."""

    def score(self, case: Case, results: Mapping[str, Tensor]) -> dict[str, Scores]:
        """All numbers of the results of all methods on one case."""
        scores = {name: self.measure(case, rgb) for name, rgb in results.items()}
        pictures = torch.cat(list(results.values())).to(self.device)
        for network, reason in self.perceptual.items():
            found = (
                None
                if reason
                else metrics.perceptual(network, pictures, case.truth.to(self.device))
            )
            for index, values in enumerate(scores.values()):
                values[PERCEPTUAL_METRICS[network]] = found[index] if found else None
        if self.reports_niqe:
            if case.photo not in self.niqe_of_photos:
                self.niqe_of_photos[case.photo] = niqe(case.truth)
            # a photo that is not fit for it is left out for every method alike
            fit = self.niqe_of_photos[case.photo] is not None
            for name, rgb in results.items():
                scores[name][NIQE.name] = niqe(rgb) if fit else None
        return scores

    def summary(self, setting: str, method: str, scores: Sequence[Scores]) -> Scores:
        """A row of the table from the numbers of all photos: their means, unless a number says
        otherwise.
        """
        return {column.name: mean(scores, column.name) for column in self.columns}

    def notes(self) -> list[str]:
        """What a reader of the numbers must know besides the statement."""
        missing = [
            f"{PERCEPTUAL_METRICS[network]} is not available: {reason}"
            for network, reason in self.perceptual.items()
            if reason
        ]
        return [*missing, *self._about_niqe()]

    def _about_niqe(self) -> list[str]:
        """What NIQE is of the photos themselves, and of how many it was left blank."""
        values = [value for value in self.niqe_of_photos.values() if value is not None]
        blank = len(self.niqe_of_photos) - len(values)
        notes = []
        if values:
            notes.append(
                "NIQE needs no truth: how far a result's luma is from the statistics of good "
                f"photos; {np.mean(values):.{NIQE.digits}f} of the measured photos themselves"
            )
        if blank:
            notes.append(
                f"NIQE is blank for {blank} of {len(self.niqe_of_photos)} photos, measured on less "
                f"than {NIQE_LEAST_PX} px a side or without texture"
            )
        return notes


def mean(scores: Sequence[Scores], name: str) -> float | None:
    """Mean of one number over the photos; None when it was measured on none."""
    values = [value for s in scores if (value := s.get(name)) is not None]
    return float(np.mean(values)) if values else None
