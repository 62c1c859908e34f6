"""Folders of photos, against the same photos one by one, and what bounds the difference."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from img2img.benchmark.photos import side_of, square_photo
from img2img.benchmark.sizes import FolderSize
from img2img.benchmark.timing import Effort, Timing, time_in_turns
from img2img.errors import UserError
from img2img.inference.batch import FileBatch
from img2img.inference.loaded import MODELS
from img2img.inference.pipeline import Model
from img2img.inference.request import Request
from img2img.pixels.images import read_photo, write_photo
from img2img.resources import samples_dir

REQUEST = Request(("denoise",), device="cpu")
TOGETHER = 8  # photos in one call of the network, to see what batches of equal sizes would bring


@dataclass(frozen=True)
class TimedFolder:
    """A folder of equal photos, from files to files."""

    size: FolderSize
    one_by_one: Timing
    folder: Timing
    files: Timing
    """reading and writing alone, which a folder's run can do meanwhile"""
    alone: Timing
    """the network on as many photos as go together, one after the other"""
    together: Timing
    """and in one call"""

    @property
    def ratio(self) -> float:
        """How many times as fast as one by one."""
        return self.folder.speedup_over(self.one_by_one)

    @property
    def ratio_of_batches(self) -> float:
        """How many times as fast the network is on several photos at once."""
        return self.together.speedup_over(self.alone)

    @property
    def share_of_files(self) -> float:
        """Reading and writing over the whole, one by one."""
        return self.files.median_s / self.one_by_one.median_s

    def fields(self) -> dict[str, Any]:
        """`ratio`, seconds of both, and what bounds the ratio, for JSON."""
        return {
            "photos": self.size.photos,
            "megapixels": self.size.megapixels,
            "ratio": self.ratio,
            "photos_per_second": self.size.photos / self.folder.median_s,
            "share_of_files": self.share_of_files,
            "ratio_of_batches": self.ratio_of_batches,
            "folder": self.folder.fields(),
            "one_by_one": self.one_by_one.fields(),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A line each."""
        at = f"{self.size.photos} × {self.size.megapixels:.3g} MP"
        together = f"the network on {TOGETHER} at once is ×{self.ratio_of_batches:.2f} as fast"
        return [
            (at, "one by one", self.one_by_one.text(), f"{self.share_of_files:.0%} is files"),
            (at, "as a folder", self.folder.text(), f"×{self.ratio:.2f} as fast; {together}"),
        ]


@dataclass(frozen=True)
class FolderSpeed:
    """Each folder, by its photos' megapixels."""

    runs: dict[float, TimedFolder]

    name: ClassVar[str] = "folder"

    def fields(self) -> dict[str, Any]:
        """`folder.<megapixels>.ratio` and so on, for JSON."""
        return {f"{megapixels:.3g}": run.fields() for megapixels, run in self.runs.items()}

    def rows(self) -> list[tuple[str, ...]]:
        """Two lines each."""
        return [row for run in self.runs.values() for row in run.rows()]


def measure_folders(sizes: Iterable[FolderSize], effort: Effort) -> FolderSpeed:
    """Denoising folders of JPEG files in this process, in turns with the same files one by one."""
    (step,) = REQUEST.resolve().steps or ()
    model = MODELS.get(step.model, REQUEST.device, REQUEST.precision)
    return FolderSpeed({size.megapixels: _folder_run(size, model, effort.few()) for size in sizes})


def _folder_run(size: FolderSize, model: Model, effort: Effort) -> TimedFolder:
    photo = square_photo(samples_dir() / "macaw.jpg", side_of(size.megapixels))
    with tempfile.TemporaryDirectory() as place:
        folder, results = Path(place) / "photos", Path(place) / "results"
        paths = [folder / f"{number:02}.jpg" for number in range(size.photos)]
        for path in paths:
            write_photo(path, photo)

        def run(inputs: list[str]) -> None:
            batch = FileBatch(inputs, REQUEST, f"{results}/", overwrite=True)
            for result in batch.run():
                if result.error is not None:
                    raise UserError(result.error)

        def one_by_one() -> None:
            for path in paths:
                run([str(path)])

        def files() -> None:
            for path in paths:
                write_photo(results / path.name, read_photo(path))

        timings = time_in_turns(
            {
                "one by one": one_by_one,
                "folder": lambda: run([str(folder)]),
                "files": files,
            },
            effort,
        )
    batch = torch.rand(TOGETHER, 3, *photo.rgb.shape[:2])
    network = time_in_turns(
        {
            "alone": lambda: [_through_network(model, x[None]) for x in batch],
            "together": lambda: _through_network(model, batch),
        },
        effort,
    )
    return TimedFolder(size, *timings.values(), *network.values())


@torch.inference_mode()
def _through_network(model: Model, photos: Tensor) -> Tensor:
    condition = model.photo_task.prepare(photos).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", model.dtype, enabled=model.dtype != torch.float32):
        return model.generator(condition)
