"""Tasks that learn from the pictures of two sides without pairs, both ways at once."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from img2img.tasks.photo import PhotoTask

Direction = Literal["AtoB", "BtoA"]
DIRECTIONS: tuple[Direction, Direction] = ("AtoB", "BtoA")


class UnpairedTask(PhotoTask):
    """A picture of one side in, the same as the other side would show it out.

    A batch's condition is a picture of side A, and its target one of side B, of something else.
    """

    trained_by: ClassVar[str] = "cycle"
    """The `train.method` that a recipe of such a task needs."""

    def other_side(self, photo: Tensor) -> Tensor | None:
        """What side A would show of side B's photo, where side A is made of photos."""
        return None
