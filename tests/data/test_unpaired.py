"""Two sides without pairs: independent permutations, folders as they come, mistakes named in one
line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2img.data.dataset import DataConfig, Photos, load_photos
from img2img.data.folder import Cache
from img2img.data.unpaired import SidePaths, UnpairedSource, two_halves, two_sides
from img2img.errors import UserError
from img2img.tasks import build_task

SIDES = ("trainA", "trainB", "testA", "testB")


def fill(folder: Path, sizes: dict[str, list[tuple[int, int]]]) -> Path:
    """Pictures of one grey each: side A's below 100, side B's above, no two alike."""
    for name, pictures in sizes.items():
        (folder / name).mkdir(parents=True)
        for index, (width, height) in enumerate(pictures):
            value = (
                (100 if name.endswith("B") else 0) + (50 if name.startswith("test") else 0) + index
            )
            Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(
                folder / name / f"{index}.png"
            )
    return folder


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Five pictures of A, three of B, and tests; all of different sizes."""
    return fill(
        tmp_path / "horses",
        {
            "trainA": [(40 + 3 * i, 50) for i in range(5)],
            "trainB": [(64, 36 + i) for i in range(3)],
            "testA": [(48, 48)],
            "testB": [(33, 90), (32, 32)],
        },
    )


def opened(folder: Path, seed: int = 0, side_a: str = "files", **fields: Any) -> Photos:
    config = DataConfig(path=(str(folder),), crop_px=32, **fields)
    return load_photos(
        build_task({"kind": "translate", "source": "unpaired", "side_a": side_a}), config, seed
    )


def drawn(photos: Photos, first: int, count: int) -> list[tuple[int, int]]:
    """The grey of A and of B in each sample."""
    batch = photos.train.batch(first, count)
    return [
        (round(float(a.mean()) * 255), round(float(b.mean()) * 255))
        for a, b in zip(batch.condition, batch.target, strict=True)
    ]


def test_each_side_goes_through_its_own_permutations(four: Path) -> None:
    samples = drawn(opened(four), 0, 30)
    a, b = zip(*samples, strict=True)
    assert all(sorted(a[i : i + 5]) == [0, 1, 2, 3, 4] for i in range(0, 30, 5))
    assert all(sorted(b[i : i + 3]) == [100, 101, 102] for i in range(0, 30, 3))
    assert len(set(samples)) > 10, "any picture of A meets any of B"
    assert a[:5] != a[5:10] or a[5:10] != a[10:15]


def test_a_sample_is_a_function_of_seed_and_number(four: Path) -> None:
    photos, again = opened(four), opened(four)
    forwards = [drawn(photos, n, 1) for n in (0, 7, 400)]
    assert forwards == [drawn(again, n, 1) for n in (400, 7, 0)][::-1]
    assert drawn(photos, 0, 30) != drawn(opened(four, seed=1), 0, 30)
    one, two = photos.train[7], opened(four).train[7]
    assert torch.equal(one.condition, two.condition) and torch.equal(one.target, two.target)


def test_sides_of_any_size_are_cropped_each_by_itself(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(120, dtype=np.uint8)[None, :, None], (120, 120, 3))
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        for index in range(2):
            Image.fromarray(ramp).save(tmp_path / name / f"{index}.png")
    train = opened(tmp_path, validation_share=0).train
    corners = [(float(train[n].condition.amin()), float(train[n].target.amin())) for n in range(8)]
    assert sum(a != b for a, b in corners) >= 6


def test_test_folders_validate_and_nothing_else_does(four: Path) -> None:
    photos = opened(four)
    greys = [
        (round(float(b.condition.mean()) * 255), round(float(b.target.mean()) * 255))
        for b in photos.validation
    ]
    assert greys == [(50, 150), (50, 151)]
    assert photos.count == 11


def test_without_test_folders_a_share_of_each_side_is_held_out(tmp_path: Path) -> None:
    fill(tmp_path, {"A": [(40, 40)] * 8, "B": [(40, 40)] * 4})
    photos = opened(tmp_path, validation_share=0.25)
    trained = drawn(photos, 0, 24)
    held = [
        (round(float(b.condition.mean()) * 255), round(float(b.target.mean()) * 255))
        for b in photos.validation
    ]
    assert (
        len({a for a, _ in trained}) == 6 and len({b for _, b in trained}) == 3 and len(held) == 1
    )
    assert held[0][0] not in {a for a, _ in trained} and held[0][1] not in {b for _, b in trained}


def test_photos_in_halves_never_show_one_photo_on_both_sides(photo_folder: Path) -> None:
    source = two_halves([photo_folder], Cache(0), 0.34, seed=0)
    sides = [set(side.train) | set(side.validation) for side in (source.a, source.b)]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 6
    assert [len(side.validation) for side in (source.a, source.b)] == [1, 1]
    renamed = two_halves([photo_folder], Cache(0), 0.34, seed=5)
    assert renamed.a == source.a, "names alone part the photos, not the seed"


@pytest.mark.parametrize(("side_a", "spread"), [("grey", 0.0), ("sepia", 0.1), ("edges", 0.0)])
def test_side_a_is_made_of_photos(photo_folder: Path, side_a: str, spread: float) -> None:
    sample = opened(photo_folder, side_a=side_a).train[0]
    assert sample.condition.shape == sample.target.shape == (1, 3, 32, 32)
    assert float((sample.condition[:, 0] - sample.condition[:, 2]).abs().mean()) >= spread
    if not spread:
        assert torch.equal(sample.condition[:, 0], sample.condition[:, 2])


def test_sepia_is_a_tint_of_luminance_with_nothing_cut_off() -> None:
    task = build_task({"kind": "translate", "source": "unpaired", "side_a": "sepia"})
    white, grey = (
        task.from_photo(torch.full((1, 3, 2, 2), value))[0, :, 0, 0] for value in (1.0, 0.5)
    )
    torch.testing.assert_close(white, torch.tensor([1.351, 1.203, 0.937]) / 1.351)
    torch.testing.assert_close(grey, white / 2)
    assert task.other_side(torch.ones(1, 3, 2, 2)) is not None


def test_a_broken_picture_of_side_a_is_left_out_and_costs_side_b_nothing(four: Path) -> None:
    (four / "trainA" / "2.png").write_bytes(b"no picture")
    a, b = zip(*drawn(opened(four), 0, 15), strict=True)
    assert set(a) == {0, 1, 3, 4} and all(b.count(value) == 5 for value in (100, 101, 102))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["trainB", "testB"], "has trainA/ and no trainB/: two sides are translated"),
        (["trainA"], "has trainB/ and no trainA/: two sides are translated"),
        (
            ["trainA", "trainB"],
            r"has no trainA/ and trainB/ \(or A/ and B/\); task\.side_a makes A from photos",
        ),
        (["testB"], "testB' does not exist: give a folder of photos"),
    ],
)
def test_a_missing_side_is_one_line(four: Path, missing: list[str], message: str) -> None:
    for name in missing:
        (four / name).rename(four.parent / name)
    with pytest.raises(UserError, match=message) as refused:
        opened(four)
    assert "\n" not in str(refused.value)


def test_an_empty_side_and_a_single_photo_are_one_line(tmp_path: Path) -> None:
    fill(tmp_path / "x", {"A": [(40, 40)], "B": []})
    with pytest.raises(UserError, match="no photo in"):
        two_sides([tmp_path / "x"], Cache(0), 0.1, 0)
    with pytest.raises(UserError, match="the two sides show different ones: add photos"):
        two_halves([tmp_path / "x" / "A"], Cache(0), 0.1, 0)


def test_several_folders_are_joined(tmp_path: Path) -> None:
    for name in ("one", "two"):
        fill(tmp_path / name, {"A": [(40, 40)], "B": [(40, 40)] * 2})
    source = two_sides([tmp_path / "one", tmp_path / "two"], Cache(0), 0.0, 0)
    assert (len(source.a.train), len(source.b.train), source.count) == (2, 4, 6)


def test_a_side_without_held_out_pictures_leaves_nothing_to_validate_on(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    assert UnpairedSource(
        SidePaths(paths[:1], []), SidePaths(paths[1:2], paths[2:]), Cache(0), 0
    ).split() == ([0], [])
