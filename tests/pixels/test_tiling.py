"""Tiles cover the picture once, on the network's grid, and with enough overlap they equal the
whole.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.models.base import GeneratorConfig
from img2img.models.restorer import RestorerConfig
from img2img.models.spandrel import SpandrelConfig
from img2img.pixels.tiling import (
    OVERLAPS_PX,
    TILE_PX,
    TileGrid,
    measured_overlap,
    measured_overlap_of_halves,
    pad_to_multiple,
    tiled,
)

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


def grid_of(x: Tensor, overlap_px: int, align_px: int, most_px: int) -> TileGrid:
    return TileGrid((x.shape[-2], x.shape[-1]), overlap_px, align_px, most_px)


@pytest.mark.parametrize(
    ("overlap", "align", "tile"), [(8, 1, 48), (8, 8, 48), (5, 4, 40), (16, 2, 33), (64, 8, 64)]
)
@pytest.mark.parametrize("size", SIZES)
def test_cores_cover_every_pixel_once(
    size: tuple[int, int], overlap: int, align: int, tile: int
) -> None:
    count = torch.zeros(size)
    for piece in TileGrid(size, overlap, align, tile).tiles():
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
    made = tiled(run, x, scale, grid_of(x, 8, stride, 48))
    assert made.shape == (1, 3, x.shape[-2] * scale, x.shape[-1] * scale)
    assert torch.allclose(made, run(x), atol=1e-6)


def test_too_little_overlap_or_a_wrong_grid_is_visible() -> None:
    x, run = torch.rand(1, 3, 96, 96), network(8, stride=4)
    assert not torch.allclose(tiled(run, x, 1, grid_of(x, 4, 4, 48)), run(x), atol=1e-6)

    def padded(part: Tensor) -> Tensor:
        return run(pad_to_multiple(part, 4))[..., : part.shape[-2], : part.shape[-1]]

    assert torch.allclose(tiled(padded, x, 1, grid_of(x, 8, 4, 50)), run(x), atol=1e-6)
    assert not torch.allclose(tiled(padded, x, 1, grid_of(x, 9, 1, 49)), run(x), atol=1e-6)


def test_a_picture_of_one_tile_runs_whole() -> None:
    seen: list[torch.Size] = []

    def run(x: Tensor) -> Tensor:
        seen.append(x.shape)
        return x

    x = torch.rand(1, 3, 48, 30)
    assert torch.equal(tiled(run, x, 1, grid_of(x, 8, 1, 48)), x)
    assert seen == [x.shape]


@pytest.mark.parametrize("length", [1000, 1025, 3000, 4001])
def test_tiles_are_few_and_nearly_equal(length: int) -> None:
    grid = TileGrid((length, 16), 32, 8)
    heights = [tile.core[1] - tile.core[0] for tile in grid.tiles()]
    fewer = -(-length // max(1, len(heights) - 1))
    assert len(heights) == 1 or fewer + min(2, len(heights) - 2) * 32 > TILE_PX, "none to spare"
    assert max(heights) - min(heights) <= 8 * len(heights), "no sliver at the end"


@pytest.mark.parametrize("overlap", [None, *OVERLAPS_PX])
@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(
    "generator", [RestorerConfig(kind="restorer"), SpandrelConfig(kind="spandrel")]
)
def test_half_of_a_side_that_is_seen_is_kept_however_wide_the_overlap(
    overlap: int | None, scale: int, generator: GeneratorConfig
) -> None:
    grid = generator.tile_grid((9000, 9000), scale, overlap)
    tile = max(grid.tiles(), key=lambda tile: tile.side_px)
    assert 2 * tile.side_px >= tile.seen[1] - tile.seen[0]


class ShortOfMemory:
    """A network that takes at most so many pixels, and says so in the words of torch and others."""

    def __init__(self, run: Callable[[Tensor], Tensor], most_px: int, error: Exception) -> None:
        self.run, self.most_px, self.error = run, most_px, error
        self.sides: list[int] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.sides.append(max(x.shape[-2:]))
        if self.sides[-1] > self.most_px:
            raise self.error
        return self.run(x)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB."),
    ],
)
@pytest.mark.parametrize(("most_px", "least_px"), [(300, 256), (200, 128)])
def test_tiles_are_halved_where_memory_is_short_and_a_line_says_so(
    error: Exception, most_px: int, least_px: int, caplog: pytest.LogCaptureFixture
) -> None:
    x = torch.rand(1, 3, 500, 512)
    run = ShortOfMemory(network(8, 2), most_px, error)
    made = tiled(run, x, 2, grid_of(x, 8, 4, 512))
    assert torch.allclose(made, run.run(x), atol=1e-6)
    lines = [record.getMessage() for record in caplog.records]
    assert f"going on with tiles of {least_px} px" in lines[-1]
    assert len(lines) == (2 if least_px == 128 else 1), "once for each size that is too large"


def test_no_memory_even_for_small_tiles_and_other_errors_are_raised() -> None:
    x = torch.rand(1, 3, 256, 256)
    for error, tries in ((MemoryError(), 3), (RuntimeError("shapes do not match"), 1)):
        run = ShortOfMemory(network(8), 0, error)
        with pytest.raises(type(error)):
            tiled(run, x, 1, grid_of(x, 8, 1, 256))
        assert len(run.sides) == tries, "256, 128 and 64 px"


def box_blur(reach_px: int) -> Callable[[Tensor], Tensor]:
    side = 2 * reach_px + 1

    def rows(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, (side, 1), stride=1, padding=(reach_px, 0))

    return lambda x: rows(rows(x).mT).mT


@pytest.mark.parametrize(("reach_px", "overlap"), [(3, 8), (8, 8), (14, 16), (30, 32)])
def test_the_smallest_sufficient_overlap_is_measured(reach_px: int, overlap: int) -> None:
    assert measured_overlap(box_blur(reach_px), torch.rand(1, 3, 160, 160), 1) == overlap


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(("reach_px", "overlap"), [(0, 8), (3, 8), (8, 8), (14, 16), (30, 32)])
def test_a_heavy_network_is_measured_in_three_runs(reach_px: int, overlap: int, scale: int) -> None:
    seen: list[int] = []

    def run(x: Tensor) -> Tensor:
        seen.append(x.shape[-1])
        return F.interpolate(box_blur(reach_px)(x), scale_factor=scale)

    assert measured_overlap_of_halves(run, torch.rand(1, 3, 96, 160), scale) == overlap
    assert seen == [160, 80, 80 + overlap]


def test_a_heavy_network_that_sees_all_is_given_all_there_is() -> None:
    run = lambda x: x + x.mean()  # noqa: E731  # every pixel sees all
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    assert measured_overlap_of_halves(run, ramp, 1) == 32


def test_a_picture_too_small_to_measure_gives_the_safe_overlap() -> None:
    def whole(x: Tensor) -> Tensor:
        return x + x.mean()  # every pixel sees all

    assert (
        measured_overlap(whole, torch.linspace(0, 1, 64).expand(1, 3, 64, 64), 1) == OVERLAPS_PX[-1]
    )
