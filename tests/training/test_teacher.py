"""A teacher: each photo is shown to it once, its pictures lie under the samples pixel by pixel, and
the run is the same however it was stopped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from stopping import stopped_at
from torch import Tensor

import img2img
from img2img.about import model_card
from img2img.data.cache import Cache
from img2img.data.dataset import TrainingSet, load_photos
from img2img.data.labelled import ArraySource
from img2img.data.sample import PairSample, PhotoSample, Sample, as_tensor
from img2img.data.taught import sized_sample
from img2img.errors import Interrupted, UserError
from img2img.modelfile import Card, read_header, save_model
from img2img.pixels.color import upscale
from img2img.pixels.images import to_float
from img2img.recipe import Recipe
from img2img.training import train
from img2img.training.checkpoint import latest_checkpoint
from img2img.training.paired import PairedStep
from img2img.training.setup import build_step
from img2img.training.teacher import Teacher, open_teacher
from img2img.training.trainer import Trainer
from img2img.zoo.catalogue import CATALOGUE

RESTORER = {"kind": "restorer", "widths": [8], "blocks": [2], "unshuffle": 1}
UNET = {"kind": "unet", "width": 4, "levels": 3, "norm": "none", "dropout": 0.0}
GENERATORS = {"super-resolve": RESTORER, "denoise": RESTORER}
TAUGHT = [{"kind": "l1"}, {"kind": "l1", "against": "teacher", "weight": 0.5}]
TRAIN = {"steps": 6, "batch_size": 2, "log_every": 1, "validate_every": 100}


def fields_for(task: dict[str, Any], teacher: Any = None, **data: Any) -> dict[str, Any]:
    return {
        "name": "student",
        "task": task,
        "generator": GENERATORS.get(task["kind"], UNET),
        "data": {"crop_px": 32, **data},
        "losses": TAUGHT if teacher else [{"kind": "l1"}],
        "train": {**TRAIN, "teacher": str(teacher) if teacher else None},
    }


def recipe_for(task: dict[str, Any], teacher: Any = None, **data: Any) -> Recipe:
    return Recipe.parse(fields_for(task, teacher, **data))


def saved(path: Path, task: dict[str, Any], std: float, terms: str = "CC0") -> Path:
    """A model whose weights are random, or all zero: that one gives the task's trivial answer."""
    recipe = recipe_for(task)
    network = recipe.build_generator()
    with torch.no_grad():
        for weights in network.parameters():
            weights.normal_(0.0, std)
    save_model(path, network, recipe, Card(data_terms=terms, tile_overlap_px=24))
    return path


SUPER = {"kind": "super-resolve", "factor": 2, "back_projections": 0}


@pytest.fixture
def bicubic(tmp_path: Path) -> Path:
    """A teacher that is a known function: bicubic enlargement."""
    return saved(tmp_path / "bicubic.safetensors", SUPER, 0.0)


@pytest.fixture
def teacher_file(tmp_path: Path) -> Path:
    return saved(tmp_path / "master.safetensors", SUPER, 0.05)


@pytest.fixture
def odd_folder(tmp_path: Path, photos: list[np.ndarray]) -> Path:
    """Photos of odd sizes, one of them smaller than a crop."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for index, size in enumerate([(95, 91), (64, 96), (77, 50), (33, 33), (21, 30), (96, 96)]):
        Image.fromarray(photos[index][: size[0], : size[1]]).save(folder / f"photo_{index}.png")
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The sizes of what models are asked for, in order."""
    sizes: list[tuple[int, ...]] = []
    predict = Teacher._picture

    def counted(self: Teacher, x: Tensor) -> Tensor:
        sizes.append(tuple(x.shape))
        return predict(self, x)

    monkeypatch.setattr(Teacher, "_picture", counted)
    return sizes


def opened(recipe: Recipe, folder: Path, accelerator: Accelerator) -> tuple[Teacher, TrainingSet]:
    data = load_photos(recipe.task, recipe.data, recipe.seed).train
    teacher = open_teacher(recipe, data, folder, accelerator)
    assert teacher is not None
    return teacher, data


def weights(out: Path) -> dict[str, Tensor]:
    checkpoint = latest_checkpoint(out / "checkpoints")
    assert checkpoint is not None
    return checkpoint.tensors


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert not [name for name in a if not torch.equal(a[name], b[name])]


# --- what it is asked, and what samples hold of it


def test_its_picture_is_that_of_the_model_for_the_whole_input(
    teacher_file: Path, odd_folder: Path, tmp_path: Path, accelerator: Accelerator
) -> None:
    recipe = recipe_for(SUPER, teacher_file, path=str(odd_folder))
    teacher, data = opened(recipe, tmp_path / "made", accelerator)
    model = img2img.load(teacher_file, device="cpu", precision="fp32")
    list(teacher.ask())
    for item in teacher.items:
        sample = data.source.read(item, 0)
        assert isinstance(sample, PhotoSample)
        if min(sample.photo.shape[:2]) < 32:
            continue  # first enlarged, as its samples are
        height, width = (n - n % 2 for n in sample.photo.shape[:2])
        pair = recipe.task.make_pair(sample, np.random.default_rng(0))
        expected = model.predict_tensor(pair.condition)
        made = as_tensor(to_float(np.load(teacher.path(item))))
        assert made.shape == (1, 3, height, width)
        assert (made - expected).abs().max() <= 0.5 / 65535 + 1e-6


@pytest.mark.parametrize("rotate", [False, True])
def test_a_known_teacher_lies_under_every_crop(
    bicubic: Path, odd_folder: Path, tmp_path: Path, accelerator: Accelerator, rotate: bool
) -> None:
    """Bicubic enlargement of the whole is, away from its edges, that of each crop, wherever it was
    cut and however turned; one px beside it is not.
    """
    recipe = recipe_for(SUPER, bicubic, path=str(odd_folder), rotate=rotate, crop_tries=2)
    teacher, data = opened(recipe, tmp_path / "made", accelerator)
    list(teacher.ask())
    teacher.teach()
    assert teacher.align_px == 2
    shifted = []
    for number in range(60):
        batch = data[number]
        assert batch.teacher is not None
        own = upscale(batch.condition, 2).clamp(0, 1)
        inner = slice(10, -10)
        apart = (own - batch.teacher)[..., inner, inner].abs()
        assert apart.max() < 2e-3, number  # the condition is rounded to 8 bits alike
        shifted.append(float((own.roll(1, -1) - batch.teacher)[..., inner, inner].abs().mean()))
    assert min(shifted) > 1e-3


CONDITIONS: list[tuple[dict[str, Any], int]] = [
    (SUPER, 2),
    ({**SUPER, "factor": 4}, 4),
    ({"kind": "colorize"}, 1),
    ({"kind": "translate", "source": "sepia"}, 1),
    ({"kind": "translate", "source": "edges"}, 1),
    ({"kind": "translate", "source": "downscale"}, 4),
]


@pytest.mark.parametrize(("task", "align_px"), CONDITIONS)
def test_windows_and_turns_are_those_of_the_sample(
    task: dict[str, Any],
    align_px: int,
    odd_folder: Path,
    photo_folder: Path,
    tmp_path: Path,
    accelerator: Accelerator,
) -> None:
    """Where the teacher makes the truth itself, each sample's picture of it is its target."""
    file = saved(tmp_path / "any.safetensors", task, 0.05)
    folder = photo_folder if task.get("source") == "downscale" else odd_folder
    recipe = recipe_for(task, file, path=str(folder), rotate=True)
    teacher, data = opened(recipe, tmp_path / "made", accelerator)
    assert teacher.align_px == align_px
    teacher.folder.mkdir()
    for item in teacher.items:
        photo = sized_sample(data.source.read(item, 0), recipe.data).photo
        cut = photo[: len(photo) // align_px * align_px].astype(np.uint16) * 257
        np.save(teacher.path(item), cut)
    teacher.teach()
    for number in range(40):
        batch = data[number]
        assert batch.teacher is not None
        torch.testing.assert_close(batch.teacher, batch.target)


def test_both_sides_of_pairs(
    photos: list[np.ndarray], tmp_path: Path, accelerator: Accelerator
) -> None:
    for side in ("A", "B"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for index, photo in enumerate(photos):
            picture = photo if side == "B" else 255 - photo
            Image.fromarray(picture).save(tmp_path / "pairs" / side / f"{index}.png")
    for direction in ("AtoB", "BtoA"):
        task = {"kind": "translate", "source": "pairs", "direction": direction}
        file = saved(tmp_path / f"{direction}.safetensors", task, 0.05)
        recipe = recipe_for(task, file, path=str(tmp_path / "pairs"))
        teacher, data = opened(recipe, tmp_path / direction, accelerator)
        list(teacher.ask())
        item = teacher.items[0]
        sample = data.source.read(item, 0)
        assert isinstance(sample, PairSample)
        condition = sample.other if direction == "AtoB" else sample.photo
        model = img2img.load(file, device="cpu", precision="fp32")
        expected = model.predict_tensor(as_tensor(condition))
        made = as_tensor(to_float(np.load(teacher.path(item))))
        assert (made - expected).abs().max() < 1e-4


def test_it_changes_nothing_else_of_a_sample(
    photo_folder: Path, tmp_path: Path, accelerator: Accelerator
) -> None:
    """Where crops may begin anywhere, condition and target are those of a run without it; what is
    validated knows nothing of it.
    """
    task = {"kind": "colorize"}
    file = saved(tmp_path / "painter.safetensors", task, 0.05)
    taught, plain = (recipe_for(task, t, path=str(photo_folder)) for t in (file, None))
    teacher, data = opened(taught, tmp_path / "made", accelerator)
    list(teacher.ask())
    teacher.teach()
    alone = load_photos(plain.task, plain.data, plain.seed)
    for number in range(12):
        one, other = data[number], alone.train[number]
        assert other.teacher is None and one.teacher is not None
        assert torch.equal(one.condition, other.condition)
        assert torch.equal(one.target, other.target)
    known = load_photos(taught.task, taught.data, taught.seed)
    assert all(batch.teacher is None for batch in [*known.validation, *known.trained])


def test_pictures_in_memory_are_known_by_what_they_show(
    photos: list[np.ndarray],
    bicubic: Path,
    tmp_path: Path,
    accelerator: Accelerator,
    asked: list[tuple[int, ...]],
) -> None:
    recipe = recipe_for(SUPER, bicubic)
    for shown in (photos[:4], photos[1:4]):  # each a run in the same folder
        source = ArraySource(np.stack(shown), np.zeros(len(shown), int), ("all",), "train")
        items = list(range(len(shown)))
        data = TrainingSet(source, items, recipe.task, recipe.data, 0, Cache(0))
        teacher = open_teacher(recipe, data, tmp_path / "made", accelerator)
        assert teacher is not None
        list(teacher.ask())
        teacher.teach()
        assert data[0].teacher is not None
    assert len(asked) == 4


def test_losses_compare_with_what_they_say(
    bicubic: Path, photo_folder: Path, tmp_path: Path, accelerator: Accelerator
) -> None:
    recipe = recipe_for(SUPER, bicubic, path=str(photo_folder))
    teacher, data = opened(recipe, tmp_path / "made", accelerator)
    list(teacher.ask())
    teacher.teach()
    batch, step = data.batch(0, 2), build_step(recipe, accelerator)
    assert batch.teacher is not None
    fake = torch.rand_like(batch.target)
    assert isinstance(step, PairedStep)
    losses = step.reconstruction_losses(batch, fake, fake)
    assert list(losses) == ["0_l1", "1_l1"]
    (truth_weight, truth), (weight, distilled) = losses.values()
    assert (truth_weight, weight) == (1.0, 0.5)
    torch.testing.assert_close(truth, (fake - batch.target).abs().mean())
    torch.testing.assert_close(distilled, (fake - batch.teacher).abs().mean())


# --- the run


def test_each_photo_is_shown_to_it_once(
    teacher_file: Path, photo_folder: Path, tmp_path: Path, asked: list[tuple[int, ...]]
) -> None:
    recipe = recipe_for(SUPER, teacher_file, path=str(photo_folder))
    train(recipe, tmp_path / "whole", device="cpu")
    assert asked == [(1, 3, 48, 48)] * 5  # of six photos one is held out; whole, at half the size
    assert len(list((tmp_path / "whole/teacher").glob("*.npy"))) == 5
    stopped_at(recipe, tmp_path / "cut", 3)
    assert len(asked) == 10
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    assert len(asked) == 10
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    rows = [
        line for line in (tmp_path / "whole/log.jsonl").read_text().splitlines() if "l1" in line
    ]
    assert all('"0_l1"' in row and '"1_l1"' in row for row in rows)


def test_what_loaders_read_is_the_same(
    teacher_file: Path, photo_folder: Path, tmp_path: Path, asked: list[tuple[int, ...]]
) -> None:
    for workers in (0, 1):
        recipe = recipe_for(SUPER, teacher_file, path=str(photo_folder), workers=workers)
        train(recipe, tmp_path / str(workers), device="cpu")
    same(weights(tmp_path / "0"), weights(tmp_path / "1"))
    assert len(asked) == 10


def after_pictures(monkeypatch: pytest.MonkeyPatch, count: int, happens: Callable[[], Any]) -> None:
    """Have something happen before picture number `count` is written."""
    write, written = Teacher._write, list[int]()

    def counted(self: Teacher, item: int, sample: Sample) -> None:
        if len(written) == count:
            happens()
        write(self, item, sample)
        written.append(item)

    monkeypatch.setattr(Teacher, "_write", counted)


@pytest.mark.parametrize("init", [False, True])
def test_a_run_that_is_killed_while_it_is_asked_loses_no_picture(
    teacher_file: Path,
    photo_folder: Path,
    tmp_path: Path,
    asked: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
    init: bool,
) -> None:
    fields = fields_for(SUPER, teacher_file, path=str(photo_folder))
    fields["train"] |= {"init": str(teacher_file)} if init else {}
    recipe = Recipe.parse(fields)

    def die() -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        after_pictures(patched, 2, die)
        with pytest.raises(SystemExit):
            train(recipe, tmp_path / "cut", device="cpu")
    assert len(asked) == 2
    with pytest.raises(UserError, match="already holds a run: add resume"):
        train(recipe, tmp_path / "cut", device="cpu")
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    assert len(asked) == 5
    train(recipe, tmp_path / "whole", device="cpu")
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_it_can_be_stopped_while_it_is_asked(
    teacher_file: Path,
    photo_folder: Path,
    tmp_path: Path,
    asked: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recipe = recipe_for(SUPER, teacher_file, path=str(photo_folder))
    trainer = Trainer(recipe, tmp_path / "cut", device="cpu")
    with monkeypatch.context() as patched:
        after_pictures(patched, 1, trainer.stop)
        with pytest.raises(Interrupted, match="stopped at step 0"):
            trainer.run()
    assert len(asked) == 2
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    assert len(asked) == 5
    assert [line for line in caplog.messages if line.startswith("teacher: ")] == [
        *(f"teacher: {done} of 5 photos" for done in (1, 2, 3, 4, 5)),
    ]


def test_a_changed_photo_is_shown_again_and_a_broken_one_left_out(
    teacher_file: Path, photo_folder: Path, tmp_path: Path, asked: list[tuple[int, ...]]
) -> None:
    recipe = recipe_for(SUPER, teacher_file, path=str(photo_folder), validation_share=0)
    stopped_at(recipe, tmp_path / "run", 2)
    assert len(asked) == 6
    os.utime(photo_folder / "photo_1.png", ns=(1, 1))
    (photo_folder / "photo_2.png").write_bytes(b"no longer")
    summary = train(recipe, tmp_path / "run", resume=True, device="cpu")
    assert len(asked) == 7
    assert [Path(name).name for name in summary["left_out"]] == ["photo_2.png"]


def test_another_model_under_its_name_is_refused(
    teacher_file: Path, photo_folder: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(SUPER, teacher_file, path=str(photo_folder))
    stopped_at(recipe, tmp_path / "run", 2)
    shutil.copy(teacher_file, tmp_path / "kept")
    saved(teacher_file, SUPER, 0.1)
    CATALOGUE.clear()
    with pytest.raises(UserError, match="was another model when the run was started"):
        train(recipe, tmp_path / "run", resume=True, device="cpu")
    shutil.copy(tmp_path / "kept", teacher_file)
    CATALOGUE.clear()
    train(recipe, tmp_path / "run", resume=True, device="cpu")


def test_the_card_names_it_and_its_terms(
    tmp_path: Path, photo_folder: Path, teacher_file: Path
) -> None:
    train(recipe_for(SUPER, teacher_file, path=str(photo_folder)), tmp_path / "run", device="cpu")
    assert read_header(tmp_path / "run/model.safetensors").card.teacher == "master (CC0)"
    assert "master (CC0)" in model_card(str(tmp_path / "run"))
    train(recipe_for(SUPER, path=str(photo_folder)), tmp_path / "alone", device="cpu")
    assert read_header(tmp_path / "alone/model.safetensors").card.teacher == ""
    assert "teacher  " not in model_card(str(tmp_path / "alone"))


# --- what is refused


def test_what_it_refuses_itself_ends_the_run(
    teacher_file: Path, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only photos that cannot be read are passed over."""

    def refuse(self: Teacher, x: Tensor) -> Tensor:
        raise UserError("too small for this network")

    monkeypatch.setattr(Teacher, "_picture", refuse)
    with pytest.raises(UserError, match="too small for this network"):
        train(
            recipe_for(SUPER, teacher_file, path=str(photo_folder)), tmp_path / "run", device="cpu"
        )


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    (
        {"task": {"kind": "denoise"}},
        "train.teacher sees each photo once, and task 'denoise' draws its input anew for every",
    ),
    ({"losses": [{"kind": "l1"}]}, "train.teacher has no part in the losses: add one such as"),
    ({"train": {}}, "losses.1.against 'teacher': there is none: set train.teacher to a"),
    ({"data": {"crop_px": 32, "resize_px": [40, 60]}}, r"data.resize_px.*\[60, 60\]"),
    ({"data": {"crop_px": 32, "color_jitter": 0.1}}, "changes the colors.*set data.color_jitter=0"),
    (
        {
            "task": {"kind": "translate", "source": "unpaired"},
            "losses": [{"kind": "l1", "of": "cycle", "against": "teacher"}],
            "discriminator": {"kind": "patchgan"},
            "adversarial": {"kind": "least_squares", "sees": []},
            "train": {"teacher": "x", "method": "cycle"},
        },
        "train.teacher.*needs method paired",
    ),
]


@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE)
def test_what_cannot_be_of_one_input_is_refused(changes: dict[str, Any], message: str) -> None:
    fields = fields_for(SUPER, "super_resolve_x2") | changes
    if "task" in changes and changes["task"]["kind"] == "translate":
        fields["generator"] = UNET
    with pytest.raises(UserError, match=message) as refused:
        Recipe.parse(fields)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"kind": "colorize"}, "does not take the input"),
        ({"kind": "super-resolve", "factor": 4}, r"\(super-resolve ×4\) does not take the input"),
        ({"kind": "inpaint"}, "name a model that takes a photo alone"),
    ],
)
def test_a_teacher_of_another_input_is_refused_before_anything_is_written(
    task: dict[str, Any], message: str, tmp_path: Path, photo_folder: Path
) -> None:
    file = saved(tmp_path / "other.safetensors", task, 0.05)
    with pytest.raises(UserError, match=f"train.teacher: .*{message}"):
        Trainer(recipe_for(SUPER, file, path=str(photo_folder)), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run/log.jsonl").exists()


def test_an_unknown_teacher_and_a_crop_off_its_grid(
    tmp_path: Path, photo_folder: Path, odd_folder: Path
) -> None:
    with pytest.raises(UserError, match=r"train.teacher: unknown model 'colorise'"):
        Trainer(recipe_for(SUPER, "colorise", path=str(photo_folder)), tmp_path / "a", device="cpu")
    task = {"kind": "translate", "source": "downscale"}
    file = saved(tmp_path / "down.safetensors", task, 0.05)
    fields = fields_for(task, file, path=str(photo_folder), crop_px=30)
    off = Recipe.parse({**fields, "generator": RESTORER})
    odd = Recipe.parse(fields_for(task, file, path=str(odd_folder)))
    with pytest.raises(UserError, match="a crop of 32 px: leave the teacher out"):
        Trainer(odd, tmp_path / "b", device="cpu")  # 91 px are shrunk to 23: no grid of whole px
    with pytest.raises(UserError, match=r"another input of a crop of 30 px: set data.crop_px to a"):
        Trainer(off, tmp_path / "b", device="cpu")
