"""Estimate of noise in a photo: how strong it is, and whether it is white or, as grain and camera
noise are, correlated.

The smoothest blocks of a photo, chosen by the coarse band alone, show what the finer bands hold
where the picture has little detail. That is noise where it is as strong in one block as in the next
and in each quarter of a block, does not rise towards coarse bands as pictures do, and, for the
noise of sensors, where color varies by itself. Texture can be all of this as well (sand, a lawn
from far): where in doubt, none is reported.

The limits were set on clean photos of ten kinds, the same with known noise, crops of cameras'
noise, and scans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from img2img.inference.bands import Blocks, measure_blocks

_SMOOTHEST, _FEWEST = 0.2, 8  # the share of blocks that is measured, and how many at least
# The standard deviation of noise smoothed by 0.5 to 1.2 px, over that of the middle band.
_CORRELATED_SIGMA = 0.75
_NEAR_255 = 20  # the color of a margin, and of a picture that fades into it
_MOST_255 = 60  # what is stronger is print: letters, dots
_WHITE = 0.6  # the fine band over the middle one: 1 in white noise, 0.5 and less in correlated
_SMALL = 400  # blocks: a photo of fewer has been reduced, which makes texture fine and noise weak


@dataclass(frozen=True)
class Noise:
    """Standard deviation on the 0-255 scale, mean of the channels; 0 where noise cannot be
    distinguished from texture.
    """

    sigma_255: float = 0.0
    correlated: bool = False
    """Neighbouring pixels alike: film grain, and what cameras make of sensor noise."""


def measure_noise(rgb: np.ndarray, mask: np.ndarray | None = None) -> Noise:
    """The noise of a photo (H,W,3), 8 or 16 bits or float in [0,1]; pixels under the mask (H,W),
    True, do not count.

    What is flat (frames, paper, a burnt-out sky) is left out; if it has some noise of its own, the
    stronger counts.
    """
    blocks = measure_blocks(rgb, mask)
    blocks = blocks.at(blocks.known)
    parts = (blocks, _without_flat_colors(blocks))
    return max((_noise_of(_counted(part)) for part in parts), key=lambda noise: noise.sigma_255)


def _counted(blocks: Blocks) -> Blocks:
    """Without blocks that are constant, or clipped more than others, which hides noise."""
    blocks = blocks.at(blocks.middle > 0.1)
    if len(blocks) == 0:
        return blocks
    return blocks.at(blocks.clipped <= max(0.05, float(np.percentile(blocks.clipped, 20))))


def _without_flat_colors(blocks: Blocks) -> Blocks:
    """Without blocks near a color that many have exactly, three such colors at most: bars, margins
    and soft edges.
    """
    for _ in range(3):
        if len(blocks) < _FEWEST:
            break
        levels = np.rint(blocks.mean).astype(int).clip(0, 255)
        color = np.median(blocks.color[levels == np.bincount(levels).argmax()], axis=0)
        off = np.abs(blocks.color - color).max(1)
        flat, rest = blocks.middle[off <= 1.5], blocks.middle[off > _NEAR_255]
        if (
            len(flat) < 0.05 * len(blocks)
            or len(rest) == 0
            or np.median(flat) > 0.5 * np.median(rest)
        ):
            break
        blocks = blocks.at(off > _NEAR_255)
    return blocks


def _noise_of(blocks: Blocks) -> Noise:
    """The noise that blocks without flat parts show; none where it may be texture."""
    if len(blocks) < 4:
        return Noise()
    signs = _signs(blocks)
    if not (_is_color_noise(signs) or _is_grain(signs) or _is_strong(signs)):
        return Noise()
    if signs.fineness > _WHITE:
        return Noise(signs.rgb_fine)
    return Noise(_CORRELATED_SIGMA * signs.rgb_middle, correlated=True)


@dataclass(frozen=True)
class _Signs:
    """What the smoothest blocks of a photo show: medians, and how they differ."""

    middle: float
    fineness: float  # the fine band over the middle one: 1 in white noise
    rise: float  # the coarse band over the middle one: 1 in white noise, more in pictures
    chroma: float
    linked: float
    # how uneven and unlike each other blocks are, and how they rise: 2 in white noise, 4 to 6 in
    # grain
    texture: float
    rgb_fine: float
    rgb_middle: float
    # all blocks: the middle band's 25th percentile over its 5th; near 1 where noise lies over
    # everything
    floor: float
    reach: float  # span of luma that the weakest blocks cover
    small: bool
    tinted: bool  # no more colors than luma explains: a print, rather than a photo of today

    @property
    def correlation(self) -> float:
        """0 in white noise, 2 in noise smoothed by 0.8 px."""
        return float(np.log(1 / max(self.fineness, 1e-3)))

    @property
    def chroma_share(self) -> float:
        """2.2 where the noise of channels is independent, 0 where it is the same."""
        return self.chroma / self.middle


def _signs(blocks: Blocks) -> _Signs:
    smooth = blocks.at(
        np.argsort(blocks.coarse, kind="stable")[: max(_FEWEST, int(len(blocks) * _SMOOTHEST))]
    )
    middle, fine, coarse = (
        float(np.median(band)) for band in (smooth.middle, smooth.fine, smooth.coarse)
    )
    weakest, weak, most = np.percentile(blocks.middle, (5, 25, 10))
    dark, bright = np.percentile(blocks.mean[blocks.middle <= 1.6 * most], (5, 95))
    texture = (_spread(smooth) + float(np.median(smooth.unevenness)) - 1.2) / 0.1 + coarse / middle
    return _Signs(
        middle=middle,
        fineness=fine / middle,
        rise=coarse / middle,
        chroma=float(np.median(smooth.chroma)),
        linked=float(np.median(smooth.linked)),
        texture=texture,
        rgb_fine=float(np.median(smooth.rgb_fine)),
        rgb_middle=float(np.median(smooth.rgb_middle)),
        floor=float(weak / weakest),
        reach=float(bright - dark),
        small=len(blocks) < _SMALL,
        tinted=_off_tint(blocks) < 12,
    )


def _spread(smooth: Blocks) -> float:
    """How far blocks of like luma differ in the middle band, as a logarithm; noise may be stronger
    in light or dark.
    """
    level = np.log(smooth.middle + 0.1)[np.argsort(smooth.mean, kind="stable")]
    parts = np.array_split(level, max(1, min(6, len(level) // 6)))
    return float(
        np.percentile(np.abs(np.concatenate([part - np.median(part) for part in parts])), 75)
    )


def _off_tint(blocks: Blocks) -> float:
    """Distance in R-Y and B-Y, 0-255, of nine tenths of the blocks from what is usual at their
    luma.
    """
    off = (blocks.color[:, [0, 2]] - blocks.mean[:, None])[np.argsort(blocks.mean, kind="stable")]
    parts = [part for part in np.array_split(off, 8) if len(part)]
    return float(
        np.percentile(
            np.concatenate([np.hypot(*(part - np.median(part, 0)).T) for part in parts]), 90
        )
    )


def _is_color_noise(signs: _Signs) -> bool:
    """Noise of sensors: color varies as much as luma and by itself, which texture does not."""
    most_texture = 12.0 if signs.chroma_share > 1.2 else 8.5
    own_color = signs.chroma_share > 0.45 and signs.linked < 0.3
    return signs.middle > 1.2 and signs.chroma > 1.8 and own_color and signs.texture < most_texture


def _is_grain(signs: _Signs) -> bool:
    """Grain in luma, moderate: less like texture than clean photos are; what is weak must be coarse
    to be seen.
    """
    if not 1.5 < signs.middle < 8 or signs.rise < 0.55 + 0.33 * signs.correlation:
        return False
    if signs.middle < 2.2 + 3.5 * signs.fineness:
        return signs.fineness < 0.3 and signs.texture < 5.1
    prior = 0.5 * signs.tinted - 1.2 * signs.small  # prints have grain, reduced photos texture
    most = (
        7.75 if signs.chroma_share > 0.22 else 6.3 if signs.fineness > 0.2 else 5.2
    )  # cloth is coarse, and one color
    return signs.texture < min(3.8 + prior + 2 * signs.correlation, most)


def _is_strong(signs: _Signs) -> bool:
    """Strong noise in luma: lies over everything, dark and light, as the texture of one thing does
    not.
    """
    weave = (
        signs.rise < 0.75 + 0.37 * signs.correlation
    )  # noise with so fine a band holds more in the coarse one
    if not 5 < signs.middle < _MOST_255 or weave or signs.floor > (1.4 if signs.small else 1.9):
        return False
    if _WHITE < signs.fineness < 1.15 and signs.texture < (2.7 if signs.small else 4.0):
        return True
    most_texture = (2.7 if signs.small else 3.6) + 1.4 * signs.correlation
    everywhere = signs.reach > 50 or signs.texture < 2.2
    return signs.middle < 25 and signs.texture < most_texture and everywhere
