"""What several networks share: the shapes a task hands to `build`, normalisation, upsampling,
initialisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from img2img.ranges import Fields

Norm = Literal["batch", "instance", "none"]
Upsampling = Literal["transposed", "resize"]
Head = Literal["logits", "reconstruction"]


class Shapes(Protocol):
    """What a generator must know of its task; every Task satisfies it."""

    @property
    def family(self) -> str:
        """`photo`; `masked`: the condition's last channel is a mask, 1 = to be filled; `noise`: the
        condition is one column (B,C,1,1) of noise and label; `autoencoder`.
        """

    @property
    def condition_channels(self) -> int: ...

    @property
    def prediction_channels(self) -> int: ...

    @property
    def prediction_strides(self) -> tuple[int, ...]:
        """Heights of the picture over heights of the prediction that `decode` accepts."""

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the picture that is made of a condition of this size."""


class AutoencoderShapes(Shapes, Protocol):
    """What an autoencoder must know besides."""

    @property
    def bottleneck(self) -> Bottleneck: ...


class Bottleneck(Protocol):
    """The narrow place in the middle of an autoencoder, and what lies on either side."""

    @property
    def latent(self) -> int:
        """Numbers in a code."""

    @property
    def size_px(self) -> int:
        """Side of the pictures."""

    @property
    def labels(self) -> int:
        """One-hot values that encoder and decoder know besides."""


@dataclass(frozen=True)
class DiscriminatorShapes:
    """What a discriminator is built for: all it is shown, and what its last layer is to say."""

    channels: int
    size_px: int = 0
    classes: int = 0
    codes: int = 0  # outputs beside the score, in which InfoGAN's codes are recognised
    head: Head = "logits"


class NetworkConfig(Fields):
    """A network's own fields; frozen, and unknown fields are errors."""

    encodes: ClassVar[bool] = False  # pictures pass a bottleneck in it

    @property
    def multiple_of(self) -> int:
        """Condition height and width must be multiples of this; the pipeline pads to it."""
        return 1

    def fitting(self, crop_px: int) -> tuple[str, ...]:
        """Changes `field=value` of its own after which it may take crops of such a side."""
        return ()

    def refusal(self, shapes: Shapes) -> str | None:
        """Why this network cannot serve a task of these shapes, or None."""
        if shapes.family == "noise":
            return "it changes pictures, and the task makes them from noise; use dcgan or mlp"
        if 1 not in shapes.prediction_strides:
            return "it predicts at full size"
        if (scale := shapes.output_size((1, 1))[0]) > 1:
            return f"it keeps the input's size, and the task enlarges ×{scale}; use restorer"
        return None

    def start(self, network: nn.Module) -> None:
        """Load what training starts from, beyond the random initialisation of `build`; inference
        never calls this.
        """


class DiscriminatorConfig(NetworkConfig):
    """A discriminator's own fields, and what it can be asked for."""

    heads: ClassVar[tuple[Head, ...]] = ("logits",)
    recognises_codes: ClassVar[bool] = False
    has_features: ClassVar[bool] = False  # its network has `features(x)`, the layer before the last

    @property
    def batch_normed(self) -> bool:
        """One sample's score depends on the others, so its gradient is not its own."""
        return getattr(self, "norm", "none") == "batch"

    def refusal_at(self, crop_px: int, batch_size: int) -> str | None:
        """Why it cannot learn from batches of such crops, or None."""
        return None

    def build(self, judged: DiscriminatorShapes) -> nn.Module:
        """The network: (B,C,H,W), centers (B,2) or None, labels (B,) or None, to scores or a
        reconstruction.
        """
        raise NotImplementedError


class SignedInput(nn.Module):
    """[0,1] pictures to the [-1,1] that published pix2pix-family networks expect."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 - 1


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """Batch norm (affine), instance norm (plain, as pix2pix), or nothing."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.Identity()


def upsample(
    kind: Upsampling, in_channels: int, out_channels: int, bias: bool = True, kernel: int = 4
) -> nn.Module:
    """Doubling of height and width: transposed convolution (4x4, or CycleGAN's 3x3), or nearest
    resize then 3x3.

    The second has no uneven kernel overlap, the cause of checkerboards (Odena et al. 2016).
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(
            in_channels,
            out_channels,
            kernel,
            stride=2,
            padding=1,
            output_padding=kernel % 2,
            bias=bias,
        )
    return nn.Sequential(
        nn.Upsample(scale_factor=2), nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
    )


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """DCGAN's and pix2pix's start: convolutions N(0, 0.02), batch-norm scale N(1, 0.02), biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, std)
            nn.init.zeros_(layer.bias)


def spectral(module: nn.Module) -> None:
    """Put torch's own spectral normalisation on every convolution, linear layer and embedding of
    `module`.
    """
    for layer in list(module.modules()):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            nn.utils.parametrizations.spectral_norm(layer)


def parameter_count(module: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in module.parameters())


def channels_last(module: nn.Module) -> nn.Module:
    """The module with its weights laid out channels-last: the fast layout for convolutions on CPU
    and GPU.
    """
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
