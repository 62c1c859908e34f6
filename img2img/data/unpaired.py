"""Two sides without pairs: `trainA trainB testA testB` (or `A B`) as CycleGAN's data sets come, or photos in halves."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from img2img.data.folder import Cache, PhotoSource, find_photos, split
from img2img.data.sample import Sample
from img2img.errors import UserError

log = logging.getLogger("img2img")

LAYOUTS = (("trainA", "trainB"), ("A", "B"))
ORDER = 4  # stream of side A's permutations


@dataclass(frozen=True)
class Side:
    """The pictures of one side, to train on and to validate on."""

    train: list[Path]
    validation: list[Path]

    def joined(self, other: Side) -> Side:
        """Both together."""
        return Side(self.train + other.train, self.validation + other.validation)


@dataclass
class UnpairedSource:
    """Items are side B's, training ones first; the picture of side A goes by the sample's number alone.

    Each side runs through its own seeded permutations, so that the pictures of a sample have nothing to do with each
    other, and sample n is a function of (seed, n).
    """

    a: Side
    b: Side
    cache: Cache
    seed: int
    broken: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.items = PhotoSource(self.b.train + self.b.validation, self.cache)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def count(self) -> int:
        """Pictures of both sides."""
        return len(self.a.train) + len(self.a.validation) + len(self)

    def key(self, index: int) -> str:
        return self.items.key(index)

    def split(self) -> tuple[list[int], list[int]]:
        """Items for training and for validation, as the sides say."""
        first = len(self.b.train)
        return list(range(first)), list(range(first, len(self))) if self.a.validation else []

    def read(self, index: int, number: int) -> Sample:
        """Side B's picture as photo, side A's as other; they are of any two sizes."""
        trains = index < len(self.b.train)
        other = self._a(number) if trains else self.cache.read(self.a.validation[number % len(self.a.validation)])
        return Sample(number, photo=self.items.read(index, number).photo, other=other, paired=False)

    def _a(self, number: int) -> np.ndarray:
        """Side A's picture for a sample number, or the next that can be read."""
        for attempt in range(len(self.a.train)):
            epoch, place = divmod(number + attempt, len(self.a.train))
            order = np.random.default_rng((self.seed, ORDER, epoch)).permutation(len(self.a.train))
            path = self.a.train[order[place]]
            if path in self.broken:
                continue
            try:
                return self.cache.read(path)
            except UserError as error:
                self.broken.add(path)
                log.warning("left out: %s", error)
        raise UserError("data.path: none of side A's pictures can be read")


def two_sides(folders: Sequence[Path], cache: Cache, validation_share: float, seed: int) -> UnpairedSource:
    """`testA` and `testB` validate where they are; else a share of each side. Raises UserError for a missing side."""
    a, b = Side([], []), Side([], [])
    for folder in folders:
        for names in LAYOUTS:
            found = [(folder / name).is_dir() for name in names]
            if all(found):
                more_a, more_b = _sides(folder, names, cache, validation_share)
                a, b = a.joined(more_a), b.joined(more_b)
                break
            if any(found):
                there, missing = names if found[0] else names[::-1]
                raise UserError(f"data.path: '{folder}' has {there}/ and no {missing}/: two sides are translated")
        else:
            raise UserError(
                f"data.path: '{folder}' has no trainA/ and trainB/ (or A/ and B/); task.side_a makes A from photos"
            )
    return UnpairedSource(a, b, cache, seed)


def two_halves(folders: Sequence[Path], cache: Cache, validation_share: float, seed: int) -> UnpairedSource:
    """Photos parted by the hashes of their names, so that no photo is on both sides."""
    paths = find_photos(folders)
    if len(paths) < 2:
        raise UserError(f"data.path: one photo in '{folders[0]}', and the two sides show different ones: add photos")
    source = PhotoSource(paths, cache)
    order = sorted(range(len(paths)), key=lambda i: hashlib.sha256(f"side {source.key(i)}".encode()).digest())
    half = len(order) // 2
    parted = [sorted(paths[i] for i in part) for part in (order[:half], order[half:])]
    a, b = (_hash_split(part, cache, validation_share) for part in parted)
    return UnpairedSource(a, b, cache, seed)


def _sides(folder: Path, names: tuple[str, str], cache: Cache, share: float) -> tuple[Side, Side]:
    train = [find_photos([folder / name]) for name in names]
    tests = [folder / "testA", folder / "testB"]
    if not any(test.is_dir() for test in tests):
        a, b = (_hash_split(paths, cache, share) for paths in train)
        return a, b
    a, b = (Side(paths, find_photos([test])) for paths, test in zip(train, tests, strict=True))
    return a, b


def _hash_split(paths: list[Path], cache: Cache, share: float) -> Side:
    train, held_out = split(PhotoSource(paths, cache), share)
    return Side([paths[i] for i in train], [paths[i] for i in held_out])
