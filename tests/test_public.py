"""What the package offers by name: documented with arguments and results, and examples that run."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

PUBLIC = [
    "img2img.evaluation.run:evaluate",
    "img2img.inference.sampling:generate",
    "img2img.inference.pipeline:Model.__call__",
    "img2img.inference.pipeline:Model.__call__",
    "img2img.inference.pipeline:Model.predict_tensor",
    "img2img.inference.pipeline:Model.run",
    "img2img.inference.pipeline:Model.save_pretrained",
    "img2img.inference.pipeline:load",
    "img2img.inference.plan:Plan.run",
    "img2img.inference.request:Request.resolve",
    "img2img.inference.request:ResolvedRequest.plan",
    "img2img.recipe:Recipe.build_discriminator",
    "img2img.recipe:Recipe.build_generator",
    "img2img.recipe:Recipe.load",
    "img2img.recipe:Recipe.parse",
    "img2img.testing:check_task",
    "img2img.training:train",
    "img2img.evaluation.metrics:ciede2000",
    "img2img.evaluation.metrics:colorfulness",
    "img2img.evaluation.metrics:hole_l1",
    "img2img.evaluation.metrics:psnr_db",
    "img2img.evaluation.metrics:ssim",
    "img2img.evaluation.metrics:y_psnr_ssim",
    "img2img.losses.objectives:Objective",
    "img2img.losses.perceptual:perceptual_distance",
    "img2img.losses.reconstruction:PixelLoss",
    "img2img.pixels.images:read_photo",
    "img2img.pixels.images:write_photo",
]


def found(name: str) -> tuple[Any, Any]:
    """The object behind `module:name.of.it`, and its module."""
    path, _, names = name.partition(":")
    thing = module = importlib.import_module(path)
    for part in names.split("."):
        thing = getattr(thing, part)
    return thing, module


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_public_names_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    thing, module = found(name)
    names = dict(vars(module))
    (example,) = doctest.DocTestFinder(recurse=False).find(thing, name, module=False, globs=names)
    assert example.examples, f"{name} has no example"
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=told.append)
    assert not told, "".join(told)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_functions_say_what_they_take_and_return(name: str) -> None:
    thing, _ = found(name)
    if inspect.isclass(thing):
        return
    text = inspect.getdoc(thing) or ""
    signature = inspect.signature(thing)
    taken = [p for p in signature.parameters if p not in ("self", "cls")]
    missing = [p for p in taken if f"    {p}: " not in text]
    assert not missing, f"{name}: Args say nothing of {missing}"
    assert signature.return_annotation in ("None", None) or "\nReturns:\n" in text
