"""The contract of a task as a check, and samples such as a task reads."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from img2img.conflicts import TaskFacts
from img2img.data.dataset import DataConfig
from img2img.data.sample import Batch, PhotoSample, Sample, sample_of, sample_rng
from img2img.inference.pipeline import Model
from img2img.modelfile import Card
from img2img.models.restorer import RestorerConfig
from img2img.pixels.alpha import BLEED
from img2img.pixels.tensors import ScoreFunction
from img2img.recipe import Recipe
from img2img.tasks.base import Task
from img2img.tasks.baseline import trivial_answers
from img2img.tasks.finding import FindingTask
from img2img.tasks.masked import MaskedTask, prepared, views_of
from img2img.tasks.photo import PhotoStatistics, PhotoTask
from img2img.tasks.unpaired import UnpairedTask

CROP_PX = 96  # of the pictures that pairs are made of, where the task has no size of its own
PHOTO_SIZES = ((16, 16), (17, 23), (37, 51), (129, 33))  # height and width
UNTOUCHED = PhotoStatistics(1200, 900, has_mask=False, tints=2, noise_sigma_255=1.0)


def check_task(task: Task | type[Task], tolerance: float = 1 / 255) -> None:
    """Raise AssertionError, with a sentence that says what is wrong, unless a task keeps the
    contract.

    Args:
        task: A task, or the class of one without required fields.
        tolerance: How far `decode(encode(batch))` may be from the target, of a range of 1.

    What is checked: fields survive a recipe and a data loader's worker; pairs have the stated
    shapes and ranges, and are a function of sample and seed alone; `decode` undoes `encode`, takes
    zeros and carries gradients; a photo of any size and depth, with alpha or grey, comes back as
    such; what the automatic plan asks, the class answers; metrics, sheets and trivial answers are
    finite and of their shapes. A few seconds.

    Example:
        >>> from img2img.tasks.denoise import Denoise
        >>> check_task(Denoise(sigma_255=(10, 20)))
    """
    checked = _instance(task) if isinstance(task, type) else task
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _check_fields(checked)
        batch = _check_pair(checked)
        _check_randomness(checked)
        _check_decode(checked, batch, tolerance)
        _check_numbers(checked, batch)
        if isinstance(checked, PhotoTask):
            _check_class(type(checked))
            _check_views(checked)
            for size in () if checked.classes else PHOTO_SIZES:  # no photo says its class
                _check_photo(checked, size)


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
    partner = photo[::-1].copy() if other is None else other
    return sample_of(task.reads, number, photo, partner, label)


def _instance(found: type[Task]) -> Task:
    try:
        return found.model_validate({"kind": found.model_fields["kind"].get_default() or "task"})
    except ValidationError as error:
        required = [str(e["loc"][0]) for e in error.errors() if e["type"] == "missing"]
        name = found.__name__
        raise AssertionError(
            f"{name} has required fields ({', '.join(required)}): write check_task({name}(…))"
        ) from error


def _check_fields(task: Task) -> None:
    name = type(task).__name__
    of_a_family = hasattr(task, "condition_is_noise")
    _ensure(of_a_family, f"{name}: derive it from PhotoTask, or from another family")
    fields = task.model_dump(mode="json")
    again = type(task).for_fields(fields).model_validate(fields)
    same = again.model_dump() == task.model_dump()
    _ensure(same, f"{name}: written to a recipe and read again it is {again}, not {task}")
    _ensure(type(again) is type(task), f"{name}: build it with build_task, as a recipe does")
    try:
        ForkingPickler.dumps(task)
    except Exception as error:
        raise AssertionError(f"{name}: a data loader's worker cannot take it: {error}") from error


def _check_pair(task: Task) -> Batch:
    batch, facts = _pair(task), TaskFacts.of(task)
    height, width = batch.condition.shape[-2:]
    _is(batch.condition, (1, task.condition_channels, height, width), "make_pair's condition")
    size = task.output_size((height, width))
    _is(batch.target, (1, task.picture_channels, *size), "make_pair's target")
    for name, pictures in batch.pictures.items():
        low, high = float(pictures.min()), float(pictures.max())
        reach = 0.0 if name == "target" else 1.5  # noise may reach beyond, but 0-255 may not
        _ensure(
            -reach <= low <= high <= 1 + reach and (low < high or (facts.finds and reach == 0)),
            f"make_pair: {name} goes from {low:.3g} to {high:.3g}: pictures are in [0,1]",
        )
    _ensure(
        (batch.mask is not None) == facts.fills,
        "make_pair gives a mask if and only if the task is a MaskedTask",
    )
    if batch.mask is not None:
        _is(batch.mask, (1, 1, *size), "make_pair's mask")
        _ensure(set(batch.mask.unique().tolist()) == {0.0, 1.0}, "the mask is 0 or 1, and both")
    if batch.mask is not None and batch.local_center is not None:
        row, column = batch.local_center[0].tolist()
        _ensure(bool(batch.mask[0, 0, row, column] == 1), "local_center is a pixel of the hole")
    _ensure((batch.label is not None) == (task.classes > 0), "a label goes with `classes`")
    _ensure((batch.code is not None) == (sum(facts.code_sizes) > 0), "codes go with `code_sizes`")
    return batch


def _check_randomness(task: Task) -> None:
    first, again = _pair(task, seed=1), None
    torch.rand(7), np.random.random(7)  # what others draw has no part in it
    again = _pair(task, seed=1)
    _ensure(
        _same(first, again), "make_pair is not a function of sample and rng: draw from rng alone"
    )
    if isinstance(_sample(task, 0), PhotoSample):
        other = _pair(task, picture=1, seed=1)
        _ensure(not torch.equal(first.target, other.target), "all photos have the same target")
    rng = sample_rng(1, 0, 0)
    before = str(rng.bit_generator.state)
    task.make_pair(_sample(task, 0), rng)
    drawn = str(rng.bit_generator.state) != before
    _ensure(
        task.draws or not drawn, "make_pair draws from rng: declare `draws: ClassVar[bool] = True`"
    )
    seeds = [_pair(task, seed=seed) for seed in range(2, 8)]
    _ensure(
        not drawn or not all(_same(first, pair) for pair in seeds),
        "make_pair draws from rng, and every seed has the same pair",
    )


def _check_decode(task: Task, batch: Batch, tolerance: float) -> None:
    truth = task.encode(batch)
    height, width = batch.target.shape[-2:]
    sizes = [(height // stride, width // stride) for stride in task.prediction_strides]
    _ensure(
        tuple(truth.shape[:2]) == (1, task.prediction_channels) and truth.shape[-2:] in sizes,
        f"encode gives {tuple(truth.shape)}: a prediction has {task.prediction_channels} channels",
    )
    decoded = task.decode(batch.condition, truth)
    _ensure(
        decoded.shape == batch.target.shape,
        f"decode gives {tuple(decoded.shape)}: the target is {tuple(batch.target.shape)}",
    )
    away = float((decoded - batch.target).abs().max())
    _ensure(
        away <= tolerance,
        f"decode(encode(batch)) is {away:.2g} away from the target: encode must be the inverse of "
        "decode",
    )
    _check_gradients(task, batch.condition)
    if isinstance(task, PhotoTask) and not task.classes:  # black, white and beyond
        extreme = torch.rand(1, 3, 24, 24) * 1.4 - 0.2
        extreme[..., :4, :], extreme[..., 4:8, :] = 0, 1
        _check_gradients(task, _prepared(task, extreme))


def _check_gradients(task: Task, condition: Tensor) -> None:
    size = task.output_size((condition.shape[-2], condition.shape[-1]))
    for amplitude in (0.0, 0.1, 3.0):
        prediction = torch.randn(1, task.prediction_channels, *size) * amplitude
        decoded = task.decode(condition, prediction.requires_grad_())
        decoded.square().mean().backward()
        gradient = prediction.grad
        assert gradient is not None
        where = f"at predictions of about {amplitude:g}"
        _ensure(bool(gradient.isfinite().all()), f"decode has no finite gradient {where}")
        clipped = bool(((decoded <= 0) | (decoded >= 1)).all())
        _ensure(clipped or bool(gradient.any()), f"decode carries no gradient {where}")


def _check_numbers(task: Task, batch: Batch) -> None:
    noise = torch.randn_like(batch.target)
    equal, good, bad = (
        task.metrics(batch.target + amount * noise, batch) for amount in (0.0, 0.01, 0.3)
    )
    for quality, numbers in (("perfect", equal), ("good", good), ("bad", bad)):
        for name, value in numbers.items():
            problem = f"metrics of a {quality} result: {name} is {value}"
            _ensure(bool(np.isfinite(value)), problem)
    _ensure(good.keys() == bad.keys(), "metrics has other names for other pictures")
    for name in good:
        _ensure(
            not name.endswith("_db") or good[name] > bad[name], f"{name} does not fall with noise"
        )
    main = task.main_metric.name  # what two sides are measured by, the training step adds
    _ensure(main in good or isinstance(task, UnpairedTask), f"main_metric '{main}' is no metric")
    answers = trivial_answers(task, batch.condition, batch.mask)
    for name, rgb in answers.items():
        _is(rgb, tuple(batch.target.shape), f"the trivial answer '{name}'")
    score: ScoreFunction | None = (lambda x: x.flatten(1).mean(1)) if not task.classes else None
    sheet = task.sheet([(batch, answers[task.zeros_are], batch.target)], score)
    _ensure(
        sheet.ndim == 3 and sheet.shape[2] == 3 and np.isfinite(sheet).all(),
        f"sheet gives {sheet.shape}: a picture is (H,W,3)",
    )


def _check_class(found: type[PhotoTask]) -> None:
    masked = issubclass(found, MaskedTask)
    _ensure(found.fills == masked, f"{found.__name__}: derive tasks that fill from MaskedTask")
    finding = issubclass(found, FindingTask)
    _ensure(found.finds == finding, f"{found.__name__}: derive tasks that find from FindingTask")
    for question in ("applies", "declines", "wants_found_model"):
        try:
            answer = getattr(found, question)(UNTOUCHED)
        except TypeError as error:
            raise AssertionError(
                f"{question} is asked of the class: write @classmethod above it ({error})"
            ) from error
        _ensure(
            answer is None or isinstance(answer, str | bool),
            f"{question} gives {answer!r}, no words",
        )


def _check_views(task: PhotoTask) -> None:
    """Parts lie in the photo, and cover what is to be worked on."""
    for size in [(16, 16), (300, 41), (150, 200)]:
        mask = _hole(size) if task.fills else np.ones(size, bool)
        views = views_of(task, size, mask)
        covered = np.zeros(size, bool)
        for v in views:
            inside = 0 <= v.top < v.top + v.height <= size[0]
            inside &= 0 <= v.left < v.left + v.width <= size[1]
            _ensure(inside and min(v.size) >= 1, f"views: {v} lies outside of a photo of {size}")
            covered[v.top : v.top + v.height, v.left : v.left + v.width] = True
        _ensure(bool(covered[mask].all()), f"views leave out a part of a photo of {size}")


def _check_photo(task: PhotoTask, size: tuple[int, int]) -> None:
    """prepare, network, decode and finish: any size, depth and alpha."""
    photo = torch.rand(1, 3, *size) * 1.4 - 0.2
    _is(_prepared(task, photo), (1, task.condition_channels, *size), "prepare")
    model = _model(task)
    for dtype in (np.uint8, np.uint16, np.float32):
        rgb = _levels(torch.rand(*size, 3).numpy(), dtype)
        alpha = _levels(torch.rand(*size, 1).numpy(), dtype)
        mask = _hole(size) if task.fills else None
        result = model(rgb, mask)
        _ensure(
            result.dtype == dtype and result.shape == (*task.output_size(size), 3),
            f"a photo {rgb.dtype} {rgb.shape} comes back as {result.dtype} {result.shape}",
        )
        result = model(np.concatenate([rgb, alpha], 2), mask)
        channels = 4 if task.background == BLEED else 3
        _ensure(result.shape[2] == channels, f"with alpha a result has {channels} channels")
        if task.fills:
            known = model(rgb, mask)[~_hole(size)]
            _ensure(np.array_equal(known, rgb[~_hole(size)]), "known pixels are not as they were")
        grey = model(np.repeat(rgb[..., :1], 3, 2), mask)
        _ensure(
            not task.keeps_grey or np.ptp(grey, axis=2).max() == 0,
            "a grey photo comes back in color: say `keeps_grey: ClassVar[bool] = False`",
        )


def _prepared(task: PhotoTask, photo: Tensor) -> Tensor:
    hole = _hole((photo.shape[-2], photo.shape[-1]))
    return prepared(task, photo, torch.from_numpy(hole)[None, None].float())


class _AnyNetwork(nn.Module):
    """Weights of no training: some prediction of the right shape, the same for the same input."""

    def __init__(self, task: PhotoTask) -> None:
        super().__init__()
        self.task = task

    def forward(self, condition: Tensor) -> Tensor:
        height, width = self.task.output_size((condition.shape[-2], condition.shape[-1]))
        shape = (len(condition), self.task.prediction_channels, height, width)
        chance = torch.Generator().manual_seed(0)
        return torch.randn(shape, generator=chance) * 0.3


def _model(task: PhotoTask) -> Model:
    recipe = Recipe.model_construct(
        name="check",
        task=task,
        data=DataConfig(),
        generator=RestorerConfig(widths=(8, 8), blocks=(1, 1), unshuffle=4),
    )
    return Model("check", recipe, Card(), _AnyNetwork(task), torch.device("cpu"), "fp32")


def _pair(task: Task, picture: int = 0, seed: int = 0) -> Batch:
    return task.make_pair(_sample(task, picture), sample_rng(seed, 0, picture))


def _sample(task: Task, number: int) -> Sample:
    """A picture of shades, an edge and some grain, as large as the task's training crops."""
    side, bottleneck = CROP_PX, TaskFacts.of(task).bottleneck
    if bottleneck is not None or task.condition_is_noise:
        side = bottleneck.size_px if bottleneck else task.output_size((1, 1))[0]
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0 : 1 : 1j * side, 0 : 1 : 1j * side] if side > 1 else np.zeros((2, 1, 1))
    shades = rng.uniform(0.2, 0.8, 3) + rng.uniform(-0.2, 0.2, 3) * x[..., None]
    shades = shades + np.where(y > rng.uniform(0.3, 0.7), 0.15, 0)[..., None]
    rgb = shades + 0.02 * rng.standard_normal((side, side, 3))
    return sample_for(task, _levels(rgb.clip(0, 1), np.uint8), number=number)


def _hole(size: tuple[int, int]) -> np.ndarray:
    hole = np.zeros(size, bool)
    hole[size[0] // 4 : size[0] // 2, 2 : size[1] // 2] = True
    return hole


def _levels(x: np.ndarray, dtype: Any) -> np.ndarray:
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    return (x * top).astype(dtype)


def _same(a: Batch, b: Batch) -> bool:
    pairs = [(value, getattr(b, name)) for name, value in vars(a).items()]
    return all(x is y if x is None or y is None else torch.equal(x, y) for x, y in pairs)


def _is(x: Tensor, shape: tuple[int, ...], what: str) -> None:
    _ensure(tuple(x.shape) == shape, f"{what} is {tuple(x.shape)}, and is to be {shape}")
    _ensure(x.dtype == torch.float32, f"{what} is {x.dtype}, and is to be float32")
    _ensure(bool(x.isfinite().all()), f"{what} is not finite")


def _ensure(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)
