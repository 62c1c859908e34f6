"""`img2img eval`: a model beside baselines by its task's protocol, one photo in memory at a time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from operator import add
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from img2img.data.folder import pair_source, photo_source
from img2img.data.sample import PhotoSample, Sample
from img2img.data.source import Cache, Source
from img2img.devices import Precision
from img2img.errors import UserError, did_you_mean
from img2img.evaluation.case import Case, Method, as_8_bit
from img2img.evaluation.generated import measure_generated
from img2img.evaluation.metrics import PERCEPTUAL_METRICS, Column
from img2img.evaluation.pictures import FirstCases, WorstCases
from img2img.evaluation.protocol import Protocol, Scores
from img2img.evaluation.protocols import protocol_for
from img2img.evaluation.published import published_rows
from img2img.evaluation.report import PhotoScore, Report, Row
from img2img.inference.ensemble import can_ensemble
from img2img.inference.pipeline import Model, load
from img2img.tasks import task_kinds
from img2img.zoo.catalogue import CATALOGUE

Answers = Callable[[Case], Mapping[str, torch.Tensor]]

log = logging.getLogger("img2img")


def evaluate(
    task: str,
    data: Path | str,
    model: str | Path | None = None,
    out: Path | str | None = None,
    baseline: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    limit: int | None = None,
    self_ensemble: bool = False,
) -> Report:
    """Measure a model on a folder of photos beside its baselines, all on the same pixels, seeds and
    masks.

    `model`: zoo name, model file or run; by default the shipped ones, for every scale there is.
    `baseline`: another model to set beside, such as one trained with L1 alone. `limit`: only the
    first photos. `out`: folder for the files. `self_ensemble`: a row more, of the same model over
    flips and turns. Raises UserError for what a user can mend; photos that cannot be read or are
    too small are left out and reported.
    """
    if task not in task_kinds():
        raise UserError(f"unknown task '{task}'{did_you_mean(task, task_kinds())}")
    if precision not in get_args(Precision):
        raise UserError(
            f"'{precision}'{did_you_mean(precision, get_args(Precision))}", field="precision"
        )
    if limit is not None and limit < 1:
        raise UserError(
            f"{limit} leaves nothing to measure", field="limit", remedy="give 1 or more"
        )
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise UserError(f"'{out}' is a file, not a folder", field="out")
    names = CATALOGUE.defaults(task) if model is None else [model]
    models = (load(name, device=device, precision=precision) for name in names)
    report = reduce(
        add,
        [_one_model(task, Path(data), model, baseline, limit, self_ensemble) for model in models],
    )
    if out is not None:
        report.write(Path(out))
    return report


def _one_model(
    task: str,
    data: Path,
    model: Model,
    baseline: str | Path | None,
    limit: int | None,
    self_ensemble: bool,
) -> Report:
    if model.task.kind != task:
        raise UserError(
            f"'{model.name}' is made for {model.task.kind}, not for {task}", field="model"
        )
    if self_ensemble and not can_ensemble(model.recipe):
        raise UserError(
            f"'{model.name}' was not trained on turned photos",
            field="self_ensemble",
            remedy="leave it out",
        )
    if model.task.from_noise:
        return _described(_of_noise(data, model, baseline, limit), model)
    protocol = protocol_for(model.photo_task, model.recipe.data, model.device)
    rivals = protocol.baselines()
    if baseline is not None:
        other = load(baseline, device=str(model.device), precision=_precision(model))
        rivals[_rival_name(model, other)] = method_of(other)
    slower = (
        {f"{model.name}, self-ensemble": method_of(model, self_ensemble=True)}
        if self_ensemble
        else {}
    )
    ours = (model.name, method_of(model))
    return _described(measure(protocol, data, rivals, ours, limit, slower, protocol.trivial), model)


def _of_noise(data: Path, model: Model, baseline: str | Path | None, limit: int | None) -> Report:
    other = (
        None
        if baseline is None
        else load(baseline, device=str(model.device), precision=_precision(model))
    )
    if other is not None:
        other.name = _rival_name(model, other)
    return measure_generated([model] if other is None else [model, other], str(data), limit)


def _described(report: Report, model: Model) -> Report:
    """With what is to be said of the model."""
    card = model.card.model_dump(include={"steps", "images", "photos", "data", "version"})
    report.models.append(
        {"name": model.name, "recipe": model.recipe.name, "scale": model.task.scale, **card}
    )
    report.notes.extend(_trained_on(model))
    return report


def method_of(model: Model, self_ensemble: bool = False) -> Method:
    """A model as a method: it sees the same pixels as every baseline."""
    return lambda case: model.predict_tensor(case.given, case.mask, self_ensemble=self_ensemble)


def _no_answers(case: Case) -> Mapping[str, torch.Tensor]:
    return {}


def measure(
    protocol: Protocol,
    data: Path,
    rivals: dict[str, Method],
    ours: tuple[str, Method] | None = None,
    limit: int | None = None,
    variants: Mapping[str, Method] = MappingProxyType({}),
    simple: Answers = _no_answers,
) -> Report:
    """Run a protocol over the photos of a folder; without `ours` only the rivals are measured.

    `simple` gives the trivial answers to a case, which have rows too. `variants` of ours have rows,
    but no place among the rivals that the pictures of single cases show it beside. Raises UserError
    when the folder holds no photo that can be measured.
    """
    methods = {**rivals, **variants, **(dict([ours]) if ours else {})}
    skipped: dict[str, str] = {}
    scores: list[PhotoScore] = []
    trivial: dict[str, None] = {}
    worst, first = WorstCases(protocol.ranked_by), FirstCases(protocol.ranked_by)
    for case in _cases(protocol, _source(protocol, data), limit, skipped):
        answers = {name: _checked(rgb, case) for name, rgb in simple(case).items()}
        trivial |= dict.fromkeys(answers)
        made = answers | {name: _checked(method(case), case) for name, method in methods.items()}
        found = protocol.score(case, made)
        scores += [
            PhotoScore(case.photo, case.setting, name, values) for name, values in found.items()
        ]
        if ours:
            unseen = {*variants, *(answers.keys() - protocol.called.values())}
            shown = {name: rgb for name, rgb in made.items() if name not in unseen}
            worst.offer(case, shown, found, ours[0])
            first.offer(case, shown, found, ours[0])
    if not scores:
        raise UserError(
            f"no photo in '{data}' can be measured; first: {next(iter(skipped.items()))}",
            field="data",
        )
    scores = _without(_lesser(protocol, scores, list(trivial)), scores)
    rows, photos = (
        _rows(protocol, scores, ours[0] if ours else None),
        len({score.photo for score in scores}),
    )
    rows += published_rows(protocol.task.kind, data, photos, {row.setting for row in rows})
    return Report(
        task=protocol.task.kind,
        data=str(data),
        protocol=protocol.statement,
        columns=protocol.columns,
        photo_count=photos,
        rows=sorted(rows, key=lambda row: [r.setting for r in rows].index(row.setting)),
        photos=scores,
        skipped=skipped,
        notes=protocol.notes(),
        worst=worst.lines(),
        first=first.lines(),
    )


def _lesser(protocol: Protocol, scores: list[PhotoScore], trivial: list[str]) -> set[str]:
    """The trivial answers that a table leaves out: without a name in it, and not the best or
    another row once more.
    """
    values: dict[str, list[float]] = {}
    for score in scores:
        values.setdefault(score.method, []).append(_merit(protocol.ranked_by, score))
    means, known = (
        {name: float(np.mean(found)) for name, found in values.items()},
        set(protocol.called.values()),
    )
    best = max(trivial, key=lambda name: (means[name], name in known), default="")
    others = [mean for name, mean in means.items() if name not in trivial]
    again = bool(best) and bool(np.isclose(others, means[best], rtol=1e-6).any())
    return set(trivial) - known - (set() if again else {best})


def _merit(ranked_by: Column, score: PhotoScore) -> float:
    value = score.values.get(ranked_by.name)
    return 0.0 if value is None else value if ranked_by.better == "higher" else -value


def _without(methods: set[str], scores: list[PhotoScore]) -> list[PhotoScore]:
    return [score for score in scores if score.method not in methods]


def _source(protocol: Protocol, data: Path) -> Source:
    build = pair_source if protocol.task.reads == "pair" else photo_source
    try:
        return build([data], Cache(0))
    except UserError as error:
        raise error.about("data") from None


def _cases(
    protocol: Protocol, source: Source, limit: int | None, skipped: dict[str, str]
) -> Iterator[Case]:
    """Cases photo by photo; what cannot be read or is too small goes into `skipped` with its
    reason.
    """
    count = len(source) if limit is None else min(limit, len(source))
    quiet = not sys.stderr.isatty()
    for index in track(
        range(count), "measuring", console=Console(stderr=True), transient=True, disable=quiet
    ):
        photo = source.key(index)
        try:
            sample = source.read(index, index)
            _check_size(sample, protocol.least_px)
        except UserError as error:
            skipped[photo] = str(error).removesuffix(".")
            log.warning("left out: %s: %s", photo, error)
            continue
        yield from protocol.cases(photo, sample)


def _check_size(sample: Sample, least_px: int) -> None:
    assert isinstance(sample, PhotoSample)
    height, width = sample.photo.shape[:2]
    if min(height, width) < least_px:
        raise UserError(
            f"{width}×{height} is too small to measure",
            remedy=f"at least {least_px} px a side are needed",
        )


def _checked(rgb: torch.Tensor, case: Case) -> torch.Tensor:
    made = as_8_bit(rgb)
    if made.shape != case.truth.shape:
        raise RuntimeError(
            f"a method made {tuple(made.shape)} for a truth of {tuple(case.truth.shape)}"
        )
    return made


def _rows(protocol: Protocol, scores: list[PhotoScore], ours: str | None) -> list[Row]:
    groups: dict[tuple[str, str], list[Scores]] = {}
    for score in scores:
        groups.setdefault((score.setting, score.method), []).append(score.values)
    return [
        Row(
            setting,
            method,
            "model" if method == ours else "baseline",
            protocol.summary(setting, method, values),
        )
        for (setting, method), values in groups.items()
    ]


def _rival_name(model: Model, other: Model) -> str:
    ours, theirs = model.task, other.task
    if (theirs.kind, theirs.scale, theirs.reads) != (ours.kind, ours.scale, ours.reads):
        wanted = f"{ours.kind} ×{ours.scale}" if ours.scale > 1 else ours.kind
        raise UserError(
            f"'{other.name}' does something else than '{model.name}' ({wanted})", field="baseline"
        )
    return other.name if other.name != model.name else f"{other.name} (baseline)"


def _precision(model: Model) -> Precision:
    return "fp32" if model.dtype == torch.float32 else "bf16"


def _trained_on(model: Model) -> list[str]:
    networks = {getattr(loss, "network", None) for loss in model.recipe.losses}
    names = [name for network, name in PERCEPTUAL_METRICS.items() if network in networks]
    return [f"{model.name} was trained on {name}: that figure is no judge of it" for name in names]
