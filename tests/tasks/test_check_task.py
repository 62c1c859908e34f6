"""`check_task` finds what is wrong with a task, and says it in a sentence."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import PrivateAttr
from torch import Tensor

from img2img.data.sample import Batch, PhotoSample, as_tensor
from img2img.pixels import degrade
from img2img.tasks import PhotoStatistics, PhotoTask, Task
from img2img.tasks.photo import View
from img2img.testing import check_task


class Sharpen(PhotoTask):
    """Blurred photo in, sharp photo out: nothing is wrong with it."""

    kind: Literal["sharpen"] = "sharpen"
    blur_px: float = 2.0

    tiles: ClassVar[bool] = True

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        sharp = as_tensor(sample.photo)
        blurred = degrade.blur(sample.photo.astype(np.float32) / 255, self.blur_px)
        return Batch(condition=as_tensor(blurred), target=sharp)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return condition + prediction


class Rotate(Sharpen):
    """It has a required field, as degrees of a scanner."""

    degrees: float


def test_a_good_task_passes_as_class_and_as_instance() -> None:
    check_task(Sharpen)
    check_task(Sharpen(blur_px=0.5), tolerance=1e-6)
    check_task(Rotate(degrees=5))


class Signed(Sharpen):
    """pix2pix's convention, without its inverse."""

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return (prediction + 1) / 2


class SignedBothWays(Signed):
    def encode(self, batch: Batch) -> Tensor:
        return batch.target * 2 - 1


def test_a_decode_of_ones_own_needs_its_inverse() -> None:
    with pytest.raises(AssertionError, match="encode must be the inverse of decode"):
        check_task(Signed)
    check_task(SignedBothWays)


class Noisy(Sharpen):
    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        sharp = as_tensor(sample.photo)
        return Batch(sharp + 0.1 * float(rng.random()), sharp)


class Forgetful(Sharpen):
    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        sharp = as_tensor(sample.photo)
        return Batch(sharp + 0.1 * torch.randn_like(sharp), sharp)


class Wasteful(Sharpen):
    draws: ClassVar[bool] = True

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        rng.random()
        return super().make_pair(sample, rng)


class Even(Sharpen):
    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        grey = torch.linspace(0.2, 0.8, 96 * 96 * 3).view(1, 3, 96, 96)
        return Batch(grey, grey)


class Levels(Sharpen):
    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        pair = super().make_pair(sample, rng)
        return Batch(pair.condition, pair.target * 255)


class Masks(Sharpen):
    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        pair = super().make_pair(sample, rng)
        return Batch(pair.condition, pair.target, mask=torch.ones(1, 1, 96, 96))


class Channels(Sharpen):
    @property
    def condition_channels(self) -> int:
        return 4


class Stuck(Sharpen):
    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return condition + prediction.abs().sqrt() * prediction.sign()

    def encode(self, batch: Batch) -> Tensor:
        residual = batch.target - batch.condition
        return residual.square() * residual.sign()


class Cropped(Sharpen):
    def finish(self, photo: Tensor, rgb: Tensor) -> Tensor:
        return rgb[..., :-1, :].clamp(0, 1)


class Tinted(Sharpen):
    def finish(self, photo: Tensor, rgb: Tensor) -> Tensor:
        return (rgb * torch.tensor([1.0, 0.5, 0.5])[:, None, None]).clamp(0, 1)


class Instance(Sharpen):
    def applies(self, photo: PhotoStatistics) -> str | None:  # type: ignore[override]
        return None


class HalfSeen(Sharpen):
    def views(self, size: tuple[int, int]) -> list[View]:
        return [View(0, 0, size[0], size[1] // 2, size)]


class Backwards(Sharpen):
    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        return {"psnr_db": -super().metrics(rgb, batch)["psnr_db"]}


class Nameless(Sharpen):
    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        return {"ssim": 1.0}


class Locked(Sharpen):
    _lock: Any = PrivateAttr(default_factory=threading.Lock)


class Homeless(Task):
    kind: Literal["homeless"] = "homeless"


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (Rotate, r"Rotate has required fields \(degrees\): write check_task\(Rotate\(…\)\)"),
        (Noisy, "make_pair draws from rng: declare `draws"),
        (Forgetful, "not a function of sample and rng"),
        (Wasteful, "draws from rng, and every seed has the same pair"),
        (Even, "all photos have the same target"),
        (Levels, r"target goes from .* pictures are in \[0,1\]"),
        (Masks, "a mask if and only if the task is a MaskedTask"),
        (Channels, r"condition is \(1, 3, 96, 96\), and is to be \(1, 4, 96, 96\)"),
        (Stuck, "decode has no finite gradient at predictions of about 0"),
        (Cropped, r"a photo uint8 \(16, 16, 3\) comes back as uint8 \(15, 16, 3\)"),
        (Tinted, "a grey photo comes back in color: say `keeps_grey"),
        (Instance, "applies is asked of the class: write @classmethod above it"),
        (HalfSeen, "views leave out a part"),
        (Backwards, "psnr_db does not fall with noise"),
        (Nameless, "main_metric 'psnr_db' is no metric"),
        (Locked, "a data loader's worker cannot take it"),
        (Homeless, "derive it from PhotoTask"),
    ],
)
def test_a_broken_task_is_told_what_is_wrong(task: type[Task], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_task(task)
