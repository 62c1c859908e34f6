"""Lab, gamut and the filters that tie sizes together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from img2img.data.sample import as_tensor
from img2img.pixels.color import (
    downscale,
    fit_gamut,
    from_lab,
    luminance,
    resize,
    to_lab,
    upscale,
    y_channel,
)


def color(*rgb: float) -> Tensor:
    return torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # CIE Lab of the sRGB primaries under D65
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (100, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_of_known_colors(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    assert to_lab(color(*rgb)).flatten().tolist() == pytest.approx(lab, abs=0.1)
    assert from_lab(to_lab(color(*rgb))).flatten().tolist() == pytest.approx(rgb, abs=0.002)
    assert luminance(color(*rgb)).item() == pytest.approx(lab[0] / 100, abs=1e-3)


def test_luminance_clips_what_lab_does_not_define() -> None:
    assert luminance(color(1.5, 1.5, 1.5)).item() == pytest.approx(1, abs=1e-4)
    assert luminance(color(-0.5, -0.5, -0.5)).item() == pytest.approx(0, abs=1e-4)


def random_lab(reach: float) -> Tensor:
    lab = (torch.rand(1, 3, 40, 40) * 2 - 1) * reach
    lab[:, 0] = torch.rand(1, 40, 40) * 100
    return lab


@pytest.mark.parametrize("reach", [20.0, 110.0, 500.0])
def test_fitting_the_gamut_keeps_lightness_and_hue(reach: float) -> None:
    lab = random_lab(reach)
    rgb = fit_gamut(lab)
    again = to_lab(rgb)
    assert 0 <= rgb.min() <= rgb.max() <= 1
    assert (again[:, 0] - lab[:, 0]).abs().max() < 0.1
    vivid = (again[:, 1:].norm(dim=1) > 5) & (lab[:, 0] > 5) & (lab[:, 0] < 95)
    turned = torch.cosine_similarity(again[:, 1:], lab[:, 1:], dim=1)[vivid]
    assert turned.min() > 0.98


def test_fitting_the_gamut_leaves_possible_colors_alone_and_takes_no_more_than_needed() -> None:
    rgb = torch.rand(1, 3, 40, 40)
    assert torch.allclose(fit_gamut(to_lab(rgb)), rgb, atol=2e-3)
    lab = random_lab(300.0)
    lab[:, 0] = 50
    outside = ((from_lab(lab, clip=False) < 0) | (from_lab(lab, clip=False) > 1)).any(1)
    edge = fit_gamut(lab)
    distance = torch.minimum(edge, 1 - edge).amin(1)[outside]
    assert distance.max() < 0.02, "such colors end on the gamut's surface"


@pytest.mark.parametrize("size", [(48, 48), (24, 24), (33, 57), (96, 40), (192, 192), (131, 200)])
def test_resize_is_pillows_bicubic(size: tuple[int, int], photos: list[np.ndarray]) -> None:
    channel = photos[0][..., 0].astype(np.float32) / 255
    theirs = np.asarray(
        Image.fromarray(channel).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    )
    ours = resize(as_tensor(channel), size)[0, 0].numpy()
    assert np.abs(ours - theirs).max() < 1e-3


def test_resize_is_fp32_differentiable_and_nothing_at_the_same_size() -> None:
    x = torch.rand(1, 3, 8, 8, dtype=torch.bfloat16)
    assert resize(x, (4, 4)).dtype == torch.float32
    assert resize(x, (8, 8)) is x
    y = torch.rand(1, 3, 8, 8, requires_grad=True)
    resize(y, (5, 7)).sum().backward()
    assert y.grad is not None
    assert y.grad.sum().item() == pytest.approx(3 * 5 * 7, rel=1e-4), (
        "weights of every output pixel sum to 1"
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_scaling_is_centered(scale: int) -> None:
    ramp = torch.arange(12.0).view(1, 1, 1, 12).expand(1, 1, 12, 12)
    up = upscale(ramp, scale)
    assert up.shape[-2:] == (12 * scale, 12 * scale)
    middle = up[0, 0, 6 * scale, 5 * scale : 7 * scale]
    expected = (torch.arange(5 * scale, 7 * scale) + 0.5) / scale - 0.5
    assert torch.allclose(middle, expected, atol=1e-4)
    assert torch.allclose(downscale(up, scale)[..., 3:9, 3:9], ramp[..., 3:9, 3:9], atol=1e-3)


@pytest.mark.parametrize(
    ("rgb", "y"),
    [
        ((0, 0, 0), 16),
        ((1, 1, 1), 235),
        ((1, 0, 0), 81.481),
        ((0, 1, 0), 144.553),
        ((0, 0, 1), 40.966),
    ],
)
def test_y_is_bt601_studio_luma(rgb: tuple[float, ...], y: float) -> None:
    assert y_channel(color(*rgb)).item() * 255 == pytest.approx(y, abs=1e-3)
