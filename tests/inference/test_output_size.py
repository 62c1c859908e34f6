"""Results of any size: which enlargements reach it, and the same bytes from every door."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from img2img.cli import main
from img2img.errors import UserError
from img2img.inference.batch import FileBatch
from img2img.inference.output_size import Growth, OutputSize, factors_for
from img2img.inference.pipeline import load
from img2img.inference.request import Request
from img2img.pixels.images import Photo, from_array, read_photo, to_array, write_photo
from img2img.pixels.reduction import reduced

pytestmark = pytest.mark.usefixtures("zoo")
ENLARGE = Request(("super-resolve",), device="cpu")


def picture(size: tuple[int, int], dtype: type = np.uint8, channels: int = 3) -> np.ndarray:
    shape, top = (size[1], size[0], channels), np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, shape, dtype, endpoint=True)


def result(photo: Photo, request: Request = ENLARGE, **size: Any) -> Photo:
    return replace(request, size=OutputSize(**size)).resolve().plan(photo).run(photo)


def test_sides_keep_the_aspect_and_both_are_exact() -> None:
    size = (800, 600)
    assert OutputSize().of(size) is None
    assert OutputSize(scale=3.5).of(size) == (2800, 2100)
    assert OutputSize(longer_side=4000).of(size) == (4000, 3000)
    assert OutputSize(longer_side=4000).of((600, 800)) == (3000, 4000)
    assert OutputSize(width=1001).of(size) == (1001, 751)
    assert OutputSize(height=1).of(size) == (1, 1)
    assert OutputSize(width=2000, height=1499).of(size) == (2000, 1499)
    assert OutputSize(width=10, height=3).of((100, 33)) == (10, 3), "rounded, not distorted"


@given(photo=st.tuples(st.integers(1, 9000), st.integers(1, 9000)), side=st.integers(1, 9000))
def test_the_side_that_is_asked_for_comes_out(photo: tuple[int, int], side: int) -> None:
    for size, at in (
        (OutputSize(longer_side=side), photo.index(max(photo))),
        (OutputSize(width=side), 0),
        (OutputSize(height=side), 1),
    ):
        wanted = size.of(photo)
        assert wanted is not None and wanted[at] == side and min(wanted) >= 1


@given(factor=st.floats(0.01, 16))
def test_the_fewest_and_least_enlargements_are_taken(factor: float) -> None:
    chain = factors_for(Growth(factor, "scale", ""), [2, 4])
    assert prod(chain) >= min(factor, 1)
    if factor <= 1:
        assert chain == ()
    else:
        least = min(n for n in (2, 4, 8, 16) if n >= factor)
        assert prod(chain) == least and chain == {8: (4, 2), 16: (4, 4)}.get(least, (least,))


@pytest.mark.parametrize("size", [(19, 23), (31, 17)])
@pytest.mark.parametrize(
    ("asked", "models"),
    [
        ({"scale": 1.3}, "super_resolve_x2"),
        ({"scale": 2}, "super_resolve_x2"),
        ({"scale": 3.5}, "super_resolve_x4"),
        ({"longer_side": 77}, "super_resolve_x4"),
        ({"width": 180}, "super_resolve_x4,super_resolve_x2|super_resolve_x4,super_resolve_x4"),
        ({"height": 40}, "super_resolve_x2|super_resolve_x4"),
        ({"scale": 1}, ""),
        ({"scale": 0.4}, ""),
        ({"longer_side": 5}, ""),
    ],
)
def test_odd_photos_come_out_exactly_as_large(
    size: tuple[int, int], asked: dict[str, Any], models: str
) -> None:
    photo, wanted = from_array(picture(size)), OutputSize(**asked)
    plan = replace(ENLARGE, size=wanted).resolve().plan(photo)
    assert plan.models in models.split("|")
    assert plan.run(photo).size == plan.size_out(size) == wanted.of(size)


def test_the_reduction_is_of_what_the_model_made_and_whole_factors_have_none() -> None:
    photo = from_array(picture((20, 16)))
    whole = load("super_resolve_x4", device="cpu").run(photo)
    for asked in (result(photo, scale=4), result(photo, replace(ENLARGE, scale=4))):
        assert (asked.rgb == whole.rgb).all()
    assert replace(ENLARGE, scale=4).resolve().plan(photo).reduced_to is None
    np.testing.assert_array_equal(result(photo, scale=3.5).rgb, reduced(whole, (70, 56)).rgb)


def test_the_plan_says_what_is_enlarged_and_reduced() -> None:
    photo = from_array(picture((20, 16)))

    def sentence(*tasks: str, **size: Any) -> str:
        return Request(tasks, size=OutputSize(**size)).resolve().plan(photo).sentence

    assert sentence("super-resolve", scale=3.5) == "enlarge ×4, then reduce to 70×56, as asked"
    assert sentence("super-resolve", scale=0.5) == "reduce to 10×8, as asked"
    assert "enlarge ×4, enlarge ×2, then reduce to 100×80 as asked, because" in sentence(width=100)
    assert sentence(width=100).endswith("100×80 was asked for")
    assert "enlarge" not in sentence(scale=0.5), "a small photo that is to be smaller"
    assert sentence("denoise", scale=0.5) == "denoise, then reduce to 10×8, as asked"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        (["--scale", "3.5"], {"scale": 3.5}),
        (["--longer-side", "61"], {"longer_side": 61}),
        (["--width", "70", "--height", "56"], {"width": 70, "height": 56}),
        (["--scale", "0.5"], {"scale": 0.5}),
    ],
)
def test_command_and_python_give_the_same_bytes_at_any_depth(
    tmp_path: Path, dtype: type, channels: int, flags: list[str], asked: dict[str, Any]
) -> None:
    array = picture((20, 16), dtype, channels)
    write_photo(tmp_path / "photo.png", from_array(array))
    for name, by in (
        ("task", ["--task", "super-resolve"]),
        ("model", ["--model", "super_resolve_x4"]),
    ):
        output = tmp_path / f"{name}.png"
        arguments = ["--input", tmp_path / "photo.png", "--output", output, "--device", "cpu"]
        assert main(["infer", *map(str, arguments), *by, *flags]) == 0
        called = load("super_resolve_x4", device="cpu")(array, **asked)
        assert called.dtype == dtype and called.shape[2] == channels
        np.testing.assert_array_equal(to_array(read_photo(output)), called)


def test_files_keep_what_they_carry_and_a_copy_is_one_only_at_its_own_size(tmp_path: Path) -> None:
    photo = replace(from_array(picture((40, 30))), dpi=(300.0, 300.0))
    write_photo(tmp_path / "photo.png", photo)

    def written(**size: Any) -> bytes:
        request = replace(ENLARGE, size=OutputSize(**size))
        path = str(tmp_path / "photo.png")
        [done] = FileBatch([path], request, str(tmp_path / "out.png"), overwrite=True).run()
        assert done.error is None and done.output is not None
        assert done.size_out == read_photo(done.output).size
        return done.output.read_bytes()

    assert written(longer_side=40) == (tmp_path / "photo.png").read_bytes()
    written(longer_side=39)
    assert read_photo(tmp_path / "out.png").dpi == pytest.approx((300, 300), abs=0.1)


def test_detail_goes_with_the_model_that_the_size_takes() -> None:
    photo = from_array(picture((20, 16)))
    for asked in ({"scale": 1.5}, {"longer_side": 30}):
        with pytest.raises(UserError, match="crisp"):
            result(photo, replace(ENLARGE, detail=0.5), **asked)
    assert result(photo, replace(ENLARGE, detail=0.5), longer_side=10).size == (10, 8)


def test_cancelling_ends_a_reduction() -> None:
    photo = from_array(picture((20, 16)))

    def stop(step: int, done: int) -> None:
        raise KeyboardInterrupt

    plan = replace(ENLARGE, size=OutputSize(scale=0.5)).resolve().plan(photo)
    with pytest.raises(KeyboardInterrupt):
        plan.run(photo, on_tile=stop)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({"scale": 0}, r"^scale must be a number above 0, not 0$"),
        ({"scale": float("nan")}, r"^scale must be a number above 0, not nan$"),
        ({"width": 2.5}, r"^width must be a whole number, not 2\.5$"),
        ({"longer_side": "x"}, r"^longer_side must be a number above 0, not 'x'$"),
        ({"scale": 2, "width": 5}, r"^scale and width each say how large .*: give one$"),
        ({"scale": 16.5}, r"^scale: ×16\.5 is more than ×16 of the photo"),
        ({"longer_side": 330}, r"^longer_side: 330×264 is more than ×16 of the photo"),
        (
            {"width": 50, "height": 50},
            r"^width and height would distort the photo, which is 20x16: give one of them: "
            r"width alone makes 50x40, height alone 62x50$",
        ),
    ],
)
def test_a_size_that_cannot_be_is_refused_in_one_line(size: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        result(from_array(picture((20, 16))), **size)


def test_two_fields_that_each_say_the_size_are_refused() -> None:
    with pytest.raises(UserError, match=r"^scale and longer_side each say how large"):
        Request(scale=2, size=OutputSize(longer_side=50)).resolve()


@pytest.mark.parametrize("asked", [{"scale": 2.5}, {"longer_side": 50}])
def test_a_named_model_is_applied_once(asked: dict[str, Any]) -> None:
    array, field = picture((20, 16)), next(iter(asked))
    for name, words in (
        ("super_resolve_x2", "is for ×2, not .*×2 at most"),
        ("denoise", "enlarge"),
    ):
        message = rf"^{field}: model '{name}' .*{words}"
        with pytest.raises(UserError, match=message):
            result(from_array(array), Request(model=name), **asked)
        with pytest.raises(UserError, match=message):
            load(name, device="cpu")(array, **asked)
    with pytest.raises(UserError, match=rf"^{field}: 'denoise' does not enlarge.*super-resolve"):
        result(from_array(array), Request(("denoise",)), **asked)
