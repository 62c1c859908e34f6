"""What a run needs before its first step: device and processes, data, networks, initial weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState

from img2img.data.dataset import Photos, load_photos
from img2img.devices import pick_device, precision_for
from img2img.errors import UserError
from img2img.recipe import Recipe
from img2img.training.best import Best
from img2img.training.methods import METHODS
from img2img.training.processes import check_processes
from img2img.training.run_folder import RunFolder
from img2img.training.starting import model_weights
from img2img.training.step import TrainingStep
from img2img.training.tracking import run_trackers

log = logging.getLogger("img2img")


def accelerator_for(recipe: Recipe, device: str, out: Path) -> Accelerator:
    """Accelerate's handle on device, precision, processes and trackers.

    Raises UserError for a device that is not here, or has too few places for the processes, and for
    a tracker that is not installed.
    """
    # A process may train one recipe after another, and Accelerate keeps the first one's state.
    AcceleratorState._reset_state(reset_partial_state=True)
    chosen = pick_device(device)
    # Also where `auto` found a CPU: without `cpu=True`, Accelerate joins no processes there.
    on_cpu = chosen.type == "cpu"
    check_processes(chosen)
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)  # a single process of Accelerate's runs on the current one
    trackers = run_trackers(recipe.train.track, out)
    precision = precision_for(PartialState(cpu=on_cpu).device, recipe.train.precision)
    return Accelerator(
        cpu=on_cpu,
        mixed_precision="bf16" if precision == torch.bfloat16 else "no",
        log_with=(trackers if PartialState().is_main_process else None) or None,
        project_dir=out,
    )


def open_data(recipe: Recipe, *, is_main: bool) -> Photos:
    """Training and validation data. Raises UserError where there is nothing to train on."""
    photos = load_photos(
        recipe.task,
        recipe.data,
        recipe.seed,
        fits=lambda px: recipe.changed([f"data.crop_px={px}"]) is not None,
    )
    photos.train.check()
    if is_main and not photos.drawn:
        log.warning("data: %s", photos.summary)
    if photos.demonstration:
        log.warning("%d photos: a demonstration. For real use: data.path=MY_PHOTOS", photos.count)
    return photos


def build_step(recipe: Recipe, accelerator: Accelerator) -> TrainingStep:
    """The training step of `train.method`, with networks and optimizers.

    Raises UserError where the networks are too large for the memory.
    """
    try:
        return METHODS[recipe.train.method.kind].step(recipe, accelerator)
    except (MemoryError, RuntimeError) as error:
        of_memory = any(word in str(error) for word in ("memory", "overflow"))
        if isinstance(error, RuntimeError) and not of_memory:
            raise
        larger = "generator or discriminator" if recipe.discriminator else "generator"
        raise UserError(
            "the network does not fit into the memory", place=larger, remedy="make it narrower"
        ) from error


def set_initial_weights(step: TrainingStep) -> dict[str, Any]:
    """Start from `train.init`, or as the generator's own config says; returns which, for the log.

    Raises UserError when a model's weights do not fit.
    """
    train = step.recipe.train
    if train.init is None or train.init_partial:  # also where a model has nothing for a layer
        step.start_from(None)
    if train.init is None:
        return {}
    found = model_weights(train.init, step.generator.module, step.recipe)
    step.start_from(found.weights)
    return {"init": f"'{train.init}': {found.summary()}"}


def describe_weights(step: TrainingStep, init: dict[str, Any], *, is_main: bool) -> dict[str, Any]:
    """Which weights a run started from, and which are frozen: warned of, and returned to log."""
    described = dict(init)
    if step.recipe.train.freeze:
        described |= {"frozen": step.frozen.summary(), "frozen_parameters": step.frozen.count}
    for name, field in (("init", "init"), ("frozen", "freeze")):
        if name in described and is_main:
            log.warning("train.%s: %s", field, described[name])
    return described


def best_model(recipe: Recipe, folder: RunFolder, photos: Photos) -> Best | None:
    """The best model so far, in the first process, with `train.keep_best`."""
    if not recipe.train.keep_best:
        return None
    if not photos.validation:
        raise UserError(
            "nothing is held out to find the best on",
            field="train.keep_best",
            remedy="raise data.validation_share",
        )
    path = folder.path / "best.safetensors"
    return Best(path, recipe.task.main_metric) if folder.is_main else None
