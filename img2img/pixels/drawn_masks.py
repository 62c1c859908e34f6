"""What a user marked in a picture that is a mask: strokes, class colors, white on black, soft
edges and all.
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from img2img.errors import UserError

_GREY_255 = 16  # channels further apart are a color; JPEG moves them less
_AWAY_255 = 32  # from the background color
_SOFT_255, _SOFT_LOSSY_255 = (
    8,
    32,
)  # how much of a soft edge must be marked; JPEG surrounds edges with fainter echoes
_STEP_255 = 2  # by which a soft edge falls from pixel to pixel
_WIDEST_PX = 64  # of a soft edge
_VARIES = 0.1  # a range of alpha that is more than rounding


class Drawn(NamedTuple):
    """Pixels of a mask in [0,1]: (H,W,1|3), alpha (H,W) or None; of a palette with a color also the
    indices (H,W).
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    indices: np.ndarray | None = None
    lossy: bool = False


class Marked(NamedTuple):
    """(H,W) bool, True = to be filled, and how it was read, in words that complete "read as …"."""

    hole: np.ndarray
    read_as: str

    def checked(self, place: str | Path) -> np.ndarray:
        """The hole. Raises UserError when it is nothing, or everything, with what was read and what
        is expected.
        """
        if self.hole.any() and not self.hole.all():
            return self.hole
        found = (
            "marks everything, which leaves nothing to fill from"
            if self.hole.any()
            else "marks nothing"
        )
        raise UserError(
            f"the mask {found} (read as {self.read_as})",
            place=place,
            remedy="draw white on black, opaque strokes on transparent, "
            "or a color on a plain background",
        )


def marked(drawn: Drawn) -> Marked:
    """The hole that a drawn mask marks, by the first of these that fits, each with its soft edges.
    Hidden pixels mark nothing.

    1. alpha that varies: what is opaque; 2. a palette with a color that is not grey: indices other
    than 0; 3. two values, one of them 0: the other; 4. grey: white, above 127 of 255; 5. what
    differs from the border's main color by more than 32 of 255.
    """
    if drawn.alpha is not None and np.ptp(drawn.alpha) > _VARIES:
        alpha = (drawn.alpha - drawn.alpha.min()) / np.ptp(drawn.alpha)
        return Marked(
            _with_soft_edges(alpha, alpha > 0.5, drawn.lossy), "transparency: opaque = fill"
        )
    if drawn.alpha is not None and not drawn.alpha.any():
        return Marked(np.zeros(drawn.alpha.shape, bool), "transparency: opaque = fill")
    lowest, highest = (_over_channels(f, drawn.rgb) for f in (np.minimum, np.maximum))
    spread = float((highest - lowest).max())  # how far the channels of any pixel are apart
    if drawn.indices is not None and (spread > 0 or not drawn.indices.all()):
        return Marked(
            np.not_equal(drawn.indices, 0), "a palette with colors: all but its first = fill"
        )
    nonzero = _over_channels(np.logical_or, drawn.rgb != 0)
    if nonzero.any() and not nonzero.all() and _is_even(drawn.rgb, nonzero):
        return Marked(nonzero, "two values: all but 0 = fill")
    if spread <= _GREY_255 / 255:
        level = _over_channels(np.add, drawn.rgb) / drawn.rgb.shape[2]
        low, high = (round(float(n) * 255) for n in (level.min(), level.max()))
        read_as = f"grey: white (above 127) = fill, and its values are {low} to {high} of 255"
        return Marked(_with_soft_edges(level, level > 127.5 / 255, drawn.lossy), read_as)
    rgb = drawn.rgb
    background = _main_color(np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]]))
    away = _over_channels(np.maximum, np.abs(drawn.rgb - background))
    levels = ",".join(str(round(float(c) * 255)) for c in background)
    read_as = f"colors: what is not the background rgb({levels}) = fill"
    return Marked(_with_soft_edges(away, away > _AWAY_255 / 255, drawn.lossy), read_as)


def drawn_in_array(array: np.ndarray, size: tuple[int, int]) -> Drawn:
    """A mask array of (width, height) `size`: (H,W), (1,H,W), (H,W,1), grey with alpha, RGB or
    RGBA; bool, whole numbers or floats, white being 1, 255 or 65535, whichever the values need.
    Raises UserError for any other."""
    wanted = size[::-1]
    while array.ndim > 2 and array.shape[0] == 1 and (array.ndim > 3 or array.shape[1:] == wanted):
        array = array[0]
    if (
        array.dtype.kind not in "buif"
        or array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] > 4)
    ):
        raise UserError(
            f"a mask is (H,W) or (H,W,1..4) of numbers; this one is {array.shape} {array.dtype}"
        )
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and refused
        numbers = array.astype(np.float32)
    if 0 in array.shape or not np.isfinite(numbers).all():
        raise UserError("the mask is empty or holds values that are not finite")
    most = float(array.max())
    whites = (
        (1,)
        if array.dtype == bool
        else (255, 65535)
        if array.dtype.kind in "ui"
        else (1, 255, 65535)
    )
    white = next((n for n in whites if most <= n), most)
    values = (numbers / np.float32(white)).clip(0, 1).reshape(*array.shape[:2], -1)
    count = values.shape[2]
    return Drawn(
        values[..., :3] if count >= 3 else values[..., :1],
        values[..., -1] if count in (2, 4) else None,
    )


def misfit(what: str, size: tuple[int, int], photo: tuple[int, int]) -> str | None:
    """`mask is 40x20, photo is 20x40`, and whether turning would mend it; None for one size. Sizes:
    (width, height).
    """
    if size == photo:
        return None
    sizes = f"{what} {size[0]}x{size[1]}, photo is {photo[0]}x{photo[1]}"
    if size == photo[::-1]:
        why = "turned by 90° it would fit, for photos are read upright, as their EXIF rotation says"
        return f"{sizes}: {why}"
    return sizes


def _with_soft_edges(level: np.ndarray, core: np.ndarray, lossy: bool) -> np.ndarray:
    """The core and the slopes that fall from it, on (H,W) levels in [0,1]; level ground around it
    is not its edge.
    """
    steps, around = np.rint(level.clip(0, 1) * 255).astype(np.int16), np.ones((3, 3), np.uint8)
    able = steps > (_SOFT_LOSSY_255 if lossy else _SOFT_255)
    able &= ~core & (cv2.erode(steps, around) <= steps - _STEP_255)
    marked_level = np.pad(np.where(core, steps, np.int16(-1)), 1, constant_values=-1)
    reached, width = marked_level.ravel(), marked_level.shape[1]
    places, own = np.flatnonzero(np.pad(able, 1)), steps[able]
    neighbors = [dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    for _ in range(_WIDEST_PX):
        above = np.full_like(own, -1)
        for step in neighbors:
            np.maximum(above, reached[places + step], out=above)
        more = above >= own + _STEP_255
        if not more.any():
            break
        reached[places[more]] = own[more]
        places, own = places[~more], own[~more]
    return marked_level[1:-1, 1:-1] >= 0


def _is_even(rgb: np.ndarray, where: np.ndarray) -> bool:
    """Whether the pixels in `where` (H,W) have one color."""
    color = rgb[np.unravel_index(where.argmax(), where.shape)]
    return bool((~where | _over_channels(np.logical_and, rgb == color)).all())


def _over_channels(join: np.ufunc, x: np.ndarray) -> np.ndarray:
    """(H,W,C) to (H,W), many times faster than numpy does it along a last axis of three."""
    return reduce(join, (x[..., c] for c in range(x.shape[2])))


def _main_color(colors: np.ndarray) -> np.ndarray:
    """The median of the largest group of like colors (N,3)."""
    bins: Any = np.rint(colors * 15).astype(int)
    _, group, counts = np.unique(bins @ (256, 16, 1), return_inverse=True, return_counts=True)
    return np.median(colors[group.ravel() == counts.argmax()], axis=0)
