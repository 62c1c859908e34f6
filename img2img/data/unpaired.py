"""Two sides without pairs: `trainA trainB testA testB` (or `A B`) as CycleGAN's data sets come, or photos in halves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2img.data.folder import Cache, PhotoSource, find_photos, split
from img2img.data.sample import Sample
from img2img.errors import UserError

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

    def files(self, index: int) -> tuple[Path, ...]:
        return self.items.files(index)

    @property
    def partners(self) -> list[Path]:
        """Side A's files."""
        return self.a.train + self.a.validation

    def split(self) -> tuple[list[int], list[int]]:
        """Items for training and for validation, as the sides say."""
        first = len(self.b.train)
        return list(range(first)), list(range(first, len(self))) if self.a.validation else []

    def read(self, index: int, number: int) -> Sample:
        """Side B's picture as photo, side A's as other; they are of any two sizes."""
        photo = self.items.read(index, number).photo
        return Sample(number, photo=photo, other=self._a(number, trains=index < len(self.b.train)), paired=False)

    def _a(self, number: int, trains: bool) -> np.ndarray:
        """Side A's picture for a sample number, or the next that can be read."""
        paths = self.a.train if trains else self.a.validation
        for place in range(number, number + len(paths)):
            with suppress(UserError):
                return self.cache.read(paths[self._order(place, len(paths)) if trains else place % len(paths)])
        raise UserError("data.path: none of side A's pictures can be read")

    def _order(self, number: int, count: int) -> int:
        """The place in side A of a sample number: each epoch is a seeded permutation."""
        epoch, place = divmod(number, count)
        return int(np.random.default_rng((self.seed, ORDER, epoch)).permutation(count)[place])


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
