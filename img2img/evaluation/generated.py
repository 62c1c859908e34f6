"""Measuring pictures generated from noise and a class: whether they show that class, and vary as
real ones do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.data.cache import Cache
from img2img.data.labelled import LabelledSource, PublishedPart, labelled_source
from img2img.errors import UserError
from img2img.evaluation import metrics
from img2img.evaluation.classifier import FEATURES, Classifier, Seen, seen_by, train_classifier
from img2img.evaluation.metrics import Column
from img2img.evaluation.pictures import Line
from img2img.evaluation.report import PhotoScore, Report, Row, Values
from img2img.inference.pipeline import Model
from img2img.inference.sampling import generated, noise_task, samples
from img2img.pixels.images import quantise
from img2img.tasks.noise import NoiseTask

PER_CLASS = 500
SHOWN, ZOOM = 6, 3
REAL = "held-out real"
STATEMENT = (
    "{per_class} samples a class from the seeds 0, 1, …, rounded to 8 bits; a small classifier, "
    "trained here on the real training part from a fixed seed, says which class it sees; "
    "diversity: mean distance of pairs within a class, over that of one half of the real test "
    "part, and KID against that half, both on the classifier's last features (unit length); the "
    "other half stands beside as held-out real"
)
_ASKED = Column("asked class %", "higher", 1)
_DIVERSITY = Column("diversity", "higher", 2)
_KID = Column("KID", "lower", 4)
_FID = Column("FID (classifier)", "lower", 3)
COLUMNS = (_ASKED, _DIVERSITY, _KID, _FID)


@dataclass(frozen=True)
class Pictures:
    """Pictures (N,C,S,S) uint8, their classes (N,), and the names of the classes."""

    pixels: Tensor
    labels: Tensor
    names: tuple[str, ...]


def measure_generated(models: Sequence[Model], data: str, limit: int | None = None) -> Report:
    """The report on class-conditional models, the first of which is ours; `limit`: samples a class.

    Raises UserError for a model without classes, or data with other classes than the model's.
    """
    tasks = [_with_classes(model) for model in models]
    if limit is not None and limit < 2:
        raise UserError(
            f"{limit} samples a class have no diversity", field="limit", remedy="give 2 or more"
        )
    channels = {task.prediction_channels for task in tasks}
    if len(channels) > 1:
        raise UserError(
            "one of the models makes grey pictures and the other colored",
            field="baseline",
            remedy="compare like with like",
        )
    train, test = (real_pictures(models[0], data, part) for part in ("train", "test"))
    began = time.monotonic()
    classifier = train_classifier(train.pixels, train.labels, len(train.names))
    seconds = time.monotonic() - began
    halves = [Pictures(test.pixels[i::2], test.labels[i::2], test.names) for i in (0, 1)]
    sets = {
        m.name: generated_pictures(m, t, test.names, limit or PER_CLASS)
        for m, t in zip(models, tasks, strict=True)
    }
    seen = {name: seen_by(classifier, p.pixels) for name, p in {**sets, REAL: halves[1]}.items()}
    reference = seen_by(classifier, halves[0].pixels)
    rows = [
        row
        for name, pictures in {**sets, REAL: halves[1]}.items()
        for row in _rows(
            name, pictures, seen[name], halves[0], reference, ours=name == models[0].name
        )
    ]
    settings = [*test.names, "all"]
    ours = models[0].name
    worst, first = _examples(sets[ours], seen[ours])
    return Report(
        task=models[0].task.kind,
        data=data,
        protocol=STATEMENT.format(per_class=limit or PER_CLASS),
        columns=COLUMNS,
        photo_count=len(test.labels),
        rows=sorted(rows, key=lambda row: settings.index(row.setting)),
        photos=[
            score
            for name, pictures in sets.items()
            for score in _scores(name, pictures, seen[name])
        ],
        notes=[
            *_notes(seen[ours], test, classifier, seconds),
            _about_fid(limit or PER_CLASS, halves[0]),
        ],
        worst=worst,
        first=first,
    )


def _with_classes(model: Model) -> NoiseTask:
    task = noise_task(model)
    if not task.classes:
        raise UserError(
            f"'{model.name}' knows no classes",
            field="model",
            remedy="none can be asked for and found again",
        )
    return task


def real_pictures(model: Model, data: str, part: PublishedPart) -> Pictures:
    """A part of the data as the model's recipe cuts it."""
    try:
        source = labelled_source([data], Cache(0), part)
    except UserError as error:
        raise error.about("data") from None
    task, names = noise_task(model), source.class_names
    if len(names) != task.classes:
        raise UserError(
            f"'{data}' has {len(names)} classes, and the model {task.classes}", field="data"
        )
    cut = np.stack([_picture(source, index, model) for index in range(len(source))])
    labels = torch.tensor([int(label) for label in source.labels])
    return Pictures(torch.from_numpy(cut).permute(0, 3, 1, 2), labels, names)


def _picture(source: LabelledSource, index: int, model: Model) -> np.ndarray:
    photo = source.read(index, index).photo
    assert photo is not None
    cut = model.recipe.data.center([photo])[0]
    if noise_task(model).prediction_channels == 3:
        return cut
    return np.rint(cut.mean(2, keepdims=True)).astype(np.uint8)


def generated_pictures(
    model: Model, task: NoiseTask, names: tuple[str, ...], per_class: int
) -> Pictures:
    """Samples of every class, rounded as a file would hold them."""
    labels = torch.arange(task.classes).repeat_interleave(per_class)
    drawn = samples(task, range(len(labels)), 0)
    pictures = generated(model, task.condition(drawn.noise, labels, drawn.code))[
        :, : task.prediction_channels
    ]
    return Pictures(torch.from_numpy(quantise(pictures.numpy(), np.uint8)), labels, names)


def _rows(
    name: str, fakes: Pictures, seen: Seen, real: Pictures, reference: Seen, ours: bool
) -> list[Row]:
    """A row for each class and one for all; the diversity of all is the classes' mean."""
    hit = (seen.probabilities.argmax(1) == fakes.labels).float() * 100
    values: dict[str, Values] = {}
    for number, class_name in enumerate(fakes.names):
        own, theirs = fakes.labels == number, real.labels == number
        a, b = _compared(seen.features[own]), _compared(reference.features[theirs])
        numbers = (
            float(hit[own].mean()),
            float(torch.pdist(a).mean() / torch.pdist(b).mean()),
            metrics.kid(a, b),
            metrics.fid(a, b),
        )
        values[class_name] = dict(zip((c.name for c in COLUMNS), numbers, strict=True))
    spread = float(np.mean([v[_DIVERSITY.name] for v in values.values()]))
    every = _compared(seen.features), _compared(reference.features)
    whole = float(hit.mean()), spread, metrics.kid(*every), metrics.fid(*every)
    values["all"] = dict(zip((c.name for c in COLUMNS), whole, strict=True))
    return [
        Row(setting, name, "model" if ours else "baseline", found)
        for setting, found in values.items()
    ]


def _compared(features: Tensor) -> Tensor:
    """Features (N,d) as sets are compared in: of length √d, so that the dot product over d in KID's
    kernel is a cosine.
    """
    return F.normalize(features.double()) * features.shape[1] ** 0.5


def _about_fid(per_class: int, real: Pictures) -> str:
    """On how many pictures FID stands, and whether they are enough."""
    fewest_real = int(torch.bincount(real.labels, minlength=len(real.names)).min())
    note = (
        f"{_FID.name} is the Fréchet distance in the features of KID, {FEATURES} numbers of the "
        f"classifier and not Inception's, so that it is no published FID; a class: N = {per_class} "
        f"generated and at least {fewest_real} real pictures"
    )
    if min(per_class, fewest_real) > FEATURES:
        return f"{note}; it falls as N grows, so compare equal N alone"
    return f"{note}, fewer than features or as many: FID of a class is unstable and far too high"


def _scores(name: str, fakes: Pictures, seen: Seen) -> list[PhotoScore]:
    sure = seen.probabilities.gather(1, fakes.labels[:, None])[:, 0].tolist()
    return [
        PhotoScore(f"seed {seed}", fakes.names[label], name, {"probability of the asked class": p})
        for seed, (label, p) in enumerate(zip(fakes.labels.tolist(), sure, strict=True))
    ]


def _notes(seen: Seen, test: Pictures, classifier: Classifier, seconds: float) -> list[str]:
    """How good the classifier is, and how many classes it sees in the samples."""
    right = (seen_by(classifier, test.pixels).probabilities.argmax(1) == test.labels).float().mean()
    counts = torch.bincount(seen.probabilities.argmax(1), minlength=len(test.names))
    classes, rarest = int((counts > 0).sum()), int(counts.argmin())
    share = 100 * counts[rarest] / counts.sum()
    return [
        f"the classifier, trained in {seconds:.0f} s, is right on {100 * right:.1f} % of the real "
        "test pictures",
        f"{classes} of {len(test.names)} classes are seen; the rarest, {test.names[rarest]}, in "
        f"{share:.1f} %",
    ]


def _examples(fakes: Pictures, seen: Seen) -> tuple[list[Line], list[Line]]:
    """For each class, the samples that look least like it to the classifier, and the first ones,
    which nobody chose.
    """
    sure = seen.probabilities.gather(1, fakes.labels[:, None])[:, 0]
    by_class = [(fakes.labels == number).nonzero()[:, 0] for number in range(len(fakes.names))]
    worst = [_line(fakes, seen, own[sure[own].argsort()[:SHOWN]]) for own in by_class]
    return worst, [_line(fakes, seen, own[:SHOWN]) for own in by_class]


def _line(fakes: Pictures, seen: Seen, which: Tensor) -> Line:
    """Samples of one class side by side."""
    panels = []
    for i in which:
        picture = fakes.pixels[i].expand(3, -1, -1).permute(1, 2, 0).numpy()
        enlarged = np.ascontiguousarray(picture.repeat(ZOOM, 0).repeat(ZOOM, 1))
        sure = float(seen.probabilities[i, fakes.labels[i]])
        taken_for = fakes.names[int(seen.probabilities[i].argmax())]
        panels.append((f"seed {int(i)}: {100 * sure:.0f} %, {taken_for}", enlarged))
    return Line(f"asked for: {fakes.names[int(fakes.labels[which[0]])]}", tuple(panels))
