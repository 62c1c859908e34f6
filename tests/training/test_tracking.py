"""Trackers: TensorBoard, and fakes of those that are not installed here."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import img2img
from img2img.cli import main
from img2img.errors import UserError
from img2img.recipe import Recipe

FAKES = {
    "wandb": """
import os
config = {}
calls = []
class Image:
    def __init__(self, pixels): self.shape = pixels.shape
class Run:
    def log(self, values, step=None): calls.append((step, dict(values)))
    def finish(self): calls.append("finish")
def init(**kwargs):
    calls.append({**kwargs, "mode": os.environ["WANDB_MODE"]})
    return Run()
""",
    "trackio": """
calls = []
class Run:
    def log(self, values, step=None): calls.append((step, dict(values)))
    def finish(self): calls.append("finish")
def init(**kwargs):
    calls.append(kwargs)
    return Run()
""",
    "mlflow": """
calls = []
def set_tracking_uri(uri): calls.append(("uri", uri))
def search_experiments(filter_string): return []
def create_experiment(name, artifact_location, tags): calls.append((name, artifact_location))
def start_run(run_name, **_): calls.append(("run", run_name)); return run_name
def log_metrics(values, step): calls.append((step, dict(values)))
def log_artifact(local_path, artifact_path): calls.append(("artifact", local_path))
def end_run(): calls.append("finish")
""",
}


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, source in FAKES.items():
        (tmp_path / "packages").mkdir(exist_ok=True)
        (tmp_path / "packages" / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    yield importlib.import_module
    for name in FAKES:
        sys.modules.pop(name, None)


def recipe(*track: str) -> Recipe:
    return Recipe.load(
        "super_resolve_tiny",
        [
            f"train.track={json.dumps(track)}",
            *("train.steps=4", "train.log_every=1", "train.validate_every=2"),
            *("train.batch_size=1", "data.crop_px=16", "data.workers=0", "generator.blocks=[0]"),
            *("data.validation_max=1", "generator.widths=[4]"),
        ],
    )


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_all_are_told_what_the_log_says(fakes: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    img2img.train(recipe("tensorboard", "wandb", "mlflow", "trackio"), run, device="cpu")
    assert any((run / "tensorboard").rglob("events*"))
    losses = {row["step"]: row["l1"] for row in rows(run) if "l1" in row}
    assert sorted(losses) == [1, 2, 3, 4]
    for name in FAKES:
        calls = fakes(name).calls
        told = {
            call[0]: call[1]["l1"]
            for call in calls
            if isinstance(call, tuple) and isinstance(call[1], dict) and "l1" in call[1]
        }
        assert told == losses, name
        assert calls[-1] == "finish" and calls.count("finish") == 1
        numbers = [c[1] for c in calls if isinstance(c, tuple) and isinstance(c[1], dict)]
        assert any("validation/psnr_y_db" in values for values in numbers), name
    wandb, mlflow, trackio = (fakes(name).calls for name in ("wandb", "mlflow", "trackio"))
    assert wandb[0] == {"project": "img2img", "name": "run", "dir": str(run), "mode": "offline"}
    assert trackio[0] == {"project": "img2img", "name": "run"}
    assert mlflow[:3] == [
        ("uri", f"sqlite:///{run}/mlflow.db"),
        ("img2img", (run / "mlflow").as_uri()),
        ("run", "run"),
    ]
    sheets = [call[1]["samples"][0].shape for call in wandb[1:-1] if "samples" in call[1]]
    assert sheets and all(shape[-1] == 3 for shape in sheets)
    assert ("artifact", str(run / "samples" / "step_00000002.png")) in mlflow


def test_a_server_that_is_named_is_used(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")
    img2img.train(recipe("mlflow"), tmp_path / "run", device="cpu")
    assert not any(call[0] == "uri" for call in fakes("mlflow").calls)
    assert not (tmp_path / "run" / "tensorboard").exists()


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_missing_package_is_one_line_before_anything_begins(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec(name):
        pytest.skip("installed here")
    assert main(["train", "ring", f"train.track={name}", "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (f"error: train.track: '{name}' is not installed: pip install 'img2img[track]'")
    assert not (tmp_path / "run").exists()


def test_none_is_wanted(tmp_path: Path) -> None:
    img2img.train(recipe(), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.track"):
        recipe("comet")


def test_trackers_may_change_when_a_run_goes_on(fakes: Any, tmp_path: Path) -> None:
    img2img.train(recipe("tensorboard"), tmp_path / "run", device="cpu")
    longer = recipe("wandb").changed(["train.steps=5"])
    assert longer is not None
    img2img.train(longer, tmp_path / "run", resume=True, device="cpu")
    assert next(call[0] for call in fakes("wandb").calls if isinstance(call, tuple)) == 5


def test_they_send_nothing_unless_asked() -> None:
    assert os.environ["WANDB_MODE"] == "offline"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
