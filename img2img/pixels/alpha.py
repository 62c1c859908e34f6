"""Transparency: hidden colors count for nothing; what networks and statistics see in their place.

A hidden pixel has alpha 0. A pixel that shows at all keeps its own color: mixing it with its
surroundings by its alpha was tried, and moved the opaque pixels next to it further from those of
the whole photo, not less far.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL import ImageColor

AUTO, BLEED = "auto", "bleed"
_SWEEPS_COARSE, _SWEEPS_FINE = 4, 1  # they take the blocks of the pyramid away
_NEIGHBOURS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4


def checked_background(value: object) -> str:
    """`auto`, `bleed` or a color as CSS writes it. Raises ValueError with what to write instead."""
    if isinstance(value, str):
        try:
            if value in (AUTO, BLEED) or len(ImageColor.getrgb(value)) == 3:
                return value
        except ValueError:
            pass
    raise ValueError(
        "give auto, bleed, or a color such as white, black or '#ffeecc' "
        "(in quotes: # starts a comment)"
    )


def seen(
    rgb: np.ndarray,
    alpha: np.ndarray | None,
    background: str = BLEED,
    hole: np.ndarray | None = None,
) -> np.ndarray:
    """What shows of a picture (H,W,3) with an alpha (H,W) of the same dtype: (H,W,3), independent
    of hidden colors.

    `bleed`: hidden pixels continue the visible ones, all others are bit for bit their own. A color:
    the picture laid on it. Under `hole` (H,W), True = to be filled, nothing is bled from. The
    picture itself where nothing is hidden.
    """
    if alpha is None:
        return rgb
    if background != BLEED:
        return _laid_on(rgb, alpha, background)
    hidden = alpha == 0
    if not hidden.any():
        return rgb
    shows = ~hidden if hole is None else ~hidden & ~hole
    weight = alpha.astype(np.float32) / np.float32(max(float(alpha.max()), 1e-12)) * shows
    return np.dstack([np.where(hidden, _bled(rgb[..., c], weight), rgb[..., c]) for c in range(3)])


def uncounted(alpha: np.ndarray | None, mask: np.ndarray | None = None) -> np.ndarray | None:
    """(H,W) bool: what statistics leave out, which is less than half as opaque as the most opaque,
    or masked.
    """
    if alpha is None:
        return mask
    faint = alpha <= alpha.max() / 2
    return faint if mask is None else faint | mask


def opaque_in(alpha: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The alpha with the filled `hole` opaque."""
    return np.where(hole, np.array(_top(alpha.dtype), alpha.dtype), alpha)


def flat_kept(enlarged: np.ndarray, alpha: np.ndarray, scale: int) -> np.ndarray:
    """An enlarged alpha with its value unchanged wherever bicubic enlargement would not change it;
    of one dtype.

    So opaque stays opaque, and clear stays clear, no matter what a network adds.
    """
    reach = np.ones((5, 5), np.uint8)
    flat = cv2.dilate(alpha, reach) == cv2.erode(alpha, reach)
    size = enlarged.shape[::-1]
    large, value = (
        cv2.resize(x, size, interpolation=cv2.INTER_NEAREST) for x in (flat.astype(np.uint8), alpha)
    )
    return np.where(large > 0, value, enlarged)


def _laid_on(rgb: np.ndarray, alpha: np.ndarray, background: str) -> np.ndarray:
    top = _top(rgb.dtype)
    cover = alpha.astype(np.float32) / np.float32(top)
    color = [np.float32(level / 255 * top) for level in ImageColor.getrgb(background)[:3]]
    laid = [rgb[..., c] * cover + color[c] * (1 - cover) for c in range(3)]
    return np.dstack([_as(plane, rgb.dtype) for plane in laid])


def _bled(plane: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A plane (H,W) whose pixels of weight 0 continue the others: push-pull (Gortler et al. 1996,
    section 3.4).

    Relaxed, and plane by plane, so that grey stays exactly grey.
    """
    known = np.where(weight > 0, plane, 0).astype(np.float32)
    return _as(_pushed(known, weight, np.float32(_top(plane.dtype) / 2), _SWEEPS_FINE), plane.dtype)


def _pushed(
    plane: np.ndarray, weight: np.ndarray, otherwise: np.float32, sweeps: int = _SWEEPS_COARSE
) -> np.ndarray:
    """`plane` where `weight` is 1, and the more of the next coarser level the less it is;
    `otherwise` for no weight.
    """
    height, width = weight.shape
    if height == width == 1:
        return plane if weight[0, 0] > 0 else np.full_like(plane, otherwise)
    half = ((width + 1) // 2, (height + 1) // 2)
    share, total = (
        cv2.resize(x, half, interpolation=cv2.INTER_AREA) for x in (weight, plane * weight)
    )
    below = _pushed(total / np.maximum(share, 1e-12), np.minimum(4 * share, 1), otherwise)
    missing = 1 - weight
    filled = plane * weight + missing * cv2.resize(
        below, (width, height), interpolation=cv2.INTER_LINEAR
    )
    for _ in range(sweeps):
        filled = plane * weight + missing * cv2.filter2D(
            filled, -1, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE
        )
    return filled


def _as(plane: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.kind == "f":
        return plane.astype(dtype, copy=False)
    return np.rint(plane.clip(0, _top(dtype))).astype(dtype)


def _top(dtype: np.dtype[Any]) -> int:
    return 1 if dtype.kind == "f" else int(np.iinfo(dtype).max)
