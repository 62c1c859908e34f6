"""What is seen of a picture depends on its visible pixels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from img2img.pixels.alpha import checked_background, flat_kept, seen, uncounted

DEPTHS: list[Any] = [np.uint8, np.uint16, np.float32]


def top(dtype: Any) -> int:
    return 1 if dtype == np.float32 else int(np.iinfo(dtype).max)


def noise(size: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random(size)
    return (
        values.astype(dtype) if dtype == np.float32 else (values * (top(dtype) + 1)).astype(dtype)
    )


def disc(size: tuple[int, int], radius: float, dtype: Any, soft_px: float = 3) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.hypot(y - size[0] / 2 + 0.5, x - size[1] / 2 + 0.5)
    return (np.clip((radius - away) / soft_px + 0.5, 0, 1) * top(dtype)).astype(dtype)


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (16, 16), (45, 61), (130, 67)])
def test_what_is_hidden_has_no_part_in_what_is_seen(dtype: Any, size: tuple[int, int]) -> None:
    alpha = disc(size, min(size) / 3, dtype)
    first, other = (noise((*size, 3), dtype, seed) for seed in (0, 1))
    other = np.where(alpha[..., None] > 0, first, other)
    made = seen(first, alpha)
    np.testing.assert_array_equal(made, seen(other, alpha))
    np.testing.assert_array_equal(made[alpha > 0], first[alpha > 0])
    assert made.dtype == dtype
    assert made.min() >= 0
    assert made.max() <= top(dtype)
    for background in ("white", "#102030"):
        np.testing.assert_array_equal(
            seen(first, alpha, background), seen(other, alpha, background)
        )


@pytest.mark.parametrize("dtype", DEPTHS)
def test_one_color_goes_on_for_ever_and_grey_stays_grey(dtype: Any) -> None:
    alpha = disc((70, 90), 12, dtype)
    flat = np.full((70, 90, 3), np.array([0.2, 0.5, 0.8]) * top(dtype), np.float64).astype(dtype)
    hidden = np.where(alpha[..., None] > 0, flat, noise(flat.shape, dtype))
    np.testing.assert_allclose(
        seen(hidden, alpha).astype(float), flat, atol=1e-5 if dtype == np.float32 else 0
    )
    grey = np.where(alpha[..., None] > 0, noise((70, 90, 1), dtype), noise(flat.shape, dtype, 1))
    made = seen(grey, alpha)
    assert (made == made[..., :1]).all()


def test_a_slope_is_continued_without_a_step_at_the_edge() -> None:
    alpha = disc((80, 80), 24, np.uint8, 0.01)
    slope = np.repeat(np.linspace(20, 220, 80)[None, :, None], 80, 0).repeat(3, 2).astype(np.uint8)
    made = seen(np.where(alpha[..., None] > 0, slope, 0), alpha).astype(int)
    assert np.abs(np.diff(made, axis=0)).max() <= 12
    assert np.abs(np.diff(made, axis=1)).max() <= 12
    assert 60 <= made.min() < 100, "darkest at the disc's left edge"


def test_the_nearest_color_counts_by_its_alpha() -> None:
    rgb = np.zeros((32, 32, 3), np.uint8)
    rgb[:, :16], alpha = 200, np.zeros((32, 32), np.uint8)
    alpha[4:8, 4:8], alpha[4:8, 24:28] = 255, 255
    assert seen(rgb, alpha)[6, 9, 0] > 150
    alpha[4:8, 4:8] = 3
    assert seen(rgb, alpha)[28, 16, 0] < 60, "what is hardly visible has hardly a say"


def test_nothing_is_bled_from_under_a_hole() -> None:
    alpha, hole = disc((40, 40), 12, np.uint8), np.zeros((40, 40), bool)
    hole[:, 20:] = True
    rgb = np.full((40, 40, 3), 60, np.uint8)
    rgb[hole] = 250
    assert (seen(rgb, alpha, hole=hole)[~hole] == 60).all()


def test_opaque_pictures_and_those_without_alpha_are_themselves() -> None:
    rgb = noise((9, 9, 3), np.uint8)
    assert seen(rgb, None) is rgb
    assert seen(rgb, np.full((9, 9), 1, np.uint8)) is rgb
    np.testing.assert_array_equal(seen(rgb, np.full((9, 9), 255, np.uint8), "white"), rgb)
    assert (seen(rgb, np.zeros((9, 9), np.uint8)) == 128).all(), "nothing is visible: mid-grey"


def test_a_color_lies_behind_by_the_alpha() -> None:
    rgb, alpha = np.zeros((1, 3, 3), np.uint8), np.array([[0, 51, 255]], np.uint8)
    assert seen(rgb, alpha, "white")[0, :, 0].tolist() == [255, 204, 0]
    assert seen(rgb, alpha, "#ff0000")[0, 0].tolist() == [255, 0, 0]
    deep = seen(rgb.astype(np.uint16), alpha.astype(np.uint16) * 257, "white")
    assert deep[0, :, 0].tolist() == [65535, 52428, 0]


@pytest.mark.parametrize("good", ["auto", "bleed", "white", "black", "#ffeecc", "rgb(1,2,3)"])
def test_backgrounds_are_words_or_colors(good: str) -> None:
    assert checked_background(good) == good


@pytest.mark.parametrize("bad", ["whit", "", None, 3, "#12", "#11223344", "blead"])
def test_other_backgrounds_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="give auto, bleed, or a color such as white"):
        checked_background(bad)


def test_statistics_leave_out_what_is_transparent_or_masked() -> None:
    alpha, mask = np.array([[0, 100, 200, 255]], np.uint8), np.array([[False, False, False, True]])
    assert uncounted(None) is None
    assert uncounted(None, mask) is mask
    left_out, none = uncounted(alpha, mask), uncounted(np.full((1, 4), 9, np.uint8))
    assert left_out is not None and left_out.tolist() == [[True, True, False, True]]
    assert none is not None and none.tolist() == [[False] * 4]


@pytest.mark.parametrize("dtype", DEPTHS)
def test_flat_parts_of_an_alpha_keep_their_value(dtype: Any) -> None:
    alpha = np.zeros((12, 20), dtype)
    alpha[:, 10:] = top(dtype)
    made = flat_kept(noise((24, 40), dtype), alpha, 2)
    assert (made[:, :16] == 0).all()
    assert (made[:, 24:] == top(dtype)).all()
    assert len(np.unique(made[:, 16:24])) > 2, "the edge is the network's"
