"""Measuring: published protocols, baselines on the same pixels, one report; by `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2img.evaluation.report import Report
    from img2img.evaluation.run import evaluate

__all__ = ["Report", "evaluate"]

_HOMES = {"Report": "img2img.evaluation.report", "evaluate": "img2img.evaluation.run"}


def __getattr__(name: str) -> Any:
    """Import on first use: a peer measured in a process of its own needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'img2img.evaluation' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
