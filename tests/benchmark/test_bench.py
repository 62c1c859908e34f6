"""`img2img bench`: every field is there, what cannot be measured is said, and memory is that of a
process alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from img2img.benchmark import inference_speed
from img2img.benchmark.ceiling import Ceiling, Rate
from img2img.benchmark.flops import count_flops
from img2img.benchmark.fresh_process import MeasurementFailed, in_fresh_process
from img2img.benchmark.inference_speed import (
    InferenceSpeed,
    PhotoSpeed,
    measure_inference,
    photo_speed,
    reference_speed,
)
from img2img.benchmark.machine import Machine
from img2img.benchmark.timing import Effort, Timing
from img2img.cli import main
from img2img.inference.pipeline import load
from img2img.memory import peak_mb, reset_peak
from img2img.zoo.catalogue import CATALOGUE

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.slow
def test_every_field_of_a_small_run(
    tiny_model: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without runtimes, each of which takes a process of its own."""
    monkeypatch.setattr(inference_speed, "installed_runtimes", list)
    assert main(["bench", "--quick", "--json", "--model", str(tiny_model("denoise"))]) == 0
    found = json.loads(capsys.readouterr().out)
    parts = ["machine", "ceiling", "train", "data", "io", "look", "folder", "infer"]
    assert list(found) == parts
    assert {"cpu", "cores", "threads", "amx", "avx512_bf16", "load"} <= set(found["machine"])
    train, infer = found["train"], found["infer"]["denoise"]["0.0655"]
    for name in ("ratio_to_reference", "ratio_to_reference_batch1", "share_of_ceiling"):
        assert train[name] > 0
    assert {"seconds", "spread", "repeats", "warmup"} <= set(train["batch16"]["reference"])
    assert train["memory"]["ours"]["peak_mb"] > train["memory"]["ours"]["idle_mb"] > 0
    assert list(train["by_batch"]) == ["1", "16"]
    for step in train["by_batch"].values():
        assert step["peak_mb"] > step["idle_mb"] > 0 and step["seconds"] > 0
        assert step["reference_peak_mb"] > 0 and step["reference_seconds"] > 0
    assert infer["seconds"] > 0 and infer["share_of_ceiling"] > 0
    assert infer["reference"]["seconds"] > 0 and infer["reference"]["precision"] == "fp32"
    assert infer["peak_mb"] >= infer["idle_mb"] > 0
    assert 0 < found["data"]["share_of_step"] < 1
    assert found["io"]["png_decode"]["megapixels_per_second"] > 0
    (folder,) = found["folder"].values()
    assert folder["photos"] == 2 and folder["ratio"] > 0 and folder["ratio_of_batches"] > 0
    assert 0 < folder["share_of_files"] < 1
    for looks in found["look"].values():
        (look,) = looks.values()
        assert look["seconds"] > 0 and look["work_seconds"] > 0 and "denoise" in look["tasks"]


def test_one_part_alone_is_printed_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--quick", "--what", "io"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("machine\n") and "\nio\njpeg encode  " in printed
    assert "train" not in printed and "infer" not in printed


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--model", "denois"], "error: unknown model 'denois', did you mean 'denoise'?\n"),
        (["--what", "inferr"], "error: --what: unknown 'inferr', did you mean 'infer'?\n"),
        (
            ["--what", "data", "--model", "denoise"],
            "error: --model: is for inference, and data is measured: leave --model out\n",
        ),
        (
            ["--model", "fashion_mnist"],
            "error: --model: 'fashion_mnist' makes pictures from noise, not from photos: "
            "use img2img generate --model fashion_mnist\n",
        ),
        (["--budget", "0"], "error: --budget: 0 is not above 0: give seconds, such as 60\n"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_measured(
    words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == 2
    assert capsys.readouterr() == ("", error)


@pytest.fixture
def ceiling() -> Ceiling:
    """2 GFLOP/s in fp32, and in bf16, which machines that have it take of themselves."""
    timing = Timing((1.0,))
    return Ceiling(tuple(Rate("convolution", p, "", 2 * 10**9, timing) for p in ("fp32", "bf16")))


def test_sizes_beyond_the_budget_are_left_out_and_named(
    tiny_model: Callable[[str], Path], ceiling: Ceiling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 s a megapixel, so that 12 do not fit into 60 s; a process that is killed has no numbers,
    and the sizes after it are tried.
    """
    asked: dict[object, list[float]] = {photo_speed: [], reference_speed: []}
    monkeypatch.setattr(inference_speed, "installed_runtimes", list)

    def measured(function: object, *, megapixels: float, **_: Any) -> dict[str, Any]:
        asked[function].append(megapixels)
        if megapixels == 2:
            raise MeasurementFailed("killed by signal 9: too little memory?")
        seconds = {"seconds": [10 * megapixels], "warmup": 1, "precision": "fp32"}
        memory = {"idle_mb": 100.0, "peak_mb": 300.0}
        return {**seconds, **memory, "flops": round(megapixels * 10**10)}

    monkeypatch.setattr(inference_speed, "in_fresh_process", measured)
    entries = [CATALOGUE.entry(tiny_model("denoise"))]
    speed = measure_inference(entries, (1, 2, 3, 12), ceiling, Effort(budget_s=60))
    found = speed.fields()["denoise"]
    assert asked == {photo_speed: [1, 2, 3], reference_speed: [1, 2, 3]}
    assert found["1"]["reference"]["seconds"] == 10
    assert found["1"]["seconds"] == 10 and found["3"]["peak_mb"] == 300
    assert found["1"]["share_of_ceiling"] == 0.5  # 1 of 2 GFLOP/s
    assert found["2"]["left_out"] == "killed by signal 9: too little memory?"
    assert found["12"]["left_out"] == "some 120 s are expected, more than the budget of 60 s"
    assert [row[2] for row in speed.rows()][1].startswith("left out: killed")


def test_a_size_that_memory_is_too_little_for_is_not_tried(
    tiny_model: Callable[[str], Path], ceiling: Ceiling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 GB a megapixel where 3 GB are free."""
    monkeypatch.setattr(inference_speed, "installed_runtimes", list)
    monkeypatch.setattr(
        inference_speed, "virtual_memory", lambda: SimpleNamespace(available=3 * 10**9)
    )

    def measured(function: object, *, megapixels: float, **_: Any) -> dict[str, Any]:
        memory = {"idle_mb": 500.0, "peak_mb": 500.0 + 1000 * megapixels}
        return {"seconds": [1.0], "warmup": 1, "precision": "fp32", "flops": 0, **memory}

    monkeypatch.setattr(inference_speed, "in_fresh_process", measured)
    entries = [CATALOGUE.entry(tiny_model("denoise"))]
    found = measure_inference(entries, (1, 2, 4), ceiling, Effort()).fields()["denoise"]
    assert found["2"]["peak_mb"] == found["2"]["reference"]["peak_mb"] == 2500
    left_out = "some 4,000 MB are expected, more than the 3,000 MB that are free"
    assert found["4"] == {"left_out": left_out, "reference": {"left_out": left_out}}


def test_installed_runtimes_are_measured_next_to_torch(
    tiny_model: Callable[[str], Path], ceiling: Ceiling, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(function: object, *, backend: str = "torch", **_: Any) -> dict[str, Any]:
        numbers = {"seconds": [{"torch": 2.0, "onnx": 1.0}[backend]], "warmup": 1}
        memory = {"idle_mb": 100.0, "peak_mb": 300.0}
        flops = 10**9 if backend == "torch" else 0
        return {**numbers, **memory, "precision": "fp32", "flops": flops}

    monkeypatch.setattr(inference_speed, "in_fresh_process", measured)
    monkeypatch.setattr(inference_speed, "installed_runtimes", lambda: ["onnx"])
    speed = measure_inference([CATALOGUE.entry(tiny_model("denoise"))], (1,), ceiling, Effort())
    fields = speed.fields()
    assert [fields[name]["1"]["seconds"] for name in ("denoise", "denoise@onnx")] == [2, 1]
    shares = {row[0]: row[3] for row in speed.rows()}
    assert shares["denoise"] == "25% of the ceiling" and shares["denoise@onnx"] == "-"


def test_a_model_from_noise_is_named_and_left_out(
    noise_model: Callable[..., Path], ceiling: Ceiling
) -> None:
    entry = CATALOGUE.entry(noise_model({"kind": "generate", "size_px": 32}))
    fields = measure_inference([entry], (1,), ceiling, Effort()).fields()
    assert fields == {"made": {"1": {"left_out": "it makes pictures from noise, of one size"}}}


@pytest.mark.parametrize(
    ("megapixels", "inputs"),
    [
        (1.0, [(500, 500)]),  # enlarged ×2 from 500², which is one tile
        # from 600²: four tiles of 300 px, 24 px more on each inner side
        (1.44, [(324, 324)] * 4),
    ],
)
def test_operations_of_a_photo_are_those_of_its_tiles(
    megapixels: float, inputs: list[tuple[int, int]], tiny_model: Callable[[str], Path]
) -> None:
    path = tiny_model("super_resolve_x2")
    measured = photo_speed(str(path), megapixels, warmup=1, repeats=2, budget_s=60)
    model = load(path, device="cpu")
    channels = model.task.condition_channels
    with torch.no_grad():
        by_hand = sum(
            count_flops(lambda size=size: model.generator(torch.zeros(1, channels, *size)))
            for size in inputs
        )
    assert measured["flops"] == by_hand > 0 and len(measured["seconds"]) == 2


def test_how_far_tiles_are_off_the_whole_is_told(
    tiny_model: Callable[[str], Path], ceiling: Ceiling
) -> None:
    path = tiny_model("denoise")
    measured = photo_speed(str(path), 128**2 / 1e6, warmup=0, repeats=1, budget_s=60)
    assert 0 <= measured["tile_difference"] <= 1 / 255
    speed = InferenceSpeed({"denoise": {1.0: PhotoSpeed.of(measured)}}, ceiling)
    assert speed.fields()["denoise"]["1"]["tile_difference"] == measured["tile_difference"]
    assert speed.rows()[-1][2].endswith("/255 off the whole")


def test_an_error_in_a_fresh_process_is_its_last_line() -> None:
    with pytest.raises(MeasurementFailed, match=r"^unknown model 'nosuch'"):
        in_fresh_process(
            photo_speed, model="nosuch", megapixels=1.0, warmup=0, repeats=1, budget_s=1.0
        )


@linux
def test_the_peak_is_counted_anew_after_a_reset() -> None:
    reset_peak()
    before = peak_mb()
    with mmap(-1, 128 * 2**20) as taken:  # new from the system, not freed before by this process
        taken.write(b"1" * len(taken))
        with_it = peak_mb()
        assert with_it >= before + 120
    assert peak_mb() >= before + 120
    reset_peak()
    assert peak_mb() < with_it - 100


def test_a_busy_machine_is_warned_of() -> None:
    idle = Machine("x", 2, 2, False, False, 0.1, "2.9")
    assert idle.warning is None
    busy = Machine("x", 2, 2, False, False, 1.5, "2.9")
    assert busy.warning is not None and "others keep 1.5 of 2 cores busy" in busy.warning
    assert Machine("x", 4, 2, False, False, 1.5, "2.9").warning is None  # two cores are left
    many = Machine("x", 2, 4, False, False, 0.0, "2.9")
    assert many.warning is not None and "4 threads on 2 cores" in many.warning
