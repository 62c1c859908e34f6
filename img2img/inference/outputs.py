"""How results are written, and what is reported of each input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from img2img.errors import Advice, UserError, did_you_mean
from img2img.inference.plan import Plan, PlanStep
from img2img.inference.urls import url_of
from img2img.pixels.images import Photo, output_format

FORMATS = ("jpg", "png", "tif", "webp", "avif", "jp2", "bmp", "tga", "qoi")
WITH_QUALITY = frozenset(("JPEG", "WEBP", "AVIF"))
QUALITY = 95
_SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}
_PNG = (".png",)


def writable_formats() -> list[dict[str, object]]:
    """The formats of `FORMATS` that this installation writes, and whether they have a quality."""
    Image.init()
    kinds = {name: output_format(f"x.{name}") for name in FORMATS}
    return [
        {"name": name, "title": kind, "quality": kind in WITH_QUALITY}
        for name, kind in kinds.items()
        if kind in Image.SAVE
    ]


@dataclass(frozen=True)
class Saving:
    """How results are written: in the photo's own format unless one is named, lossy ones at quality
    95.
    """

    format: str | None = None  # a suffix: jpg, png, tif, webp, avif, …
    quality: int | None = None  # 1..100
    metadata: bool = True  # else without EXIF, XMP and resolution

    def __post_init__(self) -> None:
        if self.format is not None:
            try:
                output_format("x" if "." in self.format.removeprefix(".") else f"x{self.suffix}")
            except UserError:
                raise UserError(
                    f"unknown '{self.format}'{did_you_mean(self.format, FORMATS)}",
                    field="format",
                ) from None
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UserError(f"{self.quality} is not between 1 and 100", field="quality")
        if (
            self.quality is not None
            and self.suffix
            and output_format(f"x{self.suffix}") not in WITH_QUALITY
        ):
            raise UserError(
                f"{self.format} keeps every pixel",
                field="quality",
                remedy=Advice.leave_out("quality") | Advice.set("format", "jpg"),
            )

    @property
    def suffix(self) -> str | None:
        """The suffix that was asked for, with its dot."""
        return None if self.format is None else f".{self.format.lower().removeprefix('.')}"

    def suffix_for(self, photo: Photo, path: Path, fills: bool) -> str:
        """The suffix of a photo's result: the one asked for, else by the photo's content. One that
        fills must not go through a lossy codec again.
        """
        fitting = _PNG if fills and photo.lossy else _SUFFIXES.get(photo.format, _PNG)
        return self.suffix or _spelled(path, fitting)

    def guessed_suffix(self, path: Path) -> str:
        """The same before the file is opened, to see which names would be shared."""
        fitting = next((f for f in _SUFFIXES.values() if path.suffix.lower() in f), _PNG)
        return self.suffix or _spelled(path, fitting)


def _spelled(path: Path, fitting: tuple[str, ...]) -> str:
    """The photo's own spelling of a suffix, where it fits."""
    return path.suffix.lower() if path.suffix.lower() in fitting else fitting[0]


@dataclass(frozen=True)
class Result:
    """What became of one input; with `error`, there is no output."""

    input: Path
    output: Path | None = None
    task: str | None = None
    model: str | None = None
    size_in: tuple[int, int] | None = None
    size_out: tuple[int, int] | None = None
    seconds: float = 0.0
    reason: str | None = None
    error: str | None = None
    mendable: bool = True  # the user can mend the error; otherwise it is ours
    steps: tuple[PlanStep, ...] | None = None  # of a plan that was not carried out
    plan: Plan | None = None  # what `reason` tells, for who tells it in other words

    def fields(self) -> dict[str, object]:
        """Plain data for `--json`; `error` only where one happened."""
        names = ("task", "model", "size_in", "size_out", "seconds", "reason")
        known: dict[str, object] = {
            "input": url_of(self.input),
            "output": None if self.output is None else url_of(self.output),
        }
        known |= {name: getattr(self, name) for name in names}
        if self.steps is not None:
            known |= {"steps": [step.fields() for step in self.steps]}
        return known if self.error is None else known | {"error": self.error}


def refused_fields(named: str, error: str) -> dict[str, object]:
    """The fields of an input, as it was named, when the whole request was refused before any photo
    was opened.
    """
    return Result(Path(named), error=error).fields() | {"input": named}
