"""Measures of a photo: size, colors, tones, noise, compression, and what is to be filled. Only the
last takes a network, where one ships.
"""

from __future__ import annotations

import numpy as np

from img2img.inference.damage import damaged_share
from img2img.inference.noise_level import measure_noise
from img2img.inference.tones import classify_tones
from img2img.pixels.alpha import seen, uncounted
from img2img.pixels.compression import blockiness_255
from img2img.pixels.images import Photo, as_srgb
from img2img.pixels.tint import measure_color
from img2img.pixels.windows import SMALL_PX, reduced
from img2img.tasks.photo import PhotoStatistics


def statistics(photo: Photo, mask: np.ndarray | None = None) -> PhotoStatistics:
    """The measures that the automatic plan chooses by.

    Pixels under the mask (H,W), True = to be filled, do not count, nor do transparent ones.
    """
    width, height = photo.size
    photo = as_srgb(photo)
    rgb, left_out = seen(photo.rgb, photo.alpha, hole=mask), uncounted(photo.alpha, mask)
    small = reduced(rgb, SMALL_PX)
    color, noise = measure_color(rgb, left_out, small), measure_noise(rgb, left_out)
    return PhotoStatistics(
        width=width,
        height=height,
        has_mask=mask is not None,
        tints=color.tints,
        noise_sigma_255=noise.sigma_255,
        noise_correlated=noise.correlated,
        blockiness_255=blockiness_255(rgb, left_out),
        own_color_share=color.share,
        own_hue=color.hue,
        one_hue=color.one_hue,
        damaged_share=damaged_share(photo) if mask is None else 0.0,
        tones=classify_tones(rgb, left_out, small) if color.tints < 2 else "continuous",
    )


def with_mask_alone(size: tuple[int, int]) -> PhotoStatistics:
    """What the automatic plan needs to know of a photo of a (width, height) with a mask: to fill it
    is what is wanted, so nothing is measured.
    """
    width, height = size
    return PhotoStatistics(width, height, has_mask=True, tints=2, noise_sigma_255=0.0)
