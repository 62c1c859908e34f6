"""report.html: self-contained, for runs with and without a discriminator, of one run and of
several.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2img.cli import main
from img2img.diagnostics.drawing import MOST_POINTS, Plot, PlotCurve, drawn
from img2img.diagnostics.html_report import table, write_comparison, write_report
from img2img.diagnostics.recorded_run import Run
from img2img.errors import UserError
from img2img.pixels.sheets import write_sheet
from img2img.recipe import Recipe


def made_run(
    folder: Path, *, adversarial: bool = True, name: str = "one", sick: bool = False
) -> Path:
    """A run's folder as a training leaves it, without the training."""
    run = folder / name
    (run / "samples").mkdir(parents=True)
    recipe = Recipe.load("translate_tiny" if adversarial else "denoise_tiny", ["train.steps=200"])
    (run / "recipe.yaml").write_text(recipe.to_yaml())
    rows: list[dict[str, Any]] = []
    for step in range(10, 201, 10):
        row: dict[str, Any] = {
            "step": step,
            "seconds": step / 2,
            "images_per_second": 9.0,
            "l1": 1 / step,
            "g_loss": 1 / step,
        }
        if adversarial:
            row |= {
                "d_loss": 1e-7 if sick else 0.1,
                "d_real": 0.9,
                "d_fake": 0.1,
                "d_accuracy": 1.0 if sick else 0.7,
            }
            row |= {"d_grad_norm": 1.0, "g_signal": 10.0 ** (-step / 20) if sick else 0.1}
        rows.append({**row, "g_grad_norm": 0.5, "peaks": {"g_grad_norm": 0.7}})
        if step % 50 == 0:
            measured = {"validation": {"psnr_db": 20 + step / 100}, "baseline": {"psnr_db": 15.0}}
            vitals = {"diversity": 0.9, "saturated": 0.01, "dead": 0.0, "checkerboard": 1.2}
            rows.append(
                {
                    "step": step,
                    **measured,
                    "training": {"psnr_db": 20 + step / 90},
                    "vitals": vitals,
                }
            )
            write_sheet(
                run / "samples" / f"step_{step:08d}.png", np.full((300, 900, 3), step / 200)
            )
    rows.append({"summary": True, "step": 200, "minutes": 1.7})
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 2')
    return run


def assert_stands_alone(html: str) -> None:
    assert html.startswith("<!doctype html>") and html.rstrip().endswith("</html>")
    assert not re.findall(r"(?:src|href)=\"(?!data:image/jpeg;base64,)", html)
    assert not re.search(r"<script|<link|@import|url\(|https?://", html)
    assert "prefers-color-scheme: dark" in html
    for tag in ("svg", "figure", "section", "table", "ul", "li", "div"):
        assert html.count(f"<{tag}") == html.count(f"</{tag}>"), tag


@pytest.mark.parametrize("adversarial", [True, False])
def test_report_of_a_run(adversarial: bool, tmp_path: Path) -> None:
    run = made_run(tmp_path, adversarial=adversarial)
    html = write_report(run).read_text()
    assert_stands_alone(html)
    assert "Healthy: better than its baseline (psnr_db 22, doing nothing gives 15)" in html
    assert ("D(G(z))" in html) == ("d_accuracy" in html) == adversarial
    assert html.count("data:image/jpeg") == 4 and "step 200" in html and "training photos" in html
    assert "batch_size: 8" in html and "l1" in html and len(html) < 400_000


def test_gradient_norms_and_vital_signs_are_drawn_where_they_were_logged(tmp_path: Path) -> None:
    html = write_report(made_run(tmp_path)).read_text()
    figures = {
        caption: figure
        for figure in html.split("<figure>")[1:]
        for caption in [figure[12 : figure.find("</")]]
    }
    expected = {
        "Gradient norms": {"d_grad_norm", "g_signal", "g_grad_norm"},
        "Vital signs of": {"diversity", "saturated", "dead"},
        "Vital sign: ch": {"checkerboard"},
    }
    for begin, names in expected.items():
        (figure,) = (figure for caption, figure in figures.items() if caption.startswith(begin))
        assert set(re.findall("<title>(.*?)</title>", figure)) == names


def test_a_sick_run_says_so_with_numbers_and_remedy(tmp_path: Path) -> None:
    html = write_report(made_run(tmp_path, sick=True)).read_text()
    assert "In trouble: discriminator winning (severe)" in html and "Lower adversarial.lr" in html
    assert 'class="verdict sick"' in html and 'class="chip severe"' in html


def test_several_runs_are_compared_in_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [made_run(tmp_path, name=name, sick=name == "c") for name in "abc"]
    place = tmp_path / "all.html"
    assert main(["report", *map(str, runs), "--output", str(place)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].split()[:3] == ["run", "steps", "minutes"] and "psnr_db ↑ (baseline)" in lines[0]
    )
    assert (
        lines[1].split() == ["a", "200", "1.7", "22", "(15)", "Healthy"]
        and lines[4] == f"report: {place}"
    )
    assert "In trouble: discriminator winning" in lines[3]
    html = place.read_text()
    assert_stands_alone(html)
    assert html.count("data:image/jpeg") == 3 and html.count("<h2>c</h2>") == 1


def test_runs_with_other_metrics_share_a_table(tmp_path: Path) -> None:
    one, other = made_run(tmp_path, name="a"), made_run(tmp_path, name="b")
    log = other / "log.jsonl"
    log.write_text(log.read_text().replace("psnr_db", "kid"))
    head, first, second = table([Run(one), Run(other)])
    assert head[3:5] == ("psnr_db ↑ (baseline)", "kid ↓ (baseline)")
    assert first[3:5] == ("22 (15)", "–") and second[3:5] == ("–", "22 (15)")


def test_one_run_is_written_into_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_run(tmp_path)
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").is_file() and str(run / "report.html") in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: '{tmp_path}' is no run: it has no log.jsonl\n"
    with pytest.raises(UserError, match="is no run"):
        write_comparison([made_run(tmp_path), tmp_path / "nowhere"], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_a_run_that_has_just_begun_and_one_without_recipe(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    html = write_report(tmp_path).read_text()
    assert_stands_alone(html)
    assert "Too early to tell" in html and "Nothing was validated yet" in html


def test_what_a_run_calls_itself_is_escaped(tmp_path: Path) -> None:
    run = made_run(tmp_path, name="<b>&")
    html = write_report(run).read_text()
    assert "<b>&<" not in html and "&lt;b&gt;&amp;" in html


def test_curves_are_thinned_to_the_paper_and_keep_their_last_value() -> None:
    curve = PlotCurve("c", [(step, float(step)) for step in range(10_000)])
    assert len(curve.thinned) <= MOST_POINTS and curve.thinned[-1] == (9999, 9999.0)
    assert drawn(Plot("nothing", [PlotCurve("c", [(1, float("nan"))])])) == ""


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0], [-5e-9, 3e12], [1e-7, 1e-7]])
@pytest.mark.parametrize("logarithmic", [True, False])
def test_any_numbers_can_be_drawn(values: list[float], logarithmic: bool) -> None:
    html = drawn(Plot("t", [PlotCurve("c", list(enumerate(values)))], logarithmic))
    assert "nan" not in html and "inf" not in html and html.count("<polyline") == 1
