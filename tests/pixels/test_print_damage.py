"""Damage drawn on prints: what it changes, where it says so, and that chance alone decides."""

from __future__ import annotations

import numpy as np
import pytest

from img2img.pixels.masks import thickness_px
from img2img.pixels.print_damage import KINDS, damaged_print, old_print, worn_print

GREY = np.full((160, 200, 3), 0.45, np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_changes_what_its_mask_says_and_hardly_anything_else(kind: str) -> None:
    found = 0
    for seed in range(6):
        worn = worn_print(GREY, np.random.default_rng(seed), 2.0, [KINDS[kind][1]])
        changed = np.abs(worn.damaged - GREY).max(2)
        assert worn.damaged.dtype == np.float32
        assert worn.damaged.min() >= 0
        assert worn.damaged.max() <= 1
        assert np.array_equal(worn.truth, GREY)
        found += bool(worn.mask.any())
        if worn.mask.any():
            assert changed[worn.mask].mean() > 0.08
            assert np.median(changed[~worn.mask]) < 0.06  # a stain at most
            assert worn.mask.mean() < 0.6
    assert found >= 5


def test_damage_is_light_and_dark() -> None:
    levels = []
    for seed in range(40):
        worn = worn_print(GREY, np.random.default_rng(seed), 2.0, [KINDS["cracks"][1]])
        levels.append(float(worn.damaged[worn.mask].mean()))
    assert sum(level > 0.6 for level in levels) > 20
    assert sum(level < 0.3 for level in levels) >= 2


def test_all_of_it_grows_with_the_width_of_a_scratch() -> None:
    def thick(unit_px: float) -> float:
        masks = [
            worn_print(GREY, np.random.default_rng(seed), unit_px, [KINDS["cracks"][1]]).mask
            for seed in range(5)
        ]
        return float(np.mean([thickness_px(mask) for mask in masks]))

    assert thick(3.0) > 1.5 * thick(1.0)


def test_it_is_a_function_of_photo_and_generator_alone() -> None:
    photo = np.random.default_rng(3).random((64, 80, 3), np.float32)
    first, again = (damaged_print(photo, np.random.default_rng(5), (0.8, 3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    other = damaged_print(photo, np.random.default_rng(6), (0.8, 3))
    assert not np.array_equal(first.damaged, other.damaged)


def test_prints_without_damage_have_an_empty_mask_whatever_else_happened_to_them() -> None:
    for seed in range(12):
        worn = damaged_print(GREY, np.random.default_rng(seed), (0.8, 3), undamaged_share=1)
        assert not worn.mask.any()


def test_old_prints_are_grey_toned_or_in_color() -> None:
    photo = np.random.default_rng(0).random((32, 32, 3), np.float32)
    prints = [old_print(photo, np.random.default_rng(seed)) for seed in range(60)]
    grey = [np.ptp(one, axis=2).max() < 1e-6 for one in prints]
    assert 5 < sum(grey) < 35
    assert all(one.min() >= 0 and one.max() <= 1 for one in prints)
