"""What other places are told of a model: the Hugging Face Hub's card, OpenModelDB's JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from img2img.modelfile import FORMAT, Header
from img2img.models.picture import LayoutConfig
from img2img.models.spandrel import SpandrelConfig
from img2img.tasks.photo import title
from img2img.version import __version__

_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")  # an identifier, as SPDX has them
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # a name, and no path of some machine


def hub_config(header: Header) -> dict[str, Any]:
    """`config.json` of a folder for the Hub; the model file itself says all of it too."""
    return {
        "library_name": "img2img",
        "img2img_version": __version__,
        "format": FORMAT,
        "architecture": header.recipe.generator.kind,
        "task": title(header.recipe.task),
        "recipe": header.recipe.fields(),
    }


def hub_card(header: Header, name: str) -> str:
    """`README.md` of a folder for the Hub: its YAML header, what the model is, how to use it."""
    recipe, card = header.recipe, header.card
    facts = {
        "Network": card.network or recipe.generator.kind,
        "Author": card.author,
        "Terms of the weights": card.terms,
        "Trained on": f"{card.data} ({card.photos} samples)" if card.photos else card.data,
        "Terms of the data": card.data_terms,
        "Steps": card.steps,
        "Learned from": card.teacher,
        "From": card.origin,
    }
    use = "generate" if recipe.task.condition_is_noise else "infer --input PHOTO"
    written_by = f"a model of img2img {card.version or __version__}"
    fields = yaml.safe_dump(_hub_fields(header), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{fields}---",
        f"# {card.title or name}",
        f"{title(recipe.task)}, {written_by}. {card.notes}".rstrip(),
        "\n".join(f"- {what}: {value}" for what, value in facts.items() if value),
        _table(card.metrics),
        f"```\nimg2img {use} --model FOLDER\n```",
        '```python\nimport img2img\n\nmodel = img2img.load("FOLDER")\n```',
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _hub_fields(header: Header) -> dict[str, Any]:
    """The YAML of a card: https://huggingface.co/docs/hub/model-cards."""
    recipe, card = header.recipe, header.card
    terms = card.terms or "unknown"
    identified = _LICENSE.fullmatch(terms)
    from_noise = recipe.task.condition_is_noise
    fields = {
        "license": terms.lower() if identified else "other",
        "license_name": "" if identified else terms,
        "pipeline_tag": "unconditional-image-generation" if from_noise else "image-to-image",
        "library_name": "img2img",
        "tags": ["img2img", recipe.task.kind, recipe.generator.kind],
        "datasets": [part for part in card.data.split(", ") if _DATASET.fullmatch(part)],
        # Without units, as the Hub has them: psnr, ssim, lpips.
        "metrics": list(dict.fromkeys(name.split("_")[0] for name in _measured(card.metrics))),
    }
    return {name: value for name, value in fields.items() if value}


def openmodeldb(header: Header, file: Path) -> dict[str, Any]:
    """OpenModelDB's `data/models/ID.json` of a model in this file, without what is not known."""
    recipe, card, generator = header.recipe, header.card, header.recipe.generator
    architecture: str = generator.kind
    size = re.findall(r"\d+n[a-z]\b", card.network)
    if isinstance(generator, SpandrelConfig | LayoutConfig):
        architecture = generator.community_format
    if isinstance(generator, LayoutConfig):
        size = list(generator.size_tags)
    content = file.read_bytes()
    kind = file.suffix.lstrip(".")
    fields = {
        "name": card.title or recipe.name,
        "author": card.author,
        "license": "" if card.terms == "unknown" else card.terms,
        "tags": [recipe.task.kind],
        "description": card.notes or f"{title(recipe.task)}, trained with img2img {__version__}",
        "date": datetime.now(UTC).date().isoformat(),
        "architecture": architecture,
        "size": size,
        "scale": recipe.task.output_size((1, 1))[0],
        "inputChannels": recipe.task.condition_channels,
        "outputChannels": recipe.task.prediction_channels,
        "resources": [
            {
                "platform": "onnx" if kind == "onnx" else "pytorch",
                "type": kind,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "urls": [card.origin] if card.origin.startswith("https://") else [],
            }
        ],
        "trainingIterations": card.steps,
        "trainingBatchSize": recipe.train.batch_size if card.steps else 0,
        "trainingHRSize": recipe.data.crop_px if card.steps else 0,
        "dataset": card.data,
        "datasetSize": card.photos,
        "pretrainedModelG": recipe.train.init or "",
        "images": [],
    }
    return {name: value for name, value in fields.items() if value or name in ("size", "images")}


MODEL_CARDS: Mapping[str, tuple[str, Callable[[Header, Path], str]]] = {
    "openmodeldb": (".json", lambda header, file: json.dumps(openmodeldb(header, file), indent=2)),
    "hub": (".md", lambda header, file: hub_card(header, file.stem)),
}
"""Suffix, and text for a model in a file, by the place that takes it."""


def _measured(metrics: dict[str, Any]) -> dict[str, float]:
    """The numbers of validation, where a card has any."""
    found = metrics.get("validation", metrics)
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _table(metrics: dict[str, Any]) -> str:
    """Metrics next to those of the best trivial answer; empty where nothing was measured."""
    measured, baseline = _measured(metrics), _measured(metrics.get("baseline", {}))
    rows = [
        f"| {name} | {value:.4g} | {f'{baseline[name]:.4g}' if name in baseline else ''} |"
        for name, value in measured.items()
    ]
    return "\n".join(["| metric | validation | baseline |", "|---|---|---|", *rows]) if rows else ""
