"""ICC profiles as data: the tags of one, its tone curves and colorants, and small profiles written
from the same parts.

After ICC.1:2022 (sections 7 to 10). Pillow's own color management works on 8 bits, which is too few
to go there and back; profiles made of curves and a matrix are worked out here in floats, and only
tables are left to it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])  # white of the profile connection space
_SAMPLES = 4096  # of a curve that no formula of ICC describes


@dataclass(frozen=True)
class FormulaCurve:
    """y = (ax + b)^g + e from d on, cx + f below it (ICC.1 table 68, type 4); odd about 0."""

    g: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 0.0
    f: float = 0.0

    def decode(self, x: np.ndarray) -> np.ndarray:
        """Linear light of numbers."""
        size = np.abs(x)
        power = np.maximum(size * self.a + self.b, 0) ** self.g + self.e
        return np.copysign(np.where(size >= self.d, power, size * self.c + self.f), x)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Numbers of linear light; those of a flat foot of the curve all become its end."""
        size = np.abs(y)
        power = (np.maximum(size - self.e, 0) ** (1 / self.g) - self.b) / self.a
        foot = (size - self.f) / self.c if self.c else np.full_like(size, self.d)
        knee = max(self.a * self.d + self.b, 0) ** self.g + self.e
        return np.copysign(np.maximum(np.where(size >= knee, power, foot), 0), y)

    @property
    def element(self) -> bytes:
        """Parametric, function type 4."""
        numbers = (self.g, self.a, self.b, self.c, self.d, self.e, self.f)
        return b"para\0\0\0\0" + struct.pack(">HH7i", 4, 0, *(round(n * 65536) for n in numbers))


@dataclass(frozen=True, eq=False)
class TableCurve:
    """Samples of linear light at equal steps of the number, straight lines between and beyond."""

    samples: np.ndarray

    def __post_init__(self) -> None:
        if len(self.samples) < 2 or not self.samples[-1] > self.samples[0]:
            raise ValueError("the curve does not rise")

    @cached_property
    def _points(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and their light, which is made to rise strictly, so that there is a way back."""
        count = len(self.samples)
        rising = np.maximum.accumulate(self.samples) + np.linspace(0, 1e-9, count)
        return np.linspace(0, 1, count), rising

    def decode(self, x: np.ndarray) -> np.ndarray:
        """Linear light of numbers."""
        return _straight(x, *self._points)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Numbers of linear light."""
        return _straight(y, *self._points[::-1])

    @property
    def element(self) -> bytes:
        """Sampled, 16 bits."""
        samples = np.rint(self.samples.clip(0, 1) * 65535).astype(">u2").tobytes()
        return b"curv\0\0\0\0" + struct.pack(">I", len(self.samples)) + samples


Curve = FormulaCurve | TableCurve
"""A tone curve: `decode` turns a file's numbers in [0,1] into linear light, `encode` turns it back,
floats of any shape; `element` is the curve as an ICC tag element.
"""
SRGB_CURVE = FormulaCurve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _straight(x: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linear interpolation, going on as the last piece does above the range, odd below it."""
    size = np.abs(x)
    slope = (values[-1] - values[-2]) / (at[-1] - at[-2])
    inside = np.interp(size, at, values) + np.maximum(size - at[-1], 0) * slope
    return np.copysign(inside, x).astype(x.dtype)


def sampled(decode: Callable[[np.ndarray], np.ndarray]) -> TableCurve:
    """Samples of a curve that is given as a function of numbers in [0,1]."""
    return TableCurve(decode(np.linspace(0, 1, _SAMPLES)))


# --- reading


def tags_of(profile: bytes) -> dict[bytes, bytes]:
    """Tag elements by signature. Raises ValueError for a table that leaves the profile."""
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        entries = [
            struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(min(count, 256))
        ]
    except struct.error as error:
        raise ValueError("the tag table is cut short") from error
    if any(start + size > len(profile) for _, start, size in entries):
        raise ValueError("a tag leaves the profile")
    return {name: profile[start : start + size] for name, start, size in entries}


def read_curve(element: bytes) -> Curve:
    """A curve from its tag element. Raises ValueError when it is neither sampled nor a formula."""
    try:
        return _read_curve(element)
    except struct.error as error:
        raise ValueError("a tone curve is cut short") from error


def _read_curve(element: bytes) -> Curve:
    if element[:4] == b"curv":
        (count,) = struct.unpack_from(">I", element, 8)
        if count == 0:
            return FormulaCurve(1.0)
        samples = np.frombuffer(element, ">u2", count, 12).astype(np.float64)
        return FormulaCurve(_gamma(samples[0] / 256)) if count == 1 else TableCurve(samples / 65535)
    if element[:4] != b"para":
        raise ValueError("a tone curve is of an unknown kind")
    kind, _ = struct.unpack_from(">HH", element, 8)
    if kind > 4:
        raise ValueError("a tone curve has an unknown formula")
    g, *rest = (n / 65536 for n in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", element, 12))
    if kind in (1, 2):
        a, b, c = (*rest, 0.0)[:3]
        return FormulaCurve(_gamma(g), a, b, 0.0, max(0.0, -b / a), c, c)
    return FormulaCurve(_gamma(g), *rest)


def _gamma(g: float) -> float:
    if not 0.1 <= g <= 10:
        raise ValueError("a tone curve's exponent is nonsense")
    return g


def read_xyz(element: bytes) -> np.ndarray:
    """The three numbers of an XYZ element. Raises ValueError."""
    if element[:4] != b"XYZ " or len(element) < 20:
        raise ValueError("a colorant is not an XYZ number")
    return np.array(struct.unpack_from(">3i", element, 8)) / 65536


# --- writing


def grey_profile(name: str, curve: Curve) -> bytes:
    """A profile for grey pictures of this tone curve."""
    return _profile(b"GRAY", name, {b"kTRC": curve.element})


def rgb_profile(
    name: str,
    curves: Sequence[Curve],
    colorants: np.ndarray,
    cicp: tuple[int, int, int, int] | None = None,
) -> bytes:
    """A profile from three curves and the (3,3) XYZ of the colorants under D50, one a column."""
    tags = {
        key: curve.element for key, curve in zip((b"rTRC", b"gTRC", b"bTRC"), curves, strict=True)
    }
    tags |= {
        key: _xyz(column)
        for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants.T, strict=True)
    }
    if cicp:
        tags[b"cicp"] = b"cicp\0\0\0\0" + bytes(cicp)
    return _profile(b"RGB ", name, tags)


def _profile(space: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    """The file of a display profile with these tags, version 4.4."""
    tags = {b"desc": _text(name), b"cprt": _text("none"), b"wtpt": _xyz(D50), **tags}
    start, table, body, places = 132 + 12 * len(tags), b"", b"", dict[bytes, int]()
    for key, element in tags.items():
        if element not in places:
            places[element] = start + len(body)
            body += element + bytes(-len(element) % 4)
        table += key + struct.pack(">II", places[element], len(element))
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x04400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(v) * 65536) for v in values))


def _text(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(coded), 28) + coded
