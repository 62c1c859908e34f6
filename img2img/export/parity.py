"""What was exported held against PyTorch, on photos of sizes that are multiples of nothing."""

from __future__ import annotations

import torch

from img2img.errors import UserError, one_line
from img2img.runtimes.graph import GraphSource, PictureGraph, as_arrays, sample_photos
from img2img.runtimes.network import Session

MOST = 1 / 255


def check_parity(source: GraphSource, session: Session, what: str) -> float:
    """The largest difference of a pixel, of 1, between a graph that was written and its model.

    Raises UserError where it is above 1/255, where the sizes differ, and where either fails.
    """
    worst = 0.0
    for photo in sample_photos():
        inputs = source.inputs(photo)
        graph = PictureGraph(source, tuple(inputs)).eval()
        size = f"{photo.shape[-1]}x{photo.shape[-2]}"
        try:
            with torch.inference_mode():
                true = graph(*inputs.values()).float()
            found = torch.from_numpy(session(as_arrays(inputs)).copy())
        except Exception as error:  # of any runtime, or of a network of one size
            raise UserError(f"{what} fails on {size} pixels: {one_line(error, 160)}") from error
        if found.shape != true.shape:
            shapes = f"{tuple(found.shape)} and not {tuple(true.shape)}"
            raise UserError(f"{what} makes {shapes} of {size} pixels: its sizes are fixed")
        difference = float((found - true).abs().max())
        if not difference <= MOST:  # also where it is no number
            problem = f"{what} differs from PyTorch by {difference * 255:.3g}/255 on {size} pixels"
            raise UserError(f"{problem}, more than 1/255: nothing was written")
        worst = max(worst, difference)
    return worst
