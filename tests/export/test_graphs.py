"""Graphs for other programs: inputs, sizes, metadata, parity with PyTorch, the Pipeline on them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from img2img.cli import main
from img2img.errors import UserError
from img2img.export.exporting import export_model
from img2img.export.parity import check_parity
from img2img.inference.options import Options
from img2img.inference.pipeline import load
from img2img.pixels.images import from_array
from img2img.runtimes.graph import GraphSource
from img2img.runtimes.onnx_file import METADATA_KEY
from img2img.zoo.catalogue import CATALOGUE
from tests.conftest import save_tiny

onnx = pytest.importorskip("onnx", reason="pip install 'img2img[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'img2img[export]'")

TinyModel = Callable[[str], Path]


def exported(model: Path, place: Path, format: str = "onnx", **options: Any) -> Path:
    export_model(model, format, place, **options)
    return place


def opened(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("name", "inputs", "scale"),
    [
        ("denoise", ["input"], 1),
        ("super_resolve_x2", ["input"], 2),
        ("super_resolve_x4", ["input"], 4),
        ("colorize", ["input"], 1),
        ("inpaint", ["input", "mask"], 1),
        ("edges2clothes", ["input"], 1),
    ],
)
def test_other_programs_find_named_inputs_of_any_size(
    tiny_model: TinyModel, tmp_path: Path, name: str, inputs: list[str], scale: int
) -> None:
    path = exported(tiny_model(name), tmp_path / "a.onnx")
    session, model = opened(path), onnx.load(str(path), load_external_data=False)
    onnx.checker.check_model(model)
    assert [given.name for given in session.get_inputs()] == inputs
    assert [out.name for out in session.get_outputs()] == ["output"]
    assert session.get_inputs()[0].shape[:2] == [1, 3]
    assert all(isinstance(side, str) for side in session.get_inputs()[0].shape[2:])
    assert 17 <= max(opset.version for opset in model.opset_import) <= 20
    metadata = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    entry = CATALOGUE.entry(tiny_model(name))
    assert metadata["recipe"] == entry.recipe.fields()
    assert metadata["card"] == entry.card.model_dump(mode="json")
    assert metadata["terms"] == "unknown"
    for height, width in ((64, 64), (57, 81)):
        given = {"input": np.full((1, 3, height, width), 0.5, np.float32)}
        if "mask" in inputs:
            given["mask"] = np.zeros((1, 1, height, width), np.float32)
        (out,) = session.run(None, given)
        assert out.shape == (1, 3, height * scale, width * scale)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("name", ["denoise", "super_resolve_x2", "colorize", "inpaint"])
def test_a_graph_in_the_pipeline_gives_the_pictures_of_its_model(
    tiny_model: TinyModel,
    tmp_path: Path,
    photos: list[np.ndarray],
    name: str,
    runtime: Any,
) -> None:
    pytest.importorskip(runtime if runtime == "openvino" else "onnxruntime")
    path = exported(tiny_model(name), tmp_path / "a.onnx")
    photo = from_array(photos[0][:83, :71].astype(np.uint16) * 257)
    hole = np.zeros((83, 71), bool)
    hole[20:40, 10:50] = True
    mask = hole if name == "inpaint" else None
    torch_model = load(tiny_model(name), device="cpu", precision="fp32")
    # Of colors that the graph has clipped, how far beyond they were is no longer known.
    strengths = (1.0,) if name == "colorize" else (1.0, 0.5)
    for options in (Options(strength=strength) for strength in strengths):
        true = torch_model.run(photo, mask, options)
        graph = load(path, backend=runtime).run(photo, mask, options)
        at_once = load(tiny_model(name), backend=runtime).run(photo, mask, options)
        for found in (graph, at_once):
            assert found.rgb.dtype == np.uint16 and found.size == true.size
            off = np.abs(found.rgb.astype(int) - true.rgb).max()
            assert off <= 257, f"{off} of 65535 at strength {options.strength}"
    if mask is not None:
        assert (graph.rgb[~hole] == photo.rgb[~hole]).all()


def test_a_large_photo_goes_through_a_graph_in_tiles_that_can_cancel(
    tiny_model: TinyModel, tmp_path: Path, photos: list[np.ndarray]
) -> None:
    path = exported(tiny_model("denoise"), tmp_path / "a.onnx")
    photo = from_array(np.tile(photos[0], (1, 12, 1)))
    seen: list[int] = []
    found = load(path).run(photo, on_tile=seen.append)
    true = load(tiny_model("denoise"), device="cpu", precision="fp32").run(photo)
    assert len(seen) > 1
    assert np.abs(found.rgb.astype(int) - true.rgb).max() <= 1

    def cancels(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(path).run(photo, on_tile=cancels)


def test_the_command_line_runs_what_it_wrote(
    zoo: Path, tmp_path: Path, photo_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    graph, photo = str(tmp_path / "a.onnx"), str(photo_folder / "photo_0.png")
    with warnings.catch_warnings():
        assert main(["export", "--model", "denoise", "--format", "onnx", "--output", graph]) == 0
    assert "differs from PyTorch by at most" in capsys.readouterr().out
    out = ["--output", str(tmp_path / "b.png")]
    assert main(["infer", "--input", photo, "--model", graph, *out]) == 0
    assert main(["models", graph]) == 0
    for options, said in (
        (["--backend", "torch"], "use onnx or openvino"),
        (["--backend", "onx"], "did you mean 'onnx'?"),
        (["--precision", "bf16"], "graphs run in fp32"),
        (["--detail", "0.5"], "no crisper or plainer half"),
    ):
        capsys.readouterr()
        again = ["infer", "--input", photo, "--model", graph, *out, "--overwrite", *options]
        assert main(again) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert main(["export", "--model", graph, "--format", "onnx", "--output", graph]) == 2
    assert "was exported already" in capsys.readouterr().err


def test_an_operation_that_onnx_lacks_is_refused_without_a_word_more(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = {"kind": "gated", "width": 8, "fourier_blocks": 1}
    model = save_tiny(tmp_path / "fourier.safetensors", {"kind": "inpaint"}, network)
    with pytest.raises(UserError, match="'fourier' cannot be written as ONNX") as refused:
        export_model(model, "onnx", tmp_path / "a.onnx")
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().out == ""
    assert not (tmp_path / "a.onnx").exists()


def test_what_differs_is_not_written(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = CATALOGUE.entry(tiny_model("denoise"))
    source = GraphSource("denoise", entry.recipe, entry.card, entry.load_generator())

    def off(inputs: Any, by: float = 0.005) -> np.ndarray:
        graph = source.generator
        x = torch.from_numpy(inputs["input"])
        with torch.no_grad():
            from img2img.tasks.forward import predict_rgb

            return (
                predict_rgb(source.task, graph, entry.recipe.generator.multiple_of, x).numpy() + by
            )

    assert check_parity(source, lambda inputs: off(inputs, 0.001), "it") == pytest.approx(
        0.001, abs=1e-5
    )
    with pytest.raises(UserError, match=r"differs from PyTorch by 1\.2[78]/255"):
        check_parity(source, off, "it")
    with pytest.raises(UserError, match="its sizes are fixed"):
        check_parity(source, lambda inputs: np.zeros((1, 3, 8, 8), np.float32), "it")
    with pytest.raises(UserError, match="differs"):
        check_parity(source, lambda inputs: off(inputs, float("nan")), "it")
    monkeypatch.setattr("img2img.export.graphs.session_of", lambda content, runtime: off)
    with pytest.raises(UserError, match="nothing was written"):
        export_model(tiny_model("denoise"), "onnx", tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_torchscript_runs_without_img2img(
    tiny_model: TinyModel, tmp_path: Path, photos: list[np.ndarray]
) -> None:
    path = exported(tiny_model("super_resolve_x2"), tmp_path / "a.pt", "torchscript")
    found = {f"{METADATA_KEY}.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.jit.load(str(path), _extra_files=found)
    x = torch.from_numpy(photos[1][:33, :47].transpose(2, 0, 1).copy())[None] / 255
    assert graph(x).shape == (1, 3, 66, 94)
    assert "recipe" in json.loads(found[f"{METADATA_KEY}.json"])


def test_openvino_writes_two_files_with_metadata(tiny_model: TinyModel, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="pip install 'img2img[export]'")
    path = exported(tiny_model("inpaint"), tmp_path / "a.xml", "openvino")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.bin", "a.xml"]
    model = openvino.Core().read_model(path)
    assert [next(iter(given.names)) for given in model.inputs] == ["input", "mask"]
    assert "card" in json.loads(model.get_rt_info(METADATA_KEY).astype(str))


def test_eight_bits_say_what_they_cost(tiny_model: TinyModel, tmp_path: Path) -> None:
    place = tmp_path / "a.onnx"
    _, note = export_model(tiny_model("denoise"), "onnx", place, int8=True)
    assert "dB" in note and "costs" in note
    kinds = {node.op_type for node in onnx.load(str(place)).graph.node}
    assert "QuantizeLinear" in kinds
    load(place)  # its metadata is still there
    with pytest.raises(UserError, match="int8"):
        export_model(tiny_model("denoise"), "torchscript", tmp_path / "a.pt", int8=True)


def test_auto_takes_the_fastest_and_torch_stays_the_default(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def seconds(model: Any) -> float:
        tried.append(getattr(model.generator, "runtime", "torch"))
        return {"torch": 2.0, "onnx": 1.0}.get(tried[-1], 3.0)

    monkeypatch.setattr("img2img.inference.pipeline.seconds_of_a_tile", seconds)
    assert not hasattr(load(tiny_model("denoise"), device="cpu").generator, "runtime")
    assert tried == []
    fastest = load(tiny_model("denoise"), device="cpu", backend="auto")
    assert fastest.generator.runtime == "onnx"
    assert tried[:2] == ["torch", "onnx"]
