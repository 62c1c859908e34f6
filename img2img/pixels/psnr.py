"""Peak signal-to-noise ratio, of a training's validation and of evaluation alike."""

from __future__ import annotations

from torch import Tensor

MOST_DB = 100.0  # of equal pictures; infinity would swallow the mean of all others


def psnr_db(rgb: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in dB.

    Args:
        rgb: the result, (B,C,H,W), clipped to [0,1].
        truth: what it should be, of the same shape.

    Returns:
        0 for black against white, at most 100 for equal pictures; higher is better.

    Example:
        >>> import torch
        >>> truth = torch.zeros(1, 3, 16, 16)
        >>> round(psnr_db(truth + 0.1, truth), 6)  # 10 log10(1 / 0.1²)
        20.0
    """
    import kornia.metrics  # inference does without it

    return min(MOST_DB, float(kornia.metrics.psnr(rgb.double().clamp(0, 1), truth.double(), 1.0)))
