"""Masks: the asked share is missing, whatever the seed and size; a mask is a pure function of its
generator.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor

import numpy as np
import pytest

from img2img.pixels import masks

SIZES = [(16, 16), (17, 61), (64, 64), (256, 256)]
Draw = Callable[[tuple[int, int], np.random.Generator], np.ndarray]
KINDS = pytest.mark.parametrize("draw", [masks.free_form, masks.box, masks.outpaint])


@pytest.mark.parametrize("share", [(0.1, 0.4), (0.05, 0.4), (0.3, 0.32), (0.05, 0.06), (0.5, 0.6)])
@pytest.mark.parametrize("size", SIZES)
def test_free_form_covers_the_asked_share(
    size: tuple[int, int], share: tuple[float, float]
) -> None:
    pixels = size[0] * size[1]
    for seed in range(15 if max(size) > 100 else 60):
        missing = int(masks.free_form(size, np.random.default_rng(seed), share).sum())
        assert ceil(share[0] * pixels) <= missing <= floor(share[1] * pixels), seed


def test_free_form_uses_the_whole_range_of_shares() -> None:
    covered = [
        masks.free_form((64, 64), np.random.default_rng(seed), (0.1, 0.5)).mean()
        for seed in range(60)
    ]
    assert min(covered) < 0.2
    assert max(covered) > 0.4


@pytest.mark.parametrize("share", [(0.0, 0.0), (0.0, 0.001)])
def test_free_form_is_never_empty(share: tuple[float, float]) -> None:
    assert all(
        masks.free_form((16, 16), np.random.default_rng(seed), share).sum() == 1
        for seed in range(20)
    )


def test_free_form_is_made_of_strokes_that_grow_with_the_picture() -> None:
    thick = [
        masks.thickness_px(masks.free_form((n, n), np.random.default_rng(1), (0.2, 0.3)))
        for n in (64, 256)
    ]
    assert thick[1] == pytest.approx(4 * thick[0], rel=0.4)


@pytest.mark.parametrize("size", SIZES)
def test_a_box_has_the_asked_sides(size: tuple[int, int]) -> None:
    for seed in range(40):
        mask = masks.box(size, np.random.default_rng(seed), (0.25, 0.5))
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        for found, length in ((len(rows), size[0]), (len(columns), size[1])):
            assert round(0.25 * length) <= found <= round(0.5 * length)


def test_a_box_reaches_every_corner() -> None:
    drawn = [masks.box((16, 16), np.random.default_rng(seed)) for seed in range(300)]
    assert all(
        any(mask[corner] for mask in drawn) for corner in [(0, 0), (0, -1), (-1, 0), (-1, -1)]
    )


@pytest.mark.parametrize("share", [(0.1, 0.3), (0.4, 0.6), (1.0, 1.0)])
@pytest.mark.parametrize("size", [*SIZES, (3, 5)])
def test_outpainting_takes_borders_and_leaves_a_known_part(
    size: tuple[int, int], share: tuple[float, float]
) -> None:
    for seed in range(40):
        mask = masks.outpaint(size, np.random.default_rng(seed), share)
        rows, columns = np.flatnonzero(~mask.all(1)), np.flatnonzero(~mask.all(0))
        known = np.zeros(size, bool)
        known[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert np.array_equal(~mask, known), "what is known is one rectangle"
        assert mask.any()


def test_outpainting_takes_one_to_four_borders() -> None:
    drawn = [masks.outpaint((32, 32), np.random.default_rng(seed)) for seed in range(60)]
    sides = [sum(edge.all() for edge in (m[0], m[-1], m[:, 0], m[:, -1])) for m in drawn]
    assert set(sides) == {1, 2, 3, 4}


@KINDS
def test_a_mask_is_a_function_of_its_generator(draw: Draw) -> None:
    first, second = (draw((48, 64), np.random.default_rng(3)) for _ in range(2))
    assert first.dtype == bool
    assert first.shape == (48, 64)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, draw((48, 64), np.random.default_rng(4)))


def test_growing_adds_a_disc() -> None:
    mask = np.zeros((21, 21), bool)
    mask[10, 10] = True
    assert masks.grow(mask, 0) is mask
    grown = masks.grow(mask, 3)
    rows, columns = np.nonzero(grown)
    assert grown[10, 7:14].all()
    assert grown[7:14, 10].all()
    assert np.hypot(rows - 10, columns - 10).max() <= 3.7
    assert not grown[7, 7]


def test_thickness_of_a_bar_is_its_width() -> None:
    mask = np.zeros((64, 64), bool)
    assert masks.thickness_px(mask) == 0
    mask[20:30] = True
    assert masks.thickness_px(mask) == pytest.approx(10, abs=1)
    mask[5:8, :6] = True
    assert masks.thickness_px(mask) == pytest.approx(10, abs=1), "the thickest hole counts"


@pytest.mark.parametrize("size", [(64, 64), (16, 40), (256, 256)])
def test_a_window_is_a_part_of_the_mask_that_holds_a_missing_pixel(size: tuple[int, int]) -> None:
    whole = np.zeros((256, 256), bool)
    whole[[0, 3, 255], [0, 77, 200]] = True
    for seed in range(30):
        part = masks.window(whole, size, np.random.default_rng(seed))
        assert part.shape == size
        assert part.any()


def test_a_window_keeps_the_width_of_the_strokes() -> None:
    whole = masks.free_form((256, 256), np.random.default_rng(1), (0.2, 0.3))
    thick = [
        masks.thickness_px(masks.window(whole, (128, 128), np.random.default_rng(n)))
        for n in range(20)
    ]
    assert np.median(thick) > 0.5 * masks.thickness_px(whole)
