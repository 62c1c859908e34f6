"""A file's color description is read in every container, and written again with the result."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from made_profiles import (
    NAMES,
    SRGB,
    black_only_profile,
    dot_gain_profile,
    grey_profile,
    light,
    numbers_of,
    rgb_profile,
    table_profile,
    through_littlecms,
)
from PIL import Image

from img2img.pixels import codecs
from img2img.pixels.color_tags import described
from img2img.pixels.hints import hints_in
from img2img.pixels.images import (
    Photo,
    as_srgb,
    decode_rgb8,
    from_pil,
    lost_in,
    quantise,
    read_photo,
    to_float,
    to_pil,
    write_photo,
)

SRGB_PLACES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_PLACES = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


@pytest.fixture
def cube() -> np.ndarray:
    """(19,361,3) sRGB floats, the whole gamut."""
    levels = np.linspace(0, 1, 19)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(19, -1, 3)


def gamma(exponent: float) -> bytes:
    return struct.pack(">I", round(exponent * 1e5))


def with_chunks(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    """The PNG with chunks put behind its header."""
    content = path.read_bytes()
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    path.write_bytes(content[:33] + b"".join(parts) + content[33:])
    return path


def chunks_of(path: Path) -> dict[bytes, bytes]:
    content, at, found = path.read_bytes(), 8, {}
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        found[content[at + 4 : at + 8]] = content[at + 8 : at + 8 + size]
        at += 12 + size
    return found


def seen(path: Path) -> np.ndarray:
    """(H,W,3) sRGB floats of a file."""
    photo = read_photo(path)
    return photo.color.to_srgb(to_float(photo.rgb))


# --- ICC


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_a_space_are_seen_as_what_they_mean_and_go_back(
    cube: np.ndarray, name: str, sampled: bool
) -> None:
    color, own = (
        described(rgb_profile(name, sampled=sampled)),
        numbers_of(name, cube).astype(np.float32),
    )
    shown = color.to_srgb(own)
    assert np.abs(shown - cube).max() < 2.5e-3, "colorants have five digits"
    assert np.abs(color.from_srgb(shown) - own).max() < 5e-3, "at 0 a gamma of 2.2 is steep"
    reference = through_littlecms(quantise(own, np.uint8), rgb_profile(name, sampled=sampled))
    mine = color.to_srgb(to_float(quantise(own, np.uint8)))
    assert np.abs(mine.clip(0, 1) * 255 - reference).max() < 1.5


@pytest.mark.parametrize("name", NAMES)
def test_greys_stay_exactly_grey_and_white_white(name: str) -> None:
    ramp = np.repeat(np.linspace(0, 1, 4096, dtype=np.float32)[:, None], 3, 1)
    color = described(rgb_profile(name))
    for there in (color.to_srgb(ramp), color.from_srgb(ramp)):
        assert (there == there[:, :1]).all()
        assert there[0] == pytest.approx(0, abs=1e-6)
        assert there[-1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["prophoto", "p3", "adobe", "rec2020"])
def test_colors_outside_srgb_survive_the_way_there_and_back(name: str) -> None:
    color, own = (
        described(rgb_profile(name)),
        np.random.default_rng(0).random((1000, 3)).astype(np.float32),
    )
    shown = color.to_srgb(own)
    assert shown.min() < -0.1
    assert np.abs(color.from_srgb(shown) - own).max() < 5e-4


def test_an_srgb_profile_needs_no_way_there_and_back() -> None:
    pixels = np.random.default_rng(0).random((5, 5, 3)).astype(np.float32)
    for profile in (SRGB, None, b"profile"):
        assert described(profile).to_srgb(pixels) is pixels
        assert described(profile).notes == ()


def test_a_profile_of_tables_is_sampled() -> None:
    color = described(table_profile())
    grey = color.to_srgb(np.array([[0.5, 128 / 255, 128 / 255]], np.float32))  # L* 50, a* = b* = 0
    assert grey[0] == pytest.approx([119 / 255] * 3, abs=3 / 255)
    own = np.array([[0.6, 0.55, 0.45], [0.4, 0.5, 0.6]], np.float32)
    assert np.abs(color.from_srgb(color.to_srgb(own)) - own).max() < 4 / 255
    assert not color.keeps_neutral


def test_a_profile_that_cannot_be_read_is_said_and_its_numbers_are_srgb() -> None:
    damaged = rgb_profile("adobe").replace(b"para", b"xxxx")
    color, pixels = described(damaged), np.ones((1, 3), np.float32)
    assert color.to_srgb(pixels) is pixels
    assert "taken for sRGB" in color.notes[0]


@pytest.mark.parametrize("copies", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_random_damage_to_a_profile_never_raises(copies: int) -> None:
    rng = np.random.default_rng(copies)
    for good in (rgb_profile("prophoto", sampled=True), dot_gain_profile(), table_profile()):
        for _ in range(copies):
            bad = bytearray(good)
            for at in rng.integers(128, len(bad), 6):
                bad[at] = rng.integers(256)
            color = described(bytes(bad))
            color.to_srgb(np.zeros((2, 2, 3), np.float32))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif", "16.png", "16.tif"])
def test_training_data_hints_and_statistics_hear_the_profile_of_any_container(
    tmp_path: Path, cube: np.ndarray, suffix: str
) -> None:
    own = quantise(
        numbers_of("prophoto", cube).astype(np.float32),
        np.uint16 if suffix[:2] == "16" else np.uint8,
    )
    own = own.repeat(8, 0).repeat(8, 1)
    path = tmp_path / f"a.{suffix}"
    write_photo(path, Photo(own, icc=rgb_profile("prophoto")), quality=100)
    photo = read_photo(path)
    assert photo.icc == rgb_profile("prophoto")
    off = np.abs(decode_rgb8(path)[4::8, 4::8] / 255 - cube).mean()
    assert off < 0.02, "JPEG included"
    assert as_srgb(photo).rgb.dtype == photo.rgb.dtype
    painted = Photo(quantise(cube.astype(np.float32), np.uint8).repeat(8, 0).repeat(8, 1))
    painted.rgb[:32, :32] = (0, 255, 0)
    marked = hints_in(painted, photo).marked
    assert marked[:32, :32].mean() > 0.9
    assert marked[32:].mean() < 0.1


@pytest.mark.parametrize("profile", [grey_profile(2.2), grey_profile(1.0), dot_gain_profile()])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_grey_profile_is_kept_with_grey_and_its_curve_with_color(
    tmp_path: Path, profile: bytes, suffix: str
) -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    path, colored = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    write_photo(path, Photo(np.dstack([grey] * 3), icc=profile, is_grey=True), quality=100)
    photo = read_photo(path)
    assert (photo.icc, photo.is_grey) == (profile, True)
    reddish = photo.rgb.copy()
    reddish[:8, :, 1:] //= 2
    write_photo(colored, photo.with_pixels(reddish), quality=100)
    assert np.abs(seen(colored)[12] - seen(path)[12]).max() < 0.02, "what is grey looks the same"
    assert read_photo(colored).icc[16:20] == b"RGB "  # type: ignore[index]  # there is one


def test_a_grey_png_gets_a_grey_profile_for_an_rgb_one(tmp_path: Path) -> None:
    """PNG 3, section 11.3.2.3: the profile of a grey picture is one for grey."""
    grey = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    Image.fromarray(grey).save(tmp_path / "a.jpg", icc_profile=rgb_profile("prophoto"), quality=100)
    write_photo(tmp_path / "b.png", read_photo(tmp_path / "a.jpg"))
    assert read_photo(tmp_path / "b.png").icc[16:20] == b"GRAY"  # type: ignore[index]  # not None
    assert np.abs(seen(tmp_path / "b.png") - seen(tmp_path / "a.jpg")).max() < 1e-4


# --- PNG chunks, AVIF, EXIF


def png(
    path: Path, pixels: np.ndarray, *chunks: tuple[bytes, bytes], icc: bytes | None = None
) -> Path:
    write_photo(path, Photo(pixels, icc=icc))
    return with_chunks(path, *chunks)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("target", ["b.png", "b.tif", "b.webp", "b.jpg", "b.avif"])
def test_a_gamma_of_1_looks_the_same_in_whatever_is_written(
    tmp_path: Path, target: str, dtype: type
) -> None:
    """Linear light 0.419 (107 of 255) is seen as 173: lost, it would be 107."""
    pixels = np.full((16, 16, 3), round(107 / 255 * np.iinfo(dtype).max), dtype)
    path = png(tmp_path / "a.png", pixels, (b"gAMA", gamma(1.0)))
    assert seen(path).mean() * 255 == pytest.approx(173, abs=0.6)
    write_photo(tmp_path / target, read_photo(path), quality=100)
    assert seen(tmp_path / target).mean() * 255 == pytest.approx(173, abs=1.1)
    if target == "b.png":
        assert chunks_of(tmp_path / target)[b"gAMA"] == gamma(1.0)
        np.testing.assert_array_equal(read_photo(tmp_path / target).rgb, pixels)


def test_where_a_format_says_nothing_of_colors_they_become_srgb_and_it_is_said(
    tmp_path: Path,
) -> None:
    path = png(tmp_path / "a.png", np.full((16, 16, 3), 107, np.uint8), (b"gAMA", gamma(1.0)))
    photo = read_photo(path)
    write_photo(tmp_path / "b.bmp", photo)
    assert read_photo(tmp_path / "b.bmp").rgb.mean() == 173
    assert "converted to sRGB" in lost_in(tmp_path / "b.bmp", photo)[0]
    assert lost_in(tmp_path / "b.bmp", Photo(photo.rgb)) == lost_in(tmp_path / "b.jpg", photo) == ()


@pytest.mark.parametrize(
    ("chunks", "icc", "meaning"),
    [
        ([(b"gAMA", gamma(0.45455))], None, "gamma 2.2"),
        ([(b"gAMA", gamma(0.45455)), (b"cHRM", SRGB_PLACES)], None, "gamma 2.2"),
        ([(b"sRGB", b"\0"), (b"gAMA", gamma(1.0))], None, "srgb"),
        ([(b"gAMA", gamma(1.0))], SRGB, "srgb"),
        ([(b"cICP", bytes((1, 13, 0, 1))), (b"gAMA", gamma(1.0))], None, "srgb"),
        ([(b"cICP", bytes((1, 8, 0, 1)))], SRGB, "linear"),
        ([(b"cICP", bytes((12, 13, 0, 1)))], None, "p3"),
        ([(b"cICP", bytes((9, 1, 0, 1)))], None, "rec2020"),
        ([(b"cICP", bytes((9, 200, 0, 1))), (b"gAMA", gamma(1.0))], None, "linear"),
        ([(b"cHRM", P3_PLACES)], None, "p3"),
        ([(b"gAMA", b"\0\0\0\0"), (b"cHRM", bytes(32))], None, "srgb"),
        (
            [(b"cHRM", struct.pack(">8I", 1, 6000, 15000, 6000, 15000, 60000, 64000, 2**31))],
            None,
            "srgb",
        ),
    ],
)
def test_of_what_a_png_says_the_first_that_counts_is_heard(
    tmp_path: Path,
    cube: np.ndarray,
    chunks: list[tuple[bytes, bytes]],
    icc: bytes | None,
    meaning: str,
) -> None:
    if meaning == "gamma 2.2":
        own, wanted = cube, light("p3", cube)
    else:
        own, wanted = (cube if meaning == "srgb" else numbers_of(meaning, cube)), light("p3", cube)
    path = png(tmp_path / "a.png", quantise(own.astype(np.float32), np.uint16), *chunks, icc=icc)
    found = light("p3", seen(path).clip(0, 1).astype(np.float64))
    assert np.abs(found - (own**2.2 if meaning == "gamma 2.2" else wanted)).max() < 1.5e-3
    photo = read_photo(path)
    write_photo(tmp_path / "b.png", photo)
    again = chunks_of(tmp_path / "b.png")
    assert {name: again[name] for name, _ in chunks} == dict(chunks)
    assert photo.icc == icc == read_photo(tmp_path / "b.png").icc
    write_photo(tmp_path / "c.tif", photo)
    assert np.abs(seen(tmp_path / "c.tif") - seen(path)).max() < 5e-4


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_pq_and_hlg_are_worked_on_as_they_are_and_said(
    tmp_path: Path, transfer: int, name: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (12, 9, 3), np.uint16)
    light_levels = (b"cLLI", struct.pack(">II", 10_000_000, 2_000_000))
    path = png(tmp_path / "a.png", pixels, (b"cICP", bytes((9, transfer, 0, 1))), light_levels)
    photo = read_photo(path)
    assert as_srgb(photo) is photo
    assert f"its numbers are {name}" in photo.notes[0]
    write_photo(tmp_path / "b.png", photo)
    assert chunks_of(tmp_path / "b.png")[b"cICP"] == bytes((9, transfer, 0, 1))
    assert chunks_of(tmp_path / "b.png")[b"cLLI"] == light_levels[1]
    write_photo(tmp_path / "c.tif", photo)
    again = read_photo(tmp_path / "c.tif")
    np.testing.assert_array_equal(again.rgb, pixels)
    assert any(f"its numbers are {name}" in note for note in again.notes), (
        "a profile with a cicp tag"
    )
    assert "is lost" in lost_in(tmp_path / "d.bmp", photo)[0]


def test_an_avif_says_its_colors_in_a_box(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), 128, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.avif", quality=100)
    content = bytearray((tmp_path / "a.avif").read_bytes())
    at = content.find(b"colrnclx")
    content[at + 8 : at + 12] = struct.pack(">HH", 1, 8)
    (tmp_path / "a.avif").write_bytes(content)
    assert seen(tmp_path / "a.avif").mean() * 255 == pytest.approx(188, abs=2)
    write_photo(tmp_path / "b.png", read_photo(tmp_path / "a.avif"))
    assert chunks_of(tmp_path / "b.png")[b"cICP"] == bytes((1, 8, 0, 1))


def test_a_jpeg_2000_brings_its_profile(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16, 3), 107, np.uint8)).save(tmp_path / "a.jp2")
    content, profile = (tmp_path / "a.jp2").read_bytes(), rgb_profile("linear")
    at, header = content.find(b"colr"), content.find(b"jp2h")
    box = b"colr" + bytes((2, 0, 0)) + profile
    (size,) = struct.unpack_from(">I", content, header - 4)
    grown = struct.pack(">I", size + len(box) + 4 - 15)  # by number, the box has 15 bytes
    content = (
        content[: header - 4]
        + grown
        + content[header : at - 4]
        + struct.pack(">I", len(box) + 4)
        + box
        + content[at + 11 :]
    )
    (tmp_path / "b.jp2").write_bytes(content)
    assert read_photo(tmp_path / "a.jp2").icc is None
    assert read_photo(tmp_path / "b.jp2").icc == profile
    assert seen(tmp_path / "b.jp2").mean() * 255 == pytest.approx(173, abs=0.6)


def test_a_qoi_is_said_to_be_srgb(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.qoi", Photo(np.full((16, 16, 3), 107, np.uint8)))
    assert (tmp_path / "a.qoi").read_bytes()[13] == 0


def test_programs_that_know_no_cicp_tag_see_pq_white_as_white(tmp_path: Path) -> None:
    """58 % of PQ's range are 203 cd/m², diffuse white; of HLG's it is 75 %."""
    for transfer, level in ((16, 0.58), (18, 0.75)):
        color = described(None, ((b"cICP", bytes((1, transfer, 0, 1))),))
        assert color.icc_writer is not None
        pixels = np.full((4, 4, 3), round(level * 255), np.uint8)
        assert through_littlecms(pixels, color.icc_writer(False)).min() >= 250
        assert 40 < through_littlecms(pixels // 2, color.icc_writer(False)).max() < 200


def exif_of(space: int | None, rule: str | None) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "ACME"
    details: dict[int, Any] = {} if space is None else {0xA001: space}
    if rule is not None:
        details[0xA005] = {1: rule}
    exif[0x8769] = details
    return exif.tobytes()


@pytest.mark.parametrize(
    ("space", "rule", "icc", "is_adobe"),
    [
        (0xFFFF, "R03", None, True),
        (2, None, None, True),
        (None, "R03", None, True),
        (0xFFFF, "R03", SRGB, False),
        (1, "R98", None, False),
        (1, "R03", None, False),
        (0xFFFF, None, None, False),
        (None, None, None, False),
    ],
)
@pytest.mark.parametrize("source", ["a.jpg", "a.tif", "a.webp", "a.png"])
def test_exif_says_adobe_rgb_where_nothing_else_speaks(
    tmp_path: Path,
    source: str,
    space: int | None,
    rule: str | None,
    icc: bytes | None,
    is_adobe: bool,
) -> None:
    image = Image.new("RGB", (16, 16), (0, 160, 0))
    if source == "a.tif":  # Pillow loses the interoperability tags
        codecs.encode(
            np.array(image),
            "TIFF",
            tmp_path / source,
            codecs.Metadata(exif_of(space, rule), icc),
            {},
        )
    else:
        image.save(tmp_path / source, exif=exif_of(space, rule), icc_profile=icc)
    assert (seen(tmp_path / source)[8, 8, 0] < -0.2) == is_adobe
    for target in ("b.jpg", "b.png", "b.tif"):
        write_photo(tmp_path / target, read_photo(tmp_path / source))
        assert np.abs(seen(tmp_path / target)[8, 8] - seen(tmp_path / source)[8, 8]).max() < 0.02
        assert (read_photo(tmp_path / target).icc is None) == (icc is None and not is_adobe), (
            "said to all programs"
        )


def test_cmyk_is_srgb_by_then_whatever_exif_says(tmp_path: Path) -> None:
    image = Image.new("CMYK", (16, 16), (255, 255, 255, 0))
    image.save(
        tmp_path / "a.jpg", icc_profile=black_only_profile(), exif=exif_of(2, None), quality=100
    )
    photo = read_photo(tmp_path / "a.jpg")
    assert as_srgb(photo) is photo
    assert photo.rgb.min() > 250
    write_photo(tmp_path / "b.png", photo)
    assert seen(tmp_path / "b.png").min() > 0.98


def test_pillow_images_bring_and_take_their_description(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), (107, 107, 107))
    image.info["icc_profile"] = rgb_profile("prophoto")
    photo = from_pil(image)
    assert to_pil(photo).info["icc_profile"] == rgb_profile("prophoto")
    path = png(tmp_path / "a.png", np.full((8, 8, 3), 107, np.uint8), (b"gAMA", gamma(1.0)))
    for opened in (Image.open(path), Image.open(path).copy()):
        back = to_pil(from_pil(opened))
        back.save(tmp_path / "b.png")
        assert seen(tmp_path / "b.png").mean() * 255 == pytest.approx(173, abs=0.6)
    cicp = png(
        tmp_path / "c.png", np.full((8, 8, 3), 107, np.uint8), (b"cICP", bytes((1, 8, 0, 1)))
    )
    with Image.open(cicp) as opened:
        assert from_pil(opened).color.to_srgb(np.full((1, 3), 107 / 255, np.float32))[
            0, 0
        ] == pytest.approx(0.68, abs=0.01)


def test_deep_readers_do_not_apply_a_description_of_their_own(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (12, 9, 3), np.uint16)
    path = png(tmp_path / "a.png", pixels, (b"gAMA", gamma(1.0)), icc=rgb_profile("prophoto"))
    np.testing.assert_array_equal(read_photo(path).rgb, pixels)
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1], pixels)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", iccprofile=rgb_profile("prophoto")
    )
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").rgb, pixels)
    assert read_photo(tmp_path / "a.tif").icc == rgb_profile("prophoto")
