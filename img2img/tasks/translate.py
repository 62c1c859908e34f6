"""Picture-to-picture translation: from pairs (pix2pix, Isola et al. 2017) or without (CycleGAN, Zhu
et al. 2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from img2img.conflicts import Conflict, RecipeContext
from img2img.data.sample import Batch, PairSample, PhotoSample, UnpairedSample, as_tensor
from img2img.pixels import drawings
from img2img.pixels.alpha import BLEED
from img2img.pixels.color import resize, to_grey
from img2img.pixels.hints import Hints
from img2img.pixels.images import Half
from img2img.pixels.regions import Regions, whitened
from img2img.pixels.xmp import DigitalSourceType
from img2img.tasks.base import HeightWidth, MainMetric, Reads, Task
from img2img.tasks.photo import PhotoTask, View, working_view
from img2img.tasks.unpaired import Direction, UnpairedTask

HINT_CHANNELS = 4  # color where it is marked, and the mark
SEPIA_WHITE = 1.351  # what white becomes in the reddest channel: divided by it, nothing is cut off


class Translate(PhotoTask):
    """Condition picture in (a sketch, a label map), photo out."""

    kind: Literal["translate"] = "translate"
    source: Literal["pairs", "edges", "grey", "sepia", "blur", "downscale", "unpaired"] = Field(
        "pairs",
        description="pairs from files, conditions made from single photos, or two sides without "
        "pairs",
    )
    side_a: Literal["files", "edges", "grey", "sepia", "blur", "downscale"] = Field(
        "files",
        description="unpaired: trainA and trainB as they are, or A made from photos that B never "
        "shows",
    )
    direction: Direction = Field("AtoB", description="for pairs: which side is the condition")
    input_channels: Literal[1, 3] | None = Field(
        None,
        description="what the network sees: 3 is RGB, 1 its luma; 1 for edges and grey, else 3",
    )
    output_channels: Literal[1, 3] = Field(
        3, description="what the network predicts: 3 is RGB, 1 a grey picture"
    )
    edge_sigma_px: float = Field(
        2.0, gt=0, description="blur before Canny: larger gives fewer, longer lines"
    )
    working_px: int = Field(
        1024, ge=64, description="larger photos are shrunk to this for the network"
    )
    regions: Literal["as_predicted", "flat"] = Field(
        "as_predicted",
        description="flat: the condition is a line drawing, every closed region of its paper gets "
        "one color, and lines stay as drawn, at any size; training pictures are made flat too",
    )
    gap_px: float = Field(
        8.0,
        ge=0,
        le=64,
        description="flat regions: openings in lines up to this wide, of the size worked at, count "
        "as closed",
    )
    hint_strokes: int = Field(
        0,
        ge=0,
        le=16,
        description="flat regions: half of the training drawings come with up to this many strokes "
        "of the right colors, so that a user's strokes color the regions they lie in; 0: no hints",
    )
    line_jitter_px: float = Field(
        0.0,
        ge=0,
        le=4,
        description="training drawings: lines get wider or thinner by up to this on either side",
    )

    keeps_grey: ClassVar[bool] = False
    verb: ClassVar[str] = "translate"
    source_type: ClassVar[DigitalSourceType | None] = "trainedAlgorithmicMedia"

    @classmethod
    def for_fields(cls, fields: Mapping[str, Any]) -> type[Task]:
        return UnpairedTranslate if fields.get("source") == "unpaired" else cls

    @property
    def reads(self) -> Reads:
        return "pair" if self.source == "pairs" else "photo"

    @property
    def condition_made_as(self) -> str:
        """How conditions are made of photos; `pairs` and `files` are not."""
        return self.source

    @property
    def background(self) -> str:  # type: ignore[override]  # read only
        """Drawings and label maps lie on paper; a condition that is itself a photo continues what
        is visible.
        """
        drawn = self.condition_made_as in ("pairs", "edges")
        return "white" if drawn else BLEED

    @property
    def drawing_channels(self) -> int:
        """Channels of the condition that are a picture; hints come after them."""
        by_source = 1 if self.source in ("edges", "grey") else 3
        return self.input_channels or by_source

    @property
    def prediction_channels(self) -> int:
        return self.output_channels

    @property
    def condition_channels(self) -> int:
        return self.drawing_channels + (HINT_CHANNELS if self.hint_strokes else 0)

    @property
    def takes_hints(self) -> bool:  # type: ignore[override]  # read only
        return self.hint_strokes > 0

    @property
    def draws(self) -> bool:  # type: ignore[override]  # read only
        return bool(self.hint_strokes or self.line_jitter_px)

    @property
    def zeros_are(self) -> str:  # type: ignore[override]  # read only
        return "mid-grey" if self.regions == "as_predicted" else "mid-grey between the lines"

    @model_validator(mode="after")
    def _flat_regions_are_of_drawings(self) -> Translate:
        if self.regions == "flat" and self.source not in ("pairs", "edges"):
            raise ValueError(
                f"regions: flat needs a line drawing, and source: {self.source} has none; take "
                "source: pairs or edges"
            )
        if self.hint_strokes and self.regions != "flat":
            raise ValueError(
                "hint_strokes colors closed regions: set regions: flat, or leave hint_strokes out"
            )
        if self.line_jitter_px and self.source not in ("pairs", "edges"):
            raise ValueError(
                f"line_jitter_px changes the lines of drawings, and source: {self.source} has none"
            )
        return self

    def make_pair(self, sample: PhotoSample | PairSample, rng: np.random.Generator) -> Batch:
        drawing, target = self.sides(sample)
        if self.line_jitter_px:
            grown_px = rng.uniform(-self.line_jitter_px, self.line_jitter_px)
            drawing = drawings.with_wider_lines(drawing, grown_px)
        condition = self.prepare(drawing)
        if self.regions == "flat":
            drawn = self._regions(condition)
            colors, _ = drawn.joined(whitened(drawn.medians(target)))
            target = drawn.painted(colors)
            if self.hint_strokes and rng.random() < 0.5:
                strokes = drawings.strokes_in(drawn, rng, self.hint_strokes)
                condition = self._marked(condition, colors[drawn.labels].movedim(3, 1), strokes)
        return Batch(condition=condition, target=target)

    def sides(self, sample: PhotoSample | PairSample) -> tuple[Tensor, Tensor]:
        """The condition's picture and the true one of a sample, (1,3,H,W) each, before training
        changes them.
        """
        target = as_tensor(sample.photo)
        condition = as_tensor(sample.other) if isinstance(sample, PairSample) else None
        if condition is None:
            condition = self.from_photo(target)
        elif self.direction == "BtoA":
            condition, target = target, condition
        if self.output_channels == 1:
            target = to_grey(target).expand(-1, 3, -1, -1)
        return condition, target

    def from_photo(self, photo: Tensor) -> Tensor:
        """The condition as a picture (B,3,H,W): black lines on white, grey, sepia, blurred, or
        shrunk to a quarter.
        """
        photo = photo.clamp(0, 1)
        if self.condition_made_as == "edges":
            return (1 - _edges(photo, self.edge_sigma_px)).expand(-1, 3, -1, -1)
        if self.condition_made_as == "grey":
            return to_grey(photo).expand(-1, 3, -1, -1)
        if self.condition_made_as == "sepia":
            from kornia.color import sepia

            return sepia(photo, rescale=False) / SEPIA_WHITE
        if self.condition_made_as == "blur":
            from kornia.filters import gaussian_blur2d

            return gaussian_blur2d(photo, (13, 13), (3.0, 3.0))
        if self.condition_made_as == "downscale":
            height, width = photo.shape[-2:]
            return resize(resize(photo, (-(-height // 4), -(-width // 4))), (height, width))
        return photo

    def prepare(self, photo: Tensor) -> Tensor:
        if self.drawing_channels == 3:
            drawing = photo
        elif self.input_channels:
            drawing = to_grey(photo)
        else:  # what is made as edges or grey has three equal channels
            drawing = photo.mean(1, keepdim=True)
        if not self.hint_strokes:
            return drawing
        size = drawing.shape[-2:]
        return torch.cat([drawing, drawing.new_zeros(len(drawing), HINT_CHANNELS, *size)], 1)

    def with_hints(self, condition: Tensor, hints: Hints) -> Tensor:
        """Strokes color the regions they are painted in, not those that they run over into."""
        colors, marked = hints.at((condition.shape[-2], condition.shape[-1]))
        drawn = self._regions(condition)
        strokes = drawings.strokes_meant(drawn, marked)
        return self._marked(condition, as_tensor(colors).to(condition), strokes)

    def graph_inputs(self, photo: Tensor, condition: Tensor) -> dict[str, Tensor]:
        hints = {"hints": condition[:, -HINT_CHANNELS:]} if self.hint_strokes else {}
        return {"input": photo} | hints

    def condition_of(self, inputs: Mapping[str, Tensor]) -> Tensor:
        drawing = self.prepare(inputs["input"])[:, : self.drawing_channels]
        if not self.hint_strokes:
            return drawing
        # Zeros of one pixel stand for none.
        return torch.cat([drawing, inputs["hints"] + torch.zeros_like(drawing[:, :1])], 1)

    def apply_hints(self, rgb: Tensor, hints: Hints) -> Tensor:
        """Unchanged: the condition has the hints in it, and `decode` keeps to them."""
        return rgb

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        rgb = ((prediction + 1) / 2).expand(-1, 3, -1, -1)
        if self.regions == "as_predicted":
            return rgb
        drawn = self._regions(condition)
        colors, shapes = drawn.joined(whitened(drawn.means(rgb, drawn.paper)))
        if self.hint_strokes:
            marks = condition[:, -1:].float()
            weights = drawn.sums(marks)
            sums = drawn.sums(condition[:, -HINT_CHANNELS:-1] * marks)
            of_shape = [
                torch.zeros_like(x).index_add(0, shapes, x)[shapes] for x in (sums, weights)
            ]
            for total, weight in (of_shape, (sums, weights)):  # its own go before its shape's
                painted = (total / weight.clamp_min(1e-6)).to(colors)
                colors = torch.where(weight > 0, painted, colors)
        return drawn.painted(colors)

    def encode(self, batch: Batch) -> Tensor:
        target = batch.target
        if self.regions == "flat":
            target = target / self._regions(batch.condition).ink.clamp_min(1e-3)
        return target[:, : self.output_channels] * 2 - 1

    def finish(self, photo: Tensor, rgb: Tensor) -> Tensor:
        """Of flat regions, those of the photo at its own size, in the colors they have in `rgb`."""
        if self.regions == "as_predicted" or rgb.shape[-2:] == photo.shape[-2:]:
            return super().finish(photo, rgb)
        size = (rgb.shape[-2], rgb.shape[-1])
        small = self._regions(self.prepare(resize(photo, size)))
        large = self._regions(self.prepare(photo), max(photo.shape[-2:]) / max(size))
        colors = (small.sums(rgb) / small.sums(small.ink).clamp_min(1e-6)).float()
        return large.painted(colors[large.mostly_of(small)]).clamp(0, 1)

    @property
    def condition_half(self) -> Half | None:
        if self.source != "pairs":
            return None
        return "left" if self.direction == "AtoB" else "right"

    def shown(self, condition: Tensor) -> Tensor | None:
        return condition[:, : self.drawing_channels].expand(-1, 3, -1, -1)

    def _regions(self, condition: Tensor, scale: float = 1.0) -> Regions:
        """Regions of a condition that is `scale` times as large as what the network works on."""
        return Regions.of(condition[:, : self.drawing_channels], self.gap_px, scale)

    def _marked(self, condition: Tensor, colors: Tensor, marks: Tensor) -> Tensor:
        """The condition with colors (1,3,H,W) as hints where there are marks (1,1,H,W)."""
        return torch.cat([condition[:, : self.drawing_channels], colors * marks, marks], 1)

    def views(self, size: HeightWidth) -> list[View]:
        return [working_view(size, self.working_px)]


class UnpairedTranslate(Translate, UnpairedTask):
    """Translation with `source: unpaired`, both ways."""

    @property
    def reads(self) -> Reads:
        return "two sides" if self.side_a == "files" else "two halves"

    @property
    def condition_made_as(self) -> str:
        return self.side_a

    @property
    def main_metric(self) -> MainMetric:  # type: ignore[override]  # read only
        """B → A where that is known; else only cycles can be measured, which prove little."""
        return MainMetric("cycle_A_psnr_db" if self.side_a == "files" else "BtoA_psnr_db")

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        for name in ("input_channels", "output_channels"):
            if getattr(self, name) == 1:
                problem = "is 1, and without pairs both sides are RGB: use 3"
                yield Conflict(f".{name}", problem, (f"task.{name}=3",))

    def make_pair(  # type: ignore[override]  # it reads no other samples
        self, sample: UnpairedSample, rng: np.random.Generator
    ) -> Batch:
        side_a, side_b = as_tensor(sample.other), as_tensor(sample.photo)
        return Batch(condition=self.from_photo(side_a), target=side_b)

    def other_side(self, photo: Tensor) -> Tensor | None:
        return None if self.side_a == "files" else self.from_photo(photo)


def _edges(photo: Tensor, sigma_px: float) -> Tensor:
    """Canny's edges of (B,3,H,W) as (B,1,H,W) of 0 and 1, the same as kornia finds.

    Only its hysteresis is ours: a line of weak edges is kept where it touches a strong one. Looking
    again at all pixels until nothing changes any more takes most of kornia's time.
    """
    from kornia.filters import canny

    side = 2 * round(2 * sigma_px) + 1
    with torch.no_grad():
        weak_and_strong = canny(
            photo, 0.08, 0.2, (side, side), (sigma_px, sigma_px), hysteresis=False
        )[1]
    kept = np.stack(
        [_lines_with_a_strong_pixel(x[0]) for x in weak_and_strong.float().cpu().numpy()]
    )
    return torch.from_numpy(kept[:, None]).to(photo)


def _lines_with_a_strong_pixel(edges: np.ndarray) -> np.ndarray:
    """Of (H,W) with 0, 0.5 (weak) and 1 (strong): connected lines that are strong anywhere."""
    count, lines = cv2.connectedComponents((edges > 0).astype(np.uint8), connectivity=8)
    strong = np.zeros(count, bool)
    strong[lines[edges == 1]] = True
    return strong[lines]
