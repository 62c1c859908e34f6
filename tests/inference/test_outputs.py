"""How results are written: anew without any task, and without what says where a photo was taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from img2img.cli import main
from img2img.pixels.images import Photo, read_photo, without_metadata
from img2img.pixels.xmp import source_type, with_source_type
from img2img.resources import inputs_dir

PHOTO = inputs_dir() / "old_photo.jpg"


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A JPEG with EXIF, a profile and a resolution."""
    path, exif = tmp_path / "tagged.jpg", Image.Exif()
    exif[0x010F] = "A camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(PHOTO) as photo:
        photo.convert("RGB").save(path, exif=exif, icc_profile=profile, dpi=(300, 300))
    return path


def test_no_task_saves_the_pixels_anew(tagged: Path, tmp_path: Path) -> None:
    output = tmp_path / "saved.png"
    assert main(["infer", "--input", str(tagged), "--task", "none", "--output", str(output)]) == 0
    before, after = read_photo(tagged), read_photo(output)
    assert np.array_equal(before.rgb, after.rgb)
    assert after.exif and after.icc and after.dpi


def test_no_task_may_reduce(
    tagged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "x.webp")
    command = ["infer", "--input", str(tagged), "--output", output, "--task", "none"]
    assert main([*command, "--longer-side", "100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert max(told["size_out"]) == 100 and told["task"] is None
    command += ["--overwrite"]
    assert main([*command, "--scale", "2"]) == 2
    assert "does not enlarge" in capsys.readouterr().err
    assert main([*command, "--task", "none,denoise"]) == 2
    assert "none stands alone" in capsys.readouterr().err
    assert main([*command, "--model", "denoise"]) == 2


def test_no_task_in_the_same_format_is_a_copy(tagged: Path, tmp_path: Path) -> None:
    output = tmp_path / "copy.jpg"
    command = ["infer", "--input", str(tagged), "--task", "none", "--output", str(output)]
    assert main(command) == 0 and output.read_bytes() == tagged.read_bytes()


def test_without_metadata_the_colors_are_said_and_nothing_else(
    tagged: Path, tmp_path: Path
) -> None:
    output = tmp_path / "plain.jpg"
    command = ["infer", "--input", str(tagged), "--task", "none", "--no-metadata"]
    assert main([*command, "--output", str(output)]) == 0
    plain = read_photo(output)
    assert b"A camera" not in output.read_bytes()
    assert plain.exif is None and plain.xmp is None and plain.dpi is None
    assert plain.icc == read_photo(tagged).icc


def test_that_a_network_made_pixels_is_said_all_the_same() -> None:
    packet = with_source_type(b"<x/>", "compositeWithTrainedAlgorithmicMedia")
    photo = Photo(np.zeros((16, 16, 3), np.uint8), exif=b"Exif\0\0", xmp=packet, dpi=(72, 72))
    plain = without_metadata(photo)
    assert source_type(plain.xmp) == "compositeWithTrainedAlgorithmicMedia"
    assert plain.exif is None and plain.dpi is None
    assert without_metadata(Photo(photo.rgb, xmp=b"<x/>")).xmp is None


def test_colors_that_exif_alone_says_go_into_a_profile(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 2  # Adobe RGB
    path = tmp_path / "adobe.jpg"
    Image.new("RGB", (32, 32), (200, 60, 40)).save(path, exif=exif)
    photo = read_photo(path)
    assert photo.color.transform is not None and photo.icc is None
    plain = without_metadata(photo)
    assert plain.exif is None and plain.icc is not None
    given = photo.color.to_srgb(np.full((1, 1, 3), 0.5, np.float32))
    assert np.abs(plain.color.to_srgb(np.full((1, 1, 3), 0.5, np.float32)) - given).max() < 0.01
