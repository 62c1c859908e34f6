"""Colorization: the luminance is the photo's, whatever the network says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from task_samples import (
    SIZES,
    any_prediction,
    eight_bits,
    pair,
    zeros,
)

from img2img.pixels.color import luminance, to_lab
from img2img.tasks import (
    PhotoStatistics,
    build_task,
)
from img2img.tasks.forward import ForwardOptions, forward
from img2img.testing import check_task


def test_it_keeps_the_contract() -> None:
    check_task(build_task("colorize"), tolerance=1 / 255)  # Lab and back, in single precision


VARIANTS = (
    {},
    {"predicts": "color_bins"},
    {"enlargement": "joint_bilateral"},
    {"predicts": "color_bins", "enlargement": "joint_bilateral", "temperature": 1.0},
)


@pytest.mark.parametrize("fields", VARIANTS[1:])
def test_so_do_bins_and_enlarging_along_edges(fields: dict[str, Any]) -> None:
    check_task(build_task({"kind": "colorize", **fields}), tolerance=1 / 255)


@pytest.mark.parametrize("fields", VARIANTS)
def test_zeros_leave_it_grey(photos: list[np.ndarray], fields: dict[str, Any]) -> None:
    task = build_task({"kind": "colorize", **fields})
    batch = pair(task, photos[0])
    grey = zeros(task, batch)
    assert to_lab(grey)[:, 1:].abs().max() < 0.1
    assert torch.allclose(luminance(grey), batch.condition, atol=1e-3)


@pytest.mark.parametrize("size", [(16, 16), (3000, 41), (1500, 2000)])
def test_the_network_sees_a_small_photo(size: tuple[int, int]) -> None:
    (view,) = build_task("colorize").views(size)
    assert max(view.size) <= 256 and min(view.size) >= 1


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("enlargement", ["bilinear", "joint_bilateral"])
def test_chroma_may_be_predicted_at_a_part_of_the_size(stride: int, enlargement: str) -> None:
    task = build_task({"kind": "colorize", "enlargement": enlargement})
    condition = torch.rand(1, 1, 64, 32)
    prediction = torch.zeros(1, 2, 64 // stride, 32 // stride, requires_grad=True)
    rgb = task.decode(condition, prediction)
    rgb[:, 0].mean().backward()
    assert rgb.shape == (1, 3, 64, 32)
    assert prediction.grad is not None
    assert (prediction.grad[:, 0] > 0).all(), "more a*, more red"


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


def test_chroma_ends_where_things_end() -> None:
    """Two greys side by side, one reddish and one greenish: seen at a third of the photo's size."""
    photo = torch.full((1, 3, 48, 480), 0.3)
    photo[..., 240:] = 0.7
    small = torch.full((1, 3, 16, 160), 0.3)
    small[..., 80:] = 0.7
    ab = torch.zeros(1, 2, 4, 40)
    ab[:, 0, :, :20], ab[:, 0, :, 20:] = 0.2, -0.2

    def beyond(enlargement: str) -> int:
        """Columns of the photo, right of the edge, that bear some of the left side's color."""
        task = build_task({"kind": "colorize", "enlargement": enlargement})
        lab = to_lab(task.finish(photo, task.decode(task.prepare(small), ab)))
        assert lab[0, 1, 24, 40].item() == pytest.approx(22, abs=1)
        return int((lab[0, 1, 24, 240:] > -20).sum())

    assert beyond("bilinear") >= 4 and beyond("joint_bilateral") == 0


def test_a_seed_gives_another_version_of_bins_alone() -> None:
    unsure = torch.zeros(1, 169, 8, 8)
    bins, chroma = (
        build_task({"kind": "colorize", "predicts": "color_bins"}),
        build_task("colorize"),
    )
    assert not torch.equal(bins.vary(unsure, 1), bins.vary(unsure, 2))
    prediction = torch.rand(1, 2, 8, 8)
    assert chroma.vary(prediction, 1) is prediction


def test_the_pipeline_gives_a_version_a_seed_and_the_likeliest_without() -> None:
    task = build_task({"kind": "colorize", "predicts": "color_bins"})

    def network(condition: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(condition), 169, *condition.shape[-2:])

    photo = torch.full((1, 3, 64, 64), 0.5)
    first, again, other, usual = (
        forward(task, network, 1, photo, options=ForwardOptions(seed=seed)) for seed in (1, 1, 2, 0)
    )
    assert torch.equal(first, again) and (first - other).abs().max() > 0.05
    assert to_lab(usual)[:, 1:].abs().max() < 0.1
    assert (luminance(first) - luminance(photo)).abs().max() < 0.005


UNTOUCHED = SimpleNamespace(width=1200, height=900, has_mask=False, tints=2, noise_sigma_255=1.0)


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
