"""What a picture's numbers mean: between a file's own numbers and sRGB, there and back.

Networks and statistics see sRGB. Colors outside it are floats below 0 or above 1, the curve going
on oddly, so that they survive the way there and back. White goes to white, as in ICC's
media-relative colorimetry.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from img2img.pixels import icc
from img2img.pixels.icc import SRGB_CURVE, Curve

_STRIP_PX = 1 << 20  # so that memory does not grow with the picture
_LIGHTNESS_STEP = 0.25  # what rounding sRGB to 8 bits may cost
_RED_GREEN_BLUE_STEPS = np.stack(
    np.meshgrid(range(-1, 3), range(2), range(-2, 4), indexing="ij")
).reshape(3, 1, -1)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@dataclass(frozen=True, eq=False)
class MatrixTransform:
    """A tone curve for each channel and the (3,3) from their linear light to sRGB's."""

    curves: tuple[Curve, Curve, Curve]
    matrix: np.ndarray

    def to_srgb(self, own: np.ndarray) -> np.ndarray:
        """sRGB, not clipped."""
        linear = np.stack(
            [curve.decode(plane) for curve, plane in zip(self.curves, own, strict=True)]
        )
        return SRGB_CURVE.encode(_mixed(self.matrix, linear)).astype(np.float32)

    def from_srgb(self, srgb: np.ndarray) -> np.ndarray:
        """The file's numbers, not clipped."""
        linear = _mixed(np.linalg.inv(self.matrix), SRGB_CURVE.decode(srgb))
        coded = [curve.encode(plane) for curve, plane in zip(self.curves, linear, strict=True)]
        return np.stack(coded).astype(np.float32)

    def luminance(self, own: np.ndarray) -> np.ndarray:
        """(N,) linear light, as of sRGB."""
        red, green, blue = (
            curve.decode(plane) for curve, plane in zip(self.curves, own, strict=True)
        )
        weights = (_LUMINANCE @ self.matrix).astype(np.float32)
        return red * weights[0] + green * weights[1] + blue * weights[2]


class TableTransform:
    """Profiles made of tables, sampled through LittleCMS at 52 levels of 8 bits a channel; sRGB
    ends at its gamut.
    """

    def __init__(self, profile: bytes) -> None:
        self.there, self.back = (
            _sampled_table(profile, back=False),
            _sampled_table(profile, back=True),
        )

    def to_srgb(self, own: np.ndarray) -> np.ndarray:
        """sRGB within its gamut."""
        return _looked_up(self.there, own)

    def from_srgb(self, srgb: np.ndarray) -> np.ndarray:
        """The file's numbers."""
        return _looked_up(self.back, srgb)

    def luminance(self, own: np.ndarray) -> np.ndarray:
        """(N,) linear light, as of sRGB."""
        return _LUMINANCE @ SRGB_CURVE.decode(self.to_srgb(own))


Transform = MatrixTransform | TableTransform
"""Between a file's numbers and sRGB, on float32 (3,N), channels first."""


@dataclass(frozen=True, eq=False)
class ColorDescription:
    """What a file says of its numbers; without a `transform` they are sRGB, or worked on as they
    are.

    `icc_writer` writes an ICC profile for the same numbers, grey or RGB; None where no profile is
    needed. Pictures are floats (...,3), or (1,3,H,W) with `channels_first`.
    """

    transform: Transform | None = None
    icc_writer: Callable[[bool], bytes] | None = None
    notes: tuple[str, ...] = ()
    keeps_neutral: bool = True  # equal numbers are a grey

    def to_srgb(
        self, own: np.ndarray, *, channels_first: bool = False, fitted: bool = False
    ) -> np.ndarray:
        """A picture in sRGB; colors outside it lie outside [0,1], or are drawn towards the grey of
        their luminance.
        """
        if self.transform is None:
            return own
        there = self.transform.to_srgb
        return _in_strips(lambda x: _fitted(there(x)) if fitted else there(x), channels_first, own)

    def from_srgb(self, srgb: np.ndarray, *, channels_first: bool = False) -> np.ndarray:
        """An sRGB picture in the file's own numbers, not clipped."""
        return (
            srgb
            if self.transform is None
            else _in_strips(self.transform.from_srgb, channels_first, srgb)
        )

    def carried_back(
        self, own: np.ndarray, srgb: np.ndarray, *, holdable: bool = False
    ) -> np.ndarray:
        """What became of the picture `own` in sRGB, in its numbers again, both (1,3,H,W).

        Of one size, the change is carried back, so that no change is none, bit for bit, outside
        sRGB too. `holdable` draws colors that the numbers cannot hold towards the grey of their
        luminance first.
        """
        transform = self.transform
        if transform is None:
            return srgb
        if own.shape != srgb.shape:
            return self.from_srgb(srgb, channels_first=True)

        def carried(own: np.ndarray, srgb: np.ndarray) -> np.ndarray:
            srgb = _holdable(transform, srgb) if holdable and self.keeps_neutral else srgb
            return own + (transform.from_srgb(srgb) - transform.from_srgb(transform.to_srgb(own)))

        return _in_strips(carried, True, own, srgb)

    def quantised(self, pixels: np.ndarray, own: np.ndarray, dtype: Any) -> np.ndarray:
        """Floats (1,3,H,W) as whole numbers whose L* is within 0.25 of that of `own`, a picture in
        the same numbers.

        Steps of 8 bits may be coarser than that, in linear light near black by far: there, the
        nearest numbers that will do are taken, at last those of `own`.
        """
        transform, top = self.transform, float(np.iinfo(dtype).max)
        assert transform is not None

        return _in_strips(
            lambda x, own: _of_lightness(transform, x.clip(0, 1) * top, own, top),
            True,
            pixels,
            own,
            dtype=dtype,
        )


SRGB = ColorDescription()


# --- numbers


def colorants_of(xy: tuple[float, ...]) -> np.ndarray:
    """(3,3) XYZ under D50 of red, green and blue light that together are white (SMPTE RP 177),
    Bradford adapted.

    `xy`: x and y of white, red, green and blue. Raises LinAlgError where they span no gamut.
    """
    columns = np.array([(x, y, 1 - x - y) for x, y in zip(xy[2::2], xy[3::2], strict=True)]).T
    white = np.array([xy[0], xy[1], 1 - xy[0] - xy[1]]) / xy[1]
    light = columns * np.linalg.solve(columns, white)
    return (
        np.linalg.inv(_BRADFORD)
        @ np.diag(_BRADFORD @ icc.D50 / (_BRADFORD @ white))
        @ _BRADFORD
        @ light
    )


def _mixed(matrix: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """`matrix @ planes`, in an order that leaves equal channels exactly equal where its rows add up
    to 1.
    """
    red, green, blue = planes
    weights = matrix.astype(np.float32)
    white = np.where(np.abs(matrix.sum(1) - 1) < 1e-9, 1, matrix.sum(1)).astype(np.float32)
    return np.stack(
        [
            w * green + row[0] * (red - green) + row[2] * (blue - green)
            for w, row in zip(white, weights, strict=True)
        ]
    )


def _beyond(own: np.ndarray) -> Any:
    """(N,) whether numbers (3,N) lie outside [0,1] by more than a 16-bit step."""
    return (np.abs(own - 0.5) > 0.5 + 1.5e-5).any(axis=0)


def _fitted(srgb: np.ndarray) -> np.ndarray:
    """Colors outside sRGB drawn towards the grey of their luminance as far as its gamut demands."""
    beyond = _beyond(srgb)
    if not beyond.any():
        return srgb
    linear = SRGB_CURVE.decode(srgb[:, beyond])
    grey = (_LUMINANCE @ linear).clip(0, 1)[None]
    away = linear - grey
    room = np.where(away > 0, 1 - grey, grey) / np.maximum(np.abs(away), 1e-9)
    srgb[:, beyond] = SRGB_CURVE.encode((grey + away * room.min(0).clip(0, 1)).clip(0, 1))
    return srgb


def _holdable(transform: Transform, srgb: np.ndarray) -> np.ndarray:
    """Colors drawn towards the grey of their luminance until the file's numbers can hold them."""
    beyond = _beyond(transform.from_srgb(srgb))
    if not beyond.any():
        return srgb
    linear = SRGB_CURVE.decode(srgb[:, beyond])
    grey, low, high = _LUMINANCE @ linear, np.zeros(linear.shape[1]), np.ones(linear.shape[1])
    for _ in range(10):  # bisection on how much of the color is kept
        middle = ((low + high) / 2).astype(np.float32)
        out = _beyond(transform.from_srgb(SRGB_CURVE.encode(grey + (linear - grey) * middle)))
        low, high = np.where(out, low, middle), np.where(out, middle, high)
    srgb = srgb.copy()
    srgb[:, beyond] = SRGB_CURVE.encode(grey + (linear - grey) * low)
    return srgb


def _of_lightness(
    transform: Transform, wanted: np.ndarray, own: np.ndarray, top: float
) -> np.ndarray:
    """Whole numbers near `wanted` (3,N) in [0,top] that have nearly the lightness of `own` (3,N) in
    [0,1].
    """
    lightness, found = _lightness(transform, own), np.rint(wanted)
    off = np.flatnonzero(np.abs(_lightness(transform, found / top) - lightness) > _LIGHTNESS_STEP)
    for some in np.array_split(off, -(-len(off) // 4096) or 1):
        tries = (np.floor(wanted[:, some, None]) + _RED_GREEN_BLUE_STEPS).clip(
            0, top
        )  # (3, pixels, tries)
        tries = np.concatenate([tries, np.rint(own[:, some, None] * top)], 2)
        seen = _lightness(transform, (tries / top).reshape(3, -1)).reshape(tries.shape[1:])
        wrong = np.abs(seen - lightness[some, None]) > _LIGHTNESS_STEP
        cost = np.square(tries - wanted[:, some, None]).sum(0) + 1e9 * wrong
        found[:, some] = np.take_along_axis(tries, cost.argmin(1)[None, :, None], 2)[..., 0]
    return found


def _lightness(transform: Transform, own: np.ndarray) -> np.ndarray:
    """L* (N,) of a file's numbers (3,N)."""
    y = transform.luminance(own.astype(np.float32))
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.2963 * y)


def _in_strips(
    change: Callable[..., np.ndarray],
    channels_first: bool,
    *pictures: np.ndarray,
    dtype: Any = np.float32,
) -> np.ndarray:
    """`change` on (3,N) floats of all pictures, a strip of pixels at a time."""
    out = np.empty(pictures[0].shape, dtype)
    (target, *planes) = (
        p.reshape(3, -1) if channels_first and len(p) == 1 else p.reshape(-1, 3).T
        for p in (out, *pictures)
    )
    for start in range(0, target.shape[1], _STRIP_PX):
        strip = slice(start, start + _STRIP_PX)
        target[:, strip] = change(
            *(np.array(plane[:, strip], np.float32, order="C") for plane in planes)
        )
    return out


_TABLE_LEVELS = np.arange(0, 256, 5)


def _sampled_table(profile: bytes, *, back: bool) -> np.ndarray:
    """A profile as a table (3,52,52,52) in [0,1]. Raises ValueError where LittleCMS refuses it."""
    from PIL import ImageCms

    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    flags = (
        ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE
    )  # it may be far off with small tables
    cube = np.stack(np.meshgrid(*[_TABLE_LEVELS] * 3, indexing="ij"), -1).astype(np.uint8)
    try:
        ends = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        first, last = ends[::-1] if back else ends
        transform = ImageCms.buildTransform(first, last, "RGB", "RGB", intent, flags)
        done = ImageCms.applyTransform(Image.fromarray(cube.reshape(1, -1, 3)), transform)
    except Exception as error:  # PyCMSError, OSError or TypeError, as the profile is damaged
        raise ValueError("LittleCMS refuses the profile") from error
    return np.moveaxis(np.asarray(done, np.float32).reshape(cube.shape) / 255, -1, 0)


def _looked_up(table: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    places = pixels.clip(0, 1) * (len(_TABLE_LEVELS) - 1)
    return np.stack([map_coordinates(plane, places, order=1, mode="nearest") for plane in table])
