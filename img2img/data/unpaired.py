"""Two sides without pairs: `trainA trainB testA testB` (or `A B`) as CycleGAN's data sets come, or
photos in halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from img2img.data.cache import Cache
from img2img.data.folder import PhotoSource, paths_of
from img2img.data.layout import parts_of, sides_of
from img2img.data.sample import UnpairedSample
from img2img.data.source import Files, Reading, hashed, name_of
from img2img.errors import UserError

ORDER = 4  # stream of side A's permutations


@dataclass(frozen=True)
class SidePaths:
    """The pictures of one side, to train on, to validate on, and those that are neither."""

    train: list[Path]
    validation: list[Path]
    unused: list[Path] = field(default_factory=list)
    """In `test/` next to `val/`, which no training reads."""


class UnpairedSource(Files):
    """Items are side B's, training ones first; the picture of side A goes by the sample's number
    alone.

    Each side runs through its own seeded permutations, so that the pictures of a sample have
    nothing to do with each other, and sample n is a function of (seed, n).
    """

    def __init__(
        self, a: SidePaths, b: SidePaths, cache: Cache, seed: int, summary: str = ""
    ) -> None:
        super().__init__(b.train + b.validation, cache)
        self.a, self.b, self.seed, self.summary = a, b, seed, summary

    @property
    def count(self) -> int:
        """Pictures of both sides."""
        return len(self.a.train) + len(self.a.validation) + len(self)

    @property
    def partners(self) -> list[Path]:
        """Side A's files."""
        return self.a.train + self.a.validation

    def split(self) -> tuple[list[int], list[int]]:
        """Items for training and for validation, as the sides say."""
        first = len(self.b.train)
        return list(range(first)), list(range(first, len(self))) if self.a.validation else []

    def read(self, index: int, number: int) -> UnpairedSample:
        """Side B's picture as photo, side A's as other; they are of any two sizes."""
        photo = self.cache.read(self.paths[index])
        other = self._a(number, trains=index < len(self.b.train))
        return UnpairedSample(number, photo, other)

    def _a(self, number: int, trains: bool) -> np.ndarray:
        """Side A's picture for a sample number, or the next that can be read."""
        paths = self.a.train if trains else self.a.validation
        for place in range(number, number + len(paths)):
            with suppress(UserError):
                return self.cache.read(
                    paths[self._order(place, len(paths)) if trains else place % len(paths)]
                )
        raise UserError("none of side A's pictures can be read", field="data.path")

    def _order(self, number: int, count: int) -> int:
        """The place in side A of a sample number: each epoch is a seeded permutation."""
        epoch, place = divmod(number, count)
        return int(np.random.default_rng((self.seed, ORDER, epoch)).permutation(count)[place])


def two_sides(folders: Sequence[Path], cache: Cache, share: float, seed: int) -> UnpairedSource:
    """`valA` and `valB`, else `testA` and `testB`, validate where they are; else a share of each
    side.

    Raises UserError for a missing side.
    """
    sides: tuple[Reading[Path], Reading[Path]] = (Reading("pictures"), Reading("pictures"))
    for folder in folders:
        found = sides_of(folder)
        if found is None:
            raise UserError(
                f"'{folder}' has no trainA/ and trainB/ (or A/ and B/); "
                "task.side_a makes A from photos",
                field="data.path",
            )
        for place, side in enumerate(sides):
            side.add({part: two[place].paths for part, two in found.parts.items()}, found.called)
    return _source_of(sides, sides[1], cache, share, seed)


def two_halves(folders: Sequence[Path], cache: Cache, share: float, seed: int) -> UnpairedSource:
    """Photos parted by the hashes of their names, so that no photo is on both sides."""
    both: Reading[Path] = Reading("pictures")
    for parts in map(parts_of, folders):
        both.add(*paths_of(parts))
    train, held, left = (_halves(paths) for paths in (both.train, both.held, both.left))
    if not train[0]:
        raise UserError(
            f"one photo in '{folders[0]}', and the two sides show different ones",
            field="data.path",
            remedy="add photos",
        )
    sides = [replace(both, train=train[i], held=held[i], left=left[i]) for i in (0, 1)]
    return _source_of(sides, both, cache, share, seed)


def _halves(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    order = sorted(paths, key=lambda path: hashed(f"side {name_of(path)}"))
    half = len(order) // 2
    return sorted(order[:half]), sorted(order[half:])


def _source_of(
    sides: Sequence[Reading[Path]], called: Reading[Path], cache: Cache, share: float, seed: int
) -> UnpairedSource:
    """Both sides, each with its share to validate on; `called` knows the folders' names."""
    found: list[SidePaths] = []
    for side in sides:
        opened = side.opened(lambda paths: PhotoSource(paths, cache), share)
        paths = [opened.source.files(index)[0] for index in range(len(opened.source))]
        train, validation = ([paths[i] for i in of] for of in (opened.train, opened.validation))
        found.append(SidePaths(train, validation, side.left))
    a, b = found
    trained = f"{len(a.train)} + {len(b.train)}"
    held = len(b.validation) and f"{len(a.validation)} + {len(b.validation)}"
    return UnpairedSource(a, b, cache, seed, called.summary(trained, held, share))
