"""Every photo of the corpus through `img2img infer`: restored, or refused in one line."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from hostile import battery, recipes
from hostile.battery import Outcome
from hostile.photos import NEEDS_LEAVE, PHOTOS
from img2img.pixels.images import photo_suffixes


@dataclass(frozen=True)
class Tried:
    """A photo, what it was before, and what became of it."""

    place: Path
    before: str
    output: Path
    outcome: Outcome


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory, tiny_zoo: Path) -> dict[str, Tried]:
    folder = tmp_path_factory.mktemp("photos")
    commands, places = {}, {}
    for number, (name, hostile) in enumerate(PHOTOS.items()):
        place, output = hostile.place(folder), folder / f"out_{number}" / "result.png"
        places[name] = place, _digest(place), output
        words = ["--output", str(output), "--task", "denoise", "--device", "cpu"]
        commands[name] = ["infer", "--input", str(place), *words]
    outcomes = battery.run(commands, folder, tiny_zoo)
    return {name: Tried(*place, outcomes[name]) for name, place in places.items()}


def _digest(path: Path) -> str:
    """Of a file's bytes; of anything else, nothing."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    except OSError:
        return ""


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_is_restored_or_refused_in_one_line(name: str, tried: dict[str, Tried]) -> None:
    if name in NEEDS_LEAVE and battery.may_do_all():
        pytest.skip("root may read what may not be read, and there is no setpriv")
    hostile, one = PHOTOS[name], tried[name]
    hostile.check(one.outcome, one.place.name if one.place.name.isprintable() else "")
    assert _digest(one.place) == one.before, "the input is as it was"
    if one.outcome.code == 2:
        assert not one.output.parent.exists() or not [*one.output.parent.iterdir()]
        return
    assert [*one.output.parent.iterdir()] == [one.output]
    with Image.open(one.output) as result:
        result.load()
        assert hostile.size in (None, result.size)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the corpus in one folder, and two photos that are large enough to measure."""
    place = tmp_path_factory.mktemp("all")
    flat = [one for one in PHOTOS.values() if "/" not in one.file]
    for number, hostile in enumerate(flat):
        hostile.write(place / f"{number:03}{Path(hostile.file).suffix or '.png'}")
    for number in range(2):
        Image.effect_noise((96, 96), 60).convert("RGB").save(place / f"good_{number}.png")
    return place


def test_a_folder_of_all_of_them_is_restored_but_for_the_bad_ones(
    folder: Path, tiny_zoo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["infer", "--input", str(folder), "--output", str(out), "--task", "denoise"]
    done = battery.run({"infer": [*words, "--device", "cpu"]}, tmp_path, tiny_zoo)["infer"]
    assert done.code == 1
    refused = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert all(line.startswith(f"error: {folder}/") for line in refused)
    named = {line.split(": ")[1] for line in refused}
    assert len(named) == len(refused), "one line each"
    results = sum(path.suffix in photo_suffixes() for path in out.rglob("*"))
    assert results == done.out.count(" → ") == len(done.out.splitlines())
    assert results >= sum(one.size is not None for one in PHOTOS.values())
    assert not re.search(r"Traceback|IMG2IMG_DEBUG|\w+Error|Warning:", done.err)


def test_training_and_measuring_leave_out_the_bad_ones(
    folder: Path, tiny_zoo: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(recipes.SOUND)
    run, cpu = str(tmp_path / "run"), ["--device", "cpu"]
    commands = {
        "train": ["train", str(recipe), f"data.path={folder}", "--out", run, *cpu],
        "eval": ["eval", "--task", "denoise", "--data", str(folder), *cpu],
    }
    outcomes = battery.run(commands, tmp_path, tiny_zoo)
    assert outcomes["train"].code == 0, outcomes["train"].err
    assert "cannot be read" in outcomes["train"].out
    assert outcomes["eval"].code == 0, outcomes["eval"].err
    for outcome in outcomes.values():
        assert not re.search(r"Traceback|IMG2IMG_DEBUG", outcome.err)
