"""What the plan sees of colors, size and masks; noise and blocks have tests of their own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2img.inference import statistics as module
from img2img.inference.batch import FileBatch
from img2img.inference.request import Request
from img2img.inference.statistics import statistics
from img2img.pixels.images import Photo, read_photo, write_photo
from img2img.pixels.tint import measure_color
from img2img.resources import samples_dir

SAMPLES = sorted(samples_dir().glob("*.jpg"))
MEASURES = ("measure_color", "measure_noise", "blockiness_255")
SEPIA_DARK, SEPIA_LIGHT = np.array([40, 26, 13]), np.array([255, 240, 200])


def noisy(rgb: np.ndarray, sigma_255: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma_255, rgb.shape)
    return np.clip(np.rint(rgb + noise), 0, 255).astype(np.uint8)


def grey(rgb: np.ndarray) -> np.ndarray:
    return np.rint(rgb @ [0.299, 0.587, 0.114])[..., None].repeat(3, 2).astype(np.uint8)


def sepia(rgb: np.ndarray) -> np.ndarray:
    return np.rint(SEPIA_DARK + (SEPIA_LIGHT - SEPIA_DARK) * (grey(rgb) / 255)).astype(np.uint8)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_tints_are_counted_with_and_without_noise(path: Path) -> None:
    rgb = read_photo(path).rgb
    for sigma in (0, 25):
        made = [noisy(picture, sigma) for picture in (grey(rgb), sepia(rgb), rgb)]
        assert [measure_color(picture).tints for picture in made] == [0, 1, 2]


def test_depth_does_not_matter() -> None:
    rgb = noisy(read_photo(SAMPLES[0]).rgb, 12)
    deep = rgb.astype(np.uint16) * 257
    assert measure_color(deep).tints == measure_color(rgb).tints == 2


def test_masked_pixels_do_not_count() -> None:
    rgb = noisy(np.full((200, 300, 3), 128, np.uint8), 20)
    mask = np.zeros((200, 300), bool)
    mask[40:160, 50:250] = True
    rgb[mask] = (255, 0, 0)
    seen = statistics(Photo(rgb), mask)
    assert seen.has_mask
    assert seen.tints == 0
    assert seen.noise_sigma_255 == pytest.approx(20, rel=0.3)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (11, 300)])
def test_tiny_pictures_are_no_problem(size: tuple[int, int]) -> None:
    seen = statistics(Photo(np.full((*size, 3), 90, np.uint8)))
    assert (seen.width, seen.height) == size[::-1]
    assert seen.tints == 0
    assert seen.noise_sigma_255 == pytest.approx(0, abs=0.01)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each measure is taken."""
    counts: Counter[str] = Counter()

    def counted(name: str) -> None:
        measure = getattr(module, name)

        def call(*arguments: Any) -> Any:
            counts[name] += 1
            return measure(*arguments)

        monkeypatch.setattr(module, name, call)

    for name in (*MEASURES, "classify_tones"):
        counted(name)
    return counts


@pytest.mark.usefixtures("zoo")
def test_each_measure_is_taken_once_a_photo_and_none_that_decides_nothing(
    measured: Counter[str], tmp_path: Path
) -> None:
    rgb = read_photo(SAMPLES[0]).rgb[:80, :90]
    for name, picture in {"color.png": rgb, "other.png": rgb[::-1], "grey.png": grey(rgb)}.items():
        write_photo(tmp_path / "in" / name, Photo(np.ascontiguousarray(picture)))
    done = list(FileBatch([str(tmp_path / "in")], output=str(tmp_path / "out")).run())
    assert [result.error for result in done] == [None] * 3
    assert measured == {**dict.fromkeys(MEASURES, 3), "classify_tones": 1}, "tones of the grey one"
    measured.clear()
    mask = np.zeros(rgb.shape[:2], bool)
    mask[20:40, 30:50] = True
    assert Request().resolve().plan(Photo(rgb), mask).tasks == "inpaint"
    assert not measured, "a mask says what is wanted"


def test_two_colors_told_apart_by_lightness_are_not_a_tint() -> None:
    rgb = np.full((200, 200, 3), (200, 0, 0), np.uint8)
    rgb[:, 100:] = (0, 0, 200)
    assert measure_color(rgb).tints == 2
