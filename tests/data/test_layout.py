"""One reading of folders: what is a part, what a side, what could be pairs; what is held out is
never trained on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from img2img.data.cache import Cache
from img2img.data.dataset import DataConfig, Photos, load_photos
from img2img.data.folder import pair_source, photo_source
from img2img.data.labelled import labelled_source
from img2img.data.layout import parts_of
from img2img.data.side_by_side import could_be_pairs
from img2img.errors import UserError
from img2img.tasks import build_task

COUNTS = {"train": 6, "val": 2, "test": 3}
GREY = {"train": 10, "val": 110, "test": 210}  # the first picture's of each part


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def level(value: int) -> np.ndarray:
    return np.full((32, 32, 3), value, np.uint8)


def fill(
    folder: Path,
    place: Callable[[str], str],
    parts: tuple[str, ...] = ("train", "val", "test"),
    side: int = 0,
) -> None:
    for part in parts:
        for number in range(COUNTS[part]):
            save(folder / place(part) / f"{part}_{number}.png", level(GREY[part] + number + side))


def opened(folder: Path, task: Any, **fields: Any) -> Photos:
    config = DataConfig(path=(str(folder),), crop_px=32, flip=False, **fields)
    return load_photos(build_task(task), config, 0)


def greys(photos: Photos) -> tuple[set[int], set[int]]:
    """Of the photos that are trained on, and of those that validate."""
    train = {
        round(float(photos.train[n].target.mean()) * 255)
        for n in range(3 * len(photos.train.items))
    }
    pictures = [picture for batch in photos.validation for picture in batch.target]
    return train, {round(float(picture.mean()) * 255) for picture in pictures}


def of(part: str, side: int = 0) -> set[int]:
    return {GREY[part] + number + side for number in range(COUNTS[part])}


PAIRS = {"kind": "translate"}
LAYOUTS: dict[str, Callable[[str, str], str]] = {
    "trainA/ and trainB/": lambda part, side: f"{part}{side}",
    "traina/ and trainb/": lambda part, side: f"{part}{side.lower()}",
    "train/A/ and train/B/": lambda part, side: f"{part}/{side}",
    "Train/a/ and Train/b/": lambda part, side: f"{part.title()}/{side.lower()}",
    "A/ and B/": lambda part, side: f"{side}/{part}",
    "a/ and b/": lambda part, side: f"{side.lower()}/{part}",
    "input/ and target/": lambda part, side: f"{'input' if side == 'A' else 'target'}/{part}",
}


@pytest.mark.parametrize("called", LAYOUTS)
@pytest.mark.parametrize("unpaired", [False, True])
def test_pairs_in_every_layout_train_validate_and_leave_the_test_alone(
    tmp_path: Path, called: str, unpaired: bool
) -> None:
    for side, add in (("A", 0), ("B", 20)):
        fill(tmp_path, lambda part, side=side: LAYOUTS[called](part, side), side=add)  # type: ignore[misc]  # bound
    photos = opened(tmp_path, {**PAIRS, "source": "unpaired"} if unpaired else PAIRS)
    assert greys(photos) == (of("train", 20), of("val", 20))
    told = f"6 + 6 pictures: {called}; 2 + 2" if unpaired else f"6 pairs: {called}; 2"
    assert photos.summary == f"{told} for validation from val/; 3 in test/ not used"


@pytest.mark.parametrize("called", LAYOUTS)
def test_without_a_val_part_the_test_part_validates_and_is_never_trained_on(
    tmp_path: Path, called: str
) -> None:
    for side, add in (("A", 0), ("B", 20)):
        place = lambda part, side=side: LAYOUTS[called](part, side)  # noqa: E731 - bound in the loop
        fill(tmp_path, place, ("train", "test"), side=add)
    photos = opened(tmp_path, PAIRS, validation_share=0)
    assert greys(photos) == (of("train", 20), of("test", 20))
    assert photos.summary == f"6 pairs: {called}; 3 for validation from test/"
    measured = pair_source([tmp_path], Cache(0))
    assert {int(measured.read(i, 0).photo[0, 0, 0]) for i in range(len(measured))} == of("test", 20)  # type: ignore[index]


def test_sixty_pairs_and_twelve_to_validate_on_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(60):
        for side in ("A", "B"):
            save(tmp_path / side / f"{number}.png", level(number))
    for number in range(12):
        for side in ("A", "B"):
            save(tmp_path / "val" / side / f"{number}.png", level(number))
    assert opened(tmp_path, PAIRS).summary == "60 pairs: A/ and B/; 12 for validation from val/"
    (tmp_path / "val").rename(tmp_path.parent / "elsewhere")
    told = "57 pairs: A/ and B/; 3 for validation, held out (data.validation_share=0.05)"
    assert opened(tmp_path, PAIRS).summary == told


@pytest.mark.parametrize("task", ["denoise", {"kind": "translate", "source": "grey"}])
@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "valid", "Test"), ("training", "val", "testing")]
)
def test_photos_in_parts(tmp_path: Path, task: Any, names: tuple[str, str, str]) -> None:
    fill(tmp_path, dict(zip(COUNTS, names, strict=True)).__getitem__)
    photos = opened(tmp_path, task)
    assert greys(photos) == (of("train"), of("val"))
    assert (
        photos.summary == f"6 photos: {names[0]}/; 2 for validation from val/; 3 in test/ not used"
    )
    measured = photo_source([tmp_path], Cache(0))
    assert {int(measured.read(i, 0).photo[0, 0, 0]) for i in range(len(measured))} == of("test")  # type: ignore[index]


def test_photos_beside_a_test_folder_are_trained_on_without_it(tmp_path: Path) -> None:
    fill(tmp_path, {"train": ".", "test": "test"}.__getitem__, ("train", "test"))
    photos = opened(tmp_path, "denoise")
    assert greys(photos) == (of("train"), of("test"))
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(
        UserError, match="holds test/ alone, which are never trained on: add train/"
    ):
        opened(tmp_path, "denoise")
    assert len(opened(tmp_path / "test", "denoise").train.items) == 2, (
        "named itself, it is a folder like any other"
    )


def test_photos_of_trains_are_no_part(tmp_path: Path) -> None:
    for name in ("train", "bus", "car"):
        save(tmp_path / name / "1.png", level(5))
    assert list(parts_of(tmp_path)) == ["train"] and len(parts_of(tmp_path)["train"].paths) == 3


def test_halves_of_photos_keep_to_the_parts(tmp_path: Path) -> None:
    fill(tmp_path, str)
    photos = opened(tmp_path, {"kind": "translate", "source": "unpaired", "side_a": "grey"})
    trained, validated = greys(photos)
    assert trained < of("train") and validated < of("val")


@pytest.mark.parametrize("beside", [False, True])
def test_class_folders_in_parts(tmp_path: Path, beside: bool) -> None:
    for part in COUNTS:
        for label, name in enumerate(("cat", "dog")):
            for number in range(COUNTS[part]):
                root = tmp_path if beside and part == "train" else tmp_path / part
                save(root / name / f"{number}.png", level(GREY[part] + 10 * label + number))
    photos = opened(tmp_path, {"kind": "generate", "size_px": 32, "labels": 2})
    train, held = greys(photos)
    assert (train, held) == (of("train") | of("train", 10), of("val") | of("val", 10))
    assert photos.class_names == ("cat", "dog")
    assert photos.summary == (
        f"12 pictures: 2 classes{'' if beside else ' in train/'}; "
        "4 for validation from val/; 6 in test/ not used"
    )
    batch = photos.validation[0]
    assert batch.label is not None
    assert [int(x) for x in batch.label] == [
        int(round(float(p.mean()) * 255) - 110 >= 10) for p in batch.target
    ]
    assert len(labelled_source([str(tmp_path)], Cache(0), "test")) == 6


def test_a_class_that_is_held_out_alone_is_named(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/cow/1.png"):
        save(tmp_path / name, level(1))
    with pytest.raises(UserError, match=r"class 'cow' of '.*val' has no photo to train on"):
        opened(tmp_path, {"kind": "generate", "size_px": 32, "labels": 2})


# --- pairs side by side, or not


def halves(make: Callable[[np.ndarray], np.ndarray], photos: list[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate([make(photo), photo], 1) for photo in photos]


def outlines(photo: np.ndarray) -> np.ndarray:
    return 255 - cv2.Canny(photo, 80, 160)[..., None].repeat(3, -1)


MADE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "outlines": outlines,
    "grey": lambda photo: photo.mean(2, keepdims=True).repeat(3, 2).astype(np.uint8),
    "negative": lambda photo: 255 - photo,
    "blurred": lambda photo: cv2.GaussianBlur(photo, (0, 0), 5),
    "posterized": lambda photo: (photo // 128 * 128).astype(np.uint8),
    "noisy": lambda photo: np.clip(
        photo + np.random.default_rng(0).normal(0, 50, photo.shape), 0, 255
    ).astype(np.uint8),
    "upside down": lambda photo: np.ascontiguousarray(
        photo[::-1]
    ),  # nothing fits, and there is a seam
}


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("shape", [(96, 96), (96, 64), (64, 96)])
@pytest.mark.parametrize("count", [2, 6])
def test_pairs_side_by_side_are_taken_whatever_their_shape(
    tmp_path: Path, photos: list[np.ndarray], made: str, shape: tuple[int, int], count: int
) -> None:
    cut = [np.ascontiguousarray(photo[: shape[0], : shape[1]]) for photo in photos[:count]]
    for index, picture in enumerate(halves(MADE[made], cut)):
        save(tmp_path / f"{index}.png", picture)
    assert len(pair_source([tmp_path], Cache(0))) == count


@pytest.mark.parametrize("shape", [(96, 96), (96, 64), (48, 96)])
def test_ordinary_photos_are_refused_as_pairs(
    tmp_path: Path, photos: list[np.ndarray], shape: tuple[int, int]
) -> None:
    for index, photo in enumerate(photos):
        save(tmp_path / f"{index}.png", photo[: shape[0], : shape[1]])
    with pytest.raises(
        UserError,
        match=r"the 6 files in '.*' are no pairs side by side .*: lay them out as A/ and B/",
    ):
        opened(tmp_path, PAIRS)


def test_the_shipped_photos_are_refused_as_pairs() -> None:
    with pytest.raises(UserError, match="no pairs side by side"):
        load_photos(build_task(PAIRS), DataConfig(crop_px=32), 0)


def test_two_views_on_white_are_taken_though_nothing_fits(
    tmp_path: Path, photos: list[np.ndarray]
) -> None:
    for index, photo in enumerate(photos):
        both = np.full((128, 256, 3), 255, np.uint8)
        both[16:112, 8 : 8 + 96], both[16:112, 144 : 144 + 96] = photo, photos[index - 1][:, ::-1]
        save(tmp_path / f"{index}.png", both)
    assert could_be_pairs(sorted(tmp_path.iterdir()), Cache(0))


def test_where_nothing_can_be_told_files_are_taken(tmp_path: Path) -> None:
    save(tmp_path / "flat.png", level(9))
    assert could_be_pairs([tmp_path / "flat.png"], Cache(0))


def test_side_by_side_pairs_keep_to_their_parts(tmp_path: Path, photos: list[np.ndarray]) -> None:
    for part in COUNTS:
        for index, picture in enumerate(halves(lambda photo: 255 - photo, photos[: COUNTS[part]])):
            save(tmp_path / part / f"{index}.png", picture)
    found = opened(tmp_path, PAIRS)
    assert (
        found.summary
        == "6 pairs: side by side in train/; 2 for validation from val/; 3 in test/ not used"
    )
    assert len(found.train.items) == 6 and len(found.validation) == 2


# --- partners


@pytest.fixture
def lonely(tmp_path: Path) -> Path:
    """Three pairs, and seven files without partner."""
    for name in ("1", "2", "3"):
        save(tmp_path / "A" / f"{name}.png", level(1))
        save(tmp_path / "B" / f"{name}.jpg", level(2))
    for number in range(6):
        save(tmp_path / "A" / f"a{number}.png", level(1))
    save(tmp_path / "B" / "b0.png", level(1))
    return tmp_path


def test_files_without_partner_are_counted_and_five_named(
    lonely: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = (
        f"7 files in '{lonely}' have no partner, first 'a0': missing in B/, "
        "'a1': missing in B/, 'a2': missing in B/, "
        "'a3': missing in B/, 'a4': missing in B/, …"
    )
    with pytest.raises(UserError) as refused:
        opened(lonely, PAIRS)
    assert (
        str(refused.value) == f"data.path: {said}: give pairs one name, or set data.unmatched=skip"
    )
    caplog.set_level(logging.WARNING, "img2img")
    assert opened(lonely, PAIRS, unmatched="skip").count == 3
    assert caplog.messages[0] == f"left out: {said}"


def test_where_no_name_matches_skipping_is_refused_too(tmp_path: Path) -> None:
    save(tmp_path / "A" / "1_a.png", level(1))
    save(tmp_path / "B" / "1_b.png", level(1))
    with pytest.raises(UserError, match=r"2 files in .* have no partner"):
        opened(tmp_path, PAIRS, unmatched="skip")


def test_two_files_of_one_name_are_not_guessed_at(tmp_path: Path) -> None:
    for name in ("A/1.png", "A/1.jpg", "B/1.png"):
        save(tmp_path / name, level(1))
    with pytest.raises(UserError, match=r"1\.jpg' and '.*1\.png' have one name"):
        opened(tmp_path, PAIRS)


@pytest.mark.parametrize("there", ["A", "b", "trainA"])
def test_one_side_alone_is_named(tmp_path: Path, there: str) -> None:
    save(tmp_path / there / "1.png", level(1))
    other = there[:-1] + {"A": "B", "b": "a"}[there[-1]]
    with pytest.raises(UserError, match=f"has {there}/ and no {other}/"):
        opened(tmp_path, PAIRS)


@pytest.mark.parametrize("wrapped", ["set", "set/v2"])
def test_parts_are_found_where_an_archive_unpacks_them(tmp_path: Path, wrapped: str) -> None:
    fill(tmp_path, lambda part: f"{wrapped}/{part}")
    train, validation = greys(opened(tmp_path, "colorize"))
    assert (train, validation) == (of("train"), of("val"))


def test_of_several_sets_in_one_folder_each_has_its_parts(tmp_path: Path) -> None:
    fill(tmp_path / "one", lambda part: part, ("train", "val"))
    for number in range(3):
        save(tmp_path / "two" / f"{number}.png", level(60 + number))
        save(tmp_path / "two" / "test" / f"{number}.png", level(230 + number))
    train, validation = greys(opened(tmp_path, "colorize"))
    assert train == of("train") | {60, 61, 62}
    assert validation == of("val") and not {230, 231, 232} & train


def test_a_side_with_parts_says_that_the_other_has_them_too(tmp_path: Path) -> None:
    fill(tmp_path, lambda part: f"A/{part}", ("train", "val"))
    fill(tmp_path, lambda part: f"B/{part}", ("train",), side=1)
    with pytest.raises(
        UserError, match=r"2 files in .* have no partner, first 'val_0': missing in B/"
    ):
        opened(tmp_path, PAIRS)
    assert len(opened(tmp_path, PAIRS, unmatched="skip").train.source) == COUNTS["train"]


@pytest.mark.parametrize("task", ["colorize", PAIRS])
def test_links_to_parts_and_sides_are_followed(tmp_path: Path, task: Any) -> None:
    for side, folder in enumerate("AB"):
        fill(tmp_path / "real" / folder, lambda part: part, ("train", "val"), side=side)
    linked = tmp_path / "linked"
    linked.mkdir()
    if task is PAIRS:
        for folder in "AB":
            (linked / folder).symlink_to(tmp_path / "real" / folder)
    else:
        for part in ("train", "val"):
            (linked / part).symlink_to(tmp_path / "real" / "A" / part)
    side = int(task is PAIRS)
    assert greys(opened(linked, task)) == (of("train", side), of("val", side))


def test_sides_that_differ_by_case_alone_are_not_guessed_at(tmp_path: Path) -> None:
    for side in ("A", "a", "B"):
        save(tmp_path / side / "1.png", level(1))
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system knows no case")
    with pytest.raises(UserError, match="differ by case alone"):
        opened(tmp_path, PAIRS)
