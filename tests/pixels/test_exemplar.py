"""The fill from pieces of the picture: lines and patterns go on, whatever the size."""

from __future__ import annotations

import numpy as np
import pytest

from img2img.pixels.exemplar import exemplar_fill
from img2img.pixels.fill import smooth_fill


def square(side: int, hole: int) -> np.ndarray:
    missing = np.zeros((side, side), bool)
    start = (side - hole) // 2
    missing[start : start + hole, start : start + hole] = True
    return missing


def patterns(side: int) -> dict[str, np.ndarray]:
    row, column = np.mgrid[:side, :side].astype(np.float32)
    slanted = (np.cos(0.5) * (column - side / 2) + np.sin(0.5) * (row - side / 2)) / 2
    edge = 1 / (1 + np.exp(-slanted))
    mortar = (row % 12 < 2) | ((column + 12 * (row // 12 % 2)) % 24 < 2)
    stripes = 0.5 + 0.4 * np.sin(column / 2 + row / 4)
    colors = np.array([0.8, 0.7, 0.4], np.float32)
    plain = {"edge": edge, "bricks": np.where(mortar, 0.9, 0.3), "stripes": stripes}
    return {name: value[..., None].astype(np.float32) * colors for name, value in plain.items()}


@pytest.mark.parametrize("pattern", ["edge", "bricks", "stripes"])
def test_lines_and_patterns_go_on_through_a_hole_of_64_px(pattern: str) -> None:
    picture, hole = patterns(192)[pattern], square(192, 64)
    errors = [
        float(np.square(fill(picture, hole) - picture)[hole].mean())
        for fill in (exemplar_fill, smooth_fill)
    ]
    assert errors[0] < 0.1 * errors[1], "at least 10 dB better than a smooth surface"


@pytest.mark.parametrize("size", [(16, 16), (3, 40), (41, 700), (64, 64), (129, 97), (300, 301)])
def test_any_size_and_hole_is_filled_and_what_is_known_stays(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    picture = rng.random((*size, 3), np.float32)
    most = np.ones(size, bool)
    most[:2, :2] = False
    border = np.zeros(size, bool)
    border[: size[0] // 2 + 1] = True
    border[-1, -1] = False
    for hole in (rng.random(size) > 0.7, most, border):
        filled = exemplar_fill(picture, hole)
        assert filled.shape == picture.shape and np.isfinite(filled).all()
        assert np.array_equal(filled[~hole], picture[~hole])
        assert filled.min() >= -1e-3 and filled.max() <= 1.001


def test_nobody_looks_into_the_hole_and_the_fill_is_the_same_each_time() -> None:
    picture, hole = patterns(128)["bricks"], square(128, 40)
    other = np.where(hole[..., None], np.float32(0.123), picture)
    assert np.array_equal(exemplar_fill(picture, hole), exemplar_fill(other, hole))
