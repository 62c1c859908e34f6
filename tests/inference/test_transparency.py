"""What lies under transparency changes nothing that is visible: for every task, in every form a
picture comes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from img2img.inference.batch import FileBatch
from img2img.inference.options import Options
from img2img.inference.pipeline import Model, load
from img2img.inference.request import Request
from img2img.inference.statistics import statistics
from img2img.modelfile import Card
from img2img.pixels.hints import hints_in
from img2img.pixels.images import Photo, from_array, read_photo, to_float
from img2img.recipe import Recipe
from img2img.tasks import MaskedTask
from img2img.zoo import model_path

NAMES = ["denoise", "super_resolve_x2", "super_resolve_x4", "colorize", "inpaint", "edges2clothes"]
SIZE = (64, 72)


@pytest.fixture(scope="module")
def models(tiny_zoo: Path) -> dict[str, Model]:
    return {name: load(tiny_zoo / f"{name}.safetensors", precision="fp32") for name in NAMES}


def smooth(size: tuple[int, int] = SIZE, dtype: Any = np.uint8) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    values = np.stack([0.2 + 0.6 * x, 0.2 + 0.6 * y, 0.5 + 0.3 * np.sin(5 * x + 3 * y)], -1)
    return (
        values.astype(dtype)
        if dtype == np.float32
        else (values * np.iinfo(dtype).max).astype(dtype)
    )


def disc(size: tuple[int, int] = SIZE, dtype: Any = np.uint8, share: float = 0.6) -> np.ndarray:
    """A round cut-out with an edge of 2 px."""
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.hypot(y - size[0] / 2 + 0.5, x - size[1] / 2 + 0.5)
    cover = np.clip((share * min(size) / 2 - away) / 2 + 0.5, 0, 1)
    return (
        cover.astype(dtype) if dtype == np.float32 else (cover * np.iinfo(dtype).max).astype(dtype)
    )


def hidden_differently(rgb: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
    top = 1 if rgb.dtype == np.float32 else np.iinfo(rgb.dtype).max
    noise = (np.random.default_rng(0).random(rgb.shape) * top).astype(rgb.dtype)
    return [
        np.where(alpha[..., None] > 0, rgb, other).astype(rgb.dtype) for other in (0, top, noise)
    ]


def hole_for(model: Model, size: tuple[int, int]) -> np.ndarray | None:
    if not isinstance(model.task, MaskedTask):
        return None
    hole = np.zeros(size, bool)
    hole[size[0] // 3 : size[0] // 2, size[1] // 8 : size[1] // 2] = (
        True  # across the cut-out's edge
    )
    return hole


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("options", [{}, {"strength": 0.4}], ids=str)
def test_what_is_hidden_changes_nothing_that_is_visible(
    models: dict[str, Model], name: str, dtype: Any, options: dict[str, Any]
) -> None:
    model, alpha = models[name], disc(dtype=dtype)
    variants = hidden_differently(smooth(dtype=dtype), alpha)
    made = [
        model.run(Photo(rgb, alpha), hole_for(model, SIZE), Options(**options)) for rgb in variants
    ]
    for other in made[1:]:
        visible = np.ones(made[0].rgb.shape[:2], bool) if other.alpha is None else other.alpha > 0
        np.testing.assert_array_equal(other.rgb[visible], made[0].rgb[visible])
        np.testing.assert_array_equal(other.alpha, made[0].alpha)


def test_several_tiles_and_the_self_ensemble_hide_it_too(models: dict[str, Model]) -> None:
    alpha = disc((40, 560))
    for options in (Options(), Options(self_ensemble=True)):
        made = [
            models["super_resolve_x2"].run(Photo(rgb, alpha), options=options)
            for rgb in hidden_differently(smooth((40, 560)), alpha)
        ]
        assert made[0].alpha is not None
        assert all(
            (m.rgb == made[0].rgb).all() and (m.alpha == made[0].alpha).all() for m in made[1:]
        )
        assert (made[0].alpha[:, :200] == 0).all()


def test_arrays_and_pillow_images_take_the_same_way(models: dict[str, Model]) -> None:
    alpha = disc()
    for model in models.values():
        rgba = [np.dstack([rgb, alpha]) for rgb in hidden_differently(smooth(), alpha)]
        hole = hole_for(model, SIZE)
        arrays = [model(x, hole) for x in rgba]
        images = [np.asarray(model(Image.fromarray(x), hole)) for x in rgba]
        visible = (
            arrays[0][..., -1] > 0 if model.task.background == "bleed" else np.ones(SIZE, bool)
        )
        assert all((x[visible] == arrays[0][visible]).all() for x in (*arrays, *images))


def _palette(path: Path, rgb: np.ndarray, alpha: np.ndarray) -> None:
    """Index 0 is clear, and its color is that of the corner."""
    image = Image.fromarray(np.where(alpha > 0, rgb[..., 0] // 2 + 1, 0).astype(np.uint8), "P")
    image.putpalette(
        [int(rgb[0, 0, 0])] * 3 + [c for level in range(255) for c in (level, 255 - level, 40)]
    )
    image.save(path, transparency=0)


def _grey(path: Path, rgb: np.ndarray, alpha: np.ndarray) -> None:
    Image.fromarray(np.dstack([rgb[..., 0], alpha]), "LA").save(path)


def _deep(path: Path, rgb: np.ndarray, alpha: np.ndarray) -> None:
    tifffile.imwrite(
        path,
        np.dstack([rgb, alpha]).astype(np.uint16) * 257,
        photometric="rgb",
        extrasamples=["unassalpha"],
    )


def _premultiplied(path: Path, rgb: np.ndarray, alpha: np.ndarray) -> None:
    """What is hidden may hold anything here too."""
    colors = np.where(alpha[..., None] > 0, rgb.astype(float) * alpha[..., None] / 255, rgb)
    tifffile.imwrite(
        path,
        np.dstack([np.rint(colors * 257), alpha.astype(float) * 257]).astype(np.uint16),
        photometric="rgb",
        extrasamples=["assocalpha"],
    )


def _rgba(path: Path, rgb: np.ndarray, alpha: np.ndarray) -> None:
    options = {"lossless": True, "exact": True} if path.suffix == ".webp" else {}
    Image.fromarray(np.dstack([rgb, alpha])).save(path, **options)


Writer = Callable[[Path, np.ndarray, np.ndarray], None]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        *(("a.png", write) for write in (_palette, _grey, _rgba)),
        *(("a.tif", write) for write in (_deep, _premultiplied, _rgba)),
        ("a.webp", _rgba),
    ],
)
def test_every_kind_of_file_takes_the_same_way(
    models: dict[str, Model], tmp_path: Path, name: str, write: Writer
) -> None:
    alpha, made = disc(), []
    for rgb in hidden_differently(smooth(), alpha)[:2]:
        write(tmp_path / name, rgb, alpha)
        photo = read_photo(tmp_path / name)
        assert photo.alpha is not None
        made.append((models["super_resolve_x2"].run(photo), statistics(photo)))
    (first, known), (other, also) = made
    assert known == also
    assert first.alpha is not None
    np.testing.assert_array_equal(first.alpha, other.alpha)
    np.testing.assert_array_equal(first.rgb[first.alpha > 0], other.rgb[first.alpha > 0])


# --- no rim, by the models that ship


@pytest.mark.parametrize(
    ("name", "most"), [("denoise", 2), ("super_resolve_x2", 2), ("super_resolve_x4", 2)]
)
@pytest.mark.parametrize("soft", [False, True])
def test_opaque_pixels_at_the_edge_are_those_of_the_whole_photo(
    name: str, most: int, soft: bool
) -> None:
    model, alpha = load(model_path(name), precision="fp32"), disc((96, 96))
    rgb = np.ascontiguousarray(smooth((192, 192))[48:144, 48:144])
    alpha = alpha if soft else np.where(alpha > 127, 255, 0).astype(np.uint8)
    whole, scale = model.run(Photo(rgb)).rgb.astype(int), model.task.scale
    opaque = (alpha == 255).repeat(scale, 0).repeat(scale, 1)
    for variant in hidden_differently(rgb, alpha):
        made = model.run(Photo(variant, alpha))
        assert np.abs(made.rgb.astype(int) - whole)[opaque].max() <= most
    hidden = model.run(Photo(variant)).rgb.astype(int)
    assert np.abs(hidden - whole)[opaque].max() > 10, "which the hidden colors would have moved"


# --- the alpha itself


@pytest.mark.parametrize("name", ["super_resolve_x2", "super_resolve_x4"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_alpha_is_enlarged_by_the_same_model(
    models: dict[str, Model], name: str, dtype: Any
) -> None:
    model, alpha = models[name], disc(dtype=dtype)
    top, scale = (1 if dtype == np.float32 else np.iinfo(dtype).max), model.task.scale
    made = model.run(Photo(smooth(dtype=dtype), alpha)).alpha
    assert made is not None
    assert made.dtype == dtype
    as_grey = model.run(Photo(alpha[..., None].repeat(3, 2))).rgb[..., 0]
    near = as_grey == made
    assert near.mean() < 1, "where it is flat, a network that adds something is not asked"
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.hypot(y - SIZE[0] / 2 + 0.5, x - SIZE[1] / 2 + 0.5)
    inside, outside, edge = (
        r.repeat(scale, 0).repeat(scale, 1) for r in (away < 14, away > 24, np.abs(away - 19) < 2)
    )
    assert (made[inside] == top).all()
    assert (made[outside] == 0).all()
    assert near[edge].all()
    assert 0 <= made.min() <= made.max() <= top


def test_progress_counts_the_pictures_tiles_and_enlarging_an_alpha_can_be_stopped(
    models: dict[str, Model],
) -> None:
    model, counts = models["super_resolve_x2"], []
    model.run(Photo(smooth(), disc()), on_tile=counts.append)
    assert [n for n in counts if n] == [1]

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.run(Photo(smooth(), disc()), on_tile=stop)


def test_a_filled_hole_is_opaque_and_known_pixels_come_back_hidden_ones_too(
    models: dict[str, Model],
) -> None:
    model, alpha = models["inpaint"], disc()
    hole = hole_for(model, SIZE)
    assert hole is not None
    for rgb in hidden_differently(smooth(), alpha):
        made = model.run(Photo(rgb, alpha), hole)
        assert made.alpha is not None
        assert (made.alpha[hole] == 255).all()
        np.testing.assert_array_equal(made.alpha[~hole], alpha[~hole])
        np.testing.assert_array_equal(made.rgb[~hole], rgb[~hole])


# --- drawings


def lines(size: tuple[int, int] = (96, 80)) -> np.ndarray:
    """The alpha of some strokes."""
    cover = np.zeros(size, np.uint8)
    cover[10:13, 8:60] = cover[10:80, 30:32] = 255
    cover[13, 8:60] = 128
    return cover


def test_black_lines_on_transparent_are_black_lines_on_white(models: dict[str, Model]) -> None:
    cover = lines()
    drawn = [
        Photo(np.full((96, 80, 3), 255 * (cover[..., None] == 0) * v, np.uint8), cover)
        for v in (0, 1)
    ]
    made = [
        models["edges2clothes"].run(photo)
        for photo in (*drawn, Photo(255 - cover[..., None].repeat(3, 2)))
    ]
    assert all(m.alpha is None for m in made)
    assert all((m.rgb == made[2].rgb).all() for m in made)


@pytest.mark.parametrize(
    ("source", "data", "background"),
    [
        ({"source": "pairs"}, {}, "white"),
        ({"source": "pairs"}, {"background": "black"}, "black"),
        ({"source": "pairs"}, {"background": "bleed"}, "bleed"),
        ({"source": "sepia"}, {}, "bleed"),
        ({"source": "sepia"}, {"background": "white"}, "bleed"),
    ],
)
def test_a_network_reads_transparency_as_it_was_trained(
    source: dict[str, str], data: dict[str, str], background: str
) -> None:
    generator = {"kind": "unet", "width": 4, "levels": 3, "norm": "none", "dropout": 0.0}
    fields = {"name": "x", "task": {"kind": "translate", **source}, "generator": generator}
    recipe = Recipe.parse({**fields, "data": {"crop_px": 64, **data}})
    model = Model("x", recipe, Card(), recipe.build_generator(), torch.device("cpu"), "fp32")
    made = model.run(Photo(np.zeros((64, 64, 3), np.uint8), disc((64, 64))))
    assert recipe.background == background
    assert (made.alpha is None) == (background != "bleed")


# --- what is known of a photo


def test_transparent_pixels_do_not_count_in_statistics() -> None:
    rng, alpha = np.random.default_rng(0), disc((200, 200))
    grey = np.repeat(smooth((200, 200))[..., :1], 3, 2)
    noisy = np.clip(grey + rng.normal(0, 25, grey.shape), 0, 255).astype(np.uint8)
    colors = rng.integers(0, 256, grey.shape, np.uint8)
    for hidden in (colors, noisy, np.zeros_like(grey)):
        known = statistics(Photo(np.where(alpha[..., None] > 0, grey, hidden), alpha))
        assert (known.tints, known.noise_sigma_255 < 3) == (0, True)
    assert (
        statistics(Photo(np.where(alpha[..., None] > 0, noisy, grey), alpha)).noise_sigma_255 > 15
    )
    assert not statistics(Photo(grey, alpha)).has_mask, "nothing is to be filled"
    statistics(Photo(grey, np.zeros((200, 200), np.uint8)))  # nothing to be seen at all


def test_a_painted_copy_of_a_cut_out_is_compared_where_something_can_be_seen() -> None:
    alpha, rgb = disc(), smooth()
    painted = np.where(alpha[..., None] > 0, rgb, 0)  # an editor that blackens what is hidden
    painted[30:34, 30:40] = (255, 0, 0)
    marked = hints_in(Photo(painted, alpha), Photo(rgb, alpha)).marked
    assert marked.sum() == 40
    assert marked[30:34, 30:40].all()
    layer = np.zeros((*SIZE, 4), np.uint8)
    layer[30:34, 30:40] = (255, 0, 0, 255)
    assert (hints_in(from_array(layer), Photo(rgb, alpha)).marked == marked).all()


@pytest.mark.usefixtures("zoo")
def test_files_differing_under_transparency_are_treated_alike(tmp_path: Path) -> None:
    alpha, made = disc((64, 64)), []
    for number, rgb in enumerate(hidden_differently(smooth((64, 64)), alpha)):
        path = tmp_path / str(number) / "cut_out.png"
        path.parent.mkdir()
        Image.fromarray(np.dstack([rgb, alpha])).save(path)
        (result,) = FileBatch([str(path)], Request()).run()
        assert result.output is not None
        photo = read_photo(result.output)
        made.append((result.reason, np.dstack([to_float(photo.rgb), to_float(photo.alpha)])))  # type: ignore[arg-type]  # kept
    visible = made[0][1][..., 3] > 0
    assert all(
        reason == made[0][0] and (x[visible] == made[0][1][visible]).all() for reason, x in made
    )
