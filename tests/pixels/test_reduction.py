"""Antialiased reduction: what the whole in float gives, strip by strip, at a photo's own depth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from img2img.pixels.images import Photo
from img2img.pixels.reduction import reduced

SIDES = st.integers(1, 90)


def whole(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What Pillow makes of it."""
    planes = [Image.fromarray(plane) for plane in np.ascontiguousarray(pixels.transpose(2, 0, 1))]
    return np.dstack([np.asarray(p.resize(size, Image.Resampling.BICUBIC)) for p in planes])


@given(sides=st.tuples(SIDES, SIDES), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_any_size_is_exact_and_antialiased(
    sides: tuple[int, int], shares: tuple[float, float]
) -> None:
    pixels = np.random.default_rng(0).random((sides[1], sides[0], 3), np.float32)
    width, height = (max(1, round(n * share)) for n, share in zip(sides, shares, strict=True))
    small = reduced(Photo(pixels), (width, height)).rgb
    assert small.shape == (height, width, 3)
    np.testing.assert_allclose(small, whole(pixels, (width, height)), atol=1e-4)


@pytest.mark.parametrize("size", [(70, 700), (64, 871), (13, 13)])
def test_strips_are_the_whole(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).random((1000, 75, 3), np.float32)
    strips: list[None] = []
    small = reduced(Photo(pixels), size, lambda: strips.append(None)).rgb
    np.testing.assert_allclose(small, whole(pixels, size), atol=1e-4)
    assert len(strips) >= 4, "large photos are never in float as a whole"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_metadata_grey_and_opaque_are_kept(dtype: type) -> None:
    top = np.iinfo(dtype).max
    grey = np.random.default_rng(0).integers(0, top, (40, 50, 1), dtype, endpoint=True)
    alpha = np.full((40, 50), top, dtype)
    photo = Photo(grey.repeat(3, 2), alpha, exif=b"Exif\0\0", dpi=(300, 300), is_grey=True)
    small = reduced(photo, (33, 21))
    assert small.size == (33, 21) and small.rgb.dtype == dtype and small.shows_grey
    assert (small.exif, small.dpi) == (photo.exif, photo.dpi)
    assert small.alpha is not None and (small.alpha == top).all()


def test_what_is_hidden_does_not_come_to_light() -> None:
    alpha = np.zeros((40, 40), np.uint8)
    alpha[:, :21] = 255
    results = []
    for hidden in (0, 255):
        rgb = np.full((40, 40, 3), 90, np.uint8)
        rgb[:, 21:] = hidden
        results.append(reduced(Photo(rgb, alpha), (17, 17)))
    assert (results[0].rgb == results[1].rgb).all() and (results[0].rgb == 90).all()


def test_a_photo_of_that_size_is_itself() -> None:
    photo = Photo(np.zeros((3, 4, 3), np.uint8))
    assert reduced(photo, (4, 3)) is photo
