"""Classical fills of holes, fast enough to make one for every training crop; (H,W,3) float
pictures, holes boolean.
"""

from __future__ import annotations

import cv2
import numpy as np

Picture = np.ndarray

_SWEEPS = 12
# of Jacobi's iteration: what Chebyshev's acceleration takes the slowest remaining error to be
_RADIUS = 0.99
_NEIGHBOURS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
_SPECK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))


def smooth_fill(picture: Picture, hole: np.ndarray) -> Picture:
    """The membrane stretched over the hole (Laplace's equation, the rim given), to within some grey
    levels.

    From coarse to fine, each level begun with the one below and improved by Chebyshev-accelerated
    Jacobi sweeps.
    """
    known = (~hole).astype(np.float32)
    return _membrane(picture.astype(np.float32) * known[..., None], known)


def mirrored_detail(picture: Picture, hole: np.ndarray, sigma_px: float = 3.0) -> Picture:
    """For each missing pixel the fine detail of a smoothly filled picture on the far side of the
    hole's nearest edge.

    Zero outside the hole. Detail: what a Gaussian of `sigma_px` takes away.
    """
    detail = picture - cv2.GaussianBlur(picture, (0, 0), sigma_px)
    mirrored = np.zeros_like(picture)
    mirrored[hole] = detail[_mirrored(hole)]
    return mirrored


def _membrane(picture: Picture, known: np.ndarray) -> Picture:
    """`smooth_fill` where `known` is 0; the picture is 0 there."""
    height, width = known.shape
    if known.all():
        return picture
    if min(height, width) <= 2:
        mean = picture.sum((0, 1)) / max(float(known.sum()), 1)
        return np.where(known[..., None] > 0, picture, mean).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
    coarse = (
        cv2.resize(picture, half, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-6)[..., None]
    )
    below = _membrane(coarse, (share > 1e-6).astype(np.float32))
    start = cv2.resize(below, (width, height), interpolation=cv2.INTER_LINEAR)
    return _relaxed(np.where(known[..., None] > 0, picture, start), 1 - known)


def _relaxed(picture: Picture, missing: np.ndarray) -> Picture:
    weight = cv2.merge([missing] * 3)
    before, now, omega = picture, picture, 1.0
    for sweep in range(_SWEEPS):
        mean = cv2.filter2D(now, -1, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE)
        before, now = now, before + (omega * weight) * (mean - before)
        omega = 1 / (1 - _RADIUS**2 * (omega / 4 if sweep else 0.5))
    return now


def _mirrored(hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a known pixel for each missing one: as far beyond the nearest edge as it
    lies inside.
    """
    opened = cv2.morphologyEx(
        (~hole).astype(np.uint8), cv2.MORPH_OPEN, _SPECK
    )  # specks would own flat cells
    solid: np.ndarray = opened.astype(bool) if opened.any() else np.logical_not(hole)
    _, label = cv2.distanceTransformWithLabels(
        np.logical_not(solid).astype(np.uint8),
        cv2.DIST_L2,
        cv2.DIST_MASK_5,
        labelType=cv2.DIST_LABEL_PIXEL,
    )
    edge = np.zeros((2, label.max() + 1), int)
    edge[:, label[solid]] = np.nonzero(solid)
    size = np.array(hole.shape)[:, None]
    place = np.array(np.nonzero(hole))
    nearest = edge[:, label[hole]]
    for _ in range(
        4
    ):  # beyond a bridge lies another hole: from there, back again, until it ends on the bridge
        missing = hole[tuple(place)]
        inside = place[:, missing]
        place[:, missing] = _folded(2 * edge[:, label[tuple(inside)]] - inside, size)
    missing = hole[tuple(place)]
    place[:, missing] = nearest[:, missing]
    return place[0], place[1]


def _folded(place: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Coordinates beyond the picture's border, mirrored back inside."""
    place = np.abs(place)
    return np.clip(np.minimum(place, 2 * (size - 1) - place), 0, size - 1)
