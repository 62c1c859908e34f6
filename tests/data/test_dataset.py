"""Sample n is a function of seed and n alone: no history, worker or broken file changes it."""

from __future__ import annotations

import logging
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from img2img.data.dataset import DataConfig, Photos, TrainingSet, load_photos, resolve_folder
from img2img.data.identity import data_change
from img2img.data.sample import Batch, as_picture, as_tensor, collate, sample_rng
from img2img.errors import UserError
from img2img.resources import samples_dir
from img2img.tasks import build_task


def opened(folder: Path, task: Any = "inpaint", seed: int = 0, **fields: Any) -> Photos:
    config = DataConfig(path=str(folder), crop_px=32, resize_px=(40, 60), **fields)  # type: ignore[arg-type]  # a single folder
    return load_photos(build_task(task), config, seed)


def tensors(batch: Batch) -> list[Tensor]:
    return [value for value in vars(batch).values() if value is not None]


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def test_a_sample_does_not_depend_on_what_was_asked_before(photo_folder: Path) -> None:
    first, second = opened(photo_folder).train, opened(photo_folder).train
    numbers = [0, 3, 17, 400, 401]
    forwards = {n: first[n] for n in numbers}
    assert all(same(forwards[n], second[n]) for n in reversed(numbers))
    assert all(same(forwards[n], first[n]) for n in numbers), "asked again"
    assert same(first.batch(17, 3), collate([second[19 - i] for i in (2, 1, 0)]))


def test_samples_differ_from_number_to_number_and_seed_to_seed(photo_folder: Path) -> None:
    train, other = opened(photo_folder).train, opened(photo_folder, seed=1).train
    drawn = {train[n].condition.numpy().tobytes() for n in range(20)}
    assert len(drawn) == 20
    assert not any(same(train[n], other[n]) for n in range(5))


LABELLED_POINTS = {"kind": "points", "labels": 8, "categorical": 3, "continuous": 2}


def drawn_points(seed: int = 0, task: Any = LABELLED_POINTS) -> TrainingSet:
    return load_photos(build_task(task), DataConfig(validation_share=0.5), seed).train


def test_a_drawn_sample_does_not_depend_on_what_is_asked_with_it_or_before() -> None:
    """In any order, alone and in batches."""
    train, numbers = drawn_points(), [254, 255, 256, 257, 600, 0, 255]
    alone = collate([drawn_points()[number] for number in numbers])
    assert len(alone) == len(numbers) and alone.code is not None and alone.label is not None
    assert same(alone, collate(train.__getitems__(numbers)))
    assert same(alone, collate([train[number] for number in numbers]))
    assert same(train.batch(250, 10), collate([train.batch(250, 4), train.batch(254, 6)]))


def test_drawn_samples_differ_from_number_to_number_and_seed_to_seed() -> None:
    train, other = drawn_points().batch(0, 600), drawn_points(seed=1).batch(0, 600)
    both = torch.cat([train.target, other.target])
    assert len(both.flatten(1).unique(dim=0)) == 1200
    assert len(torch.cat([train.condition, other.condition]).flatten(1).unique(dim=0)) == 1200


def test_a_batch_of_points_is_drawn_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    train, asked = drawn_points(), list[Sequence[int]]()
    draw = type(train.task).draw

    def noted(self: Any, numbers: Sequence[int], rngs: Sequence[np.random.Generator]) -> Batch:
        asked.append(numbers)
        return draw(self, numbers, rngs)

    monkeypatch.setattr(type(train.task), "draw", noted)
    for first in range(0, 512, 256):
        train.__getitems__(range(first, first + 256))
    assert asked == [range(256), range(256, 512)]


def test_validation_points_are_drawn_in_one_call_and_are_none_that_train() -> None:
    photos = load_photos(build_task("points"), DataConfig(validation_share=0.5), 0)
    (held,) = photos.validation
    assert len(held) == DataConfig().validation_max
    assert not (held.target[:, None] == photos.train.batch(0, 16).target[None]).all(2).any()


def test_torch_and_numpy_seeds_have_no_part(photo_folder: Path) -> None:
    train = opened(photo_folder, "denoise").train
    before = train[5]
    torch.manual_seed(99)
    np.random.seed(99)
    assert same(before, train[5])


def test_an_epoch_is_a_permutation(photo_folder: Path) -> None:
    train = opened(photo_folder, validation_share=0.2).train
    count = len(train.items)
    epochs = [train.order(epoch).tolist() for epoch in range(30)]
    assert count == 5
    assert all(sorted(order) == sorted(train.items.tolist()) for order in epochs)
    assert len({tuple(order) for order in epochs}) > 10
    assert epochs[0] == train.order(0).tolist(), "asked again after others"


def test_workers_give_the_same_batches_as_none(photo_folder: Path) -> None:
    numbers = [list(range(i, i + 3)) for i in range(0, 12, 3)]
    made = []
    for workers in (0, 2):
        loader = DataLoader(
            opened(photo_folder).train,
            batch_sampler=numbers,
            collate_fn=collate,
            num_workers=workers,
        )
        made.append(list(loader))
    assert len(made[0]) == 4
    assert all(same(a, b) for a, b in zip(*made, strict=True))


def test_a_training_set_reaches_workers_that_are_spawned(photo_folder: Path) -> None:
    train = opened(photo_folder).train
    before = train[3]
    assert same(pickle.loads(pickle.dumps(train))[3], before)


def broken_copy(folder: Path, name: str = "photo_2.png") -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:400])


@pytest.mark.parametrize("repeat_large", [1, 4])
def test_a_broken_photo_is_left_out_with_one_warning(
    photo_folder: Path, caplog: pytest.LogCaptureFixture, repeat_large: int
) -> None:
    broken_copy(photo_folder)
    caplog.set_level(logging.WARNING, "img2img")
    train = opened(photo_folder, validation_share=0, repeat_large=repeat_large).train
    made = [train[n] for n in range(18)]
    assert len(made) == 18
    warnings = [r.getMessage() for r in caplog.records]
    assert len(warnings) == 1
    assert "left out" in warnings[0]
    assert "photo_2.png" in warnings[0]


def test_a_broken_photo_does_not_make_samples_depend_on_history(photo_folder: Path) -> None:
    broken_copy(photo_folder)
    first, second = (opened(photo_folder, validation_share=0).train for _ in range(2))
    made = [first[n] for n in range(12)]
    assert all(same(made[n], second[n]) for n in reversed(range(12)))
    assert all(same(made[n], first[n]) for n in range(12))


def test_a_broken_photo_leaves_the_samples_of_others_as_they_were(photo_folder: Path) -> None:
    whole = opened(photo_folder, validation_share=0).train
    bad = next(i for i in range(6) if "photo_2" in whole.source.key(i))
    before = {n: whole[n] for n in range(12) if int(whole.order(n // 6)[n % 6]) != bad}
    assert len(before) == 10
    broken_copy(photo_folder)
    after = opened(photo_folder, validation_share=0).train
    assert all(same(batch, after[n]) for n, batch in before.items())


def test_only_broken_photos_end_the_run_with_a_reason(photo_folder: Path) -> None:
    for index in range(6):
        broken_copy(photo_folder, f"photo_{index}.png")
    with pytest.raises(UserError, match="none of the photos can be read"):
        opened(photo_folder, validation_share=0).train[0]


def test_validation_is_the_same_every_time_and_never_trained_on(photo_folder: Path) -> None:
    photos = opened(photo_folder, validation_share=0.5)
    again = opened(photo_folder, validation_share=0.5)
    assert photos.count == 6
    assert len(photos.validation) == 3
    assert all(same(a, b) for a, b in zip(photos.validation, again.validation, strict=True))
    trained = {photos.train.source.key(int(i)) for i in photos.train.items}
    assert len(trained) == 3
    whole = DataConfig(crop_px=32, resize_px=(40, 60))
    middles = [
        as_tensor(whole.center([np.asarray(Image.open(path).convert("RGB"))])[0])
        for path in sorted(photo_folder.iterdir())
        if f"{path.parent.name}/{path.name}" not in trained
    ]
    assert all(any(torch.equal(b.target, m) for m in middles) for b in photos.validation)


def test_validation_looks_at_no_more_photos_than_asked(photo_folder: Path) -> None:
    assert len(opened(photo_folder, validation_share=0.5, validation_max=2).validation) == 2


def test_a_broken_validation_photo_is_left_out(
    photo_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for index in range(6):
        broken_copy(photo_folder, f"photo_{index}.png")
    assert opened(photo_folder, validation_share=0.5).validation == []
    assert "left out of validation" in caplog.text


def test_validation_takes_the_next_of_those_held_out_for_one_that_is_broken(
    photo_folder: Path,
) -> None:
    whole = opened(photo_folder, validation_share=0.5)
    held = sorted(
        {f"photo_{i}.png" for i in range(6)} - {Path(p).name for p in trained_names(whole)}
    )
    broken_copy(photo_folder, held[0])
    two = opened(photo_folder, validation_share=0.5, validation_max=2)
    assert all(same(a, b) for a, b in zip(two.validation, whole.validation[1:], strict=True)), (
        "with the same damage"
    )
    assert list(two.left_out) == [str(photo_folder / held[0])]


def trained_names(photos: Photos) -> list[str]:
    return [photos.train.source.key(int(i)) for i in photos.train.items]


def damage_inside(path: Path) -> None:
    """A PNG whose beginning and end are as they should be."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)


def test_what_only_decoding_shows_is_left_out_alike_by_every_loader(photo_folder: Path) -> None:
    damage_inside(photo_folder / "photo_2.png")
    numbers = [list(range(i, i + 3)) for i in range(0, 12, 3)]
    made, known = [], []
    for workers in (0, 2):
        photos = opened(photo_folder, validation_share=0)
        assert photos.left_out == {}, "its ends are whole"
        train = photos.train
        for batch, broken in DataLoader(
            train, batch_sampler=numbers, collate_fn=train.collate, num_workers=workers
        ):
            made.append(batch)
            photos.leave_out(broken)
        known.append(photos.left_out)
    assert all(same(a, b) for a, b in zip(made[:4], made[4:], strict=True))
    assert known[0] == known[1] and list(known[0]) == [str(photo_folder / "photo_2.png")]
    assert "photo_2" not in known[0][str(photo_folder / "photo_2.png")], "the reason, once"


def test_many_broken_photos_are_five_lines_and_a_count(
    photo_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for index in range(20):
        (photo_folder / f"broken_{index:02d}.jpg").write_bytes(b"")
    photos = opened(photo_folder, validation_share=0)
    assert len(photos.left_out) == 20
    assert (
        len(caplog.messages) == 6
        and caplog.messages[-1] == "left out: 15 more files that cannot be read"
    )
    assert "broken_00.jpg: is empty (0 bytes): copy it again" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "text"])
@pytest.mark.parametrize("side", ["A", "B"])
def test_a_pair_with_one_broken_side_is_left_out_by_its_file(
    tmp_path: Path, photos: list[np.ndarray], side: str, damage: str
) -> None:
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        for index, photo in enumerate(photos):
            Image.fromarray(photo).save(tmp_path / name / f"{index}.png")
    broken = tmp_path / side / "3.png"
    opened_before = opened(tmp_path, "translate", validation_share=0, cache_mb=0)
    broken.write_bytes({"cut": broken.read_bytes()[:900], "text": b"404"}.get(damage, b""))
    if damage == "gone":
        broken.unlink()  # after it was listed
    again = opened_before if damage == "gone" else opened(tmp_path, "translate", validation_share=0)
    made = [again.train[n] for n in range(12)]
    again.leave_out(again.train.cache.broken)
    assert len(made) == 12 and list(again.left_out) == [str(broken)]


@pytest.mark.parametrize("workers", [0, 1])
def test_when_no_photo_can_be_read_any_more_a_loader_gives_the_error_whole(
    photo_folder: Path, workers: int
) -> None:
    train = opened(photo_folder, validation_share=0, cache_mb=0).train
    for path in photo_folder.iterdir():
        path.unlink()
    (got,) = DataLoader(
        train, batch_sampler=[[0, 1]], collate_fn=train.collate, num_workers=workers
    )
    error, broken = got
    assert isinstance(error, UserError) and error.field == "data.path"
    assert str(error).startswith("data.path: none of the photos can be read; first: ")
    assert len(broken) == 6 and set(broken.values()) == {"no such file"}


def test_broken_class_photos_and_side_a_go_the_same_road(
    tmp_path: Path, photos: list[np.ndarray]
) -> None:
    for name in ("cat", "dog", "A", "B"):
        (tmp_path / ("sides" if name in "AB" else "classes") / name).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(photos[index]).save(
                tmp_path / ("sides" if name in "AB" else "classes") / name / f"{index}.png"
            )
    cases: list[tuple[Path, Any]] = [
        (tmp_path / "classes/dog/2.png", {"kind": "generate", "size_px": 32, "labels": 2}),
        (tmp_path / "sides/A/1.png", {"kind": "translate", "source": "unpaired"}),
        (tmp_path / "sides/B/0.png", {"kind": "translate", "source": "unpaired"}),
    ]
    for broken, task in cases:
        content = broken.read_bytes()
        broken.write_bytes(content[:300])
        found = opened(broken.parents[1], task)
        assert [found.train[n] for n in range(16)] and list(found.left_out) == [str(broken)]
        broken.write_bytes(content)


def test_the_identity_of_data_moves_with_them_and_tells_what_changed(photo_folder: Path) -> None:
    before = opened(photo_folder).identity
    assert (before["count"], before["bytes"]) == (
        6,
        sum(p.stat().st_size for p in photo_folder.iterdir()),
    )
    moved = photo_folder.parent / "elsewhere" / photo_folder.name
    shutil.copytree(photo_folder, moved)
    assert data_change(before, opened(moved).identity) is None
    (moved / "photo_1.png").write_bytes(b"longer" * 9000)
    assert "the same names, and other contents" in str(data_change(before, opened(moved).identity))
    (moved / "photo_1.png").rename(moved / "photo_9.png")
    assert data_change(before, opened(moved).identity) == "6 files as before, with other names"
    (moved / "photo_9.png").unlink()
    assert data_change(before, opened(moved).identity) == "6 files then, 5 now"


def test_a_single_photo_is_trained_on_with_a_warning(
    photo_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for index in range(1, 6):
        (photo_folder / f"photo_{index}.png").unlink()
    assert opened(photo_folder, validation_share=0).validation == []
    assert caplog.messages == []  # asked for
    assert opened(photo_folder).validation == []
    assert caplog.messages == ["1 photo: nothing is held out to validate on"]


def test_large_photos_count_several_times_an_epoch(tmp_path: Path) -> None:
    for name, side in (("small", 40), ("large", 200)):
        Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(tmp_path / f"{name}.png")
    config = DataConfig(path=(str(tmp_path),), crop_px=32, repeat_large=16, validation_share=0)
    train = load_photos(build_task("denoise"), config, 0).train
    counts = {train.source.key(i).split("/")[1]: int((train.items == i).sum()) for i in range(2)}
    assert counts == {"large.png": int(200 * 200 / 32**2 / 8), "small.png": 1}


def test_pairs_are_cropped_alike(tmp_path: Path, photos: list[np.ndarray]) -> None:
    for index, photo in enumerate(photos):
        Image.fromarray(np.concatenate([255 - photo, photo], 1)).save(tmp_path / f"{index}.png")
    train = opened(tmp_path, "translate").train
    for n in range(6):
        batch = train[n]
        assert torch.allclose(batch.condition, 1 - batch.target, atol=2.5 / 255), (
            "the negative of the same crop"
        )


def test_the_sample_folder_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_folder("data/samples") == samples_dir()
    assert resolve_folder("photos") == tmp_path / "photos"


def test_training_needs_a_photo_that_does_not_validate(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        opened(tmp_path / "nowhere")


def test_arrays_and_tensors_are_the_same_pixels(photos: list[np.ndarray]) -> None:
    x = as_tensor(photos[0])
    assert x.shape == (1, 3, 96, 96)
    assert x.dtype == torch.float32
    assert np.array_equal(np.rint(as_picture(x) * 255), photos[0])
    assert as_tensor(np.ones((4, 5), np.float32)).shape == (1, 1, 4, 5)


def test_every_part_of_the_run_has_randomness_of_its_own() -> None:
    streams = [
        sample_rng(seed, stream, n).random() for seed in (0, 1) for stream in (0, 1) for n in (0, 1)
    ]
    assert len(set(streams)) == 8


@pytest.mark.parametrize(("crop_px", "told"), [(64, True), (32, False)])
def test_photos_smaller_than_a_crop_are_told_once(
    crop_px: int, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        Image.new("RGB", (60, 40), (number, 0, 0)).save(tmp_path / f"{number}.png")
    load_photos(
        build_task("denoise"),
        DataConfig(path=(str(tmp_path),), crop_px=crop_px, validation_share=0.3),
        0,
    )
    assert caplog.text.count("of 4 photos looked at are smaller than data.crop_px (64 px)") == told
    assert ("set data.crop_px=40" in caplog.text) == told
