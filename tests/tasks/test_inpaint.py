"""Inpainting: known pixels come back bit for bit, and nobody looks into the hole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from task_samples import (
    SIZES,
    any_prediction,
    pair,
    pairs_differ,
    random_mask,
    zeros,
)

from img2img.data.sample import as_tensor
from img2img.inference.pipeline import load
from img2img.modelfile import Card, save_model
from img2img.pixels.images import quantise, to_float
from img2img.recipe import Recipe
from img2img.tasks import (
    MaskedTask,
    build_task,
)
from img2img.tasks.forward import ForwardOptions, forward
from img2img.testing import check_task


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"fill": "mean"},
        {"fill": "mirrored", "strokes_px": 200},
        {"fill": "mirrored", "noise_channels": 2},
        {"fill": "exemplar", "noise_channels": 1},
        {"fill": "navier_stokes", "free_form_share": 0, "outpaint_share": 1},
        {"free_form_share": 0, "outpaint_share": 0},
    ],
    ids=str,
)
def test_it_keeps_the_contract(fields: dict[str, Any]) -> None:
    check_task(build_task({"kind": "inpaint", **fields}), tolerance=1e-6)


@pytest.mark.parametrize("fill", ["telea", "navier_stokes", "mirrored", "mean", "exemplar"])
def test_zeros_are_the_classical_fill(fill: str, photos: list[np.ndarray]) -> None:
    task = build_task({"kind": "inpaint", "fill": fill})
    batch = pair(task, photos[0])
    assert torch.equal(zeros(task, batch), batch.condition[:, :3])


def test_each_seed_has_another_hole(photos: list[np.ndarray]) -> None:
    assert pairs_differ(build_task("inpaint"), photos)


def test_without_a_mask_nothing_is_filled() -> None:
    task, photo = build_task("inpaint"), torch.rand(1, 3, 24, 32)
    assert isinstance(task, MaskedTask)
    condition = task.prepare(photo)
    assert torch.equal(condition, torch.cat([photo, torch.zeros(1, 1, 24, 32)], 1))
    assert torch.equal(task.finish(photo, torch.rand_like(photo)), photo)
    assert task.views((24, 32)) == []


@pytest.mark.parametrize("size", [(16, 16), (3000, 41), (1500, 2000)])
def test_views_cover_the_hole_at_the_working_size(size: tuple[int, int]) -> None:
    mask = random_mask(size)[0, 0].bool().numpy()
    covered = np.zeros(size, bool)
    for view in build_task("inpaint").views(size, mask):
        assert max(view.size) <= 768
        view.cut(covered)[:] = True
    assert (covered | ~mask).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fill", ["telea", "navier_stokes", "mirrored", "mean", "exemplar"])
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
    for fill in ("telea", "navier_stokes", "mirrored", "mean", "exemplar"):
        task = build_task({"kind": "inpaint", "fill": fill})
        assert torch.allclose(task.prepare(photo, mask), task.prepare(other, mask), atol=1e-6)


def test_noise_lies_in_the_hole_alone_before_the_mask_and_goes_by_the_seed() -> None:
    plain = build_task({"kind": "inpaint", "fill": "mirrored"})
    task = build_task({"kind": "inpaint", "fill": "mirrored", "noise_channels": 2})
    photo, mask = torch.rand(1, 3, 32, 32), random_mask((32, 32))
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(task.prepare(photo, mask))
    assert task.condition_channels == plain.condition_channels + 2 == drawn[0].shape[1]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    without = torch.cat([drawn[2][:, :6], drawn[2][:, -1:]], 1)
    assert torch.equal(without, plain.prepare(photo, mask))
    noise, hole = drawn[2][:, 6:8], mask[:, 0] > 0
    assert not noise.movedim(1, -1)[~hole].any()
    assert noise.min() >= 0 and noise.max() <= 1
    assert 0.2 < noise.movedim(1, -1)[hole].std() < 0.4
    given = torch.full((1, 2, 32, 32), 3.0)
    assert torch.equal(task.prepare(photo, mask, given)[:, 6:8], given * mask)


def test_each_seed_of_a_trained_network_gives_another_candidate(tmp_path: Path) -> None:
    task = {"kind": "inpaint", "fill": "mean", "noise_channels": 1}
    generator = {"kind": "gated", "width": 8, "dilations": [1]}
    recipe = Recipe.parse({"name": "candidates", "task": task, "generator": generator})
    network = recipe.build_generator()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2)
    save_model(tmp_path / "m.safetensors", network, recipe, Card())
    model = load(tmp_path / "m.safetensors", device="cpu")
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    hole = random_mask((32, 32))[0, 0].numpy() > 0
    default, again, other = (
        np.asarray(model(photo, mask=hole, **seed)) for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert np.array_equal(default, again)
    assert (default != other)[hole].any() and np.array_equal(default[~hole], other[~hole])


def test_the_pieces_of_the_picture_are_a_proposal_that_starts_without_effect() -> None:
    mirrored, task = (build_task({"kind": "inpaint", "fill": f}) for f in ("mirrored", "exemplar"))
    columns = torch.arange(96.0) // 6 % 2
    photo = (0.2 + 0.6 * columns).expand(1, 3, 96, 96).contiguous()
    mask = torch.zeros(1, 1, 96, 96)
    mask[..., 32:64, 32:64] = 1
    condition = task.prepare(photo, mask)
    assert torch.equal(condition[:, [*range(6), -1]], mirrored.prepare(photo, mask))
    prediction = torch.zeros(1, task.prediction_channels, 96, 96)
    assert torch.equal(task.decode(condition, prediction), condition[:, :3])
    prediction[:, 6:] = 1
    torch.testing.assert_close(task.decode(condition, prediction), photo, atol=1e-5, rtol=0)
