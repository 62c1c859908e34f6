"""Every model file of the corpus through everything that opens one: refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from hostile import battery
from hostile.battery import Outcome
from hostile.models import MODELS

VERBS = ("infer", "load", "eval", "export", "import")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def outcomes(folder: Path, tiny_zoo: Path) -> dict[str, Outcome]:
    (folder / "data").mkdir()
    photo = folder / "data" / "a.png"
    Image.effect_noise((96, 96), 60).convert("RGB").save(photo)
    commands = {}
    for number, (name, hostile) in enumerate(MODELS.items()):
        model, cpu = str(hostile.place(folder)), ["--device", "cpu"]
        (made := folder / "made" / str(number)).mkdir(parents=True)
        output = ["--output", str(made / "a.safetensors")]
        words = {
            "infer": ["--input", str(photo), "--output", str(made / "a.png"), "--model", model],
            "load": [model],
            "eval": ["--task", "denoise", "--data", str(photo.parent), "--model", model, *cpu],
            "export": ["--model", model, "--format", "safetensors", *output],
            "import": [model, *output],
        }
        commands |= {f"{verb} {name}": [verb, *words[verb]] for verb in VERBS}
    return battery.run(commands, folder, tiny_zoo)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_model_file_is_refused_in_one_line(
    verb: str, name: str, folder: Path, outcomes: dict[str, Outcome]
) -> None:
    if name == "file that may not be read" and battery.may_do_all():
        pytest.skip("root may read what may not be read, and there is no setpriv")
    outcome, hostile = outcomes[f"{verb} {name}"], MODELS[name]
    if verb == "import" and "is a model file of ours already" in outcome.err:
        assert outcome.code == 2 and len(outcome.err.splitlines()) == 1
        return  # its header is sound, and its weights are not looked at
    hostile.check(outcome)
    made = folder / "made" / str([*MODELS].index(name))
    if outcome.code == 2 and hostile.refused is not None:
        assert not [*made.iterdir()], "nothing is left"
    assert not [*folder.rglob("img2img-was-here")], "nothing was run"
