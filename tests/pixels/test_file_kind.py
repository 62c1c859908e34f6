"""A file's kind goes by its content, and what cannot be opened here is named with its remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyjpegxl
import pytest
import tifffile
from PIL import Image

from img2img.data.folder import photos_and_others
from img2img.errors import UserError
from img2img.pixels import file_kind as kinds
from img2img.pixels.file_kind import counted
from img2img.pixels.images import decode_rgb8, read_photo

HEIC = Path(__file__).with_name("tiny.heic")  # 96×64, made of a shipped sample by libheif
SIZE = (64, 48)


@pytest.fixture
def colors(photos: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(photos[0][: SIZE[1], : SIZE[0]])


@pytest.fixture
def without_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra had not been installed."""
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)


def save_dng(path: Path, mosaic: np.ndarray, thumbnail: np.ndarray) -> Path:
    """A DNG as cameras write it: a thumbnail first, the RGGB sensor's samples (H,W) uint16 in a
    directory below.
    """
    identity = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    common = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (271, "s", 0, "Maker", True),
        (50708, "s", 0, "Maker One", True),
        (50721, "2i", 9, identity, True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, 21, True),
    ]
    sensor = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50714, "H", 1, 0, True),
        (50717, "H", 1, 65535, True),
    ]
    with tifffile.TiffWriter(path) as file:
        file.write(thumbnail, photometric="rgb", subfiletype=1, subifds=1, extratags=common)
        file.write(mosaic, photometric=32803, subfiletype=0, extratags=sensor)
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A plain red sensor, larger than its green thumbnail."""
    mosaic = np.zeros((128, 192), np.uint16)
    mosaic[::2, ::2] = 40000
    green = np.zeros((16, 24, 3), np.uint8)
    green[..., 1] = 255
    return save_dng(tmp_path / "red.dng", mosaic, green)


def test_a_photo_is_known_by_its_content_whatever_it_is_called(
    tmp_path: Path, colors: np.ndarray
) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        Image.fromarray(colors).save(tmp_path / f"{kind}.JPG_large", kind)
        Image.fromarray(colors).save(tmp_path / kind.lower(), kind)
    (tmp_path / "notes.txt").write_text("BM is how a bitmap begins, and P6 a pixmap")
    (tmp_path / "poem").write_text("P6 is not a picture")
    photos, others = photos_and_others(tmp_path)
    assert len(photos) == 12
    assert not others
    assert {read_photo(path).size for path in photos} == {SIZE}


def test_a_damaged_raw_file_is_told_in_plain_words(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    (tmp_path / "a.nef").write_bytes(b"II*\0" + bytes(200))
    with pytest.raises(UserError, match=r"a\.nef: damaged or cut short \([A-Z]"):
        read_photo(tmp_path / "a.nef")


def test_what_cannot_be_opened_here_is_counted_by_its_kind(
    tmp_path: Path, colors: np.ndarray, raw: Path, without_readers: None
) -> None:
    shutil.copyfile(HEIC, tmp_path / "a.HEIC")
    shutil.copyfile(HEIC, tmp_path / "b.heic")
    (tmp_path / "c.jxl").write_bytes(pyjpegxl.encode_from_numpy(colors))
    (tmp_path / "d.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (tmp_path / "e.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42")
    (tmp_path / "notes.txt").write_text("nothing to see")
    photos, others = photos_and_others(tmp_path)
    assert not photos
    assert counted(others) == (
        "2 HEIC, 1 JPEG XL, 1 camera raw (pip install 'img2img[formats]' opens them), "
        "1 SVG, 1 video"
    )


@pytest.mark.parametrize("name", ["a.heic", "a.jpg", "a.png", "a"])
def test_a_file_without_its_reader_is_refused_with_what_to_install(
    tmp_path: Path, name: str, without_readers: None
) -> None:
    path = Path(shutil.copyfile(HEIC, tmp_path / name))
    with pytest.raises(UserError, match=r"a HEIC file: pip install 'img2img\[formats\]' opens it"):
        read_photo(path)
    with pytest.raises(UserError, match="HEIC"):
        decode_rgb8(path)


def test_the_thumbnail_of_a_raw_file_never_passes_for_the_photo(
    raw: Path, without_readers: None
) -> None:
    for name in ("renamed.tif", "renamed.jpg", "renamed"):
        renamed = Path(shutil.copyfile(raw, raw.with_name(name)))
        with pytest.raises(UserError, match="camera raw"):
            read_photo(renamed)


def test_raw_is_developed_at_16_bits_and_full_size(raw: Path) -> None:
    photo = read_photo(raw)
    assert photo.rgb.dtype == np.uint16
    assert photo.size == (192, 128)
    red, green, blue = photo.rgb[32:-32, 32:-32].reshape(-1, 3).mean(0)
    assert red > 4 * max(green, blue), "the thumbnail is green"
    assert not photo.lossy
    assert photo.exif is not None and b"Maker" in photo.exif
    assert any("developed" in note for note in photo.notes)
    assert decode_rgb8(raw).shape == (128, 192, 3)


def test_heic_comes_with_its_size_and_exif() -> None:
    photo = read_photo(HEIC)
    assert (photo.size, photo.format, photo.lossy) == ((96, 64), "HEIC", True)
    assert photo.exif is not None
    exif = Image.Exif()
    exif.load(photo.exif)
    assert (exif[0x010F], exif[0x0112]) == ("Maker", 1)
    assert photo.rgb.std() > 20


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_xl_keeps_depth_and_channels(
    tmp_path: Path, colors: np.ndarray, dtype: type, channels: int
) -> None:
    samples = np.dstack([colors, colors[..., :1]]).astype(dtype) * dtype(
        1 if dtype == np.uint8 else 257
    )
    samples = np.ascontiguousarray(samples[..., :channels])
    path = tmp_path / "a.jxl"
    path.write_bytes(pyjpegxl.encode_from_numpy(samples, lossless=True))
    photo = read_photo(path)
    assert photo.is_grey == (channels == 1)
    assert photo.rgb.dtype == dtype
    np.testing.assert_array_equal(photo.rgb, np.broadcast_to(samples[..., :3], photo.rgb.shape))
    assert (photo.alpha is not None) == (channels == 4)


def test_damaged_files_of_these_kinds_are_one_line(
    tmp_path: Path, colors: np.ndarray, raw: Path
) -> None:
    whole = {
        "a.heic": HEIC.read_bytes(),
        "a.jxl": pyjpegxl.encode_from_numpy(colors),
        "a.dng": raw.read_bytes(),
    }
    for name, content in whole.items():
        path = tmp_path / name
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match=name) as refused:
            read_photo(path)
        assert "\n" not in str(refused.value)
