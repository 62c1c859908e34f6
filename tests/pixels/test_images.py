"""The one door for pixels: files in and out at their own depth, upright, with what they carry; and
plain errors.
"""

from __future__ import annotations

import os
import struct
import threading
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from made_profiles import SRGB, black_only_profile, grey_profile
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from img2img.errors import UserError
from img2img.pixels import codecs
from img2img.pixels.images import (
    Photo,
    as_srgb,
    decode_rgb8,
    from_array,
    from_pil,
    lost_in,
    output_format,
    photo_suffixes,
    quantise,
    read_mask,
    read_photo,
    to_array,
    to_float,
    to_pil,
    write_photo,
)

ORIENTATION, MAKE, DATE, EXIF_IFD, GPS_IFD, MAKER_NOTE = (
    0x0112,
    0x010F,
    0x9003,
    0x8769,
    0x8825,
    0x927C,
)


def noise(
    dtype: type, channels: int = 3, size: tuple[int, int] = (23, 17), seed: int = 0
) -> np.ndarray:
    """(H,W,channels), or (H,W) for one channel, using the full range of `dtype`; (width, height) is
    odd on purpose.
    """
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def camera_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "ACME"
    exif[EXIF_IFD] = {
        DATE: "2024:02:03 04:05:06",
        MAKER_NOTE: b"secret sauce " * 3,
        0xA002: 999,
        0xA003: 888,
    }
    exif[GPS_IFD] = {1: "N", 2: (46.0, 57.0, 1.5)}
    return exif


def with_thumbnail(exif: Image.Exif, thumbnail: bytes) -> bytes:
    """The block with a second directory pointing at an embedded JPEG, as cameras write it."""
    block = bytearray(exif.tobytes()[6:])
    (count,) = struct.unpack_from(">H" if block[:2] == b"MM" else "<H", block, 8)
    order = ">" if block[:2] == b"MM" else "<"
    block += b"\0" * (len(block) % 2)
    struct.pack_into(order + "I", block, 10 + 12 * count, len(block))
    picture_at = len(block) + 2 + 24 + 4
    block += struct.pack(
        order + "HHHIIHHIII", 2, 0x201, 4, 1, picture_at, 0x202, 4, 1, len(thumbnail), 0
    )
    return b"Exif\0\0" + bytes(block) + thumbnail


# --- round trips


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(suffix, np.uint8) for suffix in (".png", ".tif", ".webp", ".tga", ".jp2")]
    + [(".png", np.uint16), (".tiff", np.uint16)],
)
def test_lossless_formats_return_every_bit(
    tmp_path: Path, suffix: str, dtype: type, alpha: bool
) -> None:
    rgb, cover = noise(dtype), noise(dtype, 1, seed=1) if alpha else None
    path = tmp_path / f"photo{suffix}"
    write_photo(path, Photo(rgb, cover), quality=100)
    photo = read_photo(path)
    assert photo.rgb.dtype == dtype
    np.testing.assert_array_equal(photo.rgb, rgb)
    assert (photo.alpha is None) == (not alpha)
    if alpha:
        np.testing.assert_array_equal(photo.alpha, cover)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_we_write_other_programs_read(tmp_path: Path, suffix: str, dtype: type) -> None:
    rgba = noise(dtype, 4, (300, 2000))  # tall enough for several TIFF strips
    write_photo(
        tmp_path / f"p{suffix}",
        Photo(rgba[..., :3], rgba[..., 3], exif=camera_exif().tobytes(), icc=SRGB),
    )
    path = str(tmp_path / f"p{suffix}")
    seen: Any = (
        tifffile.imread(path) if suffix == ".tif" else cv2.imread(path, cv2.IMREAD_UNCHANGED)
    )
    np.testing.assert_array_equal(seen if suffix == ".tif" else seen[..., [2, 1, 0, 3]], rgba)
    with Image.open(tmp_path / f"p{suffix}") as image:
        image.load()
        assert image.size == (300, 2000)


def test_a_webp_stays_lossless_and_a_lossy_one_is_flagged(tmp_path: Path) -> None:
    rgb = noise(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.webp", lossless=True, exact=True, icc_profile=SRGB)
    Image.fromarray(rgb).save(tmp_path / "b.webp", quality=80)
    photo = read_photo(tmp_path / "a.webp")
    assert not photo.lossy
    assert read_photo(tmp_path / "b.webp").lossy
    write_photo(tmp_path / "c.webp", photo)
    np.testing.assert_array_equal(read_photo(tmp_path / "c.webp").rgb, rgb)
    Image.fromarray(rgb).save(tmp_path / "d.tif", compression="jpeg")
    assert read_photo(tmp_path / "d.tif").lossy


def test_jpeg_is_written_at_quality_95_without_chroma_subsampling(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", Photo(noise(np.uint8)))
    with Image.open(tmp_path / "a.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]
        reference = BytesIO()
        Image.fromarray(noise(np.uint8)).save(reference, "JPEG", quality=95)
        with Image.open(reference) as wanted:
            assert image.quantization == wanted.quantization  # type: ignore[attr-defined]


def test_16_bit_becomes_8_by_rounding_where_the_format_has_no_more(tmp_path: Path) -> None:
    rgb = np.full((8, 8, 3), 257 * 100 + 200, np.uint16)  # nearer to 101 than to 100
    write_photo(tmp_path / "a.bmp", Photo(rgb))
    assert (read_photo(tmp_path / "a.bmp").rgb == 101).all()


def test_floats_are_written_with_8_bits_unless_16_are_asked_for(tmp_path: Path) -> None:
    photo = Photo(np.full((4, 4, 3), 0.5, np.float32))
    write_photo(tmp_path / "a.png", photo)
    write_photo(tmp_path / "b.png", photo, bits=16)
    assert read_photo(tmp_path / "a.png").rgb.dtype == np.uint8
    assert (read_photo(tmp_path / "b.png").rgb == 32768).all()


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (f"a.{suffix}", np.uint8)
        for suffix in ("png", "tif", "jpg", "jp2", "bmp", "ppm", "tga", "webp")
    ]
    + [(f"a.{suffix}", np.uint16) for suffix in ("png", "tif", "jp2", "ppm")]
    + [("a.tif", np.float32)],
)
def test_what_was_grey_is_written_grey_at_its_depth(
    tmp_path: Path, name: str, dtype: type, alpha: bool
) -> None:
    grey = np.random.default_rng(0).random((17, 23)).astype(np.float32)
    grey = grey if dtype == np.float32 else quantise(grey, dtype)
    rgb, cover = np.dstack([grey] * 3), quantise(grey[::-1].copy(), dtype) if alpha else None
    write_photo(tmp_path / name, Photo(rgb, cover, format="TIFF", is_grey=True), quality=100)
    photo = read_photo(tmp_path / name)
    flattened, has_alpha = (
        alpha and name[2:] in ("jpg", "bmp", "ppm"),
        name[2:] in ("png", "tif", "jp2", "tga", "webp"),
    )
    assert photo.is_grey == (name != "a.webp")
    assert (photo.alpha is not None) == (alpha and has_alpha)
    if name != "a.jpg" and not flattened and not (alpha and dtype == np.uint16 and name == "a.jp2"):
        np.testing.assert_array_equal(photo.rgb, rgb)
        assert not alpha or np.array_equal(np.asarray(photo.alpha), np.asarray(cover))
    write_photo(tmp_path / f"rgb.{name[2:]}", Photo(rgb, cover))
    assert not read_photo(tmp_path / f"rgb.{name[2:]}").is_grey, (
        "RGB stays RGB, equal channels or not"
    )


def test_a_grey_16_bit_tiff_stays_as_small_as_it_was(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(np.uint16, 1, (300, 200)), photometric="minisblack")
    photo = read_photo(tmp_path / "a.tif")
    write_photo(tmp_path / "b.tif", photo)
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "b.tif"), noise(np.uint16, 1, (300, 200))
    )
    assert os.path.getsize(tmp_path / "b.tif") < 1.1 * os.path.getsize(tmp_path / "a.tif")


def test_a_photo_that_is_grey_no_more_is_written_in_color(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", Photo(noise(np.uint8), is_grey=True))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").rgb, noise(np.uint8))


@pytest.mark.parametrize("stored", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floating_point_tiffs_are_read_and_stay_so(
    tmp_path: Path, stored: type, channels: int, order: Any
) -> None:
    values = (np.random.default_rng(0).random((9, 14, channels)) * 1.2).astype(stored)
    values = values[..., 0] if channels == 1 else values
    extras = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    kind = "minisblack" if channels == 1 else "rgb"
    tag = [(ORIENTATION, "H", 1, 6, True)]
    tifffile.imwrite(
        tmp_path / "a.tif",
        values,
        photometric=kind,
        byteorder=order,
        iccprofile=SRGB,
        extratags=tag,
        **extras,
    )
    photo = read_photo(tmp_path / "a.tif")
    assert (photo.rgb.dtype, photo.size, photo.icc) == (np.float32, (9, 14), SRGB)
    assert photo.is_grey == (channels == 1)
    assert any("beyond 0 to 1" in note for note in photo.notes)
    write_photo(tmp_path / "b.tif", photo)
    again = read_photo(tmp_path / "b.tif")
    np.testing.assert_array_equal(again.rgb, photo.rgb)
    np.testing.assert_array_equal(to_array(again), to_array(photo))
    assert lost_in(tmp_path / "b.tif", photo) == ()
    assert "16 bits" in lost_in(tmp_path / "b.png", photo)[0]
    write_photo(tmp_path / "b.png", photo)
    assert read_photo(tmp_path / "b.png").rgb.dtype == np.uint16
    assert "8 bits" in lost_in(tmp_path / "b.jpg", photo)[0]


def test_a_damaged_floating_point_tiff_is_one_line(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((9, 14, 3), np.float32), photometric="rgb")
    content = (tmp_path / "a.tif").read_bytes()
    for kept in (0.5, 0.9):
        (tmp_path / "b.tif").write_bytes(content[: int(len(content) * kept)])
        with pytest.raises(UserError, match=r"b\.tif"):
            read_photo(tmp_path / "b.tif")


def test_transparency_is_flattened_on_white_where_there_is_none(tmp_path: Path) -> None:
    rgb, alpha = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)
    alpha[:, 8:] = 255
    write_photo(tmp_path / "a.bmp", Photo(rgb, alpha))
    photo = read_photo(tmp_path / "a.bmp")
    assert photo.alpha is None
    assert (photo.rgb[:, :8] == 255).all()
    assert (photo.rgb[:, 8:] == 0).all()


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "Maker"
    alpha = np.full((17, 23), 65535, np.uint16)
    photo = Photo(noise(np.uint16), alpha, exif=exif.tobytes(), xmp=b"<x/>")
    said = {
        suffix: " ".join(lost_in(tmp_path / f"a.{suffix}", photo))
        for suffix in ("png", "tif", "jpg", "webp", "bmp")
    }
    assert said["png"] == said["tif"] == ""
    assert "laid on white" in said["jpg"] and "16 bits a channel were rounded to 8" in said["jpg"]
    assert "laid on white" not in said["webp"] and "rounded to 8" in said["webp"]
    assert "EXIF and XMP were left out" in said["bmp"] and "EXIF" not in said["jpg"]
    assert lost_in(tmp_path / "a.bmp", Photo(noise(np.uint8))) == ()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_photo(path, Photo(noise(np.uint8)))
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"a\.jpg"):
        write_photo(path, Photo(np.zeros((2, 70000, 3), np.uint8)))  # JPEG ends at 65,535 pixels
    with pytest.raises(UserError, match=r"b\.webp: cannot be written as WEBP"):
        write_photo(tmp_path / "b.webp", Photo(np.zeros((2, 16384, 3), np.uint8)))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize("name", ["a.gif", "a.pdf", "a.xyz", "a"])
def test_a_suffix_that_cannot_hold_a_photo_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"use \.png, \.jpg, \.tif or \.webp"):
        write_photo(tmp_path / name, Photo(noise(np.uint8)))
    assert output_format("A.JPEG") == "JPEG"


# --- depth


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_dark_16_bit_file_is_still_16_bit(tmp_path: Path, suffix: str, channels: int) -> None:
    samples = noise(np.uint16, channels) // 300  # every value below 256
    bgr = samples if channels == 1 else samples[..., [2, 1, 0, 3][:channels]]
    cv2.imwrite(str(tmp_path / f"dark{suffix}"), bgr)
    photo = read_photo(tmp_path / f"dark{suffix}")
    assert photo.rgb.dtype == np.uint16
    assert photo.is_grey == (channels == 1)
    np.testing.assert_array_equal(
        photo.rgb, np.dstack([samples] * 3) if channels == 1 else samples[..., :3]
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("layout", ["rgb", "rgba", "grey", "planes"])
def test_16_bit_tiff_layouts(
    tmp_path: Path, order: Any, compression: str | None, layout: str
) -> None:
    rgba = noise(np.uint16, 4)
    grey = rgba[..., 0]
    layouts: dict[str, tuple[np.ndarray, dict[str, Any], np.ndarray]] = {
        "rgb": (rgba[..., :3], {"photometric": "rgb"}, rgba[..., :3]),
        "rgba": (rgba, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, rgba),
        "grey": (grey, {"photometric": "minisblack"}, np.dstack([grey] * 3)),
        "planes": (
            np.moveaxis(rgba[..., :3], 2, 0),
            {"photometric": "rgb", "planarconfig": "separate"},
            rgba[..., :3],
        ),
    }
    stored, options, expected = layouts[layout]
    tifffile.imwrite(
        tmp_path / "a.tif", stored, byteorder=order, compression=compression, **options
    )
    np.testing.assert_array_equal(to_array(read_photo(tmp_path / "a.tif")), expected)


def test_16_bit_tiff_where_white_is_zero(tmp_path: Path) -> None:
    grey = noise(np.uint16, 1)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="miniswhite", byteorder="<")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").rgb[..., 1], 65535 - grey)


def test_16_bit_lzw_tiff_which_tifffile_cannot_decode_alone(tmp_path: Path) -> None:
    rgb = noise(np.uint16)
    cv2.imwrite(str(tmp_path / "a.tif"), rgb[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    (tmp_path / "b.tif").write_bytes(lzw_with_directory_first(rgb))
    for name in ("a.tif", "b.tif"):
        np.testing.assert_array_equal(read_photo(tmp_path / name).rgb, rgb)


def test_premultiplied_alpha_is_divided_out_at_16_bits(tmp_path: Path) -> None:
    rgba = np.zeros((4, 4, 4), np.uint16)
    rgba[:] = (10000, 20000, 0, 32768)
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["assocalpha"])
    photo = read_photo(tmp_path / "a.tif")
    assert photo.rgb[0, 0].tolist() == [20000, 39999, 0]
    assert np.all(photo.alpha == 32768)


def test_floating_point_tiff_is_read_when_one_is_white_and_explained_when_not(
    tmp_path: Path,
) -> None:
    values = np.linspace(0, 1.5, 64, dtype=np.float32).reshape(8, 8)
    tifffile.imwrite(tmp_path / "a.tif", values)
    photo = read_photo(tmp_path / "a.tif")
    assert photo.rgb.dtype == np.float32
    np.testing.assert_array_equal(photo.rgb[..., 1], values)
    tifffile.imwrite(tmp_path / "b.tif", values * 100)
    with pytest.raises(
        UserError, match=r"b\.tif: holds floating-point values up to 150: scale them"
    ):
        read_photo(tmp_path / "b.tif")
    tifffile.imwrite(tmp_path / "c.tif", values.astype(np.uint32))
    with pytest.raises(UserError, match=r"c\.tif: holds uint32 samples"):
        read_photo(tmp_path / "c.tif")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def handmade_png16(samples: np.ndarray, color_type: int, extra: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", head), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def test_16_bit_png_grey_with_alpha_and_color_key(tmp_path: Path) -> None:
    both = noise(np.uint16, 2)
    (tmp_path / "la.png").write_bytes(handmade_png16(both, 4))
    photo = read_photo(tmp_path / "la.png")
    np.testing.assert_array_equal(photo.rgb, np.dstack([both[..., 0]] * 3))
    np.testing.assert_array_equal(photo.alpha, both[..., 1])

    grey, rgb = noise(np.uint16, 1), noise(np.uint16)
    (tmp_path / "g.png").write_bytes(
        handmade_png16(grey, 0, chunk(b"tRNS", struct.pack(">H", grey[2, 3])))
    )
    (tmp_path / "c.png").write_bytes(
        handmade_png16(rgb, 2, chunk(b"tRNS", struct.pack(">HHH", *rgb[2, 3].tolist())))
    )
    for name, clear in (("g.png", grey == grey[2, 3]), ("c.png", (rgb == rgb[2, 3]).all(axis=2))):
        photo = read_photo(tmp_path / name)
        assert photo.alpha is not None
        np.testing.assert_array_equal(photo.alpha == 0, clear)


def test_depth_conversions_invert_each_other() -> None:
    deep = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(quantise(to_float(deep), np.uint16), deep)
    shallow = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(quantise(quantise(shallow, np.uint16), np.uint8), shallow)
    assert quantise(np.array([-1.0, 0.4999, 2.0], np.float32), np.uint8).tolist() == [0, 127, 255]
    assert to_float(shallow).dtype == np.float32
    assert to_float(shallow)[-1] == 1.0


# --- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["jpg", "png", "webp", "avif", "tif", "deflate.tif", "16.png", "16.tif", "lzw.tif"]
)
def test_pixels_come_upright_and_say_so(tmp_path: Path, kind: str, orientation: int) -> None:
    stored = np.zeros((24, 40, 3), np.uint16)
    stored[:12, :20], stored[:12, 20:], stored[12:, :20] = (
        (65535, 0, 0),
        (0, 65535, 0),
        (0, 0, 65535),
    )
    path = tmp_path / f"a.{kind}"
    save_turned(path, kind, stored, orientation)
    expected = np.asarray(turned_by_pillow((stored >> 8).astype(np.uint8), orientation), np.int32)
    photo = read_photo(path)
    assert photo.rgb.dtype == (np.uint16 if kind in ("16.png", "16.tif", "lzw.tif") else np.uint8)
    for pixels in (quantise(photo.rgb, np.uint8), decode_rgb8(path)):
        assert pixels.shape == expected.shape
        assert np.abs(pixels[6::12, 5::10] - expected[6::12, 5::10]).max() < 40
    write_photo(tmp_path / "again.png", photo)
    again = read_photo(tmp_path / "again.png")
    np.testing.assert_array_equal(again.rgb, photo.rgb)


def save_turned(path: Path, kind: str, stored: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    tag = [(ORIENTATION, "H", 1, orientation, True)]
    if kind == "16.png":
        codecs.encode(stored, "PNG", path, codecs.Metadata(exif=exif.tobytes()), {})
    elif kind == "16.tif":
        tifffile.imwrite(path, stored, photometric="rgb", extratags=tag)
    elif kind == "lzw.tif":
        cv2.imwrite(str(path), stored[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
        retag(path, orientation)
    else:
        options = {"compression": "tiff_deflate"} if kind == "deflate.tif" else {}
        Image.fromarray((stored >> 8).astype(np.uint8)).save(path, exif=exif, **options)


def retag(path: Path, orientation: int) -> None:
    """Put Orientation in the place of a tag a reader can spare (SampleFormat, at its default)."""
    raw = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, first)
    entries = [bytes(raw[first + 2 + 12 * i : first + 14 + 12 * i]) for i in range(count)]
    entries = [e for e in entries if struct.unpack_from("<H", e)[0] != 339]
    entries.append(struct.pack("<HHIHH", ORIENTATION, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    raw[first + 2 : first + 2 + 12 * count] = b"".join(entries)
    path.write_bytes(raw)


def turned_by_pillow(rgb: np.ndarray, orientation: int) -> Image.Image:
    image = Image.fromarray(rgb)
    image.getexif()[ORIENTATION] = orientation
    return ImageOps.exif_transpose(image)


def test_orientation_only_in_xmp_is_applied_once(tmp_path: Path) -> None:
    packet = PngInfo()
    packet.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6" dc:title="kept"/>')
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png", pnginfo=packet)
    photo = read_photo(tmp_path / "a.png")
    assert photo.size == (20, 30)
    write_photo(tmp_path / "b.png", photo)
    again = read_photo(tmp_path / "b.png")
    assert again.size == (20, 30)
    assert b'dc:title="kept"' in (again.xmp or b"")


def test_metadata_after_the_pixels_of_a_png_is_found(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", Photo(noise(np.uint8), exif=camera_exif().tobytes()))
    content = (tmp_path / "a.png").read_bytes()
    packet = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>")
    (tmp_path / "a.png").write_bytes(content[:-12] + packet + content[-12:])
    photo = read_photo(tmp_path / "a.png")
    assert photo.xmp == b"<x/>"
    assert photo.exif is not None


# --- metadata


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("source", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("target", ["b.jpg", "b.png", "b.webp", "b.tif", "b.avif"])
def test_metadata_travels_between_all_formats(
    tmp_path: Path, source: str, target: str, dtype: type
) -> None:
    image = Image.new("RGB", (40, 24))
    image.save(
        tmp_path / source,
        exif=camera_exif(6).tobytes(),
        icc_profile=SRGB,
        dpi=(300, 150),
        xmp=b"<x:xmpmeta/>",
    )
    photo = read_photo(tmp_path / source)
    write_photo(tmp_path / target, photo.with_pixels(noise(dtype, 3, (48, 80))))
    again = read_photo(tmp_path / target)
    assert again.size == (48, 80)
    assert again.icc == SRGB
    with Image.open(tmp_path / target) as seen:
        exif = seen.getexif()
        assert exif.get(ORIENTATION, 1) == 1
        assert exif[MAKE] == "ACME"
        assert exif.get_ifd(EXIF_IFD)[DATE] == "2024:02:03 04:05:06"
        assert exif.get_ifd(EXIF_IFD)[MAKER_NOTE] == b"secret sauce " * 3
        assert [float(v) for v in exif.get_ifd(GPS_IFD)[2]] == [46.0, 57.0, 1.5]
        assert (exif.get_ifd(EXIF_IFD)[0xA002], exif.get_ifd(EXIF_IFD)[0xA003]) == (48, 80)
        if source[-3:] != "ebp" and target[-3:] in ("jpg", "png", "tif"):  # WebP has no resolution
            assert again.dpi == pytest.approx((150, 300), abs=0.02)  # turned with the pixels
        if source[-3:] in ("jpg", "ebp"):
            assert again.xmp == b"<x:xmpmeta/>"


@pytest.mark.parametrize("followed", [False, True])
def test_the_stale_thumbnail_is_gone_and_the_maker_note_has_not_moved(
    tmp_path: Path, followed: bool
) -> None:
    thumbnail = BytesIO()
    Image.new("RGB", (16, 16), "red").save(thumbnail, "JPEG")
    block = with_thumbnail(camera_exif(3), thumbnail.getvalue())
    if followed:
        block += b"other data"
    Image.new("RGB", (40, 24)).save(tmp_path / "a.jpg", exif=block)
    with Image.open(tmp_path / "a.jpg") as image:
        assert thumbnail.getvalue() in image.info["exif"]
    exif = read_photo(tmp_path / "a.jpg").exif
    assert exif is not None
    assert thumbnail.getvalue()[20:] not in exif
    assert exif.index(b"secret sauce") == block.index(b"secret sauce")


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(40),
    ],
)
def test_damaged_exif_is_ignored_with_a_note(tmp_path: Path, block: bytes) -> None:
    for name in ("a.jpg", "a.png", "a.webp"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name, exif=block)
        photo = read_photo(tmp_path / name)
        assert photo.exif is None
        assert photo.notes == ("its EXIF data is damaged and was ignored",)
        write_photo(tmp_path / "out.jpg", photo)


def test_an_exif_directory_that_points_at_itself_does_not_hang(tmp_path: Path) -> None:
    block = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, EXIF_IFD, 4, 1, 8, 8)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=block)
    write_photo(tmp_path / "b.tif", read_photo(tmp_path / "a.jpg"))


def test_random_damage_to_metadata_never_escapes_as_another_exception(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    exif = camera_exif(6).tobytes()
    for suffix in (".jpg", ".png", ".tif", ".webp"):
        Image.new("RGB", (16, 16)).save(
            tmp_path / f"a{suffix}", exif=exif, icc_profile=SRGB, dpi=(72, 72)
        )
        good = (tmp_path / f"a{suffix}").read_bytes()
        for _ in range(60):
            bad = bytearray(good)
            for at in rng.integers(0, len(bad), 8):
                bad[at] = rng.integers(256)
            path = tmp_path / f"bad{suffix}"
            path.write_bytes(bad)
            complaint = complaint_about(path, tmp_path / "out.tif")
            assert complaint is None or (str(path) in complaint and "\n" not in complaint)


def complaint_about(path: Path, target: Path) -> str | None:
    """The UserError of copying one file to another; any warning or other exception is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            write_photo(target, read_photo(path))
        except UserError as error:
            return str(error)
    return None


def test_exif_that_pillow_can_read_but_not_write_still_leaves_a_file(tmp_path: Path) -> None:
    """A "rational" resolution stored as text: kept where the block travels as it is, left out where
    it is rebuilt.
    """
    block = b"Exif\0\0II*\0" + struct.pack("<IHHHI4sI", 8, 1, 0x011A, 2, 4, b"abc\0", 0)
    for name in ("a.jpg", "a.png", "a.webp", "a.avif", "a.tif"):
        write_photo(tmp_path / name, Photo(noise(np.uint8), exif=block))
        kept = read_photo(tmp_path / name).exif
        assert (kept == block) == (name not in ("a.avif", "a.tif"))


def test_metadata_too_long_for_a_jpeg_is_left_out(tmp_path: Path) -> None:
    exif = camera_exif()
    exif[EXIF_IFD] = {MAKER_NOTE: bytes(70_000)}
    write_photo(
        tmp_path / "a.jpg", Photo(noise(np.uint8), exif=exif.tobytes(), xmp=b"<x/>" + b" " * 70_000)
    )
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.exif is None
    assert photo.xmp is None


# --- modes and color


@pytest.mark.parametrize(
    ("mode", "color", "rgb", "alpha", "grey"),
    [
        ("1", 1, (255, 255, 255), None, True),
        ("L", 90, (90, 90, 90), None, True),
        ("LA", (90, 40), (90, 90, 90), 40, True),
        ("P", 0, (0, 0, 0), None, False),
        ("RGB", (10, 20, 30), (10, 20, 30), None, False),
        ("RGBA", (10, 20, 30, 40), (10, 20, 30), 40, False),
        ("RGBX", (10, 20, 30, 40), (10, 20, 30), None, False),
        ("La", (90, 255), (90, 90, 90), 255, True),
        ("RGBa", (10, 20, 30, 255), (10, 20, 30), 255, False),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0), None, False),
        ("YCbCr", (76, 85, 255), (254, 0, 0), None, False),
        ("HSV", (0, 255, 255), (255, 0, 0), None, False),
        ("LAB", (255, 128, 128), (255, 255, 255), None, False),
    ],
)
def test_every_pillow_mode_becomes_rgb(
    mode: str, color: Any, rgb: tuple, alpha: int | None, grey: bool
) -> None:
    photo = from_pil(Image.new(mode, (5, 4), color))
    assert photo.rgb.shape == (4, 5, 3)
    assert photo.rgb.dtype == np.uint8
    np.testing.assert_allclose(photo.rgb[1, 1].astype(int), rgb, atol=1)
    assert (None if photo.alpha is None else photo.alpha[0, 0]) == alpha
    assert photo.is_grey == grey


@pytest.mark.parametrize(("kind", "suffix"), [("P", "png"), ("P", "gif"), ("PA", None)])
def test_a_palette_of_greys_is_a_grey_photo(tmp_path: Path, kind: str, suffix: str | None) -> None:
    image = Image.fromarray(noise(np.uint8)[..., 0])
    image = image.convert("LA").convert("PA") if kind == "PA" else image.convert("P")
    colored = Image.fromarray(noise(np.uint8)).quantize(8)
    if suffix is None:
        assert to_pil(from_pil(image)).mode == "LA"
        return
    image.save(tmp_path / f"a.{suffix}")
    colored.save(tmp_path / f"b.{suffix}")
    for name, mode in (("a", "L"), ("b", "RGB")):
        write_photo(tmp_path / f"{name}.out.png", read_photo(tmp_path / f"{name}.{suffix}"))
        with Image.open(tmp_path / f"{name}.out.png") as written:
            assert written.mode == mode


def test_deep_pillow_modes_keep_their_depth() -> None:
    assert (from_pil(Image.new("I;16", (2, 2), 300)).rgb == 300).all()
    assert from_pil(Image.new("I", (2, 2), 40_000)).rgb.dtype == np.uint16
    assert from_pil(Image.new("F", (2, 2), 0.25)).rgb.dtype == np.float32
    with pytest.raises(UserError, match="the image holds whole numbers outside"):
        from_pil(Image.new("I", (2, 2), 70_000))
    with pytest.raises(UserError, match="not finite"):
        from_pil(Image.new("F", (2, 2), float("nan")))


def test_palette_transparency_is_carried(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((2, 1), 0)
    image.save(tmp_path / "a.png", transparency=0)
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "b.png", transparency=(1, 2, 3))
    Image.new("1", (4, 4), 0).save(tmp_path / "c.png", transparency=0)
    Image.new("L", (4, 4), 7).save(tmp_path / "d.png", transparency=7)
    photo = read_photo(tmp_path / "a.png")
    assert photo.alpha is not None
    assert photo.alpha[1, 2] == 0
    assert photo.alpha[0, 0] == 255
    assert photo.rgb[0, 0].tolist() == [10, 20, 30]
    for name in ("b.png", "c.png", "d.png"):
        alpha = read_photo(tmp_path / name).alpha
        assert alpha is not None
        assert not alpha.any()


def test_adobe_cmyk_jpeg_is_not_a_negative(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(tmp_path / "a.jpg", quality=95)
    photo = read_photo(tmp_path / "a.jpg")
    assert (photo.rgb > 250).all()
    assert photo.icc is None
    assert "CMYK" in photo.notes[0]


def test_a_cmyk_profile_is_applied(tmp_path: Path) -> None:
    image = Image.new("CMYK", (16, 16), (255, 255, 255, 0))
    image.paste((0, 0, 0, 255), (0, 8, 16, 16))
    for name in ("a.jpg", "a.tif"):
        image.save(tmp_path / name, icc_profile=black_only_profile(), quality=100)
        photo = read_photo(tmp_path / name)
        assert photo.rgb[2, 2].min() > 250
        assert photo.rgb[13, 2].max() < 5
        assert photo.icc is None
        assert "through the file's profile" in photo.notes[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_profile_is_kept_and_applied_where_srgb_is_needed(
    tmp_path: Path, dtype: type
) -> None:
    """Grey 0.5 in linear light is 0.735 in sRGB; the numbers stay the file's own."""
    top = np.iinfo(dtype).max
    half: np.ndarray = np.full((4, 4), round(top / 2), dtype)
    Image.fromarray(half).save(tmp_path / "a.png", icc_profile=grey_profile(1.0))
    photo = read_photo(tmp_path / "a.png")
    assert photo.icc == grey_profile(1.0)
    assert photo.rgb.dtype == dtype
    assert (photo.rgb == half[..., None]).all()
    seen = as_srgb(photo)
    assert seen.icc is None
    assert seen.rgb[0, 0].tolist() == pytest.approx([0.735 * top] * 3, rel=0.01)
    assert seen.rgb[0, 0, 0] == seen.rgb[0, 0, 2]
    np.testing.assert_array_equal(decode_rgb8(tmp_path / "a.png"), quantise(seen.rgb, np.uint8))


@pytest.mark.parametrize("profile", [b"nonsense", bytes(200), SRGB[:140], grey_profile(1.0)])
def test_a_profile_that_does_not_fit_is_ignored_with_a_note(tmp_path: Path, profile: bytes) -> None:
    rgb = noise(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png", icc_profile=profile)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.rgb, rgb)
    assert photo.icc is None
    assert "profile" in photo.notes[0]


@pytest.mark.parametrize(
    ("name", "kind"), [("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.png", "PNG"), ("a.tif", "TIFF")]
)
def test_only_the_first_frame_is_used_and_said(tmp_path: Path, name: str, kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    photo = read_photo(tmp_path / name)
    assert photo.format == kind
    assert photo.rgb[0, 0].tolist() == [255, 0, 0]
    assert len(photo.notes) == 1
    assert "3" in photo.notes[0]
    assert "only the first" in photo.notes[0]


def test_mpo_is_read_and_counts_as_lossy(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), "white")
    image.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[image])
    photo = read_photo(tmp_path / "a.jpg")
    assert (photo.format, photo.lossy) == ("MPO", True)
    write_photo(tmp_path / "b.jpg", photo)
    assert read_photo(tmp_path / "b.jpg").format == "JPEG"


# --- errors


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    for name, content in {
        "empty.png": b"",
        "text.jpg": b"hello",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "drawing.png": b"<?xml version='1.0'?><svg/>",
        "page.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }.items():
        (folder / name).write_bytes(content)
    return {
        "missing": (folder / "no.png", "no such file"),
        "folder": (folder, "is a folder"),
        "empty": (folder / "empty.png", "is empty"),
        "text": (folder / "text.jpg", "not an image"),
        "svg": (folder / "drawing.svg", "convert it to PNG first"),
        "svg by content": (folder / "drawing.png", "convert it to PNG first"),
        "eps": (folder / "page.eps", "export it as PNG first"),
    }


@pytest.mark.parametrize(
    "case", ["missing", "folder", "empty", "text", "svg", "svg by content", "eps"]
)
def test_unreadable_files_are_one_line_naming_file_and_fix(tmp_path: Path, case: str) -> None:
    path, words = bad_files(tmp_path)[case]
    for read in (read_photo, decode_rgb8, lambda p: read_mask(p, (4, 4))):
        with pytest.raises(UserError, match=words) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def lzw_with_directory_first(samples: np.ndarray) -> bytes:
    """OpenCV's LZW file with its tail of tags moved before the pixels, so that cutting the end cuts
    pixels only.
    """
    coded = cv2.imencode(".tif", samples[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
    with tifffile.TiffFile(BytesIO(coded)) as file:
        page = file.pages.first
        strips = [
            coded[at : at + count]
            for at, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
        rows = page.rowsperstrip
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[256], directory[257], directory[258] = (
        samples.shape[1],
        samples.shape[0],
        (16, 16, 16),
    )
    directory[259], directory[262], directory[277], directory[278], directory[317] = (
        5,
        2,
        3,
        rows,
        2,
    )
    directory[273] = tuple(sum(map(len, strips[:i])) for i in range(len(strips)))
    directory[279] = tuple(map(len, strips))
    buffer = BytesIO()
    directory.save(buffer)
    return buffer.getvalue() + b"".join(strips)


@pytest.mark.parametrize("kept", [0.35, 0.9])
@pytest.mark.parametrize(
    "name",
    [
        "a.jpg",
        "a.png",
        "16.png",
        "a.webp",
        "a.gif",
        "a.bmp",
        "a.avif",
        "a.tif",
        "16.tif",
        "lzw.tif",
        "a.jp2",
    ],
)
def test_truncated_files_are_errors_even_if_the_program_allows_them(
    tmp_path: Path, name: str, kept: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / name
    if name == "a.gif":
        Image.fromarray(noise(np.uint8, 1, (64, 64))).save(path)
    elif name == "lzw.tif":
        path.write_bytes(lzw_with_directory_first(noise(np.uint16, 3, (64, 64))))
    else:
        write_photo(
            path, Photo(noise(np.uint16 if name.startswith("16") else np.uint8, 3, (64, 64)))
        )
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    for read in (read_photo, decode_rgb8):
        with pytest.raises(UserError, match=name):
            read(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_decompression_bombs_are_refused_without_warnings_and_the_limit_can_be_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (200, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(codecs, "MAX_PIXELS", 19_999)
    with pytest.raises(UserError, match="crop it"):
        read_photo(tmp_path / "a.png")
    monkeypatch.setattr(codecs, "MAX_PIXELS", 20_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_photo(tmp_path / "a.png").size == (200, 100)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_threads_can_read_at_the_same_time(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", Photo(noise(np.uint8)))
    found: list[tuple[int, int]] = []
    filters = list(warnings.filters)
    threads = [
        threading.Thread(target=lambda: found.append(read_photo(tmp_path / "a.png").size))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(23, 17)] * 8
    assert list(warnings.filters) == filters


# --- masks, arrays, Pillow images, training data


def test_white_is_to_be_filled_whatever_the_depth(tmp_path: Path) -> None:
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.array([[0, 32767, 32768, 65535]], np.uint16)).save(tmp_path / "b.png")
    Image.fromarray(grey > 127).save(tmp_path / "c.png")
    Image.fromarray(np.dstack([grey] * 3)).save(tmp_path / "d.png")
    for name in "abcd":
        mask = read_mask(tmp_path / f"{name}.png", (4, 1))
        assert mask.dtype == bool
        assert mask.tolist() == [[False, False, True, True]]


def test_transparent_parts_of_a_mask_are_kept_pixels(tmp_path: Path) -> None:
    rgba = np.full((1, 2, 4), 255, np.uint8)
    rgba[0, 0, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", (2, 1)).tolist() == [[False, True]]


def test_a_mask_is_measured_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("L", (90, 120)).save(tmp_path / "a.png", exif=exif)
    assert read_mask(tmp_path / "a.png", (120, 90)).shape == (90, 120)
    with pytest.raises(UserError, match=r"mask is 120x90, photo is 90x120"):
        read_mask(tmp_path / "a.png", (90, 120))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
def test_arrays_go_in_and_come_out(dtype: type, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random(shape)
    array: np.ndarray = (
        (values * 200).astype(dtype) if np.dtype(dtype).kind == "u" else values.astype(dtype)
    )
    photo = from_array(array)
    assert photo.is_grey == (array.ndim == 2 or shape[2] == 1)
    back = to_array(photo)
    assert back.shape == (4, 5, 4 if shape[-1] == 4 else 3)
    assert back.dtype == (np.float32 if np.dtype(dtype).kind == "f" else dtype)
    expected = array.reshape(4, 5, -1).astype(back.dtype)
    np.testing.assert_array_equal(back[..., : expected.shape[2]], expected)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 2), np.uint8), "this one is"),
        (np.zeros((3,), np.uint8), "this one is"),
        (np.zeros((0, 5), np.uint8), "this one is"),
        (np.zeros((4, 5), np.int64), "this one is int64"),
        (np.full((4, 5), 255.0), "scale them"),
        (np.full((4, 5), np.nan), "not finite"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array: np.ndarray, words: str) -> None:
    with pytest.raises(UserError, match=words):
        from_array(array)


def test_pillow_images_go_in_upright_and_come_out_with_their_metadata() -> None:
    image = Image.new("RGBA", (6, 4), (1, 2, 3, 4))
    image.info["exif"], image.info["icc_profile"] = camera_exif(6).tobytes(), SRGB
    photo = from_pil(image)
    assert photo.size == (4, 6)
    back = to_pil(photo)
    assert (back.mode, back.size) == ("RGBA", (4, 6))
    assert back.getpixel((0, 0)) == (1, 2, 3, 4)
    assert back.info["icc_profile"] == SRGB
    assert back.getexif()[MAKE] == "ACME"
    assert back.getexif()[ORIENTATION] == 1
    assert image.size == (6, 4)


@pytest.mark.parametrize(
    ("mode", "value", "out"),
    [
        ("L", 90, "L"),
        ("LA", (90, 40), "LA"),
        ("1", 1, "L"),
        ("I;16", 300, "I;16"),
        ("I", 300, "I;16"),
        ("F", 0.25, "F"),
    ],
)
def test_grey_pillow_images_come_out_grey(mode: str, value: Any, out: str) -> None:
    photo = from_pil(Image.new(mode, (5, 4), value))
    back = to_pil(photo)
    assert back.mode == out
    assert back.getpixel((1, 1)) == (255 if mode == "1" else value)
    assert (
        to_pil(
            photo.with_pixels(noise(photo.rgb.dtype.type) if out in ("L", "I;16") else photo.rgb)
        ).mode
        != "RGBA"
    )


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_pillow_images_from_files_are_turned_once(tmp_path: Path, name: str, loaded: bool) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / name, exif=camera_exif(6).tobytes())
    with Image.open(tmp_path / name) as image:
        if loaded:
            image.load()
        assert from_pil(image).size == (4, 6)


def test_a_photo_with_contradicting_shapes_cannot_be_made() -> None:
    photo = Photo(noise(np.uint8), noise(np.uint8, 1))
    with pytest.raises(ValueError, match="the sizes differ"):
        photo.with_pixels(noise(np.uint8, 3, (8, 8)), photo.alpha)
    with pytest.raises(ValueError, match="want"):
        photo.with_pixels(noise(np.uint8, 4))
    assert photo.with_pixels(noise(np.uint8, 3, (8, 8))).alpha is None


def test_pixels_can_be_written_into(tmp_path: Path) -> None:
    for name, dtype in (("a.png", np.uint8), ("b.png", np.uint16), ("b.tif", np.uint16)):
        write_photo(tmp_path / name, Photo(noise(dtype)))
        assert read_photo(tmp_path / name).rgb.flags.writeable
    assert decode_rgb8(tmp_path / "a.png").flags.writeable


def test_training_pixels_are_the_photo_rounded_to_8_bits(tmp_path: Path) -> None:
    deep = noise(np.uint16, 4)
    write_photo(tmp_path / "a.tif", Photo(deep[..., :3], deep[..., 3]))
    np.testing.assert_array_equal(
        decode_rgb8(tmp_path / "a.tif"), quantise(deep[..., :3], np.uint8)
    )
    Image.fromarray(noise(np.uint8, 1)).save(tmp_path / "b.jpg")
    pixels = decode_rgb8(tmp_path / "b.jpg")
    assert pixels.shape == (17, 23, 3)
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, read_photo(tmp_path / "b.jpg").rgb)


def test_suffixes_are_photos_only() -> None:
    suffixes = photo_suffixes()
    assert {
        ".jpg",
        ".jpeg",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
        ".gif",
        ".bmp",
        ".avif",
        ".mpo",
        ".jp2",
    } <= suffixes
    assert not suffixes & {".pdf", ".eps", ".ps", ".mpg", ".svg", ".h5", ".wmf"}
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "YCbCr", "HSV", "CMYK"]
)
@pytest.mark.parametrize("transparent", [False, True])
def test_pixels_that_are_converted_in_strips_are_pillows(
    mode: str, transparent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "_STRIP_BYTES", 31 * 3)
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (29, 31, 4), np.uint8))
    image = image.convert("RGB").quantize(40) if mode == "P" else image.convert(mode)
    if transparent and mode == "P":
        image.info["transparency"] = 7
    decoded = codecs.decode_image(image)
    wanted = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    np.testing.assert_array_equal(decoded.rgb, wanted[..., :3])
    if decoded.alpha is None:
        assert wanted.shape[2] == 3
    else:
        np.testing.assert_array_equal(decoded.alpha, wanted[..., 3])
