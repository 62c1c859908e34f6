"""Whether files are pairs side by side, or ordinary photos that would be cut in half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from img2img.data.cache import Cache
from img2img.errors import UserError

LOOKED_AT = 24
SIDE_PX = 64
NEAR = 4  # columns beyond which a shifted half is another place
LEAST_MATCH, LEAST_SEAM = (
    1.5,
    0.3,
)  # 14 sets of photos reach 1.0 and 0.2; pairs have 2 to 18, or a seam of 0.4 to 3
FLAT = 1e-3
EVEN = 0.5  # grey levels from pixel to pixel


def could_be_pairs(paths: Sequence[Path], cache: Cache) -> bool:
    """Whether the left halves go with the right ones, by a few of the files; True where nothing
    shows it.

    The outlines of a pair's halves fall on the same places, and match far better as they lie than
    shifted sideways; those of an ordinary photo match no better in one place than in another. Or
    there is a seam between the halves.
    """
    looked_at = list(islice(_signs(paths, cache), LOOKED_AT))
    signs = [sign for sign in looked_at if sign is not None]
    if 2 * len(signs) <= len(looked_at):
        return True
    match, seam = np.mean(signs, axis=0)
    return bool(match >= LEAST_MATCH or seam >= LEAST_SEAM)


def are_pairs(paths: Sequence[Path], cache: Cache) -> bool:
    """Whether files are pairs of square pictures side by side: each is twice as wide as high, by a
    few of them, and they could be pairs.
    """
    step = max(1, len(paths) // LOOKED_AT)
    shapes = []
    for path in paths[::step]:
        with suppress(UserError):
            shapes.append(cache.read(path, parts=2).shape)
    wide = all(width == 2 * height for height, width, _ in shapes)
    return bool(shapes) and wide and could_be_pairs(paths, cache)


def _signs(paths: Sequence[Path], cache: Cache) -> Iterator[tuple[float, float] | None]:
    step = max(1, len(paths) // LOOKED_AT)
    for path in paths[::step]:
        with suppress(UserError):
            yield signs_of(cache.read(path, parts=2))


def signs_of(photo: np.ndarray) -> tuple[float, float] | None:
    """Of an (H,W,3) uint8 picture: how much better its halves match in place than shifted, in
    standard deviations; and the logarithm of the step at its middle over those around it. None
    where neither could show: the halves do not match and the middle is even, as between two things
    on white, or it is too small."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    middle = grey.shape[1] // 2
    if middle < 16:
        return None
    halves = [_outlines(half) for half in (grey[:, :middle], grey[:, middle : 2 * middle])]
    energy = [float((half**2).sum()) for half in halves]
    spectra = [np.fft.rfft(half, axis=1) for half in halves]
    matches = np.fft.irfft(spectra[0].conj() * spectra[1], SIDE_PX, axis=1).sum(0) / max(
        np.sqrt(np.prod(energy)), FLAT
    )
    far = matches[NEAR : SIDE_PX - NEAR + 1]
    steps = np.abs(np.diff(grey[:, : 2 * middle], axis=1)).mean(0)
    around = np.r_[steps[max(0, middle - 9) : middle - 1], steps[middle : middle + 8]]
    seam = float(np.log((steps[middle - 1] + 0.5) / (around.mean() + 0.5)))
    match = float((matches[0] - far.mean()) / (far.std() + FLAT))
    even = around.mean() < EVEN and seam < LEAST_SEAM
    return None if even and match < LEAST_MATCH else (match, seam)


def _outlines(half: np.ndarray) -> np.ndarray:
    """Steps between neighbouring pixels at 64×64, less what is alike along each row, such as a
    horizon.
    """
    small = cv2.resize(half, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    steps = np.abs(np.diff(small, axis=1, append=small[:, -1:])) + np.abs(
        np.diff(small, axis=0, append=small[-1:])
    )
    return steps - steps.mean(1, keepdims=True)
