"""Line drawings as training sees them: lines of other widths, and strokes of color in regions."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from img2img.pixels.regions import Regions

_STROKE_PX = (1.0, 4.0)  # half widths
_CLEAR = 0.9  # lightness of paper that a stroke covers, and not a line
_MEANT = 0.2  # share of a stroke that lies in each region it is meant for


def with_wider_lines(drawing: Tensor, grown_px: float) -> Tensor:
    """A drawing (1,C,H,W) in [0,1] whose dark lines are wider by `grown_px` on either side; thinner
    where it is negative.
    """
    change = cv2.erode if grown_px > 0 else cv2.dilate
    whole, rest = divmod(abs(grown_px), 1)
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    planes = []
    for plane in drawing[0].numpy():
        below = change(plane, cross, iterations=int(whole)) if whole else plane
        planes.append((1 - rest) * below + rest * change(below, cross))
    return torch.from_numpy(np.stack(planes)[None]).to(drawing)


def strokes_in(drawn: Regions, rng: np.random.Generator, most: int) -> Tensor:
    """Marks (1,1,H,W), 1 on 1 to `most` short strokes, each in another region of one drawing;
    at least half of the regions have none, for the network to choose.
    """
    labels, clear = drawn.labels[0].numpy(), (drawn.ink[0].mean(0) > _CLEAR).numpy()
    marks = np.zeros(labels.shape, bool)
    strokes = min(int(rng.integers(1, most + 1)), drawn.count // 2)
    for number in rng.permutation(drawn.count)[:strokes]:
        region = clear & (labels == number)
        places = np.argwhere(region)[:, ::-1]
        if not len(places):
            continue
        start, end = places[rng.integers(len(places), size=2)]
        end = (start + rng.uniform(0, 0.5) * (end - start)).astype(int)
        stroke = np.zeros(labels.shape, np.uint8)
        cv2.line(stroke, start.tolist(), end.tolist(), 1, round(2 * rng.uniform(*_STROKE_PX)))
        marks |= region & (stroke > 0)
    return torch.from_numpy(marks[None, None].astype(np.float32))


def strokes_meant(drawn: Regions, marked: np.ndarray) -> Tensor:
    """Marks (1,1,H,W) of a user's strokes (H,W), bool, on one drawing, without what lies on lines
    and what runs over into regions next to the ones that a stroke is meant for.
    """
    labels = drawn.labels[0].cpu().numpy()
    inside = marked & (drawn.ink[0].mean(0) > _CLEAR).cpu().numpy()
    count, stroke = cv2.connectedComponents(marked.astype(np.uint8), connectivity=8)
    code = stroke.astype(np.int64) * drawn.count + labels
    shares = np.bincount(code[inside], minlength=count * drawn.count).reshape(count, -1)
    meant = shares >= _MEANT * np.maximum(shares.sum(1, keepdims=True), 1)
    kept = inside & meant.ravel()[code]
    return torch.from_numpy(kept[None, None].astype(np.float32)).to(drawn.ink.device)
