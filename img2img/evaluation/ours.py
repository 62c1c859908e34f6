"""A model of ours as a method: pictures in, pictures out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

import numpy as np
from torch import Tensor

from img2img.data.sample import as_picture, as_tensor
from img2img.evaluation.case import Case, Method
from img2img.inference.pipeline import Model, load
from img2img.pixels.images import Photo, quantise, to_float
from img2img.zoo.catalogue import CATALOGUE, Entry

Apply = Callable[[Tensor, Tensor | None], Tensor]
"""A picture (1,3,H,W), and a mask (1,1,H,W) for a model that fills, to the result."""


def applied(model: Model, self_ensemble: bool = False) -> Apply:
    """What a user gets of it: of a model that finds what is to be filled, that filled."""
    if not model.photo_task.finds:
        return partial(model.predict_tensor, self_ensemble=self_ensemble)
    filler = load(CATALOGUE.filler(), device=str(model.device))

    def filled(x: Tensor, mask: Tensor | None) -> Tensor:
        photo = Photo(quantise(as_picture(x), np.uint8))
        found = model.find(photo)
        done = filler.run(photo, found) if found.any() and not found.all() else photo
        return as_tensor(to_float(done.rgb))

    return filled


def in_a_row(*entries: Entry, device: str) -> Method:
    """Models one after the other, in float between them."""
    models = [load(entry, device=device) for entry in entries]

    def all_of_them(case: Case) -> Tensor:
        return reduce(lambda rgb, model: model.predict_tensor(rgb), models, case.given)

    return all_of_them
