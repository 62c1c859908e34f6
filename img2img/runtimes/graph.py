"""A model as one graph: a task's `prepare`, the generator, the task's `decode`. What the task
guarantees (`finish`) stays with whoever runs it.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from img2img.errors import UserError
from img2img.modelfile import Card, Header
from img2img.models.two_way import TwoWay
from img2img.pixels.images import read_photo
from img2img.pixels.tensors import as_tensor
from img2img.pixels.tiling import middle
from img2img.recipe import Recipe
from img2img.resources import samples_dir
from img2img.tasks.forward import predict_rgb
from img2img.tasks.masked import prepared
from img2img.tasks.photo import PhotoTask

FORMAT = "img2img-graph/1"
OUTPUT = "output"
# Primes: multiples of no stride, so that padding and cutting are in the traced graph.
EXAMPLE_PX = (79, 101)
CHECKED_PX = ((97, 131), (149, 113), (167, 179))


@dataclass(frozen=True)
class GraphSource:
    """What a graph is made of: a model that changes photos, and which way it goes."""

    name: str
    recipe: Recipe
    card: Card
    generator: nn.Module

    @property
    def task(self) -> PhotoTask:
        """The task. Raises UserError for one from noise."""
        if isinstance(self.recipe.task, PhotoTask):
            return self.recipe.task
        raise UserError(f"model '{self.name}' makes pictures from noise: no graph takes a photo")

    def inputs(self, photo: Tensor) -> dict[str, Tensor]:
        """What the graph is given for a photo (1,3,H,W); the middle third is a hole for models that
        fill.
        """
        hole = None
        if self.task.fills:
            hole = torch.zeros_like(photo[:, :1])
            rows, columns = (slice(n // 3, 2 * n // 3) for n in photo.shape[-2:])
            hole[..., rows, columns] = 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.task.graph_inputs(photo, prepared(self.task, photo, hole))

    def metadata(self) -> str:
        """JSON with recipe, card and terms, as a file of the graph holds it."""
        return json.dumps(
            {
                "format": FORMAT,
                "recipe": self.recipe.fields(),
                "card": self.card.model_dump(mode="json"),
                "terms": self.card.terms or self.card.data_terms,
            }
        )


class PictureGraph(nn.Module):
    """Inputs by position, as `GraphSource.inputs` names them, to RGB (1,3,H·scale,W·scale)."""

    def __init__(self, source: GraphSource, names: tuple[str, ...]) -> None:
        super().__init__()
        self.task, self.names = source.task, names
        network, config = source.generator, source.recipe.generator
        self.network = network.AtoB if isinstance(network, TwoWay) else network
        self.multiple_of = math.lcm(config.multiple_of, getattr(config, "size_multiple_px", 1))

    def forward(self, *inputs: Tensor) -> Tensor:
        condition = self.task.condition_of(dict(zip(self.names, inputs, strict=True)))
        return predict_rgb(self.task, self.network, self.multiple_of, condition)


def graph_of(source: GraphSource) -> tuple[PictureGraph, tuple[Tensor, ...]]:
    """The graph's module, and inputs to trace it with."""
    inputs = source.inputs(sample_photos()[0][..., : EXAMPLE_PX[0], : EXAMPLE_PX[1]])
    return PictureGraph(source, tuple(inputs)).eval(), tuple(inputs.values())


def sample_photos() -> list[Tensor]:
    """Parts (1,3,H,W) of three photos that ship, of sizes that are multiples of nothing."""
    paths = sorted(samples_dir().glob("*.jpg"))[:3]
    photos = []
    for path, (height, width) in zip(paths, CHECKED_PX, strict=True):
        photo = middle(as_tensor(read_photo(path).rgb), max(height, width))
        photos.append(photo[..., :height, :width].contiguous())
    return photos


@contextmanager
def quietly() -> Iterator[None]:
    """Without gradients, and without the tools' words on what they may miss: what they missed is
    measured afterwards.
    """
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def header_of(metadata: Mapping[str, Any], place: Any) -> Header:
    """Recipe and card from a graph's metadata. Raises UserError or ValueError for others."""
    recipe = Recipe.parse(metadata["recipe"], where=place, trusted=False)
    return Header(recipe=recipe, card=Card.model_validate(metadata["card"]))


def as_arrays(inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Inputs as runtimes take them: contiguous float32."""
    return {
        name: np.ascontiguousarray(value.detach().cpu().numpy(), dtype=np.float32)
        for name, value in inputs.items()
    }
