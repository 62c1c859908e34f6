"""Weight files of other people: what is genuine reads as torch reads it, and what is hostile,
damaged or something else is refused in one line, for nothing, with no code run.
"""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import socket
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hostile import model_files as hostile
from hostile.model_files import StorageClaim, TensorClaim, torch_legacy, torch_zip
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from img2img.community.pickled import MAX_FILE_BYTES
from img2img.community.reading import read_state_dict
from img2img.errors import UserError

FORMS = {
    "zip": {},
    "legacy": {"_use_new_zipfile_serialization": False},
    "protocol 4": {"pickle_protocol": 4},
    "legacy, protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}


def refusal(path: Path) -> str:
    """The one line that a file is refused with."""
    with pytest.raises(UserError) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def weights() -> dict[str, torch.Tensor]:
    """Every type that weights come in, with views, shared storages, and shapes of 0 and 1."""
    base = torch.randn(4, 3, 5, 5)
    layer = nn.Conv2d(2, 3, 3)
    return {
        "conv": base,
        "channels_last": base.to(memory_format=torch.channels_last),
        "view": base[1:3, 1],
        "transposed": base[0, 0].T,
        "tied": base,
        "parameter": layer.weight,
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "double": base.double(),
        "complex": torch.complex(base, base),
        "steps": torch.tensor(7),
        "index": torch.arange(6).reshape(2, 3),
        "bytes": torch.arange(6, dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "empty": torch.empty(0, 3),
    }


def assert_same(read: dict[str, Any], expected: dict[str, torch.Tensor]) -> None:
    assert list(read) == list(expected)
    for name, value in expected.items():
        assert type(read[name]) is torch.Tensor, name
        assert read[name].dtype == value.dtype, name
        assert torch.equal(read[name], value), name
        assert read[name].is_contiguous() and not read[name].requires_grad, name


@pytest.mark.parametrize("form", FORMS)
def test_what_torch_saves_reads_as_it_was(form: str, tmp_path: Path) -> None:
    state = weights()
    torch.save(state, tmp_path / "model.pth", **FORMS[form])
    assert_same(read_state_dict(tmp_path / "model.pth"), state)


def test_safetensors_read_as_they_were(tmp_path: Path) -> None:
    state = {name: value.detach().contiguous().clone() for name, value in weights().items()}
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    read = read_state_dict(tmp_path / "model.safetensors")
    assert_same({name: read[name] for name in state}, state)


@pytest.mark.parametrize("form", FORMS)
def test_a_training_checkpoint_gives_its_tensors_alone(form: str, tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5, 9])
    checkpoint = {
        "epoch": 3,
        "best": 31.2,
        "name": "x4",
        "shape": network.weight.shape,
        "type": torch.float32,
        "params": network.state_dict(),
        "nested": {"netG": OrderedDict(w=torch.ones(2)), "none": {"left": {}}},
        "optimizer": optimizer.state_dict(),
        "schedulers": [schedule.state_dict(), Counter("aab"), {1, 2}, 1j, b"raw"],
        5: torch.ones(1),
    }
    torch.save(checkpoint, tmp_path / "10000.ckpt", **FORMS[form])
    read = read_state_dict(tmp_path / "10000.ckpt")
    assert list(read) == ["params", "nested"]
    assert_same(read["params"], network.state_dict())
    assert list(read["nested"]) == ["netG"]
    assert_same(read["nested"]["netG"], {"w": torch.ones(2)})


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".bin", ".safetensors", ".jpg", ""])
def test_the_suffix_says_nothing(suffix: str, tmp_path: Path) -> None:
    state = {"w": torch.ones(3)}
    torch.save(state, tmp_path / f"zip{suffix}")
    safetensors.torch.save_file(state, tmp_path / f"plain{suffix}")
    for name in ("zip", "plain"):
        assert_same(read_state_dict(tmp_path / f"{name}{suffix}"), state)


@pytest.mark.parametrize(
    ("package", "file"),
    [
        ("lpips", "lpips/weights/v0.1/alex.pth"),
        ("stlpips-pytorch", "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth"),
    ],
)
def test_files_in_use_read_as_torch_reads_them(package: str, file: str) -> None:
    path = Path(str(importlib.metadata.distribution(package).locate_file(file)))
    expected = torch.load(path, weights_only=True, map_location="cpu")
    assert_same(read_state_dict(path), expected)


def test_weights_of_python_2_read(tmp_path: Path) -> None:
    """It gave ordered dicts as a list of pairs, and names in bytes."""
    tensor = hostile.pickled(TensorClaim(), view=(None,))[2:-1]
    content = torch.arange(4, dtype=torch.float32).numpy().tobytes()
    value = b"\x80\x02ccollections\nOrderedDict\n](](U\x01w" + tensor + b"ee\x85R."
    path = torch_legacy(tmp_path / "old.pth", value, {"0": (4, content)})
    assert_same(read_state_dict(path), {"w": torch.arange(4.0)})


def test_a_view_into_a_storage_of_the_older_form_begins_where_it_says(tmp_path: Path) -> None:
    claim = TensorClaim((2,), (1,))
    value = hostile.pickled({"w": claim}, view=(("view", 2, 2),))
    content = torch.arange(4, dtype=torch.float32).numpy().tobytes()
    path = torch_legacy(tmp_path / "old.pth", value, {"0": (4, content)})
    assert_same(read_state_dict(path), {"w": torch.tensor([2.0, 3.0])})


@pytest.mark.parametrize("form", ["zip", "safetensors"])
def test_tensors_no_longer_depend_on_their_file(form: str, tmp_path: Path) -> None:
    """A mapped one would change with it, and end the process when it is cut short."""
    path, state = tmp_path / "x", {"w": torch.ones(100_000)}
    if form == "zip":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    read = read_state_dict(path)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert_same(read, state)


# Code


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("form", ["plain", "zip", "legacy", "machine", "keys"])
def test_a_pickle_that_runs_a_command_does_not(form: str, protocol: int, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "weights.pth"
    code = pickle.dumps({"w": hostile.runs_a_command(marker)}, protocol)
    write: dict[str, Callable[[], object]] = {
        "plain": lambda: path.write_bytes(code),
        "zip": lambda: torch_zip(path, code),
        "legacy": lambda: torch_legacy(path, code),
        "machine": lambda: torch_legacy(path, {}, machine=hostile.runs_a_command(marker)),
        "keys": lambda: torch_legacy(path, {"w": TensorClaim()}, keys=code),
    }
    write[form]()
    text = refusal(path)
    assert not marker.exists()
    if form != "plain" or protocol > 1:  # without a header a pickle is like any text
        assert "holds more than tensors (posix.system)" in text
    pickle.loads(code)  # it is a real one
    assert marker.exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.float64(3), "numpy"),
        (Path("x"), "pathlib."),
        (nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (torch.ones(2).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
        (torch.ones(2, device="meta"), "torch._utils._rebuild_meta_tensor_no_storage"),
        (torch.ones(2, dtype=torch.uint16), "torch._utils._rebuild_tensor_v3"),
        (torch.ones(2, dtype=torch.cfloat).conj(), "a conjugate view"),
    ],
)
def test_what_is_no_plain_tensor_is_named(value: Any, name: str, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1), "more": value}, tmp_path / "x.pth")
    text = refusal(tmp_path / "x.pth")
    assert f"holds more than tensors ({name}" in text
    assert "save its state dict alone, as .safetensors" in text


def test_a_name_that_would_draw_on_the_terminal_is_made_harmless(tmp_path: Path) -> None:
    text = refusal(torch_zip(tmp_path / "x.pth", b"\x80\x02c\x1b[31mevil\n" + b"y" * 5000 + b"\n."))
    assert text.isprintable() and "?[31mevil.yyy" in text
    assert len(text) < len(str(tmp_path)) + 300


@pytest.mark.parametrize("name", ["script.pth", "script.ckpt", "script.safetensors"])
def test_torchscript_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    assert "is TorchScript, which is code" in refusal(hostile.torchscript(tmp_path / name))


@pytest.mark.parametrize("entry", ["code/__torch__.py", "constants.pkl"])
def test_an_archive_with_code_is_torchscript(entry: str, tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "x.pth", {"w": TensorClaim()}, more={entry: b"import os"})
    assert "is TorchScript" in refusal(path)


@pytest.mark.parametrize("name", ["weights.pt", "weights.PT"])
def test_pt_files_are_refused_whatever_they_hold(name: str, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / name)
    text = refusal(tmp_path / name)
    assert ".pt is the suffix of TorchScript" in text and "save its state dict" in text


def test_import_paths_in_the_metadata_of_safetensors_are_text(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    metadata = {"format": "pt", "class": "os.system", "__reduce__": "touch ran", "loader": "evil"}
    safetensors.torch.save_file({"w": torch.ones(1)}, path, metadata)
    assert_same(read_state_dict(path), {"w": torch.ones(1)})
    assert "evil" not in sys.modules


# Bombs

BOMBS = [
    "zip, shape beyond its storage",
    "zip, storage beyond its record",
    "zip, one number a billion times",
    "zip, one storage many times",
    "zip, compressed zeros",
    "legacy, storage beyond the file",
    "legacy, shape beyond its storage",
    "zip, a byte array",
    "zip, a new tensor",
    "zip, a new storage",
    "zip, dicts that are one",
    "safetensors, header",
    "safetensors, shape",
]


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small files that ask for gigabytes."""
    folder = tmp_path_factory.mktemp("bombs")
    return {
        name: write(folder / f"{number}.{'safetensors' if 'safetensors' in name else 'pth'}")
        for number, (name, write) in enumerate(hostile.bombs().items())
    }


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused(bomb: str, bombs: dict[str, Path]) -> None:
    assert list(bombs) == BOMBS
    refusal(bombs[bomb])


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_refusing_bombs_takes_no_memory(bombs: dict[str, Path]) -> None:
    """All of them in a process that may take 300 MB besides what it has; each asks for more."""
    code = """if True:
        import resource, sys
        from pathlib import Path
        from img2img.community.reading import read_state_dict
        from img2img.errors import UserError
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20,) * 2)
        for bomb in sys.argv[1:]:
            try:
                read_state_dict(Path(bomb))
            except UserError as error:
                cause = error.__cause__  # an allocation that fails in torch is a RuntimeError
                print("refused" if type(cause) is not RuntimeError else cause)
    """
    names = [str(path) for path in bombs.values()]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True)
    assert (done.stderr, done.stdout.split()) == ("", ["refused"] * len(bombs))


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "x.pth", {"w": TensorClaim()})
    os.truncate(path, MAX_FILE_BYTES + 1)  # takes no room on the disk
    assert "is too large (4.0 GiB; weights have at most 4 GiB)" in refusal(path)


def test_a_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {"w": TensorClaim()}
    loop["again"] = loop
    assert "its dicts lie 9 deep" in refusal(torch_zip(tmp_path / "x.pth", loop))


def test_deep_nests_are_refused(tmp_path: Path) -> None:
    deep = b"\x80\x02" + b"}U\x01a" * 100_000 + b"}" + b"s" * 100_000 + b"."
    assert "deep" in refusal(torch_zip(tmp_path / "x.pth", deep))
    tuples = b"\x80\x02}U\x01a)" + b"\x85" * 900_000 + b"s."
    assert "no tensors" in refusal(torch_zip(tmp_path / "y.pth", tuples))


def test_what_hashes_forever_is_never_hashed(tmp_path: Path) -> None:
    doubled = hostile.doubled_tuple(200, b"")
    as_key = b"\x80\x02}" + doubled[2:] + b"K\x01s."
    assert "no tensors" in refusal(torch_zip(tmp_path / "x.pth", as_key))
    keys = b"\x80\x02]" + doubled[2:] + b"a."
    assert "damaged" in refusal(torch_legacy(tmp_path / "y.pth", {"w": TensorClaim()}, keys=keys))
    named = b"\x80\x02" + doubled[2:] + b"U\x01a\x93."
    assert "damaged" in refusal(torch_zip(tmp_path / "z.pth", named))


def test_numbers_with_a_million_digits_are_not_calculated_with(tmp_path: Path) -> None:
    endless = 1 << 8_000_000
    claims = [TensorClaim((endless,) * 9, (1,) * 9), TensorClaim((4,), (endless,))]
    claims += [TensorClaim(offset=endless), TensorClaim((-1,)), TensorClaim((4,), (-1,))]
    for claim in claims:
        text = refusal(torch_zip(tmp_path / "x.pth", {"w": claim}))
        assert "a tensor's size is negative or endless" in text


def test_too_many_steps_are_refused(tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "x.pth", b"\x80\x02" + b"N" * 1_100_000 + b".")
    assert "its pickle has more than 1000000 steps" in refusal(path)
    path = torch_zip(tmp_path / "y.pth", b"\x80\x02" + b"N" * (2**24) + b".")
    assert "its pickle has 16777219 bytes" in refusal(path)


def test_storages_that_overlap_are_refused(tmp_path: Path) -> None:
    path = hostile.overlapping_zip(tmp_path / "x.pth")
    with zipfile.ZipFile(path) as archive:
        assert sum(entry.file_size for entry in archive.infolist()) > 90 * path.stat().st_size
    assert "its parts are packed or overlap" in refusal(path)


def test_one_list_named_often_is_walked_once(tmp_path: Path) -> None:
    pairs = b"](" + b"U\x01aN\x86" * 20_000 + b"eq\x00"
    often = b"(" + b"ccollections\nOrderedDict\nh\x00\x85R" * 100_000 + b"l"
    value = b"\x80\x02" + pairs + often + b"."
    assert "no tensors" in refusal(torch_zip(tmp_path / "x.pth", value))


def test_more_tensors_than_any_network_has_are_refused(tmp_path: Path) -> None:
    nothing = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = {f"{i}": nothing for i in range(100_001)}
    path = hostile.safetensors(tmp_path / "x.safetensors", header)
    assert "it holds 100001 tensors" in refusal(path)


def test_an_archive_with_a_directory_of_many_entries_is_refused(tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "x.pth", {"w": TensorClaim()})
    content = bytearray(path.read_bytes())
    content[-10:-6] = (17 * 2**20).to_bytes(4, "little")
    path.write_bytes(content)
    assert "its directory has 17825792 bytes" in refusal(path)
    torch.save({"w": torch.ones(1)}, path)  # the larger form of zip
    content = bytearray(path.read_bytes())
    content[-58:-50] = (17 * 2**20).to_bytes(8, "little")
    path.write_bytes(content)
    assert "its directory has 17825792 bytes" in refusal(path)


# Shapes


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (TensorClaim((5,)), "its tensors|damaged"),
        (TensorClaim((4,), (1,), 1), "damaged"),
        (TensorClaim((2, 2), (4, 1)), "damaged"),
        (TensorClaim((2, 4), (0, 1)), "a tensor shows 4 numbers as 8"),
        (TensorClaim((3, 3), (1, 1)), "a tensor shows 5 numbers as 9"),
        (TensorClaim((4,), ()), "damaged"),
        (TensorClaim(("4",)), "damaged"),
        (TensorClaim((True,)), "damaged"),
        (TensorClaim((4.0,)), "damaged"),
        (TensorClaim((1,) * 17, (1,) * 17), "a tensor has 17 dimensions"),
        (TensorClaim((0, 2**32, 2**32), (1, 1, 1)), "an empty tensor has an endless shape"),
        (TensorClaim(storage=StorageClaim("9")), "damaged"),
        (TensorClaim(storage=StorageClaim("../version")), "damaged"),
        (TensorClaim(storage=StorageClaim(storage_type=torch.DoubleStorage)), "damaged"),
    ],
)
@pytest.mark.parametrize("write", [torch_zip, torch_legacy])
def test_a_tensor_must_lie_in_its_storage(
    write: Callable[..., Path], claim: TensorClaim, reason: str, tmp_path: Path
) -> None:
    text = refusal(write(tmp_path / "x.pth", {"w": claim}))
    assert any(part in text for part in reason.split("|"))


@pytest.mark.parametrize(
    "header",
    [
        {
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        },
        {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}},
        {"a": {"dtype": "os.system", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {"a": 3},
        b"{" + b"[" * 200_000,
        b"{" * 100_000,
        b"{}",
        b"{]",
    ],
)
def test_safetensors_with_a_wrong_header_are_refused(header: Any, tmp_path: Path) -> None:
    refusal(hostile.safetensors(tmp_path / "x.safetensors", header, bytes(12)))


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (100_000_001, "its header has 100000001 bytes"),
        (2**39, "its header has 549755813888 bytes"),
        (2**63, "is not a model file"),
        (1000, "is damaged or cut short"),
    ],
)
def test_the_header_of_safetensors_is_bounded(length: int, reason: str, tmp_path: Path) -> None:
    assert reason in refusal(hostile.safetensors(tmp_path / "x", {}, b"", length))


# What is no weights file


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\x80", "is not a model file"),
        (b"PK\x03\x04", "is damaged or cut short"),
        (b"<!DOCTYPE html><title>404</title>", "is not a model file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is not a model file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is not a model file"),
        (bytes(4096), "is not a model file"),
        (pickle.dumps([1, 2]), "is a pickle that torch.save did not write"),
        (pickle.dumps(np.ones(3)), "holds more than tensors (numpy"),
    ],
)
def test_other_content_is_called_what_it_is(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    assert reason in refusal(path)


def test_onnx_is_called_so(tmp_path: Path) -> None:
    for name in ("graph.onnx", "graph.pth"):
        assert "is an ONNX graph, not weights" in refusal(hostile.onnx(tmp_path / name))


def test_another_archive_is_called_so(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "inner.pth")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "inner.pth", "inner.pth")
    assert "unpack it, and open the weights in it" in refusal(tmp_path / "x.zip")


@pytest.mark.parametrize(
    "value", [TensorClaim(), [TensorClaim()], {}, {"a": 1}, {1: TensorClaim()}]
)
def test_a_file_without_named_tensors_is_refused(value: Any, tmp_path: Path) -> None:
    assert "holds no tensors with names" in refusal(torch_zip(tmp_path / "x.pth", value))


def test_big_endian_numbers_are_refused(tmp_path: Path) -> None:
    claims, big = {"w": TensorClaim()}, "its numbers are big-endian"
    assert big in refusal(torch_zip(tmp_path / "x.pth", claims, more={"byteorder": b"big"}))
    assert big in refusal(
        torch_legacy(tmp_path / "y.pth", claims, machine={"little_endian": False})
    )


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "x.pth", {"w": TensorClaim()})
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", bytes(16))
    assert "is damaged" in refusal(path)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe, loop, plug = tmp_path / "pipe", tmp_path / "loop", tmp_path / "plug"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    assert "is not a file" in refusal(pipe)
    assert "cannot be read: Is a directory" in refusal(tmp_path)
    assert "is not a file" in refusal(Path("/dev/zero"))
    assert "cannot be read: Too many levels of symbolic links" in refusal(loop)
    assert "cannot be read: No such file or directory" in refusal(tmp_path / "missing.pth")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(plug))
        assert "cannot be read" in refusal(plug)


def test_a_file_that_may_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("img2img.community.reading.os.open", denied)
    assert "cannot be read: Permission denied" in refusal(tmp_path / "x.pth")


def test_memory_that_runs_out_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> bytearray:
        raise MemoryError

    path = torch_zip(tmp_path / "x.pth", {"w": TensorClaim()})
    monkeypatch.setattr("img2img.community.reading._read", none_left)
    with pytest.raises(MemoryError):
        read_state_dict(path)


# Damage


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small file of each form."""
    folder = tmp_path_factory.mktemp("intact")
    state = {"conv.weight": torch.ones(2, 3), "conv.bias": torch.zeros(2, dtype=torch.float16)}
    for form, options in FORMS.items():
        torch.save({"params": state, "epoch": 3}, folder / form, **options)
    safetensors.torch.save_file(state, folder / "safetensors")
    hostile.onnx(folder / "onnx")
    hostile.torchscript(folder / "script")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where hypothesis writes one file after the other."""
    return tmp_path_factory.mktemp("damage") / "x.pth"


def reads_or_is_refused(path: Path, content: bytes) -> None:
    def assert_tensors(state: dict[str, Any]) -> None:
        for name, value in state.items():
            assert type(name) is str
            if isinstance(value, dict):
                assert_tensors(value)
            else:
                assert type(value) is torch.Tensor
                assert value.device.type == "cpu" and value.layout == torch.strided
                value.float().sum()  # every number can be touched

    path.write_bytes(content)
    try:
        state = read_state_dict(path)
    except UserError as error:
        message = str(error)
    else:
        assert_tensors(state)
        message = ""
    assert "\n" not in message


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_flipped_bytes_read_or_are_refused(
    data: st.DataObject, intact: dict[str, bytes], place: Path
) -> None:
    content = bytearray(intact[data.draw(st.sampled_from(sorted(intact)))])
    position = st.integers(0, len(content) - 1)
    for at, byte in data.draw(st.lists(st.tuples(position, st.integers(0, 255)), max_size=4)):
        content[at] = byte
    reads_or_is_refused(place, bytes(content))


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_files_cut_short_or_grown_read_or_are_refused(
    data: st.DataObject, intact: dict[str, bytes], place: Path
) -> None:
    content = intact[data.draw(st.sampled_from(sorted(intact)))]
    cut = data.draw(st.integers(0, len(content)))
    reads_or_is_refused(place, content[:cut] + data.draw(st.binary(max_size=40)))


@settings(deadline=None, max_examples=100)
@given(
    head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x08\x07\x12", bytes(8) + b"{"]),
    rest=st.binary(max_size=300),
)
def test_random_bytes_read_or_are_refused(head: bytes, rest: bytes, place: Path) -> None:
    reads_or_is_refused(place, head + rest)


PARTS = [b"}", b"]", b")", b"(", b"t", b"l", b"d", b"u", b"s", b"a", b"e", b"\x85", b"\x86", b"N"]
PARTS += [b"K\x01", b"U\x010", b"q\x00", b"h\x00", b"\x94", b"R", b"\x81", b"b", b"Q", b"\x93"]
PARTS += [b"U\x07storage", b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n"]
PARTS += [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n"]
PARTS += [hostile.pickled(TensorClaim())[2:-1], b"ctorch\nSize\n", b"2", b"0", b"S'\\d'\n", b"X"]


@settings(deadline=None, max_examples=400)
@given(steps=st.lists(st.sampled_from(PARTS), max_size=30), form=st.sampled_from(["zip", "legacy"]))
def test_any_steps_of_a_pickle_read_or_are_refused(
    steps: list[bytes], form: str, place: Path
) -> None:
    value = b"\x80\x02" + b"".join(steps) + b"."
    path = torch_zip(place, value) if form == "zip" else torch_legacy(place, value)
    reads_or_is_refused(path, path.read_bytes())


@pytest.mark.parametrize("form", ["zip", "protocol 4"])
def test_a_changed_weight_in_an_archive_is_noticed(
    form: str, intact: dict[str, bytes], tmp_path: Path
) -> None:
    ones = torch.ones(2, 3).numpy().tobytes()
    content = intact[form].replace(ones, ones[:-1] + b"\0")
    assert content != intact[form]
    (tmp_path / "x.pth").write_bytes(content)
    assert "is damaged or cut short: fetch it again" in refusal(tmp_path / "x.pth")


def test_weights_of_no_restorer_read_like_any(tmp_path: Path) -> None:
    """Whose weights they are is asked elsewhere."""
    state = hostile.weights_of_no_restorer()
    torch.save(state, tmp_path / "x.pth")
    assert_same(read_state_dict(tmp_path / "x.pth"), state)
