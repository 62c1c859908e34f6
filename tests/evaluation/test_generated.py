"""Samples are measured against real pictures: a generator of real ones scores as they do, one of
noise does not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img.data.labelled import DEBIAN
from img2img.errors import UserError
from img2img.evaluation import evaluate
from img2img.evaluation.classifier import seen_by, train_classifier
from img2img.evaluation.generated import REAL
from img2img.inference.pipeline import load
from img2img.inference.sampling import GenerateRequest, generate
from img2img.zoo import model_path

CLASSES = 4


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares in one of four corners, (N,28,28) uint8 with noise, and which corner."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % CLASSES
    made = rng.integers(0, 60, (count, 28, 28)).astype(np.uint8)
    for picture, label in zip(made, labels, strict=True):
        top, left = (14 * (label // 2) + rng.integers(4), 14 * (label % 2) + rng.integers(4))
        picture[top : top + 9, left : left + 9] = rng.integers(150, 255)
    return made, labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corners as class folders of PNGs, parted into train and test."""
    folder = tmp_path_factory.mktemp("corners")
    for part, count, seed in (("train", 400, 0), ("test", 80, 1)):
        for number, (picture, label) in enumerate(zip(*pictures(count, seed), strict=True)):
            (folder / part / f"corner {label}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / part / f"corner {label}" / f"{number}.png")
    return folder


@pytest.fixture
def model(noise_model: Callable[..., Path]) -> Callable[..., Path]:
    """An MLP with random weights that makes 28 px pictures of classes."""
    task = {"kind": "generate", "size_px": 28, "channels": 1, "latent": 8}
    return lambda name, labels=CLASSES: noise_model({**task, "labels": labels}, name)


def test_the_classifier_learns_and_is_the_same_again() -> None:
    made, labels = pictures(600, 0)
    x, y = torch.from_numpy(made)[:, None], torch.from_numpy(labels.astype(np.int64))
    first, again = (train_classifier(x, y, CLASSES) for _ in range(2))
    seen = seen_by(first, x)
    assert float((seen.probabilities.argmax(1) == y).float().mean()) > 0.99
    assert (seen.probabilities.shape, seen.features.shape) == ((600, CLASSES), (600, 128))
    assert torch.equal(seen_by(again, x).features, seen.features)


def test_random_pictures_score_badly_beside_real_ones(
    data: Path, model: Callable[..., Path], tmp_path: Path
) -> None:
    report = evaluate("generate", str(data), model("random"), tmp_path / "out", limit=30)
    rows = {(row.setting, row.method): row.values for row in report.rows}
    assert [row.setting for row in report.rows[-2:]] == ["all", "all"]
    assert {setting for setting, _ in rows} == {*(f"corner {n}" for n in range(4)), "all"}
    ours, real = rows["all", "random"], rows["all", REAL]
    assert real["asked class %"] == 100.0
    assert real["diversity"] == pytest.approx(1, abs=0.2)
    assert abs(real["KID"] or 0) < 0.3 < (ours["KID"] or 0)
    assert (real["FID (classifier)"] or 0) * 2 < (ours["FID (classifier)"] or 0)
    assert (ours["asked class %"] or 0) < 60 and (ours["diversity"] or 0) < 0.8
    assert (
        report.notes[0].startswith("the classifier, trained in ") and "100.0 %" in report.notes[0]
    )
    assert "of 4 classes are seen" in report.notes[1]
    assert "N = 30 generated and at least 9 real pictures, fewer than features" in report.notes[2]
    assert len(report.photos) == 120
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "report.json",
        "report.md",
        "photos.csv",
        "worst.png",
        "first.png",
    }


def test_a_generator_of_real_pictures_scores_as_they_do(
    data: Path, model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def perfect(_: object, conditions: torch.Tensor) -> torch.Tensor:
        drawn, _labels = pictures(len(conditions), 5)
        order = np.argsort(
            np.arange(len(drawn)) % CLASSES, kind="stable"
        )  # as they are asked for, class by class
        return torch.from_numpy(drawn[order]).float()[:, None] / 255

    monkeypatch.setattr("img2img.evaluation.generated.generated", perfect)
    report = evaluate("generate", str(data), model("perfect"), limit=30)
    ours = {row.setting: row.values for row in report.rows if row.method == "perfect"}["all"]
    assert ours["asked class %"] == 100.0
    assert ours["diversity"] == pytest.approx(1, abs=0.25)
    assert abs(ours["KID"] or 0) < 0.3


def test_what_cannot_be_measured_is_said(data: Path, model: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="has 4 classes, and the model 3"):
        evaluate("generate", str(data), model("three", 3))
    with pytest.raises(UserError, match="knows no classes"):
        evaluate("generate", str(data), model("none", 0))
    with pytest.raises(UserError, match=r"^data: .*no train/ and test/"):
        evaluate("generate", str(data / "train"), model("four"))
    with pytest.raises(UserError, match="has 4 classes, and the model 10"):
        evaluate("generate", str(data))  # by the shipped model
    with pytest.raises(UserError, match=r"^limit: 1 samples"):
        evaluate("generate", str(data), model("four"), limit=1)


def test_the_shipped_model_is_small_and_knows_its_classes() -> None:
    shipped = load("fashion_mnist", device="cpu")
    assert model_path("fashion_mnist").stat().st_size <= 5e6
    assert len(shipped.card.class_names) == shipped.task.classes == 10
    made, columns = generate(shipped, GenerateRequest(count=40))
    assert (made.shape, columns) == ((40, 3, 28, 28), 10)
    classes = made.view(4, 10, -1)
    within, between = (
        (classes - classes.mean(0)).norm(dim=2).mean(),
        (classes - classes.mean(1, True)).norm(dim=2).mean(),
    )
    assert 1 < within < between, "pictures differ, and those of other classes differ more"


@pytest.mark.slow
@pytest.mark.skipif(
    not (DEBIAN / "fashion-mnist").is_dir(), reason="needs Debian's dataset-fashion-mnist"
)
def test_the_shipped_model_makes_what_is_asked_for() -> None:
    report = evaluate("generate", "fashion-mnist", "fashion_mnist")
    ours = {row.setting: row.values for row in report.rows if row.method == "fashion_mnist"}
    assert len(ours) == 11
    assert (ours["all"]["asked class %"] or 0) >= 90
    assert all((values["diversity"] or 0) >= 0.8 for values in ours.values()), (
        "each class is as varied as real ones"
    )
    assert (ours["all"]["KID"] or 1) < 0.02
    assert "N = 500 generated and at least 464 real pictures; it falls" in report.notes[2]
    assert min(values["asked class %"] or 0 for values in ours.values()) > 50, (
        "all classes are there"
    )
