"""Whatever a mask looks like, what a person marked is filled, and what cannot be meant is refused
in words.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from img2img.errors import UserError
from img2img.inference.pipeline import as_mask
from img2img.pixels.images import read_mask
from img2img.pixels.masks import grow

SIZE = (60, 40)  # width, height
BOX = (12, 8, 29, 21)  # both corners inside
HOLE = np.zeros((40, 60), bool)
HOLE[8:22, 12:30] = True
RED, BLUE = (255, 0, 0), (0, 0, 255)


def drawn(mode: str, ground: Any, ink: Any) -> Image.Image:
    image = Image.new(mode, SIZE, ground)
    ImageDraw.Draw(image).rectangle(BOX, fill=ink)
    return image


def palette(*colors: tuple[int, int, int], index: int = 1) -> Image.Image:
    image = drawn("P", 0, index)
    image.putpalette([level for color in colors for level in color])
    return image


def numbers(dtype: Any, ground: float, ink: float) -> np.ndarray:
    return np.where(HOLE, ink, ground).astype(dtype)


def deep(ground: int, ink: int) -> Image.Image:
    return Image.fromarray(numbers(np.uint16, ground, ink))


def clear_palette() -> Image.Image:
    image = palette(RED, RED)
    image.info["transparency"] = 0
    return image


FORMS: dict[str, Callable[[], Image.Image]] = {
    "1 alpha, black strokes": lambda: drawn("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)),
    "1 alpha, white on white": lambda: drawn("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)),
    "1 alpha, faint strokes": lambda: drawn("RGBA", (0, 0, 0, 0), (200, 30, 30, 90)),
    "1 grey and alpha": lambda: drawn("LA", (0, 0), (0, 255)),
    "1 palette with a clear color": clear_palette,
    "2 class colors": lambda: palette((0, 0, 0), (128, 0, 0)),
    "2 class colors, black and red turned": lambda: palette((255, 0, 0), (0, 0, 0)),
    "2 many class colors": lambda: palette(*[(0, 0, 0)] * 5, (64, 0, 128), index=5),
    "3 zero and one": lambda: drawn("L", 0, 1),
    "3 zero and 255": lambda: drawn("L", 0, 255),
    "3 one bit": lambda: drawn("1", 0, 1),
    "3 zero and one at 16 bits": lambda: deep(0, 1),
    "3 zero and 65535": lambda: deep(0, 65535),
    "3 red on black": lambda: drawn("RGB", (0, 0, 0), RED),
    "3 grey palette": lambda: palette((0, 0, 0), (9, 9, 9)),
    "3 opaque RGBA": lambda: drawn("RGBA", (0, 0, 0, 255), (255, 255, 255, 255)),
    "4 grey": lambda: drawn("L", 20, 200),
    "4 dark ground is no soft edge": lambda: drawn("L", 120, 255),
    "4 grey at 16 bits": lambda: deep(9000, 40000),
    "4 grey in RGB": lambda: drawn("RGB", (3, 3, 3), (250, 250, 250)),
    "5 blue on white": lambda: drawn("RGB", (255, 255, 255), BLUE),
    "5 red on grey": lambda: drawn("RGB", (128, 128, 128), RED),
    "5 white on blue": lambda: drawn("RGB", BLUE, (255, 255, 255)),
}


@pytest.mark.parametrize("name", FORMS)
def test_what_is_marked_is_to_be_filled(tmp_path: Path, name: str) -> None:
    image = FORMS[name]()
    path = tmp_path / "mask.png"
    image.save(path, **({"transparency": 0} if "transparency" in image.info else {}))
    np.testing.assert_array_equal(read_mask(path, SIZE, must_mark=True), HOLE)
    np.testing.assert_array_equal(as_mask(image, SIZE), HOLE)


@pytest.mark.parametrize(
    "mask",
    [
        HOLE,
        *(
            numbers(dtype, 0, 1)
            for dtype in (np.uint8, np.int64, np.uint16, np.float32, np.float64)
        ),
        *(numbers(dtype, 0, 255) for dtype in (np.uint8, np.int32, np.float32)),
        numbers(np.uint16, 700, 65000),
        numbers(np.float32, 0.3, 0.7),
        numbers(np.uint8, 0, 1)[None],
        numbers(np.uint8, 0, 255)[..., None],
        np.dstack([numbers(np.uint8, 255, 0)] * 2 + [numbers(np.uint8, 255, 255)]),
        np.dstack([numbers(np.uint8, 0, 0)] * 3 + [numbers(np.uint8, 0, 255)]),
        torch.from_numpy(numbers(np.float32, 0.1, 0.9))[None, None],
        torch.from_numpy(HOLE),
    ],
    ids=lambda m: f"{m.dtype} {tuple(m.shape)} {m.max()}",
)
def test_arrays_and_tensors_are_read_alike(mask: Any) -> None:
    np.testing.assert_array_equal(as_mask(mask, SIZE), HOLE)


@pytest.mark.parametrize(
    "bad", [np.full((40, 60), np.nan), np.zeros((40, 60), "U1"), np.zeros((40, 60, 7))]
)
def test_arrays_that_are_no_mask_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(UserError, match="mask"):
        as_mask(bad, SIZE)


# --- the order


def test_alpha_goes_before_colors_and_an_even_alpha_says_nothing(tmp_path: Path) -> None:
    image = drawn("RGBA", (255, 255, 255, 0), (0, 0, 0, 255))
    np.testing.assert_array_equal(as_mask(image, SIZE), HOLE)
    image.putalpha(254)
    np.testing.assert_array_equal(as_mask(image, SIZE), ~HOLE, "white, then")


def test_a_palette_of_greys_is_read_by_its_greys() -> None:
    image = palette((255, 255, 255), (0, 0, 0))
    np.testing.assert_array_equal(as_mask(image, SIZE), ~HOLE)
    np.testing.assert_array_equal(
        as_mask(palette((255, 255, 254), (0, 90, 0)), SIZE), HOLE, "a color: by its index"
    )


def test_a_palette_with_a_color_counts_by_its_index_though_only_greys_are_used() -> None:
    image = palette((0, 0, 0), (128, 128, 128), (50, 50, 50), (128, 0, 0))
    image.putpixel((13, 9), 2)
    np.testing.assert_array_equal(as_mask(image, SIZE), HOLE)
    colored = drawn(
        "P", 2, 1
    )  # no index 0: there is nothing to tell ground from mark but the greys
    colored.putpalette([9, 90, 9, 250, 250, 250, 3, 3, 3])
    np.testing.assert_array_equal(as_mask(colored, SIZE), HOLE)


def test_a_mask_that_is_transparent_throughout_marks_nothing_whatever_it_hides(
    tmp_path: Path,
) -> None:
    hidden = drawn("RGBA", (0, 0, 0, 0), (255, 255, 255, 0))
    hidden.save(tmp_path / "mask.png")
    with pytest.raises(UserError, match=r"marks nothing \(read as transparency"):
        read_mask(tmp_path / "mask.png", SIZE, must_mark=True)
    with pytest.raises(UserError, match="marks nothing"):
        as_mask(np.asarray(hidden), SIZE)


def test_two_values_go_before_white() -> None:
    dim = numbers(np.uint8, 0, 100)
    np.testing.assert_array_equal(as_mask(dim, SIZE), HOLE)
    dim[0, 0] = 3
    with pytest.raises(
        UserError, match=r"marks nothing \(read as grey: white \(above 127\) = fill, and its values"
    ):
        as_mask(dim, SIZE)


def test_numbers_are_the_files_own_whatever_its_profile_says(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    drawn("L", 0, 1).save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", SIZE), HOLE)


# --- soft edges


def smooth_disc(lift: float = 0.0, blur_px: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """An anti-aliased disc in [0,1], and each pixel's distance from its rim, positive inside."""
    y, x = np.mgrid[:80, :90]
    inside = 25 - np.hypot(y - 40.3, x - 45.2)
    return np.clip(inside / blur_px + 0.5, 0, 1) * (1 - lift) + lift, inside


@pytest.mark.parametrize(
    "kind", ["grey", "deep", "alpha", "red on black", "blue on white", "float"]
)
@pytest.mark.parametrize("blur_px", [1.0, 6.0])
def test_soft_edges_belong_to_the_hole(kind: str, blur_px: float) -> None:
    cover, _ = smooth_disc(blur_px=blur_px)
    level = np.rint(cover * 255).astype(np.uint8)
    nothing = np.zeros_like(level)
    forms = {
        "grey": level,
        "deep": np.rint(cover * 65535).astype(np.uint16),
        "alpha": np.dstack([nothing, nothing, nothing, level]),
        "red on black": np.dstack([level, nothing, nothing]),
        "blue on white": np.dstack([255 - level, 255 - level, nothing + 255]),
        "float": cover.astype(np.float32),
    }
    hole = as_mask(forms[kind], (90, 80))
    assert hole is not None
    assert hole[level > 8].all(), "not a hairline is left"
    assert not hole[level == 0].any()


def test_a_bright_ground_is_not_the_edge_of_what_stands_on_it() -> None:
    cover, inside = smooth_disc(lift=0.4)
    hole = as_mask(np.rint(cover * 255).astype(np.uint8), (90, 80))
    assert hole is not None
    assert hole[inside > 0].all()
    assert not hole[inside < -2].any()


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize(
    "colors", [((0, 0, 0), (255, 255, 255)), ((255, 255, 255), BLUE), ((0, 0, 0), RED)]
)
def test_jpeg_masks_mark_what_was_drawn(
    tmp_path: Path, quality: int, colors: tuple[Any, Any]
) -> None:
    image = Image.new("RGB", (160, 120), colors[0])
    ImageDraw.Draw(image).ellipse((40, 30, 110, 90), fill=colors[1])
    truth = (np.asarray(image) == colors[1]).all(2)
    image.save(tmp_path / "a.jpg", quality=quality)
    hole = read_mask(tmp_path / "a.jpg", (160, 120), must_mark=True)
    assert hole[truth].mean() > 0.995
    assert not hole[~grow(truth, 16)].any(), (
        "an echo of the edge at most, within a block of the codec"
    )


# --- what cannot be meant


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (
            drawn("L", 0, 0),
            "marks nothing (read as grey: white (above 127) = fill, "
            "and its values are 0 to 0 of 255)",
        ),
        (drawn("L", 255, 255), "marks everything, which leaves nothing to fill from (read as grey"),
        (drawn("RGBA", (255, 0, 0, 0), (255, 0, 0, 0)), "marks nothing"),
        (
            drawn("RGB", BLUE, BLUE),
            "marks nothing (read as colors: what is not the background rgb(0,0,255) = fill)",
        ),
        (palette((0, 0, 0), RED, (0, 0, 0)).point(lambda _: 2), "marks nothing"),
        (drawn("1", 1, 1), "marks everything"),
    ],
    ids=lambda v: v if isinstance(v, str) else v.mode,
)
def test_empty_and_full_masks_are_refused_with_what_was_read_and_what_is_expected(
    tmp_path: Path, image: Image.Image, said: str
) -> None:
    image.save(tmp_path / "a.png")
    for read in (
        lambda: read_mask(tmp_path / "a.png", SIZE, must_mark=True),
        lambda: as_mask(image, SIZE),
    ):
        with pytest.raises(UserError) as refused:
            read()
        assert said in str(refused.value)
        assert str(refused.value).endswith(
            "draw white on black, opaque strokes on transparent, or a color on a plain background"
        )


def test_a_size_that_would_fit_when_turned_names_the_exif_rotation(tmp_path: Path) -> None:
    drawn("L", 0, 255).save(tmp_path / "a.png")
    turned = r"mask is 60x40, photo is 40x60: turned by 90° it would fit, .*EXIF rotation"
    for read in (lambda: read_mask(tmp_path / "a.png", (40, 60)), lambda: as_mask(HOLE, (40, 60))):
        with pytest.raises(UserError, match=turned):
            read()
    with pytest.raises(UserError) as refused:
        read_mask(tmp_path / "a.png", (40, 61))
    assert "EXIF" not in str(refused.value)
