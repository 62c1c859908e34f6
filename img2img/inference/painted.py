"""What a user painted on layers over a photo, as inputs of a model: a mask, a sketch, or colors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from img2img.errors import UserError
from img2img.pixels.hints import Hints
from img2img.pixels.images import from_array, read_mask, write_photo
from img2img.pixels.layers import decode_layer


def painted_mask(layers: Iterable[bytes]) -> np.ndarray | None:
    """(H,W) bool: where any layer was painted; None when none was.

    Raises UserError for layers that cannot be read, or differ in size.
    """
    painted: np.ndarray | None = None
    for layer in layers:
        alpha = decode_layer(layer)[..., 3] > 0
        if painted is not None and painted.shape != alpha.shape:
            raise UserError(
                "the layers of the drawing differ in size", remedy="clear it and brush again"
            )
        painted = alpha if painted is None else painted | alpha
    return painted if painted is not None and painted.any() else None


def write_mask(
    layers: Iterable[bytes], upload: Path | None, size: tuple[int, int], path: Path, *, invert: bool
) -> Path | None:
    """Painted and uploaded mask joined, at the photo's (width, height), white = fill; None, and
    nothing written, when both are empty.
    """
    painted = painted_mask(layers)
    if painted is None and upload is None:
        return None
    mask = np.zeros((size[1], size[0]), bool) if upload is None else read_mask(upload, size)
    if painted is not None:
        whole = Image.fromarray(painted).resize(size, Image.Resampling.NEAREST)
        mask = mask | np.asarray(whole)
    write_photo(path, from_array(~mask if invert else mask))
    return path


def write_sketch(layers: Iterable[bytes], path: Path) -> Path | None:
    """Black lines on white, as soft as they were drawn; None when nothing was."""
    sent = list(layers)
    if painted_mask(sent) is None:
        return None
    cover = np.max([decode_layer(layer)[..., 3] for layer in sent], axis=0)
    write_photo(path, from_array(255 - cover))
    return path


def painted_hints(layers: Iterable[bytes]) -> Hints | None:
    """Painted colors, the upper layer's where several cover a place; None if nothing is painted."""
    sent = list(layers)
    if painted_mask(sent) is None:
        return None
    colors = decode_layer(sent[0])
    for layer in sent[1:]:
        above = decode_layer(layer)
        colors = np.where(above[..., 3:] > 0, above, colors)
    return Hints(colors[..., :3], colors[..., 3] > 127)  # what is fainter has no sure color
