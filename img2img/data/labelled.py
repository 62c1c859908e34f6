"""Pictures with a class: MNIST, Fashion-MNIST and CIFAR-10 by name, and folders, recognised by what
lies in them.

Nothing is ever downloaded. torchvision's own loaders read what torchvision has laid down, and check
its sums; the idx files of MNIST's kind, packed or not, are also read as they come, such as those of
Debian's `dataset-fashion-mnist`.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from img2img.data.cache import Cache
from img2img.data.layout import HELD, PARTS, Part
from img2img.data.listing import find_photos, photos_in
from img2img.data.sample import LabelledSample
from img2img.data.source import Files, Opened, Reading, Source, hashed
from img2img.environment import declare_torchvision_ops
from img2img.errors import UserError
from img2img.files import at_home

PublishedPart = Literal["train", "test"]


@dataclass(frozen=True)
class PublishedDataSet:
    """A published data set: its loader in torchvision, where that keeps its files, and how to come
    by them.
    """

    title: str
    loader: str
    folder: str
    """Below torchvision's root."""
    remedy: str


_IDX = "put train-images-idx3-ubyte.gz and its three companions"
KNOWN = {
    "mnist": PublishedDataSet("MNIST", "MNIST", "MNIST", f"{_IDX} into ./mnist"),
    "fashion-mnist": PublishedDataSet(
        "Fashion-MNIST",
        "FashionMNIST",
        "FashionMNIST",
        f"apt-get install dataset-fashion-mnist, or {_IDX} into ./fashion-mnist",
    ),
    "cifar-10": PublishedDataSet(
        "CIFAR-10",
        "CIFAR10",
        "cifar-10-batches-py",
        "unpack cifar-10-python.tar.gz into ./cifar-10",
    ),
}
DEBIAN = Path("/usr/share/datasets")
_IDX_FILES: dict[PublishedPart, str] = {"train": "train", "test": "t10k"}


@dataclass
class ArraySource(Source):
    """Pictures in memory, (N,H,W) or (N,H,W,3) uint8, their labels (N,), and the names of the
    classes.
    """

    pictures: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    part: PublishedPart

    def __len__(self) -> int:
        return len(self.pictures)

    def key(self, index: int) -> str:
        return f"{self.part}/{index:06d}"

    def read(self, index: int, number: int) -> LabelledSample:
        picture = self.pictures[index]
        photo = picture if picture.ndim == 3 else picture[..., None].repeat(3, -1)
        return LabelledSample(number, photo=photo, label=int(self.labels[index]))


@dataclass
class ClassFolderSource(Files):
    """Photos in one folder a class."""

    labels: list[int]
    class_names: tuple[str, ...]

    def key(self, index: int) -> str:
        path = self.paths[index]
        return f"{self.class_names[self.labels[index]]}/{path.name}"

    def read(self, index: int, number: int) -> LabelledSample:
        return LabelledSample(
            number, photo=self.cache.read(self.paths[index]), label=self.labels[index]
        )

    def part(self, items: Sequence[int]) -> ClassFolderSource:
        """Some of them."""
        return replace(
            self, paths=[self.paths[i] for i in items], labels=[self.labels[i] for i in items]
        )


LabelledSource = ArraySource | ClassFolderSource


def labelled_source(
    paths: Sequence[str], cache: Cache, part: PublishedPart = "train"
) -> LabelledSource:
    """The pictures of `data.path` with their classes: `mnist`, `NAME:ROOT`, or a folder.

    Raises UserError for files that are missing or are not what they should be.
    """
    if len(paths) != 1:
        raise UserError(
            f"{len(paths)} places, and pictures with classes come from one",
            field="data.path",
            remedy="give one",
        )
    known, root = _named(paths[0])
    if known is not None:
        return _by_name(known, root, part)
    folder = at_home(paths[0]).resolve()
    return _arrays_in(folder, part) or _class_folders(folder, cache, part)


def array_source(path: str) -> ArraySource | None:
    """The pictures of a published data set, for tasks that take any photos; None when `path` is a
    plain folder.
    """
    known, root = _named(path)
    if known is not None:
        return _by_name(known, root, "train")
    return _arrays_in(at_home(path).resolve(), "train")


def _named(path: str) -> tuple[str | None, Path | None]:
    """`NAME` or `NAME:ROOT` taken apart; (None, None) for what names no published data set."""
    name, _, root = path.partition(":")
    if name not in KNOWN:
        return None, None
    return name, at_home(root) if root else None


def _by_name(name: str, root: Path | None, part: PublishedPart) -> ArraySource:
    known = KNOWN[name]
    places = [root] if root else [Path(name), Path("data") / name, Path("data"), DEBIAN / name]
    for place in places:
        found = _read_known(known, place, part)
        if found is not None:
            return found
    where = f" in '{root}'" if root else ""
    raise UserError(
        f"no files of {known.title}{where}",
        field="data.path",
        remedy=f"{known.remedy}, or name their folder: {name}:FOLDER",
    )


def _arrays_in(folder: Path, part: PublishedPart) -> ArraySource | None:
    """A folder that holds a published data set, under any name; None for any other."""
    for known in KNOWN.values():
        inside = folder if folder.name == known.folder else folder / known.folder
        if inside.is_dir():
            return _read_known(known, inside.parent, part)
    fashion = "fashion" in folder.name.lower()
    return _read_known(KNOWN["fashion-mnist" if fashion else "mnist"], folder, part)


def _read_known(known: PublishedDataSet, place: Path, part: PublishedPart) -> ArraySource | None:
    """By torchvision's loader where its files lie as it lays them, else idx files; None when
    neither is there.
    """
    return _by_torchvision(known, place, part) or _by_idx(known, place, part)


def _by_torchvision(known: PublishedDataSet, root: Path, part: PublishedPart) -> ArraySource | None:
    if not (root / known.folder).is_dir():
        return None
    loader = _loader(known)
    try:
        loaded = loader(str(root), train=part == "train", download=False)
    except (RuntimeError, OSError, ValueError, AssertionError) as error:
        if _by_idx(known, root, part):
            return None  # packed, which torchvision's loader does not read
        raise UserError(
            f"{known.title} in '{root / known.folder}' is not whole",
            field="data.path",
            remedy=known.remedy,
        ) from error
    return ArraySource(
        np.asarray(loaded.data), np.asarray(loaded.targets), _class_names(loaded), part
    )


def _by_idx(known: PublishedDataSet, place: Path, part: PublishedPart) -> ArraySource | None:
    folders = [place / known.folder / "raw", place / known.folder, place / "raw", place]
    for folder in folders:
        files = _idx_file(folder, part, "images-idx3"), _idx_file(folder, part, "labels-idx1")
        if files[0] is not None and files[1] is not None:
            pictures, labels = read_idx(files[0], 3), read_idx(files[1], 1)
            if len(pictures) != len(labels):
                raise UserError(
                    f"'{files[0]}' has {len(pictures)} pictures, and {len(labels)} labels",
                    field="data.path",
                )
            return ArraySource(pictures, labels, _class_names(_loader(known)), part)
    return None


def _idx_file(folder: Path, part: PublishedPart, what: str) -> Path | None:
    names = (f"{_IDX_FILES[part]}-{what}-ubyte{packed}" for packed in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An idx file of bytes (LeCun et al. 1998), packed by gzip or not: uint8 of `dimensions` axes.
    Raises UserError.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise UserError(
            f"'{path}' cannot be unpacked ({error})",
            field="data.path",
            remedy="put a whole copy there",
        ) from error
    header = 4 + 4 * dimensions
    shape = tuple(int(n) for n in np.frombuffer(content[4:header], ">u4"))
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) != header + int(np.prod(shape)):
        raise UserError(
            f"'{path}' is not a whole idx file of {dimensions} axes",
            field="data.path",
            remedy="put a whole copy there",
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def open_classes(paths: Sequence[str], cache: Cache, share: float) -> Opened:
    """Pictures with classes to train on, and to validate on: of `val/`, else of `test/`, else a
    share held out.
    """
    source = labelled_source(paths, cache)
    if isinstance(source, ArraySource):
        reading: Reading[int] = Reading("pictures")
        reading.add({"train": range(len(source))}, f"the training part of {paths[0]}")
        return reading.opened(lambda _: source, share)
    return _opened(at_home(paths[0]).resolve(), source, cache, share)


def open_class_folder(folder: Path, cache: Cache, share: float) -> Opened:
    """The same of a folder with one folder a class."""
    return _opened(folder, _class_folders(folder, cache, "train"), cache, share)


def _opened(folder: Path, source: ClassFolderSource, cache: Cache, share: float) -> Opened:
    whole = source
    reading: Reading[int] = Reading("pictures")
    roots = _class_roots(folder)
    parts: dict[Part, range] = {"train": range(len(source))}
    for part in (p for p in HELD if p in roots):
        whole, first = _joined(whole, _classes_in(roots[part], cache)), len(whole)
        parts[part] = range(first, len(whole))
    reading.add(
        parts, f"{len(source.class_names)} classes{' in train/' * (roots['train'] != folder)}"
    )
    return reading.opened(whole.part, share)


def _class_folders(folder: Path, cache: Cache, part: PublishedPart) -> ClassFolderSource:
    """What torchvision's ImageFolder finds, `CLASS/photo.jpg`, below `train/` and `test/` where
    there are such.
    """
    if not folder.is_dir():
        find_photos([folder])  # says what is wrong
    roots = _class_roots(folder)
    if part == "train":
        return _classes_in(
            roots["train"], cache, [root for held, root in roots.items() if held != "train"]
        )
    tests = [roots[held] for held in reversed(HELD) if held in roots]
    if not tests:
        raise UserError(
            f"'{folder}' has no train/ and test/ with the classes in each",
            field="data.path",
            remedy="put the photos of each class into train/CLASS/ and test/CLASS/",
        )
    return _classes_in(tests[0], cache)


def _class_roots(folder: Path) -> dict[Part, Path]:
    """Where the classes of each part are: `train/` next to `val/` or `test/`, or these two
    among the classes.
    """
    inside = {d.name.lower(): d for d in sorted(folder.iterdir()) if d.is_dir()}
    roots = {
        part: inside[word] for part, words in PARTS.items() for word in words if word in inside
    }
    held = {part: root for part, root in roots.items() if part in HELD}
    if "train" in roots:
        return roots if held else {"train": folder}
    classes = set(inside) - {root.name.lower() for root in held.values()}
    among = {
        part: root
        for part, root in held.items()
        if _folders(root) and set(_folders(root)) <= classes
    }
    return {"train": folder, **among}


def _folders(root: Path) -> list[str]:
    return sorted(
        d.name.lower() for d in root.iterdir() if d.is_dir() and not d.name.startswith(".")
    )


def _classes_in(inside: Path, cache: Cache, without: Sequence[Path] = ()) -> ClassFolderSource:
    names, found = _listed(inside, without)
    empty = [name for label, name in enumerate(names) if label not in {known for _, known in found}]
    if len(names) < 2 or empty:
        what = f"'{empty[0]}' holds no photo" if empty else f"{len(names)} folders in it"
        raise UserError(
            f"'{inside}' is not a folder of classes ({what})",
            field="data.path",
            remedy="put each class in its own folder",
        )
    # By hash, so that any few of them, such as those that are looked at in validation, are of many
    # classes.
    found.sort(key=lambda item: hashed(item[0].relative_to(inside).as_posix()))
    return ClassFolderSource([p for p, _ in found], cache, [label for _, label in found], names)


def _joined(train: ClassFolderSource, held: ClassFolderSource) -> ClassFolderSource:
    """Both parts, with the classes of the first. Raises UserError for a class that is not trained
    on.
    """
    strange = [name for name in held.class_names if name not in train.class_names]
    if strange:
        where = held.paths[0].parents[1]
        raise UserError(
            f"class '{strange[0]}' of '{where}' has no photo to train on",
            field="data.path",
            remedy="give both one naming",
        )
    labels = [train.class_names.index(held.class_names[label]) for label in held.labels]
    return ClassFolderSource(
        train.paths + held.paths, train.cache, train.labels + labels, train.class_names
    )


def _listed(
    folder: Path, without: Sequence[Path]
) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """Classes and photos with their class as torchvision's ImageFolder numbers them; what is hidden
    or no photo is passed over.
    """
    folders = (d for d in folder.iterdir() if d.is_dir() and not d.name.startswith("."))
    names = sorted(d.name for d in folders if d not in without)
    labels = {name: label for label, name in enumerate(names)}
    placed = ((path, path.relative_to(folder).parts[0]) for path in photos_in(folder))
    return tuple(names), [(path, labels[name]) for path, name in placed if name in labels]


def _loader(known: PublishedDataSet) -> Any:
    declare_torchvision_ops()
    import torchvision.datasets

    return getattr(torchvision.datasets, known.loader)


def _class_names(data_set: Any) -> tuple[str, ...]:
    """`7`, not torchvision's `7 - seven`."""
    return tuple(name.split(" - ")[0] for name in data_set.classes)
