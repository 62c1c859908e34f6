"""Whether a photo has colors of its own, or one tint that follows from its luminance: sepia,
cyanotype, faded paper.

A tint is a color that is a function of the luminance. What a print has besides are stains and
fading, which are smooth and change the tint's strength more than its hue, and margins of bare
paper. Everything else is a color of the photo's own, which nothing may replace; what remains in
doubt counts as one. Colors are CIE Lab a*b* of a reduced, blurred photo (JPEG keeps chroma at half
size and in blocks), after exposure was made full: dark colors count as they would in light.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

import cv2
import numpy as np

from img2img.pixels.images import to_float
from img2img.pixels.windows import SMALL_PX, reduced

_COARSE_PX = 160  # longer side for the photo as a whole; SMALL_PX is for small things
_BLUR_PX = 2.0
_MARGINS = 0.06, 0.15  # of the shorter side: a scan's edge and bare paper; a mount round the print
_LEVELS = 24  # of lightness, at which a tint is read
_OWN_SHARE = 0.002  # of the visible pixels: less is not seen as a color
# Lab units of a*b* that are not a color of their own.
_GREY, _GREY_OWN, _TINT_OWN, _PRINT_OWN = 2.5, 6.5, 5.0, 9.0
_STAIN = 1 / 8  # of the shorter side: what is smoother than this may be a stain or fading
# b* that a spot, and bare paper at the edge of the picture, may have.
_STAIN_YELLOW, _PAPER_YELLOW = 12.0, 40.0
_TEXTURE_PX = 4.0
_JUMP = 2.5  # a tint changes smoothly: a*b* over lightness between levels
_HUES = {
    25: "pink",
    50: "red",
    78: "orange",
    108: "yellow",
    165: "green",
    225: "cyan",
    295: "blue",
    335: "violet",
}


Tints = Literal[0, 1, 2]


@dataclass(frozen=True)
class PhotoColor:
    """What colors a photo has."""

    tints: Tints
    """0: none; 1: one tint throughout (sepia); 2: colors."""
    share: float = 0.0
    """Of the visible pixels that have a color of their own: neither grey nor the tint's."""
    hue: str = ""
    """Of these, in a word."""
    one_hue: bool = False
    """Hardly any of these is of another."""


@dataclass(frozen=True)
class _SmallPhoto:
    """A photo, reduced and blurred: Lab (H,W,3), what of it is known and what counts, contrast
    (H,W), noise in a*b*.
    """

    lab: np.ndarray
    known: np.ndarray
    counted: np.ndarray
    contrast: np.ndarray  # variance of lightness about a pixel before the blur
    noise: float
    margin: float = 0.0

    def within(self, margin: float) -> _SmallPhoto:
        """Without a margin, a share of the shorter side, which counts no longer."""
        return replace(self, counted=self.known & _inside(self.known.shape, margin), margin=margin)

    @property
    def lightness(self) -> np.ndarray:
        return self.lab[..., 0]

    @property
    def ab(self) -> np.ndarray:
        return self.lab[..., 1:]


@dataclass(frozen=True)
class _Tint:
    """a*b* (levels, 2) as a function of lightness (levels,)."""

    lightness: np.ndarray
    ab: np.ndarray

    def at(self, lightness: np.ndarray) -> np.ndarray:
        return _interpolated(lightness, self.lightness, self.ab)

    def jump(self) -> float:
        """The largest change of a*b* over that of lightness."""
        steps = np.hypot(*np.diff(self.ab, axis=0).T) / np.maximum(np.diff(self.lightness), 1.0)
        return float(steps.max()) if len(steps) else 0.0

    def rest_of(self, photo: _SmallPhoto) -> np.ndarray:
        """What it leaves of the pixels that count, (pixels, 2)."""
        return photo.ab[photo.counted] - self.at(photo.lightness[photo.counted])


def measure_color(
    rgb: np.ndarray, mask: np.ndarray | None = None, small: np.ndarray | None = None
) -> PhotoColor:
    """What colors an RGB photo (H,W,3) has; pixels under the mask (H,W), True = hidden or to be
    filled, do not count. `small` is the photo reduced to `SMALL_PX`, where it is known.

    A photo of which nothing is known counts as one in colors: nothing is taken away from it.
    """
    color, weight = _reduced(rgb, mask, small)
    if not (weight > 0.5).any():
        return PhotoColor(2)
    brightest = reduce(np.maximum, cv2.split(color))[weight > 0.5]
    color = color / np.clip(np.percentile(brightest, 99.5), 1 / 32, 1)
    fine = _small_photo(color, weight).within(_MARGINS[0])
    whole = _small_photo(reduced(color, _COARSE_PX), reduced(weight, _COARSE_PX))
    coarse = [whole.within(margin) for margin in _MARGINS]
    first: PhotoColor | None = None
    for candidate in _candidates(fine, [photo for photo in coarse if photo.counted.any()]):
        if candidate.tints < 2:
            return candidate
        first = first or candidate
    return first or _photo_color(2, fine, _own_on_grey(fine))


def _candidates(fine: _SmallPhoto, coarse: list[_SmallPhoto]) -> Iterator[PhotoColor]:
    """What each simpler kind of photo that this may be leaves unexplained; nothing where it is
    plainly in color.
    """
    for photo in coarse:
        if _is_grey(photo):
            yield _photo_color(0, fine, _own_on_grey(fine))
            return
        tint = _fit_tint(photo)
        if (
            tint.jump() < 2 * _JUMP  # first what costs least
            and (
                _is_exact(_calm(fine, photo.margin))
                or (photo.noise > 0.15 and _is_exact(photo, tint))
            )
            and _is_carried_by_grain(fine, photo, tint, 0.65)
        ):
            explained = tint.at(fine.lightness)
            tolerance = _TINT_OWN + 0.15 * _length(explained) + 4 * fine.noise
            yield _photo_color(1, fine, _beyond(fine.ab, explained) / tolerance)
        if _is_print(fine, photo, tint):
            yield _photo_color(1, fine, _own_on_print(fine, tint, _stain(photo, tint)))


def _photo_color(tints: Tints, photo: _SmallPhoto, excess: np.ndarray) -> PhotoColor:
    """`excess` (H,W) is how far colors lie beyond what is explained, in tolerances."""
    own = photo.known & (excess > 1)
    share = float(own.sum() / photo.known.sum())
    if not own.any():
        return PhotoColor(tints)
    ab = photo.ab[own]
    along = ab @ (ab.sum(0) / max(1e-6, float(np.hypot(*ab.sum(0)))))
    one_hue = bool(np.mean(along > 0.7 * np.hypot(*ab.T)) > 0.98)  # within 45°
    degrees = _hue_degrees(ab.sum(0)) % 360
    hue = next((word for limit, word in _HUES.items() if degrees < limit), "pink")
    return PhotoColor(2 if share >= _OWN_SHARE else tints, share, hue, one_hue)


def _hue_degrees(ab: np.ndarray) -> float:
    return float(np.degrees(np.arctan2(ab[1], ab[0])))


# --- the photo as a whole


def _is_grey(photo: _SmallPhoto) -> bool:
    slack = 3.5 * photo.noise
    half, most = np.percentile(np.hypot(*photo.ab[photo.counted].T), [50, 95])
    return bool(most < _GREY + slack or (half < 0.5 + slack and most < 3.3 + slack))


def _is_exact(photo: _SmallPhoto, tint: _Tint | None = None) -> bool:
    """Whether color is a function of luminance, to within what rounding, compression and noise
    explain; `tint` is that function, where it is known.
    """
    if not photo.counted.any():
        return False
    tint = tint or _fit_tint(photo)
    if tint.jump() >= _JUMP:
        return False
    ab, rest = photo.ab[photo.counted], tint.rest_of(photo)
    slack = 0.3 + 0.05 * np.percentile(np.hypot(*ab.T), 95) + 2.5 * photo.noise
    # The noise that JPEG and reduction leave is not white, so more of it survives the blur.
    explained = _explained_share(ab, rest, 1.3 * photo.noise)
    return bool(explained > 0.93 and np.percentile(np.hypot(*rest.T), 95) < slack)


def _calm(photo: _SmallPhoto, margin: float) -> _SmallPhoto:
    """The photo where luminance changes least: an average of two tints is not the tint of their
    average.
    """
    inside = photo.known & _inside(photo.known.shape, margin)
    if not inside.any():
        return replace(photo, counted=inside)
    calm = max(1.0, float(np.percentile(photo.contrast[inside], 40)))
    return replace(photo, counted=inside & (photo.contrast <= calm))


def _is_print(fine: _SmallPhoto, coarse: _SmallPhoto, tint: _Tint) -> bool:
    """Whether it is a toned or yellowed print: what the tint leaves is smooth, or along its hue;
    paper is the palest.

    Bounds are those of scanned prints; photos in color that come near, as brown cloth on a beige
    floor, fail one.
    """
    ab = coarse.ab[coarse.counted]
    half, most = np.percentile(np.hypot(*ab.T), [50, 95])
    if half <= 3:
        return False
    rest = tint.rest_of(coarse)
    left = rest - _stain(coarse, tint)[coarse.counted]
    along, across = _axes(ab)
    slack, hue = 3.5 * coarse.noise, _hue_degrees(along)
    rise, fall = _ratio_change(coarse)
    shadows = float(np.hypot(*tint.ab[: max(1, len(tint.ab) // 5)].T).mean())
    return bool(
        ((28 < hue < 140) if most < 9 else (45 < hue < 112))
        and shadows > 0.2 * half
        and rise < max(0.15, fall)
        and np.percentile(ab @ along, 0.2) > -2.8 - slack
        and np.percentile(np.hypot(*left.T), 99) < 8 + slack
        and np.percentile(np.abs(rest @ across), 98) < min(3.1, 0.33 * most + 0.5) + slack
        and _explained_share(ab, rest) > 0.2
        and _explained_share(ab, left) > 0.7
        and _is_carried_by_grain(fine, coarse, tint, 0.45)
    )


def _is_carried_by_grain(fine: _SmallPhoto, coarse: _SmallPhoto, tint: _Tint, least: float) -> bool:
    """Whether fine chroma follows the tint as coarse chroma does: on cloth and stone it follows
    shading instead.
    """
    slope, correlation = _texture(fine, tint)
    least /= 1 + 0.5 * fine.noise  # noise weakens a correlation
    return slope > 0.18 and correlation + _texture(coarse, tint)[1] > least


def _texture(photo: _SmallPhoto, tint: _Tint) -> tuple[float, float]:
    """Slope and correlation of fine chroma over what the tint makes of fine luminance, edges of
    things left aside.
    """

    def fine(x: np.ndarray) -> np.ndarray:
        return x - _blurred(x, _TEXTURE_PX)

    contrast = _blurred(fine(photo.lightness) ** 2, _TEXTURE_PX)
    at = photo.counted & (contrast <= np.percentile(contrast[photo.counted], 60))
    chroma, expected = fine(photo.ab)[at], fine(tint.at(photo.lightness))[at]
    together, power = float((chroma * expected).sum()), float((expected**2).sum()) + 1e-6
    return together / power, together / np.sqrt(power * (float((chroma**2).sum()) + 1e-6))


def _ratio_change(photo: _SmallPhoto) -> tuple[float, float]:
    """Stops by which red over blue rises and falls from shadows to lights: an image is browner than
    its paper.
    """
    rgb = cv2.cvtColor(np.ascontiguousarray(photo.lab), cv2.COLOR_LAB2RGB)[photo.counted]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clip(0) + 0.055) / 1.055) ** 2.4)
    ratio = np.log2(linear[:, 0] + 0.006) - np.log2(linear[:, 2] + 0.006)
    order = np.argsort(photo.lightness[photo.counted], kind="stable")
    steps = np.array([np.median(ratio[part]) for part in np.array_split(order, 8) if len(part)])
    later = np.triu(steps[None] - steps[:, None])
    return float(later.max()), float(-later.min())


def _axes(ab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the a*b* plane along the tint and across it."""
    middle = np.median(ab, 0)
    along = middle / max(1e-6, float(np.hypot(*middle)))
    return along, np.array([-along[1], along[0]])


def _explained_share(ab: np.ndarray, rest: np.ndarray, noise: float = 0.0) -> float:
    """R²: the share of the variance of a*b* (pixels, 2) that is not in the rest, noise of this σ
    taken off both.
    """
    left, all_of_it = (
        sum(float((channel**2).mean()) for channel in x.T) - 2 * noise**2
        for x in (rest, ab - ab.mean(0))
    )
    return float(1 - max(left, 0) / max(all_of_it, 1e-6))


# --- colors beyond it: (H,W), in tolerances


def _own_on_grey(photo: _SmallPhoto) -> np.ndarray:
    tolerance = _GREY_OWN * np.clip((photo.lightness + 16) / 66, 0.85, 1) + 4 * photo.noise
    return _length(photo.ab) / tolerance


def _own_on_print(photo: _SmallPhoto, tint: _Tint, stain: np.ndarray) -> np.ndarray:
    explained = tint.at(photo.lightness) + cv2.resize(stain, photo.known.shape[::-1])
    spot, paper = (
        _beyond(photo.ab, np.array([0, yellow], np.float32))
        for yellow in (_STAIN_YELLOW, _PAPER_YELLOW)
    )
    tolerance = _PRINT_OWN + 4 * photo.noise
    excess = np.minimum(_beyond(photo.ab, explained), spot) / tolerance
    return np.where(_reaching_the_edge(excess > 1), np.minimum(excess, paper / tolerance), excess)


def _beyond(ab: np.ndarray, explained: np.ndarray) -> np.ndarray:
    """Distance from the line between neutral and what is explained: what is paler has no color of
    its own.
    """
    share = (ab * explained).sum(-1) / np.maximum((explained**2).sum(-1), 1e-6)
    return _length(ab - share.clip(0, 1)[..., None] * explained)


def _reaching_the_edge(found: np.ndarray) -> np.ndarray:
    """The connected parts of a map (H,W) that touch the edge of the picture."""
    _, part = cv2.connectedComponents(found.astype(np.uint8))
    edge = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
    return np.isin(part, edge[edge > 0])


def _length(ab: np.ndarray) -> np.ndarray:
    return np.hypot(ab[..., 0], ab[..., 1])


# --- reducing


def _reduced(
    rgb: np.ndarray, mask: np.ndarray | None, small: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Color (H,W,3) in [0,1], black where unknown, and the known share of each pixel (H,W)."""
    if mask is None:  # all of it is known: nothing but the photo is reduced
        color = reduced(rgb, SMALL_PX) if small is None else small
        return to_float(color), np.ones(color.shape[:2], np.float32)
    color = reduced(rgb * ~mask[..., None], SMALL_PX)
    return to_float(color), reduced(1 - mask.astype(np.float32), SMALL_PX)


def _small_photo(color: np.ndarray, weight: np.ndarray) -> _SmallPhoto:
    known = weight > 0.5
    sharp = _lab(color, weight)
    lightness, ab = sharp[..., 0], sharp[..., 1:]
    contrast = _blurred(lightness**2, _BLUR_PX) - _blurred(lightness, _BLUR_PX) ** 2
    noise = 1.4826 * float(np.median(np.abs(ab - _blurred(ab, 1.5))[known])) if known.any() else 0.0
    left = noise / (2 * np.sqrt(np.pi) * _BLUR_PX)  # of white noise, after the blur
    soft_weight = weight if weight.min() == 1 else _blurred(weight, _BLUR_PX)
    lab = _lab(_blurred(color, _BLUR_PX), soft_weight)
    return _SmallPhoto(lab, known, known, contrast, left)


def _lab(color: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if weight.min() < 1:
        color = color / np.maximum(weight, 0.05)[..., None]
    return cv2.cvtColor(color.clip(0, 1), cv2.COLOR_RGB2LAB)


def _inside(size: tuple[int, ...], margin: float) -> np.ndarray:
    inside, width = np.zeros(size, bool), int(margin * min(size))
    inside[width : size[0] - width, width : size[1] - width] = True
    return inside


def _fit_tint(photo: _SmallPhoto) -> _Tint:
    """The median a*b* of each level of lightness; levels that are hardly there are left to their
    neighbors.
    """
    lightness, ab = photo.lightness[photo.counted], photo.ab[photo.counted]
    span = max(float(np.ptp(lightness)), 1e-3)
    level = ((lightness - lightness.min()) / span * (_LEVELS - 0.01)).astype(np.uint8)
    by_level = np.argsort(level, kind="stable")
    ends = np.cumsum(np.bincount(level, minlength=_LEVELS))
    levels = [at for at in np.split(by_level, ends[:-1]) if len(at) >= max(1, len(level) // 300)]
    middle = np.array([_median(lightness[at]) for at in levels])
    channels = np.ascontiguousarray(ab.T)
    tint = np.array([[_median(channel[at]) for channel in channels] for at in levels])
    return _Tint(middle, tint)


def _median(x: np.ndarray) -> np.floating[Any]:
    """Of (n,), as numpy's, which takes longer to begin than to find it among a few thousand."""
    upper = len(x) // 2
    lower = upper - 1 + len(x) % 2
    ordered = np.partition(x, (lower, upper))
    return (ordered[lower] + ordered[upper]) / 2


def _stain(photo: _SmallPhoto, tint: _Tint) -> np.ndarray:
    """What the tint leaves (H,W,2) and is smooth."""
    smooth_px = _STAIN * min(photo.known.shape)
    weight = np.maximum(_blurred(photo.counted.astype(np.float32), smooth_px), 0.05)
    rest = np.zeros_like(photo.ab)
    rest[photo.counted] = tint.rest_of(photo)
    return _blurred(rest, smooth_px) / weight[..., None]


def _interpolated(x: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(x, at, column) for column in values.T], -1).astype(np.float32)


def _blurred(x: np.ndarray, sigma_px: float) -> np.ndarray:
    return cv2.GaussianBlur(x, (0, 0), max(sigma_px, 0.1), borderType=cv2.BORDER_REFLECT)
