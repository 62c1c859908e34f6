"""Nodes for ComfyUI in one file: copy or link it into ComfyUI's `custom_nodes`, with img2img
installed in ComfyUI's Python.

Pictures are floats (B,H,W,C) in [0,1] there, masks (B,H,W) with 1 where to fill. What a node makes
is what `img2img.load(model)(image, mask)` makes of each picture of the batch.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from img2img.conflicts import TaskFacts
from img2img.inference.loaded import MODELS
from img2img.tasks.photo import PhotoTask
from img2img.zoo.catalogue import CATALOGUE

Inputs = dict[str, dict[str, tuple[Any, ...]]]


class Img2ImgRestore:
    """Denoise, colorize, enlarge or translate."""

    CATEGORY = "img2img"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    fills: ClassVar[bool] = False

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:  # ComfyUI's name
        """The sockets and fields that ComfyUI draws; models are the shipped ones."""
        names = [name for name, entry in CATALOGUE.shipped().items() if cls._takes(entry.task)]
        share = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05}
        return {
            "required": {"image": ("IMAGE",), "model": (names,), "strength": ("FLOAT", share)},
            "optional": {
                "file": ("STRING", {"default": "", "tooltip": "a model file or run; else model"})
            },
        }

    @classmethod
    def _takes(cls, task: object) -> bool:
        return isinstance(task, PhotoTask) and TaskFacts.of(task).fills == cls.fills

    def run(
        self, image: Tensor, model: str, strength: float = 1.0, file: str = ""
    ) -> tuple[Tensor]:
        """The pictures (B,H,W,C) restored; enlarging ones return larger ones."""
        return (self._made(image, None, file.strip() or model, strength),)

    def _made(self, image: Tensor, mask: Tensor | None, model: str, strength: float) -> Tensor:
        loaded = MODELS.get(CATALOGUE.entry(model))
        holes = None if mask is None else (mask.reshape(-1, *mask.shape[-2:]) >= 0.5).cpu().numpy()
        made = []
        for number, picture in enumerate(image.detach().cpu().float().clamp(0, 1).numpy()):
            hole = None if holes is None else holes[number % len(holes)]  # one for all, or one each
            if hole is not None and not hole.any():
                made.append(torch.from_numpy(picture))
                continue
            made.append(torch.from_numpy(loaded(picture, hole, strength=strength)))
        return torch.stack(made)


class Img2ImgInpaint(Img2ImgRestore):
    """Fill what the mask marks; all other pixels come back as they are."""

    fills: ClassVar[bool] = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Those of `Img2ImgRestore`, and the mask."""
        inputs = super().INPUT_TYPES()
        return inputs | {"required": inputs["required"] | {"mask": ("MASK",)}}

    def run(  # type: ignore[override]  # ComfyUI calls it by name
        self, image: Tensor, model: str, mask: Tensor, strength: float = 1.0, file: str = ""
    ) -> tuple[Tensor]:
        """The pictures (B,H,W,C) filled where the mask is 0.5 or more; a mask (1,H,W) goes for
        all.
        """
        return (self._made(image, mask, file.strip() or model, strength),)


NODE_CLASS_MAPPINGS = {"Img2ImgRestore": Img2ImgRestore, "Img2ImgInpaint": Img2ImgInpaint}
NODE_DISPLAY_NAME_MAPPINGS = {
    "Img2ImgRestore": "Restore (img2img)",
    "Img2ImgInpaint": "Inpaint (img2img)",
}
