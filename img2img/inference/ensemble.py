"""Geometric self-ensemble: the mean over the eight flips and quarter turns of a picture (Lim et al.
2017, section 3.3).

About 0.1 dB for eight times the time; only for networks that were trained on turned pictures.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from img2img.recipe import Recipe
from img2img.tasks import PhotoTask

VIEWS = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))


def can_ensemble(recipe: Recipe) -> bool:
    """Whether a model saw turned pictures in training, and works on any part of a photo without
    knowing the rest.
    """
    return recipe.data.rotate and isinstance(recipe.task, PhotoTask) and recipe.task.tiles


def ensembled(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The mean of `run` over the eight views of a picture (B,C,H,W), each turned back."""
    total: Tensor | None = None
    for turns, mirrored in VIEWS:
        view = torch.rot90(x.flip(-1) if mirrored else x, turns, (-2, -1))
        result = torch.rot90(run(view), -turns, (-2, -1))
        result = result.flip(-1) if mirrored else result
        total = result if total is None else total + result
    assert total is not None
    return total / len(VIEWS)
