"""The notebook is README's commands, holds no results, and runs."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

import img2img
from img2img.maintenance.notebook import NOTEBOOK, ROOT, as_text, notebook

INSTALL = "pip install nbclient nbformat ipykernel"


def test_it_is_what_readme_says_now_without_results() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text == as_text(notebook()), "python -m img2img.maintenance.notebook"
    cells = json.loads(text)["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert len(text) < 10_000


def test_it_has_every_command_of_the_table_and_the_python() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    sources = ["".join(cell["source"]) for cell in notebook()["cells"]]
    shown = [line for line in readme.splitlines() if line.startswith("| ![")]
    commands = [match[1] for line in shown if (match := re.search(r"`(img2img [^`]*)`", line))]
    assert len(commands) == len(shown) >= 5
    for command in commands:
        assert any(source.startswith(f"!{command}\n") for source in sources), command
    assert sources[-1] in readme and "img2img.load(" in sources[-1]


def test_it_is_of_its_format() -> None:
    nbformat = pytest.importorskip("nbformat", reason=INSTALL)
    nbformat.validate(notebook())


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason=INSTALL)
    nbclient = pytest.importorskip("nbclient", reason=INSTALL)
    pytest.importorskip("ipykernel", reason=INSTALL)
    program = tmp_path / "bin" / "img2img"  # this checkout's, under the name that is typed
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m img2img "$@"\n')
    program.chmod(0o755)
    packages = str(Path(img2img.__file__).parents[1])
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([packages, os.environ.get("PYTHONPATH", "")]))
    read = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(read, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    commands = [cell for cell in read.cells if cell.source.startswith("!")]
    for cell in commands:
        printed = "".join(output.get("text", "") for output in cell.outputs)
        assert "→" in printed and "error" not in printed, printed
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == 1
    assert len(commands) >= 5
