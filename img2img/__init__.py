"""img2img: image-to-image translation, restoration and inpainting with conditional GANs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from img2img.environment import work_offline
from img2img.version import __version__

if TYPE_CHECKING:
    from img2img.inference.pipeline import load
    from img2img.recipe import Recipe
    from img2img.training import train

__all__ = ["Recipe", "__version__", "load", "train"]

work_offline()

_HOMES = {
    "load": "img2img.inference.pipeline",
    "train": "img2img.training",
    "Recipe": "img2img.recipe",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `img2img --help` and `import img2img` stay instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'img2img' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
