"""Pictures and points from noise: conditions, codes and what is made of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from task_samples import (
    batch_of,
    drawn,
)

from img2img.data.sample import EmptySample, as_tensor, sample_rng
from img2img.tasks import (
    NoiseTask,
    Task,
    build_task,
)
from img2img.tasks.forward import predict_rgb
from img2img.tasks.generate import sliced_wasserstein
from img2img.testing import check_task, sample_for

FROM_NOISE: list[dict[str, Any]] = [
    {"kind": "points", "modes": 1, "center": [1.5, 1]},
    {"kind": "points", "labels": 8},
    {"kind": "points", "latent": 5, "categorical": 3, "continuous": 2},
    {"kind": "generate", "size_px": 16},
    {"kind": "generate", "size_px": 28, "channels": 1, "labels": 10},
    {"kind": "generate", "size_px": 16, "labels": 3, "categorical": 4, "continuous": 1},
]


OF_NOISE = pytest.mark.parametrize(
    "task",
    [build_task(fields) for fields in ({"kind": "points"}, {"kind": "generate"}, *FROM_NOISE)],
    ids=lambda t: " ".join(map(str, t.model_dump(exclude_unset=True).values())),
)


@OF_NOISE
def test_it_keeps_the_contract(task: Task) -> None:
    check_task(task, tolerance=1e-5)


@OF_NOISE
def test_a_pair_of_noise_has_the_stated_shapes(task: NoiseTask, photos: list[np.ndarray]) -> None:
    batch = drawn(task, photos)
    assert batch.condition.shape == (1, task.condition_channels, 1, 1)
    assert batch.target.shape == (1, task.picture_channels, task.size_px, task.size_px)
    assert batch.condition.dtype == batch.target.dtype == torch.float32
    assert (batch.label is not None) == (task.classes > 0)
    assert (batch.code is not None) == (sum(task.code_sizes) > 0)
    assert task.reads == "none" or 0 <= batch.target.min() < batch.target.max() <= 1


@OF_NOISE
def test_each_seed_draws_its_own_noise(task: NoiseTask, photos: list[np.ndarray]) -> None:
    first = drawn(task, photos, seed=1)
    assert not torch.equal(first.condition, drawn(task, photos, seed=2).condition)
    assert not torch.equal(first.target, drawn(task, photos, seed=1, number=1).target)


def test_a_task_that_reads_nothing_draws_as_many_samples_as_are_asked_for() -> None:
    """The same, point by point or at once."""
    task, numbers = build_task({"kind": "points", "labels": 8}), range(3, 8)
    for draw in (task.draw, partial(Task.draw, task)):
        batch = draw(numbers, [sample_rng(0, 0, number) for number in numbers])
        assert batch.condition.shape == (5, 10, 1, 1) and batch.target.shape == (5, 2, 1, 1)
        assert batch.label is not None and torch.equal(
            batch.condition[:, 2:, 0, 0].argmax(1), batch.label
        )
        alone = [draw([number], [sample_rng(0, 0, number)]) for number in numbers]
        assert torch.equal(batch.target, torch.cat([one.target for one in alone]))


@OF_NOISE
def test_the_condition_is_noise_then_the_label_one_hot_then_the_codes(
    task: NoiseTask, photos: list[np.ndarray]
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
    task: NoiseTask, photos: list[np.ndarray]
) -> None:
    sample = sample_for(task, photos[0][: task.size_px, : task.size_px])
    batches = [task.make_pair(sample, sample_rng(0, 0, n)) for n in range(400)]
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
    task: NoiseTask, photos: list[np.ndarray]
) -> None:
    condition = drawn(task, photos).condition.expand(3, -1, -1, -1)
    for amplitude in (0.0, 0.1, 3.0):
        prediction = (
            torch.randn(3, task.prediction_channels, task.size_px, task.size_px)
            .mul(amplitude)
            .requires_grad_()
        )
        made = task.decode(condition, prediction)
        (made - 0.3).square().mean().backward()
        assert made.shape == (3, task.picture_channels, task.size_px, task.size_px)
        assert (
            prediction.grad is not None
            and prediction.grad.isfinite().all()
            and prediction.grad.any()
        )
        assert task.reads == "none" or (made.min() >= 0 and made.max() <= 1)


@OF_NOISE
def test_a_network_makes_what_a_noise_task_decodes(
    task: NoiseTask, photos: list[np.ndarray]
) -> None:
    condition = torch.cat([drawn(task, photos, number=n).condition for n in range(2)])
    made = predict_rgb(
        task,
        lambda c: c.mean() * torch.ones(2, task.prediction_channels, *2 * [task.size_px]),
        1,
        condition,
    )
    assert made.shape == (2, task.picture_channels, task.size_px, task.size_px)


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


def test_the_size_of_pictures_from_noise_was_once_called_a_scale() -> None:
    named = build_task({"kind": "generate", "scale": 28})
    assert isinstance(named, NoiseTask) and named.size_px == 28
    assert named == build_task({"kind": "generate", "size_px": 28})
