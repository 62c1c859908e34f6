"""Repair: a mask as a picture, what counts as found, and what a photo says of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from task_samples import pair, zeros

from img2img.errors import UserError
from img2img.recipe import Recipe
from img2img.tasks import PhotoStatistics, build_task
from img2img.tasks.finding import FindingTask
from img2img.tasks.repair import LEAST_FOUND, Repair
from img2img.testing import check_task

SEEN = {"width": 900, "height": 700, "has_mask": False, "tints": 0, "noise_sigma_255": 0.0}


@pytest.mark.parametrize("fields", [{"unit_px": [1, 1]}, {"undamaged_share": 0.5}], ids=str)
def test_it_keeps_the_contract(fields: dict[str, object]) -> None:
    check_task(build_task({"kind": "repair", **fields}))


def test_what_lies_above_the_threshold_is_found_and_widened() -> None:
    picture = torch.full((1, 3, 9, 9), 0.3)
    picture[..., 4, 4] = 0.7
    assert Repair().mask_of(picture).sum() == 5  # a disc of 1 px
    assert Repair(grow_px=0).mask_of(picture).sum() == 1
    assert not Repair(threshold=0.8).mask_of(picture).any()
    assert Repair(threshold=0.2).mask_of(picture).all()


def test_a_network_that_says_nothing_finds_nothing(photos: list[np.ndarray]) -> None:
    task = Repair(undamaged_share=0)
    batch = pair(task, photos[0], seed=1)
    rgb = zeros(task, batch)
    assert not task.mask_of(rgb).any()
    assert batch.target.any()
    assert task.metrics(rgb, batch)["f1"] == 0
    assert task.metrics(task.decode(batch.condition, task.encode(batch)), batch)["f1"] == 1


def test_a_photo_asks_for_it_where_enough_was_found() -> None:
    def reason(share: float) -> str | None:
        return Repair.applies(PhotoStatistics(**SEEN, damaged_share=share))  # type: ignore[arg-type]  # plain values

    assert reason(0.0) is reason(LEAST_FOUND * 0.9) is None
    assert reason(0.031) == "it is scratched or stained (3.1 % of it)"


@pytest.mark.parametrize("kind", ["cross_entropy", "dice"])
def test_losses_of_masks_fall_towards_the_truth_and_belong_to_masks(kind: str) -> None:
    fields = {"name": "x", "task": "repair", "generator": {"kind": "restorer"}}
    loss = Recipe.parse({**fields, "losses": [{"kind": kind}]}).losses[0]
    truth = torch.zeros(2, 3, 16, 16)
    truth[..., 4] = 1
    values = [float(loss(truth * a + 0.1 * (1 - a), truth, None)) for a in (0.0, 0.5, 0.9)]  # type: ignore[call-arg,operator]  # one of pictures
    assert values[0] > values[1] > values[2] > 0
    with pytest.raises(UserError, match=r"losses\.0\.kind '.*' compares masks, and the task makes"):
        Recipe.parse({**fields, "task": "denoise", "losses": [{"kind": kind}]})


def test_only_tasks_that_find_say_so() -> None:
    assert issubclass(Repair, FindingTask)
    assert Repair.finds
    assert not Repair.fills
    assert not build_task("denoise").finds  # type: ignore[attr-defined]  # of photos
