"""Cases as one picture, the first and the worst: what was given, the best baseline, the model's
result, the truth.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from img2img.data.sample import as_picture
from img2img.evaluation.case import Case
from img2img.evaluation.metrics import Column
from img2img.pixels.images import quantise

_Scores = Mapping[str, Mapping[str, float | None]]
KEPT = 3
FIRST = 4
PANEL_PX = 320
_GAP_PX, _LINE_PX = 8, 20
# the font inside Pillow has no more
_ASCII = str.maketrans({"σ": "sigma", "×": "x", "–": "-", "Δ": "d"})


@dataclass(frozen=True)
class Line:
    """One line of the picture: (caption, (h,w,3) uint8) for each panel."""

    title: str
    panels: tuple[tuple[str, np.ndarray], ...]


@dataclass(eq=False)
class _Cases:
    """A few cases, only as much of their pictures as will be shown; `column` ranks them."""

    column: Column

    def _badness(self, scores: Mapping[str, float | None]) -> float | None:
        value = scores.get(self.column.name)
        if value is None:
            return None
        return value if self.column.better == "lower" else -value

    def _shown(self, case: Case, results: Mapping[str, Tensor], scores: _Scores, ours: str) -> Line:
        others = [name for name in results if name != ours]
        rival = min(others, key=lambda name: self._badness(scores[name]) or 0.0, default=None)
        shown = [(name, results[name]) for name in (rival, ours) if name is not None]
        pictures = [("input", _given(case)), *shown, ("truth", case.truth)]
        window = _window(results[ours], case.truth)
        panels = tuple(
            (self._caption(name, scores), quantise(as_picture(x)[window], np.uint8))
            for name, x in pictures
        )
        return Line(f"{case.photo}   {case.setting}".rstrip(), panels)

    def _caption(self, name: str, scores: _Scores) -> str:
        if name not in scores:
            return name
        return f"{name}: {self.column.text(scores[name].get(self.column.name))} {self.column.name}"


@dataclass(eq=False)
class WorstCases(_Cases):
    """The worst few cases of every setting."""

    heaps: dict[str, list[tuple[float, int, Line]]] = field(default_factory=dict)
    count: int = 0

    def offer(self, case: Case, results: Mapping[str, Tensor], scores: _Scores, ours: str) -> None:
        """Take the case if it is among the worst so far; without a value to rank by it is passed
        over.
        """
        badness = self._badness(scores[ours])
        if badness is None:
            return
        heap = self.heaps.setdefault(case.setting, [])
        self.count += 1
        if len(heap) < KEPT or badness > heap[0][0]:
            entry = (badness, -self.count, self._shown(case, results, scores, ours))
            heapq.heappush(heap, entry) if len(heap) < KEPT else heapq.heapreplace(heap, entry)

    def lines(self) -> list[Line]:
        """Setting by setting, the worst first."""
        ordered = (
            sorted(heap, key=lambda entry: entry[:2], reverse=True) for heap in self.heaps.values()
        )
        return [line for heap in ordered for _, _, line in heap]


@dataclass(eq=False)
class FirstCases(_Cases):
    """The first few photos of the folder, each at the middle one of its settings: nobody chose
    them.
    """

    photos: dict[str, list[Line]] = field(default_factory=dict)

    def offer(self, case: Case, results: Mapping[str, Tensor], scores: _Scores, ours: str) -> None:
        """Take the case if its photo is one of the first."""
        if case.photo in self.photos or len(self.photos) < FIRST:
            self.photos.setdefault(case.photo, []).append(self._shown(case, results, scores, ours))

    def lines(self) -> list[Line]:
        """One line a photo, of its middle setting."""
        return [settings[len(settings) // 2] for settings in self.photos.values()]


def drawn(lines: list[Line]) -> np.ndarray:
    """All lines below one another, titles and captions over the panels; (H,W,3) uint8."""
    strips = [_strip(line) for line in lines]
    width = max(strip.shape[1] for strip in strips)
    return np.concatenate(
        [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips]
    )


def _strip(line: Line) -> np.ndarray:
    """A title, then panels side by side, each as wide as its caption needs, at least."""
    font = ImageFont.load_default(size=13)
    title, *captions = (
        text.translate(_ASCII).encode("ascii", "replace").decode()
        for text in (line.title, *(caption for caption, _ in line.panels))
    )
    panels = [panel for _, panel in line.panels]
    widths = [
        max(panel.shape[1], int(font.getlength(caption)) + 2)
        for caption, panel in zip(captions, panels, strict=True)
    ]
    height = 2 * _LINE_PX + max(panel.shape[0] for panel in panels) + 2 * _GAP_PX
    page = Image.new("RGB", (sum(widths) + _GAP_PX * (len(widths) + 1), height), "white")
    pen = ImageDraw.Draw(page)
    pen.text((_GAP_PX, 2), title, fill="black", font=font)
    left = _GAP_PX
    for caption, panel, width in zip(captions, panels, widths, strict=True):
        pen.text((left, _LINE_PX + 2), caption, fill="black", font=font)
        page.paste(Image.fromarray(panel), (left, 2 * _LINE_PX + 4))
        left += width + _GAP_PX
    return np.asarray(page)


def _given(case: Case) -> Tensor:
    """The input at the truth's size, holes white."""
    shown = (
        F.interpolate(case.given, scale_factor=case.scale, mode="nearest")
        if case.scale > 1
        else case.given
    )
    return shown if case.mask is None else shown + case.mask


def _window(result: Tensor, truth: Tensor) -> tuple[slice, slice]:
    """The part of at most PANEL_PX a side where the result is furthest from the truth."""
    error = np.square(as_picture(result) - as_picture(truth)).mean(2)
    height, width = (min(n, PANEL_PX) for n in error.shape)
    mean = cv2.boxFilter(error, -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    inside = mean[: error.shape[0] - height + 1, : error.shape[1] - width + 1]
    top, left = divmod(int(inside.argmax()), inside.shape[1])
    return slice(top, top + height), slice(left, left + width)
