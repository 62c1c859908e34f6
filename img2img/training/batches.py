"""The training data in order: which samples a step sees is a function of its number alone."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import cv2
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, get_worker_info

from img2img.cores import usable_cores
from img2img.data.cache import FORKS
from img2img.data.dataset import TrainingSet, reads_nothing
from img2img.data.sample import Batch
from img2img.errors import StructuredError, one_line
from img2img.recipe import Recipe

log = logging.getLogger("img2img")

MOST_LOADERS = 8
_OF_LOADER = "DataLoader worker"  # how torch begins what it says of one that ended
_GONE_S = 1.0  # by then a process is gone whose connections were closed


def load_batches(
    recipe: Recipe, data: TrainingSet, accelerator: Accelerator, done: int
) -> Iterator[tuple[Batch | StructuredError, dict[Path, str]]]:
    """This process's micro-batches of every step from `done` on, `train.accumulate` a step, each
    with the files that are broken so far; a UserError where none can be read any more, a
    StorageError where a place does not give what it holds.

    There is no sampler state to save: a resumed run goes on with the same samples.
    """
    workers = loader_workers(recipe, accelerator)
    loader = DataLoader(
        data,
        batch_sampler=_sample_numbers(recipe, accelerator, done),
        collate_fn=data.collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_begin_worker,
        multiprocessing_context="fork" if workers and FORKS else None,
    )
    try:
        yield from loader
    except (ConnectionError, EOFError) as error:  # it ended in the middle of handing a batch over
        raise RuntimeError(f"{_OF_LOADER}'s connection is cut: {one_line(error)}") from error


def is_of_loader(error: BaseException) -> bool:
    """Whether a loader process ended, which torch says in the middle of whatever runs then."""
    return isinstance(error, RuntimeError) and str(error).startswith(_OF_LOADER)


def loader_workers(recipe: Recipe, accelerator: Accelerator) -> int:
    """`data.workers`, or what suits the machine.

    Where the CPU trains, a loader pays only on a core that no thread of torch computes on: on one
    that it shares, the step waits for the thread that came second, as long as it would have waited
    for the batch. Beyond eight cores one in eight is shared all the same, since few operations keep
    all of them busy. Beside a GPU all cores but one are free for loaders.
    """
    if recipe.data.workers is not None:
        return recipe.data.workers
    if reads_nothing(recipe.task):  # a batch of numbers is drawn before a process could send it
        return 0
    cores = usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if accelerator.device.type == "cpu":
        return max(0, min(MOST_LOADERS, max(cores - torch.get_num_threads(), cores // 8)))
    return max(0, min(MOST_LOADERS, cores - 1))


def _begin_worker(number: int) -> None:
    """One thread each, as torch has it in loaders; what cannot be sent ends the process; where
    photos are not shared between processes, each keeps its part of them.
    """
    # Not 1: that ends OpenCV's threads, which a forked process does not have, and waits for ever.
    cv2.setNumThreads(0)
    training, say = os.getppid(), sys.excepthook

    def say_unless_alone(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        # A killed training leaves no traceback of its loaders: its connections are closed a moment
        # before it is gone.
        until = time.monotonic() + _GONE_S * isinstance(error, (EOFError, OSError))
        while os.getppid() == training and time.monotonic() < until:
            time.sleep(0.01)
        if os.getppid() == training:
            say(kind, error, trace)

    sys.excepthook = say_unless_alone
    # Python drops what cannot be sent, for which the training would wait for ever.
    Queue._on_queue_feeder_error = staticmethod(_cannot_send)  # type: ignore[attr-defined]  # private
    loader = get_worker_info()
    if loader is not None and not FORKS:
        data: Any = loader.dataset  # a TrainingSet; torch knows it as a Dataset
        data.cache.pictures.divide(loader.num_workers)


def _cannot_send(error: Exception, batch: object) -> None:
    log.warning("a batch cannot be sent to the training: %s", one_line(error))
    os._exit(1)


def _sample_numbers(recipe: Recipe, accelerator: Accelerator, done: int) -> Iterator[list[int]]:
    """The numbers of this process's samples, a micro-batch at a time: each number goes to one
    process.
    """
    train, world = recipe.train, accelerator.num_processes
    for micro in range(done * train.accumulate, train.steps * train.accumulate):
        first = (micro * world + accelerator.process_index) * train.batch_size
        yield list(range(first, first + train.batch_size))
