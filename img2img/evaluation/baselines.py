"""What a model has to beat: classical methods on exactly the pixels the model is given."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from skimage.restoration import inpaint_biharmonic
from torch import Tensor

from img2img.data.sample import as_picture, as_tensor
from img2img.evaluation.case import Case
from img2img.pixels.images import quantise
from img2img.tasks.baseline import trivial_answers
from img2img.tasks.inpaint import classical_fill
from img2img.tasks.masked import prepared
from img2img.tasks.photo import PhotoTask


def trivial(task: PhotoTask, case: Case) -> dict[str, Tensor]:
    """The task's trivial answers, the same as in a training's log, but for means of training
    targets, which are not known here.
    """
    mask = case.mask if task.fills else None
    return trivial_answers(task, prepared(task, case.given, mask), mask)


def non_local_means(case: Case) -> Tensor:
    """OpenCV's color non-local means (Buades et al. 2011), given σ; strengths are the best on five
    training photos.
    """
    luma, color = (0.6, 1.0) if case.sigma_255 < 40 else (0.5, 0.5)
    bgr = np.ascontiguousarray(quantise(as_picture(case.given), np.uint8)[..., ::-1])
    denoised = cv2.fastNlMeansDenoisingColored(
        bgr, None, luma * case.sigma_255, color * case.sigma_255, 7, 21
    )
    return as_tensor(denoised[..., ::-1])


def opencv_fill(case: Case, fill: Literal["telea", "navier_stokes"]) -> Tensor:
    """OpenCV's fill of radius 3, by fast marching (Telea 2004) or by Navier–Stokes (Bertalmio et
    al. 2001).
    """
    rgb8 = quantise(as_picture(case.given), np.uint8)
    return as_tensor(classical_fill(rgb8, case.hole, fill))


def biharmonic(case: Case) -> Tensor:
    """scikit-image's biharmonic fill (Damelin & Hoang 2018)."""
    return as_tensor(
        inpaint_biharmonic(as_picture(case.given), case.hole, channel_axis=-1).astype(np.float32)
    )
