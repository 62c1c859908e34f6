"""Pictures from noise: the grid that `img2img generate` writes, and how the page shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from img2img.errors import UserError
from img2img.inference import sampling
from img2img.inference.loaded import MODELS
from img2img.inference.pipeline import Model
from img2img.inference.previews import MOST_PX
from img2img.inference.sampling import GenerateRequest
from img2img.modelfile import Header
from img2img.zoo import model_path
from img2img.zoo.catalogue import CATALOGUE
from img2img_apps.jobs import Owner, Stopped
from img2img_apps.service import Service
from img2img_apps.wording import memory_errors

MOST_SAMPLES = (
    144  # at once: the largest pictures of so many take half a gigabyte on their way to a grid
)
_ONE_PX = 480  # of a single picture on the page
OnSample = Callable[[int, int], None]


@dataclass(frozen=True)
class GeneratedGrid:
    """The grid of generated pictures to keep, its preview, and each picture with its name."""

    model: str
    grid: Path
    preview: Path
    names: tuple[str, ...]
    seconds: float
    each: Path | None  # (N,H,W,C) uint8; None for points, which are looked at together

    def one(self, number: int) -> Path:
        """Picture 1, 2, … large enough to see; 0 is all of them."""
        if self.each is None or not 0 < number <= len(self.names):
            return self.preview
        picture = np.load(self.each, mmap_mode="r")[number - 1]
        return _enlarged(
            Image.fromarray(np.asarray(picture).squeeze()), self.each.with_name(f"one_{number}.png")
        )


def generate_grid(
    service: Service,
    model: str,
    request: GenerateRequest,
    user: str = "",
    on_sample: OnSample | None = None,
    tab: str = "",
) -> GeneratedGrid:
    """What `img2img generate --grid` writes for the request. Raises UserError and Stopped."""
    if request.count > MOST_SAMPLES:
        raise UserError(f"{request.count} pictures at once", remedy=f"at most {MOST_SAMPLES}")
    name = service.models.noise_model(model, user)
    started, path = time.monotonic(), model_path(name)
    with memory_errors(path), service.jobs.running(Owner(user, tab)) as stop:
        ready = MODELS.get(CATALOGUE.entry(name), precision="fp32")
        _check_size(service, ready, request)

        def report(done: int) -> None:
            if stop.is_set():
                raise Stopped
            if on_sample:
                on_sample(done, request.count)

        pictures, columns = sampling.generate(ready, request, report)
    folder, task = service.workspace.new_folder(), sampling.noise_task(ready)
    grid = folder / f"{ready.name}.generate.png"
    sampling.write_grid(task, pictures, columns, grid)
    each = folder / "each.npy" if task.has_pixels else None
    if each:
        sampling.write_samples(task, pictures, each)
    with Image.open(grid) as picture:
        shown = _enlarged(picture, folder / "shown.png", MOST_PX)
    return GeneratedGrid(
        ready.name, grid, shown, _names(ready, request), time.monotonic() - started, each
    )


def _check_size(service: Service, model: Model, request: GenerateRequest) -> None:
    """The limit of megapixels that holds for photos holds for generated pictures."""
    side, limit = sampling.noise_task(model).size_px, service.settings.max_megapixels
    megapixels = request.count * side**2 / 1e6
    if megapixels > limit:
        raise UserError(
            f"{request.count} pictures of {side} px would be {megapixels:.1f} megapixels, "
            f"more than the {limit:g} allowed here",
            remedy="make fewer at once",
        )


def header_of(service: Service, model: str, user: str | None) -> Header | None:
    """The header of the model of that name; None when there is no such model."""
    try:
        return CATALOGUE.entry(service.models.noise_model(model, user)).header
    except UserError:
        return None


def class_names(header: Header | None) -> list[str]:
    """The model's classes by name, by number where they have none; empty for a model without."""
    classes = header.recipe.task.classes if header else 0
    names = header.card.class_names if header else ()
    return list(names) if len(names) == classes else [str(number) for number in range(classes)]


def _names(model: Model, request: GenerateRequest) -> tuple[str, ...]:
    """A name for each picture: its place on a walk or its seed, and its class."""
    task, card = sampling.noise_task(model), model.card
    labels = sampling.latents(
        task, request, sampling.label_number(request.label, task.classes, card.class_names)
    ).label
    classes = class_names(Header(recipe=model.recipe, card=card))
    if request.interpolate:
        a, b = request.interpolate
        places = [
            f"{i / max(1, request.count - 1):.0%} of the way from seed {a} to seed {b}"
            for i in range(request.count)
        ]
    else:
        places = [f"seed {request.seed + i}" for i in range(request.count)]
    if labels is None:
        return tuple(places)
    return tuple(
        f"{place}, {classes[int(label)]}" for place, label in zip(places, labels, strict=True)
    )


def _enlarged(picture: Image.Image, path: Path, side_px: int = _ONE_PX) -> Path:
    """Whole times as large, pixels staying squares, as far as it fits; smaller where it must be."""
    factor = side_px // max(picture.size)
    if factor > 1:
        picture = picture.resize(
            (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
        )
    elif max(picture.size) > side_px:
        picture = picture.convert("RGB")
        picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    picture.save(path)
    return path
