"""What a run saves: checkpoints to go on from, and model files to use."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import torch

from img2img.data.dataset import Photos
from img2img.data.sample import sample_rng
from img2img.diagnostics.runlog import Averages, Clock
from img2img.modelfile import Card, save_model
from img2img.pixels.tiling import measured_overlap
from img2img.recipe import Recipe
from img2img.tasks.forward import forward
from img2img.tasks.photo import PhotoTask
from img2img.training.checkpoint import Checkpoint, save_checkpoint
from img2img.training.run_folder import MODEL, RunFolder, trained_steps
from img2img.training.step import TrainingStep
from img2img.training.teacher import Teacher
from img2img.version import __version__

OVERLAP_PHOTOS = 20  # the tile overlap is measured on the largest of so many training photos


class Saver:
    """Writes a run's checkpoints and model files, in the first process."""

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        photos: Photos,
        step: TrainingStep,
        clock: Clock,
        averages: Averages,
        teacher: Teacher | None = None,
        compiled: bool = False,
    ) -> None:
        self.recipe, self.folder, self.photos, self.step = recipe, folder, photos, step
        self.clock, self.averages, self.teacher = clock, averages, teacher
        self.compiled = compiled
        # More than the run's own steps where newer checkpoints were lost: the better model stays.
        self.model_steps = trained_steps(folder.path / MODEL)
        self.saved_at = time.monotonic()

    def save(self, step: int, metrics: dict[str, Any] | None = None) -> None:
        """Write a checkpoint, and model.safetensors; at the end of a run, with its metrics."""
        self.saved_at = time.monotonic()
        if not self.folder.is_main:
            return
        train = self.recipe.train
        facts = {
            "step": step,
            # in which the run began, and of whose batches a step is
            "processes": self.step.images_per_step // (train.batch_size * train.accumulate),
            "seconds": self.clock.seconds,
            "averages": self.averages.state(),
            "recipe": self.recipe.fields(),
            "data": self.photos.identity,
            "left_out": self.photos.left_out,
        }
        if self.teacher:
            facts["teacher"] = self.teacher.digest
        if self.compiled:
            facts["compiled"] = True
        save_checkpoint(self.folder.path / "checkpoints", Checkpoint(self.step.state(), facts))
        if step >= self.model_steps or metrics is not None:
            self.save_model(self.folder.path / MODEL, step, metrics)

    def save_model(self, path: Path, step: int, metrics: dict[str, Any] | None = None) -> Card:
        """Write the averaged weights as a model file; returns its card."""
        data, task = self.recipe.data, self.recipe.task
        overlap = Card().tile_overlap_px
        if metrics is not None and isinstance(task, PhotoTask) and task.tiles:
            overlap = self._tile_overlap(task)
        device, threads = self.step.accelerator.device.type, torch.get_num_threads()
        card = Card(
            photos=self.photos.count,
            data=", ".join(data.places),
            data_terms=data.terms,
            teacher=self.teacher.stated if self.teacher else "",
            class_names=self.photos.class_names,
            steps=step,
            images=step * self.step.images_per_step,
            minutes=round(self.clock.seconds / 60, 1),
            machine=f"{device}, {threads} threads, {platform.machine()}",
            metrics=metrics or {},
            tile_overlap_px=overlap,
            version=__version__,
        )
        save_model(path, self.step.ema.module, self.recipe, card)
        return card

    def _tile_overlap(self, task: PhotoTask) -> int | None:
        """The overlap at which tiled equals whole, measured on a large training photo, degraded as
        the task does it.
        """
        ema, multiple_of = self.step.ema.module, self.recipe.generator.multiple_of
        samples = self.photos.train.readable(OVERLAP_PHOTOS)
        if not samples:  # gone since the last step: no reason to lose what was learned from them
            return Card().tile_overlap_px
        largest = max(samples, key=lambda s: min(s.photo.shape[:2]))
        pair = task.make_pair(largest, sample_rng(self.recipe.seed, 3, 0))
        condition = pair.condition[..., :384, :384].to(self.step.accelerator.device)
        return measured_overlap(
            lambda x: forward(task, ema, multiple_of, x), condition, task.scale, multiple_of
        )
