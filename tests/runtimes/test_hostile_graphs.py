"""ONNX files nobody should run: refused in one line, without a look at other files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2img.cli import main
from img2img.errors import UserError
from img2img.export.exporting import export_model
from img2img.runtimes.onnx_file import METADATA_KEY, is_our_graph, read_onnx
from img2img.zoo.catalogue import CATALOGUE

onnx = pytest.importorskip("onnx", reason="pip install 'img2img[export]'")
pytest.importorskip("onnxruntime", reason="pip install 'img2img[export]'")


@pytest.fixture(scope="module")
def written(tiny_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A graph of ours."""
    place = tmp_path_factory.mktemp("graph") / "a.onnx"
    export_model(tiny_zoo / "denoise.safetensors", "onnx", place)
    return place.read_bytes()


def _external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../etc/passwd"


def _external_in_an_attribute(model: Any) -> None:
    constant = onnx.helper.make_node("Constant", [], ["secret"])
    attribute = constant.attribute.add()
    attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR
    attribute.t.data_type, attribute.t.data_location = 1, onnx.TensorProto.EXTERNAL
    entry = attribute.t.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    model.graph.node.append(constant)


def _external_in_a_branch(model: Any) -> None:
    tensor = onnx.TensorProto(name="x", data_type=1, dims=[4])
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    inner = onnx.GraphProto(name="inner", initializer=[tensor])
    node = onnx.helper.make_node("If", ["input"], ["y"])
    attribute = node.attribute.add()
    attribute.name, attribute.type = "then_branch", onnx.AttributeProto.GRAPH
    attribute.g.CopyFrom(inner)
    model.graph.node.append(node)


def _huge(model: Any) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([2**31, 2**31])


def _operators_of_others(model: Any) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("evil.domain", 1))


def _functions(model: Any) -> None:
    model.functions.add().name = "f"


def _bad_json(model: Any) -> None:
    model.metadata_props[0].value = '"format": "img2img-graph/ {'


def _another_version(model: Any) -> None:
    model.metadata_props[0].value = '{"format": "img2img-graph/9"}'


def _no_recipe(model: Any) -> None:
    model.metadata_props[0].value = '{"format": "img2img-graph/1", "card": {}}'


def _code_in_the_recipe(model: Any) -> None:
    model.metadata_props[0].value = model.metadata_props[0].value.replace(
        '"kind": "denoise"', '"kind": "os:system"'
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_external, "its numbers lie in another file"),
        (_external_in_an_attribute, "its numbers lie in another file"),
        (_external_in_a_branch, "its numbers lie in another file"),
        (_huge, "numbers holds"),
        (_operators_of_others, "operators beyond"),
        (_functions, "it defines functions"),
        (_bad_json, "broken metadata"),
        (_another_version, "is of format img2img-graph/9"),
        (_no_recipe, "broken metadata"),
        (_code_in_the_recipe, "os:system"),
    ],
)
def test_a_graph_that_asks_for_more_is_refused(
    written: bytes, tmp_path: Path, change: Callable[[Any], None], said: str
) -> None:
    model, place = onnx.load_model_from_string(written), tmp_path / "a.onnx"
    change(model)
    place.write_bytes(model.SerializeToString())
    assert is_our_graph(place)
    with pytest.raises(UserError, match=said) as refused:
        CATALOGUE.entry(place)
    assert "\n" not in str(refused.value)


def test_cut_and_random_files_are_refused(written: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cut = [written[: len(written) * part // 7] for part in range(7)]
    flipped = [bytearray(written) for _ in range(8)]
    for content in flipped:
        for position in rng.integers(0, len(content), 40):
            content[position] = int(rng.integers(256))
    noise = [rng.bytes(n) for n in (0, 1, 3, 1000)]
    for number, content in enumerate([*cut, *noise, b"\x08\x08\x12" + rng.bytes(500), *flipped]):
        place = tmp_path / f"{number}.onnx"
        place.write_bytes(content)
        if number > 11:  # damage may lie in the weights alone
            with suppress(UserError):
                read_onnx(place)
            continue
        with pytest.raises(UserError) as refused:
            read_onnx(place)
        assert "\n" not in str(refused.value)


def test_a_graph_of_others_is_refused_in_one_line(
    written: bytes, tmp_path: Path, photo_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    model, place = onnx.load_model_from_string(written), tmp_path / "theirs.onnx"
    assert model.metadata_props[0].key == METADATA_KEY
    del model.metadata_props[:]
    place.write_bytes(model.SerializeToString())
    photo = str(photo_folder / "photo_0.png")
    assert main(["infer", "--input", photo, "--model", str(place)]) == 2
    error = capsys.readouterr().err
    assert "ONNX graph" in error and error.count("\n") == 1
