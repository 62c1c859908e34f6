"""Colors of a photo's own are found however small or dark they are; tints, stains and paper are not
taken for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from aged_prints import (
    BLUE,
    GREEN,
    PINK,
    RED,
    SAMPLES,
    SOME,
    TONES,
    YELLOW,
    Change,
    aged,
    captioned,
    framed,
    grey,
    hand_tinted,
    jpeg,
    noisy,
    rounded,
    toned,
    with_disc,
    with_text,
)

from img2img.pixels.tint import measure_color


@pytest.mark.parametrize("exposure", [0.12, 0.1])
def test_a_color_photo_is_one_however_dark(exposure: float) -> None:
    found = {name: measure_color(rounded(rgb * exposure)).tints for name, rgb in SAMPLES.items()}
    assert found == dict.fromkeys(SAMPLES, 2)


OWN: dict[str, Change] = {
    "a red disc on 1.4 % of a grey photo": lambda rgb: with_disc(grey(rgb), 0.014, RED),
    "and darkened": lambda rgb: rounded(with_disc(grey(rgb), 0.014, RED) * 0.12),
    "and on black": lambda rgb: with_disc(rounded(grey(rgb) * 0.1), 0.014, (60, 8, 8)),
    "a blue disc on 0.3 %": lambda rgb: with_disc(grey(rgb), 0.003, BLUE),
    "a green one": lambda rgb: with_disc(grey(rgb), 0.003, GREEN),
    "a pink one, blurred": lambda rgb: with_disc(grey(rgb), 0.006, PINK, blur_px=3),
    "an orange date on 0.4 %": lambda rgb: with_text(grey(rgb), "'98 7 24", (255, 140, 30), 0.004),
    "and as JPEG": lambda rgb: jpeg(with_text(grey(rgb), "'98 7 24", (255, 140, 30), 0.004), 75),
    "and on sepia": lambda rgb: with_text(toned(rgb, "sepia"), "'98 7 24", (255, 140, 30), 0.004),
    "a blue caption on a white margin": captioned,
    "a yellow disc on sepia": lambda rgb: with_disc(toned(rgb, "sepia"), 0.004, YELLOW),
    "a red disc on an aged print": lambda rgb: with_disc(aged(rgb), 0.004, (190, 40, 40)),
    "a blue disc on an aged print": lambda rgb: with_disc(aged(rgb), 0.004, (60, 90, 160)),
    "a red disc on a cyanotype": lambda rgb: with_disc(toned(rgb, "cyanotype"), 0.004, RED),
    "cheeks tinted by hand": hand_tinted,
}


@pytest.mark.parametrize("change", OWN.values(), ids=OWN)
def test_a_small_area_of_color_makes_a_color_photo(change: Change) -> None:
    for name in SOME:
        found = measure_color(change(SAMPLES[name]))
        assert found.tints == 2
        assert found.share >= 0.002


def test_what_was_seen_has_a_size_and_a_name() -> None:
    for color, name in ((RED, "red"), (BLUE, "blue"), (GREEN, "green"), (YELLOW, "yellow")):
        found = measure_color(with_disc(grey(SAMPLES["polar_bear"]), 0.02, color))
        assert found.hue == name
        assert found.share == pytest.approx(0.02, rel=0.4)


def test_a_photo_of_one_hue_is_told_from_one_of_many() -> None:
    assert measure_color(with_disc(grey(SAMPLES["cat"]), 0.02, BLUE)).one_hue
    assert not measure_color(SAMPLES["macaw"]).one_hue


def test_less_than_can_be_seen_is_no_color() -> None:
    assert measure_color(with_disc(grey(SAMPLES["cat"]), 0.0004, RED)).tints == 0


GREY: dict[str, Change] = {
    "clean": grey,
    "bright": lambda rgb: rounded(160 + 0.35 * grey(rgb).astype(float)),
    "dark": lambda rgb: rounded(grey(rgb) * 0.1),
    "noisy": lambda rgb: noisy(grey(rgb), 10),
    "very noisy": lambda rgb: noisy(grey(rgb), 25),
    "noisy JPEG": lambda rgb: jpeg(noisy(grey(rgb), 5), 20),
    "slightly off grey": lambda rgb: rounded(grey(rgb) * [1, 0.995, 0.985]),
    "on white": lambda rgb: framed(grey(rgb), 0.1, (255, 255, 255)),
    "on black": lambda rgb: framed(grey(rgb), 0.1, (0, 0, 0)),
}


@pytest.mark.parametrize("change", GREY.values(), ids=GREY)
def test_grey_photos_have_no_color(change: Change) -> None:
    assert [measure_color(change(SAMPLES[name])).tints for name in SOME] == [0] * len(SOME)


@pytest.mark.parametrize("tone", TONES)
def test_a_tone_that_follows_from_luminance_is_a_tint_whatever_its_hue(tone: str) -> None:
    assert [measure_color(toned(SAMPLES[name], tone)).tints for name in SOME] == [1] * len(SOME)


@pytest.mark.parametrize("margin", [(255, 255, 255), (0, 0, 0), (238, 226, 190)])
def test_margins_are_no_color(margin: tuple[int, int, int]) -> None:
    for share, name in ((0.05, "coffee"), (0.12, "pagoda"), (0.12, "astronaut")):
        assert (
            measure_color(jpeg(framed(toned(SAMPLES[name], "sepia"), share, margin), 85)).tints == 1
        )


def test_stains_fading_and_paper_leave_a_print_one() -> None:
    made = [aged(SAMPLES[name], seed) for seed, name in enumerate(SOME)]
    assert [measure_color(picture).tints for picture in made] == [1] * len(SOME)
    assert [measure_color(jpeg(picture, 80)).tints for picture in made] == [1] * len(SOME)


def snow() -> np.ndarray:
    """A snow field in color: bluish shadows, a warm sky, dark trees that are green."""
    y, x = np.mgrid[:300, :400] / 300
    shade = 0.5 + 0.5 * np.sin(9 * x + 5 * y * y)
    made = np.where((y > 0.4)[..., None], (205, 215, 232) + 20 * shade[..., None], (228, 222, 214))
    made = np.where(((np.sin(40 * x) > 0.6) & (abs(y - 0.4) < 0.12))[..., None], (48, 56, 46), made)
    return noisy(made, 2)


def garment() -> np.ndarray:
    """A black garment with grey print on a beige floor with joints."""
    y, x = np.mgrid[:400, :300]
    floor = np.array([196, 184, 162]) * (0.85 + 0.15 * x / 300)[..., None]
    floor = np.where(((x % 97 < 2) | (y % 89 < 2))[..., None], (120, 110, 95), floor)
    cloth = np.array([24, 25, 28]) + 14 * (np.sin(x / 9 + y / 17)[..., None] > 0)
    made = np.where(((x > 70) & (x < 230) & (y > 60) & (y < 340))[..., None], cloth, floor)
    made[180:210, 120:180] = (128, 128, 130)
    return noisy(made, 2)


@pytest.mark.parametrize("make", [snow, garment])
def test_a_muted_photo_in_color_is_not_taken_for_a_tint(make: Callable[[], np.ndarray]) -> None:
    assert measure_color(make()).tints == 2
    assert measure_color(jpeg(make(), 80)).tints == 2


def test_masked_pixels_do_not_count() -> None:
    made, mask = grey(SAMPLES["koala"]), np.zeros(SAMPLES["koala"].shape[:2], bool)
    mask[40:160, 50:250] = True
    made[mask] = RED
    assert (measure_color(made).tints, measure_color(made, mask).tints) == (2, 0)
    assert (
        measure_color(made, np.ones_like(mask)).tints == 2
    )  # nothing is known: nothing is taken away


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_depth_and_size_do_not_matter(dtype: Any) -> None:
    full = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    for change, tints in ((grey, 0), (aged, 1), (OWN["an orange date on 0.4 %"], 2)):
        small = change(SAMPLES["pagoda"])
        large = cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
        for made in (small, large):
            assert measure_color((made / 255 * full).astype(dtype)).tints == tints
