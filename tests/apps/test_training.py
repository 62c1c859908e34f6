"""The Train tab: what it refuses, what it says of a run, and a small run from start to use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2img.errors import Advice, Interrupted, Option, Phrase, TrainingError, UserError
from img2img.maintenance.browser import RunningApp, running_app
from img2img.maintenance.screenshots import open_tab
from img2img_apps import train_process
from img2img_apps.service import escaped
from img2img_apps.settings import Settings
from img2img_apps.tabs.train_tab import _updates, doctor_says
from img2img_apps.train_runs import TrainRuns, _pace, verdict
from img2img_apps.workspace import Workspace


@pytest.fixture
def trainings(tmp_path: Path, photo_folder: Path) -> Iterator[TrainRuns]:
    (tmp_path / "work").mkdir()
    workspace = Workspace(tmp_path / "work")
    yield TrainRuns(Settings(data_root=photo_folder.parent), workspace)
    workspace.close()


def test_only_folders_under_the_data_root_are_offered(trainings: TrainRuns, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    assert "photos" in trainings.folders() and "link" not in trainings.folders()
    assert TrainRuns(Settings(), trainings.workspace).folders() == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("../denoise", "", 5, ""), "recipes"),
        (("denoise_tiny", "../..", 5, ""), "folders"),
        (("denoise_tiny", "/etc", 5, ""), "folders"),
        (("denoise_tiny", "", 5, "../../evil"), "name"),
    ],
)
def test_start_refuses_what_is_not_offered(
    trainings: TrainRuns, values: tuple[Any, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        trainings.start(*values)
    assert trainings.process is None


def test_resume_needs_a_run(trainings: TrainRuns) -> None:
    with pytest.raises(UserError, match="start it first"):
        trainings.start("denoise_tiny", "", 5, "none", resume=True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"step": 5, "l1": 0.1}, "Too early"),
        ({"validation": {"psnr_db": 27.1}, "baseline": {"psnr_db": 20.2}}, "Healthy"),
        ({"validation": {"psnr_db": 19.0}, "baseline": {"psnr_db": 20.2}}, "Not yet"),
        ({"validation": {"hole_l1": 0.1}, "baseline": {"hole_l1": 0.2}}, "Healthy"),
        ({"step": 5, "error": "NaN"}, "In trouble"),
    ],
)
def test_verdict(line: dict[str, Any], said: str) -> None:
    assert verdict([line]).startswith(said)


def test_watch_reads_what_a_run_writes(trainings: TrainRuns) -> None:
    folder = trainings.folder = trainings.runs / "one"
    (folder / "samples").mkdir(parents=True)
    (folder / "samples" / "step_00000010.png").write_bytes(b"x")
    lines = [{"step": n, "l1": 1 / n, "images_per_second": 5.0, "grad_norm": 1.0} for n in (5, 10)]
    (folder / "log.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 1'
    )
    (folder / "app.log").write_text("error: the disk is full\n")
    seen = trainings.status()
    assert seen is not None and seen.message == "Stopped at step 10. the disk is full"
    assert seen.losses is not None and [c.name for c in seen.losses.curves] == ["l1"]
    assert seen.losses.curves[0].thinned == [(5, 0.2), (10, 0.1)]
    assert seen.sample is not None and trainings.workspace.holds(seen.sample)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(10, 20.0), (130, 260.0)], "step 130 of 1500, 7.1 images a second, about 46 min left"),
        ([(130, 260.0)], "step 130 of 1500, 7.1 images a second"),
        ([(10, 2.0), (1490, 298.0)], "step 1490 of 1500, 7.1 images a second, about 2 s left"),
    ],
)
def test_a_training_says_of_how_many_and_how_long(rows: list[tuple[int, float]], said: str) -> None:
    assert (
        _pace([{"step": n, "seconds": s, "images_per_second": 7.1} for n, s in rows], 1500) == said
    )


def test_a_stop_is_said_once(trainings: TrainRuns) -> None:
    folder = trainings.folder = trainings.runs / "one"
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"step": 135, "l1": 0.1}\n')
    (folder / "app.log").write_text("error: stopped at step 135, everything is saved\n")
    seen = trainings.status()
    assert seen is not None and seen.message == "Stopped at step 135, everything is saved."
    used = '<p class="good">“my one” is now under Model on its tab.</p>'
    assert used in _updates(seen, used)[0], (
        "what was said of its use stays while the training goes on"
    )


def test_why_a_training_ended_is_in_the_words_of_the_page(
    trainings: TrainRuns, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    trainings.start("denoise_tiny", "empty", 1, "one")
    assert trainings.process is not None and trainings.process.wait(300) == 2
    seen = trainings.status()
    assert seen is not None and seen.message.startswith("Stopped. Photos: ")
    assert "data.path" not in seen.message and "--" not in seen.message


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            UserError(
                "has changed", field="resume", remedy=Advice("choose another ", Option("out"))
            ),
            2,
            "error: Resume: has changed: choose another Name of the run\n",
        ),
        (
            TrainingError(Phrase("the disk is full: go on with ", Option("resume"))),
            1,
            "error: the disk is full: go on with Resume\n",
        ),
        (Interrupted(135), 1, "error: stopped at step 135, everything is saved\n"),
        (
            OSError(28, "No space left on device", "/a/b.png"),
            1,
            "error: b.png: No space left on device\n",
        ),
        (ValueError("a\nb"), 1, "error: ValueError: a b\n"),
    ],
)
def test_the_process_of_a_training_says_why_it_ended(
    error: Exception,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(train_process, "train", fail)
    assert train_process.main(["denoise_tiny", "runs/one", "start", "train.steps=5"]) == code
    assert capsys.readouterr().err.endswith(line)


def test_doctor_lists_every_finding_with_its_remedy(trainings: TrainRuns) -> None:
    folder = trainings.folder = trainings.runs / "sick"
    folder.mkdir(parents=True)
    (folder / "app.log").touch()
    (folder / "recipe.yaml").write_text(
        "train: {steps: 100}\nadversarial: {kind: non_saturating}\n"
    )
    losing = {"images_per_second": 5.0, "d_loss": 1e-4, "d_accuracy": 1.0, "g_grad_norm": 1.0}
    rows = [
        losing | {"step": n, "g_signal": 1 / 10**n, "peaks": {"g_grad_norm": 500.0}}
        for n in range(1, 20)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen = trainings.status()
    assert seen is not None and {"discriminator winning", "loss spikes"} <= {
        d.name for d in seen.findings
    }
    shown = doctor_says(seen)
    assert shown.count("<li>") == len(seen.findings) >= 2
    assert all(escaped(d.remedy) in shown and d.severity in shown for d in seen.findings)


def test_names_of_runs_are_free(trainings: TrainRuns) -> None:
    assert trainings.free_name("ring") == "ring"
    for name in ("ring", "ring-2"):
        (trainings.runs / name).mkdir(parents=True)
    assert trainings.free_name("ring") == "ring-3"


@pytest.mark.slow
def test_example_trains_at_one_click(page: Any) -> None:
    open_tab(page, "Train")
    page.locator("#train-example-0").click()
    said = page.locator("#train-status")
    said.get_by_text("Training: step").wait_for()
    page.locator("#train-stop").click()
    said.get_by_text("Stopped at step").wait_for()


@pytest.mark.slow
def test_start_watch_stop_resume_and_use(page: Any, app: RunningApp) -> None:
    open_tab(page, "Train")
    page.get_by_label("Recipe").click()
    page.get_by_role("option", name="denoise_tiny").click()
    page.locator("#train-name textarea, #train-name input").first.fill(
        f"run{np.random.default_rng().integers(1e6)}"
    )
    page.locator("#train-steps input").fill("400")
    page.locator("#train-start").click()
    said = page.locator("#train-status")
    said.get_by_text("Training: step").wait_for()
    page.locator("#train-stop").click()
    said.get_by_text("Stopped at step").wait_for()
    page.locator("#train-resume").click()
    said.get_by_text("Finished: 400 steps").wait_for()
    page.locator("#train-doctor").get_by_text("baseline").wait_for()
    page.locator("#train-use").click()
    said.get_by_text("is now under Model").wait_for()
    page.locator("#train-resume").click()  # the line of the next training takes its place
    said.get_by_text("is now under Model").wait_for(state="detached")


def test_other_machines_get_no_train_tab_and_no_endpoint(
    launcher: list[str], tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    with running_app(tmp_path / "app.log", ["--host", "0.0.0.0"], launcher) as app:
        page = open_page(app.url)
        page.get_by_role("tab", name="Models").first.wait_for()
        assert page.get_by_role("tab", name="Train").count() == 0
        assert "anyone who reaches this machine" in app.log.read_text()
