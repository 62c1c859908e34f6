"""What every task promises, asked of every task that is installed; a sixth is picked up by itself."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from img2img import tasks
from img2img.data.sample import Batch, EmptySample, PairSample, PhotoSample, as_tensor, sample_rng
from img2img.errors import UserError
from img2img.modelfile import Card, load_generator, save_model
from img2img.models.restorer import RestorerConfig
from img2img.pixels.color import downscale, luminance, to_lab, upscale
from img2img.pixels.images import quantise, to_float
from img2img.recipe import Recipe
from img2img.tasks import (
    MaskedTask,
    NoiseTask,
    PhotoTask,
    Task,
    ask,
    build_task,
    photo_tasks,
    task_class,
    task_kinds,
)
from img2img.tasks.forward import ForwardOptions, forward, predict_rgb
from img2img.tasks.generate import sliced_wasserstein
from img2img.tasks.photo import PhotoStatistics, Reason
from img2img.testing import sample_for

SIZES = [(16, 16), (17, 23), (16, 61), (129, 33)]
VARIANTS: list[dict[str, Any]] = [
    {"kind": "denoise", "camera_share": 1},
    {"kind": "denoise", "correlated_share": 1},
    {"kind": "denoise", "jpeg_share": 1},
    {"kind": "denoise", "poisson_share": 1},
    {"kind": "denoise", "grey_share": 1},
    {"kind": "super-resolve", "factor": 3},
    {"kind": "super-resolve", "factor": 4},
    {"kind": "inpaint", "fill": "mean"},
    {"kind": "inpaint", "fill": "mirrored", "strokes_px": 200},
    {"kind": "inpaint", "fill": "navier_stokes", "free_form_share": 0, "outpaint_share": 1},
    {"kind": "inpaint", "free_form_share": 0, "outpaint_share": 0},
    *({"kind": "translate", "source": source} for source in ("edges", "grey", "blur", "downscale")),
    {"kind": "translate", "direction": "BtoA"},
    {"kind": "reconstruct", "noise_sigma_255": 50},
]
DRAWING = {"denoise", "inpaint", "points", "generate"}  # chance has a part in their pairs
FROM_NOISE: list[dict[str, Any]] = [
    {"kind": "points", "modes": 1, "center": [1.5, 1]},
    {"kind": "points", "labels": 8},
    {"kind": "points", "latent": 5, "categorical": 3, "continuous": 2},
    {"kind": "generate", "size_px": 16},
    {"kind": "generate", "size_px": 28, "channels": 1, "labels": 10},
    {"kind": "generate", "size_px": 16, "labels": 3, "categorical": 4, "continuous": 1},
]


def name_of(fields: dict[str, Any]) -> str:
    return " ".join(str(value) for value in fields.values())


def each(tasks: list[Task]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "task", tasks, ids=lambda t: name_of(t.model_dump(exclude_unset=True))
    )


EVERY = [build_task({"kind": kind}) for kind in task_kinds()]
ALL = each(
    [task for task in EVERY if isinstance(task, PhotoTask)]
    + [build_task(fields) for fields in VARIANTS]
)
OF_NOISE = each(
    [task for task in EVERY if isinstance(task, NoiseTask)]
    + [build_task(fields) for fields in FROM_NOISE]
)


def pair(task: Task, photo: np.ndarray, seed: int = 0) -> Batch:
    return task.make_pair(sample_for(task, photo), sample_rng(seed, 0, 0))


def tensors(batch: Batch) -> dict[str, Tensor]:
    return {name: value for name, value in vars(batch).items() if value is not None}


def same(a: Batch, b: Batch) -> bool:
    left, right = tensors(a), tensors(b)
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def batch_of(target: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(condition=target, target=target, mask=mask)


def random_mask(size: tuple[int, int]) -> Tensor:
    mask = torch.zeros(1, 1, *size)
    mask[..., size[0] // 4 : size[0] // 2, 2 : size[1] // 2] = 1
    return mask


def condition_of(task: Task, photo: Tensor) -> tuple[Tensor, Tensor | None]:
    if not isinstance(task, MaskedTask):
        return task.prepare(photo), None
    mask = random_mask((photo.shape[-2], photo.shape[-1]))
    return task.prepare(photo, mask), mask


def any_prediction(task: Task, condition: Tensor, amplitude: float = 1.0) -> Tensor:
    height, width = (n * task.scale for n in condition.shape[-2:])
    return torch.randn(1, task.prediction_channels, height, width) * amplitude


# --- pairs


@ALL
def test_a_pair_has_the_stated_shapes_and_ranges(task: Task, photos: list[np.ndarray]) -> None:
    batch = pair(task, photos[0])
    height, width = batch.condition.shape[-2:]
    assert batch.condition.shape == (1, task.condition_channels, height, width)
    assert batch.target.shape == (1, 3, height * task.scale, width * task.scale)
    assert height * task.scale == 96
    assert all(
        value.dtype == torch.float32 for name, value in tensors(batch).items() if value.dim() == 4
    )
    assert 0 <= batch.target.min() < batch.target.max() <= 1
    assert -1.5 < batch.condition.min() <= batch.condition.max() < 2.5, (
        "noise may reach beyond [0,1]"
    )
    assert (batch.mask is not None) == isinstance(task, MaskedTask)
    if batch.mask is not None and batch.local_center is not None:
        assert batch.mask.unique().tolist() == [0, 1]
        row, column = batch.local_center[0].tolist()
        assert batch.mask[0, 0, row, column] == 1, (
            "the local crop is centered on a pixel of the hole"
        )


@ALL
def test_a_pair_is_a_pure_function_of_sample_and_seed(task: Task, photos: list[np.ndarray]) -> None:
    first = pair(task, photos[0], seed=1)
    torch.rand(7), np.random.default_rng(5).random()
    assert same(first, pair(task, photos[0], seed=1))
    assert not same(first, pair(task, photos[1], seed=1))
    if task.kind in DRAWING:
        others = [pair(task, photos[0], seed) for seed in range(2, 6)]
        assert not any(torch.equal(first.condition, other.condition) for other in others)


@ALL
def test_a_task_survives_the_recipe_it_is_written_to(task: Task) -> None:
    assert build_task(task.model_dump(mode="json")) == task


# --- decode

TOLERANCE = {"colorize": 1 / 255}  # Lab and back, in single precision
BASELINE = {
    "denoise": lambda task, condition: condition,
    "super-resolve": lambda task, condition: upscale(condition, task.factor),
    "inpaint": lambda task, condition: condition[:, :3],
    "translate": lambda task, condition: torch.full_like(condition[:, :1], 0.5).expand(
        -1, 3, -1, -1
    ),
    "reconstruct": lambda task, condition: torch.full_like(condition[:, :1], 0.5).expand(
        -1, 3, -1, -1
    ),
}


def zeros(task: Task, batch: Batch) -> Tensor:
    return torch.zeros(1, task.prediction_channels, *batch.target.shape[-2:])


@ALL
def test_the_truth_decodes_to_the_photo(task: Task, photos: list[np.ndarray]) -> None:
    batch = pair(task, photos[0])

    decoded = task.decode(batch.condition, task.encode(batch))
    assert torch.allclose(decoded, batch.target, rtol=0, atol=TOLERANCE.get(task.kind, 1e-6))


@ALL
def test_a_prediction_of_zeros_is_the_trivial_baseline(
    task: Task, photos: list[np.ndarray]
) -> None:
    batch = pair(task, photos[0])
    made = task.decode(batch.condition, zeros(task, batch))
    assert made.shape == batch.target.shape
    if task.kind in BASELINE:
        assert torch.allclose(made, BASELINE[task.kind](task, batch.condition), atol=1e-6)
    elif task.kind == "colorize":
        assert to_lab(made)[:, 1:].abs().max() < 0.1, "grey"
        assert torch.allclose(luminance(made), batch.condition, atol=1e-3)


@ALL
def test_decode_carries_gradients_even_at_black_white_and_beyond(task: Task) -> None:
    photo = torch.rand(1, 3, 24, 24).mul(1.4).sub(0.2)
    photo[..., :4, :], photo[..., 4:8, :] = 0, 1
    condition, _ = condition_of(task, photo)
    for amplitude in (0.0, 0.1, 3.0):
        prediction = any_prediction(task, condition, amplitude).requires_grad_()
        task.decode(condition, prediction).square().mean().backward()
        assert prediction.grad is not None
        assert prediction.grad.isfinite().all()
        assert prediction.grad.any() or task.kind == "colorize", (
            "colors far outside the gamut are clipped"
        )


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_chroma_may_be_predicted_at_a_part_of_the_size(stride: int) -> None:
    task, condition = build_task("colorize"), torch.rand(1, 1, 64, 32)
    prediction = torch.zeros(1, 2, 64 // stride, 32 // stride, requires_grad=True)
    rgb = task.decode(condition, prediction)
    rgb[:, 0].mean().backward()
    assert rgb.shape == (1, 3, 64, 32)
    assert prediction.grad is not None
    assert (prediction.grad[:, 0] > 0).all(), "more a*, more red"


# --- finish and the whole way


@pytest.mark.parametrize("size", SIZES)
@ALL
def test_the_result_has_the_photos_size_times_scale_and_range(
    task: Task, size: tuple[int, int]
) -> None:
    photo = torch.rand(1, 3, *size)
    condition, mask = condition_of(task, photo)
    rgb = task.decode(condition, any_prediction(task, condition))
    smaller = rgb[..., : max(8, size[0] // 2), : max(8, size[1] // 2)] if not task.tiles else rgb
    for made in (rgb, smaller):
        given = (photo, made) if mask is None else (photo, made, mask)
        finished = task.finish(*given)
        assert finished.shape == (1, 3, size[0] * task.scale, size[1] * task.scale)
        assert 0 <= finished.min() <= finished.max() <= 1
        assert finished.isfinite().all()


@ALL
def test_a_network_works_on_any_size_and_at_a_working_size(task: Task) -> None:
    photo, seen = torch.rand(1, 3, 37, 51), []

    def network(condition: Tensor) -> Tensor:
        seen.append(tuple(condition.shape[-2:]))
        return any_prediction(task, condition, 0.1)

    _, mask = condition_of(task, photo)
    assert forward(task, network, 8, photo, mask).shape == (1, 3, 37 * task.scale, 51 * task.scale)
    assert seen == [(40, 56)]
    if not task.tiles:
        at_size = ForwardOptions(working_size=(18, 25))
        assert forward(task, network, 8, photo, mask, at_size).shape == (1, 3, 37, 51)
        assert seen[-1] == (24, 32)


@ALL
def test_views_lie_inside_the_photo_and_respect_the_working_size(task: Task) -> None:
    for size in [(16, 16), (3000, 41), (1500, 2000)]:
        mask = random_mask(size)[0, 0].bool().numpy() if isinstance(task, MaskedTask) else None
        views = task.views(size) if mask is None else task.views(size, mask)
        covered = np.zeros(size, bool)
        for view in views:
            assert 0 <= view.top < view.top + view.height <= size[0]
            assert 0 <= view.left < view.left + view.width <= size[1]
            assert max(view.size) <= max(size if task.family != "autoencoder" else (task.size_px,))
            assert min(view.size) >= 1
            covered[view.top : view.top + view.height, view.left : view.left + view.width] = True
        assert (covered | ~mask).all() if mask is not None else covered.all()


# --- guarantees


def eight_bits(rgb: Tensor) -> Tensor:
    return (rgb * 255).round() / 255


@pytest.mark.parametrize("amplitude", [0.05, 0.5, 5.0])
@pytest.mark.parametrize("size", SIZES)
def test_colorize_keeps_luminance_whatever_the_network_says(
    size: tuple[int, int], amplitude: float
) -> None:
    task = build_task("colorize")
    noise = torch.rand(1, 3, *size)
    for photo in (
        noise,
        noise[:, :1].expand(-1, 3, -1, -1),
        noise * 0.06,
        1 - noise * 0.06,
        noise.round(),
    ):
        photo = eight_bits(photo)
        ab = any_prediction(task, photo, amplitude)
        done = eight_bits(task.finish(photo, task.decode(task.prepare(photo), ab)))
        assert (to_lab(done)[:, 0] - to_lab(photo)[:, 0]).abs().max() <= 0.5


def test_colorize_does_put_color_in() -> None:
    task, photo = build_task("colorize"), torch.full((1, 3, 32, 32), 0.5)
    ab = torch.tensor([0.3, -0.2]).view(1, 2, 1, 1).expand(1, 2, 32, 32)
    lab = to_lab(task.finish(photo, task.decode(task.prepare(photo), ab)))
    assert torch.allclose(lab[:, 1:].mean((2, 3)), torch.tensor([[33.0, -22.0]]), atol=0.5)


def away_from_clipping(rgb: Tensor, scale: int) -> Tensor:
    """Input pixels under whose bicubic window nothing of the result is clipped."""
    clipped = ((rgb <= 0) | (rgb >= 1)).any(1, keepdim=True).float()
    near = F.max_pool2d(clipped, 4 * scale + 1, stride=1, padding=2 * scale)
    return F.max_pool2d(near, scale) == 0


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_super_resolution_reduced_again_is_its_input_whatever_the_network_says(
    size: tuple[int, int], factor: int
) -> None:
    task = build_task({"kind": "super-resolve", "factor": factor})
    large = size[0] * factor, size[1] * factor
    checks = torch.ones(1, 3, *large)
    checks[..., ::2, 1::2] = checks[..., 1::2, ::2] = -1
    garbage = {
        "noise": torch.randn(1, 3, *large) * 0.07,
        "everything redder": checks.abs() * 0.4,
        "checks": checks * 0.1,
    }
    for name, prediction in garbage.items():
        photo = eight_bits(0.3 + 0.4 * torch.rand(1, 3, *size))
        done = eight_bits(task.finish(photo, task.decode(task.prepare(photo), prediction)))
        kept = away_from_clipping(done, factor)
        assert kept.float().mean() > 0.1, name
        error = (downscale(done, factor) - photo).abs() * kept
        assert error.max() <= 2 / 255, name


def test_super_resolution_keeps_what_the_network_adds_beyond_its_input() -> None:
    task, photo = build_task("super-resolve"), torch.full((1, 3, 16, 16), 0.5)
    detail = torch.full((1, 3, 32, 32), 0.2)
    detail[..., ::2, 1::2] = detail[..., 1::2, ::2] = -0.2  # too fine for the input to know of
    assert torch.allclose(task.finish(photo, task.decode(photo, detail)) - 0.5, detail, atol=0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fill", ["telea", "navier_stokes", "mirrored", "mean"])
def test_inpainting_returns_known_pixels_bit_for_bit(
    fill: str, size: tuple[int, int], dtype: Any
) -> None:
    task, mask = build_task({"kind": "inpaint", "fill": fill}), random_mask(size)
    photo = np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, (*size, 3), dtype, endpoint=True
    )
    x = as_tensor(to_float(photo))
    at_size = ForwardOptions(working_size=(size[0] - 3, size[1] - 2))
    done = forward(task, lambda c: any_prediction(task, c), 8, x, mask, at_size)
    result = quantise(done[0].permute(1, 2, 0).numpy(), dtype)
    known = mask[0, 0].numpy() == 0
    assert np.array_equal(result[known], photo[known])
    assert (result[~known] != photo[~known]).mean() > 0.5


def test_an_inpainting_network_is_not_shown_the_hole() -> None:
    task, photo, mask = build_task("inpaint"), torch.rand(1, 3, 32, 32), random_mask((32, 32))
    other = torch.where(mask > 0, torch.rand_like(photo), photo)
    for fill in ("telea", "navier_stokes", "mirrored", "mean"):
        task = build_task({"kind": "inpaint", "fill": fill})
        assert torch.allclose(task.prepare(photo, mask), task.prepare(other, mask), atol=1e-6)


def test_denoise_takes_values_beyond_the_range() -> None:
    task, noisy = build_task("denoise"), torch.randn(1, 3, 16, 16)
    assert torch.equal(task.prepare(noisy), noisy)
    assert torch.equal(task.finish(noisy, noisy), noisy.clamp(0, 1))


def test_translation_reads_pairs_in_the_asked_direction(photos: list[np.ndarray]) -> None:
    both = PairSample(0, photo=photos[0], other=photos[1])
    there, back = (
        build_task({"kind": "translate", "direction": d}).make_pair(both, sample_rng(0, 0, 0))
        for d in ("AtoB", "BtoA")
    )
    assert torch.equal(there.condition, as_tensor(photos[1]))
    assert torch.equal(there.target, as_tensor(photos[0]))
    assert torch.equal(there.condition, back.target)
    assert torch.equal(there.target, back.condition)


@pytest.mark.parametrize("source", ["edges", "grey", "blur", "downscale"])
def test_a_condition_from_a_photo_is_the_one_trained_on(
    source: str, photos: list[np.ndarray]
) -> None:
    task = build_task({"kind": "translate", "source": source})
    made = task.from_photo(as_tensor(photos[0]))
    assert made.shape == (1, 3, 96, 96)
    assert not torch.allclose(made, as_tensor(photos[0]), atol=0.05)
    assert torch.equal(task.prepare(made), pair(task, photos[0]).condition)


def test_edges_are_black_lines_on_white() -> None:
    square = torch.zeros(1, 3, 64, 64)
    square[..., 16:48, 16:48] = 1
    drawn = build_task({"kind": "translate", "source": "edges"}).from_photo(square)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn[..., 24:40, 24:40] == 1).all()
    assert (drawn[0, 0, 32] == 0).sum() == 2, "a line on either side"


# --- from noise


def drawn(task: Task, photos: list[np.ndarray], seed: int = 0, number: int = 0) -> Batch:
    """A pair of a noise task, whose photo, if it reads any, was cut to the size it makes."""
    photo = photos[number][: task.size_px, : task.size_px]
    return task.make_pair(
        sample_for(task, photo, label=1, number=number), sample_rng(seed, 0, number)
    )


@OF_NOISE
def test_a_pair_of_noise_has_the_stated_shapes(task: Task, photos: list[np.ndarray]) -> None:
    batch = drawn(task, photos)
    assert batch.condition.shape == (1, task.condition_channels, 1, 1)
    assert batch.target.shape == (1, task.picture_channels, task.scale, task.scale)
    assert batch.condition.dtype == batch.target.dtype == torch.float32
    assert (batch.label is not None) == (task.classes > 0)
    assert (batch.code is not None) == (sum(task.code_sizes) > 0)
    assert task.reads == "none" or 0 <= batch.target.min() < batch.target.max() <= 1


@OF_NOISE
def test_a_pair_of_noise_is_a_pure_function_of_sample_and_seed(
    task: Task, photos: list[np.ndarray]
) -> None:
    first = drawn(task, photos, seed=1)
    torch.rand(7), np.random.default_rng(5).random()
    assert same(first, drawn(task, photos, seed=1))
    assert not torch.equal(first.condition, drawn(task, photos, seed=2).condition)
    assert not torch.equal(first.target, drawn(task, photos, seed=1, number=1).target)


@OF_NOISE
def test_the_condition_is_noise_then_the_label_one_hot_then_the_codes(
    task: Task, photos: list[np.ndarray]
) -> None:
    batch, latent = drawn(task, photos), task.model_dump()["latent"]
    flat, (categorical, continuous) = batch.condition.flatten(), task.code_sizes
    if batch.label is not None:
        assert torch.equal(
            flat[latent : latent + task.classes], torch.eye(task.classes)[batch.label[0]]
        )
        assert task.reads == "none" or batch.label.tolist() == [1]
    assert len(flat) == latent + task.classes + categorical + continuous
    if batch.code is not None:
        assert torch.equal(flat[latent + task.classes :], batch.code[0])
        assert sorted(batch.code[0, :categorical].tolist()) == [0.0] * (categorical - 1) + [1.0]
        assert batch.code[0, categorical:].abs().max() <= 1


@OF_NOISE
def test_noise_is_standard_normal_and_codes_are_uniform(
    task: Task, photos: list[np.ndarray]
) -> None:
    batches = [task.make_pair(sample_for(task, photos[0][: task.scale, : task.scale], label=0), sample_rng(0, 0, n))
               for n in range(400)]  # fmt: skip
    latent, (categorical, continuous) = task.model_dump()["latent"], task.code_sizes
    noise = torch.cat([b.condition[:, :latent, 0, 0] for b in batches])
    assert noise.mean().abs() < 4 / noise.numel() ** 0.5
    assert noise.var().item() == pytest.approx(1, abs=6 * (2 / noise.numel()) ** 0.5)
    if categorical:
        codes = torch.cat([b.code for b in batches if b.code is not None])
        assert codes[:, :categorical].mean(0).tolist() == pytest.approx(
            [1 / categorical] * categorical, abs=0.1
        )
        assert codes[:, categorical:].mean(0).tolist() == pytest.approx([0] * continuous, abs=0.12)
        assert codes[:, categorical:].var(0).tolist() == pytest.approx(
            [1 / 3] * continuous, abs=0.06
        )


@OF_NOISE
def test_what_is_made_of_noise_decodes_to_its_size_with_gradients(
    task: Task, photos: list[np.ndarray]
) -> None:
    condition = drawn(task, photos).condition.expand(3, -1, -1, -1)
    for amplitude in (0.0, 0.1, 3.0):
        prediction = (
            torch.randn(3, task.prediction_channels, task.scale, task.scale)
            .mul(amplitude)
            .requires_grad_()
        )
        made = task.decode(condition, prediction)
        (made - 0.3).square().mean().backward()
        assert made.shape == (3, task.picture_channels, task.scale, task.scale)
        assert (
            prediction.grad is not None
            and prediction.grad.isfinite().all()
            and prediction.grad.any()
        )
        assert task.reads == "none" or (made.min() >= 0 and made.max() <= 1)


@OF_NOISE
def test_a_network_makes_what_a_noise_task_decodes(task: Task, photos: list[np.ndarray]) -> None:
    condition = torch.cat([drawn(task, photos, number=n).condition for n in range(2)])
    made = predict_rgb(
        task,
        lambda c: c.mean() * torch.ones(2, task.prediction_channels, *2 * [task.scale]),
        1,
        condition,
    )
    assert made.shape == (2, task.picture_channels, task.scale, task.scale)


def test_zeros_decode_to_mid_grey_and_a_grey_picture_has_equal_channels() -> None:
    task = build_task({"kind": "generate", "channels": 1, "size_px": 16})
    condition = torch.zeros(1, task.condition_channels, 1, 1)
    assert torch.equal(
        task.decode(condition, torch.zeros(1, 1, 16, 16)), torch.full((1, 3, 16, 16), 0.5)
    )
    made = task.decode(condition, torch.randn(1, 1, 16, 16))
    assert torch.equal(made[:, 0], made[:, 2])


def test_grey_targets_of_color_photos_are_grey(photos: list[np.ndarray]) -> None:
    target = drawn(build_task({"kind": "generate", "channels": 1, "size_px": 16}), photos).target
    assert target.shape == (1, 3, 16, 16)
    assert torch.equal(target[:, 0], target[:, 1]) and torch.equal(target[:, 0], target[:, 2])


def test_real_points_lie_round_their_modes_in_equal_shares() -> None:
    task: Any = build_task(
        {"kind": "points", "modes": 4, "radius": 3, "sigma": 0.1, "center": [1, -1]}
    )
    assert np.allclose(task.means, [[4, -1], [1, 2], [-2, -1], [1, -4]])
    points = (
        torch.cat([task.make_pair(EmptySample(n), sample_rng(0, 0, n)).target for n in range(2000)])
        .flatten(1)
        .numpy()
    )
    away = points[:, None] - task.means[None]
    mode = np.linalg.norm(away, axis=2).argmin(1)
    assert np.bincount(mode) / 2000 == pytest.approx(0.25, abs=0.04)
    assert away[np.arange(2000), mode].std(0) == pytest.approx(0.1, abs=0.006)


def test_a_points_label_is_its_gaussian() -> None:
    task: Any = build_task({"kind": "points", "labels": 8})
    for n in range(20):
        batch = task.make_pair(EmptySample(n), sample_rng(0, 0, n))
        assert (
            np.linalg.norm(batch.target.flatten().numpy() - task.means[int(batch.label)])
            < 6 * task.sigma
        )


def test_a_mode_counts_with_its_share_within_four_sigma() -> None:
    task: Any = build_task({"kind": "points", "sigma": 0.1})
    means = torch.tensor(task.means, dtype=torch.float32)
    points = torch.zeros(1000, 2)  # the middle: near no mode
    points[:25], points[25:49] = means[0], means[1]  # 2.5 % counts, 2.4 % does not
    points[49:149] = means[2] + torch.tensor([0.39, 0.0])
    points[149:249] = means[3] + torch.tensor([0.0, 0.41])
    assert task.metrics(points[..., None, None], batch_of(points[..., None, None])) == {
        "modes_covered": 2.0,
        "share_near_modes": pytest.approx(0.149),
    }


def test_distance_and_diversity_tell_real_pictures_from_collapsed_ones(
    photos: list[np.ndarray],
) -> None:
    task = build_task({"kind": "generate", "size_px": 32})
    real = torch.cat(
        [
            as_tensor(photo[y : y + 32, x : x + 32])
            for photo in photos
            for y in (0, 48)
            for x in (0, 48)
        ]
    )
    same_set, collapsed = (
        task.metrics(made, batch_of(real)) for made in (real.flip(0), real[:1].expand_as(real))
    )
    assert same_set["sliced_wasserstein"] == pytest.approx(0, abs=1e-6)
    assert same_set["diversity"] == pytest.approx(1)
    assert collapsed["sliced_wasserstein"] > 0.05
    assert collapsed["diversity"] == pytest.approx(0, abs=1e-6)


def test_sliced_wasserstein_of_a_shift_is_worked_out_by_hand() -> None:
    made = torch.randn(64, 12)
    axes = torch.randn(12, 128, generator=torch.Generator().manual_seed(0))
    expected = (
        axes.sum(0) / axes.norm(dim=0)
    ).abs().mean() * 0.3  # every projection moves by 0.3 · Σ of its axis
    assert sliced_wasserstein(made + 0.3, made) == pytest.approx(float(expected), rel=1e-4)


# --- the automatic plan, numbers, refusals

UNTOUCHED = SimpleNamespace(width=1200, height=900, has_mask=False, tints=2, noise_sigma_255=1.0)


@pytest.mark.parametrize(
    ("change", "asks_for"),
    [
        ({}, []),
        ({"has_mask": True}, ["inpaint"]),
        ({"tints": 0}, ["colorize"]),
        ({"tints": 1}, ["colorize"]),
        ({"tints": 0, "tones": "few"}, []),
        ({"tints": 1, "tones": "halftone"}, []),
        ({"noise_sigma_255": 20.0}, ["denoise"]),
        ({"width": 300, "height": 200}, ["super-resolve"]),
        (
            {"has_mask": True, "tints": 0, "noise_sigma_255": 20.0, "width": 300, "height": 200},
            task_kinds()[:4],
        ),
    ],
)
def test_each_task_says_when_it_applies(change: dict[str, Any], asks_for: list[str]) -> None:
    photo = PhotoStatistics(**{**vars(UNTOUCHED), **change})
    assert [kind for kind in photo_tasks() if ask("applies", kind, photo)] == asks_for


NOISY, BLOCKS = "noisy (σ about 20 of 255)", "the blocks of strong JPEG compression show"


@pytest.mark.parametrize(
    ("kind", "change", "clause", "finding"),
    [
        ("denoise", {"noise_sigma_255": 20.0}, f"it is {NOISY}", NOISY),
        ("denoise", {"blockiness_255": 3.0}, BLOCKS, BLOCKS),
        (
            "denoise",
            {"noise_sigma_255": 20.0, "blockiness_255": 3.0},
            f"it is {NOISY} and {BLOCKS}",
            f"{NOISY} and {BLOCKS}",
        ),
        ("colorize", {"tints": 0}, "it has no color", "grey"),
        ("colorize", {"tints": 1}, "it has a single tint", "one tint"),
        ("super-resolve", {"width": 90, "height": 60}, "it is small (90×60)", "small (90×60)"),
    ],
)
def test_a_reason_completes_a_sentence_and_names_what_was_found(
    kind: str, change: dict[str, Any], clause: str, finding: str
) -> None:
    reason = ask("applies", kind, PhotoStatistics(**{**vars(UNTOUCHED), **change}))
    assert reason == clause and isinstance(reason, Reason) and reason.finding == finding


def test_a_plain_text_is_a_reason_and_what_was_found() -> None:
    assert Reason("it is dusty").finding == "it is dusty"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"own_color_share": 0.9}, None),
        (
            {"own_color_share": 0.014, "own_hue": "red"},
            "it has color of its own on 1.4 % of it (red)",
        ),
        (
            {"own_color_share": 0.9, "own_hue": "yellow", "one_hue": True},
            "it is yellow throughout, but not as the tint",
        ),
        ({"tints": 0}, None),
        ({"tints": 0, "tones": "halftone"}, "it has no color, but is printed in dots"),
        ({"tints": 1, "tones": "few"}, "it has a single tint, but has few tones, as text"),
        ({"tints": 0, "tones": "flat"}, "it has no color, but shows nothing but one tone"),
    ],
)
def test_colorize_says_what_speaks_against_it(change: dict[str, Any], says: str | None) -> None:
    declined = build_task("colorize").declines(PhotoStatistics(**{**vars(UNTOUCHED), **change}))
    assert declined is None if says is None else declined is not None and declined.startswith(says)


@ALL
def test_metrics_tell_a_good_result_from_a_bad_one(task: Task, photos: list[np.ndarray]) -> None:
    target, mask = (
        as_tensor(photos[0]),
        random_mask((96, 96)) if isinstance(task, MaskedTask) else None,
    )
    good, bad = (
        task.metrics((target + n * torch.randn_like(target)).clamp(0, 1), batch_of(target, mask))
        for n in (0.01, 0.3)
    )
    assert good.keys() == bad.keys()
    assert all(np.isfinite(v) for v in (*good.values(), *bad.values()))
    assert all(good[name] > bad[name] + 10 for name in good if name.endswith("_db"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("denois", "unknown task 'denois', did you mean 'denoise'?"),
        ({"kind": "denoise", "sigma": 3}, "task.sigma: unknown key, did you mean 'sigma_255'?"),
        ({"kind": "denoise", "sigma_255": [50, 3]}, "task.sigma_255: [50.0, 3.0] is not a range"),
        (
            {"kind": "inpaint", "hole_share": [0.1, 2]},
            "task.hole_share.1: input should be less than",
        ),
        ({"kind": "super-resolve", "factor": 8}, "task.factor: input should be 2, 3 or 4, got 8"),
        (None, "task.kind is missing: name one of inpaint"),
        ({"sigma_255": [0, 1]}, "task.kind is missing"),
        (
            {"kind": "points", "labels": 3},
            "task: labels 3: a point's label is its Gaussian; write 0, or modes: 8",
        ),
        (["denoise"], "task.kind is missing"),
        ("no_such_module:Thing", "task.kind: cannot import 'no_such_module:Thing'"),
        ("math:pi", "task.kind: 'math:pi' is not a class derived from img2img.tasks.Task"),
    ],
)
def test_a_wrong_task_is_refused_with_field_and_fix(value: Any, message: str) -> None:
    with pytest.raises(UserError) as refused:
        build_task(value)
    assert message in str(refused.value)


# --- a sixth task


class Invert(PhotoTask):
    """A task as a stranger would write it: a negative in, a positive out."""

    kind: Literal["invert"] = "invert"
    haze: float = 0.0

    tiles: ClassVar[bool] = True

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        target = as_tensor(sample.photo)
        return Batch(condition=1 - target + self.haze * float(rng.random()), target=target)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return 1 - condition + prediction


PATH = f"{__name__}:Invert"


def recipe_fields(kind: str) -> dict[str, Any]:
    generator = {"kind": "restorer", "widths": [8], "blocks": [1], "unshuffle": 2}
    return {
        "name": "invert",
        "task": {"kind": kind, "haze": 0.1},
        "generator": generator,
        "data": {"crop_px": 32},
    }


@pytest.fixture
def entry_point(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`invert` as if a package had declared it in the group `img2img.tasks`."""
    point = SimpleNamespace(name="invert", value="invert:Invert", load=lambda: Invert)

    def absent() -> Any:
        return importlib.import_module("no_such_module")

    broken = SimpleNamespace(name="broken", value="no_such_module:Task", load=absent)
    no_task = SimpleNamespace(name="no-task", value="math:pi", load=lambda: math.pi)

    def installed(group: str) -> list[Any]:
        assert group == "img2img.tasks"
        return [broken, no_task, point]  # a package that cannot be used breaks its own task alone

    monkeypatch.setattr(tasks, "entry_points", installed)
    tasks.plugins.cache_clear()
    yield "invert"
    tasks.plugins.cache_clear()


def works_end_to_end(recipe: Recipe, photo: np.ndarray) -> Tensor:
    batch = pair(recipe.task, photo)
    network = recipe.generator.build(recipe.task).eval()
    rgb = predict_rgb(recipe.task, network, recipe.generator.multiple_of, batch.condition)
    assert rgb.shape == batch.target.shape
    assert torch.allclose(rgb, 1 - batch.condition), "a restorer starts at residual zero"
    return rgb


def test_a_sixth_task_works_from_an_import_path(photos: list[np.ndarray]) -> None:
    recipe = Recipe.parse(recipe_fields(PATH))
    assert isinstance(recipe.task, Invert)
    works_end_to_end(recipe, photos[0])
    again = Recipe.parse(recipe.fields())
    assert again == recipe, "the run's own recipe.yaml finds the task again"


def test_a_sixth_task_works_from_an_entry_point(
    entry_point: str, photos: list[np.ndarray], tmp_path: Any
) -> None:
    assert entry_point in task_kinds()
    recipe = Recipe.parse(recipe_fields(entry_point))
    made = works_end_to_end(recipe, photos[0])
    save_model(
        tmp_path / "invert.safetensors",
        RestorerConfig(**recipe_fields("")["generator"]).build(recipe.task),
        recipe,
        Card(),
    )
    header, network = load_generator(tmp_path / "invert.safetensors")
    assert header.recipe.task == recipe.task
    assert torch.equal(
        predict_rgb(header.recipe.task, network, 2, pair(recipe.task, photos[0]).condition), made
    )


@pytest.mark.usefixtures("entry_point")
def test_an_entry_point_that_is_no_task_is_left_out_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        assert "no-task" not in task_kinds()
        with pytest.raises(UserError, match="unknown task 'no-task'"):
            task_class("no-task", trusted=True)
    assert (
        caplog.text.count(
            "task 'no-task' (math:pi) is left out: TypeError: not a class derived from"
        )
        == 1
    )
    assert caplog.text.count("task 'broken' (no_such_module:Task) is left out") == 1


def test_a_model_file_may_not_choose_code_to_run(tmp_path: Any) -> None:
    recipe = Recipe.parse(recipe_fields(PATH))
    file = tmp_path / "invert.safetensors"
    save_model(file, recipe.generator.build(recipe.task), recipe, Card())
    with pytest.raises(UserError, match="a model file may not choose code"):
        load_generator(file)
    with pytest.raises(UserError, match="a model file may not choose code"):
        task_class("antigravity:Anything", trusted=False)


def test_a_broken_task_file_breaks_no_other_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "half_written.py").write_text("class (\n")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    known = set(tasks.built_in())
    assert set(tasks.built_in.__wrapped__()) == known
    assert "half_written.py is left out: SyntaxError" in caplog.text
