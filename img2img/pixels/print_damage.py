"""How prints go bad in drawers: scratches, hairs, dust, cracks, folds, torn corners and stains,
drawn over float RGB (H,W,3) in [0,1]; each a pure function of its generator.

Lengths are in units of `unit_px`, which is what a thin scratch is wide: about 1 px in a small scan
of a print, and 3 in a large one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from img2img.pixels import degrade

Picture = np.ndarray
Cover = np.ndarray
"""(H,W) float32 in [0,1]: how much of the print is covered."""

_FINER = 2  # strokes are drawn this much larger, so that widths come in halves of a pixel
_SEEN_255 = 20.0  # change of a pixel that counts as damage: what is fainter is lost in the grain
_COVERED = 0.15
_WORN_PX = 160  # side of the square in which so much dust lies as is drawn, on the mean


class DamagedPrint(NamedTuple):
    """A print before and after, as scanned, and where the damage is."""

    truth: Picture
    damaged: Picture
    mask: np.ndarray
    """(H,W) bool: pixels whose own content is gone."""


class DamageLayer(NamedTuple):
    """What lies on the print, or is gone from it."""

    cover: Cover
    light: bool
    """Bare paper, or dust on the negative; else dirt, ink, or a scratch of the negative."""


DrawKind = Callable[[tuple[int, int], float, np.random.Generator, bool], DamageLayer]
"""(height, width), unit in px, chance, and whether this print's damage is mostly light."""


def damaged_print(
    rgb: Picture, rng: np.random.Generator, unit_px: tuple[float, float], undamaged_share: float = 0
) -> DamagedPrint:
    """A photo as an old print with grain, then damaged, then scanned (slight blur, JPEG).

    `unit_px` is the range of a thin scratch's width, drawn log-uniformly; on `undamaged_share` of
    the prints nothing is drawn but what is no damage.
    """
    truth = old_print(rgb, rng)
    unit = float(np.exp(rng.uniform(*np.log(unit_px))))
    kinds = [draw for chance, draw in KINDS.values() if rng.random() < chance] or [dust, scratches]
    worn = worn_print(truth, rng, unit, [] if rng.random() < undamaged_share else kinds)
    damaged = worn.damaged
    if rng.random() < 0.5:
        damaged = degrade.blur(damaged, rng.uniform(0.3, 0.7))
    if rng.random() < 0.8:
        damaged = degrade.jpeg(damaged, int(rng.integers(50, 97)))
    return DamagedPrint(truth, damaged.clip(0, 1), worn.mask)


def old_print(rgb: Picture, rng: np.random.Generator) -> Picture:
    """Half of the photos grey or toned (sepia), some faded, most with grain."""
    draw = rng.random()
    if draw < 0.6:
        grey = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
        tone = np.array([1.0, rng.uniform(0.86, 0.97), rng.uniform(0.6, 0.9)], np.float32)
        # A toned print is the paper's color in its lights and brown, not black, in its shadows.
        exponents = 1 / tone if draw < 0.35 else np.ones(3, np.float32)
        paper = tone ** rng.uniform(0, 0.6) if draw < 0.35 else np.ones(3, np.float32)
        rgb = grey[..., None].clip(0, 1) ** exponents * paper
    if rng.random() < 0.3:
        low, high = rng.uniform(0, 0.2), rng.uniform(0.75, 1)
        rgb = low + (high - low) * rgb
    if rng.random() < 0.7:
        grain = degrade.correlated_noise(
            np.zeros((*rgb.shape[:2], 1), np.float32)[..., 0],
            rng.uniform(1, 14),
            rng,
            rng.uniform(0.4, 1.2),
        )
        rgb = rgb + grain[..., None]
    return rgb.astype(np.float32).clip(0, 1)


def worn_print(
    rgb: Picture, rng: np.random.Generator, unit_px: float, kinds: Sequence[DrawKind]
) -> DamagedPrint:
    """The print with these kinds of damage; `mask` is where its own content can no longer be seen.

    Faint stains, which a fifth of all prints has, change it too, but are no damage to be filled.
    """
    size = (rgb.shape[0], rgb.shape[1])
    stained = _stained(rgb, rng) if rng.random() < 0.2 else rgb
    picture, covered = stained, np.zeros(size, np.float32)
    mostly_light = rng.random() < 0.75
    for draw in kinds:
        layer = draw(size, unit_px, rng, mostly_light)
        picture = _painted(picture, layer, rng)
        covered = np.maximum(covered, layer.cover)
    # One channel after the other: many times faster than along a last axis of three.
    change = cv2.split(np.abs(picture - stained))
    changed = np.maximum(np.maximum(*change[:2]), change[2]) > _SEEN_255 / 255
    mask = (changed & (covered > _COVERED)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return DamagedPrint(rgb, picture.clip(0, 1), mask.astype(bool))


# --- the kinds of damage, each a layer


def scratches(
    size: tuple[int, int], unit: float, rng: np.random.Generator, light: bool
) -> DamageLayer:
    """Thin, long, nearly straight and faint; some in bundles."""
    canvas = _Canvas(size)
    for _ in range(int(rng.integers(1, 4))):
        heading, count = rng.uniform(0, math.pi), 1 if rng.random() < 0.7 else rng.integers(2, 6)
        start = rng.uniform(-0.2, 1.0, 2) * size[::-1]
        for _ in range(int(count)):
            begin = start + rng.normal(0, 8 * unit, 2) * (count > 1)
            length = rng.uniform(0.2, 1.3) * max(size)
            path = _path(begin, heading + rng.normal(0, 0.02), length, rng, wander=0.01)
            width = unit * rng.uniform(0.5, 1.3) * _uneven(len(path), rng, 0.25)
            opacity = rng.uniform(0.35, 1.0) * _broken(len(path), rng, rng.uniform(0, 0.4))
            canvas.draw(path, width, opacity)
    return DamageLayer(canvas.cover(), light if rng.random() < 0.7 else not light)


def cracks(
    size: tuple[int, int], unit: float, rng: np.random.Generator, light: bool
) -> DamageLayer:
    """Jagged, branching breaks of the emulsion, mostly down to the paper."""
    canvas = _Canvas(size)

    def branch(begin: np.ndarray, heading: float, length: float, width: float, depth: int) -> None:
        path = _path(begin, heading, length, rng, wander=0.35, jagged=True)
        taper = np.linspace(1, rng.uniform(0.2, 1), len(path))
        widths = width * taper * _uneven(len(path), rng, 0.45)
        canvas.draw(path, widths, _broken(len(path), rng, rng.uniform(0, 0.35)))
        for _ in range(int(rng.poisson(length / (40 * unit))) if depth else 0):
            place = path[int(rng.integers(len(path)))]
            turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.5)
            branch(place, heading + turn, length * rng.uniform(0.2, 0.7), width * 0.7, depth - 1)

    many = math.exp(rng.uniform(math.log(0.4), math.log(8)))
    for _ in range(1 + int(rng.poisson(many))):
        begin = rng.uniform(0, 1, 2) * size[::-1]
        length = unit * math.exp(rng.uniform(math.log(20), math.log(250)))
        branch(begin, rng.uniform(0, 2 * math.pi), length, unit * rng.uniform(0.5, 1.8), 2)
    return DamageLayer(canvas.cover(), light or rng.random() < 0.6)


def fold(size: tuple[int, int], unit: float, rng: np.random.Generator, light: bool) -> DamageLayer:
    """A straight crease across the print, its emulsion broken off in bits."""
    canvas = _Canvas(size)
    across = rng.random() < 0.5
    heading = (0 if across else math.pi / 2) + rng.normal(0, 0.12)
    if rng.random() < 0.25:  # a dog-ear
        heading = rng.uniform(0, math.pi)
    middle = rng.uniform(0.05, 0.95, 2) * size[::-1]
    reach = 1.5 * max(size)
    begin = middle - reach / 2 * np.array([math.cos(heading), math.sin(heading)])
    path = _path(begin, heading, reach, rng, wander=0.01)
    width = unit * rng.uniform(0.6, 2.0)
    for side in (0.0, *rng.normal(0, width, int(rng.integers(0, 4)))):
        along = path + side * np.array([-math.sin(heading), math.cos(heading)])
        jitter = np.stack([_noise(len(path), rng, 2.0), _noise(len(path), rng, 2.0)], 1)
        widths = width * (1 if side == 0 else 0.5) * _uneven(len(path), rng, 0.6)
        canvas.draw(
            along + 0.4 * width * jitter, widths, _broken(len(path), rng, rng.uniform(0, 0.6))
        )
    return DamageLayer(canvas.cover(), light or rng.random() < 0.8)


def hairs(size: tuple[int, int], unit: float, rng: np.random.Generator, light: bool) -> DamageLayer:
    """Short curled fibres, on the print or on the scanner's glass."""
    canvas = _Canvas(size)
    for _ in range(1 + int(rng.poisson(1.5))):
        begin = rng.uniform(0, 1, 2) * size[::-1]
        curl = rng.normal(0, 0.08)
        length = unit * rng.uniform(15, 90)
        path = _path(begin, rng.uniform(0, 7), length, rng, wander=0.08, curl=curl)
        opacity = rng.uniform(0.4, 1) * np.ones(len(path))
        canvas.draw(path, unit * rng.uniform(0.5, 1.1) * np.ones(len(path)), opacity)
    return DamageLayer(canvas.cover(), light if rng.random() < 0.6 else not light)


def dust(size: tuple[int, int], unit: float, rng: np.random.Generator, light: bool) -> DamageLayer:
    """Specks of 1 to 6 units: round, long, ragged; few or very many."""
    canvas = _Canvas(size)
    mean = float(np.exp(rng.uniform(math.log(2), math.log(60))))
    count = int(rng.poisson(mean * size[0] * size[1] / _WORN_PX**2))
    for _ in range(min(count, 4000)):
        axes = unit * np.exp(rng.normal(-0.5, 0.5)) * np.array([1, rng.uniform(0.4, 1)])
        canvas.speck(
            rng.uniform(0, 1, 2) * size[::-1], axes, rng.uniform(0, 360), rng.uniform(0.4, 1)
        )
    return DamageLayer(canvas.cover(), light if rng.random() < 0.8 else not light)


def blotches(
    size: tuple[int, int], unit: float, rng: np.random.Generator, light: bool
) -> DamageLayer:
    """Emulsion flaked off, mould and spilt ink: ragged spots, opaque inside."""
    cover = np.zeros(size, np.float32)
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    ragged = _clouds(size, rng, 6 * unit)
    for _ in range(1 + int(rng.poisson(1.5))):
        x, y = rng.uniform(0, 1, 2) * size[::-1]
        radius = unit * np.exp(rng.uniform(math.log(3), math.log(18)))
        squeeze = rng.uniform(0.5, 1.0)
        away = np.hypot(columns - x, (rows - y) / squeeze) / radius
        edge = _edge(away - 1 + 0.45 * ragged, 1 / rng.uniform(8, 30))
        cover = np.maximum(cover, edge)
    return DamageLayer(
        cover * np.float32(rng.uniform(0.75, 1)), light if rng.random() < 0.7 else not light
    )


def torn(size: tuple[int, int], unit: float, rng: np.random.Generator, light: bool) -> DamageLayer:
    """A corner or an edge gone, ragged, with a rim of bare paper."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    inwards = np.array([math.cos(angle), math.sin(angle)])
    corner = np.where(inwards > 0, 0.0, size[::-1])
    away = (columns - corner[0]) * inwards[0] + (rows - corner[1]) * inwards[1]
    depth = rng.uniform(0.03, 0.25) * min(size)
    ragged = _clouds(size, rng, 10 * unit) + 0.5 * _clouds(size, rng, 3 * unit)
    return DamageLayer(_edge(away - depth + 2.5 * unit * ragged, 0.7), light or rng.random() < 0.5)


KINDS: dict[str, tuple[float, DrawKind]] = {
    "blotches": (0.15, blotches),
    "cracks": (0.35, cracks),
    "fold": (0.25, fold),
    "scratches": (0.35, scratches),
    "hairs": (0.15, hairs),
    "dust": (0.55, dust),
    "torn": (0.07, torn),
}
"""Each with its share of the damaged prints; what is torn lies on top."""


# --- how they are drawn


class _Canvas:
    """Strokes and specks of uneven opacity, drawn larger and reduced."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.levels = np.zeros((size[0] * _FINER, size[1] * _FINER), np.uint8)

    def draw(self, path: np.ndarray, width: np.ndarray, opacity: np.ndarray) -> None:
        """A line through points (N,2) of x and y, px; width in px and opacity at each of them."""
        points = np.rint(path * _FINER).astype(int).clip(-9999, 9999)
        thick = np.rint(width * _FINER).astype(int)
        levels = np.rint(opacity.clip(0, 1) * 255).astype(int)
        limit = np.array(self.levels.shape[::-1]) + 8
        inside = ((points > -8) & (points < limit)).all(1)
        for index in np.flatnonzero(
            (inside[:-1] | inside[1:]) & (levels[:-1] > 0) & (thick[:-1] > 0)
        ):
            begin, end = points[index], points[index + 1]
            ends = (int(begin[0]), int(begin[1])), (int(end[0]), int(end[1]))
            cv2.line(self.levels, *ends, int(levels[index]), int(thick[index]))

    def speck(self, at: np.ndarray, axes: np.ndarray, turn: float, opacity: float) -> None:
        """An ellipse around x and y, half axes in px."""
        x, y = (round(float(n) * _FINER) for n in at)
        half = max(1, round(float(axes[0]) * _FINER)), max(0, round(float(axes[1]) * _FINER))
        cv2.ellipse(self.levels, (x, y), half, turn, 0, 360, round(255 * opacity), -1)

    def cover(self) -> Cover:
        soft = cv2.resize(self.levels, self.size[::-1], interpolation=cv2.INTER_AREA)
        return soft.astype(np.float32) / 255


def _path(
    begin: np.ndarray,
    heading: float,
    length: float,
    rng: np.random.Generator,
    *,
    wander: float,
    curl: float = 0.0,
    jagged: bool = False,
) -> np.ndarray:
    """(N,2) points of x and y, 3 px apart, whose heading wanders by so many radians a step: off,
    or, where jagged, to and fro around the first one.
    """
    steps = max(2, round(length / 3))
    turns = rng.normal(curl, wander, steps)
    if jagged:
        # It turns at few places, and back again.
        turns = np.where(rng.random(steps) < 0.4, 2.2 * turns, 0.25 * turns)
        headings = heading + _noise(steps, rng, 6.0) * 0.35 + turns
    else:
        headings = heading + np.cumsum(turns)
    moves = 3 * np.stack([np.cos(headings), np.sin(headings)], 1)
    return begin + np.concatenate([np.zeros((1, 2)), np.cumsum(moves, 0)])


def _noise(count: int, rng: np.random.Generator, smooth: float) -> np.ndarray:
    """(N,) smooth noise of variance 1."""
    rough = rng.standard_normal((count, 1))
    soft = cv2.GaussianBlur(rough, (0, 0), sigmaX=1e-3, sigmaY=smooth)[:, 0]
    return ((soft - soft.mean()) / max(float(soft.std()), 1e-6)).clip(-3, 3)


def _uneven(count: int, rng: np.random.Generator, amount: float) -> np.ndarray:
    """(N,) factors around 1, of a width that swells and thins out."""
    return np.exp(amount * _noise(count, rng, rng.uniform(1, 8)) - amount**2 / 2)


def _broken(count: int, rng: np.random.Generator, gaps: float) -> np.ndarray:
    """(N,) opacity along a line of which a share is interrupted."""
    level = _noise(count, rng, rng.uniform(1.5, 10))
    threshold = np.quantile(level, gaps) if gaps else -np.inf
    return np.where(level < threshold, 0, 1 - 0.3 * rng.random(count))


def _clouds(size: tuple[int, int], rng: np.random.Generator, coarse_px: float) -> np.ndarray:
    """(H,W) noise of variance 1 with details from `coarse_px` down."""
    total = np.zeros(size, np.float32)
    px, weight = max(coarse_px, 2.0), 1.0
    while px >= 2:
        grid = tuple(max(2, math.ceil(n / px) + 1) for n in size)
        noise = rng.standard_normal(grid, dtype=np.float32)
        larger = cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
        total, px, weight = total + np.float32(weight) * larger, px / 2, weight * 0.6
    return total / max(float(total.std()), 1e-6)


def _edge(away: np.ndarray, soft_px: float) -> Cover:
    """1 where `away` is below 0, px, falling to 0 above."""
    return (1 / (1 + np.exp((away / soft_px).clip(-30, 30)))).astype(np.float32)


def _painted(picture: Picture, layer: DamageLayer, rng: np.random.Generator) -> Picture:
    """The picture under a layer of bare paper or of dirt."""
    grey = np.array_equal(picture[..., 0], picture[..., 2]) and rng.random() < 0.7  # so scanned
    if layer.light:
        color = np.array([1, rng.uniform(0.92, 1), rng.uniform(0.8, 1)]) * rng.uniform(0.82, 1)
    else:
        color = rng.uniform(0, 0.22) + rng.uniform(0, 0.06, 3)
    color = np.full(3, color.mean()) if grey else color
    texture = 0.03 * _clouds((picture.shape[0], picture.shape[1]), rng, 4.0)
    paint = (color + texture[..., None]).astype(np.float32)
    cover = layer.cover[..., None]
    return picture * (1 - cover) + paint * cover


def _stained(rgb: Picture, rng: np.random.Generator) -> Picture:
    """With a water stain: slightly darker and yellower, most at its rim; all shows through."""
    size = (rgb.shape[0], rgb.shape[1])
    level = _clouds(size, rng, max(size) / 2) - rng.uniform(0, 1.5)
    inside = _edge(-level, 1 / 30)
    rim = np.exp(-((level * 12) ** 2))
    amount = (rng.uniform(0.04, 0.18) * inside + rng.uniform(0, 0.15) * rim)[..., None]
    tint = np.array([0.35, 0.6, 1.0]) if rng.random() < 0.7 else np.ones(3)
    return (rgb * (1 - amount * tint)).astype(np.float32)
