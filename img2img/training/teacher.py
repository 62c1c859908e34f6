"""The teacher of a run: another model, and what it makes of each photo, asked once and kept.

Knowledge distillation (Hinton et al. 2015) for pictures: losses with `against: teacher` compare
with these instead of the truth. The teacher sees the whole photo as the task makes its input of it;
its picture is cropped, flipped and turned with the sample's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Never

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from img2img.data.dataset import TrainingSet, readable
from img2img.data.sample import Batch, PhotoSample, Sample, as_picture
from img2img.data.taught import sized_sample
from img2img.errors import UserError
from img2img.files import atomic_path
from img2img.models.blocks import channels_last
from img2img.pixels.images import quantise
from img2img.pixels.tiling import tiled
from img2img.recipe import Recipe
from img2img.tasks.forward import ForwardOptions, forward, measured_overlap_px
from img2img.tasks.masked import MaskedTask
from img2img.tasks.photo import PhotoTask
from img2img.tasks.unpaired import UnpairedTask
from img2img.zoo.catalogue import CATALOGUE, Entry

log = logging.getLogger("img2img")

LOOKED_AT, CUT_FROM = 20, 4  # photos; the largest show whether an input's crop is a crop's input
LINES, MOST_SECONDS = 10, 60  # of progress: at least so many, and one at least so often


def open_teacher(
    recipe: Recipe, data: TrainingSet, folder: Path, accelerator: Accelerator
) -> Teacher | None:
    """The teacher that `train.teacher` names, if it names one; its pictures go into a folder.

    Raises UserError for a model that cannot be loaded, or takes another input than the task's.
    """
    if recipe.train.teacher is None:
        return None
    try:
        entry = CATALOGUE.entry(recipe.train.teacher)
        return Teacher(entry, recipe, data, folder, accelerator)
    except UserError as error:
        if error.field:
            raise
        raise error.about("train.teacher") from error


class Teacher:
    """Makes a picture of each training photo, in `folder`, and hands them to the training set."""

    def __init__(
        self,
        entry: Entry,
        recipe: Recipe,
        data: TrainingSet,
        folder: Path,
        accelerator: Accelerator,
    ) -> None:
        self.entry, self.recipe, self.data, self.folder = entry, recipe, data, folder
        self.accelerator, self.scale = accelerator, recipe.task.output_size((1, 1))[0]
        self.items = [int(item) for item in np.unique(data.items)]
        takes_photos = isinstance(entry.task, PhotoTask)
        if not takes_photos or isinstance(entry.task, MaskedTask | UnpairedTask):
            problem = f"'{entry.title}' makes pictures from noise, fills masks or goes two ways"
            raise UserError(problem, remedy="name a model that takes a photo alone")
        if entry.scale != self.scale:
            self._refuse_task()
        # Before it is asked: weights that do not fit are found before anything is written.
        self.network = channels_last(entry.load_generator().to(accelerator.device)).eval()
        self.overlap_px = entry.card.tile_overlap_px
        self.digest = self._digest()
        """Of its weights and architecture: the same file under another name is the same teacher."""
        self.align_px = self._alignment_px()
        self._paths: dict[int, Path] = {}

    @property
    def stated(self) -> str:
        """Its name and terms, for the card of what learns from it."""
        card = self.entry.card  # other people's files state terms of their own
        return f"{self.entry.title} ({card.terms or card.data_terms})"

    def ask(self) -> Iterator[None]:
        """Make the pictures that are not there yet, this process's share of them, pausing after
        each; what was made stays, however this ends.
        """
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        # Shares are of all items, so that they do not depend on what others have made meanwhile.
        mine, shown_at = self.items[rank::world], 0.0
        missing = [item for item in mine if not self.path(item).is_file()]
        for place, item in enumerate(missing):
            for _, sample in readable(self.data.source, [item]):  # else it is left out, as later on
                self._write(item, sample)
            tenth = place * LINES // len(missing) < (place + 1) * LINES // len(missing)
            if rank == 0 and (tenth or time.monotonic() - shown_at > MOST_SECONDS):
                shown_at = time.monotonic()
                done = len(mine) - len(missing) + place + 1
                whole = min(done * world, len(self.items))
                log.warning("teacher: %d of %d photos", whole, len(self.items))
            yield

    def teach(self) -> None:
        """Hand the pictures to the training set, and let the network go."""
        found = {item: self.path(item) for item in self.items}
        pictures = {item: path for item, path in found.items() if path.is_file()}
        self.data.learn_from(pictures, self.align_px)
        del self.network

    def path(self, item: int) -> Path:
        """Where the picture of a training item lies: another teacher, another photo, task or size
        gives another name.
        """
        if item not in self._paths:
            config = self.data.config
            key = {
                "teacher": self.digest,
                "task": self.recipe.task.model_dump(mode="json"),
                "size": [config.crop_px, config.resize_px],
                "background": config.background_for(self.recipe.task),
                "photo": self._identity(item),
            }
            name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
            self._paths[item] = self.folder / f"{name}.npy"
        return self._paths[item]

    def _identity(self, item: int) -> list[Any]:
        """Path, size and time of change of its files; of a picture in memory its digest."""
        stamps: list[Any] = []
        for path in self.data.source.files(item):
            with suppress(OSError):
                found = path.stat()
                stamps.append([str(path), found.st_size, found.st_mtime_ns])
        if not stamps:
            for _, sample in readable(self.data.source, [item]):
                assert isinstance(sample, PhotoSample), "else the recipe is refused"
                stamps.append(hashlib.sha256(sample.photo.tobytes()).hexdigest())
        return stamps

    def _write(self, item: int, sample: Sample) -> None:
        """Keep what it makes of a whole photo's input, (H,W,3) uint16: H and W are the photo's or
        the multiples of the enlargement below.
        """
        pair = self._pair(sized_sample(sample, self.data.config))
        picture = self._picture(self._input(pair).to(self.accelerator.device)).cpu()
        with atomic_path(self.path(item)) as temporary:
            np.save(temporary, quantise(as_picture(picture), np.uint16))

    @torch.inference_mode()
    def _picture(self, photo: Tensor) -> Tensor:
        """What it makes of a photo (1,3,h,w), in fp32; in tiles where it may be cut."""
        task, generator, size = self.entry.photo_task, self.entry.recipe.generator, photo.shape[-2:]

        def run(part: Tensor) -> Tensor:
            (view,) = task.views((part.shape[-2], part.shape[-1]))
            options = ForwardOptions(working_size=view.size)
            return forward(task, self.network, generator.multiple_of, part, options=options)

        whole = (size[0], size[1])
        if not (task.tiles and generator.tiles_photo(whole)):
            return run(photo)
        if self.overlap_px is None and max(size) > generator.tile_px(task.scale):
            self.overlap_px = measured_overlap_px(run, task.scale, photo.device)
        grid = generator.tile_grid(whole, task.scale, self.overlap_px)
        return tiled(run, photo, task.scale, grid)

    def _input(self, pair: Batch) -> Tensor:
        """The picture (1,3,h,w) in which it sees what the task's condition holds, no more and no
        less. Raises UserError where there is none.
        """
        task, size = self.entry.photo_task, pair.target.shape[-2:]
        shows = pair.condition.shape[1] in (1, 3)
        shown = [pair.condition.expand(-1, 3, -1, -1)] if shows else []
        for picture in (*shown, pair.target):  # of the target e.g. the luminance alone is seen
            seen, height, width = task.prepare(picture), *picture.shape[-2:]
            same = seen.shape == pair.condition.shape and torch.allclose(
                seen, pair.condition, atol=1e-5
            )
            if same and task.output_size((height, width)) == tuple(size):
                return picture
        self._refuse_task()

    def _refuse_task(self) -> Never:
        ours = f"{self.recipe.task.kind} ×{self.scale}"
        theirs = f"{self.entry.task.kind} ×{self.entry.scale}"
        raise UserError(
            f"'{self.entry.title}' ({theirs}) does not take the input of "
            f"this recipe's task ({ours})",
            field="train.teacher",
            remedy="name a model of the same task",
        )

    def _alignment_px(self) -> int:
        """Multiples of how many px crops begin at, for their input to be a crop of the whole
        photo's. Raises UserError where there is no such number.
        """
        samples = [sized_sample(s, self.data.config) for s in self.data.readable(LOOKED_AT)]
        largest = sorted(samples, key=lambda s: min(s.photo.shape[:2]))[-CUT_FROM:]
        whole = [(sample, self._pair(sample)) for sample in largest]
        for _, pair in whole:
            self._input(pair)
        crop_px, steps = self.data.config.crop_px, [self.scale * 2**power for power in range(5)]
        for align_px in steps:  # crops of a multiple of it are on the same grid when turned
            if crop_px % align_px == 0 and all(self._commutes(*each, align_px) for each in whole):
                return align_px
        raise UserError(
            f"sees each photo as a whole, and task '{self.recipe.task.kind}' makes another input "
            f"of a crop of {crop_px} px",
            field="train.teacher",
            remedy=f"set data.crop_px to a multiple of {steps[-1]}, or leave the teacher out"
            if crop_px % steps[-1]
            else "leave the teacher out",
        )

    def _commutes(self, sample: PhotoSample, whole: Batch, align_px: int) -> bool:
        """Whether the condition of a crop is, away from its edges, the crop of the condition."""
        crop_px, at = self.data.config.crop_px, align_px // self.scale
        if min(sample.photo.shape[:2]) < crop_px + align_px:
            return True  # there is but one crop
        window = slice(align_px, align_px + crop_px)
        part = self._pair(sample.augmented(lambda ps: [p[window, window] for p in ps])).condition
        side, edge = crop_px // self.scale, crop_px // self.scale // 4
        if part.shape[-2:] != (side, side):
            return False
        expected = whole.condition[..., at : at + side, at : at + side]
        apart = (part - expected)[..., edge : side - edge, edge : side - edge].abs()
        return bool((apart > 2 / 255).float().mean() < 0.01)  # lines of edges may end elsewhere

    def _pair(self, sample: PhotoSample) -> Batch:
        return self.recipe.task.make_pair(sample, np.random.default_rng(0))  # which is not drawn on

    def _digest(self) -> str:
        fields = self.entry.recipe.fields()
        found = hashlib.sha256(json.dumps([fields["task"], fields["generator"]]).encode())
        for name, value in self.network.state_dict().items():
            found.update(name.encode() + value.detach().float().cpu().numpy().tobytes())
        return found.hexdigest()
