"""Models by name: those that ship in this folder, those of installed packages, model files, and run
folders.

Names need no torch; headers of model files are read in `img2img.zoo.catalogue`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from img2img.community.packages import KNOWN, install_command
from img2img.errors import Phrase, UserError, did_you_mean
from img2img.resources import cards_dir, zoo_dir


def shipped_models() -> dict[str, Path]:
    """Model files of the package by name."""
    return {path.stem: path for path in sorted(zoo_dir().glob("*.safetensors"))}


def model_path(name: str | Path) -> Path:
    """The file behind a zoo name, the name of a package's model, a model file or a run folder.
    Raises UserError for anything else.

    A name means the shipped model wherever one stands, then the installed package's: a folder of
    that name is called `./NAME` (or a Path).
    """
    shipped = shipped_models()
    if isinstance(name, str) and name in shipped:
        return shipped[name]
    packaged = KNOWN.get(name) if isinstance(name, str) else None
    if packaged and (inside_package := packaged.path):
        return inside_package
    held = [model.name for model in KNOWN.values() if model.distribution == name]
    if len(held) > 1:
        raise UserError(f"the package {name} holds several models", remedy=" or ".join(held))
    path = Path(name)
    if path.is_dir():
        inside = path / "model.safetensors"
        if inside.is_file():
            return inside
        raise UserError(
            Phrase("'", path, "' holds no model.safetensors"),
            remedy="has the run saved a checkpoint yet?",
        )
    if path.is_file():
        return path
    if packaged:
        raise UserError(
            f"the model '{name}' lies in the package {packaged.distribution}, which is missing",
            remedy=install_command(packaged.distribution),
        )
    raise UserError(f"unknown model '{name}'{did_you_mean(str(name), [*shipped, *KNOWN])}")


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


def shipped_notes(path: Path) -> str:
    """What was learned in the runs of a shipped model, and its limits; empty for other files."""
    text = cards_dir() / f"{path.stem}.txt"
    known = path in shipped_models().values() and text.is_file()
    return " ".join(text.read_text(encoding="utf-8").split()) if known else ""
