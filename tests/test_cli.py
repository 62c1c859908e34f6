"""The command line as a contract: verbs, flags, exit codes, what goes to stdout and to stderr."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from img2img import __version__
from img2img.cli import main
from img2img.errors import Advice, Interrupted, Option, Phrase, TrainingError, UserError
from img2img.recipe import Recipe
from img2img.resources import recipes_dir

VERBS = [
    "train",
    "check-data",
    "infer",
    "generate",
    "eval",
    "models",
    "recipes",
    "schema",
    "doctor",
    "env",
    "bench",
]
INFER_FLAGS = [
    *(
        "--input",
        "--output",
        "--task",
        "--model",
        "--mask",
        "--mask-grow",
        "--feather",
        "--extend",
        "--scale",
        "--longer-side",
        "--width",
        "--height",
    ),
    *(
        "--strength",
        "--seed",
        "--from-photo",
        "--direction",
        "--device",
        "--precision",
        "--overwrite",
        "--json",
    ),
    *("--format", "--quality", "--plan", "--mask-invert"),
]

GENERATE_FLAGS = [
    *(
        "--model",
        "--label",
        "--n",
        "--seed",
        "--interpolate",
        "--arithmetic",
        "--code",
        "--grid",
        "--output",
        "--device",
    )
]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)).save(path)
    return path


def one_line(stderr: str) -> str:
    assert stderr.startswith("error: "), stderr
    assert stderr.count("\n") == 1, stderr
    return stderr


# --- the command itself


def test_help_and_version_import_nothing_heavy() -> None:
    code = """
import sys
from img2img.cli import main
from img2img.errors import Interrupted, TrainingError
for line in ("--help", "--version", "infer --help", "generate --help", "train --help"):
    assert main(line.split()) == 0
heavy = {"torch", "numpy", "kornia", "PIL", "cv2", "yaml"} & set(sys.modules)
sys.exit(" ".join(heavy) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout
    for flag in INFER_FLAGS + GENERATE_FLAGS:
        assert f"  {flag}" in done.stdout
    assert f"\n{__version__}\n" in done.stdout


def test_infer_imports_only_what_the_photo_needs(tiny_zoo: Path, photo: Path) -> None:
    """Torch takes most of a small photo's time; what trains, measures or reads other formats is
    left out, and so is what only other tasks need.
    """
    code = f"""
import sys
from pathlib import Path
import img2img.zoo
img2img.zoo.zoo_dir = lambda: Path({str(tiny_zoo)!r})
from img2img.cli import main
assert main(["infer", "--input", sys.argv[1], "--task", "denoise,super-resolve"]) == 0
needless = {{
    "accelerate", "albumentations", "gradio", "kornia", "lpips", "rich", "scipy", "skimage",
    "spandrel", "sympy", "tensorboard", "tifffile", "timm", "torch._dynamo", "torchvision",
    "img2img.training", "img2img.evaluation", "img2img.diagnostics",
}} & set(sys.modules)
sys.exit(" ".join(sorted(needless)) or 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(photo)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert photo.with_name("photo.auto.png").is_file()


def test_it_runs_as_a_module_and_without_arguments_helps() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "img2img", "no-such-verb"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such-verb" in one_line(done.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["infer"], "'--input': write img2img infer --input PHOTO"),
        (["infer", "--input", "a.jpg", "--strength", "50%"], "'--strength': give a number"),
        (["infer", "--input", "a.jpg", "--mask-grow", "1.5"], "'--mask-grow': give a whole number"),
        (["infer", "--input", "a.jpg", "--tsk", "denoise"], "--tsk"),
        (["infer", "--input", "a.jpg", "--seed", "x"], "--seed"),
        (["train"], "RECIPE"),
        (["eval", "--task", "denoise"], "--data"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message.lower() in one_line(err).lower()


def test_a_defect_of_ours_is_one_line_and_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("img2img.about.machine_report", broken)
    code, out, err = run("doctor")
    assert (code, out) == (1, "")
    assert "RuntimeError: two lines" in one_line(err)
    monkeypatch.setenv("IMG2IMG_DEBUG", "1")
    assert "Traceback" in run("doctor")[2]


def test_errors_and_warnings_of_the_library_are_told_in_flags(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("img2img")
    before = log.handlers[:], log.level

    def report() -> str:
        log.warning(Phrase(Option("mask_grow"), ": is large"))
        log.warning("%d photos, task=%s", 3, "denoise")
        again = Advice.run("generate", Option("model", "digits"), Option("count"))
        raise UserError(
            "is no one's", field="task.kind", place=Path("a/b.yaml"), remedy=again | "sleep"
        )

    monkeypatch.setattr("img2img.about.machine_report", report)
    assert run("doctor") == (
        2,
        "",
        "--mask-grow: is large\n3 photos, task=denoise\n"
        "error: a/b.yaml: task.kind: is no one's: "
        "use img2img generate --model digits --n, or sleep\n",
    )
    assert (log.handlers, log.level) == before


# --- infer

pytestmark = pytest.mark.usefixtures("zoo")


def test_without_options_a_photo_is_looked_at_and_the_choice_explained(
    run: Run, tmp_path: Path
) -> None:
    grey = np.random.default_rng(0).normal(128, 20, (40, 60)).clip(0, 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "old.jpg", quality=98)
    code, out, err = run("infer", "--input", tmp_path / "old.jpg")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    assert (
        f"{tmp_path / 'old.auto.jpg'}: denoise, colorize, then enlarge ×2, because it is noisy"
        in out
    )
    assert "60×40 → 120×80" in out
    with Image.open(tmp_path / "old.auto.jpg") as image:
        assert (image.size, image.mode) == ((120, 80), "RGB")


def test_several_photos_may_follow_as_a_shell_expands_them(
    run: Run, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes())
    code, out, _ = run(
        "infer", "--task", "denoise", "--input", photo, other, "--output", tmp_path / "out"
    )
    assert code == 0
    assert len(out.splitlines()) == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "other.denoise.png",
        "photo.denoise.png",
    ]


def test_json_lines_are_all_there_is_on_stdout(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_text("no picture")
    Image.new("RGB", (20, 20)).save(
        tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", (20, 20), "red")]
    )
    code, out, err = run(
        "infer", "--input", tmp_path, "--task", "super-resolve", "--scale", 4, "--json"
    )
    assert code == 1
    lines = [json.loads(line) for line in out.splitlines()]
    broken, moving, good = lines
    assert (broken["output"], broken["input"]) == (None, str(tmp_path / "broken.jpg"))
    assert "not an image" in broken["error"]
    assert "error" not in good
    assert good.pop("seconds") >= 0
    assert good == {
        "input": str(photo),
        "output": str(tmp_path / "photo.super-resolve.png"),
        "task": "super-resolve",
        "model": "super_resolve_x4",
        "size_in": [32, 24],
        "size_out": [128, 96],
        "reason": "enlarge ×4, as asked",
    }
    assert moving["output"] == str(tmp_path / "moving.super-resolve.png")
    assert "animated: only the first of 2 frames" in err
    assert "broken.jpg" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "denois"], "unknown task 'denois', did you mean 'denoise'?"),
        (["--model", "denoize"], "unknown model 'denoize', did you mean 'denoise'?"),
        (["--task", "denoise", "--scale", "2"], "--scale"),
        (["--task", "super-resolve", "--scale", "17"], "more than ×16"),
        (["--task", "inpaint"], "--mask"),
        (["--mask", "nowhere.png"], "nowhere.png"),
        (["--mask", "MASK"], "mask is 10x10, photo is 32x24"),
        (["--mask", "BLACK"], "the mask marks nothing (read as grey: white (above 127) = fill"),
        (["--mask", "WHITE"], "the mask marks everything, which leaves nothing to fill from"),
        (["--mask", "WHITE", "--mask-invert"], "the mask marks everything"),
        (
            ["--mask", "TURNED"],
            "turned by 90° it would fit, for photos are read upright, as their EXIF rotation says",
        ),
        (["--mask", "STROKE", "--mask-grow", "40"], "leave nothing of the photo to fill from"),
        (["--mask-invert"], "--mask-invert: there is no mask to turn round: give --mask"),
        (["--feather", "3"], "--feather"),
        (["--extend", "1,2,3"], "--extend: '1,2,3' is not L,T,R,B"),
        (["--strength", "2"], "--strength"),
        (["--precision", "fp8"], "--precision: unknown 'fp8'"),
        (["--device", "foo"], "--device: unknown device 'foo': use auto, cpu, cuda, cuda:1 or mps"),
        (["--output", "result.foo"], "result.foo"),
        (["--output", "PHOTO", "--overwrite"], "is the photo itself"),
        (["--task", "denoise", "--from-photo"], "--from-photo"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_code_2(
    run: Run, photo: Path, arguments: list[str], message: str
) -> None:
    stroke = Image.new("RGBA", (32, 24))
    stroke.paste((9, 9, 9, 255), (3, 3, 12, 12))
    masks = {
        "MASK": Image.new("L", (10, 10), 255),
        "BLACK": Image.new("L", (32, 24)),
        "WHITE": Image.new("L", (32, 24), 255),
        "TURNED": Image.new("L", (24, 32), 255),
        "STROKE": stroke,
    }
    places = {"PHOTO": photo, **{name: photo.with_name("mask.png") for name in masks}}
    next((image for name, image in masks.items() if name in arguments), masks["MASK"]).save(
        photo.with_name("mask.png")
    )
    code, out, err = run("infer", "--input", photo, *(places.get(a, a) for a in arguments))
    assert (code, out) == (2, "")
    assert message in one_line(err)
    assert sorted(p.name for p in photo.parent.iterdir()) == ["mask.png", "photo.png"]


def test_a_single_unreadable_or_missing_photo_is_code_2_and_json_says_so(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    for name in ("a.jpg", "missing.jpg"):
        code, out, err = run("infer", "--input", tmp_path / name, "--json")
        assert code == 2
        assert json.loads(out)["output"] is None
        assert json.loads(out)["error"] in one_line(err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "denois"], "did you mean 'denoise'?"),
        (["--task", "super-resolve", "--scale", "17"], "more than ×16"),
        (["--strength", "2"], "--strength"),
        (["--mask", "nowhere.png"], "nowhere.png"),
        (["--device", "foo"], "unknown device 'foo'"),
    ],
)
def test_a_request_that_is_wrong_is_an_object_for_each_input_in_json(
    run: Run, photo: Path, arguments: list[str], message: str
) -> None:
    named = [str(photo), f"{photo.parent}/"]
    code, out, err = run("infer", "--input", *named, *arguments, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 2
    assert [line["input"] for line in lines] == named
    assert all(
        line["output"] is None and line["error"] in one_line(err) and message in err
        for line in lines
    )


def test_inputs_that_stand_for_nothing_are_objects_in_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for named in (f"{tmp_path}/empty", f"{tmp_path}/*.jpg"):
        code, out, err = run("infer", "--input", named, "--json")
        assert (code, json.loads(out)["input"]) == (2, named)
        assert json.loads(out)["error"] in one_line(err)


def test_a_defect_of_ours_is_an_object_in_json_too(
    run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("img2img.inference.plan.Plan.run", broken)
    code, out, _ = run("infer", "--input", photo, "--task", "denoise", "--json")
    assert (code, json.loads(out)["error"]) == (1, "RuntimeError: out of luck")


class Terminal(io.StringIO):
    """A stream that says it is one, and keeps what is written."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """stderr as a terminal, where a moment is short and each tile takes longer."""
    from img2img.inference.pipeline import Model

    forward = Model._forward

    def slowly(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.3)
        return forward(*arguments, **named)

    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("img2img.inference.progress.sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr("img2img.inference.progress.MOMENT_S", 0.1)
    monkeypatch.setattr(Model, "_forward", slowly)
    return stream


@pytest.fixture
def long_photo(tmp_path: Path) -> Path:
    path = tmp_path / "long.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 1200, 3), np.uint8)).save(path)
    return path


def test_a_terminal_sees_the_tiles_of_a_slow_photo(
    run: Run, terminal: Terminal, long_photo: Path
) -> None:
    code, out, _ = run("infer", "--input", long_photo, "--task", "denoise")
    assert code == 0
    assert out.count("\n") == 1
    written = terminal.getvalue()
    assert all(words in written for words in ("long.png: denoise", "0/2 tiles", "1/2 tiles"))
    assert written.endswith("\x1b[2K"), "the line is gone when the photo is done"


@pytest.mark.parametrize("how", ["json", "quick", "piped"])
def test_there_is_no_progress_in_json_nor_for_a_moments_work_nor_when_piped(
    run: Run, terminal: Terminal, long_photo: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "quick":
        monkeypatch.setattr("img2img.inference.progress.MOMENT_S", 30)
    if how == "piped":
        monkeypatch.setattr(Terminal, "isatty", lambda _: False)
    assert (
        run(
            "infer",
            "--input",
            long_photo,
            "--task",
            "denoise",
            *(["--json"] if how == "json" else []),
        )[0]
        == 0
    )
    assert terminal.getvalue() == ""


def test_flags_reach_the_model(run: Run, photo: Path, tmp_path: Path) -> None:
    mask = np.zeros((24, 32), np.uint8)
    mask[8:14, 8:16] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")

    def result(name: str, *options: object) -> np.ndarray:
        out = tmp_path / f"{name}.png"
        code, _, err = run("infer", "--input", photo, "--output", out, *options)
        assert (code, err) == (0, "")
        with Image.open(out) as image:
            return np.asarray(image)

    before = np.asarray(Image.open(photo))
    np.testing.assert_array_equal(result("none", "--task", "denoise", "--strength", 0), before)
    assert (result("full", "--task", "denoise") != before).any()
    filled = result("filled", "--task", "inpaint", "--mask", tmp_path / "mask.png")
    np.testing.assert_array_equal((filled != before).any(2) & (mask == 0), False)
    turned = result("turned", "--task", "inpaint", "--mask", tmp_path / "mask.png", "--mask-invert")
    np.testing.assert_array_equal((turned != before).any(2) & (mask > 0), False)
    assert (turned != before).any(2)[mask == 0].mean() > 0.5
    wider = result(
        "wider",
        "--task",
        "inpaint",
        "--mask",
        tmp_path / "mask.png",
        "--mask-grow",
        2,
        "--feather",
        2,
    )
    assert (wider != before).any(2).sum() > (filled != before).any(2).sum()
    assert result("larger", "--task", "inpaint", "--extend", "8,0,0,4").shape == (28, 40, 3)
    drawn = [
        result(f"drawn{n}", "--task", "translate", *flags)
        for n, flags in enumerate(([], ["--from-photo"]))
    ]
    assert (drawn[0] != drawn[1]).any()


def test_results_are_kept_unless_told_otherwise(run: Run, photo: Path) -> None:
    assert run("infer", "--input", photo, "--task", "denoise")[0] == 0
    code, _, err = run("infer", "--input", photo, "--task", "denoise")
    assert code == 2
    assert "--overwrite" in one_line(err)
    assert run("infer", "--input", photo, "--task", "denoise", "--overwrite")[0] == 0


# --- generate

CLASSES = {"kind": "generate", "size_px": 28, "channels": 1, "latent": 8, "labels": 3}


def test_pictures_are_made_from_noise(
    run: Run, noise_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = noise_model(CLASSES, class_names=("Bag", "Coat", "Shirt"))
    code, out, err = run("generate", "--model", model)
    assert (code, out, err) == (
        0,
        f"made → {tmp_path / 'made.generate.png'}: 64 made from noise\n",
        "",
    )
    with Image.open(tmp_path / "made.generate.png") as image:
        assert image.size == (3 * 30, 22 * 30), "a class a column"
    asked = ("generate", "--model", model, "--n", 5, "--seed", 3, "--label", "coat")
    code, out, _ = run(*asked, "--output", tmp_path / "coats", "--grid", tmp_path / "coats.png")
    assert code == 0 and out.count("\n") == 1
    assert len(list((tmp_path / "coats").glob("*.png"))) == 5
    assert run(*asked, "--output", tmp_path / "coats.npy")[0] == 0
    array = np.load(tmp_path / "coats.npy")
    assert array.shape == (5, 28, 28, 1)
    with Image.open(tmp_path / "coats" / "00002.png") as image:
        np.testing.assert_array_equal(np.asarray(image.convert("L")), array[2, ..., 0])
    assert not (tmp_path / "coats.generate.png").exists(), (
        "no grid where something else is asked for"
    )


def test_walks_and_sums_are_written_as_the_issue_spells_them(
    run: Run, noise_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = noise_model(CLASSES)
    for number, sums in enumerate((["12", "-", "3,4", "+", "7"], ["12 - 3,4 + 7"], ["12-3,4+7"])):
        assert (
            run(
                "generate",
                "--model",
                model,
                "--output",
                tmp_path / f"{number}.npy",
                "--arithmetic",
                *sums,
            )[0]
            == 0
        )
        np.testing.assert_array_equal(
            np.load(tmp_path / f"{number}.npy"), np.load(tmp_path / "0.npy")
        )
    assert np.load(tmp_path / "0.npy").shape[0] == 4, "the operands, and last the sum"
    walk = ("--interpolate", 3, 7, "--n", 10, "--output", tmp_path / "walk.npy")
    assert run("generate", "--model", model, *walk)[0] == 0
    assert np.load(tmp_path / "walk.npy").shape[0] == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "Cat"], "--label: unknown class 'Cat', did you mean 'Coat'?"),
        (["--label", "3"], "unknown class '3'"),
        (["--n", "0"], "--n: 0"),
        (["--arithmetic", "1", "-", "x"], "--arithmetic: '1 - x'"),
        (["--interpolate", "1"], "--interpolate"),
        (["--code", "0"], "no continuous codes"),
        (["--grid", "grid.foo"], "grid.foo"),
        (["--output", "all.png"], "--output: 'all.png' is one file"),
        (["--device", "foo"], "unknown device 'foo'"),
        (["astray"], "'astray' belongs to no option"),
        (["--model", "denoise"], "changes photos and makes none from noise: use img2img infer"),
        (["--model", "denoize"], "did you mean 'denoise'?"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_line_and_code_2(
    run: Run, noise_model: Callable[..., Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    model = noise_model(CLASSES, class_names=("Bag", "Coat", "Shirt"))
    code, out, err = run("generate", "--model", model, *arguments)
    assert (code, out) == (2, "")
    assert message in one_line(err)
    assert [p.name for p in tmp_path.iterdir()] == ["made.safetensors"]


def test_photos_and_noise_are_not_mixed_up(
    run: Run, noise_model: Callable[..., Path], photo: Path, tmp_path: Path
) -> None:
    model = noise_model(CLASSES)
    code, _, err = run("infer", "--input", photo, "--model", model)
    assert (code, one_line(err)) == (
        2,
        f"error: --model: '{model}' makes pictures from noise, not from photos: "
        f"use img2img generate --model {model}\n",
    )
    code, _, err = run("infer", "--input", photo, "--task", "generate")
    assert code == 2 and "use img2img generate" in one_line(err)
    code, _, err = run("infer", "--input", photo, "--scale", 17)
    assert code == 2 and "more than ×16" in one_line(err)
    code, card, _ = run("models", model)
    assert code == 0 and "makes 28 px from noise" in card


# --- train

SHORT = ("train.steps=2", "train.batch_size=1", "data.crop_px=16", "data.workers=0")


def test_training_says_where_the_run_lies_and_how_to_use_it(
    run: Run, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    code, stdout, _ = run("train", "denoise_tiny", *SHORT, "--out", out, "--device", "cpu")
    assert code == 0
    first, summary, use = stdout.splitlines()
    assert first == f"run folder: {out}"
    assert summary.startswith("2 steps in ")
    assert "psnr_db" in summary
    assert use == f"use it: img2img infer --input PHOTO --model {out}"
    assert run("infer", "--input", photo, "--model", out)[0] == 0
    assert photo.with_name("photo.denoise.png").is_file()
    code, _, err = run("train", "denoise_tiny", *SHORT, "--out", out)
    assert code == 2
    assert "--resume" in one_line(err)
    assert (
        run("train", recipes_dir() / "denoise_tiny.yaml", *SHORT, "--out", out, "--resume")[0] == 0
    )
    assert '"resumed_from_step": 2' in (out / "log.jsonl").read_text()


def write_idx(folder: Path, count: int = 24) -> None:
    """Noise as MNIST comes, ten classes in turn."""
    folder.mkdir()
    arrays = {"images-idx3": (count, 28, 28), "labels-idx1": (count,)}
    for what, shape in arrays.items():
        header = bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes()
        values = (
            np.random.default_rng(0).integers(0, 256, shape)
            if len(shape) > 1
            else np.arange(count) % 10
        )
        (folder / f"train-{what}-ubyte").write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.mark.parametrize("recipe", ["fashion_mnist", "infogan", "dcgan"])
def test_the_recipes_from_noise_train_on_small_data(
    run: Run, recipe: str, photo_folder: Path, tmp_path: Path
) -> None:
    write_idx(tmp_path / "fashion")
    data = photo_folder if recipe == "dcgan" else tmp_path / "fashion"
    small = ("generator.width=4", "discriminator.width=4", "train.steps=2", "train.batch_size=4")
    out = tmp_path / "run"
    code, stdout, err = run(
        "train", recipe, *small, f"data.path={data}", "--out", out, "--device", "cpu"
    )
    assert code == 0, err
    assert stdout.splitlines()[-1] == f"use it: img2img generate --model {out}"
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert last["summary"] and last["sliced_wasserstein"] >= 0
    flags = {"fashion_mnist": ("--label", "ankle boot"), "infogan": ("--code", 1), "dcgan": ()}[
        recipe
    ]
    assert run("generate", "--model", out, "--n", 20, *flags)[0] == 0
    assert (tmp_path / "run.generate.png").is_file()
    if recipe == "fashion_mnist":
        assert "T-shirt/top, Trouser" in run("models", out)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fashion_mnist", "task.labels=3", "data.path=FASHION"], "task.labels is 3, and '"),
        (["fashion_mnist", "data.path=mnist:RUN"], "no files of MNIST in"),
        (["denoise_tony"], "no recipe 'denoise_tony', did you mean 'denoise_tiny'?"),
        (["denoise_tiny", "train.stpes=3"], "train.stpes: unknown key, did you mean 'steps'?"),
        (["denoise_tiny", "train.steps=many"], "train.steps"),
        (["denoise_tiny", "steps"], "key.path=value"),
        (["denoise_tiny", "data.path=nowhere", "--out", "RUN"], "nowhere' does not exist"),
        (["denoise_tiny", "--device", "foo"], "unknown device 'foo'"),
        (
            ["denoise_tiny", "task.jpeg_share=0.7", "task.poisson_share=0.6"],
            "jpeg_share 0.7 + poisson_share 0.6",
        ),
    ],
)
def test_a_broken_recipe_is_one_line_and_code_2(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_idx(tmp_path / "fashion")
    places = {"RUN": str(tmp_path / "run"), "FASHION": str(tmp_path / "fashion")}
    for name, place in places.items():
        arguments = [a.replace(name, place) for a in arguments]
    code, _, err = run("train", *arguments)
    assert code == 2
    assert message in one_line(err)


def test_ctrl_c_is_told_in_a_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("img2img.about.models_table", interrupted)
    assert run("models") == (1, "", "error: interrupted\n")


def test_an_interrupted_run_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(error: Exception) -> Callable[..., None]:
        def training(*_: object, **__: object) -> None:
            raise error

        return training

    monkeypatch.setattr("img2img.training.train", stops(Interrupted(7)))
    code, _, err = run(
        "train", "denoise_tiny", "train.steps=9", "--out", "my run", "--device", "cpu"
    )
    assert code == 1
    again = "img2img train denoise_tiny train.steps=9 --out 'my run' --resume --device cpu"
    assert one_line(err) == f"error: stopped at step 7, everything is saved. Go on with: {again}\n"
    monkeypatch.setattr("img2img.training.train", stops(TrainingError("step 3: loss is NaN")))
    code, _, err = run("train", "denoise_tiny")
    assert (code, err) == (1, "error: step 3: loss is NaN\n")


# --- the rest


def test_models_are_listed_and_shown(run: Run, tiny_model: Callable[[str], Path]) -> None:
    code, out, _ = run("models")
    assert code == 0
    for name in (
        "denoise",
        "super_resolve_x2",
        "super_resolve_x4",
        "colorize",
        "inpaint",
        "edges2clothes",
    ):
        assert f"\n{name} " in out
    assert "super-resolve ×4" in out
    for name in ("denoise", tiny_model("denoise")):
        code, card, _ = run("models", name)
        assert code == 0
        assert "tile overlap  24 px" in card
        for part in ("data terms", "metrics", "limits", "kind: restorer"):
            assert part in card
    code, _, err = run("models", "denois")
    assert code == 2
    assert "did you mean 'denoise'" in one_line(err)


def test_recipes_are_listed_and_printed(run: Run) -> None:
    code, out, _ = run("recipes")
    assert code == 0
    shipped = sorted(path.stem for path in recipes_dir().glob("*.yaml"))
    assert [line.split()[0] for line in out.splitlines()] == shipped
    assert all(len(line.split()) > 3 for line in out.splitlines())
    code, text, _ = run("recipes", "denoise_tiny")
    assert code == 0
    assert text == (recipes_dir() / "denoise_tiny.yaml").read_text()
    assert yaml.safe_load(text)["name"] == "denoise_tiny"
    assert run("recipes", "nope")[0] == 2


def test_schema_is_json(run: Run) -> None:
    code, out, _ = run("schema")
    assert code == 0
    assert {
        "name",
        "seed",
        "task",
        "data",
        "generator",
        "discriminator",
        "adversarial",
        "losses",
        "train",
    } <= set(json.loads(out)["properties"])


@pytest.mark.parametrize("verb", ["env", "doctor"])
def test_env_and_doctor_without_a_run_say_what_the_machine_can_do(run: Run, verb: str) -> None:
    code, out, _ = run(verb)
    assert code == 0
    for word in (
        "img2img",
        "torch",
        "device",
        "precision",
        "stlpips_vgg",
        "lpips_alex",
        "EfficientNet-Lite0",
        "denoise",
    ):
        assert word in out
    code, out, _ = run(verb, "--json")
    facts = json.loads(out)
    assert code == 0 and facts["img2img"] == __version__ and "denoise" in facts["models"]


@pytest.fixture
def sick_run(tmp_path: Path) -> Path:
    """A run whose log shows a discriminator that has won, as its training left it."""
    folder = tmp_path / "my run"
    folder.mkdir()
    recipe = Recipe.load("translate_tiny", ["train.steps=200"])
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    rows = [
        {"step": step, "d_accuracy": 1.0, "d_loss": 1e-7, "g_signal": 0.1, "d_grad_norm": 1.0}
        for step in range(10, 201, 10)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_doctor_gives_the_verdict_on_a_run(run: Run, sick_run: Path) -> None:
    code, out, err = run("doctor", str(sick_run))
    assert (code, err) == (0, "")
    verdict, finding = out.splitlines()
    assert verdict == "In trouble: discriminator winning (severe)."
    assert finding.startswith("discriminator winning (severe): D tells 100.0% of the pairs apart")
    assert finding.endswith("Lower adversarial.lr: set adversarial.lr=0.00025")
    assert sorted(path.name for path in sick_run.iterdir()) == ["log.jsonl", "recipe.yaml"]
    code, out, _ = run("doctor", str(sick_run), "--json")
    told = json.loads(out)
    assert (code, told["verdict"], told["step"], told["steps"]) == (0, verdict, 200, 200)
    (found,) = told["findings"]
    assert found["overrides"] == ["adversarial.lr=0.00025"]
    assert (
        finding
        == f"{found['diagnosis']} ({found['severity']}): {found['numbers']}. " + (found["advice"])
    )


def test_doctor_says_what_report_says(run: Run, sick_run: Path) -> None:
    (sick_run / "log.jsonl").write_text('{"step": 5, "l1": 0.1}\n')
    code, out, _ = run("doctor", str(sick_run))
    assert (code, out) == (0, "Too early to tell: nothing was validated yet.\n")
    assert "Too early to tell" in run("report", str(sick_run))[1]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_doctor_of_what_is_no_run_names_the_file(
    run: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        code, out, err = run("doctor", str(place), *options)
        assert (code, out) == (2, "")
        assert one_line(err) == f"error: '{place}' is no run: it has no log.jsonl\n"


def test_evaluation_is_reached(run: Run, tmp_path: Path, photos: list[np.ndarray]) -> None:
    (tmp_path / "data").mkdir()
    Image.fromarray(photos[0]).save(tmp_path / "data" / "a.png")
    arguments = ("eval", "--task", "denoise", "--data", tmp_path / "data", "--device", "cpu")
    code, out, _ = run(*arguments, "--json", "--out", tmp_path / "report")
    assert code == 0
    assert json.loads(out)["task"] == "denoise"
    assert (tmp_path / "report").is_dir()
    code, _, err = run("eval", "--task", "denois", "--data", tmp_path)
    assert code == 2
    assert "did you mean 'denoise'" in one_line(err)


# --- terminals and file names of any kind


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_character_ends_a_job_on_any_terminal(tmp_path: Path, encoding: str) -> None:
    names = ["plain.png", "写真–→.png", os.fsdecode(b"not utf-8 \xe9.png")]
    for name in names:
        Image.fromarray(np.zeros((1200, 1200, 3), np.uint8)).save(tmp_path / name, "PNG")
    code = """
import sys
from img2img.cli import main
assert main(sys.argv[1:]) == 0
print()
sys.exit(main([*sys.argv[1:], "--json"]))
"""
    words = ["infer", "--input", str(tmp_path), "--output", str(tmp_path / "out")]
    words += ["--task", "super-resolve", "--scale", "2", "--plan"]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    told, as_json = (part.splitlines() for part in done.stdout.decode(encoding).split("\n\n"))
    assert len(told) == len(as_json) == 3
    inputs = {json.loads(line)["input"] for line in as_json}
    assert inputs == {str(tmp_path / name) for name in names}
    if encoding == "ascii":
        assert any("plain.png -> " in line for line in told)
        assert all("1200x1200 -> 2400x2400" in line for line in told)


def test_a_plan_is_told_and_nothing_is_written(zoo: Path, run: Run, photo: Path) -> None:
    code, stdout, _ = run("infer", "--input", photo, "--task", "denoise", "--plan")
    assert code == 0
    assert (
        f"{photo} → {photo.with_name('photo.denoise.png')}: denoise, as asked (planned)" in stdout
    )
    assert list(photo.parent.glob("photo.*")) == [photo]
    code, stdout, _ = run("infer", "--input", photo, "--plan", "--json")
    assert json.loads(stdout)["steps"] is not None
    code, line, _ = run("infer", "--input", photo, "--plan", "--detail", "0.5")
    code, stdout, _ = run("infer", "--input", photo, "--plan", "--detail", "0.5", "--json")
    assert (reason := json.loads(stdout)["reason"]) in line
    assert "; --detail 0.5 left out: no step has a crisper half to mix with" in reason
    assert (
        run("infer", "--input", photo, "--task", "denoise", "--format", "jpg", "--quality", "70")[0]
        == 0
    )
    assert photo.with_name("photo.denoise.jpg").exists()
    assert run("infer", "--input", photo, "--quality", "500")[0] == 2


def test_files_passed_over_are_told(
    zoo: Path, run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("img2img.pixels.file_kind.find_spec", lambda name: None)
    (photo.parent / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    code, _, stderr = run("infer", "--input", photo.parent, "--plan")
    assert code == 0
    assert "passed over: 1 HEIC (pip install 'img2img[formats]' opens them)" in stderr
    photo.unlink()
    code, _, stderr = run("infer", "--input", photo.parent)
    assert code == 2
    assert "it holds 1 HEIC (pip install" in one_line(stderr)


def test_a_name_longer_than_the_system_takes_is_one_line(run: Run) -> None:
    for flags in (["--input", "x" * 300 + ".png"], ["--input", "a.png", "--model", "m" * 300]):
        code, _, stderr = run("infer", *flags)
        assert code == 2
        one_line(stderr)


# --- a run's folder and its recipe, refused in one line before anything is loaded


@pytest.mark.parametrize(
    "place", ["a_file", "a_file/inside", "a_file/deep/inside", "/proc/run", "n" * 300]
)
def test_a_run_cannot_go_where_nothing_can_be_written(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a_file").write_text("mine")
    assert main(["train", "denoise_tiny", *SHORT, "--out", place, "--device", "cpu"]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: --out: ") and "\n" not in error and "Error" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["a_file"] and Path(
        "a_file"
    ).read_text() == "mine"


@pytest.mark.parametrize(
    "override",
    [
        "train.betas=[0.5, 1.5]",
        "train.lr=.inf",
        "train.lr=true",
        "train.warmup_steps=900",
        "seed=1e30",
    ],
)
def test_a_wrong_number_is_one_line_without_pythons_names(
    override: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["train", "denoise_tiny", override, "--out", str(tmp_path / "run"), "--device", "cpu"])
        == 2
    )
    error = capsys.readouterr().err.strip()
    assert override.partition("=")[0] in error and "\n" not in error and "Error" not in error
    assert not (tmp_path / "run").exists()


def test_the_crop_advised_for_small_photos_is_one_that_the_recipe_takes(
    photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The smallest photo is 90 px, and the U-Net needs a multiple of 64."""
    (photo_folder / "photo_0.png").unlink()
    Image.fromarray(np.full((90, 200, 3), 90, np.uint8)).save(photo_folder / "small.png")
    base = [
        "train",
        "translate_tiny",
        f"data.path={photo_folder}",
        *(s for s in SHORT if "crop" not in s),
    ]
    base += ["data.resize_px=null", "data.validation_share=0.5"]
    assert main([*base, "data.crop_px=128", "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    advice = re.search(r"set (data\.crop_px=\d+)", capsys.readouterr().err)
    assert advice and advice[1] == "data.crop_px=64"
    assert main([*base, advice[1], "--out", str(tmp_path / "again"), "--device", "cpu"]) == 0


@pytest.mark.parametrize(("rank", "times"), [(None, 1), ("0", 1), ("1", 0)])
def test_of_several_processes_the_first_alone_warns(
    rank: str | None,
    times: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    for number in range(5):
        Image.new("RGB", (80, 80)).save(tmp_path / f"{number}.png")
    (tmp_path / "5.png").write_bytes(b"")
    out = tmp_path / "run"
    assert (
        main(
            [
                "train",
                "denoise_tiny",
                f"data.path={tmp_path}",
                "train.init=none_such",
                "--out",
                str(out),
            ]
        )
        == 2
    )
    said = capsys.readouterr().err
    assert (said.count("left out: "), said.count("error: ")) == (times, 1)
