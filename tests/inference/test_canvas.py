"""Grow, feather, extend: what they change, and above all what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from img2img.errors import UserError
from img2img.inference.canvas import Canvas, extended, feathered, parse_extend
from img2img.inference.plan import Plan
from img2img.inference.request import Request
from img2img.pixels.images import Photo
from img2img.pixels.masks import grow

DEPTHS = [np.uint8, np.uint16]


def photo(dtype: type, size: tuple[int, int] = (40, 56), alpha: bool = False) -> Photo:
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    rgb = rng.integers(0, top + 1, (*size, 3), dtype)
    return Photo(rgb, rng.integers(0, top + 1, size, dtype) if alpha else None)


def hole(size: tuple[int, int] = (40, 56)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[15:25, 20:36] = True
    return mask


def done(
    before: Photo, mask: np.ndarray | None, canvas: Canvas, tasks: tuple[str, ...]
) -> tuple[Plan, Photo]:
    """The plan for a photo and what came of it."""
    larger, filled = canvas.prepared(before, mask)
    plan = Request(tasks, canvas=canvas).resolve().plan(larger, filled)
    return plan, plan.run(larger, filled)


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("feather_px", [0, 1, 6])
def test_known_pixels_beyond_the_ring_come_back_bit_for_bit(dtype: type, feather_px: int) -> None:
    before, mask = photo(dtype, alpha=True), hole()
    canvas = Canvas(grow_px=2, feather_px=feather_px)
    _, after = done(before, mask, canvas, ("inpaint",))
    changed, filled = (after.rgb != before.rgb).any(2), grow(grow(mask, 2), feather_px)
    assert not changed[~filled].any()
    assert changed[grow(mask, 2)].mean() > 0.9
    assert after.rgb.dtype == dtype
    assert before.alpha is not None
    assert after.alpha is not None
    np.testing.assert_array_equal(after.alpha[~filled], before.alpha[~filled])
    assert (after.alpha[grow(mask, 2)] == np.iinfo(dtype).max).all(), (
        "what was filled is to be seen"
    )


def test_feathering_across_transparency_never_shows_what_was_hidden() -> None:
    """The fill fades out over clear pixels in its own color, whatever lies beneath them."""
    filled = Photo(np.full((21, 21, 3), 200, np.uint8), np.full((21, 21), 255, np.uint8))
    mask = np.zeros((21, 21), bool)
    mask[:, :8] = True
    clear = np.where(mask, 255, 0).astype(np.uint8)
    for hidden in (0, 90, 255):
        made = feathered(Photo(np.full((21, 21, 3), hidden, np.uint8), clear), filled, mask, 4)
        assert made.alpha is not None
        assert made.alpha[10].tolist() == [255] * 8 + [204, 153, 102, 51] + [0] * 9
        assert (made.rgb[:, :12] == 200).all()


def test_feathering_floats_shows_nothing_of_what_was_hidden_not_even_by_rounding() -> None:
    rgb = np.random.default_rng(0).random((*hole().shape, 3), np.float32)
    clear = Photo(rgb, np.zeros(hole().shape, np.float32))
    filled = Photo(np.full_like(rgb, 0.3), np.ones(hole().shape, np.float32))
    other = clear.with_pixels(1 - clear.rgb, clear.alpha)
    made = [feathered(p, filled, hole(), 6) for p in (clear, other)]
    visible = made[0].alpha > 0
    assert visible.sum() > hole().sum()
    np.testing.assert_array_equal(made[0].rgb[visible], made[1].rgb[visible])


def test_feathering_fades_from_fill_to_photo() -> None:
    before, filled = (
        Photo(np.zeros((21, 21, 3), np.uint8)),
        Photo(np.full((21, 21, 3), 200, np.uint8)),
    )
    mask = np.zeros((21, 21), bool)
    mask[:, :8] = True
    row = feathered(before, filled, mask, 4).rgb[10, :, 0]
    assert row.tolist() == [200] * 8 + [160, 120, 80, 40] + [0] * 9


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize("dtype", DEPTHS)
def test_extension_keeps_the_photo_and_fills_the_border(dtype: type) -> None:
    before = photo(dtype, alpha=True)
    canvas = Canvas(extend=(8, 0, 5, 11))
    chosen, after = done(before, None, canvas, ())
    assert "inpaint" in chosen.tasks
    _, alone = done(before, None, canvas, ("inpaint",))
    assert alone.size == (56 + 13, 40 + 11)
    np.testing.assert_array_equal(alone.rgb[:40, 8:64], before.rgb)
    assert alone.alpha is not None
    np.testing.assert_array_equal(alone.alpha[:40, 8:64], before.alpha)
    assert (alone.alpha[40:] == np.iinfo(dtype).max).all()
    assert after.rgb.dtype == dtype


def test_a_mask_is_turned_round_before_all_else_and_something_must_be_left() -> None:
    before, mask = photo(np.uint8), hole()
    np.testing.assert_array_equal(Canvas(mask_invert=True).prepared(before, mask)[1], ~mask)
    _, joined = Canvas(extend=(3, 0, 0, 0), mask_invert=True).prepared(before, mask)
    assert joined is not None
    assert joined[:, :3].all()
    np.testing.assert_array_equal(joined[:, 3:], ~mask)
    with pytest.raises(
        UserError, match=r"^mask_invert: there is no mask to turn round: give mask$"
    ):
        Canvas(mask_invert=True).prepared(before)
    for canvas in (Canvas(grow_px=60), Canvas(feather_px=60)):
        with pytest.raises(UserError, match="leave nothing of the photo to fill from"):
            canvas.prepared(before, mask)


def test_an_extended_canvas_replicates_edges_and_joins_masks() -> None:
    before = photo(np.uint8)
    larger, mask = extended(before, hole(), (1, 2, 3, 4))
    assert larger.size == (60, 46)
    np.testing.assert_array_equal(larger.rgb[2:42, 0], before.rgb[:, 0])
    np.testing.assert_array_equal(mask[2:42, 1:57], hole())
    assert mask.sum() == hole().sum() + 60 * 46 - 56 * 40


def test_what_cannot_be_done_is_refused() -> None:
    assert parse_extend("1, 2,3,4") == (1, 2, 3, 4)
    for text in ("", "1", "1,2,3", "1,2,3,x", "1.5,0,0,0"):
        with pytest.raises(UserError, match=r"^extend: "):
            parse_extend(text)
    with pytest.raises(UserError, match=r"^extend: -1 is less than 0"):
        Canvas(extend=(0, -1, 0, 0))
    with pytest.raises(UserError, match=r"^feather: -2"):
        Canvas(feather_px=-2)
    with pytest.raises(
        UserError, match=r"^mask_grow and feather need something to fill: give mask or extend$"
    ):
        Canvas(grow_px=3).prepared(photo(np.uint8))
