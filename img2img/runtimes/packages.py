"""The packages of the extra `export`, imported where they are used."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from img2img.errors import UserError

EXTRA = "pip install 'img2img[export]'"


def installed(package: str) -> bool:
    """Whether a package is here, without importing it."""
    return importlib.util.find_spec(package) is not None


def package(name: str) -> Any:
    """A package of the extra. Raises UserError where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"this needs {name}", remedy=EXTRA) from error
