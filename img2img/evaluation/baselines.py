"""What a model has to beat: classical methods on exactly the pixels the model is given."""

from __future__ import annotations

from torch import Tensor

from img2img.data.sample import as_tensor
from img2img.evaluation import classics
from img2img.evaluation.case import Case, Method
from img2img.pixels.images import to_float
from img2img.tasks.baseline import trivial_answers
from img2img.tasks.masked import prepared
from img2img.tasks.photo import PhotoTask


def trivial(task: PhotoTask, case: Case) -> dict[str, Tensor]:
    """The task's trivial answers, the same as in a training's log, but for means of training
    targets, which are not known here.
    """
    mask = case.mask if task.fills else None
    return trivial_answers(task, prepared(task, case.given, mask), mask)


def classic(method: str) -> Method:
    """A method of `classics.py` by its function's name, in this process."""
    function = classics.classic(method)
    return lambda case: as_tensor(to_float(function(case.as_arrays())))
