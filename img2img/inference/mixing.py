"""Two versions of a photo mixed pixel by pixel: a fill with what is around it, and a result with
the photo itself where less of it is wanted.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from img2img.pixels.color_space import ColorDescription
from img2img.pixels.icc import SRGB_CURVE
from img2img.pixels.images import Photo, quantise, to_float
from img2img.pixels.reduction import reduced
from img2img.pixels.strength_map import resampled

_STRIP_ROWS = 256  # that are in float at a time


def by_region(before: Photo, after: Photo, strength: np.ndarray) -> Photo:
    """`after` where the strength (H,W) is full, `before` where it is 0, both bit for bit, and their
    light mixed in between, which keeps the luminance of two that have the same.

    `strength` is uint8 or uint16, of the size of `before`. Where `after` is of another, `before`
    is enlarged (bicubic) or reduced to that.
    """
    grey, size = before.is_grey, after.size
    if before.size != size:
        before = _at_size(before, size)
    done = mixed(before, after, resampled(strength, size), as_light=True)
    return replace(done, is_grey=grey)  # and written so where it shows no color


def mixed(before: Photo, after: Photo, weight: np.ndarray, *, as_light: bool = False) -> Photo:
    """`after` by a weight (H,W), floats in [0,1] or whole numbers up to their top, and `before` by
    the rest, at the depth of `after`; where the weight is 0 or 1 bit for bit.

    Numbers are mixed, or with `as_light` what they mean. Transparency is mixed too, and each color
    counts by how much of it is visible.
    """
    rgb = np.empty_like(after.rgb)
    both = before.alpha is not None and after.alpha is not None
    alpha = np.empty_like(after.alpha) if both else after.alpha
    for top in range(0, len(rgb), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        share = to_float(weight[rows])
        inside = share > 0
        colors = share
        if before.alpha is not None and after.alpha is not None and alpha is not None:
            own, other = before.alpha[rows], after.alpha[rows]
            alpha[rows] = _numbers(own, other, share, inside)
            shows, hides = to_float(other) * share, to_float(own) * (1 - share)
            colors = np.divide(shows, shows + hides, out=share.copy(), where=shows + hides > 0)
        own, other = before.rgb[rows], after.rgb[rows]
        rgb[rows] = _numbers(own, other, colors[..., None], inside[..., None])
        partly = inside & (colors > 0) & (colors < 1)
        if as_light and partly.any():
            light = _light(after.color, own[partly], other[partly], colors[partly, None])
            rgb[rows][partly] = quantise(light, rgb.dtype)
    return after.with_pixels(rgb, alpha)


def _numbers(
    before: np.ndarray, after: np.ndarray, share: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    depth, end = after.dtype, to_float(after)  # started from, so that a share of 1 is it alone
    between = quantise(end + (to_float(before) - end) * (1 - share), depth)
    return np.where(inside, between, quantise(before, depth))


def _light(
    color: ColorDescription, before: np.ndarray, after: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Pixels (N,3) in the photo's own numbers."""
    own, other = (
        SRGB_CURVE.decode(color.to_srgb(to_float(pixels)[None])) for pixels in (before, after)
    )
    srgb = SRGB_CURVE.encode(other + (own - other) * (1 - share)).astype(np.float32)
    return color.from_srgb(srgb)[0]


def _at_size(photo: Photo, size: tuple[int, int]) -> Photo:
    """A photo reduced to a (width, height), or plainly enlarged."""
    if size[0] <= photo.size[0] and size[1] <= photo.size[1]:
        return reduced(photo, size)
    planes = [photo.rgb] if photo.alpha is None else [photo.rgb, photo.alpha]
    rgb, *alpha = (cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC) for pixels in planes)
    return photo.with_pixels(rgb, *alpha)
