"""Decoded photos in memory that all loader processes share, and JPEG files decoded smaller."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from img2img.data import cache as cache_module
from img2img.data.cache import FORKS, Cache, SharedPictures
from img2img.data.dataset import DataConfig, Photos, load_photos
from img2img.data.folder import open_pairs
from img2img.errors import UserError
from img2img.pixels import codecs
from img2img.pixels.images import decode_rgb8
from img2img.resources import samples_dir
from img2img.tasks import build_task

forked = pytest.mark.skipif(not FORKS, reason="loaders are spawned here, and share no memory")


def in_fork(work: Callable[[], object]) -> int | None:
    """The exit code of a process that is forked to do it."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)
    return process.exitcode


def mapped_from(pixels: np.ndarray) -> str:
    """What Linux says a piece of memory is of."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= pixels.ctypes.data < last:
            return line.split(maxsplit=5)[5]
    raise AssertionError("mapped nowhere")


def no_decoding(*_: object) -> Never:
    raise AssertionError("decoded again")


@forked
def test_what_one_process_decodes_all_others_have(
    photo_folder: Path, photos: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, paths = Cache(16), sorted(photo_folder.iterdir())
    assert in_fork(lambda: [cache.read(path) for path in paths[:3]]) == 0
    assert in_fork(lambda: [cache.read(path) for path in paths[3:]]) == 0
    monkeypatch.setattr(cache_module, "decode_rgb8", no_decoding)
    for path, photo in zip(paths, photos, strict=True):
        assert np.array_equal(cache.read(path), photo)
        assert np.shares_memory(cache.read(path), cache.pictures.pixels)


@forked
def test_a_killed_process_leaves_nothing_behind_and_holds_nobody_up(
    photo_folder: Path, photos: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "LOCK_S", 0.05)
    cache, paths = Cache(16), sorted(photo_folder.iterdir())

    def killed() -> None:
        cache.read(paths[0])
        cache.pictures.lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_fork(killed) == -signal.SIGKILL
    for path, photo in zip(paths, photos, strict=True):
        assert np.array_equal(cache.read(path), photo)
    assert mapped_from(cache.pictures.pixels) == "/dev/zero (deleted)", "no file anywhere"


@forked
def test_what_loaders_decode_is_shared(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(path=str(photo_folder), crop_px=32, validation_share=0)  # type: ignore[arg-type]  # a single folder
    train = load_photos(build_task("denoise"), config, 0).train
    numbers = [[i, i + 1] for i in range(0, 12, 2)]
    batches = DataLoader(
        train, batch_sampler=numbers, collate_fn=train.collate, num_workers=1,
        multiprocessing_context="fork",
    )  # fmt: skip
    loaded = [batch for batch, _ in batches]
    monkeypatch.setattr(cache_module, "decode_rgb8", no_decoding)
    for batch, (first, _) in zip(loaded, numbers, strict=True):
        assert torch.equal(batch.condition, train.batch(first, 2).condition)


def test_the_budget_bounds_what_is_kept() -> None:
    pictures = SharedPictures(2 * 300 + 10)
    some = [np.full((10, 10, 3), value, np.uint8) for value in range(3)]
    kept = [pictures.keep(str(number), one) for number, one in enumerate(some)]
    assert kept[2] is some[2]
    assert pictures.get("2") is None
    assert [int(pictures.get(name)[0, 0, 0]) for name in "01"] == [0, 1]  # type: ignore[index]  # kept
    assert pictures.used.tolist() == [600, 2]
    again = pictures.keep("0", some[2])
    assert (again == 0).all(), "what was kept first stays"
    none = SharedPictures(0)
    assert none.keep("0", some[0]) is some[0]


def test_names_that_fall_on_one_place_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_digest", lambda name: (7, int(name)))
    pictures = SharedPictures(10_000)
    for value in range(5):
        pictures.keep(str(value), np.full((4, 6, 3), value, np.uint8))
    assert [pictures.get(str(value)).max() for value in range(5)] == list(range(5))  # type: ignore[union-attr]  # kept
    assert pictures.get("5") is None


def test_a_full_table_takes_no_more() -> None:
    pictures = SharedPictures(10**6)
    for number in range(2000):
        pictures.keep(str(number), np.zeros((1, 1, 3), np.uint8))
    assert pictures.used[1] == 0.75 * len(pictures.table)
    assert pictures.get("1999") is None
    assert pictures.get("0") is not None


def test_less_memory_than_was_asked_for_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    original = cache_module.mmap

    def refusing(place: int, size: int) -> Any:
        if size > 2**20:
            raise OSError("Cannot allocate memory")
        return original(place, size)

    monkeypatch.setattr(cache_module, "mmap", refusing)
    assert len(SharedPictures(3 * 2**20).pixels) == 3 * 2**18


def test_a_spawned_process_has_its_own(photo_folder: Path) -> None:
    cache, path = Cache(2), sorted(photo_folder.iterdir())[0]
    photo = cache.read(path)
    two = pickle.loads(pickle.dumps((cache, cache.smaller(64))))
    assert two[0].pictures is two[1].pictures
    assert two[0].pictures.used.tolist() == [0, 0]
    assert np.array_equal(two[0].read(path), photo)
    two[0].pictures.divide(4)
    assert len(two[1].pictures.pixels) == 2**19


# --- decoded smaller


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder with four JPEG files of 1200×900 px, one of them on its side."""
    folder = tmp_path / "large"
    folder.mkdir()
    for number, path in enumerate(sorted(samples_dir().glob("*.jpg"))[:4]):
        image = Image.open(path).convert("RGB").resize((1200, 900), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 3 else 1
        image.save(folder / f"{number}.jpg", quality=92, exif=exif)
    return folder


@pytest.mark.parametrize(
    ("shorter_px", "shape"),
    [(None, (900, 1200)), (451, (900, 1200)), (450, (900, 1200)), (225, (450, 600)),
     (113, (450, 600)), (112, (225, 300)), (56, (113, 150)), (16, (113, 150))],
)  # fmt: skip
def test_a_jpeg_is_decoded_at_twice_what_is_needed_or_more(
    large: Path, shorter_px: int | None, shape: tuple[int, int]
) -> None:
    found = decode_rgb8(large / "0.jpg", shorter_px=shorter_px)
    assert found.shape == (*shape, 3)
    assert decode_rgb8(large / "3.jpg", shorter_px=shorter_px).shape == (shape[1], shape[0], 3)
    assert np.array_equal(found, decode_rgb8(large / "0.jpg", shorter_px=shorter_px))


def test_shrunk_it_is_nearly_what_the_whole_is(large: Path) -> None:
    for path in sorted(large.iterdir()):
        whole, smaller = (
            cv2.resize(decode_rgb8(path, shorter_px=px), (96, 96), interpolation=cv2.INTER_AREA)
            for px in (None, 96)
        )
        assert 0 < np.abs(whole.astype(int) - smaller).mean() < 2


def test_only_jpeg_files_are_decoded_smaller(large: Path, tmp_path: Path) -> None:
    image = Image.open(large / "0.jpg")
    for kind in ("png", "webp", "tif"):
        image.save(tmp_path / f"x.{kind}")
        assert decode_rgb8(tmp_path / f"x.{kind}", shorter_px=64).shape == (900, 1200, 3)
    image.save(tmp_path / "x.mpo", save_all=True, append_images=[image])
    assert decode_rgb8(tmp_path / "x.mpo", shorter_px=64).shape == (225, 300, 3)
    image.convert("L").save(tmp_path / "grey.jpg")
    assert decode_rgb8(tmp_path / "grey.jpg", shorter_px=64).shape == (225, 300, 3)


def test_a_cut_file_is_refused_at_any_size(large: Path) -> None:
    path = large / "0.jpg"
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UserError, match="cut short"):
        decode_rgb8(path, shorter_px=64)


def opened(folder: Path, **fields: Any) -> Photos:
    config = DataConfig(path=str(folder), crop_px=64, validation_share=0.25, **fields)  # type: ignore[arg-type]  # a single folder
    return load_photos(build_task("denoise"), config, 0)


def test_training_alone_reads_smaller(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = opened(large, resize_px=(64, 80))
    drawn = found.train.batch(0, 3)
    assert found.train.cut_from.read(0, 0).photo.shape == (225, 300, 3)  # type: ignore[union-attr]  # a photo
    assert found.train.readable(1)[0].photo.shape[0] == 900, "whole, where size counts"
    monkeypatch.setattr(codecs, "decode_smaller", lambda *_: None)
    before = opened(large, resize_px=(64, 80))
    for now, then in zip(
        [*found.validation, *found.trained], [*before.validation, *before.trained], strict=True
    ):
        assert torch.equal(now.condition, then.condition)
        assert torch.equal(now.target, then.target)
    whole = before.train.batch(0, 3)
    assert not torch.equal(drawn.target, whole.target)
    assert (drawn.target - whole.target).abs().mean() < 0.03


def test_without_resizing_nothing_is_decoded_smaller(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "decode_smaller", no_decoding)
    train = opened(large).train
    assert train.cut_from is train.source
    train.batch(0, 3)


def test_pairs_keep_their_size(large: Path, tmp_path: Path) -> None:
    for side in "AB":
        (tmp_path / "pairs" / side).mkdir(parents=True)
        (tmp_path / "pairs" / side / "0.jpg").write_bytes((large / "0.jpg").read_bytes())
    two = open_pairs([tmp_path / "pairs"], Cache(0), 0, "error").source
    assert two.for_crops(64).read(0, 0).photo.shape == (900, 1200, 3)  # type: ignore[union-attr]  # a pair
    halves = np.hstack([decode_rgb8(large / "0.jpg")] * 2)
    (tmp_path / "one").mkdir()
    Image.fromarray(halves).save(tmp_path / "one" / "0.jpg")
    one = open_pairs([tmp_path / "one"], Cache(0), 0, "error").source
    assert one.for_crops(64).read(0, 0).photo.shape == (900, 1200, 3)  # type: ignore[union-attr]  # a pair
