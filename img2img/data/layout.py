"""One reading of folders, for all that take photos from them: parts (train, val, test) and sides
(A, B).

A part is a folder `train/`, `val/` or `test/`, or `trainA/` and `trainB/` and so on; a side is `A/`
and `B/`, in the folder itself, in a part, or with the parts inside. Parts may lie deeper, as an
archive unpacks them. Case does not matter, and some other words for the same are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from img2img.data.listing import find_photos
from img2img.errors import UserError

Part = Literal["train", "val", "test"]
PARTS: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
HELD: tuple[Part, Part] = ("val", "test")
SIDES = (("a", "b"), ("input", "target"))
LAYOUTS = (
    "A/ and B/ with the same names, trainA/ and trainB/, or one file a pair, A left and B right; "
    "each also in train/, val/ and test/"
)


@dataclass(frozen=True)
class Listed:
    """Photos under a folder; their names are relative to it."""

    root: Path
    paths: list[Path] = field(default_factory=list)


class FoundSides(NamedTuple):
    """Sides A and B of every part that is there, and what their folders are called."""

    parts: dict[Part, tuple[Listed, Listed]]
    called: str


def parts_of(folder: Path, *, parted: bool = False) -> dict[Part, Listed]:
    """The photos of each part; all of them are `train` where nothing says that some are not.

    `train/` next to `val/` or `test/` is a part; alone it is a folder like any other, such as one
    of pictures of trains, unless it is known that there are parts (`parted`). Raises UserError for
    a folder that is not there, holds no photo, or none to train on.
    """
    everything = find_photos([folder])
    placed = {path: (part, root) for part, root, path in _placed(folder, everything, parted)}
    photos = {part: [path for path in everything if placed[path][0] == part] for part in PARTS}
    if not parted and not any(photos[part] for part in HELD):
        return {"train": Listed(folder, everything)}
    roots = {
        part: list(dict.fromkeys(placed[path][1] for path in found))
        for part, found in photos.items()
    }
    if not photos["train"]:
        held = " and ".join(f"{d.name}/" for part in HELD for d in roots[part])
        raise UserError(
            f"'{folder}' holds {held} alone, which are never trained on",
            field="data.path",
            remedy="add train/",
        )
    return {
        part: Listed(roots[part][0] if len(roots[part]) == 1 else folder, found)
        for part, found in photos.items()
        if found
    }


def _placed(
    folder: Path, paths: Sequence[Path], parted: bool
) -> Iterator[tuple[Part | None, Path, Path]]:
    """Each photo with its part and the part's folder; None for one that lies next to `train/`.

    Where there are no parts, each sub-folder is looked at in the same way.
    """
    inside: dict[Path, list[Path]] = {}
    for path in paths:
        first = path.relative_to(folder).parts[0]
        inside.setdefault(folder if folder / first == path else folder / first, []).append(path)
    named = {place: _part_of(place.name.lower()) for place in inside if place != folder}
    if not any(part in HELD or (parted and part == "train") for part in named.values()):
        for place, found in inside.items():
            loose: Iterator[tuple[Part | None, Path, Path]] = (
                ("train", folder, path) for path in found
            )
            yield from loose if place == folder else _placed(place, found, parted)
        return
    loose_part: Part | None = None if "train" in named.values() else "train"
    for place, found in inside.items():
        part = named.get(place)
        yield from ((part or loose_part, place if part else folder, path) for path in found)


def sides_of(folder: Path) -> FoundSides | None:
    """Both sides of every part, or None where there are no sides. Raises UserError for one side
    without the other.
    """
    if not folder.is_dir():
        find_photos([folder])  # says what is wrong
    found: dict[Part, tuple[Path, Path]] = {}
    for part in PARTS:
        two = _two_named(folder, part)
        if two is not None:
            found[part] = two
    direct = _two(folder, SIDES)
    if "train" in found:
        sides = {part: (_listed(a), _listed(b)) for part, (a, b) in found.items()}
        return FoundSides(sides, _called(folder, found["train"]))
    if direct is None:
        return None
    inner = tuple(parts_of(side) for side in direct)
    if (len(inner[0]) > 1) != (len(inner[1]) > 1):  # one side says that there are parts
        inner = tuple(parts_of(side, parted=True) for side in direct)
    sides = {
        p: (inner[0].get(p, Listed(direct[0])), inner[1].get(p, Listed(direct[1])))
        for p in (*inner[0], *inner[1])
    }
    held: dict[Part, tuple[Listed, Listed]] = {
        p: (_listed(a), _listed(b)) for p, (a, b) in found.items()
    }
    return FoundSides({**held, **sides}, _called(folder, direct))


def _two_named(folder: Path, part: Part) -> tuple[Path, Path] | None:
    """`trainA/` and `trainB/`, or `A/` and `B/` in `train/`."""
    two = _two(folder, [(f"{word}a", f"{word}b") for word in PARTS[part]])
    if two is not None:
        return two
    inside = _inside(folder)
    for word in PARTS[part]:
        if word in inside and (two := _two(inside[word], SIDES)) is not None:
            return two
    return None


def _two(folder: Path, names: Sequence[tuple[str, str]]) -> tuple[Path, Path] | None:
    """The first of the pairs of names that is there. Raises UserError where one folder of A and B
    is missing.
    """
    inside = _inside(folder)
    for pair in names:
        a, b = (inside.get(name) for name in pair)
        if a is not None and b is not None:
            return a, b
        lonely = a or b
        if lonely is not None and pair != SIDES[1]:  # `input` alone is any folder's name
            raise _one_side(folder, lonely)
    return None


def _one_side(folder: Path, lonely: Path) -> UserError:
    last = {"A": "B", "B": "A", "a": "b", "b": "a"}[lonely.name[-1]]
    other = folder / f"{lonely.name[:-1]}{last}"
    if _part_of(lonely.name.lower()) in HELD:
        return UserError(
            f"'{other}' does not exist",
            field="data.path",
            remedy=f"give a folder of photos, as {lonely.name}/ is",
        )
    return UserError(
        f"'{folder}' has {lonely.name}/ and no {other.name}/",
        field="data.path",
        remedy="two sides are translated",
    )


def _listed(folder: Path) -> Listed:
    return Listed(folder, find_photos([folder]))


def _inside(folder: Path) -> dict[str, Path]:
    """Sub-folders by their names in lower case. Raises UserError for two sides or parts that differ
    by case alone.
    """
    found: dict[str, Path] = {}
    for place in sorted(d for d in folder.iterdir() if d.is_dir() and not d.name.startswith(".")):
        name = place.name.lower()
        if name in found and (_part_of(name) or any(name in pair for pair in SIDES)):
            raise UserError(
                f"'{found[name]}' and '{place}' differ by case alone",
                field="data.path",
                remedy="rename or join them",
            )
        found[name] = place
    return found


def _part_of(name: str) -> Part | None:
    return next(
        (
            part
            for part, words in PARTS.items()
            if name in (*words, *(w + s for w in words for s in "ab"))
        ),
        None,
    )


def _called(folder: Path, two: tuple[Path, Path]) -> str:
    return " and ".join(f"{side.relative_to(folder).as_posix()}/" for side in two)
