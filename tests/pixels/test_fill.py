"""Classical fills: the membrane solves Laplace's equation, mirrored detail comes from beyond the
nearest edge.
"""

from __future__ import annotations

import numpy as np
import pytest

from img2img.pixels import masks
from img2img.pixels.fill import mirrored_detail, smooth_fill


def plane(height: int, width: int) -> np.ndarray:
    """A slanted plane for each channel: harmonic, so a membrane must find it again."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    return np.stack([x, y, (x + y) / 2], 2).astype(np.float32)


@pytest.mark.parametrize("size", [(16, 16), (33, 61), (200, 256)])
def test_a_plane_is_continued_into_the_hole(size: tuple[int, int]) -> None:
    photo, hole = plane(*size), np.zeros(size, bool)
    hole[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
    filled = smooth_fill(np.where(hole[..., None], 7.0, photo), hole)
    np.testing.assert_array_equal(filled[~hole], photo[~hole])
    np.testing.assert_allclose(filled[hole], photo[hole], atol=0.02)


@pytest.mark.parametrize("size", [(16, 16), (17, 61), (96, 128)])
def test_the_fill_stays_between_its_surroundings_darkest_and_lightest(
    size: tuple[int, int],
) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        photo, hole = rng.random((*size, 3), np.float32), masks.free_form(size, rng, (0.1, 0.6))
        filled = smooth_fill(photo, hole)
        assert filled.min() >= photo[~hole].min() - 0.1
        assert filled.max() <= photo[~hole].max() + 0.1


def test_one_known_pixel_fills_everything() -> None:
    hole = np.ones((20, 30), bool)
    hole[4, 9] = False
    photo = np.full((20, 30, 3), 0.6, np.float32)
    np.testing.assert_allclose(smooth_fill(photo, hole), photo, atol=1e-4)
    assert np.isfinite(mirrored_detail(photo, hole)).all()


def test_detail_is_mirrored_at_the_nearest_edge() -> None:
    photo = np.zeros((40, 40, 3), np.float32)
    photo[:, 7] = 1  # a line three pixels left of the hole's left edge
    hole = np.zeros((40, 40), bool)
    hole[:, 10:30] = True
    detail = mirrored_detail(photo, hole)
    assert (detail[~hole] == 0).all()
    assert (
        detail[20, 10:20, 0].argmax() == 1
    )  # pixel 11 mirrors pixel 7 at pixel 9, the last known one
    assert abs(detail[20, 22:30]).max() < 1e-3  # the right half mirrors what lies on the right
