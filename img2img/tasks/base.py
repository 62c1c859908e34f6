"""The contract of a task: the one place that knows what its pixels mean.

Trainer, pipeline, evaluation and app call a task through its family's class and never look at its
name. A new task is one file in this folder (found by itself) or an entry point in the group
`img2img.tasks`, plus a recipe. Most derive from `PhotoTask` (img2img/tasks/photo.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from torch import Tensor

from img2img.config import FrozenConfig
from img2img.data.sample import Batch, EmptySample, collate
from img2img.pixels.alpha import BLEED
from img2img.pixels.psnr import psnr_db
from img2img.pixels.sheets import rows_sheet
from img2img.pixels.tensors import ScoreFunction
from img2img.pixels.xmp import DigitalSourceType

SheetRow = tuple[Batch, Tensor, Tensor]
"""Validated: the batch, its best trivial answer, and the generated pictures."""
Reads = Literal["photo", "pair", "label", "none", "two sides", "two halves"]
HeightWidth = tuple[int, int]
"""Height and width, px."""

COPIED = "copying the input"


class MainMetric(NamedTuple):
    """The validated number by which one model of a task is better than another."""

    name: str
    higher_is_better: bool = True


class Task(FrozenConfig):
    """Fields are the task's settings in a recipe; properties and methods say what its pixels mean.

    Pictures are float tensors (B,C,H,W) in [0,1].
    """

    kind: str

    condition_is_noise: ClassVar[bool]
    """The generator's input is noise, (B,C,1,1), and no picture; set by the families alone."""
    draws: ClassVar[bool] = False
    """`make_pair` draws from its random generator."""
    set_based: ClassVar[bool] = False
    """Validated all at once: the numbers compare sets of pictures."""
    prediction_strides: ClassVar[tuple[int, ...]] = (1,)
    """Heights of the picture over heights of the prediction that `decode` takes."""
    zeros_are: ClassVar[str] = "predicting nothing"
    """The trivial answer that `decode` makes of zeros, in words."""
    verb: ClassVar[str] = "change"
    """What the task does, in a plan's sentence: "denoise"."""
    plan_order: ClassVar[int] = 50
    """Steps of an automatic plan run from low to high."""
    source_type: ClassVar[DigitalSourceType | None] = None
    """IPTC's word for pictures whose pixels are invented; results state it in their XMP."""
    background: ClassVar[str] = BLEED
    """What a picture's transparency is laid on: `bleed` continues what is visible, and the result
    has its alpha. A color, for conditions drawn on paper: the result is opaque.
    """
    predicts_residual: ClassVar[bool] = False
    """The prediction is added to the condition's first three channels, which are a picture,
    enlarged bicubically where the task enlarges.
    """
    picture_channels: ClassVar[int] = 3
    """Channels of what `decode` makes: 3, but for points."""
    main_metric: ClassVar[MainMetric] = MainMetric("psnr_db")
    """One of the numbers of `metrics`, or of what a training step adds to them."""

    # --- what data and networks need to know

    @property
    def reads(self) -> Reads:
        """What a sample must hold."""
        return "photo"

    @property
    def condition_channels(self) -> int:
        """Channels the network sees."""
        return 3

    @property
    def prediction_channels(self) -> int:
        """Channels the network predicts."""
        return 3

    @property
    def classes(self) -> int:
        """How many labels there are; 0 where samples have none."""
        return 0

    def output_size(self, size: HeightWidth) -> HeightWidth:
        """Height and width of the picture that is made of a condition of this height and width."""
        return size

    # --- training

    def make_pair(self, sample: Any, rng: np.random.Generator) -> Batch:
        """A training pair as a batch of one; a pure function of its arguments.

        `sample` is a `PhotoSample`, or what `reads` says (img2img/data/sample.py).
        """
        raise NotImplementedError

    def draw(self, numbers: Sequence[int], rngs: Sequence[np.random.Generator]) -> Batch:
        """The samples of these numbers, each from its own generator, of a task that reads nothing:
        what `make_pair` gives of each, joined. A task of many cheap samples makes them at once.
        """
        pairs = zip(numbers, rngs, strict=True)
        return collate([self.make_pair(EmptySample(number), rng) for number, rng in pairs])

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        """RGB of a prediction, differentiable; a prediction of zeros is the task's own trivial
        answer, `zeros_are`.
        """
        raise NotImplementedError

    def encode(self, batch: Batch) -> Tensor:
        """The prediction that `decode` makes the batch's target of: what a perfect network says.

        This is the residual, for a `decode` that adds the prediction to something. A task whose
        `decode` does otherwise writes the inverse of it here.
        """
        size = batch.target.shape[-2:]
        zeros = batch.target.new_zeros(len(batch), self.prediction_channels, *size)
        return batch.target - self.decode(batch.condition, zeros)

    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        """Validation numbers of pictures (B,3,H,W) that were generated for a batch."""
        return {"psnr_db": psnr_db(rgb, batch.target)}

    def sheet(self, rows: Sequence[SheetRow], score: ScoreFunction | None = None) -> np.ndarray:
        """What validation looks like, (H,W,3) in [0,1]: a row a photo, from the network's input to
        the truth.
        """
        return rows_sheet([(b.condition, baseline, fake, b.target) for b, baseline, fake in rows])

    # --- choosing

    @classmethod
    def for_fields(cls, fields: Mapping[str, Any]) -> type[Task]:
        """The class for these fields of a recipe, where one kind of task has members in two
        families.
        """
        return cls
