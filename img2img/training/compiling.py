"""`train.compile`: whether a training's networks go through `torch.compile`, by a measured trial.

Compiled networks round otherwise than plain ones, so a run keeps to what it began with.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from img2img.data.dataset import TrainingSet
from img2img.errors import one_line
from img2img.recipe import Recipe
from img2img.training.setup import build_step
from img2img.training.step import TrainingStep

log = logging.getLogger("img2img")

BACKEND = "inductor"
TIMED = 3  # steps each way, the fastest of which counts: others may use the machine
PAYS = 0.9  # of a plain step's time, or less
WORTH_S = 600.0  # what is left of a run; a shorter one is over before compiling is repaid


@dataclass(frozen=True)
class Trial:
    """Seconds of a plain and of a compiled step, and of compiling."""

    plain_s: float
    compiled_s: float
    compiling_s: float

    def pays(self, steps: int) -> bool:
        """Whether a run with so many steps to go gets back more than compiling takes."""
        saved_s = (self.plain_s - self.compiled_s) * steps
        return self.compiled_s <= PAYS * self.plain_s and saved_s > self.compiling_s


def chooses_compiling(
    recipe: Recipe, data: TrainingSet, accelerator: Accelerator, done: int, before: bool | None
) -> bool:
    """Whether the networks of a run, `done` steps of which are taken, are to be compiled.

    `before` is what a run that goes on began with, and None for a new one. Never raises for what
    this machine cannot do: then the networks stay plain. The trial draws random numbers, so seed
    after it.
    """
    wanted = recipe.train.compile if before is None else ("on" if before else "off")
    if wanted == "off":
        return False
    steps = recipe.train.steps - done
    problem = _missing(recipe, accelerator)
    if problem is None:
        try:
            trial = _trial(recipe, data, accelerator, None if wanted == "on" else steps)
            return wanted == "on" or (trial is not None and trial.pays(steps))
        except Exception as error:  # of a compiler, in as many ways as there are networks
            problem = one_line(error)
        finally:
            accelerator.free_memory()
    if wanted == "on":
        bits = ", and goes on with other rounding than it began with" if before else ""
        log.warning("train.compile: the run is not compiled (%s)%s", problem, bits)
    return False


def compile_networks(step: TrainingStep) -> None:
    """Compile generator and discriminators in place, each at its first pass; the names of their
    tensors stay, and what cannot be compiled later on runs as it is.
    """
    from torch._dynamo import config  # takes a second to import

    config.suppress_errors = True
    _compile(step)


def _compile(step: TrainingStep) -> None:
    for network in (step.generator.module, *step.d_modules):
        network.compile(backend=BACKEND, dynamic=False)


def _trial(
    recipe: Recipe, data: TrainingSet, accelerator: Accelerator, steps: int | None
) -> Trial | None:
    """Steps of networks that are thrown away, plain and compiled, on the first samples and as the
    last step of the run does them, when all networks train. None where a run of so many steps is
    over soon.
    """
    train = recipe.train
    batch = data.batch(0, train.batch_size).to(accelerator.device)
    step = build_step(recipe, accelerator)

    def run() -> None:
        step([batch] * train.accumulate, train.steps - 1)
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()

    run()  # the first allocates memory
    plain_s = min(_seconds(run) for _ in range(TIMED))
    if steps is not None and plain_s * steps < WORTH_S:
        return None
    _compile(step)
    compiling_s = _seconds(run) + _seconds(run)
    return Trial(plain_s, min(_seconds(run) for _ in range(TIMED)), compiling_s)


def _seconds(run: Callable[[], None]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def _missing(recipe: Recipe, accelerator: Accelerator) -> str | None:
    """What compiling lacks here, without trying; None where it may work."""
    if recipe.train.teacher is not None:
        return "train.teacher has not been asked when it is tried"
    if accelerator.num_processes > 1:
        return "several processes train it"
    compilers = (os.environ.get("CXX"), "g++", "clang++", "c++", "cl")
    if accelerator.device.type == "cpu" and not any(c and shutil.which(c) for c in compilers):
        return "there is no C++ compiler"
    return None
