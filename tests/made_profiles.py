"""ICC profiles of the color spaces photos come in, written here from their definitions and not by
our own writer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

# Colorants under D50 and the tone curve's ICC parametric function, from the spaces' own documents.
COLORANTS = {
    "prophoto": ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)),
    "p3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    "adobe": (
        (0.60974, 0.31111, 0.01947),
        (0.20528, 0.62567, 0.06087),
        (0.14919, 0.06322, 0.74457),
    ),
    "rec2020": (
        (0.67348, 0.27904, -0.00194),
        (0.16566, 0.67535, 0.02998),
        (0.12505, 0.04561, 0.79686),
    ),
    "linear": (
        (0.43607, 0.22249, 0.01392),
        (0.38515, 0.71687, 0.09708),
        (0.14307, 0.06061, 0.71410),
    ),
}
CURVES: dict[str, tuple[int, tuple[float, ...]]] = {
    "prophoto": (3, (1.8, 1.0, 0.0, 1 / 16, 1 / 32)),
    "p3": (3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)),
    "adobe": (0, (563 / 256,)),
    "rec2020": (3, (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)),
    "linear": (0, (1.0,)),
}
NAMES = tuple(COLORANTS)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_LINEAR_SRGB = np.array(COLORANTS["linear"]).T


def icc_profile(
    device: bytes,
    space: bytes,
    connection: bytes,
    tags: dict[bytes, bytes],
    version: int = 0x02100000,
) -> bytes:
    """A minimal ICC profile."""
    white = struct.pack(">iii", 63190, 65536, 54061)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + white, b"cprt": b"text\0\0\0\0none\0\0\0\0", **tags}
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"g\0" + bytes(78)
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, part in tags.items():
        table += name + struct.pack(">II", start + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"lcms", version, device, space, connection
    )
    head += bytes(12) + b"acsp" + bytes(28) + white
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb_profile(name: str, *, sampled: bool = False) -> bytes:
    """A matrix profile; its curve as a formula, or as 1024 samples as older profiles have it."""
    kind, numbers = CURVES[name]
    curve = b"para\0\0\0\0" + struct.pack(
        f">HH{len(numbers)}i", kind, 0, *(round(n * 65536) for n in numbers)
    )
    if sampled:
        samples = np.rint(light(name, np.linspace(0, 1, 1024)) * 65535).astype(">u2")
        curve = b"curv\0\0\0\0" + struct.pack(">I", 1024) + samples.tobytes()
    tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    for key, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), COLORANTS[name], strict=True):
        tags[key] = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in xyz))
    return icc_profile(b"mntr", b"RGB ", b"XYZ ", tags, 0x04200000)


def grey_profile(gamma: float) -> bytes:
    """A grey profile of one gamma."""
    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))
    return icc_profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def dot_gain_profile(gain: float = 0.2) -> bytes:
    """A grey printing profile: its curve is sampled, as Photoshop's are."""
    ink = 1 - np.linspace(0, 1, 256)
    paper = 1 - np.clip(ink + 4 * gain * ink * (1 - ink), 0, 1)
    samples = np.rint(paper * 65535).astype(">u2").tobytes()
    return icc_profile(
        b"prtr", b"GRAY", b"XYZ ", {b"kTRC": b"curv\0\0\0\0" + struct.pack(">I", 256) + samples}
    )


def black_only_profile() -> bytes:
    """A CMYK profile of a printer whose cyan, magenta and yellow are empty: only K darkens the
    paper.
    """
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    corners = b"".join(
        bytes((255 * (1 - (i & 1)), 128, 128)) for i in range(16)
    )  # K varies fastest
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + corners + ramp * 3
    return icc_profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def table_profile() -> bytes:
    """RGB by tables alone, both ways: red is CIE L*, green and blue are a* and b*, at 8 bits."""
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    levels = np.linspace(0, 255, 18).astype(np.uint8)  # every fifteenth
    nodes = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).tobytes()
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((3, 3, 18, 0)) + identity + ramp * 3 + nodes + ramp * 3
    return icc_profile(b"prtr", b"RGB ", b"Lab ", {b"A2B0": table, b"B2A0": table})


# --- what the numbers mean, in plain double precision


def light(name: str, numbers: np.ndarray) -> np.ndarray:
    """Linear light of a space's numbers in [0,1]."""
    kind, p = CURVES[name]
    if kind == 0:
        return numbers ** p[0]
    g, a, b, c, d = p
    return np.where(numbers >= d, np.maximum(a * numbers + b, 0) ** g, c * numbers)


def numbers_of(name: str, srgb: np.ndarray) -> np.ndarray:
    """(...,3) sRGB floats in a space's numbers, by bisection of its curve."""
    wanted = light("p3", srgb) @ (np.linalg.inv(np.array(COLORANTS[name]).T) @ _LINEAR_SRGB).T
    low, high = np.zeros_like(wanted), np.ones_like(wanted)
    for _ in range(40):
        middle = (low + high) / 2
        above = light(name, middle) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return low


def lightness(
    decode: Callable[[np.ndarray], np.ndarray], luminance: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    """L* of (...,3) numbers in [0,1]: a tone curve and how bright each channel is."""
    y = decode(numbers.astype(np.float64)) @ luminance
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


def lightness_in(name: str, numbers: np.ndarray) -> np.ndarray:
    """L* of (...,3) numbers of a space, under sRGB's white as everywhere in the toolkit."""
    y = (
        np.array([0.2126, 0.7152, 0.0722])
        @ np.linalg.inv(_LINEAR_SRGB)
        @ np.array(COLORANTS[name]).T
    )
    return lightness(lambda x: light(name, x), y / y.sum(), numbers)


def through_littlecms(rgb: np.ndarray, profile: bytes) -> np.ndarray:
    """(H,W,3) uint8 as sRGB by LittleCMS, media-relative."""
    ends = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    seen = ImageCms.applyTransform(
        Image.fromarray(rgb), ImageCms.buildTransform(*ends, "RGB", "RGB", intent)
    )
    return np.asarray(seen)
