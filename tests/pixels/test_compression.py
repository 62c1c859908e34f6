"""JPEG's blocks are found wherever their grid begins; mild compression is not taken for strong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from img2img.pixels import degrade
from img2img.pixels.compression import PLAIN_BLOCKS_255, blockiness_255
from img2img.pixels.images import read_photo
from img2img.resources import samples_dir

SAMPLES = sorted(samples_dir().glob("*.jpg"))[::3]


def compressed(path: Path, quality: int) -> np.ndarray:
    rgb = degrade.jpeg(read_photo(path).rgb.astype(np.float32) / 255, quality)
    return np.rint(rgb * 255).astype(np.uint8)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_strong_compression_shows_and_mild_does_not(path: Path) -> None:
    assert blockiness_255(read_photo(path).rgb) < 1
    measured = [blockiness_255(compressed(path, quality)) for quality in (10, 20, 75, 85, 95)]
    assert [blocks >= PLAIN_BLOCKS_255 for blocks in measured] == [
        True, True, False, False, False
    ]  # fmt: skip


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_the_grid_is_found_in_crops_frames_masks_and_enlargements(path: Path) -> None:
    rgb = compressed(path, 10)
    whole = blockiness_255(rgb)
    for top, left in ((1, 0), (3, 5), (7, 6)):
        assert blockiness_255(rgb[top:, left:]) == pytest.approx(whole, rel=0.15)
    framed = np.full((rgb.shape[0] + 200, rgb.shape[1] + 300, 3), 250, np.uint8)
    framed[101:-99, 149:-151] = rgb
    assert blockiness_255(framed) == pytest.approx(whole, rel=0.2)
    for factor in (2, 3):
        large = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        assert blockiness_255(large) >= PLAIN_BLOCKS_255
    mask = np.zeros(rgb.shape[:2], bool)
    mask[:, rgb.shape[1] // 2 :] = True
    rgb[mask] = 0
    assert blockiness_255(rgb, mask) >= PLAIN_BLOCKS_255


def test_depth_does_not_matter_and_a_large_photo_is_judged_by_windows() -> None:
    rgb = np.tile(compressed(SAMPLES[0], 10)[:256, :256], (6, 6, 1))
    deep = rgb.astype(np.uint16) * 257
    assert blockiness_255(rgb) == pytest.approx(blockiness_255(deep), rel=0.01)
    assert blockiness_255(rgb[5:, 3:]) == pytest.approx(blockiness_255(rgb), rel=0.15)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (11, 300), (40, 40)])
def test_tiny_and_flat_pictures_have_no_blocks(size: tuple[int, int]) -> None:
    assert blockiness_255(np.full((*size, 3), 90, np.uint8)) == 0
