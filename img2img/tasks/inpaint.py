"""Masked inpainting: the network corrects a classical fill inside the hole; known pixels come back
bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from img2img.config import Ordered
from img2img.data.sample import Batch, PhotoSample, as_picture, as_tensor
from img2img.pixels import masks
from img2img.pixels.exemplar import exemplar_fill
from img2img.pixels.fill import mirrored_detail, smooth_fill
from img2img.pixels.masks import thickness_px
from img2img.pixels.tensors import as_uint8, masked_mean
from img2img.pixels.xmp import DigitalSourceType
from img2img.tasks.base import HeightWidth
from img2img.tasks.masked import MaskedTask
from img2img.tasks.photo import View

Fill = Literal["telea", "navier_stokes", "mirrored", "mean", "exemplar"]
Hole = Annotated[float, Field(ge=0, le=0.9)]  # strokes alone hardly cover the last corners
BoxShare = Annotated[float, Field(gt=0, le=1)]
Box = tuple[int, int, int, int]  # top, left, bottom, right

# Of the mirrored detail that the fill starts with: all of it looks best, none of it has the least
# error.
_DETAIL = 0.7


class Inpaint(MaskedTask):
    """Photo and mask in, photo with the masked part filled out. The network sees the filled photo
    and the mask.

    With the fill "mirrored" it also sees the detail mirrored into the hole, and says where there is
    too much of it. With "exemplar" it begins as with "mirrored", sees in addition what pieces of
    the picture would change in that, and says where that is right.
    """

    kind: Literal["inpaint"] = "inpaint"
    fill: Fill = Field(
        "telea",
        description="what lies in the hole before the network works (mirrored: a smooth surface "
        "and the detail beyond the hole's edge; exemplar: the same, and in addition pieces of the "
        "picture that continue lines and patterns; mean: the picture's mean pixel)",
    )
    free_form_share: float = Field(
        0.7, ge=0, le=1, description="share of free-form masks while training"
    )
    outpaint_share: float = Field(
        0.1, ge=0, le=1, description="share of missing borders; the rest are boxes"
    )
    hole_share: Annotated[tuple[Hole, Hole], Ordered] = Field(
        (0.05, 0.4), description="missing part, free-form masks"
    )
    strokes_px: int | None = Field(
        None,
        ge=16,
        description="free-form masks are cut from ones of this size: small crops then meet strokes "
        "as wide",
    )
    box_share: Annotated[tuple[BoxShare, BoxShare], Ordered] = Field(
        (0.25, 0.5), description="a box's sides, of the picture's"
    )
    noise_channels: int = Field(
        0,
        ge=0,
        description="channels of noise in the hole, in [0,1], that the network sees in addition: "
        "each seed gives another candidate",
    )
    working_px: int = Field(
        768, ge=64, description="a hole and its surroundings are shrunk to this for the network"
    )

    whole_px: int = Field(
        0,
        ge=0,
        description="photos up to this side are seen whole, not a hole and its surroundings alone",
    )

    draws: ClassVar[bool] = True
    plan_order: ClassVar[int] = 10
    zeros_are: ClassVar[str] = "the classical fill"
    verb: ClassVar[str] = "fill the masked part"
    source_type: ClassVar[DigitalSourceType | None] = "compositeWithTrainedAlgorithmicMedia"

    @property
    def predicts_residual(self) -> bool:  # type: ignore[override]  # read only
        return self.fill != "mirrored"

    @property
    def condition_channels(self) -> int:
        return 4 + 3 * self._proposals + self.noise_channels

    @property
    def prediction_channels(self) -> int:
        return 3 + 3 * self._proposals

    @property
    def _proposals(self) -> int:
        """Pictures of changes, (3,H,W) each, that the network may ask for by how much of them."""
        return {"mirrored": 1, "exemplar": 2}.get(self.fill, 0)

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        hole = self.draw_mask(sample.photo.shape[:2], rng)
        target, mask = as_tensor(sample.photo), as_tensor(hole.astype(np.float32))
        rows, columns = np.nonzero(hole)
        pick = int(rng.integers(len(rows)))
        center = torch.tensor([[int(rows[pick]), int(columns[pick])]])
        noise = torch.from_numpy(
            rng.random((1, self.noise_channels, *target.shape[-2:]), np.float32)
        )
        return Batch(
            condition=self.prepare(target, mask, noise),
            target=target,
            mask=mask,
            local_center=center,
        )

    def draw_mask(self, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """A training mask, boolean (H,W), never empty."""
        draw = rng.random()
        if draw < self.free_form_share:
            side = max(self.strokes_px or 0, *size)
            whole = size if self.strokes_px is None else (side, side)
            return masks.window(
                masks.free_form((whole[0], whole[1]), rng, self.hole_share), (size[0], size[1]), rng
            )
        if draw < self.free_form_share + self.outpaint_share:
            return masks.outpaint((size[0], size[1]), rng)
        return masks.box((size[0], size[1]), rng, self.box_share)

    def prepare(
        self, photo: Tensor, mask: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """(B,C,H,W): the filled photo, mirrored detail, noise in the hole, and the mask last.

        Noise (B,noise_channels,H,W) that is not given is drawn by torch's generator, which a user's
        seed sets.
        """
        mask = torch.zeros_like(photo[:, :1]) if mask is None else mask
        filled = [_filled(p, m, self.fill) for p, m in zip(photo, mask, strict=True)]
        condition = [torch.stack(filled), mask.to(photo.dtype)]
        if self.noise_channels:
            if noise is None:
                size = (len(photo), self.noise_channels, *photo.shape[-2:])
                noise = torch.rand(size).to(photo)
            condition.insert(1, noise * mask)
        return torch.cat(condition, 1)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        change = prediction[:, :3]
        for start in range(3, 3 + 3 * self._proposals, 3):
            proposal = slice(start, start + 3)
            change = change + prediction[:, proposal] * condition[:, proposal]
        return condition[:, :3] + change * condition[:, -1:]

    def graph_inputs(self, photo: Tensor, condition: Tensor) -> dict[str, Tensor]:
        """The classical fill is no graph's work: `input` is the photo with its hole filled, and
        what the network sees between that and the mask is `detail`.
        """
        inputs = {"input": condition[:, :3], "mask": condition[:, -1:]}
        return inputs | ({"detail": condition[:, 3:-1]} if self.condition_channels > 4 else {})

    def condition_of(self, inputs: Mapping[str, Tensor]) -> Tensor:
        # Zeros of one pixel stand for none.
        detail = [inputs["detail"] + torch.zeros_like(inputs["mask"])] if "detail" in inputs else []
        return torch.cat([inputs["input"], *detail, inputs["mask"]], 1)

    def encode(self, batch: Batch) -> Tensor:
        """What the fill lacks; of what is proposed there was just enough."""
        change = batch.target - batch.condition[:, :3]
        return F.pad(change, (0, 0) * 2 + (0, self.prediction_channels - 3))

    def views(self, size: HeightWidth, mask: np.ndarray | None = None) -> list[View]:
        if max(size) <= self.whole_px:
            return super().views(size, mask)
        boxes = [] if mask is None else hole_boxes(mask, self.working_px)
        return [_view(box, size, self.working_px) for box in boxes]

    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        difference = (rgb.float() - batch.target.float()).abs()
        hole_l1 = masked_mean(difference, batch.mask, "hole")
        return {**super().metrics(rgb, batch), "hole_l1": float(hole_l1)}


def _filled(photo: Tensor, mask: Tensor, fill: Fill) -> Tensor:
    """(3,H,W) with the hole filled classically; OpenCV works on 8 bits, so known pixels are put
    back as they were.

    With "mirrored" (6,H,W): the detail that the hole was given follows. With "exemplar" (9,H,W):
    then what pieces of the picture differ by from that.
    """
    hole = mask[0] > 0.5
    if fill == "mirrored":
        return _mirrored(photo, hole)
    if fill == "exemplar":
        mirrored = _mirrored(photo, hole)
        proposal = torch.zeros_like(photo)
        if hole.any() and not hole.all():
            pieces = exemplar_fill(as_picture(photo), hole.cpu().numpy())
            proposal = as_tensor(pieces)[0].to(photo) - mirrored[:3]
        return torch.cat([mirrored, torch.where(hole, proposal, torch.zeros_like(photo))])
    if not hole.any() or hole.all():
        return torch.where(hole, torch.full_like(photo, 0.5), photo)
    if fill == "mean":
        mean = photo[:, ~hole].mean(1)
        return torch.where(hole, mean[:, None, None], photo)
    low, high = _range(photo, hole)
    missing = hole.cpu().numpy()
    if (low, high) == (0.0, 1.0):
        rgb8 = as_uint8(photo).permute(1, 2, 0).cpu().contiguous().numpy()
        filled = as_tensor(classical_fill(rgb8, missing, fill))[0].to(photo)
    else:  # colors outside sRGB: OpenCV fills 16 bits too, a channel at a time
        levels, span = np.iinfo(np.uint16).max, high - low
        rgb16 = ((photo.clamp(low, high) - low) * (levels / span)).round().cpu().numpy()
        planes = [classical_fill(plane, missing, fill) for plane in rgb16.astype(np.uint16)]
        found = torch.from_numpy(np.stack(planes).astype(np.float32)).to(photo)
        filled = found * (span / levels) + low
    return torch.where(hole, filled, photo)


def _range(photo: Tensor, hole: Tensor) -> tuple[float, float]:
    """What the fill may reach: [0,1], and as far beyond as the known pixels go, as colors outside
    sRGB do.
    """
    known = photo[:, ~hole]
    return min(0.0, float(known.min())), max(1.0, float(known.max()))


def _mirrored(photo: Tensor, hole: Tensor) -> Tensor:
    """(6,H,W): smooth fill with a part of the mirrored detail, and the whole of that detail."""
    if not hole.any() or hole.all():
        return torch.cat(
            [torch.where(hole, torch.full_like(photo, 0.5), photo), torch.zeros_like(photo)]
        )
    missing = hole.cpu().numpy()
    smooth = smooth_fill(as_picture(photo), missing)
    detail = mirrored_detail(smooth, missing)
    both = as_tensor(np.concatenate([smooth + _DETAIL * detail, detail], 2))[0].to(photo)
    return torch.cat([torch.where(hole, both[:3].clamp(*_range(photo, hole)), photo), both[3:]])


def classical_fill(
    picture: np.ndarray, hole: np.ndarray, fill: Literal["telea", "navier_stokes"]
) -> np.ndarray:
    """OpenCV's inpainting of uint8 (H,W,3) or uint16 (H,W), radius 3: Telea 2004 or Bertalmio et
    al. 2001.
    """
    method = cv2.INPAINT_TELEA if fill == "telea" else cv2.INPAINT_NS
    return cv2.inpaint(np.ascontiguousarray(picture), hole.astype(np.uint8), 3, method)


def hole_boxes(mask: np.ndarray, working_px: int) -> list[Box]:
    """Boxes that cover every hole.

    Holes close together share one; a wide net of thin holes (scratches) is cut into squares that
    need no shrinking.
    """
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    parts = [(int(y), int(x), int(y + h), int(x + w)) for x, y, w, h, _ in stats[1:count]]
    boxes: list[Box] = []
    for box in _merge(sorted(parts), working_px // 2):
        inside = mask[box[0] : box[2], box[1] : box[3]]
        wide = max(inside.shape) > working_px
        boxes += (
            _squares(box, mask, working_px // 2)
            if wide and thickness_px(inside) < working_px / 6
            else [box]
        )
    return boxes


def _squares(box: Box, mask: np.ndarray, side_px: int) -> list[Box]:
    """The box cut into squares, those without a hole left out."""
    corners = [
        (y, x) for y in range(box[0], box[2], side_px) for x in range(box[1], box[3], side_px)
    ]
    cells = [(y, x, min(y + side_px, box[2]), min(x + side_px, box[3])) for y, x in corners]
    return [cell for cell in cells if mask[cell[0] : cell[2], cell[1] : cell[3]].any()]


def _merge(boxes: list[Box], most_px: int) -> list[Box]:
    """Join boxes that overlap, and neighbours as long as the joint box stays under `most_px` a
    side.
    """
    merged: list[Box] = []
    for box in boxes:
        while True:
            for index, other in enumerate(merged):
                joint = (
                    min(box[0], other[0]),
                    min(box[1], other[1]),
                    max(box[2], other[2]),
                    max(box[3], other[3]),
                )
                small = max(joint[2] - joint[0], joint[3] - joint[1]) <= most_px
                overlap = (
                    box[0] < other[2]
                    and other[0] < box[2]
                    and box[1] < other[3]
                    and other[1] < box[3]
                )
                if small or overlap:
                    box = joint
                    del merged[index]
                    break
            else:
                break
        merged.append(box)
    return merged


def _view(box: Box, size: HeightWidth, working_px: int) -> View:
    """The box with surroundings as wide as the hole is (at least 64 px), shrunk to at most
    `working_px`.
    """
    top, left, bottom, right = box
    margin = max(64, max(bottom - top, right - left) // 2)
    top, left = max(0, top - margin), max(0, left - margin)
    bottom, right = min(size[0], bottom + margin), min(size[1], right + margin)
    factor = min(1.0, working_px / max(bottom - top, right - left))
    height, width = (max(1, round(n * factor)) for n in (bottom - top, right - left))
    return View(top, left, bottom - top, right - left, (height, width))
