"""A fill of holes from pieces of the same picture, so that lines and patterns go on (Wexler et al.
2007, "Space-Time Completion of Video"; nearest patches by principal components).

From coarse to fine: for every patch that touches the hole the most similar known patch, then for
every missing pixel the mean of what the patches round it say. The finest level copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from img2img.pixels.fill import Picture, smooth_fill

Offsets = np.ndarray
"""(H,W,2): rows and columns from a patch to the known one that stands for it."""

_PATCH_PX = 7
_RADIUS = _PATCH_PX // 2
_COMPONENTS = 20
# of a patch's 147 numbers; they keep nearly all of the variance
_COARSEST_PX = 32
_SEARCHED_PX = 256
# Larger levels take the offsets of the one below: they would cost most and change least.
_ROUNDS = (6, 4, 2)
# of searching and voting, from the coarsest level on
_PAIRS = 12_000_000
# of patches that are compared one by one; beyond, not every known patch is
_FEWEST = 32
# known patches without which a level is not worth a search
_NEIGHBOURS = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]
_FADES = 1.3
# how much less a patch says with each pixel farther inside the hole


def exemplar_fill(picture: Picture, hole: np.ndarray) -> Picture:
    """(H,W,3) with the hole filled by pieces of what is known; a smooth surface where nothing that
    is known is large enough for a patch.
    """
    levels = _pyramid(picture.astype(np.float32), hole)
    filled, offsets = smooth_fill(*levels[0]), None
    for number, (known, missing) in enumerate(levels):
        height, width = missing.shape
        if number:
            larger = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
            filled = np.where(missing[..., None], larger, known)
        if offsets is not None:
            offsets = 2 * offsets.repeat(2, 0).repeat(2, 1)[:height, :width]
        finest, searched = number == len(levels) - 1, max(missing.shape) <= _SEARCHED_PX
        if number == 0 or (searched and not finest) or offsets is None:
            rounds = _ROUNDS[min(number, len(_ROUNDS) - 1)]
            filled, offsets = _searched(filled, missing, offsets, rounds)
        if finest and offsets is not None:
            filled = _copied(filled, missing, offsets)
    return filled


def _pyramid(picture: Picture, hole: np.ndarray) -> list[tuple[Picture, np.ndarray]]:
    """Pictures with 0 in the hole, and their holes, from the coarsest on; each twice as large."""
    levels = [(np.where(hole[..., None], np.float32(0), picture), hole)]
    while min(levels[0][1].shape) >= 2 * _COARSEST_PX:
        known, missing = levels[0]
        half = ((missing.shape[1] + 1) // 2, (missing.shape[0] + 1) // 2)
        share = cv2.resize((~missing).astype(np.float32), half, interpolation=cv2.INTER_AREA)
        if not 0 < (share >= 0.5).sum() < share.size:  # thin holes are none from here on
            break
        mean = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
        mean = mean / np.maximum(share, 1e-6)[..., None]
        levels.insert(0, (np.where(share[..., None] >= 0.5, mean, np.float32(0)), share < 0.5))
    return levels


@dataclass
class _Known:
    """The patches of a level that are known as a whole, by their center."""

    at: np.ndarray
    """(2,K), rows and columns"""
    mean: np.ndarray
    components: np.ndarray
    described: np.ndarray
    """(K,20), each patch by its components"""
    number: np.ndarray
    """(H,W), which of them a pixel is the center of; -1: none"""

    @classmethod
    def of(cls, picture: Picture, centers: np.ndarray) -> _Known:
        at = np.array(np.nonzero(centers))
        patches = _patches(picture, at)
        mean = patches.mean(0)
        some = patches[:: max(1, len(patches) // 2000)] - mean
        _, vectors = np.linalg.eigh(some.T @ some)
        components = np.ascontiguousarray(vectors[:, -_COMPONENTS:])
        number = np.full(centers.shape, -1)
        number[tuple(at)] = np.arange(at.shape[1])
        return cls(at, mean, components, (patches - mean) @ components, number)

    def describe(self, picture: Picture, at: np.ndarray) -> np.ndarray:
        described: np.ndarray = (_patches(picture, at) - self.mean) @ self.components
        return described


def _searched(
    filled: Picture, hole: np.ndarray, offsets: Offsets | None, rounds: int
) -> tuple[Picture, Offsets | None]:
    """The picture and its offsets after rounds of looking for the nearest patches and voting."""
    height, width = hole.shape
    touched = cv2.dilate(hole.astype(np.uint8), np.ones((_PATCH_PX, _PATCH_PX), np.uint8)) > 0
    whole = ~touched
    for border in (slice(None, _RADIUS), slice(-_RADIUS, None)):
        whole[border], whole[:, border] = False, False
    if whole.sum() < _FEWEST:
        return filled, None
    known, wanted = _Known.of(filled, whole), np.array(np.nonzero(touched))
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3)
    for _ in range(rounds):
        described = known.describe(filled, wanted)
        if offsets is None or described.shape[0] * len(known.described) <= _PAIRS:
            best = _nearest(described, known.described)
        else:
            best = _coherent(described, known, wanted, offsets)
        offsets = np.zeros((height, width, 2), int)
        offsets[tuple(wanted)] = (known.at[:, best] - wanted).T
        error = np.square(described - known.described[best]).sum(1)
        trust = np.zeros((height, width), np.float32)
        usual = max(float(np.percentile(error, 75)), 1e-8)
        trust[tuple(wanted)] = np.exp(-error / (2 * usual)) + 1e-6
        filled = _voted(filled, hole, offsets, trust * np.float32(_FADES) ** -depth)
    return filled, offsets


def _patches(picture: Picture, at: np.ndarray) -> np.ndarray:
    """(N,147): the patches round these pixels (2,N), mirrored beyond the border."""
    r = _RADIUS
    padded = cv2.copyMakeBorder(picture, r, r, r, r, cv2.BORDER_REFLECT_101)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_PATCH_PX, _PATCH_PX), (0, 1))
    return windows[tuple(at)].reshape(at.shape[1], -1)


def _nearest(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For each row of `wanted` (N,D) the number of the nearest row of `known` (K,D)."""
    every = max(1, len(wanted) * len(known) // _PAIRS)
    some = known[::every]
    half_norms = np.square(some).sum(1) / 2
    rows = max(1, 4_000_000 // len(some))
    parts = [wanted[start : start + rows] for start in range(0, len(wanted), rows)]
    return every * np.concatenate([(part @ some.T - half_norms).argmax(1) for part in parts])


def _coherent(
    described: np.ndarray, known: _Known, wanted: np.ndarray, offsets: Offsets
) -> np.ndarray:
    """For each patch the best that its own offset or a neighbour's leads to (Ashikhmin 2001), near
    and then farther; of all where none leads to a known patch.
    """
    size = np.array(offsets.shape[:2])[:, None]
    best, error = np.full(len(described), -1), np.full(len(described), np.inf, np.float32)
    for reach in (1, 2):
        for step in _NEIGHBOURS:
            neighbors = np.clip(wanted + reach * np.array(step)[:, None], 0, size - 1)
            place = np.clip(wanted + offsets[tuple(neighbors)].T, 0, size - 1)
            number = known.number[tuple(place)]
            (led,) = np.nonzero(number >= 0)
            distance = np.square(described[led] - known.described[number[led]]).sum(1)
            better = distance < error[led]
            best[led[better]], error[led[better]] = number[led[better]], distance[better]
    if (best < 0).any():
        best[best < 0] = _nearest(described[best < 0], known.described)
    return best


def _voted(filled: Picture, hole: np.ndarray, offsets: Offsets, trust: np.ndarray) -> Picture:
    """Each missing pixel is the mean of what the patches that hold it say, by their trust."""
    size, missing = np.array(hole.shape)[:, None], np.array(np.nonzero(hole))
    total = np.zeros((missing.shape[1], 3), np.float32)
    weights = np.full(missing.shape[1], 1e-20, np.float32)
    for dy in range(-_RADIUS, _RADIUS + 1):
        for dx in range(-_RADIUS, _RADIUS + 1):
            center = missing + np.array([[dy], [dx]])
            inside = ((center >= 0) & (center < size)).all(0)
            center = tuple(np.clip(center, 0, size - 1))
            said = np.clip(missing + offsets[center].T, 0, size - 1)
            weight = trust[center] * inside
            total += weight[:, None] * filled[tuple(said)]
            weights += weight
    voted = filled.copy()
    voted[tuple(missing)] = total / weights[:, None]
    return voted


def _copied(filled: Picture, hole: np.ndarray, offsets: Offsets) -> Picture:
    """Each missing pixel is the known one at its offset, and as it was where there is none."""
    missing, size = np.array(np.nonzero(hole)), np.array(hole.shape)[:, None]
    source = missing + offsets[tuple(missing)].T
    good = ((source >= 0) & (source < size)).all(0)
    good[good] = ~hole[tuple(source[:, good])]
    copied = filled.copy()
    copied[tuple(missing[:, good])] = filled[tuple(source[:, good])]
    return copied
