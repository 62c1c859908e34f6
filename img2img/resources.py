"""Where recipes and data lie: at the top of a checkout, or in `img2img/_shipped` of a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_SHIPPED = _PACKAGE / "_shipped"
_ROOT = _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent


def recipes_dir() -> Path:
    """The shipped recipes, one YAML each."""
    return _ROOT / "recipes"


def samples_dir() -> Path:
    """The small photos that recipes train on by default."""
    return _ROOT / "data" / "samples"


def inputs_dir() -> Path:
    """Degraded pictures to try the commands on."""
    return _ROOT / "data" / "inputs"


def cards_dir() -> Path:
    """Results of the shipped models, a text and a picture each."""
    return _PACKAGE / "zoo" / "cards"


def zoo_dir() -> Path:
    """The shipped models."""
    return _PACKAGE / "zoo"
