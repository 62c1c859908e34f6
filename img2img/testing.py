"""For whoever writes a task: what its tests need."""

from __future__ import annotations

import numpy as np

from img2img.data.sample import (
    EmptySample,
    LabelledSample,
    PairSample,
    PhotoSample,
    Sample,
    UnpairedSample,
)
from img2img.tasks.base import Task


def sample_for(
    task: Task,
    photo: np.ndarray,
    other: np.ndarray | None = None,
    label: int = 0,
    number: int = 0,
) -> Sample:
    """A sample such as `task` reads, of a photo (H,W,3) uint8.

    `other` is the partner in a pair, or side A's picture: the photo upside down unless given.
    """
    if task.reads == "none":
        return EmptySample(number)
    if task.reads == "photo":
        return PhotoSample(number, photo)
    if task.reads == "label":
        return LabelledSample(number, photo, label)
    pair = PairSample if task.reads == "pair" else UnpairedSample
    return pair(number, photo, photo[::-1].copy() if other is None else other)
