"""What a source of samples is, and which items train and which validate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from img2img.data.cache import Cache
from img2img.data.layout import HELD, Part
from img2img.data.sample import Sample


class Source(Protocol):
    """Photos to make samples of: how many there are, and the sample at a place."""

    def __len__(self) -> int: ...

    def read(self, index: int, number: int) -> Sample:
        """The `index`-th item as sample `number`; raises UserError when its file is broken."""

    def key(self, index: int) -> str:
        """A stable name of the item, which decides whether it trains or validates."""

    def files(self, index: int) -> tuple[Path, ...]:
        """The files the item is read from; none for what lies in memory."""
        return ()

    def for_crops(self, shorter_px: int) -> Source:
        """The same items for crops of pictures that are shrunk to a shorter side of `shorter_px`,
        or less: files may be decoded smaller, where that takes less time.
        """
        return self


@dataclass
class Files:
    """A sample in each of a list of files."""

    paths: list[Path]
    cache: Cache

    def __len__(self) -> int:
        return len(self.paths)

    def key(self, index: int) -> str:
        return name_of(self.paths[index])

    def files(self, index: int) -> tuple[Path, ...]:
        return (self.paths[index],)

    def for_crops(self, shorter_px: int) -> Self:
        smaller = copy(self)
        smaller.cache = self.cache.smaller(shorter_px)
        return smaller


def split(source: Source, validation_share: float) -> tuple[list[int], list[int]]:
    """Indices for training and for validation: the stated share with the lowest hashes of their
    names validates.

    Names alone decide, not where the data lie or in which order. Photos that are added move others
    only at the boundary and in one direction. With more than one item, at least one validates.
    """
    order = sorted(range(len(source)), key=lambda index: hashed(source.key(index)))
    held_out = (
        0
        if len(order) < 2 or validation_share == 0
        else max(1, round(validation_share * len(order)))
    )
    return sorted(order[held_out:]), sorted(order[:held_out])


def name_of(path: Path) -> str:
    """Folder and file name: the same wherever the data set lies."""
    return f"{path.parent.name}/{path.name}"


def hashed(name: str) -> bytes:
    """SHA-256 of a name, for an order that has nothing to do with what photos show; file names of
    old systems are no UTF-8, and have one too.
    """
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()


Item = TypeVar("Item")


@dataclass
class Opened:
    """A source, which of its items train and which validate, and in words where they come from."""

    source: Source
    train: list[int]
    validation: list[int]
    summary: str
    parted: bool = False
    """What validates is a part of its own (`val/`), in the order of its names."""
    unused: Source | None = None
    """What lies in `test/` next to `val/`, which no training reads."""
    lonely: list[Path] = field(default_factory=list)
    """Files without partner, which are left out."""

    def first(self, most: int) -> list[int]:
        """Validation items, those to look at before others: a part's are chosen by hash, so that
        they are of all kinds."""
        if not self.parted:
            return self.validation
        by_name = sorted(self.validation, key=lambda index: hashed(self.source.key(index)))
        return sorted(by_name[:most]) + by_name[most:]


@dataclass
class Reading(Generic[Item]):
    """What was read from folders: items to train and validate on, and the parts they come from."""

    what: str
    """What the items are: `photos`."""
    train: list[Item] = field(default_factory=list)
    held: list[Item] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    """The folders of the items to train on: `A/ and B/`."""
    held_from: list[str] = field(default_factory=list)
    """Those of the items to validate on: `val/`."""
    unused: list[str] = field(default_factory=list)
    """What is left: `10 in test/`."""
    left: list[Item] = field(default_factory=list)
    """The items of these."""

    def add(self, parts: Mapping[Part, Sequence[Item]], called: str = "") -> None:
        """Take in a folder: `val` validates, and where there is none, `test`. Neither is ever
        trained on.
        """
        self.train += parts.get("train", ())
        held = next((part for part in HELD if parts.get(part)), None)
        if held is not None:
            self.held += parts[held]
            self.held_from.append(f"{held}/")
        for part in HELD:
            if parts.get(part) and part != held:
                self.unused.append(f"{len(parts[part])} in {part}/")
                self.left += parts[part]
        self.called += [called] if called else []

    def opened(self, source_of: Callable[[list[Item]], Source], share: float) -> Opened:
        """With a share of the training items held out where no part is there to validate on."""
        source, first = source_of(self.train + self.held), len(self.train)
        whole = list(range(first)), list(range(first, len(source)))
        train, validation = whole if self.held else split(source, share)
        return Opened(
            source,
            train,
            validation,
            self.summary(len(train), len(validation), share),
            bool(self.held),
            source_of(self.left) if self.left else None,
        )

    def summary(self, train: int | str, validation: int | str, share: float) -> str:
        """`60 pairs: A/ and B/; 12 for validation from val/`."""
        called = ", ".join(dict.fromkeys(self.called))
        words = [f"{train} {self.what}{': ' * bool(called)}{called}"]
        if self.held:
            words.append(
                f"{validation} for validation from {', '.join(dict.fromkeys(self.held_from))}"
            )
        elif validation:
            words.append(f"{validation} for validation, held out (data.validation_share={share:g})")
        words += [f"{unused} not used" for unused in self.unused]
        return "; ".join(words)
