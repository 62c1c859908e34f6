"""Painted colors: what counts as painted, what is left of it at another size, and how far it
spreads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img.errors import UserError
from img2img.pixels.hints import Hints, hints_in, read_hints, spread
from img2img.pixels.images import Photo, from_array


def grey(size: tuple[int, int] = (20, 30), dtype: type = np.uint8) -> Photo:
    return Photo(np.full((*size, 3), np.iinfo(dtype).max // 2, dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_opaque_part_of_a_transparent_picture_is_painted(dtype: type) -> None:
    photo, top = grey(dtype=dtype), np.iinfo(dtype).max
    alpha = np.zeros((20, 30), dtype)
    alpha[4:8, 5:9] = top
    red = np.broadcast_to(np.array([top, 0, 0], dtype), (20, 30, 3))
    hints = hints_in(Photo(np.ascontiguousarray(red), alpha), photo)
    np.testing.assert_array_equal(hints.marked, alpha > 0)


def test_what_differs_from_the_photo_is_painted_and_traces_of_jpeg_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = from_array(
        np.repeat(rng.integers(60, 200, (10, 15, 1), np.uint8), 3, 2).repeat(8, 0).repeat(8, 1)
    )
    painted = photo.rgb.copy()
    painted[16:32, 24:48] = (200, 30, 40)
    Image.fromarray(painted).save(tmp_path / "painted.jpg", quality=95)
    marked = read_hints(tmp_path / "painted.jpg", photo).marked
    assert marked[16:32, 24:48].mean() > 0.95
    marked[14:34, 22:50] = False
    assert not marked.any()


def test_an_opaque_alpha_channel_says_nothing() -> None:
    photo = grey()
    painted = photo.rgb.copy()
    painted[3, 4] = (255, 0, 0)
    hints = hints_in(Photo(painted, np.full((20, 30), 255, np.uint8)), photo)
    assert np.argwhere(hints.marked).tolist() == [[3, 4]]


def test_another_size_and_an_unpainted_photo_are_refused(tmp_path: Path) -> None:
    photo = grey()
    with pytest.raises(UserError, match="they are 30x21, photo is 30x20"):
        hints_in(grey((21, 30)), photo)
    with pytest.raises(UserError, match="nothing is painted"):
        hints_in(photo, photo)
    Image.fromarray(photo.rgb).save(tmp_path / "same.png")
    with pytest.raises(UserError, match=r"^\S*same.png: nothing is painted"):
        read_hints(tmp_path / "same.png", photo)
    with pytest.raises(UserError, match=r"^\S*none.png: no such file"):
        read_hints(tmp_path / "none.png", photo)


def test_at_another_size_colors_are_means_of_what_is_marked() -> None:
    rgb, marked = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)
    marked[:2, :4] = True
    rgb[0, :4], rgb[1, :4] = (255, 0, 0), (0, 0, 255)
    rgb[2:, :] = (0, 255, 0)  # not marked, so of no say
    colors, where = Hints(rgb, marked).at((2, 2))
    assert where.tolist() == [[True, False], [False, False]]
    np.testing.assert_allclose(colors[0, 0], [0.5, 0, 0.5], atol=1e-6)
    assert not colors[~where].any()


def test_a_single_dot_on_a_large_photo_is_not_lost() -> None:
    rgb, marked = np.full((1000, 1500, 3), 128, np.uint8), np.zeros((1000, 1500), bool)
    marked[500, 700], rgb[500, 700] = True, (250, 10, 20)
    colors, where = Hints(rgb, marked).at((100, 150))
    assert np.argwhere(where).tolist() == [[50, 70]]
    np.testing.assert_allclose(colors[50, 70], np.array([250, 10, 20]) / 255, atol=1e-3)


def test_color_fills_a_thing_and_stops_at_its_edge() -> None:
    luminance = np.full((40, 40), 0.3, np.float32)
    luminance[:, 20:] = 0.7
    change, marked = np.zeros((40, 40, 2), np.float32), np.zeros((40, 40), bool)
    change[20, 8:12], marked[20, 8:12] = (50, -20), True
    carried = spread(change, marked, luminance)
    np.testing.assert_allclose(carried[20, 8:12], change[20, 8:12], rtol=0.01)
    assert carried[:, :20, 0].min() > 25, "the whole thing has more than half of it"
    assert carried[:, 20:, 0].max() < 5, "its neighbour next to nothing"
    np.testing.assert_allclose(carried[..., 1], carried[..., 0] * -0.4, atol=1e-3)


def test_between_two_hints_it_changes_evenly() -> None:
    """On a row of one tone the solution is the straight line between the two, but for the small
    pull to 0.
    """
    change, marked = np.zeros((1, 9, 1), np.float32), np.zeros((1, 9), bool)
    change[0, 0], change[0, 8], marked[0, [0, 8]] = 80, 160, True
    carried = spread(change, marked, np.full((1, 9), 0.5, np.float32))[0, :, 0]
    np.testing.assert_allclose(carried, np.linspace(80, 160, 9), rtol=0.02)


def test_hints_that_ask_for_what_is_there_change_nothing() -> None:
    marked = np.zeros((6, 7), bool)
    marked[2, 3] = True
    elsewhere = np.where(marked[..., None], 0, 9).astype(np.float32)  # of no say: it is not marked
    assert not spread(elsewhere, marked, np.random.default_rng(0).random((6, 7))).any()
