"""Models by name: those that ship in this folder, model files, and run folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from img2img.errors import UserError, did_you_mean
from img2img.resources import cards_dir, zoo_dir

if TYPE_CHECKING:
    from img2img.tasks import Task


def shipped_models() -> dict[str, Path]:
    """Model files of the package by name."""
    return {path.stem: path for path in sorted(zoo_dir().glob("*.safetensors"))}


def model_path(name: str | Path) -> Path:
    """The file behind a zoo name, a model file or a run folder. Raises UserError for anything else.

    A zoo name means the shipped model wherever one stands: a folder of that name is called `./NAME`
    (or a Path).
    """
    shipped = shipped_models()
    if isinstance(name, str) and name in shipped:
        return shipped[name]
    path = Path(name)
    if path.is_dir():
        inside = path / "model.safetensors"
        if inside.is_file():
            return inside
        raise UserError(f"'{path}' holds no model.safetensors: has the run saved a checkpoint yet?")
    if path.is_file():
        return path
    raise UserError(f"unknown model '{name}'{did_you_mean(str(name), shipped)}")


class Measurements(NamedTuple):
    """What was measured of a shipped model: tables in Markdown, and a picture of the first photos
    of a benchmark.
    """

    text: str
    pictures: Path


def measurements(path: Path) -> Measurements | None:
    """Those of a model file; None for one that is not shipped, or was never measured."""
    text, pictures = (cards_dir() / f"{path.stem}{suffix}" for suffix in (".md", ".jpg"))
    if path not in shipped_models().values() or not (text.is_file() and pictures.is_file()):
        return None
    return Measurements(text.read_text(encoding="utf-8"), pictures)


def lessons(path: Path) -> str:
    """What the runs of a shipped model taught, and the limits seen; empty for other files."""
    text = cards_dir() / f"{path.stem}.txt"
    known = path in shipped_models().values() and text.is_file()
    return " ".join(text.read_text(encoding="utf-8").split()) if known else ""


def default_model(task_kind: str, scale: int | None = None, *, found_photo: bool = False) -> str:
    """The shipped model for a task (and scale), the shortest name first. Raises UserError when
    there is none.

    `found_photo`: a model made for the damage of photos as they are found comes first; otherwise
    last.
    """
    fitting = [
        (purpose.for_found_photos != found_photo, len(name), name)
        for name, purpose in _purposes().items()
        if purpose.kind == task_kind and scale in (None, purpose.scale)
    ]
    if fitting:
        return min(fitting)[-1]
    wanted = f"{task_kind} ×{scale}" if scale else task_kind
    known = ", ".join(_purposes()) or "none"
    raise UserError(
        f"no model for {wanted} is shipped: name one of your own with --model; shipped: {known}"
    )


def default_models(task_kind: str) -> list[str]:
    """The default model of a task for each shipped scale, small ones first. Raises UserError if
    there is none.
    """
    scales = sorted({task.scale for task in _purposes().values() if task.kind == task_kind})
    return [default_model(task_kind, scale) for scale in scales] or [default_model(task_kind)]


def _purposes() -> dict[str, Task]:
    """The task of every shipped model."""
    from img2img.modelfile import read_header  # brings torch, which a list of names does not need

    return {name: read_header(path).recipe.task for name, path in shipped_models().items()}
