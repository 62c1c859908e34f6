"""What is done to a mask before the network and to its fill afterwards: grow, extend the canvas,
feather the seam.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from img2img.errors import Advice, UserError
from img2img.inference.mixing import mixed
from img2img.pixels.images import Photo, quantise
from img2img.pixels.masks import grow


@dataclass(frozen=True)
class Canvas:
    """Growing and feathering of the mask, and a wider canvas, all in pixels; `extend` is left, top,
    right, bottom.

    With `mask_invert` what the mask leaves out is filled.
    """

    grow_px: int = 0
    feather_px: int = 0
    extend: tuple[int, int, int, int] = (0, 0, 0, 0)
    mask_invert: bool = False

    def __post_init__(self) -> None:
        for field, px in (
            ("mask_grow", self.grow_px),
            ("feather", self.feather_px),
            ("extend", min(self.extend)),
        ):
            if px < 0:
                raise UserError(
                    f"{px} is less than 0", field=field, remedy="give whole pixels from 0 up"
                )

    @property
    def extends(self) -> bool:
        """Whether there is a new border to fill."""
        return any(self.extend)

    def check(self, with_mask: bool) -> None:
        """Raise UserError where there is no mask to turn round, to grow or to feather."""
        if self.mask_invert and not with_mask:
            raise UserError(
                "there is no mask to turn round", field="mask_invert", remedy=Advice.give("mask")
            )
        if (self.grow_px or self.feather_px) and not (with_mask or self.extends):
            raise UserError(
                "need something to fill",
                field=("mask_grow", "feather"),
                remedy=Advice.give("mask", "extend"),
            )

    def prepared(
        self, photo: Photo, mask: np.ndarray | None = None
    ) -> tuple[Photo, np.ndarray | None]:
        """The photo on its larger canvas, and the mask (H,W), True = fill, joined with the new
        border and grown.
        """
        self.check(mask is not None)
        if mask is not None and self.mask_invert:
            mask = ~mask
        if self.extends:
            photo, mask = extended(photo, mask, self.extend)
        if mask is None:
            return photo, None
        wider = grow(mask, self.grow_px)
        if grow(wider, self.feather_px).all() and not mask.all():
            raise UserError(
                "leave nothing of the photo to fill from",
                field=("mask_grow", "feather"),
                remedy="lower them",
            )
        return photo, wider

    def widened(self, strength: np.ndarray) -> np.ndarray:
        """A strength (H,W) of whole numbers on the larger canvas, full on the new border."""
        left, top, right, bottom = self.extend
        full = np.iinfo(strength.dtype).max
        return np.pad(strength, ((top, bottom), (left, right)), constant_values=full)


def parse_extend(text: str) -> tuple[int, int, int, int]:
    """`"L,T,R,B"` as four whole numbers of pixels. Raises UserError."""
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"'{text}' is not L,T,R,B",
            field="extend",
            remedy="give four whole pixel counts, such as 0,0,200,0",
        ) from None
    return left, top, right, bottom


def extended(
    photo: Photo, mask: np.ndarray | None, sides: tuple[int, int, int, int]
) -> tuple[Photo, np.ndarray]:
    """A canvas larger by `sides` (left, top, right, bottom), edges replicated, opaque; the mask has
    the new border.
    """
    left, top, right, bottom = sides
    border = ((top, bottom), (left, right))
    rgb = np.pad(photo.rgb, (*border, (0, 0)), mode="edge")
    alpha = photo.alpha
    if alpha is not None:
        alpha = np.pad(
            alpha, border, constant_values=quantise(np.ones(1, np.float32), alpha.dtype)[0]
        )
    known = np.zeros(photo.rgb.shape[:2], bool) if mask is None else mask
    return photo.with_pixels(rgb, alpha), np.pad(known, border, constant_values=True)


def feathered(photo: Photo, filled: Photo, mask: np.ndarray, feather_px: int) -> Photo:
    """`filled` under the mask, fading into `photo` within `feather_px` around it, at `filled`'s
    depth.

    `filled` should come from a mask grown by `feather_px`. Beyond the ring the photo's pixels are
    bit for bit its own. Transparency fades too, and each color counts by how much of it is visible.
    """
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    weight = np.clip(1 - distance / (feather_px + 1), 0, 1)
    return mixed(photo, filled, weight)
