"""What training does to line drawings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from img2img.pixels.drawings import strokes_in, strokes_meant, with_wider_lines
from img2img.pixels.regions import Regions


def boxes() -> torch.Tensor:
    """Four boxes between lines of three pixels, (1,3,96,96)."""
    drawing = torch.ones(1, 3, 96, 96)
    drawing[..., 46:49, :], drawing[..., 46:49] = 0, 0
    return drawing


@pytest.mark.parametrize(("grown_px", "width"), [(1, 5), (-1, 1), (2, 7), (0, 3)])
def test_lines_get_wider_on_either_side(grown_px: float, width: int) -> None:
    changed = with_wider_lines(boxes(), grown_px)
    assert changed.shape == (1, 3, 96, 96)
    assert int((changed[0, 0, 10] == 0).sum()) == width


def test_half_a_pixel_is_half_as_dark() -> None:
    row = with_wider_lines(boxes(), 0.5)[0, 0, 10]
    assert row[45] == row[49] == 0.5 and row[44] == 1 and row[47] == 0


def test_strokes_lie_in_regions_and_leave_half_of_them_to_the_network() -> None:
    drawn = Regions.of(boxes(), 0)
    seen = set()
    for seed in range(20):
        marks = strokes_in(drawn, np.random.default_rng(seed), 4)[0, 0] > 0
        marked = drawn.labels[0][marks].unique().tolist()
        assert 1 <= len(marked) <= 2 and (boxes()[0, 0][marks] == 1).all()
        again = strokes_in(drawn, np.random.default_rng(seed), 4)[0, 0] > 0
        assert torch.equal(marks, again)
        seen.update(marked)
    assert seen == {0, 1, 2, 3}


def test_a_drawing_of_one_region_gets_no_stroke() -> None:
    assert not strokes_in(
        Regions.of(torch.ones(1, 3, 32, 32), 0), np.random.default_rng(0), 4
    ).any()


def test_what_runs_over_a_line_colors_nothing_there() -> None:
    drawn = Regions.of(boxes(), 0)
    marked = np.zeros((96, 96), bool)
    marked[20:24, 20:52] = True  # 26 columns left of the line, 3 right of it
    kept = strokes_meant(drawn, marked)[0, 0] > 0
    assert kept[20:24, 20:46].all() and not kept[:, 46:].any()
    marked[20:24, 20:80] = True  # 26 and 31: meant for both
    kept = strokes_meant(drawn, marked)[0, 0] > 0
    assert kept[20:24, 20:46].all() and kept[20:24, 49:80].all() and not kept[:, 46:49].any()
