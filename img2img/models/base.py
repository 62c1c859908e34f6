"""What the config of every network says: what it is built for, and what it cannot work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from pydantic import Field
from torch import nn

from img2img.config import FrozenConfig
from img2img.conflicts import BottleneckShapes, Conflict, RecipeContext
from img2img.models.blocks import Norm
from img2img.pixels.tiling import OVERLAPS_PX, TILE_PX, TileGrid

Head = Literal["logits", "reconstruction"]


class Shapes(Protocol):
    """What a generator must know of its task; every Task satisfies it."""

    @property
    def condition_channels(self) -> int: ...

    @property
    def prediction_channels(self) -> int: ...

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the picture that belongs to a condition of this size."""


class AutoencoderShapes(Shapes, Protocol):
    """What an autoencoder must know in addition."""

    @property
    def bottleneck(self) -> BottleneckShapes: ...


@dataclass(frozen=True)
class DiscriminatorShapes:
    """What a discriminator is built for."""

    channels: int
    """Of the picture and its conditioning together."""
    size_px: int = 0
    """Side of the pictures; 1 for points and latent codes."""
    classes: int = 0
    codes: int = 0
    """Outputs in addition to the score, by which InfoGAN's codes are recognised."""
    head: Head = "logits"

    @property
    def has_pixels(self) -> bool:
        """Values lie in [0,1], as those of points and latent codes do not."""
        return self.size_px != 1


class GeneratorConfig(FrozenConfig):
    """A generator of pictures from pictures. Class variables say which tasks it can serve."""

    kind: str

    network: ClassVar[Callable[..., nn.Module]]
    """Its class; `build` calls it with this config and the numbers of channels in and out."""
    prediction_stride: ClassVar[int] = 1
    """Height of the picture over height of what it predicts."""
    predicts_at: ClassVar[str] = "full size"
    """The same in words."""
    enlarges: ClassVar[bool] = False
    """It predicts the pixels of a larger picture, by as much as the task asks for."""
    exact_in_fp32: ClassVar[bool] = False
    """Weights of other people give their pictures in fp32; bf16 only where it is asked for."""

    @property
    def multiple_of(self) -> int:
        """Condition height and width must be multiples of this; the pipeline pads to it."""
        return 1

    @property
    def tile_align_px(self) -> int:
        """Tiles start on multiples of this."""
        return self.multiple_of

    def tile_px(self, scale: int) -> int:
        """Most of a side of what the network sees at once, where it enlarges by `scale`: the last
        layers work at the size of the result.
        """
        return TILE_PX if scale == 1 else TILE_PX // 2

    def tile_grid(self, size: tuple[int, int], scale: int, overlap_px: int | None) -> TileGrid:
        """How a photo of this (height, width) is cut, of which it must see so much beyond a tile;
        None: not measured, the most there is.

        Tiles grow with a wide overlap, so that at least half of a side that is seen is kept.
        """
        overlap_px = OVERLAPS_PX[-1] if overlap_px is None else overlap_px
        align_px = self.tile_align_px
        on_grid_px = -(-overlap_px // align_px) * align_px
        return TileGrid(size, overlap_px, align_px, max(self.tile_px(scale), 4 * on_grid_px))

    def tiles_photo(self, size: tuple[int, int]) -> bool:
        """Whether a photo of this (height, width) may go through it in tiles."""
        return True

    @property
    def draws_codes(self) -> bool:
        """Its codes are Gaussians, from which it draws."""
        return False

    def fitting(self, crop_px: int) -> tuple[str, ...]:
        """Changes `field=value` of its own after which it may take conditions of such a side."""
        return ()

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        task, scale = context.task, context.scale
        if task.condition_is_noise:
            reason = "it changes pictures, and the task makes them from noise; use dcgan or mlp"
            yield self.unfit(context, reason)
            return
        if task.bottleneck is not None:
            reason = "it has no bottleneck, and the task asks for one; use autoencoder"
            yield self.unfit(context, reason)
        if self.prediction_stride not in task.prediction_strides:
            yield self.unfit(context, f"it predicts at {self.predicts_at}")
        if scale > 1 and not self.enlarges:
            reason = f"it keeps the input's size, and the task enlarges ×{scale}; use restorer"
            yield self.unfit(context, reason)
        crop, unit = context.crop_px, self.multiple_of * scale
        if crop % unit:
            below = crop - crop % unit
            own = self.fitting(crop // scale) if crop % scale == 0 else ()
            tries = [f"generator.{change}" for change in own]
            tries += [f"data.crop_px={px}" for px in (below, below + unit) if px]
            problem = f"is {crop}: generator '{self.kind}' needs a multiple of {unit}"
            yield Conflict("data.crop_px", problem, tuple(tries))

    def unfit(self, context: RecipeContext, reason: str) -> Conflict:
        """The conflict that this kind of generator cannot serve the task."""
        return Conflict(".kind", f"'{self.kind}' does not fit task '{context.task.kind}': {reason}")

    def build(self, shapes: Shapes) -> nn.Module:
        """The network: conditions (B,Cin,H,W) to predictions (B,Cout,H,W), or of another size where
        the task or the class variables say so.
        """
        return self.network(self, shapes.condition_channels, shapes.prediction_channels)

    def start(self, network: nn.Module) -> None:
        """Load what training starts from, beyond the random initialisation of `build`; inference
        never calls this.
        """


class MaskedGeneratorConfig(GeneratorConfig):
    """A generator of what lies under a mask, the last channel of its condition."""

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        yield from super().conflicts(context)
        if not context.task.fills:
            yield self.unfit(context, "it completes holes and the task has no mask")


class NoiseGeneratorConfig(GeneratorConfig):
    """A generator of pictures from noise, (B,Z,1,1): no size is asked of the condition."""

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        if not context.task.condition_is_noise:
            reason = "it makes pictures from noise, and the task gives it a picture"
            yield self.unfit(context, reason)

    def build(self, shapes: Shapes) -> nn.Module:
        channels, side = shapes.prediction_channels, shapes.output_size((1, 1))[0]
        return self.network(self, shapes.condition_channels, channels, side)


class DiscriminatorConfig(FrozenConfig):
    """A discriminator's own fields, and what it can be asked for."""

    kind: str
    spectral: bool = Field(
        False, description="spectral normalisation of all its layers (Miyato et al. 2018)"
    )

    networks: ClassVar[Mapping[Head, Callable[..., nn.Module]]]
    """The class of its network for each thing that it can give the objective of a picture; `build`
    calls it with this config and what the network is built for.
    """
    recognises_codes: ClassVar[bool] = False
    """It can have outputs for InfoGAN's codes."""
    has_features: ClassVar[bool] = False
    """Its network has `features(x)`, the layer before the last."""
    score_terms: ClassVar[tuple[str, ...]] = ()
    """Fields that, where they are set, mean nothing without a score."""

    @property
    def batch_normed(self) -> bool:
        """One sample's score depends on the others, so its gradient is not its own."""
        return False

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        adversarial, task = context.adversarial, context.task
        if adversarial is None:
            return  # the method says so
        objective = f"adversarial.kind '{adversarial.kind}'"
        if adversarial.head not in self.networks:
            problem = (
                f"discriminates by {adversarial.head}, and '{self.kind}' cannot: use dcgan or mlp"
            )
            yield Conflict("adversarial.kind", f"'{adversarial.kind}' {problem}")
        if adversarial.penalised and self.batch_normed:
            problem = "mixes samples, and a gradient penalty needs each by itself: use instance"
            yield Conflict(".norm", f"'batch' {problem}")
        terms = [name for name in self.score_terms if getattr(self, name)]
        if "projection" in terms and not task.classes:
            yield Conflict(".projection", f"needs labels, and task '{task.kind}' has no classes")
        if adversarial.information and not self.recognises_codes:
            problem = f"needs a discriminator that recognises codes, and '{self.kind}' cannot"
            yield Conflict("adversarial.information", f"{problem}: use dcgan")
        if adversarial.head == "reconstruction" and terms:
            term = terms[0]
            can_see = term == "projection" and not context.method.has_codes
            instead = "adversarial.sees: [label] shows the class" if can_see else "leave it out"
            yield Conflict(f".{term}", f"adds to a score, and {objective} has none; {instead}")

    def wrong_size(self, context: RecipeContext, reason: str) -> Conflict:
        """The conflict that it cannot learn from pictures of this size."""
        size = context.discriminator_px
        return Conflict(
            "data.crop_px", f"{size} does not suit discriminator '{self.kind}': {reason}"
        )

    def build(self, shapes: DiscriminatorShapes) -> nn.Module:
        """The network: (B,C,H,W), centers (B,2) or None, labels (B,) or None, to scores or a
        reconstruction.
        """
        return self.networks[shapes.head](self, shapes)


class NormedDiscriminatorConfig(DiscriminatorConfig):
    """One of convolutions with normalisation between them."""

    norm: Norm = Field("batch", description="gradient penalties need none or instance")

    @property
    def batch_normed(self) -> bool:
        return self.norm == "batch"
