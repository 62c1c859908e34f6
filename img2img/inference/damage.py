"""How much of a photo there is to be filled, by the shipped models that look for that."""

from __future__ import annotations

from img2img.inference.loaded import MODELS
from img2img.pixels.images import Photo
from img2img.pixels.windows import reduced
from img2img.zoo.catalogue import CATALOGUE

_LOOKED_AT_PX = 1024  # longer side; damage that is then thinner than a pixel does not show


def damaged_share(photo: Photo) -> float:
    """The share of an sRGB photo's pixels that they find; 0 where none is shipped."""
    finders = CATALOGUE.finders()
    if not finders:
        return 0.0
    small = Photo(reduced(photo.rgb, _LOOKED_AT_PX))
    return max(float(MODELS.get(finder).find(small).mean()) for finder in finders)
