"""Translation: from pairs, from conditions made of photos, and without pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from task_samples import (
    pair,
    zeros,
)

from img2img.data.sample import PairSample, as_tensor, sample_rng
from img2img.errors import UserError
from img2img.recipe import Recipe
from img2img.tasks import (
    UnpairedTask,
    build_task,
)
from img2img.testing import check_task


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {"source": source}
            for source in ("pairs", "edges", "grey", "sepia", "blur", "downscale")
        ),
        {"direction": "BtoA"},
        {"input_channels": 1},
        {"output_channels": 1},
        {"source": "unpaired"},
        {"source": "unpaired", "side_a": "sepia"},
    ],
    ids=str,
)
def test_it_keeps_the_contract(fields: dict[str, Any]) -> None:
    check_task(build_task({"kind": "translate", **fields}), tolerance=1e-6)


@pytest.mark.parametrize("source", ["pairs", "edges", "grey", "blur", "downscale", "unpaired"])
def test_zeros_are_mid_grey(source: str, photos: list[np.ndarray]) -> None:
    task = build_task({"kind": "translate", "source": source})
    assert torch.equal(zeros(task, pair(task, photos[0])), torch.full((1, 3, 96, 96), 0.5))


def test_without_pairs_it_is_of_the_family_of_two_sides(photos: list[np.ndarray]) -> None:
    for side_a in ("files", "sepia"):
        fields = {"kind": "translate", "source": "unpaired", "side_a": side_a}
        task = build_task(fields)
        assert isinstance(task, UnpairedTask) and build_task(task.model_dump(mode="json")) == task
        known = task.other_side(as_tensor(photos[0]))
        assert (known is None) == (side_a == "files")
    assert not isinstance(build_task({"kind": "translate", "source": "grey"}), UnpairedTask)


@pytest.mark.parametrize("size", [(16, 16), (3000, 41), (1500, 2000)])
def test_the_network_sees_at_most_the_working_size(size: tuple[int, int]) -> None:
    (view,) = build_task("translate").views(size)
    assert max(view.size) <= 1024 and min(view.size) >= 1


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


@pytest.mark.parametrize("source", ["pairs", "edges", "grey"])
def test_a_network_may_see_luma_alone(source: str, photos: list[np.ndarray]) -> None:
    """As published networks of one channel do; what is grey already is the same to the old way."""
    old, new = (
        build_task({"kind": "translate", "source": source, "input_channels": channels})
        for channels in (None, 1)
    )
    batch = pair(new, photos[0])
    assert new.condition_channels == batch.condition.shape[1] == 1
    if source == "pairs":
        red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(-1, -1, 16, 16)
        assert torch.allclose(new.prepare(red), torch.full((1, 1, 16, 16), 0.299))
    else:
        assert torch.allclose(batch.condition, pair(old, photos[0]).condition, atol=1e-6)


def test_a_network_may_predict_grey_and_the_picture_has_three_channels() -> None:
    task = build_task({"kind": "translate", "output_channels": 1})
    assert task.prediction_channels == 1
    prediction = torch.rand(1, 1, 8, 8) * 2 - 1
    picture = task.decode(torch.rand(1, 3, 8, 8), prediction)
    assert torch.equal(picture, ((prediction + 1) / 2).expand(1, 3, 8, 8))


@pytest.mark.parametrize("field", ["input_channels", "output_channels"])
def test_without_pairs_both_sides_have_three_channels(field: str) -> None:
    with pytest.raises(UserError, match=rf"task\.{field} is 1, and without pairs both .*: use 3"):
        Recipe.load("cyclegan", [f"task.{field}=1"])
