"""Model files that lie, are code, or are none."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from hostile import model_files as files
from hostile.corpus import Corpus
from img2img.modelfile import Card
from img2img.recipe import Recipe

MODELS = Corpus()
_RECIPE = {
    "name": "tiny",
    "task": {"kind": "denoise"},
    "generator": {"kind": "restorer", "widths": [8, 12], "blocks": [1, 1], "unshuffle": 2},
    "data": {"crop_px": 64},
}
_DAMAGED = "damaged or cut short|cut short|not a model file"


@cache
def _weights() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {**Recipe.parse(_RECIPE).build_generator().state_dict()}


def model_file(
    recipe: Any = None,
    card: str | None = None,
    weights: dict[str, torch.Tensor] | None = None,
    **header: str,
) -> bytes:
    """A model file of ours, whose header and weights may be any."""
    text = recipe if isinstance(recipe, str) else json.dumps(recipe or _RECIPE)
    card = Card().model_dump_json() if card is None else card
    known = {"format": "pt", "img2img.format": "img2img/1", "recipe": text, "card": card}
    return save(_weights() if weights is None else weights, known | header)


def _with(place: str, value: Any) -> dict[str, Any]:
    """The recipe with another value at `part.field`."""
    part, _, field = place.partition(".")
    inside = {**_RECIPE[part], field: value} if field else value  # type: ignore[dict-item]  # a dict
    return {**_RECIPE, part: inside}


def _add_headers() -> None:
    for name, recipe, words in (
        ("is no json", "not json", "broken header"),
        ("is a list", "[]", "a recipe is a mapping"),
        ("is nested 10^5 deep", "[" * 100_000, "broken header|nested"),
        ("is nested 10^4 deep", '{"name":' * 10_000 + "1" + "}" * 10_000, "broken header|nested"),
        ("has 3 MB", json.dumps({**_RECIPE, "name": "x" * 3_000_000}), "broken header"),
        ("has NaN", json.dumps(_with("train", {"lr": float("nan")})), "train.lr"),
        ("names a module", _with("task", {"kind": "os:system"}), "os:system|task"),
        ("names code in a package", _with("task", {"kind": "evil.package:Task"}), "task"),
        ("names a file", _with("task", {"kind": "../../evil.py:Task"}), "task"),
        ("asks for 10^9 wide layers", _with("generator.widths", [10**9, 10**9]), "do not fit"),
        ("asks for 10^5 wide layers", _with("generator.widths", [10**5, 10**5]), "do not fit"),
        ("asks for 10^9 layers", _with("generator.blocks", [10**9, 1]), "do not fit"),
        ("asks for less than nothing", _with("generator.blocks", [-1, 1]), "generator.blocks"),
        ("asks for other shapes", _with("generator.widths", [8, 16]), "do not fit"),
        ("is of another network", _with("generator", {"kind": "unet", "width": 4, "levels": 3}),
         "do not fit"),
        ("enlarges by 10^9", _with("task", {"kind": "super-resolve", "factor": 10**9}),
         "task.factor"),
        ("is of a discriminator", _with("generator", {"kind": "patchgan"}), "generator.kind"),
        ("leads elsewhere", _with("generator.pretrained", "http://evil.example/w.pth"),
         "generator.pretrained"),
    ):  # fmt: skip
        MODELS.add(f"recipe that {name}", "a.safetensors", _file(recipe), refused=words)
    for name, card, words in (
        ("is no json", "x", "broken header"),
        ("is a number", "5", "broken header"),
        ("has words for numbers", '{"photos": "many", "steps": [], "data": 5}', "broken header"),
        ("is nested 10^5 deep", '{"metrics": ' + '{"a":' * 100_000, "broken header"),
        ("has 3 MB", json.dumps({"notes": "x" * 3_000_000}), "broken header"),
        ("has an overlap of 10^9", '{"tile_overlap_px": 1000000000}', "broken header"),
        ("has an overlap below 0", '{"tile_overlap_px": -64}', "broken header"),
    ):
        MODELS.add(f"card that {name}", "a.safetensors", _file(None, card), refused=words)
    for name, header, words in (
        ("of the future", {"img2img.format": "img2img/999"}, "update img2img"),
        ("of a new line", {"img2img.format": "img2img/\n\x1b[2J"}, "update img2img"),
    ):
        MODELS.add(f"format {name}", "a.safetensors", _file(None, None, **header), refused=words)


def _file(recipe: Any, card: str | None = None, **header: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(model_file(recipe, card, **header))


def _add_weights() -> None:
    def changed(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
        def write(path: Path) -> None:
            weights = dict(_weights())
            change(weights)
            path.write_bytes(model_file(weights=weights))

        return write

    for name, change, words in (
        ("one less", lambda w: w.popitem(), "do not fit"),
        ("one more", lambda w: w.update(more=torch.zeros(3)), "do not fit"),
        ("one of another shape", lambda w: w.update({next(iter(w)): torch.zeros(3)}), "do not fit"),
        ("none", lambda w: w.clear(), "do not fit"),
        ("named with a new line", lambda w: w.update({"a\nb\x1b[2J": torch.zeros(1)}),
         "do not fit"),
    ):  # fmt: skip
        MODELS.add(f"weights: {name}", "a.safetensors", changed(change), refused=words)
    for name, number in (("NaN", float("nan")), ("infinite", float("inf"))):

        def spoil(w: dict[str, torch.Tensor], number: float = number) -> None:
            w.update({key: torch.full_like(value, number) for key, value in w.items()})

        MODELS.add(f"weights: {name}", "a.safetensors", changed(spoil), refused="not finite")
    MODELS.add(
        "weights: whole numbers",
        "a.safetensors",
        changed(lambda w: w.update({k: v.to(torch.int64) for k, v in w.items()})),
    )


def _add_safetensors() -> None:
    def cut(part: float) -> Callable[[Path], object]:
        return lambda path: path.write_bytes((content := model_file())[: int(len(content) * part)])

    for part in (0.001, 0.1, 0.5, 0.999):
        MODELS.add(f"cut at {part}", "a.safetensors", cut(part), refused=_DAMAGED)
    one = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    for name, header, content, length, words in (
        ("overlapping tensors", {"a": one, "b": {**one, "data_offsets": [8, 24]}}, bytes(24), None,
         _DAMAGED),
        ("a tensor behind the end", {"a": {**one, "data_offsets": [0, 2**60]}}, bytes(16), None,
         _DAMAGED),
        ("a tensor of 2^60", {"a": {**one, "shape": [2**60]}}, bytes(16), None, _DAMAGED),
        ("a shape that overflows", {"a": {**one, "shape": [2**63, 2**63]}}, bytes(16), None,
         _DAMAGED),
        ("a type that is none", {"a": {**one, "dtype": "F33"}}, bytes(16), None, _DAMAGED),
        ("a header of 90 MB that is not there", {}, b"", 90_000_000, _DAMAGED),
        ("a header of 2^63", {}, b"", 2**63 - 1, "model file|damaged|is not read"),
        ("a header of garbage", b"{" + b"\xff" * 500, b"", None, _DAMAGED),
        ("a header nested 10^5 deep", b'{"a":' * 100_000, b"", None, _DAMAGED),
        ("a header without tensors", {}, b"", None, "holds no tensors|no img2img header|weights"),
        ("metadata that is no text", {"__metadata__": {"recipe": 5}, "a": one}, bytes(16), None,
         _DAMAGED),
    ):  # fmt: skip
        MODELS.add(
            f"safetensors: {name}",
            "a.safetensors",
            _safetensors(header, content, length),
            refused=words,
        )
    MODELS.add(
        "safetensors of somebody else",
        "a.safetensors",
        save({"w": torch.zeros(4)}),
        refused="no known network",
    )


def _safetensors(header: Any, content: bytes, length: int | None) -> Callable[[Path], object]:
    return lambda path: files.safetensors(path, header, content, length)


def _add_pickles() -> None:
    for suffix in ("pth", "ckpt", "safetensors", "bin"):
        for form, write in (("zip", files.torch_zip), ("legacy", files.torch_legacy)):
            MODELS.add(
                f"pickle that runs a command, {form}, .{suffix}",
                f"a.{suffix}",
                _running(write),
                refused="holds more than tensors",
            )
    MODELS.add(
        "plain pickle that runs a command",
        "a.pth",
        _plain_pickle,
        refused="more than tensors|did not write",
    )
    MODELS.add("torchscript", "a.pth", files.torchscript, refused="TorchScript")
    MODELS.add(
        "torchscript called safetensors", "a.safetensors", files.torchscript, refused="TorchScript"
    )
    MODELS.add("suffix of torchscript", "a.pt", files.torchscript, refused="TorchScript")
    bombs = files.bombs()
    for name, file in _BOMBS.items():
        MODELS.add(f"bomb: {name}", file, bombs[name], refused="a")
    for name, file, content, words in (
        ("0 bytes", "a.safetensors", b"", "is empty|not a model file"),
        ("1 byte", "a.pth", b"\x80", "not a model file"),
        ("words", "a.pth", b"these are no weights", "not a model file"),
        (
            "a page of an error",
            "a.safetensors",
            b"<!DOCTYPE html><html>404</html>",
            "not a model file",
        ),
        (
            "a pointer of git lfs",
            "a.pth",
            b"version https://git-lfs.github.com/spec/v1\n",
            "not a model file",
        ),
        ("an onnx graph", "a.pth", b"\x08\x08\x12\x07pytorch\x3a\x00\x42\x02\x10\x11", "ONNX"),
        ("a zip of nothing", "a.pth", b"PK\x05\x06" + bytes(18), "not a model file|damaged"),
        ("ncnn of nothing", "a.param", b"7767517\n", "a"),
        ("ncnn of 10^9 layers", "a.param", b"7767517\n1000000000 1000000000\n", "a"),
    ):
        MODELS.add(f"file: {name}", file, content, refused=words)


def _running(write: Callable[..., Path]) -> Callable[[Path], object]:
    marker = Path("img2img-was-here")
    return lambda path: write(path, {"w": files.runs_a_command(marker)})


def _plain_pickle(path: Path) -> None:
    path.write_bytes(files.pickled(files.runs_a_command(Path("img2img-was-here"))))


_BOMBS = {
    "zip, shape beyond its storage": "a.pth",
    "zip, one number a billion times": "c.pth",
    "zip, compressed zeros": "e.pth",
    "legacy, storage beyond the file": "f.pth",
    "zip, a byte array": "h.pth",
    "zip, a new storage": "j.pth",
    "zip, dicts that are one": "k.pth",
    "safetensors, shape": "m.safetensors",
}


def _add_places() -> None:
    MODELS.add("no file", "a.safetensors", lambda path: None, refused="unknown model")
    MODELS.add(
        "folder without a model", "run", lambda path: path.mkdir(), refused="no model.safetensors"
    )
    MODELS.add("name with a new line", "a\nb.safetensors", b"no model", refused="not a model file")
    MODELS.add(
        "name with escape sequences", "a\x1b[2J.pth", b"no model", refused="not a model file"
    )
    if os.name == "posix":
        for name, write in (
            ("named pipe", lambda path: os.mkfifo(path)),
            ("link to itself", lambda path: path.symlink_to(path)),
            ("link to a device", lambda path: path.symlink_to("/dev/zero")),
        ):
            MODELS.add(name, "a.safetensors", write, refused="unknown model")
        MODELS.add(
            "run whose model is a pipe", "run", _run_of_a_pipe, refused="no model.safetensors"
        )
        MODELS.add(
            "file that may not be read",
            "a.safetensors",
            _closed,
            refused="ermission denied|may not be read|cannot be read",
        )


def _run_of_a_pipe(path: Path) -> None:
    path.mkdir()
    os.mkfifo(path / "model.safetensors")


def _closed(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2) + b"{}")
    path.chmod(0)


for _add in (_add_headers, _add_weights, _add_safetensors, _add_pickles, _add_places):
    _add()
