"""Closed regions of a line drawing: where one color goes when it is filled in, as by a paint bucket
that small openings in the lines do not let through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import torch
from torch import Tensor

_PAPER = 0.7  # share of the paper's lightness below which a pixel is of a line
_NECK = 0.3  # of the narrower side's half width: wider necks are parts of one shape, not openings
_LEVELS = 5  # half widths at which openings are looked for
_LEAST_PX = 6  # smaller regions are speckles, and join the region next to them
_GAP = (
    0.2  # of a region's side: what is narrower lies between two shapes, or a shape and the ground
)
_ALIKE = 0.15  # of a range of 1: colors that are one where no line parts them
_WHITE = 0.93  # colors with no channel darker are paper left as it is


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of a batch of drawings. Each pixel is of one, those of lines of the nearest."""

    labels: Tensor
    """(B,H,W) int64, numbered through the batch"""
    count: int
    ink: Tensor
    """(B,C,H,W) in [0,1]: the drawing over its paper; 1 where a region's color is seen unchanged"""

    @classmethod
    @torch.no_grad()
    def of(cls, drawing: Tensor, gap_px: float, scale: float = 1.0) -> Self:
        """Regions of drawings (B,C,H,W) on light paper.

        Args:
            drawing: 0 is black, 1 white.
            gap_px: openings in lines up to this wide are taken for closed.
            scale: size of the drawings over the one that `gap_px` and speckles are meant for.
        """
        # of each picture's own lightness; 1 on paper that is white
        light = drawing.float().mean(1, keepdim=True).clamp_min(0)
        level = torch.stack([_paper_level(x) for x in light.flatten(1)]).view(-1, 1, 1, 1)
        labels, count = [], 0
        for picture in (light / level)[:, 0].cpu().numpy():
            found = find_regions(picture > _PAPER, gap_px * scale, _LEAST_PX * scale**2)
            labels.append(torch.from_numpy(found + count))
            count += int(found.max()) + 1
        ink = (drawing.float() / level).clamp(0, 1)
        return cls(torch.stack(labels).to(drawing.device), count, ink)

    @property
    def paper(self) -> Tensor:
        """Weights (B,1,H,W) of pixels in the means of their regions: lines count little."""
        return self.ink.mean(1, keepdim=True).square()

    def sums(self, values: Tensor) -> Tensor:
        """Sums (N,C) of (B,C,H,W) over each region; gradients reach the values."""
        # thousands of pixels: in fp32 a mean of equal values is another value
        exact = torch.float32 if values.device.type == "mps" else torch.float64
        flat = values.to(exact).permute(0, 2, 3, 1).reshape(-1, values.shape[1])
        return flat.new_zeros(self.count, flat.shape[1]).index_add(0, self.labels.flatten(), flat)

    def means(self, values: Tensor, weights: Tensor) -> Tensor:
        """Means (N,C) of (B,C,H,W) over each region, weighted by (B,1,H,W); 0 without weight."""
        return (self.sums(values * weights) / self.sums(weights).clamp_min(1e-6)).float()

    @torch.no_grad()
    def medians(self, values: Tensor) -> Tensor:
        """Per channel the median (N,C) of (B,C,H,W) over each region's paper."""
        flat = values.float().permute(0, 2, 3, 1).reshape(-1, values.shape[1])
        clear = (self.ink.amin(1) > 0.99).flatten()
        labels = self.labels.flatten()
        covered = torch.bincount(labels[clear], minlength=self.count)[labels] == 0
        clear |= covered  # no clear paper in the region at all
        labels, flat = labels[clear], flat[clear]
        sizes = torch.bincount(labels, minlength=self.count)
        middle = sizes.cumsum(0) - sizes + (sizes - 1).clamp_min(0) // 2
        columns = []
        for channel in flat.unbind(1):
            by_value = channel.argsort(stable=True)
            order = by_value[labels[by_value].argsort(stable=True)]
            columns.append(channel[order][middle.clamp_max(len(order) - 1)])
        return torch.stack(columns, 1)

    @torch.no_grad()
    def mostly_of(self, other: Regions) -> Tensor:
        """For each region the one (N,) of the same drawings at another size that covers most of
        its paper.
        """
        size, height, width = self.labels.shape[-2:], *other.labels.shape[-2:]
        rows = (torch.arange(size[0], device=self.ink.device) * height) // size[0]
        columns = (torch.arange(size[1], device=self.ink.device) * width) // size[1]
        seen = other.labels[:, rows[:, None], columns]
        codes, index = torch.unique(self.labels * other.count + seen, return_inverse=True)
        # lines count little, but so that each region has an answer
        weights = self.paper.flatten().double() + 1e-3
        shares = torch.zeros(len(codes), dtype=weights.dtype, device=weights.device)
        shares.index_add_(0, index.flatten(), weights)
        codes = codes[shares.argsort(stable=True)].cpu().numpy()
        most = np.zeros(self.count, np.int64)
        most[codes // other.count] = codes % other.count  # the last of a region is its largest
        return torch.from_numpy(most).to(self.labels.device)

    def joined(self, colors: Tensor) -> tuple[Tensor, Tensor]:
        """Colors (N,3) in which parts of one shape have one color, and each region's shape (N,),
        numbered from 0.

        Regions are parts of one shape if they touch where there is no line, so that only a neck was
        closed between them, and their colors nearly agree. White, which is paper, is not mixed with
        tints. Gradients pass as if nothing was changed, so that both parts can learn to differ.
        """
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        given, (first, second) = colors.detach().cpu().numpy(), self._seams()
        area = self.sums(self.paper)[:, 0].cpu().numpy() + 1e-6
        value, groups, count = given, np.arange(self.count), self.count
        while True:
            white: np.ndarray = np.all(value >= _WHITE, axis=1)
            alike = np.abs(value[first] - value[second]).max(1) < _ALIKE
            alike &= white[first] == white[second]
            ends = np.stack([groups[first[alike]], groups[second[alike]]])
            links = sparse.coo_matrix((np.ones(ends.shape[1]), tuple(ends)), (count, count))
            fewer, new = connected_components(links, directed=False)
            if fewer == count:
                break
            count, groups = fewer, new[groups]
            whole = np.bincount(groups, area)
            means = [np.bincount(groups, area * channel) / whole for channel in given.T]
            value = np.stack(means, 1)[groups]
        change = torch.from_numpy((value - given).astype(np.float32)).to(colors)
        return colors + change, torch.from_numpy(groups.astype(np.int64)).to(colors.device)

    @torch.no_grad()
    def _seams(self) -> np.ndarray:
        """Pairs (2,M) of regions that touch where there is no line, but through no mere gap."""
        labels, clear = (x.cpu().numpy() for x in (self.labels, self.ink.mean(1) > _PAPER))
        pairs = []
        for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
            open_ = clear[here] & clear[there] & (labels[here] != labels[there])
            pairs.append(np.stack([labels[here][open_], labels[there][open_]]))
        first, second = np.sort(np.concatenate(pairs, 1), 0)
        codes, length = np.unique(first * self.count + second, return_counts=True)
        first, second = codes // self.count, codes % self.count
        area = np.bincount(labels.ravel(), minlength=self.count)
        wide = length >= _GAP * np.sqrt(np.minimum(area[first], area[second]))
        return np.stack([first[wide], second[wide]])

    def painted(self, colors: Tensor) -> Tensor:
        """RGB (B,3,H,W) of one color (N,3) a region, under the lines as they are drawn."""
        return colors[self.labels].permute(0, 3, 1, 2) * self.ink


def whitened(colors: Tensor) -> Tensor:
    """Colors (N,3), but what is nearly white is white; gradients pass as if nothing was changed."""
    white = colors.detach().amin(1, keepdim=True) >= _WHITE
    return torch.where(white, colors + (1 - colors).detach(), colors)


def find_regions(paper: np.ndarray, gap_px: float, least_px: float = _LEAST_PX) -> np.ndarray:
    """Numbers (H,W), from 0, of the regions that lines leave of the paper (H,W), bool.

    From the widest places down: what is connected at a half width is a region, and two of them that
    meet through a neck at most `gap_px` wide stay two, if each is wide beyond the neck. So a gap in
    an outline is closed, and a corridor is not cut into pieces. A leak-proof fill in the manner of
    the trapped ball (Zhang et al. 2009), but with what is open measured against what it opens to.
    """
    depth = cv2.distanceTransform(paper.astype(np.uint8), cv2.DIST_L2, 5)
    labels, peaks = np.zeros(paper.shape, np.int32), np.zeros(1, np.float32)
    for level in np.linspace(gap_px / 2, 0, _LEVELS if gap_px else 1):
        labels, peaks = _lowered(depth, float(level), labels, peaks)
    area = np.bincount(labels.ravel(), minlength=2)
    kept = area >= least_px
    kept[0] = False
    if not kept.any():
        kept = area == area[1:].max()
    kept[0] = False
    labels = np.where(kept[labels], labels, 0)
    number = np.cumsum(kept) - 1
    return number[_nearest(labels)].clip(0).astype(np.int64)


def _lowered(
    depth: np.ndarray, level: float, labels: np.ndarray, peaks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Regions found at greater half widths, 0 where there is none, grown to where the half width is
    more than `level`; and how wide each is in its widest place.
    """
    count, part = cv2.connectedComponents((depth > level).astype(np.uint8), connectivity=4)
    most = len(peaks)
    # which of the regions lie in which part
    inside = labels > 0
    met = _distinct(part[inside].astype(np.int64) * most + labels[inside], count * most)
    of_part, region = met // most, met % most
    held = np.bincount(of_part, minlength=count)
    largest = np.zeros(count, np.int32)
    order = np.argsort(peaks[region], kind="stable")
    largest[of_part[order]] = region[order]
    several = held[of_part] > 1
    # the neck is narrow against the region itself, or the region is a bulge of the largest
    own = level < _NECK * peaks[region]
    becomes = np.arange(most, dtype=np.int32)
    merged = several & ~own & (region != largest[of_part])
    becomes[region[merged]] = largest[of_part[merged]]
    labels = becomes[labels]
    # parts where there was none are regions of their own
    is_fresh = held == 0
    is_fresh[0] = False
    fresh = np.flatnonzero(is_fresh)
    largest[fresh] = most + np.arange(len(fresh))
    deepest, within = np.zeros(count, np.float32), is_fresh[part]
    np.maximum.at(deepest, part[within], depth[within])
    grown = np.where(labels > 0, labels, largest[part])
    shared = (held > 1)[part] & (labels == 0)
    if shared.any():
        near = _nearest(labels)
        home = np.zeros(most, np.int32)
        home[labels[inside]] = part[inside]
        same = shared & (home[near] == part)  # not across a line
        grown[same] = near[same]
    grown[part == 0] = 0
    return grown, np.concatenate([peaks, deepest[fresh]])


def _distinct(codes: np.ndarray, below: int) -> np.ndarray:
    """The different whole numbers among codes, all smaller than `below`, in order."""
    if below > 4 * codes.size:  # a table of them would be larger than what is sorted
        return np.unique(codes)
    found = np.zeros(below, bool)
    found[codes] = True
    return np.flatnonzero(found)


def _nearest(labels: np.ndarray) -> np.ndarray:
    """Labels (H,W) with each 0 replaced by the nearest label; unchanged if all are 0."""
    if not labels.any():
        return labels
    free = (labels == 0).astype(np.uint8)
    kind = cv2.DIST_LABEL_PIXEL
    _, source = cv2.distanceTransformWithLabels(free, cv2.DIST_L2, 5, labelType=kind)
    known = labels > 0
    of_source = np.zeros(int(source.max()) + 1, labels.dtype)
    of_source[source[known]] = labels[known]
    return of_source[source]


def _paper_level(light: Tensor) -> Tensor:
    """The lightness of a drawing's paper: the median of what is light in it."""
    found = light[light > light.max() / 2]
    return found.median().clamp_min(1e-3) if len(found) else light.new_ones(())
