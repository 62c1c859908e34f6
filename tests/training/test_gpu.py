"""A CUDA device trains, resumes and infers: a small recipe of each kind of task and method."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from stopping import stopped_at
from torch import Tensor

import img2img
from img2img.inference.sampling import GenerateRequest, generate
from img2img.recipe import Recipe
from img2img.tasks.photo import PhotoTask
from img2img.training.checkpoint import latest_checkpoint

# Another device can stand in, to see whether the test itself is right.
DEVICE = os.environ.get("IMG2IMG_GPU_TEST_DEVICE", "cuda")
RECIPES = (
    *("denoise_tiny", "restoration_tiny", "super_resolve_tiny", "colorize_tiny", "inpaint_tiny"),
    *("translate_tiny", "cyclegan_tiny", "vae_tiny", "dcgan", "ring"),
)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("name", RECIPES)
def test_a_device_trains_resumes_and_infers(
    name: str, photos: list[np.ndarray], tmp_path: Path
) -> None:
    few = ("train.batch_size=4", "train.steps=6", "train.validate_every=100", "data.workers=0")
    recipe = Recipe.load(name, [*few, "data.validation_max=4"])
    for run in ("whole", "again"):
        img2img.train(recipe, tmp_path / run, device=DEVICE)
    stopped_at(recipe, tmp_path / "cut", 3, DEVICE)
    summary = img2img.train(recipe, tmp_path / "cut", resume=True, device=DEVICE)
    assert summary["step"] == 6

    whole, again, cut = (tensors(tmp_path / run) for run in ("whole", "again", "cut"))
    assert whole.keys() == again.keys() == cut.keys()
    # Kernels that sum in any order give other last bits each time: then a resumed run differs from
    # one without a stop as that does from itself.
    differs = distance(whole, again)
    assert distance(whole, cut) <= (10 * differs + 1e-3 * size(whole) if differs else 0)

    on_device, on_cpu = (results(tmp_path / "cut", photos[0], d) for d in (DEVICE, "cpu"))
    assert on_device.shape == on_cpu.shape and np.isfinite(on_device).all()
    assert np.abs(on_device - on_cpu).mean() < 0.01


def results(run: Path, photo: np.ndarray, device: str) -> np.ndarray:
    """What a run's model makes, of a photo or from noise, as floats, in fp32."""
    model = img2img.load(run, device=device, precision="fp32")
    assert model.device.type == torch.device(device).type
    if not isinstance(model.task, PhotoTask):
        return generate(model, GenerateRequest(count=4))[0].numpy()
    hole = np.zeros(photo.shape[:2], bool)
    hole[20:40, 30:60] = True
    return model(photo / np.float32(255), hole if model.fills else None)


def tensors(run: Path) -> dict[str, Tensor]:
    """Weights, optimizers and averages at the end."""
    found = latest_checkpoint(run / "checkpoints")
    assert found is not None
    return {key: value.double() for key, value in found.tensors.items()}


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return sum(float((value - other[key]).abs().sum()) for key, value in one.items())


def size(one: dict[str, Tensor]) -> float:
    return sum(float(value.abs().sum()) for value in one.values())
