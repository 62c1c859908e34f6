"""What may be asked of one application of a model: checked where it is made, typed for editors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from img2img.arguments import check_flag, check_share, check_whole
from img2img.errors import Advice, Option, Phrase, UserError
from img2img.inference.output_size import SizeOptions
from img2img.pixels.hints import Hints
from img2img.tasks import PhotoTask, UnpairedTask
from img2img.tasks.unpaired import DIRECTIONS, Direction


class TensorOptions(TypedDict, total=False):
    """The keywords of `Model.predict_tensor`; `Options` has the defaults."""

    strength: float
    direction: Direction | None
    self_ensemble: bool


class CallOptions(TensorOptions, total=False):
    """The keywords of a model's call that `Options` takes."""

    seed: int
    from_photo: bool


class PictureOptions(CallOptions, SizeOptions, total=False):
    """All keywords of a model's call."""


@dataclass(frozen=True)
class Options:
    """What a user may ask of one application of a model. Raises UserError for contradictions, and
    for values of another kind.
    """

    strength: float = 1.0
    """0: the task's trivial baseline, 1: the whole change by the network."""
    seed: int = 0
    """Of networks that draw."""
    from_photo: bool = False
    """Make the condition (a sketch) from the photo first."""
    direction: Direction | None = None
    """Of a model that goes both ways; AtoB unless asked for."""
    self_ensemble: bool = False
    """The mean over flips and turns, by models that were trained on turned photos."""
    hints: Hints | None = None
    """Colors a user painted, for tasks that take them."""

    def __post_init__(self) -> None:
        check_share("strength", self.strength)
        check_whole("seed", self.seed)
        for flag in ("from_photo", "self_ensemble"):
            check_flag(flag, getattr(self, flag))
        if self.direction not in (None, *DIRECTIONS):
            raise UserError(
                f"'{self.direction}' is none of {', '.join(DIRECTIONS)}", field="direction"
            )
        if self.from_photo and self.direction == "BtoA":
            raise UserError(
                Phrase(
                    *(Option("from_photo"), " makes side A's picture, and "),
                    *(Option("direction", "BtoA"), " takes side B's"),
                ),
                remedy="leave one out",
            )

    def check(self, name: str, task: PhotoTask) -> None:
        """Raise UserError when colors are given to a model that does not color, or a direction to
        one that has but one.
        """
        if self.hints is not None and not task.takes_hints:
            raise UserError(
                f"model '{name}' colors nothing", field="hints", remedy="leave the hints out"
            )
        self.check_direction(name, task)

    def check_direction(self, name: str, task: PhotoTask) -> None:
        """Raise UserError when a direction is asked of a model that has but one."""
        if self.direction is not None and not isinstance(task, UnpairedTask):
            raise UserError(
                f"model '{name}' goes one way only",
                field="direction",
                remedy=Advice.leave_out("direction"),
            )


DEFAULTS = Options()
