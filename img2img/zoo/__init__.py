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
