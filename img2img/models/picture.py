"""Networks that answer with the picture itself, as the community's restorers do.

Ours predict what a task's trivial answer lacks. A network of this kind says that difference too, so
strength, tiles, alpha and 16 bits work on it as on any other, and what it learned can be kept in a
layout that other programs open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn

from img2img.conflicts import Conflict, RecipeContext
from img2img.models.base import GeneratorConfig
from img2img.pixels.color import upscale


class PictureConfig(GeneratorConfig):
    """A generator whose picture is its input restored."""

    enlarges: ClassVar[bool] = True

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if not context.task.predicts_residual:
            reason = "it answers with its input restored, and the task's picture is none"
            yield self.unfit(context, f"{reason}; use a network of our own")


class LayoutConfig(PictureConfig):
    """One whose tensors have the names and shapes that the community's programs open."""

    community_format: ClassVar[str]
    """What exporting to that layout is called."""

    @property
    def size_tags(self) -> tuple[str, ...]:
        """Its size as the community writes it: `64nf`, `23nb`."""
        raise NotImplementedError

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if context.task.fills:
            yield self.unfit(context, "it sees no mask")


class PictureNetwork(nn.Module):
    """(B,Cin,H,W) to what its picture adds to the input, bicubically enlarged: (B,3,H·s,W·s)."""

    masked = False
    """The condition's last channel is a mask, which it sees."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, condition: Tensor) -> Tensor:
        picture, mask = condition[:, :3], condition[:, -1:] if self.masked else None
        if picture.shape[1] == 1:
            picture = picture.expand(-1, 3, -1, -1)
        given = upscale(picture, self.scale) if self.scale > 1 else picture
        return self.answer(picture, mask).float() - given

    def answer(self, picture: Tensor, mask: Tensor | None = None) -> Tensor:
        """The network's own picture (B,3,H·s,W·s) of one in [0,1], unbounded."""
        raise NotImplementedError
