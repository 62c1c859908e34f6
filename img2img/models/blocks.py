"""What several networks share: normalisation, upsampling, initialisation."""

from __future__ import annotations

from typing import Literal, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["batch", "instance", "none"]
Upsampling = Literal["transposed", "resize"]
AtTest = Literal["running", "picture"]
AnyModule = TypeVar("AnyModule", bound=nn.Module)


class SignedInput(nn.Module):
    """[0,1] pictures to the [-1,1] that published pix2pix-family networks expect."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 - 1


class Residual(nn.Sequential):
    """x plus what its parts, one after the other, make of it: (B,C,H,W) to the same."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class NormedAtTest(nn.Sequential):
    """A network whose batch norm, once it is used, goes by the statistics of training (`running`)
    or of the picture itself (`picture`).
    """

    at_test: AtTest = "running"

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.at_test == "picture":
            normalise_by_own_statistics(self, training=mode)
        return self


class InstanceNorm(nn.InstanceNorm2d):
    """Plain instance norm, (B,C,H,W) to the same: in training on a CPU, batch norm of each picture.

    torch's own gives a wrong gradient of a single picture where what returns to it is channels-last
    (torch 2.13, CPU); of several, it turns channels-last tensors into others, and copies follow.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        each = [F.batch_norm(y, None, None, training=True, eps=self.eps) for y in x.split(1)]
        return torch.cat(each) if len(each) > 1 else each[0]


def has_bias(norm: Norm, biases: bool | None) -> bool:
    """Whether convolutions before a normalisation have a bias: as asked for, else where the
    normalisation has no shift of its own.
    """
    return norm != "batch" if biases is None else biases


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """Batch norm (affine), instance norm (plain, as pix2pix), or nothing."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return InstanceNorm(channels) if kind == "instance" else nn.Identity()


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
    """DCGAN's and pix2pix's start: weights N(0, 0.02), batch-norm scale N(1, 0.02), biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, std)
            nn.init.zeros_(layer.bias)


def zero_init(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights and bias at zero: as a network's last, it starts training at the
    task's trivial answer.
    """
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def normalise_by_own_statistics(module: nn.Module, training: bool) -> None:
    """Let batch norm use the statistics of its input even in evaluation, without a change of its
    buffers (pix2pix tests so: Isola et al. 2017, section 3.3). Call it in the module's `train`.
    """
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train()
            layer.track_running_stats = training


def in_fp32(layer: nn.Module, x: Tensor) -> Tensor:
    """What a layer makes of x in fp32 even where the rest is in bf16, whose eight bits are too few
    for a picture.
    """
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())


def spectral(module: nn.Module) -> None:
    """Put torch's spectral normalisation on every convolution, linear layer and embedding."""
    for layer in list(module.modules()):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            nn.utils.parametrizations.spectral_norm(layer)


def channels_last(module: AnyModule) -> AnyModule:
    """The module with its weights laid out channels-last, the fast layout for convolutions."""
    if getattr(module, "default_layout", False):  # it works in no other
        return module
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dim() == 4:  # StyleGAN's weights have five
            # Unlike `contiguous`, it also sets the strides of a layer with one input channel.
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return module
