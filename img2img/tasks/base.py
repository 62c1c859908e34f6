"""The contract of a task: the one place that knows what its pixels mean.

Trainer, pipeline, evaluation and app call a task through this class and never look at its name. A
new task is one file in this folder (found by itself) or an entry point in the group
`img2img.tasks`, plus a recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from kornia.metrics import psnr
from torch import Tensor

from img2img.data.sample import Batch, Sample
from img2img.models.blocks import Bottleneck
from img2img.pixels.alpha import BLEED
from img2img.pixels.color import resize
from img2img.pixels.hints import Hints
from img2img.pixels.sheets import rows_sheet
from img2img.pixels.xmp import DigitalSourceType
from img2img.ranges import Fields

Row = tuple[
    Batch, Tensor, Tensor
]  # validated: the batch, its best trivial answer, what was made of it
COPIED = "copying the input"
ScoreFunction = Callable[[Tensor], Tensor]  # pictures (B,C,H,W) to one score each, (B,)
Tones = Literal["continuous", "flat", "few", "halftone", "line art"]
Reads = Literal["photo", "pair", "label", "none", "two sides", "two halves"]


@dataclass(frozen=True)
class PhotoStatistics:
    """What the automatic plan knows of a photo."""

    width: int
    height: int
    has_mask: bool
    tints: int  # 0: no color at all; 1: one tint throughout (sepia); 2: colors
    # standard deviation of the noise on the 0-255 scale; 0 where none is told from texture
    noise_sigma_255: float
    noise_correlated: bool = (
        False  # neighbouring pixels alike: film grain, and what cameras make of sensor noise
    )
    blockiness_255: float = (
        0.0  # step across the edges of JPEG's blocks beyond those beside them; 0 without a grid
    )
    own_color_share: float = (
        0.0  # of the visible pixels, that have a color of their own: neither grey nor the tint's
    )
    own_hue: str = ""  # of these, in a word
    one_hue: bool = False  # hardly any of these is of another
    tones: Tones = "continuous"


@dataclass(frozen=True)
class View:
    """A part of a photo as the network is to see it: a box in pixels, and the (height, width) to
    work at.
    """

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]

    def cut(self, x: Tensor) -> Tensor:
        """The box of (B,C,H,W) at its own size."""
        return x[..., self.top : self.top + self.height, self.left : self.left + self.width]


class MainMetric(NamedTuple):
    """The validated number by which one model of a task is better than another."""

    name: str
    higher_is_better: bool = True


class Task(Fields):
    """Fields are the task's settings in a recipe; properties and methods say what its pixels mean.

    Pictures are float tensors (B,C,H,W) in [0,1]; masks (B,1,H,W), 1 = to be filled.
    """

    kind: str

    reads_what: ClassVar[Reads] = "photo"
    needs_mask: ClassVar[bool] = False
    takes_hints: ClassVar[bool] = False  # a person may paint some of the result's colors
    tiles: ClassVar[bool] = False  # the result at a pixel depends on its neighbourhood alone
    keeps_grey: ClassVar[bool] = True  # a grey photo stays grey
    finishes_in_srgb: ClassVar[bool] = (
        False  # the guarantee is one of color; others hold in the photo's own numbers
    )
    minimum_px: ClassVar[int] = 16
    plan_order: ClassVar[int] = 50  # steps of an automatic plan run from low to high
    prediction_strides: ClassVar[tuple[int, ...]] = (1,)
    from_noise: ClassVar[bool] = (
        False  # makes pictures of nothing but noise and a label: `img2img generate`
    )
    set_based: ClassVar[bool] = False  # validated all at once: its numbers compare sets of pictures
    source_type: ClassVar[DigitalSourceType | None] = (
        None  # IPTC's word where pixels are invented: results state it
    )
    zeros_are: ClassVar[str] = (
        "predicting nothing"  # the trivial answer that `decode` makes of zeros, in words
    )
    verb: ClassVar[str] = "change"  # "denoise it", in the sentence of the automatic plan

    @property
    def reads(self) -> Reads:
        """What a sample must hold."""
        return self.reads_what

    @property
    def unpaired(self) -> bool:
        """Samples are pictures of two sides that do not belong together; both ways are learned."""
        return self.reads in ("two sides", "two halves")

    @property
    def background(self) -> str:
        """What a picture's transparency is laid on: `bleed` continues what is visible, and the
        result has its alpha.

        A color, for conditions drawn on paper: the result is opaque.
        """
        return BLEED

    @property
    def condition_channels(self) -> int:
        """Channels the network sees."""
        return 3

    @property
    def prediction_channels(self) -> int:
        """Channels the network predicts."""
        return 3

    @property
    def picture_channels(self) -> int:
        """Channels of what `decode` makes: 3, but for tasks whose pictures are points."""
        return 3

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return 1

    @property
    def classes(self) -> int:
        """How many labels there are; 0 where samples have none."""
        return 0

    @property
    def bottleneck(self) -> Bottleneck | None:
        """What a picture has to pass through to be made again; None where it need not."""
        return None

    @property
    def for_found_photos(self) -> bool:
        """Trained on the damage of photos as they are found: the automatic plan prefers such a
        model.
        """
        return False

    @property
    def from_prior(self) -> Task | None:
        """The task of making pictures of this one's codes by the network's `decoder`; None where
        there are no codes.
        """
        return None

    @property
    def code_sizes(self) -> tuple[int, int]:
        """InfoGAN's codes: values of the categorical one, number of continuous ones."""
        return 0, 0

    def make_pair(self, sample: Sample, rng: np.random.Generator) -> Batch:
        """A training pair as a batch of one; a pure function of its arguments."""
        raise NotImplementedError

    def prepare(self, photo: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the network sees of a photo (B,3,H,W): (B,Cc,H,W). Neither rejects nor clamps values
        beyond [0,1].
        """
        return photo

    def decode(self, condition: Tensor, prediction: Tensor, mask: Tensor | None = None) -> Tensor:
        """RGB of a prediction, differentiable; a prediction of zeros is the task's own trivial
        answer, `zeros_are`.
        """
        raise NotImplementedError

    def shown(self, condition: Tensor) -> Tensor | None:
        """The picture that a condition shows, RGB (B,3,h,w); None where it shows none that could be
        an answer.
        """
        return condition.expand(-1, 3, -1, -1) if condition.shape[1] in (1, 3) else None

    def follow(self, rgb: Tensor, hints: Hints) -> Tensor:
        """A decoded picture (1,3,H,W) with a person's colors in it, for tasks that take them."""
        raise NotImplementedError

    def finish(self, photo: Tensor, rgb: Tensor, mask: Tensor | None = None) -> Tensor:
        """The final RGB for the photo, where the task's guarantee is made exact; `rgb` may be at
        working size.
        """
        return resize(rgb, (photo.shape[-2] * self.scale, photo.shape[-1] * self.scale)).clamp(0, 1)

    def from_photo(self, photo: Tensor) -> Tensor:
        """The condition picture made from a finished photo (`--from-photo`), for tasks that know
        how.
        """
        return photo

    def other_side(self, photo: Tensor) -> Tensor | None:
        """What an unpaired task's side A would show of side B's photo, where that is known."""
        return None

    def views(self, size: tuple[int, int], mask: np.ndarray | None = None) -> list[View]:
        """The parts of an (H,W) photo to work on, in order; the whole at its own size unless the
        task knows better.
        """
        return [View(0, 0, *size, size)]

    def applies(self, photo: PhotoStatistics) -> str | None:
        """Why an untouched photo wants this task, in words that complete "because …"; None if it
        does not.
        """
        return None

    def declines(self, photo: PhotoStatistics) -> str | None:
        """Why an untouched photo that nearly asks for this task is left as it is; completes "not
        done: …, since …".
        """
        return None

    @property
    def main_metric(self) -> MainMetric:
        """One of the numbers of `metrics`, or of what a training step adds to them."""
        return MainMetric("psnr_db")

    def wants_found_model(self, photo: PhotoStatistics) -> bool:
        """Whether a photo this task was asked for by name shows what only models for found photos
        have learned.
        """
        return False

    def metrics(
        self, rgb: Tensor, target: Tensor, mask: Tensor | None = None
    ) -> Mapping[str, float]:
        """Validation numbers of a batch, RGB in [0,1]."""
        return {"psnr_db": float(psnr(rgb.float().clamp(0, 1), target.float(), 1.0))}

    def sheet(self, rows: Sequence[Row], judge: ScoreFunction | None = None) -> np.ndarray:
        """What validation looks like, (H,W,3) in [0,1]: a row a photo, from the network's input to
        the truth.
        """
        return rows_sheet([(b.condition, baseline, made, b.target) for b, baseline, made in rows])


def working_view(size: tuple[int, int], longest_px: int) -> View:
    """The whole photo, shrunk so that its longer side is at most `longest_px`; never enlarged."""
    factor = min(1.0, longest_px / max(size))
    height, width = (max(1, round(n * factor)) for n in size)
    return View(0, 0, *size, (height, width))
