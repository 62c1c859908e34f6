"""A notebook of the first README's commands: `python -m img2img.maintenance.notebook` writes it.

It holds the commands of the table of pictures, on the shipped inputs, and the block of Python. It
is small, without results: they come by running it.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from img2img.files import write_text

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / ".github" / "first_steps.ipynb"

_INTRODUCTION = """# img2img: first steps

Made from README.md by `python -m img2img.maintenance.notebook`. It needs img2img in the kernel's
Python, and neither a network nor a GPU. Results are written in a temporary folder, next to copies
of the shipped inputs."""
_SETUP = """import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from img2img.resources import inputs_dir

os.chdir(shutil.copytree(inputs_dir(), Path(tempfile.mkdtemp()) / "photos"))


def result_of(photo):
    \"\"\"What was written for a photo: photo.<task>.<suffix>.\"\"\"
    (path,) = Path().glob(f"{Path(photo).stem}.*.*")
    picture = Image.open(path)
    path.unlink()
    return picture"""
_PYTHON = """import numpy as np
import torch

image = Image.open("object.jpg")
mask = Image.open("object_mask.png")
painted = np.asarray(image).copy()
painted[40:60, 40:60] = 200, 30, 30
x = torch.rand(1, 3, 32, 40)"""


def notebook() -> dict[str, Any]:
    """The notebook as nbformat 4.5 has it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    cells = [("markdown", _INTRODUCTION), ("code", _SETUP)]
    for command, note in re.findall(r"^\| !\[.*?\| `(img2img infer [^`]*)`(.*?)\|$", text, re.M):
        photo = shlex.split(command)[3]
        cells.append(("markdown", f"`{command}`{note.rstrip()}"))
        cells.append(("code", f"!{command}\nresult_of({photo!r})"))
    (block,) = re.findall(r"^```python\n(.*?)\n```", text, re.M | re.S)
    cells += [("markdown", "From Python:"), ("code", _PYTHON), ("code", block)]
    return {
        "cells": [_cell(number, kind, source) for number, (kind, source) in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(number: int, kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
    results: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return cell | results | {"source": source.splitlines(keepends=True)}


def as_text(cells: dict[str, Any]) -> str:
    """As the file holds it."""
    return json.dumps(cells, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the notebook."""
    write_text(NOTEBOOK, as_text(notebook()))
    print(NOTEBOOK)


if __name__ == "__main__":
    main()
