"""What a file says of its numbers: an ICC profile, PNG's cICP, sRGB, gAMA and cHRM, EXIF's color
space.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from img2img.pixels import icc
from img2img.pixels.color_space import (
    SRGB,
    ColorDescription,
    MatrixTransform,
    TableTransform,
    Transform,
    colorants_of,
)
from img2img.pixels.icc import SRGB_CURVE, Curve, FormulaCurve
from img2img.pixels.metadata import Chunks, icc_space, is_adobe_rgb

_LIKE_SRGB = 1 / 255  # what no number is off by needs no way there and back
_NEUTRAL = 0.01  # colorants that add up to white within this are taken to do so
_D65, _ILLUMINANT_C = (0.3127, 0.3290), (0.310, 0.316)
_SRGB_XY = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # white, red, green, blue, as in cHRM
_ADOBE_XY = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_HDR = {16: "PQ", 18: "HLG"}
_UNSPECIFIED = 2
# diffuse white in their linear light (ITU-R BT.2408, table 1)
_PQ_WHITE, _HLG_WHITE = 203 / 10_000, 0.265
_HDR_NOTE = (
    "its numbers are {0} (HDR): they are worked on as they are, and the result says {0} again"
)

# ITU-T H.273 table 2, in cHRM's order.
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: _SRGB_XY,
    _UNSPECIFIED: _SRGB_XY,
    4: (*_ILLUMINANT_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_ILLUMINANT_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    10: (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_BT709 = FormulaCurve(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
# ITU-T H.273 table 3.
_TRANSFERS: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), _BT709),
    **dict.fromkeys((_UNSPECIFIED, 13), SRGB_CURVE),
    4: FormulaCurve(2.2),
    5: FormulaCurve(2.8),
    7: FormulaCurve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 0.0912),
    8: FormulaCurve(1.0),
    17: FormulaCurve(2.6),
}


@lru_cache(maxsize=16)
def described(
    profile: bytes | None, chunks: Chunks = (), exif: bytes | None = None
) -> ColorDescription:
    """The color description of a file: by cICP, ICC, sRGB, gAMA and cHRM, EXIF, in this order (PNG
    3, 4.3). Never raises.
    """
    data_of = dict(chunks)
    if (by_cicp := _by_cicp(data_of.get(b"cICP"))) is not None:
        return by_cicp
    if icc_space(profile) in ("RGB", "GRAY"):
        assert profile is not None
        return _by_profile(profile)
    if b"sRGB" in data_of:
        return SRGB
    if (by_gamma := _by_gamma(data_of.get(b"gAMA"), data_of.get(b"cHRM"))) is not None:
        return by_gamma
    if is_adobe_rgb(exif):
        return _by_primaries("Adobe RGB (1998) compatible", FormulaCurve(563 / 256), _ADOBE_XY)
    return SRGB


# --- the ways a file says it


def _by_cicp(data: bytes | None) -> ColorDescription | None:
    """PNG's cICP: primaries, transfer, matrix (0: RGB), full range; None where it says nothing that
    is known.
    """
    if data is None or len(data) != 4:
        return None
    primaries, transfer, _, full = data
    xy = _PRIMARIES.get(primaries)
    if transfer in _HDR:
        return _hdr((primaries, transfer, 0, full), _HDR[transfer])
    if xy is None or transfer not in _TRANSFERS:
        return None
    if not full:
        return ColorDescription(
            notes=("its numbers are video levels (16 to 235) and are worked on as they are",)
        )
    return _by_primaries(f"CICP {primaries}-{transfer}", _TRANSFERS[transfer], xy)


def _hdr(cicp: tuple[int, int, int, int], name: str) -> ColorDescription:
    """PQ and HLG say how bright a light is: their numbers are worked on as they are, and called so
    again.
    """
    colorants = colorants_of(_PRIMARIES.get(cicp[0], _SRGB_XY))
    to_light, white = (_pq, _PQ_WHITE) if name == "PQ" else (_hlg, _HLG_WHITE)
    # for programs that do not know the cicp tag
    curve = icc.sampled(lambda x: np.minimum(to_light(x) / white, 1))

    def icc_profile(grey: bool) -> bytes:
        if grey:
            return icc.grey_profile(name, curve)
        return icc.rgb_profile(name, (curve,) * 3, colorants, cicp)

    return ColorDescription(icc_writer=icc_profile, notes=(_HDR_NOTE.format(name),))


def _by_gamma(gamma: bytes | None, chromaticities: bytes | None) -> ColorDescription | None:
    """PNG's gAMA and cHRM, each 100,000 times its value; primaries alone come with sRGB's curve."""
    try:
        exponent = struct.unpack(">I", gamma or b"")[0] / 1e5 if gamma else 0.0
        xy = (
            tuple(n / 1e5 for n in struct.unpack(">8I", chromaticities))
            if chromaticities
            else _SRGB_XY
        )
        curve = FormulaCurve(1 / exponent) if 0.1 <= exponent <= 10 else SRGB_CURVE
        if xy[1] <= 0 or (curve is SRGB_CURVE and chromaticities is None):
            return None
        found = _by_primaries("from gAMA and cHRM", curve, xy)
        if found.icc_writer:
            found.icc_writer(False)  # raises where no profile can hold such primaries
        return found
    except (struct.error, np.linalg.LinAlgError, ValueError):  # a nonsense chunk says nothing
        return None


def _by_primaries(name: str, curve: Curve, xy: tuple[float, ...]) -> ColorDescription:
    colorants = colorants_of(xy)

    def icc_profile(grey: bool) -> bytes:
        if grey:
            return icc.grey_profile(name, curve)
        return icc.rgb_profile(name, (curve,) * 3, colorants)

    return _of_matrix((curve,) * 3, colorants, icc_profile)


def _by_profile(profile: bytes) -> ColorDescription:
    """An ICC profile of RGB or grey numbers; an unreadable one counts as sRGB, with a note."""
    try:
        tags = icc.tags_of(profile)
        if icc_space(profile) == "GRAY":
            return _grey(profile, tags)
        cicp = tags.get(b"cicp", b"")[8:12]
        if len(cicp) == 4 and cicp[1] in _HDR:
            notes = (_HDR_NOTE.format(_HDR[cicp[1]]),)
            return ColorDescription(icc_writer=lambda grey: profile, notes=notes)
        if tags.keys() & {b"A2B0", b"A2B1"} or b"rXYZ" not in tags:
            return _unless_like_srgb(TableTransform(profile), lambda grey: profile, True)
        curves = tuple(icc.read_curve(tags[key]) for key in (b"rTRC", b"gTRC", b"bTRC"))
        colorants = np.stack([icc.read_xyz(tags[key]) for key in (b"rXYZ", b"gXYZ", b"bXYZ")], 1)
        return _of_matrix(
            curves,  # type: ignore[arg-type]  # three of them
            colorants,
            lambda grey: icc.grey_profile("grey", curves[1]) if grey else profile,
        )
    except (ValueError, KeyError, np.linalg.LinAlgError):
        note = "its color profile cannot be read: its numbers are taken for sRGB"
        return ColorDescription(icc_writer=lambda grey: profile, notes=(note,))


def _of_matrix(
    curves: tuple[Curve, Curve, Curve], colorants: np.ndarray, icc_writer: Callable[[bool], bytes]
) -> ColorDescription:
    matrix = np.linalg.inv(colorants_of(_SRGB_XY)) @ colorants
    white = matrix.sum(1)
    is_white = bool(np.abs(white - 1).max() <= _NEUTRAL)
    if is_white:  # ICC's numbers have 16 bits: greys would get a tint of 1/20,000
        matrix = matrix / white[:, None]
    return _unless_like_srgb(MatrixTransform(curves, matrix), icc_writer, is_white)


def _unless_like_srgb(
    transform: Transform, icc_writer: Callable[[bool], bytes], is_white: bool
) -> ColorDescription:
    """No transform where none is needed; whether greys stay grey is tried."""
    levels = np.linspace(0, 1, 18, dtype=np.float32)
    cube = np.stack(np.meshgrid(levels, levels, levels)).reshape(3, -1)
    if np.abs(transform.to_srgb(cube) - cube).max() <= _LIKE_SRGB:
        return ColorDescription(icc_writer=icc_writer)
    ramp = transform.to_srgb(np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), (3, 64)))
    return ColorDescription(
        transform, icc_writer, (), is_white and bool(np.ptp(ramp, 0).max() <= 2 * _LIKE_SRGB)
    )


def _grey(profile: bytes, tags: dict[bytes, bytes]) -> ColorDescription:
    """A grey profile serves colors too: of its curve, with sRGB's primaries."""
    curve = icc.read_curve(tags[b"kTRC"])
    if profile[20:24] == b"Lab ":  # the curve ends at lightness, not at light
        lightness = curve
        curve = icc.sampled(lambda x: _light(lightness.decode(x)))
    colorants = colorants_of(_SRGB_XY)

    def icc_profile(grey: bool) -> bytes:
        if grey:
            return profile
        return icc.rgb_profile("grey profile's curve, sRGB primaries", (curve,) * 3, colorants)

    return _of_matrix((curve,) * 3, colorants, icc_profile)


# --- numbers


def _light(lightness: np.ndarray) -> np.ndarray:
    """Y of L*/100 (CIE 15)."""
    return np.where(
        lightness > 0.08, ((lightness * 100 + 16) / 116) ** 3, lightness * 100 / 903.2963
    )


def _pq(x: np.ndarray) -> np.ndarray:
    """PQ's numbers to light (SMPTE ST 2084), 1 = 10,000 cd/m²."""
    root = x ** (1 / 78.84375)
    return (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (
        1 / 0.1593017578125
    )


def _hlg(x: np.ndarray) -> np.ndarray:
    """HLG's numbers to scene light (ITU-R BT.2100)."""
    return np.where(x <= 0.5, x**2 / 3, (np.exp((x - 0.55991073) / 0.17883277) + 0.28466892) / 12)
