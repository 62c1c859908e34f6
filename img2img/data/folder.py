"""Photos and pairs of photos from folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, TypeVar

from img2img.data.cache import Cache
from img2img.data.layout import HELD, LAYOUTS, Listed, Part, parts_of, sides_of
from img2img.data.listing import find_photos, photos_and_others, photos_in
from img2img.data.sample import PairSample, PhotoSample
from img2img.data.side_by_side import could_be_pairs
from img2img.data.source import Files, Opened, Reading, Source, name_of, split
from img2img.errors import UserError

__all__ = [
    "Cache",
    "Source",
    "find_photos",
    "pair_source",
    "photo_source",
    "photos_and_others",
    "photos_in",
    "split",
]

log = logging.getLogger("img2img")

Unmatched = Literal["skip", "error"]
PathPair = tuple[Path, Path]
NAMED = 5  # files without partner; the rest are counted


class PhotoSource(Files):
    """Single photos."""

    def read(self, index: int, number: int) -> PhotoSample:
        return PhotoSample(number, photo=self.cache.read(self.paths[index]))


class SideBySideSource(Files):
    """Pairs in one file, A left and B right, as pix2pix data sets come."""

    def for_crops(self, shorter_px: int) -> Self:
        return self  # a smaller decoding may lay the seam within a pixel

    def read(self, index: int, number: int) -> PairSample:
        both = self.cache.read(self.paths[index], parts=2)
        width = both.shape[1]
        if width < 32 or width % 2:
            raise self.cache.refused(
                self.paths[index],
                f"is {width} px wide",
                "pairs side by side need an even width, 32 px or more",
            )
        return PairSample(number, photo=both[:, width // 2 :], other=both[:, : width // 2])


@dataclass
class FolderPairSource:
    """Pairs in two folders, matched by file name without suffix."""

    pairs: list[PathPair]
    cache: Cache

    def __len__(self) -> int:
        return len(self.pairs)

    def key(self, index: int) -> str:
        return name_of(self.pairs[index][1])

    def files(self, index: int) -> tuple[Path, ...]:
        return self.pairs[index]

    def for_crops(self, shorter_px: int) -> Self:
        return self  # the partner may be no JPEG, and both must keep one size

    def read(self, index: int, number: int) -> PairSample:
        first, second = self.pairs[index]
        a, b = self.cache.read(first), self.cache.read(second)
        if a.shape != b.shape:
            sizes = " and ".join(f"{p.shape[1]}×{p.shape[0]}" for p in (a, b))
            apart = f"it and its partner '{first}' are not of one size ({sizes})"
            raise self.cache.refused(second, apart, "a pair must match pixel by pixel")
        return PairSample(number, photo=b, other=a)


def photo_source(folders: Sequence[Path], cache: Cache) -> Source:
    """Every photo to measure on: of `test/` where there is one, else of `val/`, else all."""
    return PhotoSource(
        [path for folder in folders for path in _to_measure(parts_of(folder)).paths], cache
    )


def pair_source(folders: Sequence[Path], cache: Cache) -> Source:
    """Every pair to measure on, of the same parts. Raises UserError for files without partner."""
    pairs, singles, _ = _read_pairs(folders, cache, None)
    if singles:
        return SideBySideSource(
            [path for parts in singles for path in _to_measure(parts).paths], cache
        )
    return FolderPairSource([pair for parts, _ in pairs for pair in _to_measure(parts)], cache)


def open_photos(folders: Sequence[Path], cache: Cache, share: float) -> Opened:
    """Photos to train and to validate on."""
    reading: Reading[Path] = Reading("photos")
    for parts in map(parts_of, folders):
        reading.add(*paths_of(parts))
    return reading.opened(lambda paths: PhotoSource(paths, cache), share)


def open_pairs(folders: Sequence[Path], cache: Cache, share: float, unmatched: Unmatched) -> Opened:
    """Pairs to train and to validate on, in two folders or side by side in one file.

    Raises UserError for what cannot be pairs and, with `unmatched` "error", for files without
    partner.
    """
    pairs, singles, lonely = _read_pairs(folders, cache, unmatched)
    if singles:
        in_one: Reading[Path] = Reading("pairs")
        for parts in singles:
            found, called = paths_of(parts)
            in_one.add(found, f"side by side{' in ' * bool(called)}{called}")
        return in_one.opened(lambda paths: SideBySideSource(paths, cache), share)
    in_two: Reading[PathPair] = Reading("pairs")
    for matched, called in pairs:
        in_two.add(matched, called)
    opened = in_two.opened(lambda found: FolderPairSource(found, cache), share)
    return replace(opened, lonely=lonely)


def paths_of(parts: Mapping[Part, Listed]) -> tuple[dict[Part, list[Path]], str]:
    """The files of each part, and the name of the folder to train on where it is a part."""
    called = (
        f"{parts['train'].root.name}/"
        if len(parts) > 1 and parts["train"].root.name.lower().startswith("train")
        else ""
    )
    return {part: listed.paths for part, listed in parts.items()}, called


Read = tuple[dict[Part, list[PathPair]], str]
Parts = TypeVar("Parts")


def _to_measure(parts: Mapping[Part, Parts]) -> Parts:
    return next(parts[part] for part in (*reversed(HELD), *parts) if part in parts)


def _read_pairs(
    folders: Sequence[Path], cache: Cache, unmatched: Unmatched | None
) -> tuple[list[Read], list[dict[Part, Listed]], list[Path]]:
    """Folders with two sides, those whose files are pairs in one, and files without partner. Raises
    UserError unless all folders are of one kind.
    """
    pairs: list[Read] = []
    singles: list[dict[Part, Listed]] = []
    lonely: list[Path] = []
    for folder in folders:
        sides = sides_of(folder)
        if sides is None:
            singles.append(_side_by_side(folder, cache))
        else:
            matched: dict[Part, list[PathPair]] = {}
            for part, two in sides.parts.items():
                matched[part], alone = _matched(folder, two, unmatched, held=part in HELD)
                lonely += alone
            pairs.append((matched, sides.called))
    if pairs and singles:
        raise UserError(
            "some folders have A/ and B/ and some have not",
            field="data.path",
            remedy="use one layout",
        )
    return pairs, singles, lonely


def _side_by_side(folder: Path, cache: Cache) -> dict[Part, Listed]:
    parts = parts_of(folder)
    paths = [path for listed in parts.values() for path in listed.paths]
    if not could_be_pairs(paths, cache):
        raise UserError(
            f"the {len(paths)} files in '{folder}' are no pairs side by side "
            "(left and right halves do not belong together)",
            field="data.path",
            remedy=f"lay them out as {LAYOUTS}",
        )
    return parts


def _matched(
    folder: Path, sides: tuple[Listed, Listed], unmatched: Unmatched | None, *, held: bool
) -> tuple[list[PathPair], list[Path]]:
    """Files of the same name, and those without partner. Raises UserError for two of one name on a
    side, and where none is left to train on.
    """
    a, b = (_by_name(side) for side in sides)
    names = [side.root.relative_to(folder).as_posix() for side in sides]
    alone = sorted(a.keys() ^ b.keys())
    lonely = [f"'{name}': missing in {names[1 if name in a else 0]}/" for name in alone]
    both = [(a[name], b[name]) for name in sorted(a.keys() & b.keys())]
    if lonely:
        listed = ", ".join(lonely[:NAMED]) + ", …" * (len(lonely) > NAMED)
        said = f"{len(lonely)} files in '{folder}' have no partner, first {listed}"
        if unmatched != "skip" or not (both or held):
            instead = ", or set data.unmatched=skip" if unmatched == "error" else ""
            raise UserError(said, field="data.path", remedy=f"give pairs one name{instead}")
        log.warning("left out: %s", said)
    return both, [(a if name in a else b)[name] for name in alone]


def _by_name(side: Listed) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in side.paths:
        name = path.relative_to(side.root).with_suffix("").as_posix()
        if name in found:
            raise UserError(
                f"'{found[name]}' and '{path}' have one name",
                field="data.path",
                remedy="which is the pair's? Remove one",
            )
        found[name] = path
    return found
