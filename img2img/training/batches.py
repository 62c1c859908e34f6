"""The training data in order: which samples a step sees is a function of its number alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from accelerate import Accelerator
from torch.utils.data import DataLoader

from img2img.data.dataset import TrainingSet
from img2img.data.sample import Batch
from img2img.errors import UserError
from img2img.recipe import Recipe


def load_batches(
    recipe: Recipe, data: TrainingSet, accelerator: Accelerator, done: int
) -> Iterator[tuple[Batch | UserError, dict[Path, str]]]:
    """This process's micro-batches of every step from `done` on, `train.accumulate` a step, each
    with the files that are broken so far; a UserError where none can be read any more.

    There is no sampler state to save: a resumed run goes on with the same samples.
    """
    workers = recipe.data.workers
    yield from DataLoader(
        data,
        batch_sampler=_sample_numbers(recipe, accelerator, done),
        collate_fn=data.collate,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def _sample_numbers(recipe: Recipe, accelerator: Accelerator, done: int) -> Iterator[list[int]]:
    """The numbers of this process's samples, a micro-batch at a time: each number goes to one
    process.
    """
    train, world = recipe.train, accelerator.num_processes
    for micro in range(done * train.accumulate, train.steps * train.accumulate):
        first = (micro * world + accelerator.process_index) * train.batch_size
        yield list(range(first, first + train.batch_size))
