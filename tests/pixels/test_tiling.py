"""Tiles cover the picture once, on the network's grid, and with enough overlap they equal the
whole.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.pixels.tiling import OVERLAPS_PX, measured_overlap, pad_to_multiple, tiled, tiles

SIZES = [(100, 70), (64, 200), (33, 257)]


def network(reach_px: int, scale: int = 1, stride: int = 1) -> Callable[[Tensor], Tensor]:
    """Convolutions that look `reach_px` far in every direction, on a grid of `stride`, and enlarge
    by `scale`.
    """
    layers: list[nn.Module] = [nn.PixelUnshuffle(stride)]
    channels = 3 * stride**2
    layers += [
        nn.Conv2d(channels, channels, 3, padding=1, padding_mode="zeros")
        for _ in range(reach_px // stride)
    ]
    layers += [nn.PixelShuffle(stride), nn.Upsample(scale_factor=scale)]
    return nn.Sequential(*layers).requires_grad_(False)


@pytest.mark.parametrize(
    ("overlap", "align", "tile"), [(8, 1, 48), (8, 8, 48), (5, 4, 40), (16, 2, 33), (64, 8, 64)]
)
@pytest.mark.parametrize("size", SIZES)
def test_cores_cover_every_pixel_once(
    size: tuple[int, int], overlap: int, align: int, tile: int
) -> None:
    count = torch.zeros(size)
    for piece in tiles(size, overlap, align, tile):
        top, bottom, left, right = piece.core
        count[top:bottom, left:right] += 1
        assert piece.seen[0] % align == piece.seen[2] % align == 0
        assert piece.seen[0] <= max(0, top - overlap)
        assert piece.seen[1] >= min(size[0], bottom + overlap)
        assert piece.seen[2] <= max(0, left - overlap)
        assert piece.seen[3] >= min(size[1], right + overlap)
        if 2 * overlap + align <= tile and tile % align == 0:
            assert max(piece.seen[1] - piece.seen[0], piece.seen[3] - piece.seen[2]) <= tile, (
                "memory is bounded by the tile"
            )
    assert (count == 1).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("scale", "stride"), [(1, 1), (2, 1), (1, 4), (4, 2)])
def test_tiles_equal_the_whole_when_the_overlap_is_the_reach(
    size: tuple[int, int], scale: int, stride: int
) -> None:
    x = torch.rand(1, 3, *(n // stride * stride for n in size))
    run = network(8, scale, stride)
    made = tiled(run, x, scale, overlap_px=8, align=stride, tile_px=48)
    assert made.shape == (1, 3, x.shape[-2] * scale, x.shape[-1] * scale)
    assert torch.allclose(made, run(x), atol=1e-6)


def test_too_little_overlap_or_a_wrong_grid_is_visible() -> None:
    x, run = torch.rand(1, 3, 96, 96), network(8, stride=4)
    assert not torch.allclose(tiled(run, x, 1, 4, 4, 48), run(x), atol=1e-6)

    def padded(part: Tensor) -> Tensor:
        return run(pad_to_multiple(part, 4))[..., : part.shape[-2], : part.shape[-1]]

    assert torch.allclose(tiled(padded, x, 1, 8, 4, 50), run(x), atol=1e-6)
    assert not torch.allclose(tiled(padded, x, 1, 9, 1, 49), run(x), atol=1e-6)


def test_a_picture_of_one_tile_runs_whole() -> None:
    seen: list[torch.Size] = []

    def run(x: Tensor) -> Tensor:
        seen.append(x.shape)
        return x

    x = torch.rand(1, 3, 48, 30)
    assert torch.equal(tiled(run, x, 1, 8, tile_px=48), x)
    assert seen == [x.shape]


def box_blur(reach_px: int) -> Callable[[Tensor], Tensor]:
    side = 2 * reach_px + 1

    def rows(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, (side, 1), stride=1, padding=(reach_px, 0))

    return lambda x: rows(rows(x).mT).mT


@pytest.mark.parametrize(("reach_px", "overlap"), [(3, 8), (8, 8), (14, 16), (30, 32)])
def test_the_smallest_sufficient_overlap_is_measured(reach_px: int, overlap: int) -> None:
    assert measured_overlap(box_blur(reach_px), torch.rand(1, 3, 160, 160), 1) == overlap


def test_a_picture_too_small_to_measure_gives_the_safe_overlap() -> None:
    def whole(x: Tensor) -> Tensor:
        return x + x.mean()  # every pixel sees all

    assert (
        measured_overlap(whole, torch.linspace(0, 1, 64).expand(1, 3, 64, 64), 1) == OVERLAPS_PX[-1]
    )
