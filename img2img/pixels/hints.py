"""Colors a user put on a photo by hand, and how they spread to what looks alike around them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from img2img.errors import UserError
from img2img.pixels.drawn_masks import misfit
from img2img.pixels.images import PathLike, Photo, as_srgb, read_photo, to_float

if TYPE_CHECKING:
    from scipy import sparse

_PAINTED_255 = 24  # a repainted pixel differs by more, what JPEG does to the rest by less
_COVERED = 0.1  # share of a small pixel that must be marked for a stroke to be seen there
_EDGE = 0.03  # difference of luminance (0-1) that two neighbours of one thing seldom have
_ACROSS = 5e-4  # how much goes across an edge all the same
# how fast a hint fades, against a link of 1 between like neighbours: to 1/e in some 60 of them
_FADING = 3e-4
_HELD = 1e3  # weight of a marked pixel's own color


@dataclass(frozen=True, eq=False)
class Hints:
    """Marked pixels and their colors: `rgb` (H,W,3) sRGB of any depth, `marked` (H,W) bool.

    Only the place in the picture counts, not its size: hints drawn on a small preview serve the
    large photo.
    """

    rgb: np.ndarray
    marked: np.ndarray

    def __post_init__(self) -> None:
        if not self.marked.any():
            raise UserError(
                "nothing is painted",
                field="hints",
                remedy="brush colors on the photo, or on a transparent layer",
            )

    def at(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Mean colors (H,W,3) in [0,1] of the marked pixels at another (height, width), and (H,W)
        where there are any.

        What a thin stroke covers in part still counts, so that strokes on large photos are not
        lost.
        """
        to, area = size[::-1], cv2.INTER_AREA
        share = cv2.resize(self.marked.astype(np.float32), to, interpolation=area)
        least = min(_COVERED, float(share.max()))
        marked = share >= least
        planes = [to_float(self.rgb[..., c]) * self.marked for c in range(3)]
        sums = [cv2.resize(plane, to, interpolation=area) for plane in planes]
        return np.stack(sums, 2) / np.maximum(share, least)[..., None] * marked[..., None], marked


def read_hints(path: PathLike, photo: Photo) -> Hints:
    """Hints from a picture of the photo's size. UserError names the file and the fix."""
    try:
        return hints_in(read_photo(path), photo)
    except UserError as error:
        # the file says which hints are meant, and the photo's own place stays
        raise UserError(
            error.problem, place=error.place or Path(path), remedy=error.remedy
        ) from None


def hints_in(picture: Photo, photo: Photo) -> Hints:
    """What was painted: the opaque part of a picture with transparency, else where it differs from
    the photo.

    Raises UserError for another size than the photo's, or when nothing was painted.
    """
    wrong = misfit("they are", picture.size, photo.size)
    if wrong:
        raise UserError(wrong, field="hints", remedy="paint them on the photo itself")
    picture, photo = as_srgb(picture), as_srgb(photo)
    painted, shown = (_opaque(p) for p in (picture, photo))
    if not (painted | ~shown).all():  # a layer, for a copy shows what the photo shows
        return Hints(picture.rgb, painted)
    difference = np.abs(to_float(picture.rgb) - to_float(photo.rgb)).max(2)
    return Hints(picture.rgb, painted & ((difference > _PAINTED_255 / 255) | ~shown))


def _opaque(picture: Photo) -> np.ndarray:
    return (
        np.full(picture.rgb.shape[:2], True)
        if picture.alpha is None
        else to_float(picture.alpha) >= 0.5
    )


def spread(change: np.ndarray, marked: np.ndarray, luminance: np.ndarray) -> np.ndarray:
    """The change (H,W,C) that marked pixels (H,W) ask for, carried to pixels whose luminance (H,W)
    in [0,1] is alike.

    Minimises Σ w_ij (d_i - d_j)² over neighbours, with w = exp(-(L_i - L_j)² / 2σ²) as in
    "Colorization using Optimization" (Levin et al. 2004, equation 2), d held at marked pixels, and
    a small pull towards 0 everywhere, so that what the network thought returns with distance. A
    direct solver: iterations started at 0 stop too early.
    """
    from scipy import sparse  # only where hints are given
    from scipy.sparse.linalg import splu

    links = _links(luminance)
    held = _HELD * marked.ravel()
    system = sparse.diags(np.asarray(links.sum(1)).ravel() + _FADING + held) - links
    solve = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve
    wanted = held[:, None] * np.where(marked[..., None], change, 0).reshape(-1, change.shape[2])
    return solve(wanted.astype(np.float64)).reshape(change.shape).astype(np.float32)


def _links(luminance: np.ndarray) -> sparse.csr_matrix:
    """Symmetric (HW,HW) weights between horizontal and vertical neighbours."""
    from scipy import sparse

    number = np.arange(luminance.size).reshape(luminance.shape)
    steps = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    first = np.concatenate([a.ravel() for a, _ in steps])
    second = np.concatenate([b.ravel() for _, b in steps])
    difference = luminance.ravel()[first] - luminance.ravel()[second]
    weight = np.exp(-(difference**2) / (2 * _EDGE**2)) + _ACROSS
    one_way = sparse.csr_matrix((weight, (first, second)), shape=(luminance.size, luminance.size))
    return one_way + one_way.T
