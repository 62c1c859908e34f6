"""What a user painted over a photo becomes a mask, a sketch or colors."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img.errors import UserError
from img2img.inference.painted import painted_hints, painted_mask, write_mask, write_sketch

TEXT = b"no picture at all"


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that claims 60000 × 60000 pixels."""
    content = bytearray(png(np.zeros((1, 1, 3), np.uint8)))
    content[16:24] = (60000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def layer(alpha: np.ndarray) -> bytes:
    return png(np.dstack([np.full((*alpha.shape, 3), 200, np.uint8), alpha]))


def test_mask_is_what_was_painted_at_the_photos_size(tmp_path: Path) -> None:
    alpha = np.zeros((10, 20), np.uint8)
    alpha[2:4, 5:8] = 90
    path = write_mask([layer(alpha)], None, (40, 20), tmp_path / "mask.png", invert=False)
    assert path is not None
    mask = np.asarray(Image.open(path))
    assert (mask[4:8, 10:16] == 255).all() and (mask == 255).sum() == 24


def test_inverted_and_uploaded_masks(tmp_path: Path) -> None:
    own = np.zeros((20, 40), np.uint8)
    own[0, 0] = 255
    Image.fromarray(own).save(tmp_path / "own.png")
    path = write_mask([], tmp_path / "own.png", (40, 20), tmp_path / "mask.png", invert=True)
    assert path is not None
    assert (np.asarray(Image.open(path)) == 0).sum() == 1
    with pytest.raises(UserError, match="mask is 40x20, photo is 41x20"):
        write_mask([], tmp_path / "own.png", (41, 20), tmp_path / "mask.png", invert=False)


def test_nothing_painted_is_no_mask(tmp_path: Path) -> None:
    blank = [layer(np.zeros((8, 8), np.uint8))]
    assert write_mask(blank, None, (8, 8), tmp_path / "mask.png", invert=True) is None
    assert write_sketch(blank, tmp_path / "sketch.png") is None


@pytest.mark.parametrize("content", [b"", TEXT, bomb()])
def test_layers_that_are_no_layers_are_refused(content: bytes) -> None:
    with pytest.raises(UserError, match="brush again"):
        painted_mask([content])


def test_the_upper_layer_colors_where_several_cover_a_place() -> None:
    below, above = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    below[:2], above[1:3] = (10, 20, 30, 255), (200, 100, 50, 255)
    above[2, 3, 3] = 100  # too faint to be sure of its color
    hints = painted_hints([png(below), png(above)])
    assert hints is not None and hints.marked.sum() == 11
    assert hints.rgb[0, 0].tolist() == [10, 20, 30] and hints.rgb[1, 0].tolist() == [200, 100, 50]
    assert painted_hints([png(np.zeros_like(below))]) is None
