"""The self-describing model file: safetensors, weights plus a header that rebuilds the network and
records how it was trained. Other programs read the keys of ModelSpec 1.0.1 in it.

Nothing in it can run code: the header is JSON, the recipe in it is validated, and its task must be
installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from img2img.errors import Phrase, UserError, one_line
from img2img.files import atomic_path, write_tensors
from img2img.models.spandrel import Bounded
from img2img.recipe import Recipe
from img2img.recipe.reading import MAX_RECIPE_BYTES

FORMAT = "img2img/1"
FORMAT_KEY = "img2img.format"  # files of before have it as `format`, where others look for `pt`
MODELSPEC = "1.0.1"
_MOST_OVERLAP_PX = 1024  # several times the widest that any network needs
_MAX_CARD = 2**20  # characters; 10,000 is much


class Card(BaseModel):
    """What a model file records besides its recipe: data, terms, steps, metrics, tile overlap."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # later versions may have more fields

    photos: int = 0
    data: str = ""
    data_terms: str = "unknown"
    class_names: tuple[str, ...] = ()  # what labels 0, 1, … stand for
    steps: int = 0
    images: int = 0
    minutes: float = 0.0
    machine: str = ""
    metrics: dict[str, Any] = {}
    # None: to be measured
    tile_overlap_px: int | None = Field(64, ge=0, le=_MOST_OVERLAP_PX)
    notes: str = ""
    teacher: str = ""  # what it learned from besides the data: a model's name, and its terms
    version: str = ""
    network: str = ""  # of other people's models: the architecture, and what they tell of it
    title: str = ""
    author: str = ""
    terms: str = ""
    origin: str = ""


class Header(BaseModel):
    """Format, recipe and card of a model file."""

    model_config = ConfigDict(frozen=True)

    recipe: Recipe
    card: Card


def save_model(
    path: Path, generator: nn.Module, recipe: Recipe, card: Card, *, half: bool = False
) -> None:
    """Write a model file atomically; `half` stores weights in fp16, which are loaded as fp32."""
    header = {
        "format": "pt",
        **modelspec(recipe, card),
        FORMAT_KEY: FORMAT,
        "recipe": json.dumps(recipe.fields()),
        "card": card.model_dump_json(),
    }
    weights = {}
    for name, value in generator.state_dict().items():
        value = value.detach().cpu().contiguous()  # safetensors refuses channels-last
        weights[name] = value.half() if half and value.dtype == torch.float32 else value
    with atomic_path(path) as temporary:
        write_tensors(temporary, weights, header)


def modelspec(recipe: Recipe, card: Card) -> dict[str, str]:
    """The keys of Stability AI's ModelSpec, by which managers of models show a file; what is not
    known is left out.
    """
    task, terms = recipe.task, card.terms
    scale = task.output_size((1, 1))[0]
    tags = ["image-to-image", task.kind, *([] if task.condition_is_noise else [f"{scale}x"])]
    fields = {
        "sai_model_spec": MODELSPEC,
        "architecture": f"img2img/{recipe.generator.kind}",
        "implementation": "img2img",
        "title": card.title or recipe.name,
        "author": card.author,
        "description": card.notes or f"A network trained to {task.verb} ({task.kind})",
        "date": datetime.now(UTC).date().isoformat(),
        "license": "" if terms == "unknown" else terms,
        "tags": ", ".join(tags),
    }
    return {f"modelspec.{name}": value for name, value in fields.items() if value}


def read_header(path: Path) -> Header:
    """Recipe and card, without reading the weights. Raises UserError for anything that is not our
    model file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(
            Phrase("'", path, f"' is not a model file (safetensors with our header): {error}")
        ) from error
    version = _version(metadata)
    if not version:
        raise UserError(
            Phrase("'", path, "' holds weights but no img2img header"),
            remedy="it was written by another program",
        )
    if version != FORMAT:
        raise UserError(
            Phrase("'", path, f"' is of format {version}, this version reads {FORMAT}"),
            remedy="update img2img",
        )
    sizes = {key: len(metadata.get(key, "")) for key in ("recipe", "card")}
    if sizes["recipe"] > MAX_RECIPE_BYTES or sizes["card"] > _MAX_CARD:
        raise UserError(
            Phrase("'", path, "' has a broken header: it is larger than any recipe or card")
        )
    try:
        recipe = Recipe.parse(
            json.loads(metadata["recipe"]), where=Phrase("header of '", path, "'"), trusted=False
        )
        return Header(recipe=recipe, card=Card.model_validate_json(metadata["card"]))
    except (KeyError, ValueError, RecursionError) as error:  # of JSON, pydantic's among them
        problem = one_line(error)
        raise UserError(Phrase("'", path, f"' has a broken header: {problem}")) from error


def load_generator(path: Path, header: Header | None = None) -> tuple[Header, nn.Module]:
    """The network of a model file, fp32, in evaluation mode, on the CPU; `header` spares reading
    the file's again. Raises UserError when weights do not fit.
    """
    header = header or read_header(path)
    return header, with_weights(header.recipe, read_weights(path), path)


def with_weights(recipe: Recipe, weights: dict[str, Tensor], path: Path) -> nn.Module:
    """A recipe's generator with the weights of a file, in evaluation mode. Raises UserError when
    they do not fit.
    """
    try:
        with Bounded():
            generator = recipe.build_generator()
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            Phrase(
                *("'", path, "': weights do not fit the recipe in its header: "),
                str(error).splitlines()[0],
            )
        ) from error
    if not all(bool(one.isfinite().all()) for one in generator.parameters()):
        raise UserError(
            Phrase("'", path, "' holds weights that are not finite"),
            remedy="its training broke: take another checkpoint",
        )
    return generator.eval()


def is_ours(path: Path) -> bool:
    """Whether a file is, by its content, one of these model files, of whatever version."""
    try:
        with safe_open(path, framework="pt") as file:
            return bool(_version(file.metadata() or {}))
    except (SafetensorError, OSError):
        return False


def _version(metadata: Mapping[str, str]) -> str:
    """`img2img/1`, the form of a header of ours; empty for that of another program."""
    version = metadata.get(FORMAT_KEY, metadata.get("format", ""))
    return version if version.startswith("img2img/") else ""


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a model file, half precision widened to fp32."""
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    halves = (torch.float16, torch.bfloat16)
    return {k: value.float() if value.dtype in halves else value for k, value in weights.items()}
