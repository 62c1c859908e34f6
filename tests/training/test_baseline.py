"""What a run is held against: the best trivial answer, by name, in log, verdict, report and
summary.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kornia.metrics import psnr

from img2img.cli import main
from img2img.data.dataset import load_photos
from img2img.diagnostics.chart import RunFacts
from img2img.diagnostics.doctor import verdict
from img2img.diagnostics.html_report import write_report
from img2img.diagnostics.recorded_run import Run
from img2img.diagnostics.runlog import read_rows
from img2img.recipe import Recipe
from img2img.tasks.base import COPIED
from img2img.training.trainer import Trainer

QUICK = [
    "train.steps=2",
    "train.batch_size=2",
    "train.log_every=1",
    "data.validation_share=0.5",
    "data.workers=0",
]


def run_of(name: str, out: Path, folder: Path | None, *overrides: str) -> Trainer:
    where = [f"data.path={folder}"] if folder else []
    trainer = Trainer(Recipe.load(name, [*QUICK, *where, *overrides]), out, device="cpu")
    trainer.run()
    return trainer


def test_translation_that_is_worse_than_the_input_copied_is_not_healthy(
    photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blurred photos lie near their originals, and two steps of training do not."""
    recipe = tmp_path / "blur.yaml"
    recipe.write_text(
        Recipe.load(
            "translate_tiny", [*QUICK, f"data.path={photo_folder}", "task.source=blur"]
        ).to_yaml()
    )
    assert main(["train", str(recipe), "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    summary = read_rows(tmp_path / "run/log.jsonl")[-1]
    known = Recipe.load(recipe)
    copied = load_photos(known.task, known.data, known.seed).validation
    by_hand = sum(float(psnr(b.condition, b.target, 1.0)) for b in copied) / len(copied)
    assert summary["baseline"]["psnr_db"] == pytest.approx(by_hand, abs=1e-4)
    assert summary["baseline_is"]["psnr_db"] == COPIED
    said = f"{COPIED} gives {by_hand:.3g}"
    assert Run(tmp_path / "run").verdict.startswith("Not yet better than its baseline (psnr_db")
    html = (tmp_path / "run/report.html").read_text()
    assert said in html and f"baseline: {COPIED}" in html
    assert f"(baseline {by_hand:.4g}, {COPIED})" in capsys.readouterr().out


def test_the_verdict_names_the_answer_it_compares_with() -> None:
    row = {"step": 100, "validation": {"psnr_db": 19.2}, "baseline": {"psnr_db": 21.5}}
    assert verdict([{**row, "baseline_is": {"psnr_db": COPIED}}]) == (
        "Not yet better than its baseline (psnr_db 19.2, copying the input gives 21.5)."
    )
    assert (
        verdict([row])
        == "Not yet better than its baseline (psnr_db 19.2, doing nothing gives 21.5)."
    )


def test_a_ratio_is_best_at_one() -> None:
    row: dict[str, Any] = {
        "step": 9,
        "validation": {"chroma_ratio": 2.5},
        "baseline": {"chroma_ratio": 0.4},
    }
    assert verdict([row], RunFacts()).startswith("Not yet better")
    assert verdict([{**row, "validation": {"chroma_ratio": 0.9}}]).startswith(
        "Healthy: better than its baseline"
    )


def test_closed_cycles_make_no_run_healthy() -> None:
    """Two generators that change nothing close them perfectly; what B → A should be decides where
    it is known.
    """
    closed = {
        "step": 9,
        "validation": {"cycle_A_psnr_db": 40.0},
        "baseline": {"cycle_A_psnr_db": 11.3},
    }
    assert verdict([closed]).startswith(
        "Nothing wrong is seen, and cycle_A_psnr_db 40 proves nothing by itself"
    )
    known = json.loads(json.dumps(closed))
    known["validation"]["BtoA_psnr_db"], known["baseline"]["BtoA_psnr_db"] = 15.0, 17.8
    assert verdict([known]).startswith("Not yet better than its baseline (BtoA_psnr_db 15, ")


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("denoise_tiny", (), {"psnr_db": COPIED}),
        ("super_resolve_tiny", (), {"psnr_y_db": "bicubic enlargement"}),
        ("colorize_tiny", ("data.crop_px=64",), {"psnr_db": "leaving it grey"}),
        (
            "cyclegan_tiny",
            (),
            {"BtoA_psnr_db": COPIED, "cycle_A_psnr_db": "mid-grey", "cycle_B_psnr_db": "mid-grey"},
        ),
    ],
)
def test_the_best_answer_of_every_kind_of_task(
    name: str, more: tuple[str, ...], expected: dict[str, str], photo_folder: Path, tmp_path: Path
) -> None:
    trainer = run_of(name, tmp_path / "run", photo_folder, *more)
    named = read_rows(tmp_path / "run/log.jsonl")[-1]["baseline_is"]
    assert expected.items() <= named.items(), named
    (validated, *_), plain = trainer.photos.validation, trainer.validation.baselines["validation"]
    assert plain.pictures[0].shape == validated.target.shape
    assert write_report(tmp_path / "run").is_file()


def test_an_autoencoder_has_to_beat_the_mean_picture(photo_folder: Path, tmp_path: Path) -> None:
    trainer = run_of("vae_tiny", tmp_path / "run", photo_folder)
    plain = trainer.validation.baselines["validation"]
    assert plain.named["psnr_db"].startswith("the mean") and plain.numbers["psnr_db"] > 6
    assert not plain.named["prior_sliced_wasserstein"].startswith(COPIED)


def test_a_set_made_of_noise_is_held_against_the_mean_too(
    photo_folder: Path, tmp_path: Path
) -> None:
    overrides = ("train.batch_size=16", "generator.width=4", "discriminator.width=4")
    trainer = run_of("dcgan", tmp_path / "run", photo_folder, *overrides)
    plain = trainer.validation.baselines["validation"]
    assert (
        plain.named["sliced_wasserstein"].startswith("the mean") and plain.numbers["diversity"] == 0
    )
