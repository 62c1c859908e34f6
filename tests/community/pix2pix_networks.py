"""The generators of pytorch-CycleGAN-and-pix2pix as their checkpoints have them, written down from
the papers (Isola et al. 2017, section 6.1; Zhu et al. 2017, section 7.2) and from the names of the
tensors. All in [-1,1], and nothing of ours in them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Layers = list[nn.Module]


def norm_of(kind: str, old: bool = False) -> Callable[[int], nn.Module]:
    """Batch norm, instance norm (which old versions kept statistics of) or nothing."""
    if kind == "batch":
        return nn.BatchNorm2d
    if kind == "instance":
        return lambda channels: nn.InstanceNorm2d(channels, track_running_stats=old)
    return lambda channels: nn.Identity()


class Level(nn.Module):
    """A level of the U-Net around the one below it: model.model.1.model.3.model.…"""

    def __init__(self, layers: Layers, outermost: bool = False) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.outermost = outermost

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class OriginalUNet(nn.Module):
    """C64-C128-C256-C512-… in encoder-decoder order, halved `downs` times, with skips."""

    def __init__(
        self, norm: str, *, downs: int, ngf: int, dropout: bool, nc: tuple[int, int], old: bool
    ) -> None:
        super().__init__()
        layer, bias = norm_of(norm, old), norm == "instance"

        def down(channels_in: int, channels: int) -> nn.Module:
            return nn.Conv2d(channels_in, channels, 4, 2, 1, bias=bias)

        def up(channels_in: int, channels: int, bias: bool = bias) -> nn.Module:
            return nn.ConvTranspose2d(channels_in, channels, 4, 2, 1, bias=bias)

        widths = [ngf * min(8, 2**level) for level in range(downs)]
        # Activations act in place there, so that a skip carries what they have left.
        bottom = widths[-1]
        layers: Layers = [nn.LeakyReLU(0.2, True), down(widths[-2], bottom), nn.ReLU(True)]
        level = Level([*layers, up(bottom, widths[-2]), layer(widths[-2])])
        for depth in range(downs - 2, 0, -1):
            outer, inner = widths[depth - 1], widths[depth]
            layers = [nn.LeakyReLU(0.2, True), down(outer, inner), layer(inner), level]
            layers += [nn.ReLU(True), up(2 * inner, outer), layer(outer)]
            if dropout and outer == inner:
                layers += [nn.Dropout(0.5)]
            level = Level(layers)
        outermost: Layers = [down(nc[0], ngf), level, nn.ReLU(True)]
        self.model = Level([*outermost, up(2 * ngf, nc[1], True), nn.Tanh()], outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Block(nn.Module):
    """R256: x plus two convolutions of it."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class OriginalResNet(nn.Module):
    """c7s1-64, d128, d256, R256 × blocks, u128, u64, c7s1-3."""

    def __init__(
        self, norm: str, *, blocks: int, ngf: int, dropout: bool, nc: tuple[int, int], old: bool
    ) -> None:
        super().__init__()
        layer, bias = norm_of(norm, old), norm == "instance"
        layers: Layers = [nn.ReflectionPad2d(3), nn.Conv2d(nc[0], ngf, 7, bias=bias)]
        layers += [layer(ngf), nn.ReLU(True)]
        for width in (ngf, 2 * ngf):
            layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), layer(2 * width)]
            layers += [nn.ReLU(True)]
        wide = 4 * ngf
        for _ in range(blocks):
            first: Layers = [nn.ReflectionPad2d(1), nn.Conv2d(wide, wide, 3, bias=bias)]
            first += [layer(wide), nn.ReLU(True), *([nn.Dropout(0.5)] if dropout else [])]
            second: Layers = [nn.ReflectionPad2d(1), nn.Conv2d(wide, wide, 3, bias=bias)]
            layers += [Block([*first, *second, layer(wide)])]
        for width in (wide, wide // 2):
            layers += [nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1, bias=bias)]
            layers += [layer(width // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, nc[1], 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def original(
    kind: str,
    norm: str,
    *,
    dropout: bool = False,
    ngf: int = 4,
    nc: tuple[int, int] = (3, 3),
    old: bool = False,
) -> nn.Module:
    """`unet_256` or `resnet_9` and so on with random weights that all matter: no norm is at its
    start.
    """
    name, number = kind.split("_")
    network: nn.Module
    if name == "unet":
        downs = int(number).bit_length() - 1
        network = OriginalUNet(norm, downs=downs, ngf=ngf, dropout=dropout, nc=nc, old=old)
    else:
        network = OriginalResNet(norm, blocks=int(number), ngf=ngf, dropout=dropout, nc=nc, old=old)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for value in (module.weight, module.running_var):
                    assert value is not None
                    value.uniform_(0.5, 1.5)
                for value in (module.bias, module.running_mean):
                    assert value is not None
                    value.normal_(0, 0.3)
    return network.eval()


def discriminator() -> nn.Module:
    """C64-C128-C256-C512, of which only the names matter."""
    layers: Layers = [nn.Conv2d(6, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 8, 4, 2, 1)]
    network = nn.Module()
    network.model = nn.Sequential(*layers, nn.BatchNorm2d(8), nn.LeakyReLU(0.2))
    return network
