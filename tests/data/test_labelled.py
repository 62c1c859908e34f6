"""Pictures with classes are read as they come: by torchvision's loaders, from packed idx files,
from class folders.
"""

from __future__ import annotations

import gzip
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2img.data import labelled
from img2img.data.dataset import DataConfig, load_photos
from img2img.data.folder import Cache, split
from img2img.data.labelled import ArraySource, ClassFolderSource, array_source, labelled_source
from img2img.errors import UserError
from img2img.tasks import build_task

CLASSES = 10


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(
    folder: Path, count: int = 40, packed: bool = True, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Both parts of a data set as MNIST comes; returns the training part. Each picture's corner is
    its label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for prefix in ("train", "t10k"):
        pictures = np.random.default_rng(seed + len(prefix)).integers(
            0, 256, (count, 28, 28), np.uint8
        )
        labels = np.arange(count, dtype=np.uint8) % CLASSES
        pictures[:, 0, 0] = labels
        for what, array in (("images-idx3", pictures), ("labels-idx1", labels)):
            path = folder / f"{prefix}-{what}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
        made.append((pictures, labels))
    return made[0]


def write_classes(
    folder: Path, photos: list[np.ndarray], names: tuple[str, ...] = ("cat", "dog"), each: int = 4
) -> None:
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            Image.fromarray(photos[label]).save(folder / name / f"{number}.png")


@pytest.mark.parametrize(
    ("place", "packed"),
    [("", True), ("", False), ("raw", False), ("MNIST/raw", False), ("MNIST/raw", True)],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_idx_files_are_found_packed_or_not_wherever_they_lie(
    tmp_path: Path, place: str, packed: bool, by_name: bool
) -> None:
    pictures, labels = write_idx(tmp_path / place, packed=packed)
    source = labelled_source([f"mnist:{tmp_path}" if by_name else str(tmp_path)], Cache(0))
    assert len(source) == len(pictures)
    assert source.class_names == tuple("0123456789")
    for index in (0, 17, 39):
        sample = source.read(index, 5)
        assert sample.photo is not None
        assert (sample.number, sample.photo.shape, sample.label) == (5, (28, 28, 3), labels[index])
        assert all(
            np.array_equal(sample.photo[..., channel], pictures[index]) for channel in range(3)
        )
    test = labelled_source([str(tmp_path)], Cache(0), "test")
    assert not np.array_equal(test.read(1, 0).photo, source.read(1, 0).photo)  # type: ignore[arg-type]  # both there
    assert {source.key(i) for i in range(40)}.isdisjoint(test.key(i) for i in range(40))


def test_fashion_is_known_by_its_folder(tmp_path: Path) -> None:
    write_idx(tmp_path / "fashion-mnist")
    write_idx(tmp_path / "root" / "FashionMNIST" / "raw", packed=False)
    for path in (f"{tmp_path}/fashion-mnist", f"{tmp_path}/root", f"fashion-mnist:{tmp_path}/root"):
        assert labelled_source([path], Cache(0)).class_names[:2] == ("T-shirt/top", "Trouser")


def test_debians_package_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, _ = write_idx(tmp_path / "fashion-mnist")
    monkeypatch.setattr(labelled, "DEBIAN", tmp_path)
    monkeypatch.chdir(tmp_path / "fashion-mnist")
    assert np.array_equal(
        labelled_source(["fashion-mnist"], Cache(0)).read(3, 0).photo[..., 0], pictures[3]
    )  # type: ignore[index]  # there


@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(),
    reason="needs Debian's dataset-fashion-mnist",
)
def test_the_real_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train, test = (labelled_source(["fashion-mnist"], Cache(0), part) for part in ("train", "test"))
    assert isinstance(train, ArraySource) and (len(train), len(test)) == (60000, 10000)
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert train.pictures.mean() == pytest.approx(72.94, abs=0.01), "as published"


def write_cifar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """CIFAR-10's python version with eight pictures a file, and torchvision told its sums."""
    from torchvision.datasets import CIFAR10

    folder.mkdir(parents=True)
    pictures = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    batch = {"data": pictures.transpose(0, 3, 1, 2).reshape(8, -1), "labels": list(range(8))}
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    for name in names:
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    sums = {
        name: hashlib.md5((folder / name).read_bytes()).hexdigest()
        for name in [*names, "batches.meta"]
    }
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in names[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[names[5], sums[names[5]]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    return pictures


def test_cifar_is_read_by_torchvision_which_checks_its_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled.declare_torchvision_ops()
    folder = tmp_path / "cifar-10-batches-py"
    pictures = write_cifar(folder, monkeypatch)
    for path in (str(tmp_path), str(folder), f"cifar-10:{tmp_path}"):
        source = labelled_source([path], Cache(0))
        assert (len(source), source.class_names) == (40, tuple("abcdefghij"))
        assert np.array_equal(source.read(9, 0).photo, pictures[1])  # type: ignore[arg-type]  # there
        assert source.read(9, 0).label == 1
    (folder / "data_batch_2").write_bytes(b"cos\nsystem\n(S'exit 3'\ntR.")
    with pytest.raises(UserError, match=r"CIFAR-10 in .* is not whole"):
        labelled_source([str(tmp_path)], Cache(0))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar-10"])
def test_missing_files_are_one_line_that_says_where_to_put_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(labelled, "DEBIAN", tmp_path / "none")
    for path in (name, f"{name}:{tmp_path}"):
        with pytest.raises(UserError, match=f"./{name}.*{name}:FOLDER") as caught:
            labelled_source([path], Cache(0))
        assert "\n" not in str(caught.value)
        assert ("apt-get install dataset-fashion-mnist" in str(caught.value)) == (
            name == "fashion-mnist"
        )


@pytest.mark.parametrize("damage", ["cut", "other", "packing"])
def test_damaged_idx_files_are_named(tmp_path: Path, damage: str) -> None:
    write_idx(tmp_path, packed=damage == "packing")
    path = tmp_path / ("train-images-idx3-ubyte" + (".gz" if damage == "packing" else ""))
    content = path.read_bytes()
    path.write_bytes(
        {"cut": content[:-1], "other": b"\0\0\x0d\x03" + content[4:], "packing": content[:-20]}[
            damage
        ]
    )
    with pytest.raises(UserError, match=path.name):
        labelled_source([str(tmp_path)], Cache(0))


def test_class_folders_are_read_in_the_order_of_torchvision(
    tmp_path: Path, photos: list[np.ndarray]
) -> None:
    write_classes(tmp_path, photos, ("dog", "ant", "cat"), each=8)
    source = labelled_source([str(tmp_path)], Cache(8))
    assert isinstance(source, ClassFolderSource)
    assert source.class_names == ("ant", "cat", "dog"), "as torchvision's ImageFolder numbers them"
    samples = [source.read(index, index) for index in range(len(source))]
    assert sorted(s.label for s in samples if s.label is not None) == [0] * 8 + [1] * 8 + [2] * 8
    assert all(np.array_equal(s.photo, photos[(1, 2, 0)[s.label]]) for s in samples)  # type: ignore[arg-type, index]  # there
    assert len({source.read(index, 0).label for index in range(8)}) == 3, (
        "any few are of many classes"
    )
    assert len({source.key(index) for index in range(24)}) == 24


def test_train_and_test_folders_are_parts(tmp_path: Path, photos: list[np.ndarray]) -> None:
    write_classes(tmp_path / "train", photos, each=3)
    write_classes(tmp_path / "val", photos, each=2)
    assert [
        len(labelled_source([str(tmp_path)], Cache(0), part)) for part in ("train", "test")
    ] == [6, 4]
    with pytest.raises(UserError, match="no train/ and test/"):
        labelled_source([str(tmp_path / "train")], Cache(0), "test")


def test_what_is_no_folder_of_classes_is_said(tmp_path: Path, photos: list[np.ndarray]) -> None:
    with pytest.raises(UserError, match="does not exist"):
        labelled_source([str(tmp_path / "nowhere")], Cache(0))
    with pytest.raises(UserError, match="put each class in its own folder"):
        labelled_source([str(tmp_path)], Cache(0))
    write_classes(tmp_path, photos)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="'empty' holds no photo"):
        labelled_source([str(tmp_path)], Cache(0))
    with pytest.raises(UserError, match="give one"):
        labelled_source(["mnist", str(tmp_path)], Cache(0))


def opened(path: str, labels: int = 10, **fields: Any) -> Any:
    task = build_task({"kind": "generate", "size_px": 28, "channels": 1, "labels": labels})
    return load_photos(
        task, DataConfig(path=path, crop_px=28, flip=False, validation_share=0.2, **fields), 0
    )  # type: ignore[arg-type]  # one


def test_a_labelled_task_gets_pictures_with_their_labels(tmp_path: Path) -> None:
    _, labels = write_idx(tmp_path)
    photos = opened(str(tmp_path))
    assert (photos.count, photos.class_names) == (40, tuple("0123456789"))
    batch = photos.train.batch(0, 32)
    assert np.array_equal((batch.target[:, 0, 0, 0] * 255).round().numpy(), batch.label.numpy()), (
        "not cut, not flipped"
    )
    assert len(photos.validation) == 1 and len(photos.validation[0]) == 8
    train, held_out = split(labelled_source([str(tmp_path)], Cache(0)), 0.2)
    assert sorted(batch.label.tolist()) == sorted(labels[train].tolist())
    assert np.array_equal(photos.validation[0].label.numpy(), labels[held_out])


def test_small_pictures_are_enlarged_to_the_crop(tmp_path: Path) -> None:
    write_idx(tmp_path)
    task = build_task({"kind": "generate", "size_px": 32, "labels": 10})
    photos = load_photos(task, DataConfig(path=str(tmp_path), crop_px=32, flip=False), 0)  # type: ignore[arg-type]  # one
    assert photos.train.batch(0, 3).target.shape == (3, 3, 32, 32)


def test_a_task_without_labels_takes_the_same_pictures_as_photos(
    tmp_path: Path, photos: list[np.ndarray]
) -> None:
    write_idx(tmp_path / "digits")
    unlabelled = opened(str(tmp_path / "digits"), labels=0)
    assert (unlabelled.count, unlabelled.class_names) == (40, ())
    assert unlabelled.train.batch(0, 4).label is None
    write_classes(tmp_path / "folders", photos)
    assert array_source(str(tmp_path / "folders")) is None
    assert opened(str(tmp_path / "folders"), labels=0).count == 8


def test_the_number_of_classes_must_be_the_tasks(tmp_path: Path, photos: list[np.ndarray]) -> None:
    write_classes(tmp_path, photos)
    with pytest.raises(UserError, match=r"task.labels is 10, and '.*' has 2 classes \(cat, dog\)"):
        opened(str(tmp_path))
    assert opened(str(tmp_path), labels=2).class_names == ("cat", "dog")
