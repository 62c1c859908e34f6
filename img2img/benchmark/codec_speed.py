"""Decoding and encoding of photo files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from img2img.benchmark.photos import side_of, square_photo
from img2img.benchmark.timing import Effort, Timing, time_repeats
from img2img.pixels.images import read_photo, write_photo
from img2img.resources import samples_dir

FORMATS = {"jpeg": ".jpg", "png": ".png"}


@dataclass(frozen=True)
class CodecSpeed:
    """Each format's decoding and encoding of one photo, by `jpeg_decode` and the like."""

    megapixels: float
    timings: dict[str, Timing]

    name: ClassVar[str] = "io"

    def fields(self) -> dict[str, Any]:
        """`io.jpeg_decode` and so on, for JSON."""
        return {"megapixels": self.megapixels} | {
            name: timing.fields() | {"megapixels_per_second": self.megapixels / timing.median_s}
            for name, timing in self.timings.items()
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A line each."""
        return [
            (
                name.replace("_", " "),
                f"{self.megapixels:.3g} MP",
                f"{self.megapixels / timing.median_s:.3g} MP/s",
                timing.text(),
            )
            for name, timing in self.timings.items()
        ]


def measure_codecs(megapixels: float, effort: Effort) -> CodecSpeed:
    """Write a photo of this size in each format, and read it again, as `infer` does."""
    photo = square_photo(samples_dir() / "macaw.jpg", side_of(megapixels))
    timings: dict[str, Timing] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, suffix in FORMATS.items():
            path = Path(folder) / f"photo{suffix}"
            timings[f"{name}_encode"] = time_repeats(partial(write_photo, path, photo), effort)
            timings[f"{name}_decode"] = time_repeats(partial(read_photo, path), effort)
    return CodecSpeed(megapixels, timings)
