"""Every recipe of the corpus to `img2img train`: refused in one line before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile import battery
from hostile.battery import Outcome
from hostile.recipes import RECIPES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@pytest.fixture(scope="module")
def outcomes(folder: Path, tiny_zoo: Path) -> dict[str, Outcome]:
    commands = {
        name: ["train", str(hostile.place(folder)), "--out", str(folder / "run")]
        for name, hostile in RECIPES.items()
    }
    return battery.run(commands, folder, tiny_zoo)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_refused_in_one_line(
    name: str, folder: Path, outcomes: dict[str, Outcome]
) -> None:
    if name == "file that may not be read" and battery.may_do_all():
        pytest.skip("root may read what may not be read, and there is no setpriv")
    RECIPES[name].check(outcomes[name])
    assert not (folder / "run").exists(), "nothing was begun"
    assert not [*folder.rglob("img2img-was-here")], "nothing was run"
