"""The checks, each a function from what was looked at to its findings; a new one is written here,
under `@check`.

A check that cries wolf is worse than none: what may well be meant is a note, or is not said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np

from img2img.data.checks.finding import DataFinding, Found, Inspected
from img2img.data.checks.looks import Looked, MaskLook
from img2img.data.checks.registration import LEAST_PX
from img2img.data.checks.similar import (
    CLOSER_PX,
    LEAST_AGREEMENT,
    LIKELY_AGREEMENT,
    agreement,
    close_hashes,
    thumbnail,
)
from img2img.data.dataset import LEAST_CROP_PX
from img2img.data.layout import Part
from img2img.data.shards import local_file
from img2img.errors import UserError
from img2img.pixels.compression import PLAIN_BLOCKS_255

Check = Callable[[Inspected], Iterator[DataFinding]]
CHECKS: list[Check] = []
FEW = 50  # photos or pairs: so many are enough to go on from a shipped model
FEW_HELD_OUT = 5
MOST_SMALL = 0.1  # of the photos, that are better taken out than followed by all crops
_PART_NAMES: dict[Part, str] = {"train": "training", "val": "validation", "test": "test"}
_MOST_GREY = 0.5  # of a side in colors; more are what the data set is of
_ARE_MASKS, _THICK, _LEAST_MASKS = 0.8, 0.08, 3
_NOTHING, _EVERYTHING = 0.001, 0.999  # of a mask that is marked
_INVERTED_BORDER, _USUAL_BORDER = 0.9, 0.5


def check(function: Check) -> Check:
    """Have it asked, after those before it."""
    CHECKS.append(function)
    return function


# --- what training does not begin with, or leaves out


@check
def unpaired(data: Inspected) -> Iterator[DataFinding]:
    """Files without a partner of their name on the other side."""
    if data.opened.lonely:
        instead = ", or set data.unmatched=skip" if data.needs_partners else ""
        yield DataFinding(
            "unpaired",
            "refused" if data.needs_partners else "left out",
            f"{len(data.opened.lonely)} files have no partner on the other side",
            f"give both files of a pair one name{instead}",
            [Found((path,)) for path in data.opened.lonely],
        )


@check
def unreadable(data: Inspected) -> Iterator[DataFinding]:
    """Files that cannot be decoded to their end."""
    broken = [one for one in data.looked if one.problem and not one.sizes]
    if broken:
        none_left = not any(one.part == "train" for one in data.readable)
        yield DataFinding(
            "unreadable",
            "refused" if none_left else "left out",
            f"{len(broken)} of {len(data.looked)} cannot be read",
            "copy or export them again",
            [Found(one.files, one.problem) for one in broken],
        )


@check
def sizes(data: Inspected) -> Iterator[DataFinding]:
    """Pairs whose files are not of one size, upright."""
    apart = [one for one in data.looked if one.sizes]
    if apart:
        none_left = not any(one.part == "train" for one in data.readable)
        noted = (
            Found(one.files, " and ".join(f"{width}×{height}" for width, height in one.sizes))
            for one in apart
        )
        yield DataFinding(
            "sizes",
            "refused" if none_left else "left out",
            f"{len(apart)} of {len(data.looked)} pairs have two sizes",
            "make both files of a pair from one picture: they must match pixel by pixel",
            list(noted),
        )


# --- rotation


@check
def rotation(data: Inspected) -> Iterator[DataFinding]:
    """EXIF orientation: on both sides of a pair, on one alone, on photos."""
    turned = [one for one in data.looked if max(one.turns) > 1]
    one_sided = [one for one in turned if len(set(one.turns)) > 1]
    if one_sided:
        yield DataFinding(
            "rotation",
            "hint",
            f"of {len(one_sided)} pairs one file alone is turned by its EXIF tag, or each by "
            "another",
            "look whether both lie alike once upright; a program may have turned the pixels of one "
            "and kept the tag, or dropped it",
            [Found(one.files, " and ".join(map(str, one.turns))) for one in one_sided],
        )
    if len(turned) > len(one_sided):
        rest = [one for one in turned if len(set(one.turns)) == 1]
        yield DataFinding(
            "rotation",
            "note",
            f"{len(rest)} of {len(data.looked)} have an EXIF rotation tag",
            "training turns them upright; nothing to do",
            [Found(one.files) for one in rest],
        )


# --- copies


@check
def duplicates(data: Inspected) -> Iterator[DataFinding]:
    """Pictures of validation or test that training knows: copies, resized or compressed anew, or
    cut a little at their edges.
    """
    by_part: dict[tuple[str, Part], list[Looked]] = defaultdict(list)
    for one in data.readable:
        if all(picture.hash is not None for picture in one.pictures):
            by_part[one.side, one.part].append(one)
    sides = dict.fromkeys(side for side, _ in by_part)
    for first, second in combinations(_PART_NAMES, 2):
        leaks = [
            leak for side in sides for leak in _leaks(by_part[side, first], by_part[side, second])
        ]
        if leaks:
            known, asked = _PART_NAMES[first], _PART_NAMES[second]
            count = len({found.files[0] for found in leaks})
            yield DataFinding(
                "duplicates",
                "hint",
                f"{count} of {asked} show what is in {known} too, so {asked} flatters",
                f"take those of {known} out, or put copies into one part",
                leaks,
            )


def _leaks(known: Sequence[Looked], asked: Sequence[Looked]) -> list[Found]:
    """Of the second, those that show what one of the first does; to mend are the first's files."""
    hashes, queries = (
        np.array([one.pictures[-1].hash for one in items], np.uint64) for items in (known, asked)
    )
    return [
        Found((asked[query].files[-1], known[place].files[-1]), to_mend=known[place].files)
        for query, place in close_hashes(hashes, queries)
        if _show_the_same(asked[query], known[place])
    ]


def _show_the_same(one: Looked, other: Looked) -> bool:
    """Whether all pictures of two items agree, in small and, read once more, from closer by."""
    thumbs = ([picture.thumb for picture in item.pictures] for item in (one, other))
    if any(agreement(a, b) < LIKELY_AGREEMENT for a, b in zip(*thumbs, strict=True)):
        return False
    try:
        closer = ([thumbnail(x, CLOSER_PX) for x in item.again()] for item in (one, other))
        return all(agreement(a, b) >= LEAST_AGREEMENT for a, b in zip(*closer, strict=True))
    except UserError:  # gone meanwhile
        return False


@check
def repeated(data: Inspected) -> Iterator[DataFinding]:
    """The same file, or pair of files, several times in training, byte for byte."""
    by_size: dict[tuple[int, ...], list[Looked]] = defaultdict(list)
    for one in data.readable:
        if one.part == "train":
            by_size[tuple(path.stat().st_size for path in one.files)].append(one)
    by_content: dict[tuple[str, ...], list[Looked]] = defaultdict(list)
    for alike in by_size.values():
        for one in alike if len(alike) > 1 else ():
            by_content[one.side, *map(_digest, one.files)].append(one)
    copies = [group for group in by_content.values() if len(group) > 1]
    if copies:
        found = [
            Found(
                tuple(one.files[-1] for one in group),
                to_mend=tuple(path for one in group[1:] for path in one.files),
            )
            for group in copies
        ]
        yield DataFinding(
            "repeated",
            "hint",
            f"{sum(len(group) - 1 for group in copies)} files of training are exact copies of "
            "others, which count that often",
            "keep one of each",
            found,
        )


def _digest(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with local_file(path) as local, local.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


# --- what pictures show


@check
def misaligned(data: Inspected) -> Iterator[DataFinding]:
    """Pairs whose pictures are shifted against each other."""
    registered = [one for one in data.readable if one.registered]
    known = [(float(np.hypot(*one.shift)), one) for one in registered if one.shift is not None]
    apart = sorted((item for item in known if item[0] >= LEAST_PX), key=lambda item: -item[0])
    if apart:
        yield DataFinding(
            "misaligned",
            "hint",
            f"{len(apart)} of {len(registered)} pairs that were looked at lie "
            f"{median(error for error, _ in apart):.0f} px apart in the median",
            "align them, or take them out: a network learns to blur by that much",
            [Found(one.files, f"{error:.0f} px") for error, one in apart],
        )


@check
def masks(data: Inspected) -> Iterator[DataFinding]:
    """Folders of masks among photos, and masks that mark nothing, everything, or the opposite of
    what the others do.
    """
    groups: dict[tuple[int, Path], list[tuple[Looked, MaskLook | None, bool]]] = defaultdict(list)
    for one in data.readable:
        for number, picture in enumerate(one.pictures):
            folder = one.files[min(number, len(one.files) - 1)].parent
            groups[number, folder].append((one, picture.mask, picture.blank))
    drawn = {key: group for key, group in groups.items() if _are_masks(group)}
    single = all(len(one.pictures) == 1 for one in data.readable)
    for (number, folder), group in drawn.items():
        if single and len(drawn) == len(groups):
            return  # a data set of shapes
        known = [(one, mask) for one, mask, _ in group if mask is not None]
        if single:
            yield DataFinding(
                "masks",
                "hint",
                f"{len(group)} pictures in {folder.name}/ are masks, and would be trained on as "
                f"photos; {_polarity([mask for _, mask in known])}",
                "name the folder of the photos alone in data.path",
                [Found(one.files) for one, _, _ in group],
            )
        yield from _odd_masks(known, number)


def _are_masks(group: Sequence[tuple[Looked, MaskLook | None, bool]]) -> bool:
    """Whether nearly all are black and white, in areas and not in lines."""
    known = [mask for _, mask, blank in group if mask is not None and not blank]
    alike = sum(mask is not None for _, mask, _ in group) >= _ARE_MASKS * len(group)
    return len(known) >= _LEAST_MASKS and alike and median(m.thick for m in known) >= _THICK


def _polarity(known: Sequence[MaskLook]) -> str:
    share = median(mask.white for mask in known)
    said = f"white is {100 * share:.0f} % of them"
    return f"{said}: to fill what is black, invert them" if share > 0.5 else said


def _odd_masks(known: Sequence[tuple[Looked, MaskLook]], number: int) -> Iterator[DataFinding]:
    """Masks that mark nothing or everything, and those the other way round than most."""
    side = "AB"[number] if len(known[0][0].pictures) == 2 else ""
    of_side = f" of side {side}" * bool(side)
    empty = [one for one, mask in known if not _NOTHING <= mask.white <= _EVERYTHING]
    if empty:
        yield DataFinding(
            "masks",
            "hint",
            f"{len(empty)} of {len(known)} masks{of_side} mark nothing or everything",
            "draw them anew, or take them out",
            [Found(one.files) for one in empty],
        )
    marked = [(one, mask) for one, mask in known if _NOTHING <= mask.white <= _EVERYTHING]
    holes = [one for one, m in marked if m.white < 0.5 and m.white_border < _USUAL_BORDER]
    inverted = [one for one, m in marked if m.white > 0.5 and m.white_border > _INVERTED_BORDER]
    odd, usual = sorted((inverted, holes), key=len)
    if odd and len(usual) >= _ARE_MASKS * len(marked):
        yield DataFinding(
            "masks",
            "hint",
            f"{len(odd)} of {len(known)} masks{of_side} are the other way round than the rest",
            "exchange black and white in them",
            [Found(one.files) for one in odd],
        )


@check
def grey(data: Inspected) -> Iterator[DataFinding]:
    """Photos without color among those in color."""
    if data.task.prediction_channels == 1:
        return
    matters = not getattr(data.task, "keeps_grey", True)
    sides: dict[tuple[str, int], list[tuple[Looked, bool]]] = defaultdict(list)
    for one in data.readable:
        for number, picture in enumerate(one.pictures):
            if not picture.blank:
                sides[one.side, number].append((one, picture.grey))
    for side in sides.values():
        found = [one for one, is_grey in side if is_grey]
        of_two = len(sides) > 1
        if not found or (len(found) > _MOST_GREY * len(side) and (of_two or not matters)):
            continue  # a side of drawings, or a data set that is grey
        yield DataFinding(
            "grey",
            "hint" if matters else "note",
            f"{len(found)} of {len(side)} are without color",
            "take them out: they teach that things are grey"
            if matters
            else "this task keeps grey photos grey; nothing to do",
            [Found(one.files) for one in found],
        )


@check
def jpeg(data: Inspected) -> Iterator[DataFinding]:
    """Pictures in which the blocks of strong JPEG compression show, at the size training has."""
    found = [(max(picture.blocks_255 for picture in one.pictures), one) for one in data.readable]
    damaged = sorted(
        (item for item in found if item[0] >= PLAIN_BLOCKS_255), key=lambda item: -item[0]
    )
    if damaged:
        yield DataFinding(
            "jpeg",
            "hint",
            f"in {len(damaged)} of {len(found)} the blocks of strong JPEG compression show",
            "take better copies, or leave them out: what is trained on is what comes out",
            [Found(one.files, f"steps of {blocks:.1f}/255") for blocks, one in damaged],
        )


@check
def blank(data: Inspected) -> Iterator[DataFinding]:
    """Pictures of one color."""
    found = [
        one
        for one in data.readable
        if any(picture.blank and picture.mask is None for picture in one.pictures)
    ]
    if found:
        yield DataFinding(
            "blank",
            "hint",
            f"{len(found)} of {len(data.readable)} show one color and nothing else",
            "take them out",
            [Found(one.files) for one in found],
        )


@check
def small(data: Inspected) -> Iterator[DataFinding]:
    """Photos that have to be enlarged for a crop."""
    crop_px = data.config.crop_px
    shorter = [(min(min(p.size) for p in one.pictures), one) for one in data.readable]
    found = [(px, one) for px, one in shorter if px < crop_px]
    if found:
        least = min(px for px, _ in found)
        sides = (
            range(least, LEAST_CROP_PX - 1, -1) if len(found) > MOST_SMALL * len(shorter) else ()
        )
        side = next((px for px in sides if data.fits(px)), None)
        yield DataFinding(
            "small",
            "hint",
            f"{len(found)} of {len(shorter)} are smaller than data.crop_px ({crop_px} px) and are "
            "enlarged",
            f"set data.crop_px={side}, or use larger ones"
            if side
            else "use larger ones, or take them out",
            [Found(one.files, f"{px} px") for px, one in found],
        )


@check
def few(data: Inspected) -> Iterator[DataFinding]:
    """Too little to train on, or to validate on."""
    if not data.looked:
        return
    trained, held = (sum(one.part == part for one in data.readable) for part in ("train", "val"))
    if trained < FEW:
        yield DataFinding(
            "few",
            "hint",
            f"{trained} to train on",
            "add more, hundreds if you can; or go on from a model (train.init) in few steps",
        )
    elif held < FEW_HELD_OUT and data.config.validation_share:
        yield DataFinding(
            "few",
            "hint",
            f"{held} to validate on, by which hardly anything can be told",
            "raise data.validation_share, or lay some in val/",
        )


def all_findings(data: Inspected) -> Iterator[DataFinding]:
    """What every check has to say, in their order."""
    for one in CHECKS:
        yield from one(data)
