"""Vital signs of a set of outputs, compared with their targets: plain functions of tensors, each a
number for the doctor.

Pictures are (N,C,H,W), RGB in [0,1]; points (N,2,1,1). Sets are compared as small thumbnails: a
doctor asks whether outputs differ, not how sharp they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# Looked at; more would cost a validation its time and say the same.
MOST_PICTURES, MOST_POINTS = 256, 1000
THUMBNAIL_PX = 32
LEAST_GRID_PX = 24  # below, a grid's frequencies have too few neighbours to compare with
FEW = 3  # samples below which a set has no diversity
NEIGHBOURS = 5  # k of the neighbourhoods in `neighbourhoods`
# Pictures are compared along so many principal axes: in pixel space all distances are alike.
AXES = 8


def vital_signs(
    condition: Sequence[Tensor], outputs: Sequence[Tensor], targets: Sequence[Tensor]
) -> dict[str, float]:
    """Signs of a validated set in which each output has a condition and a target of its own."""
    a, b = _joined(outputs, MOST_PICTURES), _joined(targets, MOST_PICTURES)
    signs = {**_set_signs(a, b), **ranges(condition, targets)}
    if len(a) >= FEW:
        signs |= {"own_input": own_input(a, b)}
    return signs | {"count": float(len(a))}


def noise_signs(fakes: Sequence[Tensor], reals: Sequence[Tensor]) -> dict[str, float]:
    """Signs of a set generated from noise and a set of real samples: no fake has a target of its
    own, but the sets have fidelity and coverage.
    """
    most = MOST_PICTURES if _has_pixels(reals[0]) else MOST_POINTS
    a, b = _joined(fakes, most), _joined(reals, most)
    signs = _set_signs(a, b) | {"count": float(min(len(a), len(b)))}
    if min(len(a), len(b)) >= 8 * NEIGHBOURS:
        signs |= neighbourhoods(a, b)
    return {**signs, **ranges(target=reals)} if _has_pixels(a) else signs


def diversity(outputs: Tensor, targets: Tensor) -> float:
    """Mean distance between outputs over that between targets: 1 is healthy, 0 a single output."""
    spread, healthy = (float(torch.pdist(_flat(x)).mean()) for x in (outputs, targets))
    return spread / (healthy + 1e-12)


def own_input(outputs: Tensor, targets: Tensor) -> float:
    """Distance of outputs to their own targets over that to other targets: 1 where the input is
    ignored, 0 exact.

    By colors or by contours, whichever tell more: a sketch does not say how bright its garment is.
    """
    ratios = []
    for view in [_flat, _contours] if _has_pixels(outputs) else [_flat]:
        distance = torch.cdist(view(outputs), view(targets))
        count, own = len(distance), distance.diagonal().mean()
        others = (distance.sum() - distance.diagonal().sum()) / (count * (count - 1))
        ratios.append(float(own / (others + 1e-12)))
    return min(ratios)


def neighbourhoods(fakes: Tensor, reals: Tensor) -> dict[str, float]:
    """Fidelity and coverage of fakes: precision and recall of Kynkäänniemi et al. 2019, by the
    distance of each sample to its k-th neighbour.

    `fidelity`: share of fakes among real samples. `coverage`: share of real samples among fakes;
    missing modes lower it. Fakes far from all real samples have neither.
    """
    a, b = _flat(fakes), _flat(reals)
    if b.shape[1] > AXES:
        middle = b.mean(0)
        axes = torch.linalg.svd(b - middle, full_matrices=False).Vh[:AXES].T
        a, b = (a - middle) @ axes, (b - middle) @ axes
    across = torch.cdist(a, b)
    # The nearest of each set to a sample is the sample itself.
    around_a, around_b = (torch.cdist(x, x).kthvalue(NEIGHBOURS + 1, dim=1).values for x in (a, b))
    return {
        "fidelity": float((across <= around_b[None]).any(1).float().mean()),
        "coverage": float((across <= around_a[:, None]).any(0).float().mean()),
    }


def checkerboard(outputs: Tensor, targets: Tensor) -> float:
    """Energy at the frequencies that stride-2 and stride-4 upsampling leave over that of their
    neighbours; over the targets'.

    1 is healthy. Odena et al. 2016 name the cause: transposed convolutions whose kernel the stride
    does not divide.
    """
    ratios = []
    for output, target in zip(_grid_energies(outputs), _grid_energies(targets), strict=True):
        # A tenth of what targets have around there is not seen: faint grids in blurred or empty
        # outputs do not count.
        floor = 0.1 * target[1]
        (peak, around), (plain_peak, plain_around) = (
            (p + floor + 1e-12, a + floor + 1e-12) for p, a in (output, target)
        )
        ratios.append((peak / around) / (plain_peak / plain_around))
    return max(ratios)


def saturated(outputs: Tensor, targets: Tensor) -> float:
    """Share of output values at 0 or 1 (or beyond), less the targets' share."""
    share, usual = (
        float(((x <= 1 / 512) | (x >= 1 - 1 / 512)).float().mean()) for x in (outputs, targets)
    )
    return share - usual


def dead(outputs: Tensor, targets: Tensor) -> float:
    """Share of outputs that are one even color, where the targets are not."""
    contrast, usual = (x.flatten(1).std(1) for x in (outputs, targets))
    return float((contrast < 0.02 * usual.median()).float().mean())


def ranges(condition: Sequence[Tensor] = (), target: Sequence[Tensor] = ()) -> dict[str, float]:
    """Ends of the values, the outer 1 % left out: [0,1] for targets; conditions may reach beyond by
    their noise.
    """
    ends = dict[str, float]()
    for name, batches in (("condition", condition), ("target", target)):
        if batches:
            values = torch.cat([x.float().flatten() for x in batches])
            values = values[:: max(1, len(values) // 100_000)]
            outer = torch.tensor([0.01, 0.99], device=values.device)
            low, high = torch.quantile(values, outer).tolist()
            ends |= {f"{name}_low": low, f"{name}_high": high}
    return ends


def _has_pixels(x: Tensor) -> bool:
    """Whether a batch holds pictures, and not points in the plane."""
    return x[0, 0].numel() > 1


def _set_signs(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    signs = {"diversity": diversity(outputs, targets)} if len(outputs) >= FEW else {}
    if not _has_pixels(outputs):
        return signs
    signs |= {"saturated": saturated(outputs, targets), "dead": dead(outputs, targets)}
    if min(outputs.shape[-2:]) >= LEAST_GRID_PX:
        signs["checkerboard"] = checkerboard(outputs, targets)
    return signs


def _joined(pictures: Sequence[Tensor], most: int) -> Tensor:
    """(N,C,H,W) of batches, cut to the smallest of their sizes; NaN and infinity become numbers."""
    height, width = (min(p.shape[side] for p in pictures) for side in (-2, -1))
    cut = torch.cat([p[..., :height, :width].float() for p in pictures])[:most]
    return cut.nan_to_num(0.0, 1e4, -1e4)


def _flat(pictures: Tensor) -> Tensor:
    """Thumbnails as vectors (N,D)."""
    height, width = (min(THUMBNAIL_PX, side) for side in pictures.shape[-2:])
    return F.adaptive_avg_pool2d(pictures, (height, width)).flatten(1)


def _contours(pictures: Tensor) -> Tensor:
    """Where thumbnails have edges, however strong: unit vectors (N,D), 0 for an even picture."""
    grey = pictures.mean(1, keepdim=True)
    down, right = F.pad(grey.diff(dim=-2), (0, 0, 0, 1)), F.pad(grey.diff(dim=-1), (0, 1))
    flat = _flat((down.square() + right.square()).sqrt())
    return F.normalize(flat - flat.mean(1, keepdim=True), dim=1, eps=1e-4)


def _grid_energies(pictures: Tensor) -> list[tuple[float, float]]:
    """Power at periods 2 and 4 along both axes, each with the median of its neighbours: nine
    frequencies on either side, beyond the window's own width.
    """
    grey = pictures.mean(1)
    height, width = (side - side % 4 for side in grey.shape[-2:])
    grey = grey[..., :height, :width] - grey[..., :height, :width].mean((-2, -1), keepdim=True)
    window = torch.outer(torch.hann_window(height), torch.hann_window(width)).to(grey.device)
    power = torch.fft.fft2(grey * window).abs().square().mean(0)
    lines = (
        power[1 : height // 2].mean(0)[: width // 2 + 1],
        power[:, 1 : width // 2].mean(1)[: height // 2 + 1],
    )
    energies = []
    for line in lines:
        for place in (len(line) - 1, len(line) // 2):
            around = torch.cat([line[max(0, place - 11) : place - 2], line[place + 3 : place + 12]])
            energies.append((float(line[place]), float(around.median())))
    return energies
