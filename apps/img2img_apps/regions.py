"""Parts of large photos and results at any zoom, so that a page shows them sharp without loading
them whole.
"""

from __future__ import annotations

import io
import math
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image

from img2img.errors import UserError
from img2img.inference.previews import pyramid

TileFormat = Literal["jpeg", "webp", "png"]
MOST_PX = 2048  # of a side of what is answered
_MOST_BYTES = 500_000_000  # of all photos that are held; the one that was asked for is held anyway
_KEPT_S = 120.0  # without being asked for
_QUALITY = 90

Box = tuple[int, int, int, int]
"""Left, top, width and height in px of the upright photo."""


@dataclass
class _Levels:
    """A photo in sRGB at 8 bits, RGB or RGBA, and each half of it."""

    levels: list[np.ndarray]
    used_s: float

    @property
    def n_bytes(self) -> int:
        return sum(level.nbytes for level in self.levels)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        height, width = self.levels[0].shape[:2]
        return width, height


@dataclass
class PhotoTiles:
    """Photos that were asked for lately, decoded one at a time and held for a while."""

    most_bytes: float = _MOST_BYTES
    kept_s: float = _KEPT_S
    _held: dict[tuple[Path, int], _Levels] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _decoding: threading.Lock = field(default_factory=threading.Lock)

    def tile(self, path: Path, box: Box | None, scale: float, kind: TileFormat) -> bytes:
        """A part of a photo, the whole without a box, at a scale in (0, 1]. Raises UserError."""
        if kind not in get_args(TileFormat):
            raise UserError(
                f"'{kind}' is none of {', '.join(get_args(TileFormat))}", field="format"
            )
        if not 0 < scale <= 1:
            raise UserError(f"{scale:g} is not above 0 and at most 1", field="scale")
        photo = self._of(path)
        left, top, right, bottom = _clipped(box, photo.size)
        width, height = (max(1, round(px * scale)) for px in (right - left, bottom - top))
        if max(width, height) > MOST_PX:
            raise UserError(
                f"would be {width}x{height}",
                field="box",
                remedy=f"ask for at most {MOST_PX} px a side, in parts or at a smaller scale",
            )
        number = min(int(-math.log2(scale)), len(photo.levels) - 1)
        level, step = photo.levels[number], 2**number
        pixels = level[top // step : -(-bottom // step), left // step : -(-right // step)]
        if pixels.shape[1::-1] != (width, height) and step * scale != 1:
            pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return _encoded(pixels, kind)

    def size(self, path: Path) -> tuple[int, int]:
        """(width, height) of the upright photo. Raises UserError."""
        return self._of(path).size

    def _of(self, path: Path) -> _Levels:
        key = path, path.stat().st_mtime_ns
        if (known := self._known(key)) is not None:
            return known
        with self._decoding:
            if (known := self._known(key)) is not None:  # by another request meanwhile
                return known
            found = _Levels(pyramid(path), time.monotonic())
            with self._lock:
                self._held[key] = found
            self._forget()
        timer = threading.Timer(self.kept_s, self._forget)
        timer.daemon = True
        timer.start()
        return found

    def _known(self, key: tuple[Path, int]) -> _Levels | None:
        with self._lock:
            found = self._held.pop(key, None)
            if found is not None:
                self._held[key] = found  # the last that was used
                found.used_s = time.monotonic()
            return found

    def _forget(self) -> None:
        """Let go of what nobody has asked for lately, and of the oldest of what is too much."""
        now = time.monotonic()
        with self._lock:
            for key, levels in list(self._held.items()):
                too_much = sum(one.n_bytes for one in self._held.values()) > self.most_bytes
                if now - levels.used_s >= self.kept_s or (too_much and len(self._held) > 1):
                    del self._held[key]


def _clipped(box: Box | None, size: tuple[int, int]) -> Box:
    """Left, top, right and bottom of the part of a box that lies in a picture."""
    if box is None:
        return 0, 0, *size
    left, top, width, height = box
    edges = (
        max(0, left),
        max(0, top),
        min(size[0], left + width),
        min(size[1], top + height),
    )
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise UserError(
            f"lies outside the photo, which is {size[0]}x{size[1]}",
            field="box",
            remedy="give left, top, width and height in its pixels",
        )
    return edges


def _encoded(pixels: np.ndarray, kind: TileFormat) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    buffer = io.BytesIO()
    if kind == "png":
        picture.save(buffer, "PNG", compress_level=1)
    elif kind == "webp":
        picture.save(buffer, "WEBP", quality=_QUALITY, method=2)
    else:
        if picture.mode == "RGBA":
            white = Image.new("RGBA", picture.size, "white")
            white.alpha_composite(picture)
            picture = white.convert("RGB")
        picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()
