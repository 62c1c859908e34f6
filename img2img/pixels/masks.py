"""Masks for inpainting: boolean (H,W) arrays, True = to be filled, each a pure function of its
generator.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

Mask = np.ndarray


def free_form(
    size: tuple[int, int], rng: np.random.Generator, share: tuple[float, float] = (0.1, 0.4)
) -> Mask:
    """Brush strokes (Yu et al. 2019, algorithm 1) until from share[0] to share[1] of the (H,W)
    pixels are missing.

    4-12 vertices a stroke, turning angle 2π/5 ± 2π/15, length N(r, r/2) with r = sqrt(H²+W²)/8,
    width 12-40 px at 256 px.
    """
    wanted = rng.uniform(*share)
    mask = np.zeros(size, np.uint8)
    most_vertices = 12
    while not mask.any() or mask.mean() < wanted:
        before = mask.copy()
        _stroke(mask, rng, most_vertices)
        if mask.mean() <= share[1]:
            continue
        # A stroke too many: settle for what was there if it is enough, else try a shorter one, at
        # last a slimmer one.
        if before.mean() >= share[0] and before.any():
            mask = before
            break
        if most_vertices == 1:
            mask = _slimmed(
                before,
                mask,
                max(1, math.ceil(share[0] * mask.size), math.floor(wanted * mask.size)),
            )
            break
        mask, most_vertices = before, most_vertices - 1
    return mask.astype(bool)


def _slimmed(before: np.ndarray, after: np.ndarray, count: int) -> np.ndarray:
    """`before` and the innermost pixels of what `after` adds to it, `count` pixels in all."""
    depth = cv2.distanceTransform(after - before, cv2.DIST_L2, 3)
    inmost = np.argsort(-depth, axis=None, kind="stable")[: count - int(before.sum())]
    mask = before.copy()
    mask.flat[inmost] = 1
    return mask


def _stroke(mask: np.ndarray, rng: np.random.Generator, most_vertices: int) -> None:
    height, width = mask.shape
    reach = math.hypot(height, width)
    thickness = max(1, round(rng.uniform(12, 40) * min(height, width) / 256))
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    for index in range(int(rng.integers(min(4, most_vertices), most_vertices + 1))):
        angle = rng.normal(2 * math.pi / 5, 2 * math.pi / 15)
        heading = 2 * math.pi - angle if index % 2 == 0 else angle
        length = float(np.clip(rng.normal(reach / 8, reach / 16), 0, reach / 4))
        nx = float(np.clip(x + length * math.sin(heading), 0, width))
        ny = float(np.clip(y + length * math.cos(heading), 0, height))
        cv2.line(mask, (round(x), round(y)), (round(nx), round(ny)), 1, thickness)
        cv2.circle(mask, (round(nx), round(ny)), thickness // 2, 1, -1)
        x, y = nx, ny


def box(
    size: tuple[int, int], rng: np.random.Generator, side: tuple[float, float] = (0.25, 0.5)
) -> Mask:
    """One rectangle; each side is a share of the picture's, drawn from `side`."""
    mask = np.zeros(size, bool)
    height, width = (max(1, round(n * rng.uniform(*side))) for n in size)
    top = int(rng.integers(0, size[0] - height + 1))
    left = int(rng.integers(0, size[1] - width + 1))
    mask[top : top + height, left : left + width] = True
    return mask


def outpaint(
    size: tuple[int, int], rng: np.random.Generator, share: tuple[float, float] = (0.1, 0.3)
) -> Mask:
    """One to four borders missing, the known part never empty."""
    mask = np.zeros(size, bool)
    sides = rng.permutation(4)[: int(rng.integers(1, 5))]
    for side in sides:
        length = size[0 if side < 2 else 1]
        depth = min(
            max(1, round(length * rng.uniform(*share))), (length - 1) // 2
        )  # opposite borders never meet
        mask[[np.s_[:depth, :], np.s_[-depth:, :], np.s_[:, :depth], np.s_[:, -depth:]][side]] = (
            True
        )
    return mask


def window(mask: Mask, size: tuple[int, int], rng: np.random.Generator) -> Mask:
    """A part of the mask of `size`, at a random place around a random missing pixel."""
    if mask.shape == size:
        return mask
    places = np.argwhere(mask)
    pixel = places[int(rng.integers(len(places)))]
    first = [
        int(rng.integers(max(0, at - part + 1), min(at, whole - part) + 1))
        for at, part, whole in zip(pixel, size, mask.shape, strict=True)
    ]
    return mask[first[0] : first[0] + size[0], first[1] : first[1] + size[1]]


def grow(mask: Mask, px: int) -> Mask:
    """The mask widened by `px` pixels in every direction (a disc); 0 gives it back unchanged."""
    if px <= 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)


def thickness_px(mask: Mask) -> float:
    """Twice the greatest distance from a missing pixel to the nearest known one: how thick the
    thickest hole is.
    """
    if not mask.any():
        return 0.0
    padded = np.pad(mask.astype(np.uint8), 1, mode="edge")
    return 2 * float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())


def f1(found: np.ndarray, true: np.ndarray, tolerance_px: int = 1) -> float:
    """Harmonic mean of precision and recall of masks (H,W) or (B,H,W), pixels within
    `tolerance_px` (in each direction) of one of the other mask counting as met.

    1 also where nothing is to be found and nothing was; 0 where one of both is empty.

    Example:
        >>> import numpy as np
        >>> line = np.eye(8, dtype=bool)
        >>> f1(line, line), f1(np.roll(line, 1, 1), line), f1(~line & line, line)
        (1.0, 1.0, 0.0)
    """
    if not found.any() or not true.any():
        return float(found.any() == true.any())
    around = np.ones((2 * tolerance_px + 1,) * 2, np.uint8)

    def met(mask: np.ndarray, other: np.ndarray) -> float:
        height, width = mask.shape[-2:]
        pairs = zip(mask.reshape(-1, height, width), other.reshape(-1, height, width), strict=True)
        near = [m & (cv2.dilate(o.astype(np.uint8), around) > 0) for m, o in pairs]
        return float(np.sum(near) / mask.sum())

    precision, recall = met(found, true), met(true, found)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
