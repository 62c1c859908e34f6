"""A result and the photo mixed by region: exact at both ends, light in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2img.cli import main
from img2img.errors import UserError
from img2img.inference.mixing import by_region, mixed
from img2img.inference.request import Request
from img2img.pixels.color import to_lab
from img2img.pixels.images import Photo, read_photo, write_photo
from img2img.pixels.strength_map import read_strength
from img2img.pixels.tensors import as_float

Mask = Callable[..., Path]


@pytest.fixture
def mask(tmp_path: Path) -> Mask:
    """A strength mask of rows of levels, as a file."""

    def drawn(*levels: int, size: tuple[int, int] = (96, 96), dtype: Any = np.uint8) -> Path:
        rows = np.repeat(np.array(levels, dtype), size[1] // len(levels))
        path = tmp_path / f"mask_{'_'.join(map(str, levels))}_{size[0]}.png"
        Image.fromarray(np.repeat(rows[:, None], size[0], 1)).save(path)
        return path

    return drawn


@pytest.fixture
def infer(zoo: Path, tmp_path: Path) -> Callable[..., Photo]:
    """What `img2img infer` makes of a photo, as a PNG."""

    def run(photo: Path, *flags: str) -> Photo:
        output = tmp_path / "result.png"
        command = ["infer", "--input", str(photo), "--output", str(output), "--overwrite", *flags]
        assert main(command) == 0
        return read_photo(output)

    return run


def noise(rng: np.random.Generator, dtype: Any, height: int = 96, width: int = 96) -> np.ndarray:
    top = np.iinfo(dtype).max
    return rng.integers(0, top + 1, (height, width, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("task", ["denoise", "colorize", "translate"])
def test_black_is_the_input_and_white_the_result_bit_for_bit(
    infer: Callable[..., Photo],
    mask: Mask,
    tmp_path: Path,
    rng: np.random.Generator,
    task: str,
    dtype: Any,
) -> None:
    photo = tmp_path / "photo.png"
    write_photo(photo, Photo(noise(rng, dtype)))
    given, full = read_photo(photo).rgb, infer(photo, "--task", task).rgb
    half = infer(photo, "--task", task, "--strength-mask", str(mask(0, 255))).rgb
    assert half.dtype == dtype and not np.array_equal(given[48:], full[48:])
    assert np.array_equal(half[:48], given[:48]) and np.array_equal(half[48:], full[48:])
    for level, expected in ((0, given), (255, full)):
        whole = infer(photo, "--task", task, "--strength-mask", str(mask(level, level)))
        assert np.array_equal(whole.rgb, expected)


def test_the_automatic_plan_and_its_enlargement_take_a_mask(
    infer: Callable[..., Photo], mask: Mask, photo_folder: Path
) -> None:
    photo = photo_folder / "photo_0.png"
    full = infer(photo)
    assert full.size == (192, 192), "it is small"
    half = infer(photo, "--strength-mask", str(mask(0, 255)))
    assert np.array_equal(half.rgb[110:], full.rgb[110:])
    plain = np.asarray(Image.open(photo).resize((192, 192), Image.Resampling.BICUBIC))
    assert np.abs(half.rgb[:80].astype(int) - plain[:80]).mean() < 2, "plainly enlarged"


def test_tiles_are_the_whole(
    zoo: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = Photo(noise(rng, np.uint8, 200, 1400))
    strength = np.tile(np.linspace(0, 255, 1400).astype(np.uint8), (200, 1))
    plan = Request(("denoise",), device="cpu", precision="fp32").resolve().plan(photo)
    assert (plan.tile_counts(photo.size)[0] or 0) > 1
    in_tiles = plan.run(photo, strength=strength).rgb
    assert np.array_equal(in_tiles, by_region(photo, plan.run(photo), strength).rgb)
    assert np.array_equal(in_tiles[:, 0], photo.rgb[:, 0])


def test_mixing_keeps_a_luminance_that_both_have(rng: np.random.Generator) -> None:
    """What colorizing guarantees holds where the mask is grey, too."""
    grey = np.full((8, 256, 3), 127, np.uint8)
    red = np.full_like(grey, (255, 0, 0))
    lightness = [float(to_lab(as_float(_planes(one)))[0, 0, 0, 0]) for one in (grey, red)]
    assert abs(lightness[0] - lightness[1]) < 0.5, "the same to begin with"
    weight = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    between = by_region(Photo(grey), Photo(red), weight).rgb
    found = to_lab(as_float(_planes(between)))[0, 0]
    assert (found - lightness[0]).abs().max() < 0.6
    assert np.array_equal(between[:, 0], grey[:, 0]) and np.array_equal(between[:, 255], red[:, 0])


def _planes(rgb: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None]


def test_transparency_is_mixed_and_exact_at_both_ends(rng: np.random.Generator) -> None:
    before = Photo(noise(rng, np.uint16), rng.integers(0, 65536, (96, 96)).astype(np.uint16))
    after = Photo(noise(rng, np.uint16), rng.integers(0, 65536, (96, 96)).astype(np.uint16))
    weight = np.zeros((96, 96), np.uint16)
    weight[32:64], weight[64:] = 20_000, 65535
    done = mixed(before, after, weight, as_light=True)
    assert done.alpha is not None and before.alpha is not None and after.alpha is not None
    for rows, one in ((slice(0, 32), before), (slice(64, 96), after)):
        assert one.alpha is not None
        assert np.array_equal(done.rgb[rows], one.rgb[rows])
        assert np.array_equal(done.alpha[rows], one.alpha[rows])
    low, high = (np.stack([before.alpha, after.alpha])[:, 40].min(0), before.alpha[40])
    assert (done.alpha[40] >= low).all() and high.shape == low.shape


def test_a_photo_that_stays_grey_is_written_grey() -> None:
    grey = Photo(np.full((16, 16, 3), 90, np.uint8), is_grey=True)
    red = Photo(np.full((16, 16, 3), (250, 0, 0), np.uint8))
    nowhere, everywhere = (np.full((16, 16), level, np.uint8) for level in (0, 255))
    assert by_region(grey, red, nowhere).shows_grey
    assert not by_region(grey, red, everywhere).shows_grey


# --- the mask's file


def test_a_mask_may_have_another_size_of_the_same_aspect(mask: Mask) -> None:
    large = read_strength(mask(0, 255, size=(48, 48)), (96, 96))
    assert large.shape == (96, 96) and large[0, 0] == 0 and large[95, 95] == 255
    small = read_strength(mask(0, 255, size=(192, 192)), (96, 96))
    assert small.shape == (96, 96) and (small[:47] == 0).all() and (small[49:] == 255).all()
    deep = read_strength(mask(0, 65535, dtype=np.uint16), (96, 96))
    assert deep.dtype == np.uint16 and deep.max() == 65535


def test_transparency_is_full_strength(tmp_path: Path) -> None:
    strokes = np.zeros((32, 32, 4), np.uint8)
    strokes[:8, :, 3] = 255
    Image.fromarray(strokes).save(tmp_path / "strokes.png")
    strength = read_strength(tmp_path / "strokes.png", (32, 32))
    assert (strength[:8] == 0).all() and (strength[8:] == 255).all()


def test_masks_that_do_not_fit_are_explained(
    mask: Mask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="strength mask is 96x48, photo is 96x96"):
        read_strength(mask(0, 255, size=(96, 48)), (96, 96))
    Image.new("RGB", (96, 96), "red").save(tmp_path / "red.png")
    with pytest.raises(UserError, match="has colors: make it grey"):
        read_strength(tmp_path / "red.png", (96, 96))
    nowhere = ["--strength-mask", str(tmp_path / "none.png")]
    assert main(["infer", "--input", str(tmp_path / "red.png"), *nowhere]) == 2
    assert "--strength-mask: " in capsys.readouterr().err


def test_a_folder_of_masks_and_a_new_border(
    infer: Callable[..., Photo], mask: Mask, tmp_path: Path, rng: np.random.Generator
) -> None:
    folder, photo = tmp_path / "masks", tmp_path / "photo.png"
    folder.mkdir()
    write_photo(photo, Photo(noise(rng, np.uint8)))
    mask(0, 0).rename(folder / "photo.png")
    flags = ["--task", "inpaint", "--extend", "0,0,16,0"]
    full = infer(photo, *flags)
    done = infer(photo, *flags, "--strength-mask", str(folder))
    assert np.array_equal(done.rgb, full.rgb), "the border is new, the photo was kept anyway"
    assert replace(done, rgb=full.rgb).size == (112, 96)
