"""Crops, flips and jitter: alike for all pictures of a sample, and a pure function of the
generator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from img2img.pixels.augment import Augment, resized

EVERYTHING = {"crop_px": 32, "resize_px": (40, 60), "rotate": True, "crop_tries": 3}
SETTINGS = pytest.mark.parametrize(
    "fields",
    [
        {"crop_px": 32, "flip": False},
        {"crop_px": 32},
        EVERYTHING,
        {**EVERYTHING, "color_jitter": 0.3},
    ],
    ids=["crop", "flip", "everything", "jitter"],
)


def positions(height: int = 70, width: int = 90) -> np.ndarray:
    """A picture whose pixels tell where they come from: red is the row, green the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 7)], 2).astype(np.uint8)


def augmented(
    fields: dict[str, Any], pictures: list[np.ndarray], seed: int = 0
) -> list[np.ndarray]:
    return Augment(**fields)(pictures, np.random.default_rng(seed))


@SETTINGS
def test_pictures_of_a_pair_are_changed_alike(fields: dict[str, Any]) -> None:
    picture = positions()
    for seed in range(8):
        first, second = augmented(fields, [picture, picture.copy()], seed)
        assert first.shape == (32, 32, 3)
        assert np.array_equal(first, second)


@SETTINGS
def test_augmenting_is_a_function_of_the_generator(fields: dict[str, Any]) -> None:
    picture = positions()
    first = augmented(fields, [picture], 5)[0]
    for seed in range(4):
        augmented(fields, [picture], seed)  # history must not matter
    assert np.array_equal(first, augmented(fields, [picture], 5)[0])
    assert len({augmented(fields, [picture], seed)[0].tobytes() for seed in range(20)}) > 10


def test_a_crop_is_a_piece_of_the_photo_and_reaches_every_corner() -> None:
    corners = set()
    for seed in range(400):
        crop = augmented({"crop_px": 60, "flip": False}, [positions(64, 66)], seed)[0]
        top, left = int(crop[0, 0, 0]), int(crop[0, 0, 1])
        assert np.array_equal(crop, positions(64, 66)[top : top + 60, left : left + 60])
        corners.add((top, left))
    assert corners == {(top, left) for top in range(5) for left in range(7)}


def test_flip_mirrors_half_of_the_crops_left_to_right() -> None:
    crops = [augmented({"crop_px": 32}, [positions()], seed)[0].astype(int) for seed in range(200)]
    assert all(crop[1, 0, 0] - crop[0, 0, 0] == 1 for crop in crops), "never upside down"
    assert np.mean([crop[0, 1, 1] < crop[0, 0, 1] for crop in crops]) == pytest.approx(0.5, abs=0.1)


def test_rotate_gives_all_eight_symmetries() -> None:
    made = {
        augmented({"crop_px": 32, "rotate": True}, [positions(32, 32)], seed)[0].tobytes()
        for seed in range(120)
    }
    assert len(made) == 8


def test_resize_px_draws_the_shorter_side() -> None:
    config = Augment(crop_px=32, resize_px=(40, 44))
    sides = {
        min(config.sized([positions()], np.random.default_rng(seed))[0].shape[:2])
        for seed in range(60)
    }
    assert sides == {40, 41, 42, 43, 44}


@pytest.mark.parametrize("size", [(16, 16), (20, 300), (33, 31)])
@pytest.mark.parametrize("resize_px", [None, (24, 24), (48, 64)])
def test_photos_smaller_than_the_crop_are_enlarged(
    size: tuple[int, int], resize_px: tuple[int, int] | None
) -> None:
    config = Augment(crop_px=48, resize_px=resize_px)
    assert config([positions(*size)], np.random.default_rng(0))[0].shape == (48, 48, 3)
    assert config.center([positions(*size)])[0].shape == (48, 48, 3)


def test_the_most_detailed_of_several_crops_is_kept(rng: np.random.Generator) -> None:
    picture = np.full((128, 128, 3), 100, np.uint8)
    picture[:64, :64] = rng.integers(0, 255, (64, 64, 3))
    share = [
        np.mean(
            [
                c.std() > 10
                for c in (
                    augmented({"crop_px": 32, "crop_tries": n}, [picture], s)[0] for s in range(40)
                )
            ]
        )
        for n in (1, 8)
    ]
    assert share[1] > share[0] + 0.3


def test_the_middle_crop_leaves_nothing_to_chance() -> None:
    config = Augment(crop_px=32, flip=True, rotate=True, color_jitter=0.5)
    first, second = config.center([positions(), positions()])
    assert np.array_equal(first, positions()[19:51, 29:61])
    assert np.array_equal(first, second)


def test_jitter_changes_colors_within_its_bounds() -> None:
    grey = np.full((32, 32, 3), 100, np.uint8)
    levels = [
        augmented({"crop_px": 32, "color_jitter": 0.2, "flip": False}, [grey], seed)[0].mean()
        for seed in range(40)
    ]
    assert min(levels) >= 78
    assert max(levels) <= 122
    assert np.ptp(levels) > 15


def test_reducing_averages_and_no_side_vanishes() -> None:
    checks = np.indices((40, 40)).sum(0).repeat(3).reshape(40, 40, 3) % 2 * 200
    assert np.abs(resized(checks.astype(np.uint8), 0.5).astype(int) - 100).max() <= 1
    assert resized(positions(2, 200), 0.1, least_px=1).shape == (1, 20, 3)


@pytest.mark.parametrize(
    "fields",
    [{"resize_px": [300, 200]}, {"resize_px": [0, 10]}, {"crop_px": 8}, {"color_jitter": 0.9}],
)
def test_impossible_settings_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Augment(**fields)
