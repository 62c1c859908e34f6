"""Folders as pytorch-CycleGAN-and-pix2pix has them train and infer as they are: aligned (A|B in one
file), unaligned (trainA, trainB, testA, testB) and single (a folder of photos).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pix2pix_networks import original

from img2img.cli import main
from img2img.community.junyanz import convert, recognise
from img2img.data.cache import Cache
from img2img.data.side_by_side import are_pairs
from img2img.inference.batch import FileBatch
from img2img.inference.request import Request
from img2img.modelfile import Card, read_weights, save_model
from img2img.pixels.images import read_photo

SMALL = [
    "data.crop_px=32", "data.resize_px=[32, 40]", "train.steps=2", "train.batch_size=1",
    "train.validate_every=2", "train.checkpoint_every=2", "generator.width=4",
    "generator.levels=3", "discriminator.width=4", "discriminator.layers=1",
]  # fmt: skip
Photos = list[np.ndarray]


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def negative(photo: np.ndarray) -> np.ndarray:
    return 255 - photo


@pytest.fixture
def aligned(tmp_path: Path, photos: Photos) -> Path:
    """`datasets/facades`: the photo's negative left, the photo right."""
    root = tmp_path / "facades"
    for part, own in (("train", photos[:3]), ("val", photos[3:4]), ("test", photos[4:])):
        for number, photo in enumerate(own):
            both = np.concatenate([negative(photo), photo], 1)
            save(root / part / f"{number + 1}.png", both)
    return root


@pytest.fixture
def unaligned(tmp_path: Path, photos: Photos) -> Path:
    """`datasets/maps`: the two sides show different things, and are not equally many."""
    root = tmp_path / "maps"
    parts = {"trainA": photos[:2], "trainB": photos[1:4], "testA": photos[4:5], "testB": photos[5:]}
    for part, own in parts.items():
        for number, photo in enumerate(own):
            save(root / part / f"{number + 1}_{part[-1]}.png", photo)
    return root


def trained(recipe: str, root: Path, run: Path, *overrides: str) -> None:
    place = [f"data.path={root}", *SMALL, *overrides]
    assert main(["train", recipe, *place, "--out", str(run), "--device", "cpu"]) == 0


def inferred(run: Path, photos: Path, output: Path, *options: str) -> int:
    where = ["--model", str(run), "--input", str(photos), "--output", str(output)]
    return main(["infer", *where, "--device", "cpu", *options])


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: read_photo(path).size for path in sorted(folder.iterdir())}


def test_aligned_trains_on_train_validates_on_val_and_infers_on_test(
    aligned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, results = tmp_path / "run", tmp_path / "results"
    trained("translate_tiny", aligned, run, "task.source=pairs")
    log = (run / "log.jsonl").read_text()
    assert "3 pairs: side by side in train/; 1 for validation from val/; 2 in test/ not used" in log
    capsys.readouterr()
    assert inferred(run, aligned / "test", results) == 0
    assert sizes(results) == {"1.translate.png": (96, 96), "2.translate.png": (96, 96)}
    told = capsys.readouterr().err
    assert "the left halves are taken; --no-pairs takes them whole" in told


@pytest.mark.parametrize(("direction", "side"), [("AtoB", 0), ("BtoA", 1)])
def test_the_half_is_the_one_that_the_model_sees(
    aligned: Path, tmp_path: Path, direction: str, side: int
) -> None:
    model = pair_model(tmp_path, direction=direction)
    for number in (1, 2):
        both = read_photo(aligned / "test" / f"{number}.png").rgb
        save(tmp_path / "halves" / f"{number}.png", both[:, 96 * side : 96 * (side + 1)])
    for photos, output in ((aligned / "test", "of pairs"), (tmp_path / "halves", "of halves")):
        assert inferred(model, photos, tmp_path / output) == 0
    for number in (1, 2):
        results = [
            tmp_path / folder / f"{number}.translate.png" for folder in ("of pairs", "of halves")
        ]
        ours, theirs = (read_photo(path).rgb for path in results)
        assert np.array_equal(ours, theirs)


def test_training_goes_on_from_a_checkpoint(aligned: Path, tmp_path: Path) -> None:
    model = pair_model(tmp_path)
    generator = "generator={kind: resnet, width: 4, blocks: 6}"
    same = [o for o in SMALL if not o.startswith("generator.")]
    changes = ["task.source=pairs", f"data.path={aligned}", *same, generator, "train.lr=1.0e-9"]
    run = ["--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main(["train", "translate_tiny", *changes, f"train.init={model}", *run]) == 0
    before, after = (read_weights(p) for p in (model, tmp_path / "run" / "model.safetensors"))
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_unaligned_trains_both_ways_and_infers_on_either_side(
    unaligned: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    trained("cyclegan_tiny", unaligned, run, "task.side_a=files")
    log = (run / "log.jsonl").read_text()
    assert "2 + 3 pictures: trainA/ and trainB/; 1 + 1 for validation from test/" in log
    for side, direction in (("testA", "AtoB"), ("testB", "BtoA")):
        results = tmp_path / f"of {side}"
        assert inferred(run, unaligned / side, results, "--direction", direction) == 0
        assert sizes(results) == {f"1_{side[-1]}.translate.png": (96, 96)}


def test_single_is_inferred_whole(tmp_path: Path, photo_folder: Path) -> None:
    model = pair_model(tmp_path)
    assert inferred(model, photo_folder, tmp_path / "results") == 0
    assert sizes(tmp_path / "results") == {f"photo_{n}.translate.png": (96, 96) for n in range(6)}


def test_wide_photos_are_no_pairs(tmp_path: Path, photos: Photos) -> None:
    for number, photo in enumerate(photos):
        save(tmp_path / "wide" / f"{number}.png", photo[:48])
    assert not are_pairs(sorted((tmp_path / "wide").iterdir()), Cache(0))
    model = pair_model(tmp_path)
    assert inferred(model, tmp_path / "wide", tmp_path / "results") == 0
    assert set(sizes(tmp_path / "results").values()) == {(96, 48)}


def test_what_a_folder_shows_can_be_overruled_and_a_file_is_halved_on_demand(
    aligned: Path, tmp_path: Path
) -> None:
    model = pair_model(tmp_path)
    assert inferred(model, aligned / "test", tmp_path / "whole", "--no-pairs") == 0
    assert set(sizes(tmp_path / "whole").values()) == {(192, 96)}
    one = aligned / "test" / "1.png"
    for name, options, width in (("a.png", [], 192), ("b.png", ["--pairs"], 96)):
        assert inferred(model, one, tmp_path / name, *options) == 0
        assert read_photo(tmp_path / name).size == (width, 96)


def test_models_that_saw_no_pairs_take_files_whole(
    aligned: Path, tmp_path: Path, zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inferred(zoo / "denoise.safetensors", aligned / "test", tmp_path / "results") == 0
    assert set(sizes(tmp_path / "results").values()) == {(192, 96)}
    capsys.readouterr()
    assert inferred(zoo / "denoise.safetensors", aligned, tmp_path / "more", "--pairs") == 2
    assert "--pairs: only a model that was trained on pairs" in capsys.readouterr().err


def test_a_pair_of_odd_width_is_named(tmp_path: Path, photos: Photos) -> None:
    save(tmp_path / "odd.png", photos[0][:, :95])
    model = pair_model(tmp_path)
    request = Request(model=str(model), device="cpu")
    (result,) = FileBatch([str(tmp_path / "odd.png")], request, pairs=True).run()
    assert "odd.png: is 95 px wide, and pairs side by side have an even width" in str(result.error)


def pair_model(folder: Path, **options: Any) -> Path:
    """A small one with the weights of a checkpoint, as a model file of ours."""
    state = original("resnet_6", "instance").state_dict()
    recipe = recognise(state, **options)
    generator = recipe.build_generator()
    generator.load_state_dict(convert(state, recipe))
    path = folder / "pairs.safetensors"
    save_model(path, generator, recipe, Card())
    return path
