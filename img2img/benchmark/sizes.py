"""How large the things are that are measured: as in use, or small enough to see that all runs."""

from __future__ import annotations

from dataclasses import dataclass

from img2img.benchmark.timing import Effort


@dataclass(frozen=True)
class ConvolutionShape:
    """A 3×3 convolution from `channels` to as many on (batch, channels, side_px, side_px)."""

    batch: int
    channels: int
    side_px: int


@dataclass(frozen=True)
class FolderSize:
    """So many photos of one size."""

    photos: int
    megapixels: float


@dataclass(frozen=True)
class BenchmarkSizes:
    """The sizes of one benchmark."""

    convolutions: tuple[ConvolutionShape, ...]
    matrix_side: int
    recipe_changes: tuple[str, ...]
    """`key.path=value`, of the recipe whose training step is measured"""
    batch_sizes: tuple[int, ...]
    """of training, the smallest first"""
    megapixels: tuple[float, ...]
    """of the photos that come out of a model, small ones first"""
    file_megapixels: float
    looked_at_megapixels: tuple[float, ...]
    """of the photos that are looked at, small ones first"""
    folders: tuple[FolderSize, ...]
    warmup: int
    repeats: int

    def effort(self, budget_s: float) -> Effort:
        """How often each thing is measured within a budget."""
        return Effort(self.warmup, self.repeats, budget_s)


PX_64 = 64**2 / 1e6
PX_256 = 256**2 / 1e6  # megapixels of the crops that networks are trained on

# 64 to 512 channels, as in the U-Net and the PatchGAN at 256²; 19.3 GFLOP forward each.
FULL = BenchmarkSizes(
    convolutions=(
        ConvolutionShape(16, 64, 128),
        ConvolutionShape(16, 128, 64),
        ConvolutionShape(16, 256, 32),
        ConvolutionShape(16, 512, 16),
    ),
    matrix_side=2048,
    recipe_changes=(),
    batch_sizes=(1, 4, 16),
    megapixels=(PX_256, 1.0, 12.0, 48.0),
    file_megapixels=12.0,
    looked_at_megapixels=(PX_256, 1.0, 4.0, 12.0),
    folders=(FolderSize(24, PX_256), FolderSize(8, 1.0)),
    warmup=2,
    repeats=7,
)
_SMALL_RECIPE = (
    "data.crop_px=32",
    "data.resize_px=[36, 36]",
    "generator.levels=5",
    "generator.width=4",
    "discriminator.width=4",
)
QUICK = BenchmarkSizes(
    convolutions=(ConvolutionShape(1, 8, 16),),
    matrix_side=64,
    recipe_changes=_SMALL_RECIPE,
    batch_sizes=(1, 16),
    megapixels=(PX_256,),
    file_megapixels=PX_256,
    looked_at_megapixels=(PX_64,),
    folders=(FolderSize(2, PX_64),),
    warmup=1,
    repeats=1,
)
