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
class Placed:
    """A photo, what it was before, and where its result goes."""

    place: Path
    before: str
    output: Path


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Placed]:
    """Each photo of the corpus in a folder of its own."""
    folder, found = tmp_path_factory.mktemp("photos"), {}
    for number, (name, hostile) in enumerate(PHOTOS.items()):
        place = hostile.place(folder)
        found[name] = Placed(place, _digest(place), folder / f"out_{number}" / "result.png")
    return found


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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands on the folder work."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module")
def outcomes(
    placed: dict[str, Placed], folder: Path, made: Path, tiny_zoo: Path
) -> dict[str, Outcome]:
    """What became of each photo by its name, and of all in one folder by `folder VERB`."""
    denoise, cpu = ["--task", "denoise"], ["--device", "cpu"]
    commands = {
        name: ["infer", "--input", str(one.place), "--output", str(one.output), *denoise, *cpu]
        for name, one in placed.items()
    }
    (recipe := made / "tiny.yaml").write_text(recipes.SOUND)
    for verb, words in {
        "infer": ["--input", str(folder), "--output", str(made / "out"), *denoise],
        "train": [str(recipe), f"data.path={folder}", "--out", str(made / "run")],
        "eval": [*denoise, "--data", str(folder)],
    }.items():
        commands[f"folder {verb}"] = [verb, *words, *cpu]
    return battery.run(commands, made, tiny_zoo)


def _digest(path: Path) -> str:
    """Of a file's bytes; of anything else, nothing."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    except OSError:
        return ""


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_is_restored_or_refused_in_one_line(
    name: str, placed: dict[str, Placed], outcomes: dict[str, Outcome]
) -> None:
    if name in NEEDS_LEAVE and battery.may_do_all():
        pytest.skip("root may read what may not be read, and there is no setpriv")
    hostile, one, outcome = PHOTOS[name], placed[name], outcomes[name]
    hostile.check(outcome, one.place.name if one.place.name.isprintable() else "")
    assert _digest(one.place) == one.before, "the input is as it was"
    if outcome.code == 2:
        assert not one.output.parent.exists() or not [*one.output.parent.iterdir()]
        return
    assert [*one.output.parent.iterdir()] == [one.output]
    with Image.open(one.output) as result:
        result.load()
        assert hostile.size in (None, result.size)


def test_a_folder_of_all_of_them_is_restored_but_for_the_bad_ones(
    folder: Path, made: Path, outcomes: dict[str, Outcome]
) -> None:
    done = outcomes["folder infer"]
    assert done.code == 1
    refused = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert all(line.startswith(f"error: {folder}/") for line in refused)
    named = {line.split(": ")[1] for line in refused}
    assert len(named) == len(refused), "one line each"
    results = sum(path.suffix in photo_suffixes() for path in (made / "out").rglob("*"))
    assert results == done.out.count(" → ") == len(done.out.splitlines())
    assert results >= sum(one.size is not None for one in PHOTOS.values())
    assert not re.search(r"Traceback|IMG2IMG_DEBUG|\w+Error|Warning:", done.err)


def test_training_and_measuring_leave_out_the_bad_ones(outcomes: dict[str, Outcome]) -> None:
    train, measure = outcomes["folder train"], outcomes["folder eval"]
    assert train.code == 0, train.err
    assert "cannot be read" in train.out
    assert measure.code == 0, measure.err
    for outcome in (train, measure):
        assert not re.search(r"Traceback|IMG2IMG_DEBUG", outcome.err)
