"""Large pictures in overlapping tiles whose results are cut, not blended: each output pixel comes
from one tile.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from img2img.memory import is_out_of_memory

TILE_PX = 1024  # most of a side that a network sees at once
LEAST_TILE_PX = 64  # nothing is cut into smaller ones when memory is short
OVERLAPS_PX = (8, 16, 24, 32, 48, 64, 96, 128)
MEASURED_PX = 192  # side of the part of a photo on which the overlap of a heavy network is measured

_HALVED = "not enough memory for tiles of %d px: going on with tiles of %d px"

log = logging.getLogger("img2img")

Span = tuple[int, int]
"""Where a part of a side begins and where it ends."""


@dataclass(frozen=True)
class Tile:
    """One piece: `core` is written, `seen` (core and overlap) is what the network gets; half-open
    ranges.
    """

    core: tuple[int, int, int, int]  # top, bottom, left, right
    seen: tuple[int, int, int, int]

    @property
    def side_px(self) -> int:
        """The longer side of its core."""
        return max(self.core[1] - self.core[0], self.core[3] - self.core[2])


@dataclass(frozen=True)
class TileGrid:
    """How an (H,W) picture is cut into as few tiles of nearly equal size as there may be.

    A function of the picture's size and the network alone, so every front end gives the same bytes.
    """

    size: tuple[int, int]
    overlap_px: int
    align_px: int = 1
    """`seen` starts on multiples of it, so that strided layers see the same grid."""
    most_px: int = TILE_PX
    """Of a side of `seen`."""

    def tiles(self) -> list[Tile]:
        """All of them, row by row; one for a picture that fits into it."""
        rows, columns = (self._spans(length) for length in self.size)
        return [self._tile(row, column) for row in rows for column in columns]

    def halves(self, tile: Tile) -> list[Tile]:
        """A tile in two or four with half its sides; none where they would become too small."""
        least = max(LEAST_TILE_PX, self.align_px)
        if tile.side_px < 2 * least:
            return []
        rows, columns = (
            list(self._steps(first, last, (last - first) // 2 if last - first >= 2 * least else 0))
            for first, last in (tile.core[:2], tile.core[2:])
        )
        return [self._tile(row, column) for row in rows for column in columns]

    @property
    def _overlap_px(self) -> int:
        return -(-self.overlap_px // self.align_px) * self.align_px

    def _spans(self, length: int) -> list[Span]:
        """A side of the picture in the fewest parts that with their overlap are not above
        `most_px`.
        """
        overlap, step, count = self._overlap_px, length, 1
        while step + min(2, count - 1) * overlap > self.most_px and step > self.align_px:
            count += 1
            step = -(-length // (count * self.align_px)) * self.align_px
        return list(self._steps(0, length, step))

    def _steps(self, first: int, last: int, step: int) -> Iterator[Span]:
        """Parts of a range, which begins on the grid, of about `step` px on the grid; 0: all."""
        step = -(-step // self.align_px) * self.align_px or last - first
        for start in range(first, last, step):
            yield start, min(start + step, last)

    def _tile(self, row: Span, column: Span) -> Tile:
        overlap, (height, width) = self._overlap_px, self.size
        rows = max(0, row[0] - overlap), min(height, row[1] + overlap)
        columns = max(0, column[0] - overlap), min(width, column[1] + overlap)
        return Tile((*row, *column), (*rows, *columns))


def tiled(
    run: Callable[[Tensor], Tensor],
    x: Tensor,
    scale: int,
    grid: TileGrid,
    on_core: Callable[[Tile, Tensor], None] | None = None,
) -> Tensor:
    """`run` on every tile of (B,C,H,W), put together at `scale`, channels last; what `run` gives
    where one tile is the whole. `on_core` is called with each tile and the part of its result that
    is kept.

    Where memory is too short for a tile, it and those that follow are halved, and a line says so;
    the error is raised where they are small already.
    """
    height, width = grid.size
    out: Tensor | None = None
    left = deque(grid.tiles())
    while left:
        tile = left.popleft()
        try:
            top, bottom, first, last = tile.seen
            result = run(x[..., top:bottom, first:last])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or not grid.halves(tile):
                raise
            result = None  # what the attempt held is free once the error is forgotten
        if result is None:
            left = deque(part for each in (tile, *left) for part in grid.halves(each) or [each])
            log.warning(_HALVED, tile.side_px, left[0].side_px)
            continue
        core = cut_core(result, tile, scale)
        if on_core:
            on_core(tile, core)
        if tile.core == (0, height, 0, width):
            return result
        if out is None:
            batch, channels = result.shape[:2]
            size = (batch, height * scale, width * scale, channels)
            # as pictures lie in memory, so that none needs a copy
            out = result.new_empty(size).permute(0, 3, 1, 2)
        top, bottom, first, last = (edge * scale for edge in tile.core)
        out[..., top:bottom, first:last] = core
    assert out is not None
    return out


def cut_core(result: Tensor, tile: Tile, scale: int) -> Tensor:
    """The part of a tile's result that is kept."""
    top, bottom, left, right = tile.core
    above, before = (top - tile.seen[0]) * scale, (left - tile.seen[2]) * scale
    return result[
        ..., above : above + (bottom - top) * scale, before : before + (right - left) * scale
    ]


def measured_overlap(run: Callable[[Tensor], Tensor], x: Tensor, scale: int, align: int = 1) -> int:
    """The smallest overlap at which tiles equal the whole within 1/255, measured on (1,C,H,W) above
    256 px.

    A theoretical receptive field of some 350 px would cost five times as much for nothing that can
    be seen.
    """
    with torch.inference_mode():
        whole = run(x)
        for overlap in OVERLAPS_PX:
            tile = 2 * overlap + max(align, min(x.shape[-2:]) // 3 // align * align)
            if tile >= max(x.shape[-2:]):  # one tile would be the whole: nothing to measure
                break
            grid = TileGrid((x.shape[-2], x.shape[-1]), overlap, align, tile)
            if (tiled(run, x, scale, grid) - whole).abs().max() <= 1 / 255:
                return overlap
    return OVERLAPS_PX[-1]


def middle(x: Tensor, side_px: int) -> Tensor:
    """The middle of (B,C,H,W), at most `side_px` a side."""
    top, left = (max(0, (n - side_px) // 2) for n in x.shape[-2:])
    return x[..., top : top + side_px, left : left + side_px]


def measured_overlap_of_halves(run: Callable[[Tensor], Tensor], x: Tensor, scale: int) -> int:
    """The same for heavy networks, on a small picture (1,C,H,W): how much must be seen beyond an
    edge for the half in front of it to be, within 1/255, as in the whole.

    The half alone tells how far from its edge it differs; what is seen beyond is tried from there.
    """
    width = x.shape[-1]
    half = width // 2

    def differs(seen_px: int) -> Tensor:
        """Columns of the half's result that are another one when so much is seen."""
        part = run(x[..., :seen_px])[..., : half * scale]
        return ((part - whole).abs() > 1 / 255).flatten(0, -2).any(0)

    with torch.inference_mode():
        whole = run(x)[..., : half * scale]
        different = differs(half).nonzero()
        reach_px = half - int(different.min()) // scale if len(different) else 0
        for overlap in OVERLAPS_PX:
            if half + overlap >= width:
                break
            if overlap >= reach_px and not differs(half + overlap).any():
                return overlap
    return min(OVERLAPS_PX[-1], half)


def pad_to_multiple(x: Tensor, multiple: int, minimum: int = 1) -> Tensor:
    """Grow (B,C,H,W) on the right and bottom to multiples of `multiple` by mirroring, however small
    the picture is.
    """
    # Floor division of positive numbers: a traced graph divides as C does, towards zero.
    height, width = (max(minimum, (n + multiple - 1) // multiple * multiple) for n in x.shape[-2:])
    if (height, width) == tuple(x.shape[-2:]):
        return x
    rows, columns = (
        _mirror(n, wanted, x.device)
        for n, wanted in zip(x.shape[-2:], (height, width), strict=True)
    )
    return x.index_select(-2, rows).index_select(-1, columns)


def _mirror(length: int, wanted: int, device: torch.device) -> Tensor:
    """Indices 0..length-1, back to 1, up again …: reflection; F.pad's is limited to one period."""
    if length == 1:
        return torch.zeros(wanted, dtype=torch.long, device=device)
    period = 2 * (length - 1)
    index = torch.arange(wanted, device=device) % period
    return torch.minimum(index, period - index)
