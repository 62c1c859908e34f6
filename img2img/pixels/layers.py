"""Layers of a drawing as a browser sends them: encoded pictures with an alpha channel."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from img2img.errors import UserError
from img2img.pixels.codecs import strict_pillow

MOST_LAYER_PX = 4096  # a side; a canvas shows a preview, which is smaller
_AGAIN = "clear it and brush again"


def decode_layer(encoded: bytes) -> np.ndarray:
    """(H,W,4) uint8 RGBA of a PNG or WebP file. Raises UserError for anything else."""
    try:
        with strict_pillow(), Image.open(BytesIO(encoded), formats=("PNG", "WEBP")) as picture:
            if max(picture.size) > MOST_LAYER_PX:
                raise UserError(f"the drawing is larger than {MOST_LAYER_PX} px", remedy=_AGAIN)
            return np.asarray(picture.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError("the drawing could not be read", remedy=_AGAIN) from error
