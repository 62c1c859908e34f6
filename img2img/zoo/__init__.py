"""Models by name: those that ship in this folder, model files, and run folders."""

from __future__ import annotations

from pathlib import Path

from img2img.errors import UserError, did_you_mean
from img2img.resources import zoo_dir


def shipped_models() -> dict[str, Path]:
    """Model files of the package by name."""
    return {path.stem: path for path in sorted(zoo_dir().glob("*.safetensors"))}


def model_path(name: str | Path) -> Path:
    """The file behind a zoo name, a model file or a run folder. Raises UserError for anything else."""
    path = Path(name)
    if path.is_dir():
        inside = path / "model.safetensors"
        if inside.is_file():
            return inside
        raise UserError(f"'{path}' holds no model.safetensors: has the run saved a checkpoint yet?")
    if path.is_file():
        return path
    shipped = shipped_models()
    if str(name) in shipped:
        return shipped[str(name)]
    raise UserError(f"unknown model '{name}'{did_you_mean(str(name), shipped)}")


def default_model(task_kind: str, scale: int | None = None) -> str:
    """The shipped model for a task (and scale), the shortest name first. Raises UserError when there is none."""
    fitting = [name for name, (kind, factor) in _purposes().items() if kind == task_kind and scale in (None, factor)]
    if fitting:
        return min(fitting, key=lambda name: (len(name), name))
    wanted = f"{task_kind} ×{scale}" if scale else task_kind
    known = ", ".join(_purposes()) or "none"
    raise UserError(f"no model for {wanted} is shipped: name one of your own with --model; shipped: {known}")


def default_models(task_kind: str) -> list[str]:
    """The default model of a task for each shipped scale, small ones first. Raises UserError if there is none."""
    scales = sorted({scale for kind, scale in _purposes().values() if kind == task_kind})
    return [default_model(task_kind, scale) for scale in scales] or [default_model(task_kind)]


def _purposes() -> dict[str, tuple[str, int]]:
    """Task and scale of every shipped model that takes photos."""
    from img2img.modelfile import read_header  # brings torch, which a list of names does not need

    tasks = {name: read_header(path).recipe.task for name, path in shipped_models().items()}
    return {name: (task.kind, task.scale) for name, task in tasks.items() if not task.from_noise}
