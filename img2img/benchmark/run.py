"""All of a benchmark in order, each part as soon as it is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from img2img.benchmark.ceiling import measure_ceiling
from img2img.benchmark.codec_speed import measure_codecs
from img2img.benchmark.data_speed import measure_data
from img2img.benchmark.folder_speed import measure_folders
from img2img.benchmark.inference_speed import measure_inference
from img2img.benchmark.look_speed import measure_looks
from img2img.benchmark.machine import describe_machine
from img2img.benchmark.report import Section
from img2img.benchmark.sizes import FULL, QUICK
from img2img.benchmark.train_speed import measure_training
from img2img.errors import Advice, UserError, did_you_mean
from img2img.recipe import Recipe
from img2img.zoo.catalogue import CATALOGUE, Entry

What = Literal["train", "infer", "data", "io", "look", "folder"]
RECIPE = "translate_pix2pix"


@dataclass(frozen=True)
class BenchmarkRequest:
    """What is to be measured: all, or one part; inference of all shipped models, or of
    some.

    Raises UserError for a part or a model that there is not.
    """

    what: What | None = None
    models: Sequence[str] = ()
    budget_s: float = 60.0
    """No measurement goes on for much longer; a photo size expected to take longer is left out."""
    quick: bool = False
    """Small sizes, each once: the numbers are there and mean nothing."""

    def __post_init__(self) -> None:
        if self.what not in (None, *get_args(What)):
            known = did_you_mean(str(self.what), get_args(What))
            raise UserError(f"unknown '{self.what}'{known}", field="what")
        if not self.budget_s > 0:
            raise UserError(
                f"{self.budget_s:g} is not above 0",
                field="budget",
                remedy="give seconds, such as 60",
            )
        if self.models and self.what not in (None, "infer"):
            raise UserError(
                f"is for inference, and {self.what} is measured",
                field="model",
                remedy=Advice.leave_out("model"),
            )
        for entry in self.entries:
            _ = entry.photo_task if self.models else None

    @property
    def entries(self) -> list[Entry]:
        """The models whose inference is measured."""
        if self.models:
            return [CATALOGUE.entry(name) for name in self.models]
        return list(CATALOGUE.shipped().values())


def measure(request: BenchmarkRequest) -> Iterator[Section]:
    """The machine, its ceiling, then each part that is asked for, as soon as it is measured."""
    sizes = QUICK if request.quick else FULL
    effort = sizes.effort(request.budget_s)
    recipe = Recipe.load(RECIPE, sizes.recipe_changes)
    parts = get_args(What) if request.what is None else (request.what,)
    yield describe_machine()
    if {"train", "infer"} & set(parts):
        ceiling = measure_ceiling(sizes, effort)
        yield ceiling
    if "train" in parts:
        yield measure_training(recipe, sizes.batch_sizes, ceiling, effort)
    if "data" in parts:
        yield measure_data(recipe, effort)
    if "io" in parts:
        yield measure_codecs(sizes.file_megapixels, effort)
    if "look" in parts:
        yield measure_looks(sizes.looked_at_megapixels, effort)
    if "folder" in parts:
        yield measure_folders(sizes.folders, effort)
    if "infer" in parts:
        yield measure_inference(request.entries, sizes.megapixels, ceiling, effort)
