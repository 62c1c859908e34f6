"""The nodes for ComfyUI, as ComfyUI loads and calls them, without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

import img2img
from img2img.errors import UserError
from img2img.integrations import comfyui


@pytest.fixture
def node_file(tmp_path: Path, zoo: Path) -> ModuleType:
    """The one file, read from a folder of custom nodes."""
    path = tmp_path / "custom_nodes" / "img2img_nodes.py"
    path.parent.mkdir()
    path.write_bytes(Path(comfyui.__file__).read_bytes())
    spec = importlib.util.spec_from_file_location(str(path.with_suffix("")), path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def images(photos: list[np.ndarray]) -> Tensor:
    """A batch as ComfyUI has it: (2,48,64,3) float32 in [0,1]."""
    return torch.from_numpy(np.stack([photo[:48, :64] for photo in photos[:2]])).float() / 255


def call(module: ModuleType, name: str, **values: object) -> Tensor:
    """What ComfyUI does with a node: its function by name, with its inputs by name."""
    node = module.NODE_CLASS_MAPPINGS[name]
    inputs = node.INPUT_TYPES()
    assert set(inputs["required"]) <= set(values)
    assert set(values) <= set(inputs["required"]) | set(inputs["optional"])
    results = getattr(node(), node.FUNCTION)(**values)
    assert isinstance(results, tuple) and len(results) == len(node.RETURN_TYPES) == 1
    return results[0]


def test_nodes_are_named_and_offer_the_models_that_they_can_use(node_file: ModuleType) -> None:
    mappings = node_file.NODE_CLASS_MAPPINGS
    assert set(mappings) == set(node_file.NODE_DISPLAY_NAME_MAPPINGS)
    restore, inpaint = (mappings[n].INPUT_TYPES()["required"] for n in sorted(mappings)[::-1])
    assert restore["image"] == ("IMAGE",) and inpaint["mask"] == ("MASK",)
    assert "denoise" in restore["model"][0] and "inpaint" not in restore["model"][0]
    assert inpaint["model"][0] == ["inpaint"]
    for node in mappings.values():
        assert node.RETURN_TYPES == ("IMAGE",) and node.CATEGORY == "img2img"


@pytest.mark.parametrize("model", ["denoise", "super_resolve_x2", "colorize"])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_results_are_those_of_the_package(
    node_file: ModuleType, images: Tensor, model: str, strength: float
) -> None:
    made = call(node_file, "Img2ImgRestore", image=images, model=model, strength=strength)
    alone = img2img.load(model)
    wanted = [alone(image.numpy(), strength=strength) for image in images]
    assert made.dtype == torch.float32 and made.min() >= 0 and made.max() <= 1
    assert np.array_equal(made.numpy(), np.stack(wanted))
    assert made.shape[1] == images.shape[1] * (2 if model == "super_resolve_x2" else 1)


@pytest.mark.parametrize("masks", [1, 2])
def test_what_is_not_masked_stays_and_the_rest_is_the_packages(
    node_file: ModuleType, images: Tensor, masks: int
) -> None:
    mask = torch.zeros(masks, 48, 64)
    mask[:, 10:30, 20:40] = 0.8
    made = call(node_file, "Img2ImgInpaint", image=images, model="inpaint", mask=mask, strength=1.0)
    alone, hole = img2img.load("inpaint"), mask[0].numpy() >= 0.5
    assert np.array_equal(made.numpy(), np.stack([alone(i.numpy(), hole) for i in images]))
    assert torch.equal(made[:, ~torch.from_numpy(hole)], images[:, ~torch.from_numpy(hole)])


def test_an_empty_mask_leaves_the_picture(node_file: ModuleType, images: Tensor) -> None:
    values = {"model": "inpaint", "mask": torch.zeros(48, 64), "strength": 1.0}
    assert torch.equal(call(node_file, "Img2ImgInpaint", image=images, **values), images)


def test_a_file_goes_before_the_name(node_file: ModuleType, images: Tensor, zoo: Path) -> None:
    values = {"image": images, "strength": 1.0}
    file = str(zoo / "denoise.safetensors")
    by_file = call(node_file, "Img2ImgRestore", model="colorize", file=file, **values)
    assert torch.equal(by_file, call(node_file, "Img2ImgRestore", model="denoise", **values))


def test_a_model_that_is_not_there_is_named(node_file: ModuleType, images: Tensor) -> None:
    with pytest.raises(UserError, match="nothing"):
        call(node_file, "Img2ImgRestore", image=images, model="nothing", strength=1.0)
