"""Colorization: luminance in, chroma out, in CIE Lab; the input's luminance is kept, for
any prediction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from img2img.data.sample import Batch, PhotoSample, as_tensor
from img2img.pixels.chroma import (
    BINS,
    annealed_mean,
    another_version,
    bilinear,
    bilinear_rows,
    encoded_bins,
    joint_bilateral,
)
from img2img.pixels.color import AB_SCALE, fit_gamut, from_lab, luminance, resize, to_lab
from img2img.pixels.hints import Hints, spread
from img2img.pixels.xmp import DigitalSourceType
from img2img.tasks.base import HeightWidth
from img2img.tasks.photo import PhotoStatistics, PhotoTask, Reason, View, working_view

# longer side at which painted colors spread: the solver's time grows faster than its pixels
_HINTS_PX = 384
_STRIP_ROWS = 256  # full-size Lab work goes in strips, so that memory does not grow with the photo


_SEEN = {0: Reason("it has no color", "grey"), 1: Reason("it has a single tint", "one tint")}
_NO_PHOTO = {
    "flat": "shows nothing but one tone",
    "few": "has few tones, as text, line art and drawings have",
    "halftone": "is printed in dots (halftone)",
    "line art": "is lines on plain paper",
}
# share of color below which a photo may look like one without: the plan says why it is left alone
_MOSTLY_GREY = 0.25


class Colorize(PhotoTask):
    """Grey (or faded, or sepia) photo in, color photo of the same luminance out."""

    kind: Literal["colorize"] = "colorize"
    working_px: int = Field(
        256,
        ge=64,
        description="longer side at which chroma is predicted; luminance stays full size",
    )
    predicts: Literal["chroma", "color_bins"] = Field(
        "chroma",
        description="color_bins: how likely each of 169 colors is, and their annealed mean is "
        "taken (Zhang et al. 2016); add a loss of kind color_classes",
    )
    temperature: float = Field(
        0.38,
        gt=0,
        le=1,
        description="of the annealed mean of color_bins: 1 dull, towards 0 vivid and spotty",
    )
    enlargement: Literal["bilinear", "joint_bilateral"] = Field(
        "bilinear",
        description="of predicted chroma; joint_bilateral follows the edges of the luminance "
        "(Kopf et al. 2007)",
    )

    takes_hints: ClassVar[bool] = True
    keeps_grey: ClassVar[bool] = False
    finishes_in_srgb: ClassVar[bool] = True
    plan_order: ClassVar[int] = 30
    condition_channels: ClassVar[int] = 1
    prediction_strides: ClassVar[tuple[int, ...]] = (1, 2, 4)
    zeros_are: ClassVar[str] = "leaving it grey"
    verb: ClassVar[str] = "colorize"
    source_type: ClassVar[DigitalSourceType | None] = "compositeWithTrainedAlgorithmicMedia"

    @property
    def prediction_channels(self) -> int:
        return BINS if self.predicts_color_bins else 2

    @property
    def predicts_color_bins(self) -> bool:
        """What a loss of kind color_classes needs."""
        return self.predicts == "color_bins"

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        target = as_tensor(sample.photo)
        return Batch(condition=self.prepare(target), target=target)

    def prepare(self, photo: Tensor) -> Tensor:
        return luminance(photo)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        luma = condition[:, :1].float()
        if self.predicts_color_bins:
            chroma = self._enlarged(annealed_mean(prediction.float(), self.temperature), luma)
        else:
            chroma = self._enlarged(prediction.float(), luma) * AB_SCALE
        return from_lab(torch.cat([luma * 100, chroma], 1))

    def _enlarged(self, chroma: Tensor, luma: Tensor) -> Tensor:
        if self.enlargement == "joint_bilateral":
            return joint_bilateral(chroma, luma)
        return bilinear(chroma, luma.shape[-2:])

    def encode(self, batch: Batch) -> Tensor:
        chroma = to_lab(batch.target)[:, 1:]
        if self.predicts_color_bins:
            return encoded_bins(chroma, self.temperature)
        return chroma / AB_SCALE

    def vary(self, prediction: Tensor, seed: int) -> Tensor:
        if not self.predicts_color_bins:
            return prediction
        return another_version(prediction, seed, self.temperature)

    def apply_hints(self, rgb: Tensor, hints: Hints) -> Tensor:
        lab, full = to_lab(rgb), (rgb.shape[-2], rgb.shape[-1])
        size = working_view(full, _HINTS_PX).size
        small = resize(lab, size)
        colors, marked = hints.at(size)
        change = (to_lab(as_tensor(colors).to(rgb)) - small)[0, 1:].permute(1, 2, 0)
        carried = as_tensor(
            spread(change.cpu().numpy(), marked, small[0, 0].cpu().numpy() / 100)
        ).to(rgb)
        return fit_gamut(torch.cat([lab[:, :1], lab[:, 1:] + bilinear(carried, full)], 1))

    def finish(self, photo: Tensor, rgb: Tensor) -> Tensor:
        height, strips = photo.shape[-2], photo.split(_STRIP_ROWS, -2)
        if self.finishes_in_strips:
            tops = range(0, height, _STRIP_ROWS)
            rows = zip(strips, tops, strict=True)
            return torch.cat([self.finish_strip(x, rgb, top, height) for x, top in rows], -2)
        luma = torch.cat([luminance(strip) for strip in strips], -2)
        chroma = self._enlarged(to_lab(rgb)[:, 1:], luma)
        both = zip(luma.split(_STRIP_ROWS, -2), chroma.split(_STRIP_ROWS, -2), strict=True)
        return torch.cat([fit_gamut(torch.cat([y * 100, c], 1)) for y, c in both], -2)

    @property
    def finishes_in_strips(self) -> bool:  # type: ignore[override]  # read only
        return self.enlargement == "bilinear"

    def finish_strip(self, photo: Tensor, rgb: Tensor, top: int, height: int) -> Tensor:
        chroma = bilinear_rows(to_lab(rgb)[:, 1:], slice(top, top + photo.shape[-2]), height)
        width = photo.shape[-1]
        lab = [luminance(photo) * 100, bilinear(chroma, (photo.shape[-2], width))]
        return fit_gamut(torch.cat(lab, 1))

    def views(self, size: HeightWidth) -> list[View]:
        return [working_view(size, self.working_px)]

    @classmethod
    def applies(cls, photo: PhotoStatistics) -> Reason | None:
        return _SEEN.get(photo.tints) if photo.tones == "continuous" else None

    @classmethod
    def declines(cls, photo: PhotoStatistics) -> str | None:
        if photo.tints in _SEEN and photo.tones in _NO_PHOTO:
            return f"{_SEEN[photo.tints]}, but {_NO_PHOTO[photo.tones]}"
        if photo.tints not in _SEEN and 0 < photo.own_color_share < _MOSTLY_GREY:
            share = 100 * photo.own_color_share
            digits = 0 if share >= 9.95 else 1
            return f"it has color of its own on {share:.{digits}f} % of it ({photo.own_hue})"
        if photo.tints not in _SEEN and photo.one_hue:
            even = f"it is {photo.own_hue} throughout, but not as the tint of a print is"
            return f"{even}: it may be a photo in color"
        return None

    def metrics(self, rgb: Tensor, batch: Batch) -> Mapping[str, float]:
        fake, true = (to_lab(x.float())[:, 1:].norm(dim=1).mean() for x in (rgb, batch.target))
        return {**super().metrics(rgb, batch), "chroma_ratio": float(fake / true.clamp_min(1e-3))}
