"""Classical methods of OpenCV and scikit-image on arrays. They need neither torch nor a model, so
that the process in which one is measured holds little else.

Strengths are the best in PSNR on five training photos at each σ.
"""

from __future__ import annotations

import cv2
import numpy as np
from skimage.restoration import (
    denoise_bilateral,
    denoise_nl_means,
    denoise_tv_chambolle,
    denoise_wavelet,
    inpaint_biharmonic,
)

from img2img.evaluation.exchange import ArrayMethod, Given
from img2img.pixels.images import quantise

_FILL_RADIUS_PX = 3


def classic(method: str) -> ArrayMethod:
    """A method of this file by its name."""
    return _METHODS[method]


def non_local_means(given: Given) -> np.ndarray:
    """OpenCV's color non-local means (Buades et al. 2011), given σ."""
    luma, color = (0.6, 1.0) if given.sigma_255 < 40 else (0.5, 0.5)
    bgr = np.ascontiguousarray(quantise(given.rgb, np.uint8)[..., ::-1])
    denoised = cv2.fastNlMeansDenoisingColored(
        bgr, None, luma * given.sigma_255, color * given.sigma_255, 7, 21
    )
    return denoised[..., ::-1]


def non_local_means_skimage(given: Given) -> np.ndarray:
    """scikit-image's non-local means with its fast algorithm (Darbon et al. 2008), given σ."""
    return denoise_nl_means(
        given.rgb,
        patch_size=5,
        patch_distance=6,
        h=0.6 * given.sigma,
        sigma=given.sigma,
        fast_mode=True,
        channel_axis=-1,
    )


def total_variation(given: Given) -> np.ndarray:
    """scikit-image's total variation (Chambolle 2004), its weight given by σ."""
    return denoise_tv_chambolle(given.rgb, weight=0.85 * given.sigma, channel_axis=-1)


def wavelet(given: Given) -> np.ndarray:
    """scikit-image's wavelet thresholds in YCbCr by BayesShrink (Chang et al. 2000), given σ."""
    return denoise_wavelet(
        given.rgb,
        sigma=given.sigma,
        method="BayesShrink",
        convert2ycbcr=True,
        rescale_sigma=True,
        channel_axis=-1,
    )


def bilateral(given: Given) -> np.ndarray:
    """OpenCV's bilateral filter (Tomasi & Manduchi 1998), its range given by σ."""
    return cv2.bilateralFilter(given.rgb, 0, 4 * given.sigma, 3)


def bilateral_skimage(given: Given) -> np.ndarray:
    """scikit-image's bilateral filter, its range given by σ."""
    return denoise_bilateral(
        np.clip(given.rgb, 0, 1),  # it takes nothing below 0
        sigma_color=0.7 * given.sigma,
        sigma_spatial=2,
        mode="reflect",
        channel_axis=-1,
    )


def lanczos(given: Given) -> np.ndarray:
    """OpenCV's Lanczos enlargement over 8×8 pixels."""
    height, width = given.x.shape[-2:]
    size = width * given.scale, height * given.scale
    return cv2.resize(given.rgb, size, interpolation=cv2.INTER_LANCZOS4)


def telea(given: Given) -> np.ndarray:
    """OpenCV's fill by fast marching (Telea 2004)."""
    return _filled(given, cv2.INPAINT_TELEA)


def navier_stokes(given: Given) -> np.ndarray:
    """OpenCV's fill by Navier–Stokes (Bertalmio et al. 2001)."""
    return _filled(given, cv2.INPAINT_NS)


def _filled(given: Given, method: int) -> np.ndarray:
    assert given.hole is not None
    hole = given.hole.astype(np.uint8)
    return cv2.inpaint(quantise(given.rgb, np.uint8), hole, _FILL_RADIUS_PX, method)


def median(given: Given) -> np.ndarray:
    """OpenCV's median of 5×5 pixels, a channel at a time."""
    return cv2.medianBlur(quantise(given.rgb, np.uint8), 5)


def biharmonic(given: Given) -> np.ndarray:
    """scikit-image's biharmonic fill (Damelin & Hoang 2018)."""
    return inpaint_biharmonic(given.rgb, given.hole, channel_axis=-1)


_METHODS = {
    method.__name__: method
    for method in (
        *(non_local_means, non_local_means_skimage, total_variation, wavelet),
        *(bilateral, bilateral_skimage, lanczos, median, telea, navier_stokes, biharmonic),
    )
}
