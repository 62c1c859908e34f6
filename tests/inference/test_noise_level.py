"""Noise is told from texture: in frames, in grey, correlated or white; and clean photos are left
alone.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from img2img.inference.noise_level import Noise, measure_noise
from img2img.inference.statistics import statistics
from img2img.pixels import degrade
from img2img.pixels.images import Photo, read_photo
from img2img.resources import inputs_dir, samples_dir
from img2img.tasks.denoise import Denoise

SAMPLES = sorted(samples_dir().glob("*.jpg"))
SMOOTH = [
    samples_dir() / f"{name}.jpg" for name in ("cat", "rocket", "petra", "chameleon", "lemurs")
]
SIDE = 0.4  # a frame's, of the picture's
NOTHING = Noise()


def bytes_of(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def floats_of(path: Path) -> np.ndarray:
    return read_photo(path).rgb.astype(np.float32) / 255


def noisy(rgb: np.ndarray, sigma_255: float, *, grey: bool = False) -> np.ndarray:
    """White noise, of its own in each channel unless grey; clipped and rounded, as a file is."""
    noise = np.random.default_rng(0).normal(0, sigma_255, rgb.shape)
    return bytes_of(rgb + (noise[..., :1] if grey else noise) / 255)


def grainy(rgb: np.ndarray, sigma_255: float, blur_px: float) -> np.ndarray:
    """Film grain: correlated, and the same in all channels."""
    noise = degrade.correlated_noise(
        np.zeros_like(rgb), sigma_255, np.random.default_rng(0), blur_px
    )
    return bytes_of(rgb + noise[..., :1])


def framed(
    rgb: np.ndarray, color: tuple[int, int, int], sides: tuple[int, int, int, int]
) -> np.ndarray:
    """The picture (H,W,3) with margins of a color, top, bottom, left and right, in pixels."""
    top, bottom, left, right = sides
    made = np.full((rgb.shape[0] + top + bottom, rgb.shape[1] + left + right, 3), color, rgb.dtype)
    made[top : top + rgb.shape[0], left : left + rgb.shape[1]] = rgb
    return made


def proposed(rgb: np.ndarray) -> str | None:
    return Denoise().applies(statistics(Photo(rgb)))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_white_noise_is_measured_and_clean_photos_are_left_alone(path: Path) -> None:
    rgb = floats_of(path)
    assert proposed(bytes_of(rgb)) is None
    for sigma in (10, 15, 25):
        measured = measure_noise(noisy(rgb, sigma))
        assert measured.sigma_255 == pytest.approx(sigma, rel=0.2)
        assert not measured.correlated


@pytest.mark.parametrize("path", SMOOTH, ids=lambda p: p.stem)
def test_grey_photos_and_weak_noise(path: Path) -> None:
    rgb = floats_of(path)
    grey = rgb.mean(2, keepdims=True).repeat(3, 2)
    assert measure_noise(noisy(grey, 15, grey=True)).sigma_255 == pytest.approx(15, rel=0.2)
    assert measure_noise(noisy(rgb, 5)).sigma_255 == pytest.approx(5, rel=0.2)
    assert measure_noise(noisy(rgb * 0.15, 10)).sigma_255 == pytest.approx(
        10, rel=0.3
    )  # night: half of it is clipped


@pytest.mark.parametrize(
    "sides", [(60, 60, 0, 0), (0, 0, 200, 200), (90, 90, 120, 120), (6, 6, 6, 6), (0, 150, 0, 0)]
)
@pytest.mark.parametrize(
    "color",
    [
        (0, 0, 0),
        (16, 16, 16),
        (30, 26, 24),
        (255, 255, 255),
        (250, 246, 235),
        (128, 128, 128),
        (40, 90, 200),
    ],
)
def test_noise_is_heard_inside_any_flat_frame(
    color: tuple[int, int, int], sides: tuple[int, int, int, int]
) -> None:
    picture = noisy(floats_of(SMOOTH[0]), 20)
    assert measure_noise(framed(picture, color, sides)).sigma_255 == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize("own", [0.7, 2.0, 4.0])
def test_bars_with_noise_of_their_own_do_not_hide_the_picture(own: float) -> None:
    picture = noisy(floats_of(SMOOTH[0]), 20)
    bars = noisy(
        framed(np.zeros_like(picture), (16, 16, 16), (80, 80, 60, 60)) / np.float32(255), own
    )
    bars[80:-80, 60:-60] = picture
    assert measure_noise(bars).sigma_255 == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize("edge_px", [1, 8])
def test_rounded_corners_and_soft_edges(edge_px: int) -> None:
    picture = noisy(floats_of(SMOOTH[0]), 20).astype(np.float32)
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    outside = np.hypot(2 * y / height - 1, 2 * x / width - 1) > 1.05
    share = cv2.GaussianBlur(1 - outside.astype(np.float32), (0, 0), edge_px)[..., None]
    shown = np.rint(picture * share + 245 * (1 - share)).astype(np.uint8)
    assert measure_noise(shown).sigma_255 == pytest.approx(20, rel=0.2)


@pytest.mark.parametrize("path", SMOOTH, ids=lambda p: p.stem)
def test_a_burnt_out_half_says_nothing(path: Path) -> None:
    rgb = floats_of(path)
    rgb[: len(rgb) // 2] = 1.4
    assert measure_noise(noisy(rgb, 20)).sigma_255 == pytest.approx(20, rel=0.25)
    assert proposed(bytes_of(rgb)) is None


@pytest.mark.parametrize("color", [(16, 16, 16), (250, 246, 235)])
@pytest.mark.parametrize("path", SAMPLES[::3], ids=lambda p: p.stem)
def test_a_frame_makes_no_clean_photo_noisy(path: Path, color: tuple[int, int, int]) -> None:
    assert proposed(framed(read_photo(path).rgb, color, (70, 70, 90, 90))) is None


@pytest.mark.parametrize("blur_px", [0.5, 0.8, 1.2])
def test_grain_is_heard_where_a_photo_is_not_texture_throughout(blur_px: float) -> None:
    measured = [measure_noise(grainy(floats_of(path), 8, blur_px)) for path in SAMPLES]
    strengths = [noise.sigma_255 for noise in measured if noise.correlated]
    assert len(strengths) >= 16  # the others are fields, walls and fur
    assert strengths == pytest.approx([8] * len(strengths), rel=0.45)
    assert np.median(strengths) == pytest.approx(8, rel=0.2)


@pytest.mark.parametrize("path", SMOOTH, ids=lambda p: p.stem)
def test_noise_is_heard_through_a_camera(path: Path) -> None:
    """Demosaicked, so correlated, and encoded as a JPEG, which halves color."""
    shot = degrade.correlated_noise(floats_of(path), 10, np.random.default_rng(0), 0.7)
    assert "grainy" in str(proposed(bytes_of(degrade.jpeg(shot, 80))))


def test_grain_of_a_shipped_scan_is_heard() -> None:
    assert "grainy" in str(proposed(read_photo(inputs_dir() / "found_scan.png").rgb))


@pytest.mark.parametrize("path", SAMPLES[::2], ids=lambda p: p.stem)
def test_what_people_do_to_clean_photos_is_not_noise(path: Path) -> None:
    rgb = floats_of(path)
    height, width = rgb.shape[:2]
    half = cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    sharpened = rgb + 0.7 * (rgb - cv2.GaussianBlur(rgb, (0, 0), 1.0))
    for made in (
        half,
        cv2.resize(half, (width, height), interpolation=cv2.INTER_CUBIC),
        sharpened,
        rgb * 0.2,
        rgb.mean(2, keepdims=True).repeat(3, 2),
        *(degrade.jpeg(rgb, quality) for quality in (75, 85, 95)),
    ):
        assert proposed(bytes_of(made)) is None


def halftone(rgb: np.ndarray, pitch_px: int) -> np.ndarray:
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] * (2 * np.pi / pitch_px)
    threshold = (np.cos(x) * np.cos(y) + 1) / 2
    return (rgb.mean(2) > threshold)[..., None].repeat(3, 2).astype(np.float32)


def cloth(pitch_px: int) -> np.ndarray:
    y, x = np.mgrid[:400, :400] * (2 * np.pi / pitch_px)
    weave = 0.5 + 0.06 * np.cos(x) * np.cos(y) + 0.04 * np.cos(x + y)
    return (weave[..., None] * np.array([0.9, 0.5, 0.4])).astype(np.float32)


def test_patterns_are_not_noise() -> None:
    page = np.full((400, 400, 3), 255, np.uint8)
    for row in range(20, 380, 12):
        cv2.putText(
            page, "The quick brown fox jumps over the lazy dog", (8, row), 0, 0.45, (0, 0, 0)
        )
    patterns = [
        page / np.float32(255),
        *(halftone(floats_of(SMOOTH[0]), pitch) for pitch in (4, 6)),
        *map(cloth, (3, 4, 7)),
    ]
    assert [proposed(bytes_of(pattern)) for pattern in patterns] == [None] * len(patterns)


def test_depth_does_not_matter() -> None:
    rgb = noisy(floats_of(SMOOTH[0]), 12)
    deep = measure_noise(rgb.astype(np.uint16) * 257)
    assert deep.sigma_255 == pytest.approx(measure_noise(rgb).sigma_255, rel=0.01)


def test_a_large_photo_is_judged_by_windows_of_it() -> None:
    rgb = noisy(np.full((300, 2600, 3), 0.5, np.float32), 20)
    assert measure_noise(rgb).sigma_255 == pytest.approx(20, rel=0.1)
    assert measure_noise(rgb) == measure_noise(rgb)


def test_masked_pixels_do_not_count() -> None:
    rgb = noisy(floats_of(SMOOTH[0]), 20)
    mask = np.zeros(rgb.shape[:2], bool)
    mask[: len(mask) // 2] = True
    rgb[mask] = np.random.default_rng(0).integers(0, 256, (int(mask.sum()), 3), np.uint8)
    assert measure_noise(rgb, mask).sigma_255 == pytest.approx(20, rel=0.15)
    assert measure_noise(rgb, np.ones_like(mask)) == NOTHING


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (11, 300), (40, 40)])
def test_tiny_and_flat_pictures_are_no_problem(size: tuple[int, int]) -> None:
    assert measure_noise(np.full((*size, 3), 90, np.uint8)) == NOTHING
