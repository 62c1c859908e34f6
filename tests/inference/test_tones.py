"""Pages, drawings, halftones and flat pictures are told from photos."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from aged_prints import SAMPLES as PHOTOS
from aged_prints import grey, jpeg, noisy, rounded

from img2img.inference.tones import classify_tones
from img2img.pixels.images import read_photo
from img2img.resources import inputs_dir

SAMPLES = list(PHOTOS.values())


def page(height: int = 700, width: int = 500, scale: float = 0.5) -> np.ndarray:
    made = np.full((height, width, 3), 250, np.uint8)
    for y in range(int(60 * scale), height - int(40 * scale), int(44 * scale)):
        text = "the quick brown fox jumps over a lazy dog"
        cv2.putText(
            made, text, (20, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA
        )
    return made


def halftone(rgb: np.ndarray, dot_px: int) -> np.ndarray:
    luma = cv2.resize(grey(rgb)[..., 0], None, fx=2, fy=2)
    y, x = np.mgrid[: luma.shape[0], : luma.shape[1]]
    screen = 0.5 + 0.25 * (np.cos(2 * np.pi * x / dot_px) + np.cos(2 * np.pi * y / dot_px))
    return np.where(luma / 255 > screen, 255, 0).astype(np.uint8)[..., None].repeat(3, 2)


def lines(rgb: np.ndarray) -> np.ndarray:
    edges = cv2.Canny(cv2.GaussianBlur(grey(rgb)[..., 0], (0, 0), 1.5), 40, 100)
    return (255 - cv2.dilate(edges, np.ones((2, 2))))[..., None].repeat(3, 2)


def flat(value: int) -> np.ndarray:
    return np.full((300, 400, 3), value, np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        page(),
        jpeg(page(), 60),
        jpeg(noisy(page(), 3), 80),
        page(2400, 1700, 1.2),
        255 - page(),
        halftone(SAMPLES[0], 6),
        jpeg(halftone(SAMPLES[3], 6), 80),
        cv2.GaussianBlur(halftone(SAMPLES[5], 8), (0, 0), 1),
        jpeg(halftone(SAMPLES[8], 10), 60),
        lines(SAMPLES[0]),
        jpeg(lines(SAMPLES[2]), 75),
        read_photo(inputs_dir() / "sketch.png").rgb,
        flat(128),
        flat(3),
        jpeg(noisy(flat(128), 3), 80),
    ],
    ids=[
        "page",
        "jpeg page",
        "noisy page",
        "large page",
        "white on black",
        "halftone",
        "jpeg halftone",
        "blurred halftone",
        "coarse halftone",
        "lines",
        "jpeg lines",
        "sketch",
        "flat",
        "dark flat",
        "nearly flat",
    ],
)
def test_what_is_no_photo_is_not_taken_for_one(picture: np.ndarray) -> None:
    assert classify_tones(picture) != "continuous"


@pytest.mark.parametrize(
    "change",
    [
        grey,
        lambda rgb: noisy(grey(rgb), 15),
        lambda rgb: rounded(grey(rgb) * 0.1),
        lambda rgb: rounded(160 + 0.35 * grey(rgb).astype(float)),
        lambda rgb: jpeg(grey(rgb), 20),
        lambda rgb: cv2.copyMakeBorder(
            grey(rgb), 50, 50, 50, 50, cv2.BORDER_CONSTANT, value=(255, 255, 255)
        ),
    ],
    ids=["grey", "noisy", "dark", "bright", "jpeg", "on white"],
)
def test_grey_photos_have_continuous_tones(change: Callable[[np.ndarray], np.ndarray]) -> None:
    assert [classify_tones(change(rgb)) for rgb in SAMPLES] == ["continuous"] * len(SAMPLES)


def test_masked_pixels_do_not_count() -> None:
    made, mask = page(), np.zeros((700, 500), bool)
    made[100:600, :] = grey(cv2.resize(SAMPLES[0], (500, 500)))
    mask[100:600, :] = True
    assert (classify_tones(made), classify_tones(made, mask)) == ("continuous", "few")
    assert classify_tones(made, np.ones_like(mask)) == "flat"
