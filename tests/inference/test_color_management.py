"""Photos whose numbers are not sRGB: networks see sRGB, results and guarantees are in the file's
own numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from made_profiles import (
    NAMES,
    SRGB,
    dot_gain_profile,
    grey_profile,
    icc_profile,
    lightness,
    lightness_in,
    numbers_of,
    rgb_profile,
    table_profile,
)
from PIL import Image

from img2img.inference.batch import FileBatch
from img2img.inference.options import Options
from img2img.inference.pipeline import Model, load
from img2img.inference.request import Request
from img2img.inference.statistics import statistics
from img2img.pixels.color import downscale
from img2img.pixels.images import Photo, as_srgb, quantise, read_photo, to_float, write_photo
from img2img.pixels.masks import grow

DEPTHS = [np.uint8, np.uint16]


@pytest.fixture(scope="session")
def models(tiny_model: Callable[[str], Path]) -> dict[str, Model]:
    names = ("denoise", "super_resolve_x2", "colorize", "inpaint", "edges2clothes")
    return {name: load(tiny_model(name), precision="fp32") for name in names}


@pytest.fixture(scope="module")
def grey(photos: list[np.ndarray]) -> np.ndarray:
    """(96,96,3) sRGB floats, a real photo without its colors, from black to white."""
    grey = photos[0].astype(np.float64).mean(2, keepdims=True).repeat(3, 2) / 255
    return (grey - grey.min()) / np.ptp(grey)


def in_space(name: str, srgb: np.ndarray, dtype: type = np.uint8) -> Photo:
    return Photo(quantise(numbers_of(name, srgb).astype(np.float32), dtype), icc=rgb_profile(name))


def colorfulness(photo: Photo) -> float:
    """Hasler and Süsstrunk 2003, equation 2, of the photo in sRGB."""
    r, g, b = np.moveaxis(to_float(as_srgb(photo).rgb) * 255, -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_grey_photo_gets_the_same_colors_in_every_space_and_keeps_its_lightness(
    models: dict[str, Model], grey: np.ndarray, name: str, dtype: type
) -> None:
    photo = in_space(name, grey, dtype)
    made = models["colorize"].run(photo)
    reference = models["colorize"].run(Photo(quantise(grey.astype(np.float32), dtype)))
    coarse = (
        name == "linear" and dtype == np.uint8
    )  # in 8 bits of linear light, shadows have few colors
    assert colorfulness(made) == pytest.approx(
        colorfulness(reference), rel=0.06 if coarse else 0.03
    )
    assert made.icc == photo.icc
    off = lightness_in(name, to_float(made.rgb)) - lightness_in(name, to_float(photo.rgb))
    assert np.abs(off).max() <= 0.5
    assert np.abs(to_float(as_srgb(made).rgb) - to_float(reference.rgb)).mean() < 0.01


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("exponent", [1.0, 0.45455])
def test_lightness_is_kept_through_a_png_gamma(
    models: dict[str, Model], grey: np.ndarray, exponent: float, dtype: type
) -> None:
    chunk = (b"gAMA", round(exponent * 1e5).to_bytes(4, "big"))
    photo = Photo(quantise(grey.astype(np.float32), dtype), color_chunks=(chunk,))
    made = models["colorize"].run(photo)
    before, after = (
        lightness(
            lambda x: x ** (1 / exponent), np.array([0.2126, 0.7152, 0.0722]), to_float(p.rgb)
        )
        for p in (photo, made)
    )
    assert np.abs(after - before).max() <= 0.5
    assert made.color_chunks == photo.color_chunks


@pytest.mark.parametrize("name", ["prophoto", "p3", "adobe", "rec2020"])
def test_colorizing_keeps_the_lightness_of_colors_outside_srgb(
    models: dict[str, Model], name: str
) -> None:
    photo = Photo(
        np.random.default_rng(0).integers(0, 65536, (40, 50, 3), np.uint16), icc=rgb_profile(name)
    )
    made = models["colorize"].run(photo)
    off = lightness_in(name, to_float(made.rgb)) - lightness_in(name, to_float(photo.rgb))
    assert np.abs(off).max() <= 0.5


@pytest.mark.parametrize("profile", [grey_profile(2.2), grey_profile(1.8), dot_gain_profile()])
def test_a_grey_profile_is_gone_back_through(
    models: dict[str, Model], profile: bytes, tmp_path: Path
) -> None:
    ramp = np.tile(np.arange(64, 192, dtype=np.uint8), (64, 1))
    photo = Photo(np.dstack([ramp] * 3), icc=profile, is_grey=True)
    same = models["denoise"].run(photo, options=Options(strength=0))
    np.testing.assert_array_equal(same.rgb, photo.rgb)
    changed = models["denoise"].run(photo)
    assert changed.is_grey
    assert (changed.rgb != photo.rgb).any()
    colored = models["colorize"].run(photo)
    assert not colored.is_grey
    for name, made in (("a.png", changed), ("b.png", colored), ("c.webp", changed)):
        write_photo(tmp_path / name, made, quality=100)
        again = read_photo(tmp_path / name)
        np.testing.assert_array_equal(again.rgb, made.rgb)
        assert again.icc is not None
        assert again.icc[16:20] == (b"GRAY" if name == "a.png" else b"RGB ")
        seen, meant = (
            again.color.to_srgb(to_float(again.rgb)),
            made.color.to_srgb(to_float(made.rgb)),
        )
        assert np.abs(seen - meant).max() < 1e-3


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("profile", [*map(rgb_profile, NAMES), table_profile()])
def test_what_is_not_changed_is_bit_for_bit_the_files_own(
    models: dict[str, Model], profile: bytes, dtype: type
) -> None:
    """Whatever the numbers: most of these are colors outside sRGB."""
    pixels = np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, (64, 70, 3), dtype, endpoint=True
    )
    pixels[:8], pixels[8:16] = 0, np.iinfo(dtype).max
    photo, mask = Photo(pixels, icc=profile), np.zeros((64, 70), bool)
    mask[20:40, 10:60] = True
    filled = models["inpaint"].run(photo, mask)
    np.testing.assert_array_equal(filled.rgb[~mask], pixels[~mask])
    assert (filled.rgb[mask] != pixels[mask]).any()
    np.testing.assert_array_equal(
        models["denoise"].run(photo, options=Options(strength=0)).rgb, pixels
    )
    assert filled.icc == profile


@pytest.mark.parametrize("name", NAMES)
def test_an_enlarged_photo_scaled_down_agrees_with_its_input_in_its_own_numbers(
    models: dict[str, Model], photos: list[np.ndarray], name: str
) -> None:
    photo = in_space(name, photos[1] / 255)
    made = models["super_resolve_x2"].run(photo, options=Options(strength=0.02)).rgb
    back = (
        downscale(torch.from_numpy(to_float(made)).permute(2, 0, 1)[None], 2)[0]
        .permute(1, 2, 0)
        .numpy()
    )
    clipped = ((made == 0) | (made == 255)).any(2).reshape(96, 2, 96, 2).any((1, 3))
    assert np.abs(back - to_float(photo.rgb)).max(2)[~grow(clipped, 4)].max() * 255 <= 2


@pytest.mark.parametrize("name", ["prophoto", "p3"])
def test_a_hole_in_a_color_outside_srgb_is_filled_with_that_color(
    models: dict[str, Model], name: str
) -> None:
    """The purest green there is; clipped to sRGB, its first number would be off by 60 of 255."""
    photo, mask = (
        Photo(np.zeros((64, 64, 3), np.uint8), icc=rgb_profile(name)),
        np.zeros((64, 64), bool),
    )
    photo.rgb[:] = (10, 220, 20)
    mask[20:44, 20:44] = True
    made = models["inpaint"].run(photo, mask, Options(strength=0))
    assert np.abs(made.rgb.astype(int) - photo.rgb).max() <= 4


@pytest.mark.parametrize("profile", [rgb_profile("adobe"), rgb_profile("linear"), table_profile()])
def test_what_lay_in_a_hole_has_no_part_in_its_fill(
    models: dict[str, Model], photos: list[np.ndarray], profile: bytes
) -> None:
    """Nor does a number there that its profile's table cannot show."""
    rgb = photos[0].astype(np.uint16) * 257
    hole = np.zeros(rgb.shape[:2], bool)
    hole[20:40, 10:30] = True
    made = []
    for color in ([0, 65535, 0], [65535, 0, 30000]):
        painted = rgb.copy()
        painted[hole] = color
        made.append(models["inpaint"].run(Photo(painted, icc=profile), hole).rgb)
    np.testing.assert_array_equal(*made)


def test_statistics_see_srgb(photos: list[np.ndarray]) -> None:
    expected = statistics(Photo(photos[2]))
    for name in ("prophoto", "p3", "adobe", "rec2020"):
        found = statistics(in_space(name, photos[2] / 255, np.uint16))
        assert found.tints == expected.tints
        assert found.noise_sigma_255 == pytest.approx(expected.noise_sigma_255, abs=0.5)


def test_a_chain_keeps_the_description_and_a_grey_photo_grey(zoo: Path, grey: np.ndarray) -> None:
    photo = in_space("prophoto", grey, np.uint16)
    photo.rgb[:] = photo.rgb[..., :1]
    options = Options(strength=0.2)
    request = Request(("denoise", "colorize"), options=options, device="cpu", precision="fp32")
    chain = request.resolve().plan(photo)
    made = chain.run(photo)
    assert made.icc == photo.icc
    denoised = replace(chain, steps=chain.steps[:1]).run(photo)
    off = lightness_in("prophoto", to_float(made.rgb)) - lightness_in(
        "prophoto", to_float(denoised.rgb)
    )
    assert np.abs(off).max() <= 0.5
    assert (denoised.rgb[..., 0] == denoised.rgb[..., 1]).all()
    assert (denoised.rgb[..., 1] == denoised.rgb[..., 2]).all()


def test_painted_colors_are_srgb_whatever_the_photo_is(
    models: dict[str, Model], grey: np.ndarray
) -> None:
    layer = np.zeros((96, 96, 4), np.uint8)
    layer[30:60, 30:60] = (220, 30, 30, 255)
    made = [
        models["colorize"](image, hints=Image.fromarray(layer))
        for image in (
            picture(in_space("prophoto", grey)),
            picture(Photo(quantise(grey.astype(np.float32), np.uint8))),
        )
    ]
    own, plain = (
        as_srgb(Photo(np.array(image), icc=image.info.get("icc_profile"))).rgb for image in made
    )
    assert np.abs(own[35:55, 35:55].astype(int) - plain[35:55, 35:55]).max() <= 8
    assert made[0].info["icc_profile"] == rgb_profile("prophoto")


def picture(photo: Photo) -> Image.Image:
    image = Image.fromarray(photo.rgb)
    if photo.icc:
        image.info["icc_profile"] = photo.icc
    return image


def test_srgb_photos_are_what_they_were_before(
    models: dict[str, Model], photos: list[np.ndarray]
) -> None:
    for name in ("denoise", "colorize", "super_resolve_x2"):
        plain, said = (models[name].run(Photo(photos[3], icc=icc)).rgb for icc in (None, SRGB))
        np.testing.assert_array_equal(plain, said)


def test_a_photo_in_pq_is_worked_on_as_it_is(
    models: dict[str, Model], photos: list[np.ndarray]
) -> None:
    chunks = ((b"cICP", bytes((9, 16, 0, 1))),)
    made = models["denoise"].run(Photo(photos[3], color_chunks=chunks))
    np.testing.assert_array_equal(made.rgb, models["denoise"].run(Photo(photos[3])).rgb)
    assert made.color_chunks == chunks


def test_a_profile_without_a_matrix_serves_too(models: dict[str, Model], grey: np.ndarray) -> None:
    """Numbers that are L*, a*, b*: what LittleCMS does with 8 bits is all that is known of them."""
    flat = np.full((48, 48, 3), 128, np.uint8)
    flat[..., 0] = quantise(grey[:48, :48, 0].astype(np.float32), np.uint8)
    made = models["colorize"].run(Photo(flat, icc=table_profile()))
    inner = (flat[..., 0] > 25) & (flat[..., 0] < 230)
    assert np.abs(made.rgb[..., 0].astype(int) - flat[..., 0])[inner].max() <= 4
    assert np.ptp(made.rgb[..., 1:]) > 10


# --- grey in, grey out


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "16.png", "16.tif", "la.png", "f.tif"])
def test_a_grey_file_comes_back_grey_at_its_depth(
    zoo: Path, tmp_path: Path, grey: np.ndarray, name: str
) -> None:
    dtype = {"1": np.uint16, "f": np.float32}.get(name[0], np.uint8)
    plane = grey[..., 0].astype(np.float32) * 0.8
    pixels = plane if dtype == np.float32 else quantise(plane, dtype)
    photo = Photo(np.dstack([pixels] * 3), pixels if name == "la.png" else None, is_grey=True)
    write_photo(tmp_path / name, photo)
    done = list(
        FileBatch(
            [str(tmp_path / name)],
            Request(("denoise",), device="cpu"),
            str(tmp_path / f"out.{name}"),
        ).run()
    )
    assert done[0].error is None
    made = read_photo(tmp_path / f"out.{name}")
    assert made.is_grey
    assert made.rgb.dtype == dtype
    assert (made.alpha is None) == (name != "la.png")
    assert not np.array_equal(made.rgb, photo.rgb)
    colored = list(FileBatch([str(tmp_path / name)], Request(("colorize",), device="cpu")).run())
    assert not read_photo(str(colored[0].output)).is_grey


def test_a_16_bit_grey_tiff_is_a_grey_16_bit_tiff_again(
    zoo: Path, tmp_path: Path, grey: np.ndarray
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        quantise(grey[..., 0].astype(np.float32), np.uint16),
        photometric="minisblack",
    )
    list(FileBatch([str(tmp_path / "a.tif")], Request(("denoise",), device="cpu")).run())
    stored = tifffile.imread(tmp_path / "a.denoise.tif")
    assert (stored.shape, stored.dtype) == ((96, 96), np.uint16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_arrays_keep_their_shape_where_they_stay_grey(
    models: dict[str, Model], grey: np.ndarray, dtype: type
) -> None:
    pixels = quantise(grey[:40, :48, 0].astype(np.float32), dtype)
    for shape in ((40, 48), (40, 48, 1)):
        assert models["denoise"](pixels.reshape(shape)).shape == shape
        assert models["denoise"](pixels.reshape(shape)).dtype == dtype
        assert models["super_resolve_x2"](pixels.reshape(shape)).shape == (80, 96, *shape[2:])
        assert models["colorize"](pixels.reshape(shape)).shape == (40, 48, 3)
    rgb = np.dstack([pixels] * 3)
    np.testing.assert_array_equal(
        models["denoise"](rgb), np.dstack([models["denoise"](pixels)] * 3)
    )


@pytest.mark.parametrize(
    ("mode", "dtype"), [("L", np.uint8), ("I;16", np.uint16), ("F", np.float32)]
)
def test_grey_pillow_images_keep_their_mode_where_they_stay_grey(
    models: dict[str, Model], grey: np.ndarray, mode: str, dtype: type
) -> None:
    image = Image.fromarray(quantise(grey[:40, :48, 0].astype(np.float32), dtype))
    assert image.mode == mode
    made = models["denoise"](image)
    assert (made.mode, made.size) == (mode, (48, 40))
    np.testing.assert_array_equal(np.asarray(made), models["denoise"](np.asarray(image)))
    assert models["colorize"](image).mode == "RGB"


def test_a_grey_picture_with_alpha_is_la_again(models: dict[str, Model]) -> None:
    assert models["denoise"](Image.new("LA", (32, 32), (90, 200))).mode == "LA"


# --- the command line's road


def test_what_a_format_cannot_keep_is_said(
    zoo: Path, tmp_path: Path, photos: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    write_photo(
        tmp_path / "a.tif", Photo(photos[0].astype(np.float32) / 255, icc=rgb_profile("prophoto"))
    )
    request = Request(("denoise",), device="cpu")
    list(FileBatch([str(tmp_path / "a.tif")], request, str(tmp_path / "b.png")).run())
    assert "rounded to 16 bits" in caplog.text
    assert read_photo(tmp_path / "b.png").rgb.dtype == np.uint16
    caplog.clear()
    list(FileBatch([str(tmp_path / "a.tif")], request, str(tmp_path / "b.bmp")).run())
    assert "rounded to 8 bits" in caplog.text
    assert "converted to sRGB" in caplog.text
    caplog.clear()
    list(FileBatch([str(tmp_path / "a.tif")], request).run())
    assert caplog.text == ""
    assert read_photo(tmp_path / "a.denoise.tif").rgb.dtype == np.float32


def test_a_primary_no_light_can_show_is_no_trouble(
    models: dict[str, Model], photos: list[np.ndarray]
) -> None:
    """A profile whose colorants do not add up to white: numbers alike are a tint, which must not be
    taken for grey.
    """
    curve, xyz = b"curv\0\0\0\0\0\0\0\0", (0.3, 0.2, 0.05)
    tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    for place, key in enumerate((b"rXYZ", b"gXYZ", b"bXYZ")):
        values = [round(v * 65536 * (1 + (place == i))) for i, v in enumerate(xyz)]
        tags[key] = b"XYZ \0\0\0\0" + b"".join(v.to_bytes(4, "big") for v in values)
    photo = Photo(photos[0][..., :1].repeat(3, 2), icc=icc_profile(b"mntr", b"RGB ", b"XYZ ", tags))
    assert not photo.color.keeps_neutral
    assert models["denoise"].run(photo).rgb.shape == photo.rgb.shape
