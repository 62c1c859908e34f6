"""Bytes towards whatever in a reader was not reached yet: `python -m hostile.coverage_fuzz READER`.

Atheris, a libFuzzer for Python, changes bytes until an exception that is no UserError ends it; the
arguments that follow are libFuzzer's.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

SUFFIX = {"recipe": ".yaml", "header": ".safetensors", "foreign": ".pth", "photo": ".png"}


def readers() -> dict[str, Callable[[Path], object]]:
    """What is tried, by name."""
    with atheris.instrument_imports(include=["img2img", "yaml"]):
        from img2img.community.reading import read_state_dict
        from img2img.modelfile import load_generator
        from img2img.pixels.images import read_photo
        from img2img.recipe import Recipe

    return {
        "recipe": Recipe.load,
        "header": load_generator,
        "foreign": read_state_dict,
        "photo": read_photo,
    }


def main(name: str) -> None:
    """Never returns: libFuzzer ends the process."""
    read = readers()[name]
    from img2img.errors import UserError

    warnings.simplefilter("error")
    place = Path(tempfile.mkdtemp(), f"a{SUFFIX[name]}")

    def one(content: bytes) -> None:
        place.write_bytes(content)
        with contextlib.suppress(UserError):
            read(place)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1])
