"""Antialiased reduction of a photo to any size, at its own depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from img2img.pixels.alpha import seen
from img2img.pixels.color import resize
from img2img.pixels.images import Photo, quantise, to_float

_STRIP_ROWS = 256  # of the photo that are in float at a time


def reduced(
    photo: Photo, size: tuple[int, int], on_strip: Callable[[], object] = lambda: None
) -> Photo:
    """A photo reduced to (width, height) by antialiased bicubic (a = -0.5), with its metadata.

    Hidden colors do not come to light: those under alpha 0 continue the visible ones before. Grey
    stays grey and opaque stays opaque. `on_strip` is called now and then; raising in it cancels.
    """
    if photo.size == size:
        return photo
    rgb = _reduced(seen(photo.rgb, photo.alpha), size, on_strip)
    alpha = photo.alpha
    if alpha is not None:
        alpha = _reduced(alpha[..., None], size, on_strip)[..., 0]
        alpha = alpha.clip(0, 1) if alpha.dtype.kind == "f" else alpha  # cubic overshoots at edges
    return replace(photo, rgb=rgb, alpha=alpha)


def _reduced(
    pixels: np.ndarray, size: tuple[int, int], on_strip: Callable[[], object]
) -> np.ndarray:
    """(H,W,C) to (height,width,C) of the same dtype, a strip of rows after the other: whole rows
    first, then the columns, whose weights reach a few rows beyond the strip.
    """
    (width, height), rows = size, len(pixels)
    index, weights = _taps(rows, height)
    out = np.empty((height, width, pixels.shape[2]), pixels.dtype)
    step = max(1, _STRIP_ROWS * height // rows)
    for top in range(0, height, step):
        on_strip()
        near, share = index[top : top + step], weights[top : top + step]
        first = int(near.min())
        part = to_float(pixels[first : int(near.max()) + 1]).transpose(2, 0, 1)
        planes = torch.from_numpy(np.ascontiguousarray(part))[None]
        narrow = resize(planes, (planes.shape[-2], width))
        strip = torch.zeros(*narrow.shape[:2], len(near), width)
        for tap in range(near.shape[1]):
            strip.addcmul_(share[:, tap, None], narrow[..., near[:, tap] - first, :])
        out[top : top + step] = quantise(strip[0].permute(1, 2, 0).numpy(), pixels.dtype)
    return out


def _taps(rows: int, height: int) -> tuple[Tensor, Tensor]:
    """Which rows make each of fewer rows, and with what weights: both (height, taps)."""
    ratio = rows / height
    centers = (np.arange(height) + 0.5) * ratio - 0.5
    index = np.ceil(centers - 2 * ratio)[:, None] + np.arange(int(4 * ratio) + 2)
    t = np.abs(index - centers[:, None]) / ratio
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t <= 1, near, np.where(t < 2, far, 0))
    weights[(index < 0) | (index >= rows)] = 0
    weights /= weights.sum(1, keepdims=True)
    inside = torch.from_numpy(index.clip(0, rows - 1).astype(np.int64))
    return inside, torch.from_numpy(weights.astype(np.float32))
