"""Whatever a recipe, a size, a mask or a photo is: a result of the right form, or one line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import img2img
from hostile import recipes
from img2img.errors import UserError
from img2img.pixels.drawn_masks import drawn_in_array, marked
from img2img.pixels.images import from_array, read_photo, write_photo
from img2img.recipe import Recipe
from img2img.recipe.reading import read_recipe

MANY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FEW = settings(MANY, max_examples=40)

_WORDS = st.sampled_from(["kind", "task", "denoise", "l1", "steps", "widths", "", "\0", "é"])
_VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=12,
)
_FIELDS = ("name", "seed", "task", "data", "generator", "discriminator", "adversarial", "losses")


def _check_line(error: UserError) -> None:
    assert str(error) and "\n" not in str(error)


@MANY
@given(st.dictionaries(st.sampled_from([*_FIELDS, "train", "more"]), _VALUES, max_size=5))
def test_any_fields_are_a_recipe_or_refused(fields: dict[str, Any]) -> None:
    sound = {
        "name": "tiny",
        "task": {"kind": "denoise"},
        "generator": {"kind": "restorer", "widths": [8], "blocks": [1]},
    }
    try:
        recipe = Recipe.parse({**sound, **fields}, trusted=False)
    except UserError as error:
        _check_line(error)
    else:
        assert Recipe.parse(recipe.fields()) == recipe


@MANY
@given(at=st.integers(0, len(recipes.SOUND)), text=st.text(max_size=6), drop=st.integers(0, 9))
def test_any_change_to_a_recipe_is_read_or_refused(at: int, text: str, drop: int) -> None:
    changed = recipes.SOUND[:at] + text + recipes.SOUND[at + drop :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mine.yaml")
        path.write_bytes(changed.encode("utf-8", "replace"))
        try:
            Recipe.load(path)
        except UserError as error:
            _check_line(error)


@MANY
@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_a_recipe_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mine.yaml")
        path.write_bytes(content)
        try:
            read_recipe(path)
        except UserError as error:
            _check_line(error)


@pytest.mark.parametrize("name", ["denoise", "super_resolve_x2", "colorize", "edges2clothes"])
def test_any_size_is_restored_or_refused(name: str, zoo: Path) -> None:
    model = img2img.load(name, device="cpu")
    scale = 2 if name == "super_resolve_x2" else 1

    @FEW
    @given(st.integers(1, 90), st.integers(1, 90))
    def holds(width: int, height: int) -> None:
        try:
            result = model(np.full((height, width, 3), 90, np.uint8))
        except UserError as error:
            _check_line(error)
        else:
            assert result.shape[:2] == (height * scale, width * scale)

    holds()


_NUMBERS = st.sampled_from([np.bool_, np.uint8, np.uint16, np.float32, np.float64, np.int64])


@MANY
@given(
    st_numpy.arrays(
        dtype=_NUMBERS.map(np.dtype),
        shape=st_numpy.array_shapes(min_dims=1, max_dims=3, max_side=9),
    )
)
def test_any_array_is_a_mask_or_refused(array: np.ndarray) -> None:
    size = array.shape[1::-1] if array.ndim >= 2 else (3, 3)
    try:
        hole = marked(drawn_in_array(array, size)).hole  # type: ignore[arg-type]  # any shape
    except UserError as error:
        _check_line(error)
    else:
        assert hole.dtype == bool and hole.shape in (array.shape[:2], array.shape[1:])


@MANY
@given(
    st_numpy.arrays(
        dtype=_NUMBERS.map(np.dtype),
        shape=st_numpy.array_shapes(min_dims=2, max_dims=3, max_side=9),
    ),
    st.sampled_from(["png", "tif", "jpg", "webp", "bmp", "avif", "jp2", "tga", "qoi", "pgm"]),
)
def test_any_array_is_a_photo_that_comes_back_or_is_refused(array: np.ndarray, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a.{suffix}")
        try:
            photo = from_array(array)
            write_photo(path, photo)
        except UserError as error:
            _check_line(error)
        else:
            assert read_photo(path).size == photo.size
        assert [*Path(folder).iterdir()] in ([], [path]), "nothing else is left"
