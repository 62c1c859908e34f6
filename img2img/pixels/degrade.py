"""How photos go bad: noise, JPEG, blur, a camera. Float RGB (H,W,3) in [0,1] in; out is clipped
only by JPEG.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

Picture = np.ndarray
Interpolation = Literal["area", "bilinear", "bicubic"]

_INTERPOLATIONS: dict[Interpolation, int] = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}
INTERPOLATIONS: tuple[Interpolation, ...] = ("area", "bilinear", "bicubic")


def gaussian_noise(rgb: Picture, sigma_255: float, rng: np.random.Generator) -> Picture:
    """White Gaussian noise, σ on the 0-255 scale; not clipped, as in the denoising literature."""
    return rgb + rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(sigma_255 / 255)


def correlated_noise(
    rgb: Picture, sigma_255: float, rng: np.random.Generator, blur_px: float = 0.7
) -> Picture:
    """Gaussian noise smoothed by a Gaussian of `blur_px` and scaled back to σ: what demosaicking
    and resizing leave.
    """
    noise = cv2.GaussianBlur(rng.standard_normal(rgb.shape, dtype=np.float32), (0, 0), blur_px)
    return rgb + noise * np.float32(sigma_255 / 255 / max(float(noise.std()), 1e-6))


def poisson_noise(rgb: Picture, photons: float, rng: np.random.Generator) -> Picture:
    """Shot noise of a sensor that counts `photons` at white."""
    return (rng.poisson(np.clip(rgb, 0, 1) * photons) / photons).astype(np.float32)


def jpeg(rgb: Picture, quality: int) -> Picture:
    """The picture after one JPEG encoding at `quality` (1-100); clipped and quantised on the way,
    as a file is.
    """
    levels = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    bgr = np.ascontiguousarray(levels[..., ::-1])
    coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.float32) / 255


def blur(rgb: Picture, sigma_px: float) -> Picture:
    """Gaussian blur."""
    return cv2.GaussianBlur(np.ascontiguousarray(rgb), (0, 0), sigma_px)


def filtered(rgb: Picture, kernel: np.ndarray) -> Picture:
    """The picture after a filter, mirrored beyond its border."""
    return cv2.filter2D(np.ascontiguousarray(rgb), -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def resized(rgb: Picture, size: tuple[int, int], how: Interpolation) -> Picture:
    """The picture at another (height, width)."""
    if rgb.shape[:2] == size:
        return rgb
    return cv2.resize(np.ascontiguousarray(rgb), size[::-1], interpolation=_INTERPOLATIONS[how])


def camera(rgb: Picture, rng: np.random.Generator, strength: float = 1.0) -> Picture:
    """A cheap camera or scan: slight blur, shot and correlated noise, a JPEG encoding; `strength`
    scales the damage.

    Film has grains, and cameras smooth color before they write a file: so the noise is often alike
    in all channels.
    """
    if rng.random() < 0.5:
        rgb = blur(rgb, rng.uniform(0.2, 0.8) * max(strength, 1e-3))
    noisy = rgb
    if rng.random() < 0.7:
        noisy = poisson_noise(noisy, rng.uniform(60, 600) / max(strength, 1e-3), rng)
    noisy = correlated_noise(noisy, rng.uniform(2, 25) * strength, rng, rng.uniform(0.4, 1.5))
    if rng.random() < 0.4:
        noisy = rgb + (noisy - rgb)[..., :1]
    return jpeg(noisy, int(rng.integers(40, 96))) if rng.random() < 0.8 else noisy
