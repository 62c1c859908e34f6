import csv
import io
import json
import re

import numpy as np
import pytest
import torch
from made_photos import picture

from img2img import zoo
from img2img.data.sample import as_tensor
from img2img.errors import UserError
from img2img.evaluation import evaluate, metrics, run
from img2img.evaluation.protocols import DenoiseProtocol, protocol_for
from img2img.evaluation.published import published_rows
from img2img.pixels.augment import Augment
from img2img.pixels.images import Photo, decode_rgb8, write_photo
from img2img.resources import samples_dir
from img2img.tasks import build_task
from img2img.zoo.catalogue import CATALOGUE


def values(report, method, setting=None):
    return [r.values for r in report.rows if r.method == method and setting in (None, r.setting)]


def numbers(rows):
    return [v for row in rows for v in row.values()]


@pytest.fixture
def no_networks(monkeypatch):
    monkeypatch.setattr(metrics, "missing", lambda network: "pip install it")


def test_denoise_that_takes_nothing_away_scores_as_the_noisy_photo(photos, silent_model):
    report = evaluate("denoise", photos, silent_model({"kind": "denoise"}))
    assert numbers(values(report, "silent")) == numbers(values(report, "noisy"))
    assert [r.setting for r in report.rows] == ["σ 15"] * 3 + ["σ 25"] * 3 + ["σ 50"] * 3
    assert values(report, "noisy", "σ 25")[0]["PSNR dB"] == pytest.approx(20.2, abs=0.5)


@pytest.mark.parametrize("scale", [2, 4])
def test_super_resolution_that_adds_nothing_scores_as_bicubic(photos, silent_model, scale):
    model = silent_model({"kind": "super-resolve", "factor": scale, "back_projections": 0})
    report = evaluate("super-resolve", photos, model)
    assert numbers(values(report, "silent")) == pytest.approx(
        numbers(values(report, "bicubic")), abs=2e-3
    )
    assert {r.setting for r in report.rows} == {f"×{scale}"}


@pytest.mark.usefixtures("no_networks")
def test_inpainting_that_corrects_nothing_scores_as_telea(photos, silent_model):
    report = evaluate(
        "inpaint", photos, silent_model({"kind": "inpaint"}, {"kind": "gated", "width": 8}), limit=1
    )
    assert numbers(values(report, "silent"))[:3] == pytest.approx(
        numbers(values(report, "Telea"))[:3]
    )
    assert {r.method for r in report.rows} == {"silent", "Telea", "Navier–Stokes", "biharmonic"}


@pytest.mark.usefixtures("no_networks")
def test_colorization_without_color_scores_as_grey_and_missing_networks_are_said_so(
    photos, silent_model
):
    model = silent_model(
        {"kind": "colorize"}, {"kind": "color_unet", "width": 16, "pretrained": False}
    )
    report = evaluate("colorize", photos, model)
    ours, grey = values(report, "silent")[0], values(report, "grey")[0]
    assert ours["PSNR dB"] == pytest.approx(grey["PSNR dB"], abs=0.01)
    assert ours["colour ratio"] == pytest.approx(0, abs=0.02)
    assert ours["ST-LPIPS AlexNet"] is None
    assert "ST-LPIPS AlexNet is not available: pip install it" in report.to_markdown()


@pytest.mark.skipif(
    metrics.missing("stlpips_vgg") is not None, reason="wheel stlpips-pytorch is not installed"
)
def test_translation_is_judged_by_networks_and_beside_another_model(photos, silent_model):
    task, network = (
        {"kind": "translate", "source": "edges"},
        {"kind": "unet", "width": 4, "levels": 5},
    )
    losses = [{"kind": "l1"}, {"kind": "perceptual", "network": "stlpips_vgg"}]
    model = silent_model(task, network, name="gan", losses=losses)
    report = evaluate(
        "translate", photos, model, baseline=silent_model(task, network, name="l1_only")
    )
    assert [r.method for r in report.rows] == ["the condition itself", "l1_only", "gan"]
    assert values(report, "gan") == values(report, "l1_only")  # both make flat grey
    assert set(values(report, "gan")[0]) >= {"KID", "ST-LPIPS AlexNet", "ST-LPIPS VGG"}
    assert all(v is not None for v in numbers(values(report, "gan")))
    assert "gan was trained on ST-LPIPS VGG: that figure is no judge of it" in report.notes


def test_files_say_the_same_as_the_report(photos, silent_model, tmp_path):
    report = evaluate("denoise", photos, silent_model({"kind": "denoise"}), out=tmp_path / "out")
    files = {"report.json", "report.md", "photos.csv", "worst.png", "first.png"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == files
    kept = json.loads((tmp_path / "out" / "report.json").read_text())
    assert kept["photo_count"] == 3
    assert kept["models"][0]["name"] == "silent"
    assert [r["values"] for r in kept["rows"]] == [r.values for r in report.rows]
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "photos.csv").read_text())))
    assert len(lines) == 3 * 3 * 3
    noisy = [
        float(line["PSNR dB"])
        for line in lines
        if (line["setting"], line["method"]) == ("σ 15", "noisy")
    ]
    assert np.mean(noisy) == pytest.approx(values(report, "noisy", "σ 15")[0]["PSNR dB"], abs=1e-3)
    worst = decode_rgb8(tmp_path / "out" / "worst.png")
    assert worst.shape[0] > 9 * 72  # three cases of each noise level
    assert worst.shape[1] >= 4 * 88


def test_worst_cases_are_ordered_and_show_input_rival_ours_truth(photos, silent_model):
    report = evaluate(
        "super-resolve", photos, silent_model({"kind": "super-resolve", "back_projections": 0})
    )
    shown = [
        float(re.search(r"silent: ([\d.]+)", panel)[1])
        for line in report.worst
        for panel, _ in line.panels[2:3]
    ]
    assert shown == sorted(shown)
    captions = [caption.split(":")[0] for caption, _ in report.worst[0].panels]
    assert captions == ["input", "bicubic", "silent", "truth"]
    assert len({image.shape for _, image in report.worst[0].panels}) == 1


def test_tables_for_markdown_and_terminal(photos, silent_model, capsys):
    report = evaluate("denoise", photos, silent_model({"kind": "denoise"}), limit=1)
    markdown = report.to_markdown().splitlines()
    assert markdown[0].startswith("denoise on 1 photo of photos")
    assert "Protocol: additive Gaussian noise" in markdown[0]
    assert markdown[2] == "| setting | method | PSNR dB ↑ |"
    assert any(line.startswith("| σ 25 | **silent** | 2") for line in markdown)
    report.print()
    assert "non-local means" in capsys.readouterr().out


def test_bad_and_small_photos_are_reported_and_change_nothing_for_the_others(
    photos, silent_model, tmp_path
):
    model = silent_model({"kind": "denoise"})
    write_photo(tmp_path / "a.png", Photo(picture(0)))
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    write_photo(tmp_path / "c.png", Photo(picture(1, 20, 90)))
    report = evaluate("denoise", tmp_path, model)
    assert report.photo_count == 1
    assert set(report.skipped) == {f"{tmp_path.name}/b.jpg", f"{tmp_path.name}/c.png"}
    assert "90×20 is too small" in report.to_markdown()
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=r"no photo in .* can be measured"):
        evaluate("denoise", tmp_path, model)


def test_what_a_user_can_mend(photos, silent_model, tmp_path):
    model = silent_model({"kind": "denoise"})
    with pytest.raises(UserError, match="unknown task 'denois', did you mean 'denoise'"):
        evaluate("denois", photos, model)
    with pytest.raises(UserError, match="'silent' is made for denoise, not for colorize"):
        evaluate("colorize", photos, model)
    with pytest.raises(UserError, match=r"^data: .*does not exist"):
        evaluate("denoise", tmp_path / "nowhere", model)
    with pytest.raises(UserError, match=r"^precision: 'fp16'"):
        evaluate("denoise", photos, model, precision="fp16")
    with pytest.raises(UserError, match=r"^limit: "):
        evaluate("denoise", photos, model, limit=0)
    with pytest.raises(UserError, match=r"^baseline: 'silent' does something else"):
        evaluate("denoise", photos, model, baseline=silent_model({"kind": "super-resolve"}))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^out: .* is a file"):
        evaluate("denoise", photos, model, out=tmp_path / "file")


def test_default_models_are_one_per_scale_the_shortest_name_first(
    photos, silent_model, tmp_path, monkeypatch
):
    for name, factor in (("sr_x2", 2), ("sr_x4", 4), ("sr_x4_gan", 4)):
        silent_model({"kind": "super-resolve", "factor": factor}, name=name, folder=tmp_path)
    monkeypatch.setattr(zoo, "zoo_dir", lambda: tmp_path)
    assert CATALOGUE.default("super-resolve").name == "sr_x2"
    assert CATALOGUE.default("super-resolve", 4).name == "sr_x4"
    with pytest.raises(UserError, match=r"no model for super-resolve ×3 is shipped.*sr_x4_gan"):
        CATALOGUE.default("super-resolve", 3)
    with pytest.raises(UserError, match=r"no model for denoise is shipped: train one(?!.*sr_x)"):
        CATALOGUE.defaults("denoise")
    silent_model({"kind": "denoise", "camera_share": 0.6}, name="d", folder=tmp_path)
    assert CATALOGUE.default("denoise").name == "d", "the only one there is"
    silent_model({"kind": "denoise", "camera_share": 0.2}, name="denoise", folder=tmp_path)
    assert CATALOGUE.default("denoise").name == "denoise"
    assert CATALOGUE.default("denoise", found_photo=True).name == "d"
    report = evaluate("super-resolve", photos, limit=1)
    assert [(r.setting, r.method) for r in report.rows] == [
        ("×2", "bicubic"), ("×2", "sr_x2"), ("×4", "bicubic"), ("×4", "sr_x4"),
    ]  # fmt: skip


def test_published_figures_stand_beside_the_whole_benchmark_alone(tmp_path):
    folder = tmp_path / "Set5"
    rows = published_rows("super-resolve", folder, 5, {"×2"})
    assert [r.method for r in rows] == [
        "bicubic (published)",
        "SRCNN (published)",
        "VDSR (published)",
    ]
    assert rows[0].values == {"Y-PSNR dB": 33.66}
    assert published_rows("super-resolve", folder, 4, {"×2"}) == []
    assert published_rows("denoise", folder, 5, {"σ 15"}) == []


def test_every_method_is_given_the_same_pixels(photos):
    from img2img.pixels.augment import Augment
    from img2img.tasks import build_task

    seen = {"a": [], "b": []}

    def spy(name):
        return lambda case: (seen[name].append(case.given.clone()), case.given)[1]

    protocol = DenoiseProtocol(build_task("denoise"), Augment())
    report = run.measure(protocol, photos, {"a": spy("a")}, ("b", spy("b")))
    assert len(seen["a"]) == 9
    assert all((x == y).all() for x, y in zip(seen["a"], seen["b"], strict=True))
    assert [r.kind for r in report.rows[:2]] == ["baseline", "model"]


def test_the_best_trivial_answer_stands_in_the_table_even_if_nobody_named_it(photos, silent_model):
    """A sketch is farther from its photo than mid-grey here; enlarged without interpolation,
    nothing beats bicubic.
    """
    task = {"kind": "translate", "source": "edges"}
    protocol = protocol_for(build_task(task), Augment(crop_px=64))
    grey = ("ours", lambda case: torch.full_like(case.truth, 0.1))
    found = run.measure(protocol, photos, {}, grey, simple=protocol.trivial)
    values_of = {row.method: row.values[protocol.ranked_by.name] for row in found.rows}
    assert (
        "the condition itself" in values_of
        and values_of.get("mid-grey", 9) < values_of["the condition itself"]
    )
    again = ("ours", lambda case: torch.full_like(case.truth, 0.5))
    assert {
        row.method for row in run.measure(protocol, photos, {}, again, simple=protocol.trivial).rows
    } == {
        "the condition itself",
        "ours",
    }, "a row is not shown twice"
    report = evaluate("super-resolve", photos, silent_model({"kind": "super-resolve"}))
    assert {row.method for row in report.rows} == {"bicubic", "silent"}


def test_niqe_stands_beside_psnr_and_is_blank_for_small_photos(silent_model, tmp_path):
    cat = decode_rgb8(samples_dir() / "cat.jpg")
    write_photo(tmp_path / "cat.png", Photo(cat[:200, :200]))
    write_photo(tmp_path / "small.png", Photo(cat[:100, :200]))
    report = evaluate("denoise", tmp_path, silent_model({"kind": "denoise"}))
    assert [column.title for column in report.columns] == ["PSNR dB ↑", "NIQE ↓"]
    noisy = [values(report, "noisy", f"σ {sigma}")[0]["NIQE"] for sigma in (15, 25, 50)]
    assert noisy == sorted(noisy)
    truth = metrics.niqe(as_tensor(cat[:200, :200]))
    assert truth < noisy[0]
    assert f"; {truth:.2f} of the measured photos themselves" in report.notes[0]
    assert report.notes[1].startswith("NIQE is blank for 1 of 2 photos, measured on less than 192")
    blank = {s.photo for s in report.photos if s.values["NIQE"] is None}
    assert (len(blank), len(report.photos)) == (1, 18)


def test_niqe_is_no_column_where_all_photos_are_too_small(photos, silent_model):
    report = evaluate("denoise", photos, silent_model({"kind": "denoise"}), limit=1)
    assert [column.name for column in report.columns] == ["PSNR dB"]
    assert "NIQE is blank for 1 of 1 photos" in report.notes[0]


@pytest.mark.usefixtures("no_networks")
def test_niqe_says_nothing_of_color(silent_model, tmp_path):
    write_photo(tmp_path / "cat.png", Photo(decode_rgb8(samples_dir() / "cat.jpg")[:200, :200]))
    network = {"kind": "color_unet", "width": 16, "pretrained": False}
    report = evaluate("colorize", tmp_path, silent_model({"kind": "colorize"}, network))
    assert "NIQE" not in {column.name for column in report.columns}
    assert not any("NIQE" in note for note in report.notes)


def test_reports_of_two_models_are_joined_with_the_columns_of_both(silent_model, tmp_path):
    cat = decode_rgb8(samples_dir() / "cat.jpg")
    write_photo(tmp_path / "large" / "cat.png", Photo(cat[:200, :200]))
    write_photo(tmp_path / "small" / "cat.png", Photo(cat[:100, :200]))
    small, large = (
        evaluate("denoise", tmp_path / size, silent_model({"kind": "denoise"}))
        for size in ("small", "large")
    )
    joined = small + large
    assert [column.name for column in joined.columns] == ["PSNR dB", "NIQE"]
    assert {row.method for row in joined.rows} == {"noisy", "non-local means", "silent"}
    assert "| σ 15 | noisy |" in joined.to_markdown() and "| – |" in joined.to_markdown()
