"""Vital signs of a set of outputs beside their targets: plain functions of tensors, each a number a
doctor can read.

Pictures are (N,C,H,W), RGB in [0,1]; points (N,2,1,1). Sets are compared as small thumbnails: a
doctor asks whether outputs differ, not how sharp they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MOST_PICTURES, MOST_POINTS = (
    256,
    1000,
)  # looked at; more would cost a validation its time and tell the same
THUMBNAIL_PX = 32
LEAST_GRID_PX = 24  # below, the frequencies beside a grid's own are too few to compare with
FEW = 3  # samples below which nothing can be said of a set
NEIGHBOURS = 5  # k of the neighbourhoods in `neighbourhoods`
AXES = (
    8  # pictures are compared along so many principal axes: in pixel space all distances are alike
)


def vital_signs(
    condition: Sequence[Tensor], made: Sequence[Tensor], target: Sequence[Tensor]
) -> dict[str, float]:
    """Signs of a validated set with own inputs: what was made of each condition beside its target."""
    a, b = _joined(made, MOST_PICTURES), _joined(target, MOST_PICTURES)
    signs = {**_set_signs(a, b), **ranges(condition, target)}
    if len(a) >= FEW:
        signs |= {"own_input": own_input(a, b)}
    return signs | {"count": float(len(a))}


def noise_signs(made: Sequence[Tensor], target: Sequence[Tensor]) -> dict[str, float]:
    """Signs of a set made of noise beside a set of real ones: there is no own input, but fidelity
    and coverage.
    """
    most = MOST_POINTS if are_points(target[0]) else MOST_PICTURES
    a, b = _joined(made, most), _joined(target, most)
    signs = _set_signs(a, b) | {"count": float(min(len(a), len(b)))}
    if min(len(a), len(b)) >= 8 * NEIGHBOURS:
        signs |= neighbourhoods(a, b)
    return signs if are_points(a) else {**signs, **ranges((), target)}


def diversity(made: Tensor, target: Tensor) -> float:
    """Mean distance between outputs of different inputs over that between targets: 1 is healthy, 0
    one output.
    """
    return _spread(_flat(made)) / (_spread(_flat(target)) + 1e-12)


def own_input(made: Tensor, target: Tensor) -> float:
    """Distance of outputs to their own targets over that to other targets: 1 where the input is
    ignored, 0 exact.

    By colors or by contours, whichever tell more: a sketch does not say how bright its garment is.
    """
    views = [_flat] if are_points(made) else [_flat, _contours]
    return min(_own_over_others(view(made), view(target)) for view in views)


def neighbourhoods(made: Tensor, target: Tensor) -> dict[str, float]:
    """Precision and recall of Kynkäänniemi et al. 2019, by the distance of each sample to its k-th
    neighbour.

    `fidelity`: share of made samples among real ones. `coverage`: share of real samples among made
    ones; missing modes lower it. Made samples far from all real ones have neither.
    """
    a, b = _principal(_flat(made), _flat(target))
    across = torch.cdist(a, b)
    around_made, around_real = (_radius(torch.cdist(x, x)) for x in (a, b))
    return {
        "fidelity": float((across <= around_real[None]).any(1).float().mean()),
        "coverage": float((across <= around_made[:, None]).any(0).float().mean()),
    }


def checkerboard(made: Tensor, target: Tensor) -> float:
    """Energy at the frequencies that stride-2 and stride-4 upsampling leave over that beside them;
    over the targets'.

    1 is healthy. Odena et al. 2016 name the cause: transposed convolutions whose kernel the stride
    does not divide.
    """
    pairs = list(zip(_grid_energies(made), _grid_energies(target), strict=True))
    # A tenth of what targets have there is not seen: faint grids in blurred or empty outputs do not
    # count.
    return max(
        _contrast_of(*m, floor=0.1 * t[1]) / _contrast_of(*t, floor=0.1 * t[1]) for m, t in pairs
    )


def saturated(made: Tensor, target: Tensor) -> float:
    """Share of output values at 0 or 1 (or beyond), less the targets' share."""
    return _clipped_share(made) - _clipped_share(target)


def dead(made: Tensor, target: Tensor) -> float:
    """Share of outputs that are one even color, where the targets are not."""
    return float((_contrast(made) < 0.02 * _contrast(target).median()).float().mean())


def ranges(condition: Sequence[Tensor], target: Sequence[Tensor]) -> dict[str, float]:
    """Ends of the values, the outer 1 % left out: [0,1] for targets; conditions may reach beyond by
    their noise.
    """
    named = {"condition": condition, "target": target}
    return {
        f"{name}_{end}": value for name, sets in named.items() for end, value in _ends(sets).items()
    }


def _set_signs(made: Tensor, target: Tensor) -> dict[str, float]:
    signs = {"diversity": diversity(made, target)} if len(made) >= FEW else {}
    if are_points(made):
        return signs
    signs |= {"saturated": saturated(made, target), "dead": dead(made, target)}
    if min(made.shape[-2:]) >= LEAST_GRID_PX:
        signs["checkerboard"] = checkerboard(made, target)
    return signs


def are_points(x: Tensor) -> bool:
    """Whether a batch holds points in the plane instead of pictures."""
    return x.shape[-2:] == (1, 1)


def _joined(pictures: Sequence[Tensor], most: int) -> Tensor:
    """(N,C,H,W) of batches, cut to the smallest of their sizes."""
    height, width = (min(p.shape[side] for p in pictures) for side in (-2, -1))
    return torch.cat([p[..., :height, :width].float() for p in pictures])[:most].nan_to_num(
        0.0, 1e4, -1e4
    )


def _flat(pictures: Tensor) -> Tensor:
    height, width = (min(THUMBNAIL_PX, side) for side in pictures.shape[-2:])
    return F.adaptive_avg_pool2d(pictures, (height, width)).flatten(1)


def _contours(pictures: Tensor) -> Tensor:
    """Where a thumbnail has edges, whatever their strength: unit vectors, and 0 for an even
    picture.
    """
    grey = pictures.mean(1, keepdim=True)
    down, right = F.pad(grey.diff(dim=-2), (0, 0, 0, 1)), F.pad(grey.diff(dim=-1), (0, 1))
    flat = _flat((down.square() + right.square()).sqrt())
    return F.normalize(flat - flat.mean(1, keepdim=True), dim=1, eps=1e-4)


def _own_over_others(made: Tensor, target: Tensor) -> float:
    distance = torch.cdist(made, target)
    count = len(distance)
    own = distance.diagonal().mean()
    others = (distance.sum() - distance.diagonal().sum()) / (count * (count - 1))
    return float(own / (others + 1e-12))


def _spread(flat: Tensor) -> float:
    return float(torch.pdist(flat).mean())


def _radius(distance: Tensor) -> Tensor:
    return distance.kthvalue(NEIGHBOURS + 1, dim=1).values  # the nearest is the sample itself


def _principal(made: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if target.shape[1] <= AXES:
        return made, target
    middle = target.mean(0)
    axes = torch.linalg.svd(target - middle, full_matrices=False).Vh[:AXES].T
    return (made - middle) @ axes, (target - middle) @ axes


def _grid_energies(pictures: Tensor) -> list[tuple[float, float]]:
    """Power at periods 2 and 4 along both axes, and beside each."""
    grey = pictures.mean(1)
    height, width = (side - side % 4 for side in grey.shape[-2:])
    grey = grey[..., :height, :width] - grey[..., :height, :width].mean((-2, -1), keepdim=True)
    window = torch.outer(torch.hann_window(height), torch.hann_window(width)).to(grey.device)
    power = torch.fft.fft2(grey * window).abs().square().mean(0)
    lines = (
        power[1 : height // 2].mean(0)[: width // 2 + 1],
        power[:, 1 : width // 2].mean(1)[: height // 2 + 1],
    )
    return [_peak(line, place) for line in lines for place in (len(line) - 1, len(line) // 2)]


def _peak(line: Tensor, place: int) -> tuple[float, float]:
    """A frequency's power, and the median of the nine beyond the window's own width on either side."""
    beside = torch.cat([line[max(0, place - 11) : place - 2], line[place + 3 : place + 12]])
    return float(line[place]), float(beside.median())


def _contrast_of(peak: float, beside: float, floor: float) -> float:
    return (peak + floor + 1e-12) / (beside + floor + 1e-12)


def _clipped_share(x: Tensor) -> float:
    return float(((x <= 1 / 512) | (x >= 1 - 1 / 512)).float().mean())


def _contrast(x: Tensor) -> Tensor:
    return x.flatten(1).std(1)


def _ends(sets: Sequence[Tensor]) -> dict[str, float]:
    if not sets:
        return {}
    values = torch.cat([x.float().flatten() for x in sets])
    values = values[:: max(1, len(values) // 100_000)]
    low, high = torch.quantile(values, torch.tensor([0.01, 0.99], device=values.device)).tolist()
    return {"low": low, "high": high}
