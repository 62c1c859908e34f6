"""Fast Fourier convolutions: layers that see the whole picture at once (Chi et al. 2020, "Fast
Fourier Convolution"; for inpainting Suvorov et al. 2022, "Resolution-robust Large Mask Inpainting
with Fourier Convolutions"). Without the papers' batch norm, so a picture's result is its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.models.blocks import zero_init


class FourierUnit(nn.Module):
    """A 1×1 convolution of the spectrum: (B,C,H,W) to the same, each value from all others.

    Real and imaginary parts are channels. In fp32 under autocast: the mean of a picture is a number
    far larger than all else in its spectrum. Without bias, and rectified linearly: a spectrum
    grows with the picture, and what is learned on crops is to hold for photos of any size.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        nn.init.kaiming_normal_(self.mix.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.fft.rfft2(x.float().contiguous(), norm="ortho")
            mixed = F.relu(self.mix(torch.cat([spectrum.real, spectrum.imag], 1)))
            real, imaginary = mixed.chunk(2, 1)
            out = torch.fft.irfft2(torch.complex(real, imaginary), s=size, norm="ortho")
        return out.to(x.dtype)


class SpectralTransform(nn.Module):
    """Half of the channels through a `FourierUnit`, which adds to them, and back to all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.unit = FourierUnit(inner)
        self.expand = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.elu(self.reduce(x))
        return self.expand(y + self.unit(y))


class FastFourierConv(nn.Module):
    """(B,C,H,W) to the same; the last `global_channels` channels see the whole picture.

    Local from local and global, and global from local, by 3×3 convolutions; global from global by a
    `SpectralTransform` (figure 2 of Chi et al.).
    """

    def __init__(self, channels: int, global_channels: int) -> None:
        super().__init__()
        self.sizes = [channels - global_channels, global_channels]
        self.to_local = _conv(channels, self.sizes[0])
        self.to_global = _conv(*self.sizes)
        self.spectral = SpectralTransform(global_channels)

    def forward(self, x: Tensor) -> Tensor:
        local, whole = x.split(self.sizes, 1)
        mixed = self.to_global(local.contiguous(memory_format=torch.channels_last))
        return torch.cat([self.to_local(x), mixed + self.spectral(whole)], 1)


class FourierBlock(nn.Module):
    """x plus two fast Fourier convolutions of it; begins as x itself.

    So it can be put into a trained network, which changes nothing before training.
    """

    def __init__(self, channels: int, global_share: float) -> None:
        super().__init__()
        whole = min(channels - 1, max(1, round(channels * global_share)))
        self.first = FastFourierConv(channels, whole)
        self.second = FastFourierConv(channels, whole)
        for last in (self.second.to_local, self.second.to_global, self.second.spectral.expand):
            zero_init(last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.elu(self.first(x)))


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3×3 at unit scale; mirrored at the border, where zeros would be seen as a dark frame."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect")
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
