"""Photos and pairs found in folders, what is said when they are not, and which of them validate."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img.data.dataset import DataConfig, load_photos
from img2img.data.folder import (
    Cache,
    Source,
    find_photos,
    pair_source,
    photo_source,
    photos_in,
    split,
)
from img2img.errors import UserError
from img2img.tasks import build_task

CACHE = Cache(16)


def save(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def level(value: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_photos_are_found_whatever_their_case_and_depth_and_hidden_ones_are_not(
    tmp_path: Path,
) -> None:
    wanted = ["A.JPG", "b.jpeg", "c.PnG", "d.webp", "e.tif", "sub/f.bmp", "sub/deeper/g.png"]
    for name in [*wanted, ".hidden.png", ".cache/h.png", "sub/._i.jpg"]:
        save(tmp_path / name, level(9))
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "folder.png").mkdir()
    assert [p.relative_to(tmp_path).as_posix() for p in photos_in(tmp_path)] == sorted(wanted)


def test_a_hidden_folder_may_itself_be_the_one_asked_for(tmp_path: Path) -> None:
    save(tmp_path / ".data" / "a.png", level(9))
    assert len(find_photos([tmp_path / ".data"])) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "data.path: '{}' does not exist: give a folder of photos"),
        (lambda p: p.write_text("x"), "data.path: '{}' is a file, not a folder"),
        (
            lambda p: p.mkdir(),
            "data.path: no photo in '{}': put JPEG, PNG, TIFF or WebP files there",
        ),
    ],
)
def test_a_folder_without_photos_is_named(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    folder = tmp_path / "mine"
    make(folder)
    with pytest.raises(UserError) as refused:
        find_photos([folder])
    assert message.format(folder) in str(refused.value)


def test_several_folders_are_one_source(tmp_path: Path) -> None:
    for index, name in enumerate(["x/1.png", "x/2.png", "y/1.png"]):
        save(tmp_path / name, level(index))
    source = photo_source([tmp_path / "x", tmp_path / "y"], CACHE)
    assert [source.read(i, 40 + i).photo[0, 0, 0] for i in range(len(source))] == [0, 1, 2]  # type: ignore[index]
    assert source.read(1, 41).number == 41


def test_the_cache_stays_within_its_budget_and_decodes_the_rest_each_time(tmp_path: Path) -> None:
    cache = Cache(1)
    paths = [save(tmp_path / f"{i}.png", level(i, 400, 500)) for i in range(3)]  # 0.57 MB each
    for _ in range(2):
        assert [int(cache.read(p)[0, 0, 0]) for p in paths] == [0, 1, 2]
    kept = [np.shares_memory(cache.read(path), cache.pictures.pixels) for path in paths]
    assert kept == [True, False, False]


def test_pairs_in_a_and_b_are_matched_by_name(tmp_path: Path) -> None:
    for index, name in enumerate(["one", "sub/two"]):
        save(tmp_path / "A" / f"{name}.png", level(index))
        save(tmp_path / "B" / f"{name}.jpg", level(100 + index))
    source = pair_source([tmp_path], CACHE)
    assert len(source) == 2
    for index in range(2):
        sample = source.read(index, 0)
        assert (sample.other[0, 0, 0], sample.photo[0, 0, 0]) == (index, 100 + index)  # type: ignore[index]


@pytest.mark.parametrize(("extra", "missing_in"), [("A/three.png", "B"), ("B/three.png", "A")])
def test_a_file_without_partner_is_named(tmp_path: Path, extra: str, missing_in: str) -> None:
    for name in ("A/one.png", "B/one.png", extra):
        save(tmp_path / name, level(1))
    with pytest.raises(
        UserError, match=f"1 files in '.*' have no partner, first 'three': missing in {missing_in}/"
    ):
        pair_source([tmp_path], CACHE)


def test_partners_of_different_size_are_refused_with_both_sizes(tmp_path: Path) -> None:
    save(tmp_path / "A/one.png", level(1, 32, 48))
    save(tmp_path / "B/one.png", level(1, 32, 40))
    with pytest.raises(UserError, match=r"not of one size \(48×32 and 40×32\)"):
        pair_source([tmp_path], CACHE).read(0, 0)


def test_side_by_side_files_are_cut_in_the_middle(tmp_path: Path) -> None:
    save(tmp_path / "pair.png", np.concatenate([level(10, 20, 24), level(200, 20, 24)], 1))
    sample = pair_source([tmp_path], CACHE).read(0, 0)
    assert np.array_equal(sample.other, level(10, 20, 24))  # type: ignore[arg-type]  # checked by the next line too
    assert np.array_equal(sample.photo, level(200, 20, 24))  # type: ignore[arg-type]


def test_side_by_side_files_of_odd_width_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "pair.png", level(1, 20, 47))
    with pytest.raises(UserError, match="47 px wide: pairs side by side need an even width"):
        pair_source([tmp_path], CACHE).read(0, 0)


def test_the_two_layouts_do_not_mix(tmp_path: Path) -> None:
    for name in ("x/A/1.png", "x/B/1.png", "y/1.png"):
        save(tmp_path / name, level(1))
    with pytest.raises(UserError, match="use one layout"):
        pair_source([tmp_path / "x", tmp_path / "y"], CACHE)


# --- training and validation


def names(source: Source, share: float) -> tuple[set[str], set[str]]:
    train, held_out = split(source, share)
    assert sorted(train + held_out) == list(range(len(source)))
    return {source.key(i) for i in train}, {source.key(i) for i in held_out}


@pytest.fixture
def forty(tmp_path: Path) -> Path:
    for index in range(40):
        save(tmp_path / "set" / f"{index}.png", level(index, 16, 16))
    return tmp_path / "set"


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.05, 2), (0.2, 8), (0.001, 1), (0.5, 20)])
def test_the_stated_share_validates(forty: Path, share: float, count: int) -> None:
    train, held_out = names(photo_source([forty], CACHE), share)
    assert len(held_out) == count
    assert not train & held_out


def test_a_single_photo_is_trained_on(tmp_path: Path) -> None:
    save(tmp_path / "only.png", level(1))
    assert split(photo_source([tmp_path], CACHE), 0.5) == ([0], [])


def test_the_split_moves_with_the_folder_and_does_not_depend_on_the_order(
    forty: Path, tmp_path: Path
) -> None:
    before = names(photo_source([forty], CACHE), 0.2)
    moved = tmp_path / "elsewhere" / "set"
    shutil.copytree(forty, moved)
    assert names(photo_source([moved], CACHE), 0.2) == before
    source = photo_source([moved], CACHE)
    source.paths.reverse()  # type: ignore[attr-defined]
    assert names(source, 0.2) == before


@pytest.mark.parametrize("added", [1, 5, 40])
def test_added_photos_move_others_at_the_boundary_alone_and_in_one_direction(
    forty: Path, added: int
) -> None:
    old_train, old_held_out = names(photo_source([forty], CACHE), 0.2)
    for index in range(added):
        save(forty.parent / "more" / f"{index}.png", level(index, 16, 16))
    train, held_out = names(photo_source([forty, forty.parent / "more"], CACHE), 0.2)
    to_validation, to_training = old_train & held_out, old_held_out & train
    assert not (to_validation and to_training)
    assert len(to_validation | to_training) <= max(1, added // 4)


def test_links_to_folders_are_followed_and_no_folder_is_seen_twice(tmp_path: Path) -> None:
    elsewhere, photos = tmp_path / "elsewhere", tmp_path / "photos"
    for place in (elsewhere / "deep", photos / "z"):
        place.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(place / "1.png")
    for name, target in {
        "a": elsewhere,
        "b": photos / "z",
        "c": photos,
        "d": tmp_path,
        "e": tmp_path / "gone",
    }.items():
        (photos / name).symlink_to(target)
    (photos / "z" / "back").symlink_to(elsewhere)
    assert find_photos([photos]) == [photos / "a" / "deep" / "1.png", photos / "z" / "1.png"]


def test_names_that_are_no_utf_8_are_photos_too(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        for other in (path, tmp_path / "1.png"):
            Image.new("RGB", (40, 40), "red").save(other)
    except OSError:
        pytest.skip("this file system takes no such names")
    photos = load_photos(build_task("denoise"), DataConfig(path=(str(tmp_path),), crop_px=32), 0)
    assert (photos.count, len(photos.validation), photos.left_out) == (2, 1, {})
