"""Closed regions of line drawings."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from img2img.pixels.regions import Regions, find_regions, whitened


def circle(gap_px: int = 0, size: int = 128, width: int = 3) -> np.ndarray:
    """A circle's outline on white, (H,W) uint8, open at its top over `gap_px`."""
    drawn = np.full((size, size), 255, np.uint8)
    cv2.circle(drawn, (size // 2, size // 2), size // 4, 0, width, cv2.LINE_AA)
    if gap_px:
        middle = size // 2
        left = middle - gap_px // 2
        drawn[: size // 2, left : left + gap_px] = 255
    return drawn


def as_drawing(drawn: np.ndarray) -> Tensor:
    return torch.from_numpy(drawn / 255).float().expand(1, 3, -1, -1)


def regions_of(drawn: np.ndarray, gap_px: float) -> np.ndarray:
    return find_regions(drawn > 180, gap_px)


@pytest.mark.parametrize(("gap", "closed_px", "count"), [(0, 0, 2), (6, 0, 1), (6, 8, 2)])
def test_a_small_opening_in_an_outline_counts_as_closed(
    gap: int, closed_px: float, count: int
) -> None:
    labels = regions_of(circle(gap), closed_px)
    assert labels.max() + 1 == count
    assert (labels[64, 64] != labels[2, 2]) == (count == 2)


def test_a_wide_opening_stays_open() -> None:
    assert regions_of(circle(30), 8).max() == 0


def test_a_corridor_and_a_wedge_are_not_cut_into_pieces() -> None:
    drawn = np.full((64, 128), 255, np.uint8)
    drawn[28], drawn[35] = 0, 0  # six pixels apart, narrower than what counts as closed
    assert regions_of(drawn, 8).max() + 1 == 3
    wedge = np.full((128, 128), 255, np.uint8)
    cv2.line(wedge, (0, 64), (127, 20), 0, 3)
    cv2.line(wedge, (0, 64), (127, 108), 0, 3)
    assert regions_of(wedge, 8).max() + 1 == 3


def test_a_thin_line_is_no_bridge_and_a_speckle_no_region() -> None:
    drawn = np.full((64, 64), 255, np.uint8)
    drawn[:, 32] = 0
    labels = regions_of(drawn, 8)
    assert len(np.unique(labels[:, :32])) == len(np.unique(labels[:, 33:])) == 1
    assert labels[0, 0] != labels[0, -1]
    drawn[10:14, 10:14] = 0
    drawn[11:13, 11:13] = 255
    assert regions_of(drawn, 0).max() + 1 == 2


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_plain_paper_and_plain_black_are_one_region(value: float) -> None:
    drawn = Regions.of(torch.full((2, 3, 20, 30), value), 8)
    assert drawn.count == 2 and drawn.labels.flatten(1).unique(dim=1).tolist() == [[0], [1]]
    assert torch.equal(drawn.painted(torch.ones(2, 3)), torch.full((2, 3, 20, 30), value))


def test_means_and_medians_are_those_of_each_region() -> None:
    drawing = as_drawing(circle()).repeat(2, 1, 1, 1)
    drawn = Regions.of(drawing, 8)
    assert drawn.count == 4
    values = torch.rand(2, 3, 128, 128)
    clear = drawing.amin(1) > 0.99
    for number in range(4):
        own = (drawn.labels == number) & clear
        inside = values.permute(0, 2, 3, 1)[own]
        assert torch.allclose(drawn.medians(values)[number], inside.median(0).values)
        mean = drawn.means(values, clear[:, None].float())[number]
        assert torch.allclose(mean, inside.mean(0), atol=1e-5)


def test_paint_keeps_lines_bit_for_bit_and_gradients_flow_to_the_whole_region() -> None:
    drawing = as_drawing(circle())
    drawn = Regions.of(drawing, 8)
    white = drawn.painted(torch.ones(drawn.count, 3))
    assert torch.equal(white, drawing)
    values = torch.rand(1, 3, 128, 128, requires_grad=True)
    painted = drawn.painted(drawn.means(values, drawn.paper))
    inside = painted[0, :, drawn.labels[0] == drawn.labels[0, 64, 64]]
    clear = inside[:, (drawing[0, 0] == 1)[drawn.labels[0] == drawn.labels[0, 64, 64]]]
    assert torch.equal(clear, clear[:, :1].expand_as(clear)), "one color"
    painted[0, 0, 64, 64].backward()
    gradient = values.grad
    assert gradient is not None
    reached = gradient[0, 0] != 0
    assert reached[64, 40] and not reached[2, 2] and not gradient[0, 1].any()


def test_paper_that_is_not_quite_white_counts_as_paper() -> None:
    drawn = Regions.of(as_drawing(circle()) * 0.9, 8)
    assert drawn.count == 2 and drawn.ink[0, :, 64, 64].tolist() == [1, 1, 1]


def test_a_larger_drawing_finds_its_regions_in_the_small_one() -> None:
    small, large = (
        Regions.of(as_drawing(circle(size=size, width=width)), 8, scale)
        for size, width, scale in ((128, 3, 1.0), (640, 15, 5.0))
    )
    found = large.mostly_of(small)
    for small_at, large_at in ((64, 320), (2, 10)):
        number = int(large.labels[0, large_at, large_at])
        assert int(found[number]) == int(small.labels[0, small_at, small_at])


def test_nearly_white_becomes_white_and_keeps_its_gradient() -> None:
    colors = torch.tensor([[0.95, 0.97, 0.94], [0.95, 0.97, 0.5]], requires_grad=True)
    changed = whitened(colors)
    assert torch.equal(changed[0].detach(), torch.ones(3))
    assert torch.equal(changed[1], colors[1])
    changed.sum().backward()
    assert colors.grad is not None and torch.equal(colors.grad, torch.ones(2, 3))


def cut_in_two(opening: int = 12) -> tuple[Regions, int, int]:
    """A box whose wall has an opening in its middle, and the numbers of its two rooms."""
    drawing = torch.ones(1, 3, 96, 96)
    drawing[..., 10:13, 10:86] = drawing[..., 80:83, 10:86] = 0
    drawing[..., 10:83, 10:13] = drawing[..., 10:83, 83:86] = 0
    drawing[..., 10:83, 47:50] = 0
    drawing[..., 40 : 40 + opening, 47:50] = 1
    drawn = Regions.of(drawing, 16)
    assert drawn.count == 3
    return drawn, int(drawn.labels[0, 20, 20]), int(drawn.labels[0, 20, 70])


def test_parts_of_one_shape_get_one_color_if_they_nearly_agree() -> None:
    drawn, left, right = cut_in_two()
    colors = torch.full((3, 3), 0.9)
    colors[left], colors[right] = torch.tensor([0.5, 0.2, 0.3]), torch.tensor([0.6, 0.2, 0.3])
    one, shapes = drawn.joined(colors.requires_grad_())
    assert shapes[left] == shapes[right] and len(shapes.unique()) == 2
    assert torch.equal(one[left], one[right]) and 0.53 < one[left, 0] < 0.57
    again, _ = drawn.joined(one)
    assert torch.allclose(again, one, atol=1e-6)
    one[left].sum().backward()
    assert colors.grad is not None and colors.grad[left].tolist() == [1, 1, 1]
    assert not colors.grad[right].any(), "each learns by itself"


@pytest.mark.parametrize("other", [[0.7, 0.2, 0.3], [1.0, 1.0, 1.0]])
def test_parts_of_other_colors_and_white_paper_stay_as_they_are(other: list[float]) -> None:
    drawn, left, right = cut_in_two()
    colors = torch.rand(3, 3)
    colors[left] = torch.tensor([0.5, 0.2, 0.3] if other[0] < 1 else [0.9, 0.9, 0.9])
    colors[right] = torch.tensor(other)
    same, shapes = drawn.joined(colors)
    assert torch.equal(same, colors) and len(shapes.unique()) == 3


def test_what_only_a_gap_joins_is_not_one_shape() -> None:
    drawn, left, right = cut_in_two(opening=5)
    colors = torch.full((3, 3), 0.5)
    colors[left] += 0.05
    same, shapes = drawn.joined(colors)
    assert torch.equal(same, colors) and shapes[left] != shapes[right]
