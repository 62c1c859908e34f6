"""Tasks that change a photo: what they see of it, at which size, and how the result becomes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from torch import Tensor

from img2img.pixels.color import resize
from img2img.pixels.hints import Hints
from img2img.pixels.images import Half
from img2img.tasks.base import HeightWidth, Task

Tones = Literal["continuous", "flat", "few", "halftone", "line art"]


@dataclass(frozen=True)
class PhotoStatistics:
    """What the automatic plan knows of a photo."""

    width: int
    height: int
    has_mask: bool
    tints: int
    """0: no color at all; 1: one tint throughout (sepia); 2: colors"""
    noise_sigma_255: float
    """Standard deviation of the noise on the 0-255 scale; 0 where texture hides it."""
    noise_correlated: bool = False
    """Neighbouring pixels alike: film grain, and what cameras make of sensor noise."""
    blockiness_255: float = 0.0
    """Step across the edges of JPEG's blocks beyond the steps inside them; 0 without a grid."""
    own_color_share: float = 0.0
    """Of the visible pixels, that have a color of their own: neither grey nor the tint's."""
    own_hue: str = ""
    """Of these, in a word."""
    one_hue: bool = False
    """Hardly any of these is of another."""
    tones: Tones = "continuous"
    """Of a photo without colors of its own; any other counts as continuous."""
    damaged_share: float = 0.0
    """Of the pixels, that a shipped model finds to be filled; 0 where none looks for any."""


class Reason(str):
    """Why a photo wants a task: a clause that completes "because …", and in `finding` what was
    found in the photo, by itself: "it is small (90×60)", found: "small (90×60)".
    """

    finding: str

    def __new__(cls, clause: str, finding: str = "") -> Self:
        """A clause without a finding, a plugin's perhaps, stands for both."""
        reason = super().__new__(cls, clause)
        reason.finding = finding or clause
        return reason

    @classmethod
    def all_of(cls, reasons: Sequence[Reason]) -> Reason | None:
        """One reason of several, None of none."""
        if not reasons:
            return None
        return cls(" and ".join(reasons), " and ".join(reason.finding for reason in reasons))


@dataclass(frozen=True)
class View:
    """A part of a photo as the network is to see it: a box in pixels, and the (height, width) to
    work at.
    """

    top: int
    left: int
    height: int
    width: int
    size: HeightWidth

    def cut(self, x: Tensor) -> Tensor:
        """The box of (B,C,H,W) at its own size."""
        return x[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def remaining(self, hole: Tensor) -> Tensor:
        """What of a mask (B,1,H,W), 1 = to be filled, is still to be filled after this view."""
        left = hole.clone()
        self.cut(left).zero_()
        return left


def working_view(size: HeightWidth, longest_px: int) -> View:
    """The whole photo, shrunk so that its longer side is at most `longest_px`; never enlarged."""
    factor = min(1.0, longest_px / max(size))
    height, width = (max(1, round(n * factor)) for n in size)
    return View(0, 0, *size, (height, width))


class PhotoTask(Task):
    """Photo in, photo out.

    What the automatic plan asks (`applies` and the class variables) it asks of the class: a photo
    needs no settings to show that it is noisy.
    """

    condition_is_noise: ClassVar[bool] = False
    fills: ClassVar[bool] = False
    """A mask says which part of a photo is to be filled. Such tasks derive from `MaskedTask`."""
    finds: ClassVar[bool] = False
    """Its picture is a mask, of what is to be filled. Such tasks derive from `FindingTask`."""
    usual_scale: ClassVar[int] = 1
    """Enlargement where none was asked for; 1 for tasks that do not enlarge."""
    minimum_px: ClassVar[int] = 16
    """The least side of a photo."""
    tiles: ClassVar[bool] = False
    """The result at a pixel depends on its neighbourhood alone, so large photos go in pieces."""
    takes_hints: ClassVar[bool] = False
    """A user may paint some of the result's colors."""
    keeps_grey: ClassVar[bool] = True
    """A grey photo stays grey."""
    finishes_in_srgb: ClassVar[bool] = False
    """The guarantee is one of color; others hold in the photo's own numbers."""
    finishes_in_strips: ClassVar[bool] = False
    """Rows of the result are made of these rows of the photo and what was predicted at working
    size (`finish_strip`), in sRGB: memory need not grow with the photo.
    """
    scale: ClassVar[int] = 1
    """Output size over input size."""
    for_found_photos: ClassVar[bool] = False
    """Trained on the damage of photos as found: the automatic plan prefers such a model."""

    def output_size(self, size: HeightWidth) -> HeightWidth:
        return size[0] * self.scale, size[1] * self.scale

    # --- from photo to photo

    def prepare(self, photo: Tensor) -> Tensor:
        """What the network sees of a photo (B,3,H,W): (B,Cc,H,W). Neither rejects nor clamps values
        beyond [0,1].
        """
        return photo

    def finish(self, photo: Tensor, rgb: Tensor) -> Tensor:
        """The final RGB for the photo, where the task's guarantee is made exact; `rgb` may be at
        working size.
        """
        return resize(rgb, self.output_size((photo.shape[-2], photo.shape[-1]))).clamp(0, 1)

    def finish_strip(self, photo: Tensor, rgb: Tensor, top: int, height: int) -> Tensor:
        """Rows of what `finish` makes: `photo` (B,3,h,W) are those from `top` on, of `height`."""
        raise NotImplementedError

    def vary(self, prediction: Tensor, seed: int) -> Tensor:
        """Another plausible prediction, drawn by a seed of 1 or more; the same one of tasks that
        know no other.
        """
        return prediction

    @property
    def condition_half(self) -> Half | None:
        """Where the condition lies in a file that is a pair side by side, A left and B right; None
        for tasks that do not learn from such pairs.
        """
        return None

    def views(self, size: HeightWidth) -> list[View]:
        """The parts of an (H,W) photo to work on, in order; the whole at its own size unless the
        task knows better.
        """
        return [View(0, 0, *size, size)]

    def from_photo(self, photo: Tensor) -> Tensor:
        """The condition picture made from a finished photo (`--from-photo`), for tasks that know
        how.
        """
        return photo

    def with_hints(self, condition: Tensor, hints: Hints) -> Tensor:
        """A condition (1,Cc,H,W) with the user's colors in it, for networks that see them; others
        see none.
        """
        return condition

    def apply_hints(self, rgb: Tensor, hints: Hints) -> Tensor:
        """A decoded picture (1,3,H,W) with the user's colors in it, for tasks that take them."""
        raise NotImplementedError

    def shown(self, condition: Tensor) -> Tensor | None:
        """The picture that a condition shows, RGB (B,3,h,w); None where it shows none that could be
        an answer.
        """
        return condition.expand(-1, 3, -1, -1) if condition.shape[1] in (1, 3) else None

    # --- exported graphs

    def graph_inputs(self, photo: Tensor, condition: Tensor) -> dict[str, Tensor]:
        """What an exported graph, which prepares and decodes by itself, is given: `input` is a
        picture (B,3,H,W); then, by name, what `prepare` cannot make of it within a graph.
        """
        return {"input": photo}

    def condition_of(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The condition that such a graph makes of its inputs."""
        return self.prepare(inputs["input"])

    # --- the automatic plan

    @classmethod
    def applies(cls, photo: PhotoStatistics) -> Reason | str | None:
        """Why an untouched photo wants this task: a clause that completes "because …", best with
        what was found by itself (`Reason`); None if it does not.
        """
        return None

    @classmethod
    def declines(cls, photo: PhotoStatistics) -> str | None:
        """Why an untouched photo that nearly asks for this task is left as it is; completes "not
        done: …, since …".
        """
        return None

    @classmethod
    def wants_found_model(cls, photo: PhotoStatistics) -> bool:
        """Whether a photo this task was asked for by name shows what only models for found photos
        have learned.
        """
        return False


def title(task: Task) -> str:
    """A task's kind, and by how much it enlarges: `super-resolve ×4`."""
    scale = task.scale if isinstance(task, PhotoTask) else 1
    return f"{task.kind} ×{scale}" if scale > 1 else task.kind
