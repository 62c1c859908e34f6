"""What a run tells: time by the clock on the wall, progress without a terminal, the best model,
early ends.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from forked import Forks
from PIL import Image
from safetensors.torch import load_file
from stopping import stop_at, stopped_at
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import img2img.training.trainer
from img2img.cli import main
from img2img.data.dataset import TrainingSet
from img2img.diagnostics.recorded_run import Run
from img2img.diagnostics.runlog import Bar, Clock, read_rows
from img2img.errors import UserError
from img2img.modelfile import load_generator, read_header
from img2img.recipe import Recipe
from img2img.resources import recipes_dir
from img2img.tasks.base import MainMetric
from img2img.tasks.baseline import higher_is_better
from img2img.training import train
from img2img.training.best import Best
from img2img.training.paired import PairedStep
from img2img.training.saving import Saver
from img2img.training.trainer import Trainer
from img2img.training.validation import Validation


def small(name: str = "denoise_tiny", steps: int = 4, **train_fields: Any) -> Recipe:
    fields = Recipe.load(name).fields()
    fields["data"] |= {"path": ["data/samples"], "validation_max": 2, "workers": 0}
    every = {"log_every": 1, "validate_every": 100, "checkpoint_every": 100}
    fields["train"] |= {"steps": steps, "batch_size": 2, **every, **train_fields}
    if fields["adversarial"]:
        fields["adversarial"] |= {"phases": None}
    return Recipe.parse(fields)


def rows(out: Path) -> list[dict[str, Any]]:
    return read_rows(out / "log.jsonl")


# --- time


class Ticking:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    clock = Ticking()
    monkeypatch.setattr("img2img.diagnostics.runlog.time.monotonic", clock.monotonic)
    return clock


def slowed(
    clock: Ticking, seconds: float, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something takes so long by the clock."""
    real = getattr(owner, name)

    def slow(*args: Any, **named: Any) -> Any:
        clock.now += seconds
        return real(*args, **named)

    monkeypatch.setattr(owner, name, slow)


def test_seconds_count_loading_steps_validation_and_saving(
    tmp_path: Path, ticking: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening the data takes 100 s, a sample 1 s, a step of two samples 2 s, validation 50 s, a
    checkpoint 30 s.
    """
    slowed(ticking, 100, img2img.training.trainer, "open_data", monkeypatch)
    slowed(ticking, 1, TrainingSet, "__getitem__", monkeypatch)
    slowed(ticking, 50, Validation, "measure", monkeypatch)  # held out, and training photos: 100
    slowed(ticking, 30, Saver, "save", monkeypatch)
    trainer = Trainer(
        small(steps=2, validate_every=1, checkpoint_every=1), tmp_path / "run", device="cpu"
    )
    slowed(ticking, 2, PairedStep, "__call__", monkeypatch)
    summary = trainer.run()
    told = [row for row in rows(tmp_path / "run") if "seconds" in row]
    assert [row["seconds"] for row in told] == [100 + 2 + 2, 104 + 100 + 30 + 4]
    assert [row["data_wait"] for row in told] == [0.5, 0.5]  # two samples and a step: 2 s of 4
    assert [row["images_per_second"] for row in told] == [0.5, 0.5]
    assert summary["minutes"] == round((238 + 100 + 30) / 60, 2)
    run = Run(tmp_path / "run")
    assert (run.data_wait, round(run.minutes, 2)) == (0.5, summary["minutes"])
    assert "50% of a step waiting for data" in (tmp_path / "run/report.html").read_text()
    assert "data_wait" not in run.names() or "data_wait" not in losses_of(run)


def losses_of(run: Run) -> list[str]:
    from img2img.diagnostics.html_report import loss_plot

    return [curve.name for curve in loss_plot(run).curves]


def test_a_resumed_run_goes_on_counting_and_leaves_out_the_night_between(
    tmp_path: Path, ticking: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed(ticking, 10, TrainingSet, "__getitem__", monkeypatch)
    stopped_at(small(), tmp_path / "run", 2)
    ticking.now += 80_000
    train(small(), tmp_path / "run", resume=True, device="cpu")
    assert [row["seconds"] for row in rows(tmp_path / "run") if "seconds" in row] == [
        20,
        40,
        60,
        80,
    ]


def test_the_clock_waits_for_what_comes(ticking: Ticking) -> None:
    clock, waits = Clock(), []

    def slow() -> Any:
        for seconds in (3, 1):
            ticking.now += seconds
            yield seconds

    for _ in clock.waiting_for(slow()):
        waits.append(clock.waited)
        ticking.now += 100
    assert waits == [3, 1] and clock.seconds == 204


# --- progress


def test_without_a_terminal_progress_is_plain_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], ticking: Ticking
) -> None:
    bar = Bar(1000, 0, shown=True)
    for _ in range(1000):
        ticking.now += 0.5
        bar.advance(8.0, 0.25, {"g_loss": 0.123456})
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert (
        lines[0] == "step 1 of 1000, 8 min left, 8.0 images/s, 25% waiting for data, g_loss 0.1235"
    )
    steps = [int(re.match(r"step (\d+) of 1000, ", line)[1]) for line in lines]  # type: ignore[index]
    assert steps == [1, *range(100, 1001, 100)] and ", 0 s left," in lines[-1]


def test_a_long_run_says_a_word_a_minute(
    capsys: pytest.CaptureFixture[str], ticking: Ticking
) -> None:
    bar = Bar(1_000_000, 500_000, shown=True)
    for _ in range(100):
        ticking.now += 7
        bar.advance(1.0, 0.0, {})
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 + 100 * 7 // 63 and "972.2 h left" in told[0]


def test_other_processes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    Bar(3, 0, shown=False).advance(1.0, 0.0, {})
    assert capsys.readouterr() == ("", "")


def test_a_command_without_a_terminal_shows_progress_and_no_control_characters(
    tmp_path: Path,
) -> None:
    arguments = [
        "train",
        "denoise_tiny",
        "train.steps=5",
        "train.batch_size=1",
        "--out",
        str(tmp_path / "run"),
    ]
    env = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-m", "img2img", *arguments, "--device", "cpu"],
        capture_output=True, text=True, timeout=300, env=env, check=True,
    )  # fmt: skip
    assert re.findall(r"^step (\d) of 5, .* left", done.stderr, re.MULTILINE) == list("12345")
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", done.stderr + done.stdout)


# --- the end before its time


@pytest.mark.parametrize("name", ["denoise_tiny", "ring", "vae_tiny", "cyclegan_tiny"])
def test_an_early_stop_leaves_samples_and_a_report(name: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stopped_at(small(name), out, 2)
    assert [path.name for path in (out / "samples").iterdir()] == ["step_00000002.png"]
    (row,) = (row for row in rows(out) if "validation" in row)
    assert row["stopped"] is True and row["step"] == 2 and row["validation"]
    assert "step 2" in (out / "report.html").read_text() and Run(out).validated
    train(small(name), out, resume=True, device="cpu")
    assert [row["step"] for row in rows(out) if "validation" in row and not row.get("summary")] == [
        4
    ]


def test_a_later_stop_does_not_validate_again(tmp_path: Path) -> None:
    stopped_at(small(validate_every=1), tmp_path / "run", 3)
    assert [row["step"] for row in rows(tmp_path / "run") if "validation" in row] == [1, 2, 3]
    assert not any("stopped" in row for row in rows(tmp_path / "run"))


def test_a_real_ctrl_c_before_the_first_validation(forks: Forks, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = "import sys; from img2img.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "denoise_tiny", "train.log_every=1", "train.steps=100000"]
    words += ["train.validate_every=100000", "--out", str(out), "--device", "cpu"]
    process = psutil.Process(forks.begin(command, *words))
    while not ((out / "log.jsonl").exists() and any("g_loss" in row for row in rows(out))):
        assert process.status() != psutil.STATUS_ZOMBIE, forks.end()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    ended = forks.end()
    assert ended.code == 1 and "everything is saved. Go on with: img2img train" in ended.err
    assert list((out / "samples").glob("step_*.png")) and (out / "report.html").exists()
    assert not (out / ".lock").exists()


# --- the best model


def pretending(trainer: Trainer, values: list[float]) -> None:
    """Validation gives these numbers one after the other, whatever is trained."""
    coming, measure = iter(values), trainer.validation.measure

    def pretended(batches: Any, name: str) -> Any:
        found = measure(batches, name)
        return found._replace(metrics={"psnr_db": next(coming)}) if name == "validation" else found

    trainer.validation.measure = pretended  # type: ignore[method-assign]


def weights_at(out: Path, recipe: Recipe, step: int) -> dict[str, torch.Tensor]:
    """What the averaged weights were after `step` steps of the same run."""
    stopped_at(recipe, out, step)
    return load_file(out / "model.safetensors")


def test_the_best_validation_is_kept_over_a_resume(tmp_path: Path) -> None:
    recipe, out = small(steps=5, validate_every=1, keep_best=True), tmp_path / "run"
    first = Trainer(recipe, out, device="cpu")
    pretending(first, [20.0, 30.0, 25.0])
    stop_at(first, 3)
    with pytest.raises(Exception, match="stopped at step 3"):
        first.run()
    second = Trainer(recipe, out, resume=True, device="cpu")
    pretending(second, [29.9, float("nan")])
    summary = second.run()
    best = out / "best.safetensors"
    assert summary["best"] == {"step": 2, "psnr_db": 30.0, "model": str(best)}
    card = read_header(best).card
    assert (card.steps, card.metrics["validation"]["psnr_db"]) == (2, 30.0)
    expected = weights_at(tmp_path / "again", recipe, 2)
    assert all(torch.equal(expected[name], value) for name, value in load_file(best).items())
    assert read_header(out / "model.safetensors").card.steps == 5
    load_generator(best)


def test_a_draw_goes_to_the_later_and_lower_may_be_better(tmp_path: Path) -> None:
    best = Best(tmp_path / "best.safetensors", MainMetric("distance", higher_is_better=False))
    assert best.is_reached_by({"distance": 3.0}) and best.summary() is None
    recipe = small(steps=1)
    trainer = Trainer(recipe, tmp_path / "run", device="cpu")
    best.card = trainer.saver.save_model(best.path, 1, {"validation": {"distance": 2.0}})
    assert [best.is_reached_by({"distance": value}) for value in (2.1, 2.0, 1.9)] == [
        False,
        True,
        True,
    ]
    with pytest.raises(UserError, match=r"train\.keep_best.*'distance'"):
        best.is_reached_by({"psnr_db": 30.0})
    trainer.folder.close()


@pytest.mark.parametrize(
    "name",
    [
        "super_resolve_tiny",
        "inpaint_tiny",
        "colorize_tiny",
        "ring",
        "vae_tiny",
        "cyclegan_tiny",
        "dcgan",
    ],
)
def test_every_kind_of_task_names_a_number_that_is_measured(name: str, tmp_path: Path) -> None:
    recipe = small(name, steps=1, keep_best=True)
    metric = recipe.task.main_metric
    summary = train(recipe, tmp_path / "run", device="cpu")
    assert summary["best"] == {
        "step": 1,
        metric.name: summary["validation"][metric.name],
        "model": str(tmp_path / "run/best.safetensors"),
    }


def test_the_main_metric_points_the_way_that_all_others_take_it() -> None:
    for path in recipes_dir().glob("*.yaml"):
        metric = Recipe.load(path).task.main_metric
        assert metric.higher_is_better == higher_is_better(metric.name), path.stem


def test_keep_best_without_anything_to_validate_on_is_refused(tmp_path: Path) -> None:
    fields = small(keep_best=True).fields()
    fields["data"] |= {"validation_share": 0.0}
    with pytest.raises(UserError, match=r"train\.keep_best.*data\.validation_share"):
        train(Recipe.parse(fields), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_command_says_where_the_best_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", "denoise_tiny", "train.steps=1", "train.batch_size=1", "train.keep_best=true"]
    assert main([*words, "--out", str(out), "--device", "cpu"]) == 0
    assert f"best at step 1: {out}/best.safetensors" in capsys.readouterr().out
    assert json.loads((out / "log.jsonl").read_text().splitlines()[-1])["best"]["step"] == 1


# --- TensorBoard


def test_tensorboard_shows_rates_and_samples(tmp_path: Path) -> None:
    recipe = small("translate_tiny", validate_every=2, schedule="linear", decay_from=0.0)
    train(recipe, tmp_path / "run", device="cpu")
    (events,) = {path.parent for path in (tmp_path / "run/tensorboard").rglob("events*")}
    written = EventAccumulator(str(events)).Reload()
    for name in ("lr", "d_lr"):
        assert [event.value for event in written.Scalars(name)] == pytest.approx(
            [1e-3, 0.75e-3, 0.5e-3, 0.25e-3]
        )
        assert [row[name] for row in rows(tmp_path / "run") if name in row] == pytest.approx(
            [1e-3, 0.75e-3, 0.5e-3, 0.25e-3]
        )
    pictures = written.Images("samples")
    assert [picture.step for picture in pictures] == [2, 4]
    (tmp_path / "shown.png").write_bytes(pictures[-1].encoded_image_string)
    shown, sheet = (
        np.asarray(Image.open(path).convert("RGB"))
        for path in (tmp_path / "shown.png", tmp_path / "run/samples/step_00000004.png")
    )
    assert np.array_equal(shown, sheet)
