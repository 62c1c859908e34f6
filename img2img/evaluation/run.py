"""`img2img eval`: a model and baselines by its task's protocol, one photo in memory at a time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import reduce
from operator import add
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict, Unpack, get_args

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from img2img.arguments import refuse_unknown
from img2img.data.cache import Cache
from img2img.data.dataset import measured_source
from img2img.data.sample import PhotoSample, Sample
from img2img.data.source import Source
from img2img.devices import Precision
from img2img.errors import UserError, did_you_mean
from img2img.evaluation.case import Case, Method, as_8_bit
from img2img.evaluation.generated import measure_generated
from img2img.evaluation.metrics import PERCEPTUAL_METRICS, perceptual_networks
from img2img.evaluation.ours import applied
from img2img.evaluation.peers import (
    PEAK_MEMORY,
    SECONDS,
    Peer,
    PeerError,
    PeerProcess,
    about_costs,
    installed,
    network,
    summed_up,
)
from img2img.evaluation.pictures import FirstCases, WorstCases
from img2img.evaluation.protocol import Protocol, Scores
from img2img.evaluation.protocols import protocol_for
from img2img.evaluation.published import published_rows
from img2img.evaluation.report import PhotoScore, Report, Row
from img2img.inference.ensemble import can_ensemble
from img2img.inference.pipeline import Model, load
from img2img.tasks import task_kinds
from img2img.tasks.baseline import same_purpose
from img2img.tasks.noise import NoiseTask
from img2img.tasks.photo import title
from img2img.zoo.catalogue import CATALOGUE, Entry

Answers = Callable[[Case], Mapping[str, torch.Tensor]]

log = logging.getLogger("img2img")


class EvaluateOptions(TypedDict, total=False):
    """How a model is measured."""

    device: str
    precision: Precision
    limit: int | None
    """Measure the first photos only; of pictures from noise, so many samples a class."""
    self_ensemble: bool
    """A row more: the same model over flips and turns."""
    peers: bool
    """Measure other people's models and classical methods too, and of each method, ours as well,
    the time and the memory, in a process of its own."""


def evaluate(
    task: str,
    data: Path | str,
    model: str | Path | None = None,
    out: Path | str | None = None,
    baseline: str | Path | None = None,
    **options: Unpack[EvaluateOptions],
) -> Report:
    """Measure a model and its baselines on a folder of photos, all on the same pixels, seeds and
    masks. Photos that cannot be read or are too small are left out and reported.

    Args:
        task: kind of task, such as "denoise".
        data: folder of photos or pairs; of pictures from noise, a dataset with classes.
        model: zoo name, model file or run; by default the shipped ones, for every scale there is.
        out: folder for report.json, report.md, photos.csv and pictures of cases.
        baseline: another model to compare with, such as one trained with L1 alone.
        options: see `EvaluateOptions`.

    Returns:
        The report; `report.print()` shows it, `report.to_json()` is what `img2img eval --json`
        prints.

    Raises:
        UserError: what a user can mend.

    Example:
        >>> import numpy as np
        >>> from img2img.pixels.images import Photo, write_photo
        >>> write_photo("photos/grey.png", Photo(np.full((48, 48, 3), 128, np.uint8)))
        >>> report = evaluate("denoise", "photos", "denoise", device="cpu")
        >>> [row.method for row in report.rows if row.setting == "σ 25"]
        ['noisy', 'non-local means', 'denoise']
    """
    refuse_unknown("evaluate", options, EvaluateOptions.__annotations__)
    precision, limit = options.get("precision", "auto"), options.get("limit")
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
    report = reduce(add, [_one_model(task, Path(data), n, baseline, options) for n in names])
    if out is not None:
        report.write(Path(out))
    return report


def _one_model(
    task: str,
    data: Path,
    name: str | Path | Entry,
    baseline: str | Path | None,
    options: EvaluateOptions,
) -> Report:
    limit, device = options.get("limit"), options.get("device", "auto")
    model = load(name, device=device, precision=options.get("precision", "auto"))
    if model.task.kind != task:
        raise UserError(
            f"'{model.name}' is made for {model.task.kind}, not for {task}", field="model"
        )
    ensemble = options.get("self_ensemble", False)
    if ensemble and not can_ensemble(model.recipe):
        raise UserError(
            f"'{model.name}' was not trained on turned photos",
            field="self_ensemble",
            remedy="leave it out",
        )
    rival = None
    if baseline is not None:
        fp32 = model.dtype == torch.float32
        rival = load(baseline, device=str(model.device), precision="fp32" if fp32 else "bf16")
        rival.name = _rival_name(model, rival)
    peers = options.get("peers", False)
    if isinstance(model.task, NoiseTask):
        if peers:
            raise UserError(
                "no peers are known for pictures from noise", field="peers", remedy="leave it out"
            )
        report = measure_generated([model, *([rival] if rival else [])], str(data), limit)
    else:
        protocol = protocol_for(model.photo_task, model.recipe.data, model.device)
        ready, absent = installed(protocol.peers()) if peers else ((), {})
        with ExitStack() as processes:

            def method(one: Model, source: str | Path | Entry, ensemble: bool = False) -> Method:
                if not peers:
                    return method_of(one, ensemble)
                return processes.enter_context(PeerProcess(_as_peer(one, source, ensemble)))

            rivals = protocol.baselines()
            rivals |= {peer.name: processes.enter_context(PeerProcess(peer)) for peer in ready}
            if rival is not None and baseline is not None:
                rivals[rival.name] = method(rival, baseline)
            ours = (model.name, method(model, name))
            ensembled = f"{model.name}, self-ensemble"
            variants = {ensembled: method(model, name, True)} if ensemble else {}
            if peers:
                protocol.perceptual = protocol.perceptual or perceptual_networks()
            report = measure(protocol, data, rivals, ours, limit, variants, protocol.trivial)
        if peers:
            report.not_measured.update(absent)
            report.notes.extend(about_costs(ready, model.device.type))
            if not ready and not absent:
                report.notes.append(f"no peers are known for {task}")
    card = model.card.model_dump(include={"steps", "images", "photos", "data", "version"})
    report.models.append(
        {
            "name": model.name,
            "recipe": model.recipe.name,
            "scale": model.task.output_size((1, 1))[0],
            **card,
        }
    )
    report.notes.extend(_trained_on(model))
    return report


def _as_peer(model: Model, source: str | Path | Entry, self_ensemble: bool) -> Peer:
    """A model of ours, as a process of its own loads it again."""
    path = (source if isinstance(source, Entry) else CATALOGUE.entry(source)).path
    arguments = {
        "model": str(path),
        "device": str(model.device),
        "precision": "fp32" if model.dtype == torch.float32 else "bf16",
        "self_ensemble": self_ensemble,
    }
    return network(model.name, arguments)


def method_of(model: Model, self_ensemble: bool = False) -> Method:
    """A model as a method: it sees the same pixels as every baseline."""
    apply = applied(model, self_ensemble)
    return lambda case: apply(case.given, case.mask)


def measure(
    protocol: Protocol,
    data: Path,
    rivals: dict[str, Method],
    ours: tuple[str, Method] | None = None,
    limit: int | None = None,
    variants: Mapping[str, Method] = MappingProxyType({}),
    simple: Answers = lambda case: {},
) -> Report:
    """Run a protocol over the photos of a folder; without `ours` only the rivals are measured.

    `simple` gives the trivial answers to a case, which have rows too. `variants` of ours have rows,
    but no place among the rivals that the pictures of single cases show with it. Raises UserError
    when the folder holds no photo that can be measured.
    """
    methods = {**rivals, **variants, **(dict([ours]) if ours else {})}
    costly = any(isinstance(method, PeerProcess) for method in methods.values())
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    scores: list[PhotoScore] = []
    trivial: dict[str, None] = {}
    worst, first = WorstCases(protocol.ranked_by), FirstCases(protocol.ranked_by)
    for case in _cases(protocol, _source(protocol, data), limit, skipped):
        answers = {name: _checked(rgb, case) for name, rgb in simple(case).items()}
        trivial |= dict.fromkeys(answers)
        results = answers | _results(methods, case, failed)
        if ours and ours[0] in failed:
            raise UserError(f"'{ours[0]}' cannot be measured: {failed[ours[0]]}", field="model")
        found = protocol.score(case, results)
        for name, method in methods.items():
            found[name] |= method.costs if isinstance(method, PeerProcess) else {}
        scores += [
            PhotoScore(case.photo, case.setting, name, values) for name, values in found.items()
        ]
        if ours:
            unseen = {*variants, *(answers.keys() - protocol.called.values())}
            shown = {name: rgb for name, rgb in results.items() if name not in unseen}
            worst.offer(case, shown, found, ours[0])
            first.offer(case, shown, found, ours[0])
    if not scores:
        first_skipped = ": ".join(next(iter(skipped.items())))
        raise UserError(
            f"no photo in '{data}' can be measured; first: {first_skipped}", field="data"
        )
    scores = [score for score in scores if score.method not in failed]
    left_out = _lesser(protocol, scores, list(trivial))
    scores = [score for score in scores if score.method not in left_out]
    rows = _rows(protocol, scores, ours[0] if ours else None)
    photos = len({score.photo for score in scores})
    rows += published_rows(protocol.task.kind, data, photos, {row.setting for row in rows})
    return Report(
        task=protocol.task.kind,
        data=str(data),
        protocol=protocol.statement,
        columns=(*protocol.columns, *((SECONDS, PEAK_MEMORY) if costly else ())),
        photo_count=photos,
        rows=sorted(rows, key=lambda row: [r.setting for r in rows].index(row.setting)),
        photos=scores,
        skipped=skipped,
        not_measured=failed,
        notes=protocol.notes(),
        worst=worst.lines(),
        first=first.lines(),
    )


def _results(
    methods: dict[str, Method], case: Case, failed: dict[str, str]
) -> dict[str, torch.Tensor]:
    """What each method makes of a case. One whose process fails leaves `methods` for `failed`."""
    results = {}
    for name, method in list(methods.items()):
        try:
            results[name] = _checked(method(case), case)
        except PeerError as error:
            del methods[name]
            where = " ".join(filter(None, (case.photo, case.setting)))
            failed[name] = f"failed on {where}: {error}"
            log.warning("left out: %s: %s", name, failed[name])
    return results


def _lesser(protocol: Protocol, scores: list[PhotoScore], trivial: list[str]) -> set[str]:
    """The trivial answers that a table leaves out: all without a name in it but the best, and that
    too where another row has the same value.
    """
    values: dict[str, list[float]] = {}
    for score in scores:
        value = score.values.get(protocol.ranked_by.name) or 0.0
        higher = protocol.ranked_by.better == "higher"
        values.setdefault(score.method, []).append(value if higher else -value)
    means, known = (
        {name: float(np.mean(found)) for name, found in values.items()},
        set(protocol.called.values()),
    )
    best = max(trivial, key=lambda name: (means[name], name in known), default="")
    others = [mean for name, mean in means.items() if name not in trivial]
    again = bool(best) and bool(np.isclose(others, means[best], rtol=1e-6).any())
    return set(trivial) - known - (set() if again else {best})


def _source(protocol: Protocol, data: Path) -> Source:
    try:
        return measured_source(protocol.task, [data], Cache(0))
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
            skipped[photo] = str(error)
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
    result = as_8_bit(rgb)
    if result.shape != case.truth.shape:
        raise RuntimeError(
            f"a method gave {tuple(result.shape)} for a truth of {tuple(case.truth.shape)}"
        )
    return result


def _rows(protocol: Protocol, scores: list[PhotoScore], ours: str | None) -> list[Row]:
    groups: dict[tuple[str, str], list[Scores]] = {}
    for score in scores:
        groups.setdefault((score.setting, score.method), []).append(score.values)
    return [
        Row(
            setting,
            method,
            "model" if method == ours else "baseline",
            protocol.summary(setting, method, values) | summed_up(values),
        )
        for (setting, method), values in groups.items()
    ]


def _rival_name(model: Model, other: Model) -> str:
    if not same_purpose(model.task, other.task):
        raise UserError(
            f"'{other.name}' does something else than '{model.name}' ({title(model.task)})",
            field="baseline",
        )
    return other.name if other.name != model.name else f"{other.name} (baseline)"


def _trained_on(model: Model) -> list[str]:
    networks = {getattr(loss, "network", None) for loss in model.recipe.losses}
    names = [name for network, name in PERCEPTUAL_METRICS.items() if network in networks]
    return [f"{model.name} was trained on {name}: that figure is no judge of it" for name in names]
