"""Crops and flips of training pictures, the same for all pictures of a sample; (H,W,3) uint8 arrays
in and out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar

import cv2
import numpy as np
from pydantic import Field

from img2img.config import FrozenConfig, Ordered

Picture = np.ndarray
MOST_PX = 8192  # a side of what is trained on
Side = Annotated[int, Field(ge=1, le=MOST_PX)]


class Augment(FrozenConfig):
    """How a training crop is cut from a photo."""

    former_names: ClassVar[dict[str, str]] = {"colour_jitter": "color_jitter"}

    crop_px: int = Field(128, ge=16, le=MOST_PX, description="side of the square crop")
    resize_px: Annotated[tuple[Side, Side], Ordered] | None = Field(
        None,
        description="shorter side is first resized to a random length in this range; "
        "[286, 286] is pix2pix's jitter",
    )
    crop_tries: int = Field(
        1,
        ge=1,
        le=16,
        description="keep the most detailed of so many crops (flat patches teach little)",
    )
    flip: bool = Field(True, description="mirror left-right, half of the time")
    rotate: bool = Field(
        False, description="quarter turns and up-down flips too: for textures, not for scenes"
    )
    color_jitter: float = Field(
        0.0, ge=0, le=0.5, description="brightness, contrast and saturation change by up to this"
    )

    def __call__(
        self, pictures: Sequence[Picture], rng: np.random.Generator, align_px: int = 1
    ) -> list[Picture]:
        """Cut, flip and jitter pictures alike; crops begin on multiples of `align_px`."""
        pictures = self.sized(pictures, rng)
        top, left = self._choose(pictures[0], rng, align_px)
        side = self.crop_px
        cut = [picture[top : top + side, left : left + side] for picture in pictures]
        return self._albumented(cut, rng)

    def sized(self, pictures: Sequence[Picture], rng: np.random.Generator) -> list[Picture]:
        """Resize so that the shorter side has the drawn length, and a crop fits in any case."""
        shorter = min(pictures[0].shape[:2])
        wanted = (
            shorter
            if self.resize_px is None
            else int(rng.integers(self.resize_px[0], self.resize_px[1] + 1))
        )
        wanted = max(wanted, self.crop_px)
        return (
            list(pictures)
            if wanted == shorter
            else [resized(p, wanted / shorter, self.crop_px) for p in pictures]
        )

    def center(self, pictures: Sequence[Picture]) -> list[Picture]:
        """The middle crop without any chance: what validation looks at."""
        length = None if self.resize_px is None else max(self.resize_px[0], self.crop_px)
        shorter = min(pictures[0].shape[:2])
        wanted = max(shorter if length is None else length, self.crop_px)
        if wanted != shorter:
            pictures = [resized(p, wanted / shorter, self.crop_px) for p in pictures]
        top, left = ((n - self.crop_px) // 2 for n in pictures[0].shape[:2])
        return [
            np.ascontiguousarray(p[top : top + self.crop_px, left : left + self.crop_px])
            for p in pictures
        ]

    def _choose(self, picture: Picture, rng: np.random.Generator, align_px: int) -> tuple[int, int]:
        height, width = picture.shape[:2]
        side = self.crop_px
        corners = [
            (int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1)))
            for _ in range(self.crop_tries)
        ]
        corners = [(top - top % align_px, left - left % align_px) for top, left in corners]
        if self.crop_tries == 1:
            return corners[0]

        def detail(corner: tuple[int, int]) -> float:
            """Mean absolute gradient of green, on every second pixel of the crop."""
            top, left = corner
            small = picture[top : top + side : 2, left : left + side : 2, 1].astype(np.float32)
            down, across = (np.abs(np.diff(small, axis=axis)).mean() for axis in (0, 1))
            return float(down + across)

        return max(corners, key=detail)

    def _albumented(self, pictures: list[Picture], rng: np.random.Generator) -> list[Picture]:
        pipeline = _pipeline(self, len(pictures))
        if pipeline is None:
            return [np.ascontiguousarray(p) for p in pictures]
        pipeline.set_random_seed(int(rng.integers(2**31)))
        named = {"image" if i == 0 else f"image{i}": p for i, p in enumerate(pictures)}
        out = pipeline(**named)
        return [np.ascontiguousarray(out[name]) for name in named]


@cache
def _pipeline(config: Augment, count: int) -> Any:
    import albumentations as A

    steps: list[Any] = []
    if config.rotate:
        steps.append(A.D4(p=1.0))
    elif config.flip:
        steps.append(A.HorizontalFlip(p=0.5))
    if config.color_jitter:
        j = config.color_jitter
        steps.append(
            A.ColorJitter(
                brightness=(1 - j, 1 + j),
                contrast=(1 - j, 1 + j),
                saturation=(1 - j, 1 + j),
                hue=(0, 0),
                p=1.0,
            )
        )
    if not steps:
        return None
    return A.Compose(steps, additional_targets={f"image{i}": "image" for i in range(1, count)})


def resized(picture: Picture, factor: float, least_px: int = 1) -> Picture:
    """Resize by a factor, no side below `least_px`; area averaging down, cubic up."""
    height, width = (max(least_px, round(n * factor)) for n in picture.shape[:2])
    return cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    )
