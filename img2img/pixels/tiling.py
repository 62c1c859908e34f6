"""Large pictures in overlapping tiles whose results are cut, not blended: each output pixel comes
from one tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

TILE_PX = 512  # a function of nothing but this constant: every front end gives the same bytes
OVERLAPS_PX = (8, 16, 24, 32, 48, 64, 96, 128)
MEASURED_PX = 192  # side of the part of a photo on which the overlap of a heavy network is measured


@dataclass(frozen=True)
class Tile:
    """One piece: `core` is written, `seen` (core and overlap) is what the network gets; half-open
    ranges.
    """

    core: tuple[int, int, int, int]  # top, bottom, left, right
    seen: tuple[int, int, int, int]


def tiles(
    size: tuple[int, int], overlap_px: int, align: int = 1, tile_px: int = TILE_PX
) -> Iterator[Tile]:
    """Cover an (H,W) picture; `seen` starts on multiples of `align`, so that strided layers see the
    same grid.
    """
    overlap = -(-overlap_px // align) * align
    step = max(align, (tile_px - 2 * overlap) // align * align)
    for top in range(0, size[0], step):
        for left in range(0, size[1], step):
            bottom, right = min(top + step, size[0]), min(left + step, size[1])
            seen = (
                max(0, top - overlap),
                min(size[0], bottom + overlap),
                max(0, left - overlap),
                min(size[1], right + overlap),
            )
            yield Tile((top, bottom, left, right), seen)


def tiled(
    run: Callable[[Tensor], Tensor],
    x: Tensor,
    scale: int,
    overlap_px: int,
    align: int = 1,
    tile_px: int = TILE_PX,
) -> Tensor:
    """`run` on every tile of (B,C,H,W), put together at `scale`; pictures of at most one tile run
    whole.
    """
    height, width = x.shape[-2:]
    if max(height, width) <= tile_px:
        return run(x)
    out: Tensor | None = None
    for tile in tiles((height, width), overlap_px, align, tile_px):
        top, bottom, left, right = tile.core
        result = cut_core(
            run(x[..., tile.seen[0] : tile.seen[1], tile.seen[2] : tile.seen[3]]), tile, scale
        )
        if out is None:
            out = result.new_empty((*result.shape[:2], height * scale, width * scale))
        out[..., top * scale : bottom * scale, left * scale : right * scale] = result
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
            if (tiled(run, x, scale, overlap, align, tile) - whole).abs().max() <= 1 / 255:
                return overlap
    return OVERLAPS_PX[-1]


def middle(x: Tensor, side_px: int) -> Tensor:
    """The middle of (B,C,H,W), at most `side_px` a side."""
    top, left = (max(0, (n - side_px) // 2) for n in x.shape[-2:])
    return x[..., top : top + side_px, left : left + side_px]


def measured_overlap_of_halves(run: Callable[[Tensor], Tensor], x: Tensor, scale: int) -> int:
    """The same for heavy networks, on a small picture (1,C,H,W): how much must be seen beyond an
    edge for the half in front of it to be, within 1/255, as in the whole.
    """
    width = x.shape[-1]
    half = width // 2
    with torch.inference_mode():
        whole = run(x)[..., : half * scale]
        for overlap in OVERLAPS_PX:
            if half + overlap >= width:
                break
            part = run(x[..., : half + overlap])[..., : half * scale]
            if (part - whole).abs().max() <= 1 / 255:
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
