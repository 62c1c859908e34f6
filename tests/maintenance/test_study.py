"""One problem under every objective: which recipes are played, and what becomes of the page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from img2img.losses.objectives import OBJECTIVES
from img2img.maintenance import study
from img2img.maintenance.study import markdown_table, page_with, recipe_under


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("name", ["edges2clothes", "fashion_mnist"])
def test_both_problems_can_be_played_under_every_kind(name: str, kind: str) -> None:
    recipe = recipe_under(name, kind, ["train.steps=50"])
    assert recipe.adversarial is not None and recipe.discriminator is not None
    assert recipe.adversarial.kind == kind
    assert OBJECTIVES[kind].head in recipe.discriminator.networks
    assert recipe.train.steps == 50


def test_a_discriminator_that_reconstructs_is_kept() -> None:
    recipe = recipe_under("ring", "began", [])
    assert recipe.discriminator is not None and recipe.discriminator.kind == "mlp"


@pytest.mark.parametrize("sees", ["[]", "[label]"])
def test_what_is_reconstructed_shows_the_class_that_a_score_would_project(sees: str) -> None:
    recipe = recipe_under("fashion_mnist", "began", [f"adversarial.sees={sees}"])
    assert recipe.adversarial is not None and recipe.adversarial.sees == ("label",)


def test_a_study_is_added_once_and_then_replaced_between_its_marks() -> None:
    first = page_with("# Page\n\nText.\n", "a", "| 1 |")
    both = page_with(first, "b", "| 2 |")
    again = page_with(both, "a", "| 3 |")
    assert first == "# Page\n\nText.\n\n<!-- study: a -->\n| 1 |\n<!-- end of study: a -->\n"
    assert "| 1 |" in both and "| 2 |" in both
    assert again == both.replace("| 1 |", "| 3 |")


def test_the_first_row_heads_the_table() -> None:
    assert (
        markdown_table([("run", "psnr"), ("a", "1")]) == "| run | psnr |\n| --- | --- |\n| a | 1 |"
    )


def test_runs_are_trained_once_measured_and_shown(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        study, "OBJECTIVES", {kind: OBJECTIVES[kind] for kind in ("least_squares", "began")}
    )
    small = [
        "data.crop_px=32",
        "data.resize_px=[32, 40]",
        "generator.width=4",
        "generator.levels=3",
        "data.workers=0",
    ]
    short = [
        "discriminator.width=4",
        "losses=[{kind: l1}]",
        "adversarial.phases=",
        "train.steps=2",
        "train.batch_size=2",
    ]
    command = [
        "study",
        "edges2clothes",
        *small,
        *short,
        f"data.path={photo_folder}",
        "train.log_every=1",
    ]
    command += ["--data", str(photo_folder), "--page", str(tmp_path / "page.md"), "--limit", "2"]
    command += ["--picture", str(tmp_path / "all.jpg"), "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", command)
    study.main()
    page = (tmp_path / "page.md").read_text()
    assert (
        "| least_squares | 2 |" in page
        and "| began | 2 |" in page
        and "| the condition itself | – |" in page
    )
    assert "data.path=photos" in page and str(tmp_path) not in page
    assert (
        "--data photos --page page.md --picture all.jpg --limit 2`: " in page
        and "; 2 photos." in page
    )
    assert "ST-LPIPS" in page and "![](all.jpg)" in page
    with Image.open(tmp_path / "all.jpg") as picture:
        assert picture.height > 4 * 32, "input, two kinds, truth"
    changed = (tmp_path / "runs" / "edges2clothes_least_squares" / "log.jsonl").stat().st_mtime_ns
    study.main()
    assert (
        tmp_path / "runs" / "edges2clothes_least_squares" / "log.jsonl"
    ).stat().st_mtime_ns == changed
