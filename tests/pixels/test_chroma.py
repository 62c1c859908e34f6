"""Chroma enlarged along edges, and the classes of color, against values worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from img2img.pixels.chroma import (
    BINS,
    annealed_mean,
    another_version,
    encoded_bins,
    gradients,
    joint_bilateral,
    log_shares,
    shares,
)
from img2img.pixels.color import to_lab


def colors(*ab: tuple[float, float]) -> Tensor:
    """(1,2,1,n)."""
    return torch.tensor(ab).T[None, :, None]


def centers() -> Tensor:
    """(BINS,2), by the mean of a distribution that is sure of one bin."""
    sure = torch.eye(BINS).T[None, :, None] * 100
    return annealed_mean(sure, 1.0)[0, :, 0].T


# --- enlarging


def test_an_edge_of_the_luminance_stays_one_of_color() -> None:
    # 4 small pixels become 16; the edge lies inside of the second, a quarter of the way
    luminance = torch.tensor([0.2] * 7 + [0.8] * 9).expand(1, 1, 16, 16)
    small = torch.tensor([40.0, 40.0, -40.0, -40.0]).expand(1, 1, 4, 4)
    row = joint_bilateral(small, luminance)[0, 0, 8]
    assert torch.allclose(row[:7], torch.full((7,), 40.0), atol=0.5)
    assert torch.allclose(row[8:], torch.full((8,), -40.0), atol=0.5)


def test_without_edges_it_is_smooth_and_constants_stay() -> None:
    flat = torch.full((1, 1, 37, 23), 0.5)
    ramp = torch.arange(6.0).expand(1, 2, 9, 6)
    up = joint_bilateral(ramp, flat)
    assert up.shape == (1, 2, 37, 23)
    steps = up[0, 0, 18].diff()
    assert (steps >= -1e-5).all() and steps.max() < 6 / 23 + 0.01, "no jump from cell to cell"
    constant = torch.full((1, 2, 5, 4), 7.0)
    anywhere = torch.rand(1, 1, 37, 23)
    assert torch.allclose(joint_bilateral(constant, anywhere), torch.full((1, 2, 37, 23), 7.0))


def test_of_equal_size_nothing_is_changed() -> None:
    chroma = torch.rand(1, 2, 8, 9)
    assert torch.equal(joint_bilateral(chroma, torch.rand(1, 1, 8, 9)), chroma)


def test_a_tall_photo_has_no_seams_between_strips() -> None:
    chroma, luminance = torch.rand(1, 2, 40, 3), torch.full((1, 1, 600, 12), 0.5)
    up = joint_bilateral(chroma, luminance)
    mirrored = joint_bilateral(chroma.flip(-2), luminance).flip(-2)
    assert torch.allclose(up, mirrored, atol=1e-5)


def test_every_small_pixel_gets_a_gradient() -> None:
    chroma = torch.zeros(2, 2, 4, 4, requires_grad=True)
    joint_bilateral(chroma, torch.rand(2, 1, 16, 16)).sum().backward()
    assert chroma.grad is not None and (chroma.grad > 0).all()
    assert float(chroma.grad.sum()) == pytest.approx(2 * 2 * 16 * 16, rel=1e-4)


# --- classes


def test_the_bins_hold_the_colors_of_srgb_and_their_opposites() -> None:
    grid = torch.cartesian_prod(*[torch.linspace(0, 1, 9)] * 3)
    ab = to_lab(grid.T[None, :, None])[:, 1:]
    assert ab.abs().max() < 108
    found = centers()
    opposite = {(-a, -b) for a, b in found.round().tolist()}
    assert opposite == {(a, b) for a, b in found.round().tolist()}


def test_shares_lie_on_the_four_bins_around_and_their_mean_is_the_color() -> None:
    ab = colors((3.0, -4.0), (0.0, 0.0), (36.0, 22.0), (79.2, -107.9))
    found = shares(ab)
    assert torch.allclose(found.sum(1), torch.ones(1, 1, 4))
    assert (found > 0).sum(1).flatten().tolist() == [4, 1, 1, 4]
    mean = torch.einsum("bqhw,qc->bchw", found, centers())
    assert torch.allclose(mean, ab, atol=1e-3)
    # a* 3 is half of the way from 0 to 6, b* -4 two thirds of that to -6
    assert found[0, :, 0, 0].max().item() == pytest.approx(1 / 2 * 2 / 3, rel=1e-5)


def test_zeros_are_grey_and_equally_likely() -> None:
    zeros = torch.zeros(1, BINS, 2, 2)
    assert annealed_mean(zeros, 0.38).abs().max() < 1e-4
    assert torch.allclose(log_shares(zeros).exp(), torch.full_like(zeros, 1 / 169))


def test_annealing_goes_from_the_mean_to_the_likeliest() -> None:
    grey, red = shares(colors((0.0, 0.0))), shares(colors((60.0, 0.0)))
    likely = (0.3 * grey + 0.7 * red).clamp_min(1e-12).log() / 10
    mean, annealed, mode = (float(annealed_mean(likely, t)[0, 0, 0, 0]) for t in (1.0, 0.38, 0.02))
    assert mean == pytest.approx(0.7 * 60, abs=0.01)
    share = 0.7 ** (1 / 0.38) / (0.7 ** (1 / 0.38) + 0.3 ** (1 / 0.38))
    assert annealed == pytest.approx(share * 60, abs=0.01)  # 54.2
    assert mode == pytest.approx(60, abs=0.01)


@pytest.mark.parametrize("temperature", [0.38, 1.0])
def test_encoding_is_the_inverse(temperature: float) -> None:
    ab = colors((3.0, -4.0), (-50.0, 70.0), (0.0, 0.0), (79.2, -107.8))
    encoded = encoded_bins(ab, temperature)
    assert encoded.abs().max() <= 1
    assert torch.allclose(annealed_mean(encoded, temperature), ab, atol=0.02)


def test_another_version_changes_what_is_unsure_and_leaves_what_is_sure() -> None:
    either = shares(colors((36.0, 0.0))) + shares(colors((-36.0, 0.0)))
    other = shares(colors((0.0, 36.0))) + shares(colors((0.0, -36.0)))
    sure = shares(colors((36.0, 0.0)))
    # three things in a row, two pixels each
    things = torch.cat([either / 2, either / 2, other / 2, other / 2, sure, sure], -1)
    prediction = (things + 1e-6).log() / 10
    usual = annealed_mean(prediction, 0.38)
    found = [
        annealed_mean(another_version(prediction, n, 0.38), 0.38)[0, :, 0] for n in range(1, 9)
    ]
    again = annealed_mean(another_version(prediction, 1, 0.38), 0.38)[0, :, 0]
    assert torch.equal(found[0], again), "a seed is a version"
    assert usual[..., :4].abs().max() < 0.01
    first, second = (
        torch.stack([v[channel, at] for v in found]) for channel, at in ((0, 0), (1, 2))
    )
    for leaning in (first, second):
        assert leaning.min() < -10 and leaning.max() > 10, "either color in some version"
    assert (first.sign() != second.sign()).any(), "each thing by itself"
    for version in found:
        assert torch.allclose(version[:, 0::2], version[:, 1::2]), "a thing has one color"
        assert (version[0, 4:] - 36).abs().max() < 1


def test_gradients_are_differences_to_the_right_and_below() -> None:
    lab = torch.zeros(1, 3, 2, 2)
    lab[0, :, 0, 1] = torch.tensor([3.0, 0.0, 6.0])
    lab[0, :, 1, 0] = torch.tensor([4.0, 8.0, 0.0])
    luma, chroma = gradients(lab)
    assert luma.item() == pytest.approx(5) and chroma.item() == pytest.approx(10)
