"""What every model promises, whatever its weights are: these ones are random."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from img2img.errors import UserError
from img2img.inference.options import CallOptions, Options, PictureOptions, TensorOptions
from img2img.inference.output_size import OutputSize
from img2img.inference.pipeline import Model, load
from img2img.pixels.color import downscale, luminance
from img2img.pixels.images import Photo, quantise, to_float
from img2img.pixels.masks import grow
from img2img.pixels.xmp import source_type, with_source_type
from img2img.tasks import MaskedTask
from img2img.tasks.forward import ForwardOptions, forward
from img2img.tasks.photo import View

NAMES = ["denoise", "super_resolve_x2", "super_resolve_x4", "colorize", "inpaint", "edges2clothes"]
CPU = torch.device("cpu")
SIZES = [(16, 16), (17, 16), (16, 33), (45, 61), (64, 64)]


@pytest.fixture(scope="session")
def models(tiny_zoo: Path) -> dict[str, Model]:
    return {name: load(tiny_zoo / f"{name}.safetensors", precision="fp32") for name in NAMES}


@cache
def picture(size: tuple[int, int], dtype: type = np.uint8) -> np.ndarray:
    """Smooth colors with some noise on them."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    smooth = np.stack([x, y, 0.5 + 0.4 * np.sin(7 * x + 5 * y)], -1)
    return quantise(
        (smooth * 0.8 + 0.1 + rng.normal(0, 0.02, smooth.shape)).astype(np.float32), dtype
    )


def mask_for(model: Model, size: tuple[int, int]) -> np.ndarray | None:
    if not isinstance(model.task, MaskedTask):
        return None
    mask = np.zeros(size, bool)
    mask[size[0] // 3 : size[0] // 2 + 1, size[1] // 4 : size[1] // 2] = True
    return mask


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_size_depth_alpha_and_metadata_are_the_inputs(
    models: dict[str, Model], name: str, size: tuple[int, int], dtype: type
) -> None:
    model = models[name]
    rgb = picture(size, dtype)
    photo = Photo(
        rgb, rgb[..., 0].copy(), format="TIFF", exif=b"Exif\0\0x", icc=b"profile", dpi=(300, 300)
    )
    mask = mask_for(model, size)
    made = model.run(photo, mask)
    scale = model.task.scale
    assert made.size == (size[1] * scale, size[0] * scale)
    assert made.rgb.dtype == dtype
    if model.task.background == "white":
        assert made.alpha is None, "a drawing's transparency is paper"
    else:
        assert made.alpha is not None
        assert (made.alpha.dtype, made.alpha.shape) == (dtype, made.rgb.shape[:2])
        kept = np.ones(made.alpha.shape, bool) if mask is None else ~mask
        assert scale > 1 or (made.alpha == photo.alpha)[kept].all()
        assert (made.alpha[~kept] == np.iinfo(dtype).max).all(), "what was filled is to be seen"
    assert (made.exif, made.icc, made.dpi, made.format) == (
        photo.exif,
        photo.icc,
        photo.dpi,
        photo.format,
    )
    assert (made.rgb[:: model.task.scale, :: model.task.scale] != rgb).any()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_inpainting_returns_known_pixels_bit_for_bit(
    models: dict[str, Model], size: tuple[int, int], dtype: type
) -> None:
    photo, mask = Photo(picture(size, dtype)), mask_for(models["inpaint"], size)
    assert mask is not None
    made = models["inpaint"].run(photo, mask)
    np.testing.assert_array_equal(made.rgb[~mask], photo.rgb[~mask])
    assert (made.rgb[mask] != photo.rgb[mask]).any()


def test_far_apart_holes_of_a_large_photo_leave_the_rest_alone(models: dict[str, Model]) -> None:
    photo = Photo(picture((1100, 1300), np.uint16))
    mask = np.zeros((1100, 1300), bool)
    mask[20:60, 20:80] = mask[1000:1090, 1200:1290] = True
    made = models["inpaint"].run(photo, mask)
    np.testing.assert_array_equal(made.rgb[~mask], photo.rgb[~mask])
    for part in (np.s_[20:60, 20:80], np.s_[1000:1090, 1200:1290]):
        assert (made.rgb[part] != photo.rgb[part]).any()


@pytest.mark.parametrize("size", SIZES)
def test_colorizing_keeps_luminance(models: dict[str, Model], size: tuple[int, int]) -> None:
    photo = Photo(picture(size))
    made = models["colorize"].run(photo)
    before, after = (
        luminance(torch.from_numpy(to_float(p.rgb)).permute(2, 0, 1)[None]) * 100
        for p in (photo, made)
    )
    assert (after - before).abs().max() <= 0.5


def painted_red(size: tuple[int, int]) -> np.ndarray:
    """Transparent but for a red block in the middle."""
    hints = np.zeros((*size, 4), np.uint8)
    hints[size[0] // 3 : size[0] // 2, size[1] // 3 : size[1] // 2] = (220, 30, 30, 255)
    return hints


@pytest.mark.parametrize("size", [(45, 61), (600, 400)])
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_painted_colors_appear_and_luminance_is_kept(
    models: dict[str, Model], size: tuple[int, int], strength: float
) -> None:
    photo = np.full((*size, 3), 120, np.uint8)
    hints = painted_red(size)
    made = models["colorize"](photo, hints=hints, strength=strength)
    plain = models["colorize"](photo, strength=strength)
    before, after = (
        luminance(torch.from_numpy(to_float(p)).permute(2, 0, 1)[None]) * 100 for p in (photo, made)
    )
    assert (after - before).abs().max() <= 0.5
    inside = made[hints[..., 3] > 0].astype(int)
    assert (inside[:, 0] - inside[:, 1]).min() > 60, "red where it was painted"
    assert (made != plain).any()


def test_painted_colors_of_a_photo_are_those_of_a_layer(models: dict[str, Model]) -> None:
    photo, layer = np.full((45, 61, 3), 120, np.uint8), painted_red((45, 61))
    on_photo = np.where(layer[..., 3:] > 0, layer[..., :3], photo)
    made = [
        models["colorize"](photo, hints=h) for h in (layer, on_photo, Image.fromarray(on_photo))
    ]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "colorize"])
def test_painted_colors_are_refused_where_nothing_is_colored(
    models: dict[str, Model], name: str
) -> None:
    with pytest.raises(UserError, match="colors nothing: leave the hints out"):
        models[name](
            picture((64, 64)), mask_for(models[name], (64, 64)), hints=painted_red((64, 64))
        )


@pytest.mark.parametrize("name", ["super_resolve_x2", "super_resolve_x4"])
def test_an_enlarged_photo_scaled_down_agrees_with_its_input(
    models: dict[str, Model], name: str
) -> None:
    model, photo = models[name], Photo(picture((40, 52)))
    scale, gentle = (
        model.task.scale,
        Options(strength=0.02),
    )  # random weights at full strength clip everywhere
    made = model.run(photo, options=gentle).rgb
    clipped = ((made == 0) | (made == 255)).any(2).reshape(40, scale, 52, scale).any((1, 3))
    assert clipped.mean() < 0.1
    away = ~grow(clipped, 4)
    assert off_by(made, photo.rgb, scale)[away].max() <= 2
    careless = model.task.model_copy(update={"back_projections": 0})
    model = Model(
        name,
        model.recipe.model_copy(update={"task": careless}),
        model.card,
        model.generator,
        CPU,
        "fp32",
    )
    assert off_by(model.run(photo, options=gentle).rgb, photo.rgb, scale)[away].max() > 4


def off_by(large: np.ndarray, small: np.ndarray, scale: int) -> np.ndarray:
    """How far `large` scaled down is from `small`, in 1/255, by pixel."""
    back = downscale(torch.from_numpy(to_float(large)).permute(2, 0, 1)[None], scale)[0].permute(
        1, 2, 0
    )
    return np.abs(back.numpy() - to_float(small)).max(2) * 255


@pytest.mark.parametrize("name", ["denoise", "super_resolve_x2"])
def test_tiles_equal_the_whole(
    models: dict[str, Model], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models[name]
    most_px = model.recipe.generator.tile_px(model.photo_task.scale)
    photo = Photo(picture((150, most_px + 90)))
    tiles: list[int] = []
    tiled = model.run(photo, dtype=np.float32, on_tile=tiles.append).rgb
    assert tiles == [1, 2]
    monkeypatch.setattr("img2img.inference.pipeline.tiled", lambda run, x, *_: run(x))
    whole = model.run(photo, dtype=np.float32).rgb
    assert np.abs(tiled - whole).max() <= 1 / 255


class Floats(TorchDispatchMode):
    """Records the (height, width) of every floating-point tensor that comes up."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                self.sizes.add(tuple(tensor.shape[-2:]))
        return result


@pytest.mark.parametrize("name", ["denoise", "super_resolve_x2", "colorize"])
def test_a_large_photo_is_never_in_float_as_a_whole(
    models: dict[str, Model], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("img2img.tasks.forward._STRIP_PX", 1100 * 10)
    model, scale = models[name], models[name].photo_task.scale
    with Floats() as floats:
        done = model.run(Photo(picture((96, 1100))))
    assert done.rgb.dtype == np.uint8 and floats.sizes
    assert not {(96, 1100), (96 * scale, 1100 * scale)} & floats.sizes


def test_strips_of_a_photo_are_the_whole(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, photo = models["colorize"], Photo(picture((301, 333)))
    whole = model.run(photo, dtype=np.float32).rgb
    monkeypatch.setattr("img2img.tasks.forward._STRIP_PX", 333 * 17)
    assert np.abs(model.run(photo, dtype=np.float32).rgb - whole).max() < 1e-6
    x = torch.from_numpy(to_float(photo.rgb)).permute(2, 0, 1)[None]
    options = ForwardOptions(working_size=model.photo_task.views((301, 333))[0].size)
    with torch.inference_mode():
        forwarded = forward(
            model.photo_task, model.generator, model.recipe.generator.multiple_of, x, None, options
        )
    assert np.abs(forwarded[0].permute(1, 2, 0).numpy() - whole).max() < 1e-6


def test_too_little_memory_for_a_photo_halves_its_tiles(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, photo = models["denoise"], Photo(picture((300, 200)))
    whole = model.run(photo, dtype=np.float32).rgb
    network = Model._network

    def limited(self: Model, condition: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
        if condition.shape[-2] > 250:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return network(self, condition, *more, **named)

    monkeypatch.setattr(Model, "_network", limited)
    assert np.abs(model.run(photo, dtype=np.float32).rgb - whole).max() <= 1 / 255
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("not enough memory for tiles of 300 px")


def test_a_photo_that_may_not_be_written_to_is_taken(models: dict[str, Model]) -> None:
    rgb = picture((32, 48)).copy()
    rgb.flags.writeable = False
    assert models["denoise"](rgb).shape == rgb.shape


@pytest.mark.parametrize("name", NAMES)
def test_tensors_beyond_the_range_are_neither_rejected_nor_clamped_first(
    models: dict[str, Model], name: str
) -> None:
    model = models[name]
    x = torch.from_numpy(picture((32, 48), np.float32)).permute(2, 0, 1)[None] * 3 - 1
    mask = mask_for(model, (32, 48))
    holes = (
        None if mask is None else torch.from_numpy(mask).float()[None, None].expand(2, -1, -1, -1)
    )
    made = model.predict_tensor(torch.cat([x, x.clamp(0, 1)]), holes)
    assert made.shape == (2, 3, 32 * model.task.scale, 48 * model.task.scale)
    if name != "colorize":  # its luminance is that of Lab, which ends at black and white
        assert (made[0] != made[1]).any()


def test_predict_tensor_is_what_run_does(models: dict[str, Model]) -> None:
    for model in models.values():
        rgb, mask = picture((33, 45)), mask_for(model, (33, 45))
        x = torch.from_numpy(to_float(rgb)).permute(2, 0, 1)[None]
        made = model.predict_tensor(
            x, None if mask is None else torch.from_numpy(mask)[None, None].float()
        )
        expected = model.run(Photo(rgb), mask, dtype=np.float32).rgb
        np.testing.assert_array_equal(made[0].permute(1, 2, 0).numpy(), expected)


def test_pil_and_numpy_come_back_as_they_went_in(models: dict[str, Model]) -> None:
    model, rgb = models["denoise"], picture((30, 41))
    from_array = model(rgb)
    assert from_array.dtype == np.uint8
    from_pil = model(Image.fromarray(rgb))
    assert (from_pil.mode, from_pil.size) == ("RGB", (41, 30))
    np.testing.assert_array_equal(np.asarray(from_pil), from_array)
    assert model(rgb[..., 0]).shape == (30, 41)
    assert model(rgb[..., :1]).shape == (30, 41, 1)
    assert models["colorize"](rgb[..., 0]).shape == (30, 41, 3)
    assert model(picture((30, 41), np.uint16)).dtype == np.uint16
    assert model(picture((30, 41), np.float32)).dtype == np.float32
    assert model(np.dstack([rgb, rgb[..., :1]])).shape == (30, 41, 4)


@pytest.mark.parametrize("kind", ["pil", "bool", "uint8", "rgb"])
def test_masks_are_white_for_fill_in_any_form(models: dict[str, Model], kind: str) -> None:
    rgb, mask = picture((40, 40)), mask_for(models["inpaint"], (40, 40))
    assert mask is not None
    grey = mask.astype(np.uint8) * 128
    forms = {
        "pil": Image.fromarray(grey),
        "bool": mask,
        "uint8": grey,
        "rgb": grey[..., None].repeat(3, 2),
    }
    made = models["inpaint"](rgb, forms[kind])
    np.testing.assert_array_equal((made != rgb).any(2) & ~mask, np.zeros((40, 40), bool))
    np.testing.assert_array_equal(made, models["inpaint"](rgb, mask))


def test_what_a_network_made_as_a_whole_is_said_to_be_so_whatever_is_done_to_it(
    models: dict[str, Model],
) -> None:
    whole = Photo(picture((40, 40)), xmp=with_source_type(None, "trainedAlgorithmicMedia"))
    assert models["colorize"].run(whole).xmp == whole.xmp
    plain = models["colorize"].run(Photo(whole.rgb))
    assert source_type(plain.xmp) == "compositeWithTrainedAlgorithmicMedia"


def test_a_mask_can_be_turned_round_and_must_mark_something(models: dict[str, Model]) -> None:
    model, rgb = models["inpaint"], picture((40, 40))
    mask = mask_for(model, (40, 40))
    assert mask is not None
    np.testing.assert_array_equal(model(rgb, ~mask, mask_invert=True), model(rgb, mask))
    with pytest.raises(UserError, match="mask_invert: there is no mask"):
        model(rgb, mask_invert=True)
    with pytest.raises(UserError, match="fills nothing: leave the mask out"):
        models["denoise"](rgb, mask)
    for nothing in (
        np.zeros((40, 40), bool),
        np.full((40, 40), 255, np.uint8),
        Image.new("L", (40, 40)),
    ):
        with pytest.raises(UserError, match=r"the mask marks (nothing|everything)"):
            model(rgb, nothing)


def test_grey_stays_grey_where_the_task_says_so(models: dict[str, Model]) -> None:
    grey = picture((40, 40))[..., :1].repeat(3, 2)
    for name in ("denoise", "super_resolve_x2"):
        made = models[name](grey)
        assert (made[..., 0] == made[..., 1]).all()
        assert (made[..., 1] == made[..., 2]).all()


def test_strength_runs_from_the_baseline_to_the_network(models: dict[str, Model]) -> None:
    model, photo = models["denoise"], Photo(picture((32, 32)))
    np.testing.assert_array_equal(model.run(photo, options=Options(strength=0)).rgb, photo.rgb)
    half, full = (
        model.run(photo, options=Options(strength=s), dtype=np.float32).rgb for s in (0.5, 1.0)
    )
    change, most = (
        np.abs(half - to_float(photo.rgb)).mean(),
        np.abs(full - to_float(photo.rgb)).mean(),
    )
    assert change == pytest.approx(most / 2, rel=0.1)
    with pytest.raises(UserError, match=r"^strength: 1\.5"):
        Options(strength=1.5)


def test_a_mask_that_is_missing_or_of_another_size_is_refused(models: dict[str, Model]) -> None:
    photo = Photo(picture((32, 48)))
    with pytest.raises(UserError, match=r"give one with mask \(white = fill\)"):
        models["inpaint"].run(photo)
    with pytest.raises(UserError, match="mask is 32x32, photo is 48x32"):
        models["inpaint"](picture((32, 48)), np.ones((32, 32), bool))


def test_loading_refuses_what_is_not_ours(tmp_path: Path, tiny_zoo: Path) -> None:
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(UserError, match="not a model file"):
        load(tmp_path / "text.safetensors")
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        load(tmp_path)
    with pytest.raises(UserError, match="device: 'cuda:9' is not here"):
        load(tiny_zoo / "denoise.safetensors", device="cuda:9")
    with pytest.raises(UserError, match="precision: unknown 'fp8'"):
        load(tiny_zoo / "denoise.safetensors", precision="fp8")  # type: ignore[arg-type]


def test_predict_tensor_says_what_it_takes(models: dict[str, Model]) -> None:
    with pytest.raises(UserError, match=r"\(B,1,H,W\) or \(B,3,H,W\), not \(1, 2, 32, 32\)"):
        models["denoise"].predict_tensor(torch.rand(1, 2, 32, 32))
    with pytest.raises(UserError, match="fills masks"):
        models["inpaint"].predict_tensor(torch.rand(1, 3, 32, 32))


def test_a_misspelt_option_is_an_error_that_names_the_one_that_was_meant(
    models: dict[str, Model],
) -> None:
    """A user's error, and a TypeError as Python would answer."""
    with pytest.raises(
        UserError, match=r"predict_tensor\(\) .* 'strenght', did you mean 'strength'"
    ):
        models["denoise"].predict_tensor(torch.rand(1, 3, 32, 32), strenght=0.5)  # type: ignore[call-arg]
    with pytest.raises(UserError, match="'seed'; known: direction, self_ensemble, strength"):
        models["denoise"].predict_tensor(torch.rand(1, 3, 32, 32), seed=1)  # type: ignore[call-arg]
    with pytest.raises(UserError, match="'strenght'"):
        models["denoise"](picture((32, 32)), strenght=0.5)  # type: ignore[call-arg]
    with pytest.raises(UserError, match="'devise'"):
        load("denoise", devise="cpu")  # type: ignore[arg-type]
    meant = (
        r"__call__\(\) got an unexpected keyword argument 'strenght', did you mean 'strength'\?$"
    )
    with pytest.raises(TypeError, match=meant):
        models["denoise"](picture((32, 32)), strenght=0.5)  # type: ignore[call-arg]
    known = (
        "direction, from_photo, height, longer_side, scale, seed, self_ensemble, strength, width"
    )
    with pytest.raises(TypeError, match=f"'quality'; known: {known}$"):
        models["denoise"](picture((32, 32)), quality=0.5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^load\(\) got .* 'devise', did you mean 'device'\?$"):
        load("denoise", devise="cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strength": "a"}, r"^strength must be a number from 0 to 1, not 'a'$"),
        ({"strength": None}, r"^strength must be a number from 0 to 1, not None$"),
        ({"strength": torch.rand(2)}, r"^strength must be a number from 0 to 1, not tensor"),
        ({"strength": 1.5}, r"^strength: 1\.5 is not between 0 and 1$"),
        ({"strength": float("nan")}, r"^strength: nan is not between 0 and 1$"),
        ({"seed": "a"}, r"^seed must be a whole number, not 'a'$"),
        ({"seed": 1.5}, r"^seed must be a whole number, not 1\.5$"),
        ({"from_photo": "no"}, r"^from_photo must be True or False, not 'no'$"),
        ({"self_ensemble": None}, r"^self_ensemble must be True or False, not None$"),
        ({"direction": 5}, r"^direction: '5' is none of AtoB, BtoA$"),
    ],
)
def test_an_option_of_another_kind_is_named_with_what_it_takes(
    models: dict[str, Model], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        models["denoise"](picture((32, 32)), **options)
    if options.keys() <= TensorOptions.__annotations__.keys():
        with pytest.raises(UserError, match=words):
            models["denoise"].predict_tensor(torch.rand(1, 3, 32, 32), **options)


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    assert Options(np.float32(0.5), np.int64(3), np.bool_(True)) == Options(0.5, 3, True)  # type: ignore[arg-type]
    assert Options(torch.tensor(0.5), 3.0) == Options(0.5, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": 5}, "^name must be a model's name, its file or a run's folder, not 5$"),
        ({"device": None}, "^device: unknown device 'None'"),
        ({"precision": 16}, "^precision: unknown '16'"),
    ],
)
def test_loading_names_what_is_of_another_kind(
    tiny_zoo: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        load(**{"name": tiny_zoo / "denoise.safetensors", **options})


def test_predict_tensor_takes_tensors(models: dict[str, Model]) -> None:
    with pytest.raises(
        UserError, match=r"^x must be a tensor \(B,1,H,W\) or \(B,3,H,W\), not array"
    ):
        models["denoise"].predict_tensor(picture((32, 32)))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^mask must be a tensor \(B,1,H,W\), not True$"):
        models["inpaint"].predict_tensor(torch.rand(1, 3, 32, 32), True)  # type: ignore[arg-type]


def test_a_call_takes_every_option_by_keyword_but_hints_which_are_pictures_there() -> None:
    options = {field.name for field in fields(Options)}
    assert CallOptions.__annotations__.keys() == options - {"hints"}
    sizes = {field.name for field in fields(OutputSize)}
    assert PictureOptions.__annotations__.keys() == CallOptions.__annotations__.keys() | sizes
    for keywords in (CallOptions, PictureOptions):
        assert keywords.__optional_keys__ == keywords.__annotations__.keys()


@given(
    box=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 99),
)
def test_what_a_view_has_filled_no_longer_remains(box: tuple[int, ...], seed: int) -> None:
    hole = torch.rand((1, 1, 10, 10), generator=torch.Generator().manual_seed(seed)).round()
    before, view = hole.clone(), View(*box, (8, 8))
    left = view.remaining(hole)
    assert torch.equal(hole, before), "the mask itself is kept"
    assert not view.cut(left).any()
    assert left.sum() == hole.sum() - view.cut(hole).sum()
