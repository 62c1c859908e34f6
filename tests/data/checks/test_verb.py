"""`img2img check-data`: its words, exit codes and files, over every recipe that ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img.cli import main
from img2img.data.checks.run import check_data
from img2img.data.dataset import load_photos
from img2img.recipe import Recipe
from img2img.resources import recipes_dir

RECIPES = sorted(path.stem for path in recipes_dir().glob("*.yaml"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory, photos: list[np.ndarray]) -> Path:
    """Twenty different photos in ten folders, which are classes, or any photos."""
    folder = tmp_path_factory.mktemp("classes")
    for number in range(20):
        photo = np.roll(np.rot90(photos[number % 6], number // 6), number, axis=1)
        (folder / str(number % 10)).mkdir(exist_ok=True)
        Image.fromarray(photo).save(folder / str(number % 10) / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_checked_on_what_it_would_train_on(name: str, classes: Path) -> None:
    overrides = [f"data.path={classes}", "data.cache_mb=0"]
    recipe = Recipe.load(name, overrides)
    report = check_data(recipe.task, recipe.data, recipe.seed)
    trained = load_photos(recipe.task, recipe.data, recipe.seed)
    assert report.can_train and (report.count, report.summary) == (trained.count, trained.summary)
    assert len(report.files) == (0 if trained.drawn else 20)
    assert {f.kind for f in report.findings} <= {"few", "small", "grey"}


@pytest.fixture
def broken(photo_folder: Path) -> Path:
    (photo_folder / "photo_3.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return photo_folder


def test_findings_are_lines_and_files(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fix, sheet = tmp_path / "out" / "fix.txt", tmp_path / "sheet.jpg"
    words = ["check-data", "denoise_tiny", f"data.path={broken}"]
    assert main([*words, "--fix-list", str(fix), "--sheet", str(sheet)]) == 0
    out, err = capsys.readouterr()
    first, second, *_, last = out.splitlines()
    assert first.startswith("data: 5 photos; 1 for validation") and last == "training can begin"
    assert second.startswith("left out: unreadable: 1 of 6 cannot be read: photos/photo_3.png (")
    assert err == "" and fix.read_text() == f"{broken / 'photo_3.png'}\n"
    with Image.open(sheet) as opened:
        assert opened.format == "JPEG"
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["can_train"] and found["findings"][0]["kind"] == "unreadable"
    assert found["findings"][0]["found"][0]["files"] == [str(broken / "photo_3.png")]


def test_the_exit_code_is_2_where_training_would_refuse_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-data", "denoise_tiny", f"data.path={tmp_path}"]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "training would refuse this data" and err == ""
    assert f"no photo in '{tmp_path}'" in out
    assert main(["check-data", "denoise_tiny", f"data.path={tmp_path}", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["can_train"] is False


@pytest.mark.parametrize(("place", "said"), [("sheet.xyz", "sheet.xyz"), ("in.png", "its photos")])
def test_a_sheet_that_cannot_be_written_is_refused_first(
    broken: Path, place: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = broken / place
    words = ["check-data", "denoise_tiny", f"data.path={broken}", "--sheet", str(path)]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and not path.exists()


def test_ctrl_c_ends_it_without_a_file(
    broken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("img2img.data.checks.looks._picture", interrupted)
    fix = tmp_path / "fix.txt"
    words = ["check-data", "denoise_tiny", f"data.path={broken}", "--fix-list", str(fix)]
    assert main(words) != 0
    assert capsys.readouterr().out == "" and not fix.exists()
