"""`img2img export`: formats by name, files whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from img2img.cli import main
from img2img.errors import UserError
from img2img.export.exporting import export_model
from img2img.export.formats import FORMATS, ExportFormat
from img2img.inference.pipeline import load
from img2img.zoo.catalogue import Entry

TinyModel = Callable[[str], Path]


def test_our_own_file_is_copied(zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    place = tmp_path / "new" / "mine.safetensors"
    written = ["--format", "safetensors", "--output", str(place)]
    assert main(["export", "--model", "denoise", *written]) == 0
    assert place.read_bytes() == (zoo / "denoise.safetensors").read_bytes()
    assert capsys.readouterr().out.startswith(f"denoise → {place}; terms: ")
    assert [file.name for file in place.parent.iterdir()] == [place.name]


@pytest.mark.parametrize(
    ("format", "name", "said"),
    [
        ("safetensor", "a.safetensors", "did you mean 'safetensors'?"),
        ("safetensors", "a.onnx", "does not end in .safetensors"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture, format: str, name: str, said: str
) -> None:
    place = tmp_path / name
    written = ["--format", format, "--output", str(place)]
    assert main(["export", "--model", "denoise", *written]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_no_file(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(entry: Entry, path: Path) -> str:
        path.write_text("half")
        path.with_suffix(".bin").write_text("half")
        raise UserError("it cannot be")

    monkeypatch.setitem(FORMATS, "broken", ExportFormat((".xml",), fails))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="it cannot be"):
        export_model(tiny_model("denoise"), "broken", tmp_path / "a.xml")
    assert list(tmp_path.iterdir()) == []


def test_files_of_an_export_are_moved_together(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes(entry: Entry, path: Path) -> str:
        path.write_text(entry.title)
        path.with_suffix(".bin").write_text("numbers")
        return "two files"

    monkeypatch.setitem(FORMATS, "two", ExportFormat((".xml",), writes))  # type: ignore[arg-type]
    _, note = export_model(tiny_model("denoise"), "two", tmp_path / "a.xml")
    assert note == "two files"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.bin", "a.xml"]


def test_a_file_that_exists_is_kept_unless_told(
    tiny_model: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tiny_model("denoise"), tmp_path / "m.safetensors"
    card = out.with_suffix(".md")  # written with it, and somebody may have written one
    command = ["export", "--model", str(model), "--format", "safetensors", "--output", str(out)]
    out.write_text("a fine-tuned model")
    assert main(command) == 2
    assert "exists" in (told := capsys.readouterr().err) and "--overwrite" in told
    assert out.read_text() == "a fine-tuned model"
    out.unlink()
    card.write_text("mine")
    assert main([*command, "--model-card", "hub"]) == 2
    assert [file.name for file in tmp_path.iterdir()] == [card.name]
    assert card.read_text() == "mine"
    assert main([*command, "--model-card", "hub", "--overwrite"]) == 0
    assert load(out).recipe.task.kind == "denoise"
    assert card.read_text() != "mine"
