"""Every file of a data set looked at once, as training reads it: what is kept of each is small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from img2img.data.cache import Cache
from img2img.data.checks.registration import Shift, registration_error
from img2img.data.checks.similar import perceptual_hash, thumbnail
from img2img.data.dataset import DataConfig
from img2img.data.folder import PhotoSource
from img2img.data.layout import PARTS, Part
from img2img.data.sample import PairSample, PhotoSample
from img2img.data.shards import local_file
from img2img.data.source import Opened, Source
from img2img.data.unpaired import UnpairedSource
from img2img.errors import UserError
from img2img.pixels.compression import blockiness_255
from img2img.pixels.file_kind import size_in_header, turn_in_header
from img2img.pixels.masks import thickness_px
from img2img.pixels.tint import measure_color

MOST_REGISTERED = 1000  # pairs, evenly chosen: each takes as long as a dozen photos
_LEAST_HASHED_PX = 48  # digits and the like have too little in them to be told apart
_BLANK_255 = 1.0  # standard deviation
_GREY_255 = 24  # channels further apart are a color for certain; the rest is measured
_PAPER_255, _MOST_PAPER = 250, 0.25  # white of this share: a drawing
_ENDS_255 = (16, 239)  # a mask has hardly anything between
_BETWEEN = 0.03
_MASK_PX = 128


@dataclass(frozen=True)
class MaskLook:
    """A picture of black and white alone."""

    white: float
    """Share of its pixels."""
    white_border: float
    """Share of those at its edges."""
    thick: float
    """Of the rarer of the two, the thickest part over the shorter side; lines are thin."""


@dataclass(frozen=True)
class PictureLook:
    """What is kept of one picture."""

    size: tuple[int, int]
    """(width, height), upright, before any reduction."""
    thumb: np.ndarray
    hash: int | None
    blank: bool
    grey: bool
    blocks_255: float
    mask: MaskLook | None


@dataclass(frozen=True)
class Looked:
    """One item of a data set: a photo, or the pictures of a pair, A before B."""

    part: Part
    side: str
    """A or B where sides are not paired."""
    files: tuple[Path, ...]
    turns: tuple[int, ...]
    """The EXIF orientation of each file."""
    pictures: tuple[PictureLook, ...] = ()
    problem: str = ""
    """Why training cannot read it."""
    sizes: tuple[tuple[int, int], ...] = ()
    """Of the files of a pair that differ in them."""
    shift: Shift | None = None
    """Of a pair that was registered: B against A, px; None where it cannot be told."""
    registered: bool = False
    place: tuple[Source, int] | None = None

    def again(self) -> tuple[np.ndarray, ...]:
        """Its pictures, read once more. Raises UserError where they are gone."""
        return _pictures(*self.place) if self.place else ()


Place = tuple[Part, str, Source, int]


def places_of(opened: Opened, config: DataConfig, cache: Cache) -> list[Place]:
    """Part, side, source and index of every file or pair, each once."""
    found: list[Place] = []
    if isinstance(both := opened.source, UnpairedSource):
        for name, side in (("A", both.a), ("B", both.b)):
            for part, paths in zip(PARTS, (side.train, side.validation, side.unused), strict=True):
                source = _as_trained(PhotoSource(paths, cache), config)
                found += [(part, name, source, index) for index in range(len(paths))]
        return found
    source = _as_trained(opened.source, config)
    found += [("train", "", source, index) for index in opened.train]
    found += [("val", "", source, index) for index in opened.validation]
    if opened.unused is not None:
        unused = _as_trained(opened.unused, config)
        found += [("test", "", unused, index) for index in range(len(unused))]
    return [place for place in found if place[2].files(place[3])]


def _as_trained(source: Source, config: DataConfig) -> Source:
    """The photos as crops are cut from them: where they are shrunk, decoded smaller."""
    if config.resize_px is None:
        return source
    return source.for_crops(max(config.resize_px[1], config.crop_px))


def looks(places: Sequence[Place]) -> Iterator[Looked]:
    """One look after the other, in their order."""
    every = max(1, -(-len(places) // MOST_REGISTERED))
    for number, (part, side, source, index) in enumerate(places):
        yield _look(part, side, source, index, registers=number % every == 0)


def _look(part: Part, side: str, source: Source, index: int, *, registers: bool) -> Looked:
    files = source.files(index)
    turns = tuple(_turn(path) for path in files)
    try:
        sizes = [_upright_size(path, turn) for path, turn in zip(files, turns, strict=True)]
        rgb = _pictures(source, index)
    except UserError as error:
        differing = tuple(s for s in _known_sizes(files, turns) if len(files) == 2)
        apart = differing if len(set(differing)) == 2 else ()
        return Looked(part, side, files, turns, problem=error.problem, sizes=apart)
    # Pairs are not decoded smaller, so that their own size is that of the file.
    looked = tuple(_picture(x, sizes[0] if len(rgb) == 1 else None) for x in rgb)
    pair = registers and len(rgb) == 2
    shift = registration_error(rgb[0], rgb[1]) if pair else None
    place = source, index
    return Looked(part, side, files, turns, looked, shift=shift, registered=pair, place=place)


def _pictures(source: Source, index: int) -> tuple[np.ndarray, ...]:
    sample = source.read(index, 0)
    assert isinstance(sample, PhotoSample), "else there are no files"
    return (sample.other, sample.photo) if isinstance(sample, PairSample) else (sample.photo,)


def _turn(path: Path) -> int:
    with local_file(path) as file:
        return turn_in_header(file)


def _upright_size(path: Path, turn: int) -> tuple[int, int] | None:
    with local_file(path) as file:
        size = size_in_header(file)
    return size[::-1] if size and turn >= 5 else size


def _known_sizes(files: Sequence[Path], turns: Sequence[int]) -> list[tuple[int, int]]:
    try:
        sizes = [_upright_size(path, turn) for path, turn in zip(files, turns, strict=True)]
    except UserError:  # of a gigantic one, which is what its problem says
        return []
    return [size for size in sizes if size]


def _picture(rgb: np.ndarray, size: tuple[int, int] | None) -> PictureLook:
    height, width = rgb.shape[:2]
    thumb = thumbnail(rgb)
    blank = float(cv2.meanStdDev(rgb)[1].max()) < _BLANK_255
    hashed = perceptual_hash(thumb) if min(height, width) >= _LEAST_HASHED_PX else None
    mask = _mask(rgb)
    return PictureLook(
        size or (width, height),
        thumb,
        hashed,
        blank,
        not blank and mask is None and _is_grey(rgb),
        blockiness_255(rgb) if mask is None else 0.0,  # lines meet a grid by chance
        mask,
    )


def _is_grey(rgb: np.ndarray) -> bool:
    """Whether a photo has no color; never of a drawing on white, which may well have none."""
    small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA).astype(np.int16)
    if (small.min(axis=2) >= _PAPER_255).mean() > _MOST_PAPER:
        return False
    if np.percentile(np.ptp(small, axis=2), 99.8) > _GREY_255:
        return False
    return measure_color(rgb).tints == 0


def _mask(rgb: np.ndarray) -> MaskLook | None:
    height, width = rgb.shape[:2]
    factor = min(1.0, _MASK_PX / min(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    # By the nearest pixel: the mean of both would lie between.
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_NEAREST)
    between = (small > _ENDS_255[0]) & (small < _ENDS_255[1])
    colored = np.ptp(small, axis=2) > _ENDS_255[0]
    if (between.any(2) | colored).mean() > _BETWEEN:
        return None
    white = small[..., 1] > 127
    border = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    rarer = white if white.mean() <= 0.5 else ~white
    thick = thickness_px(rarer) / min(size)
    return MaskLook(float(white.mean()), float(border.mean()), thick)
