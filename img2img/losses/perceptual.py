"""Perceptual distances: ST-LPIPS (Ghildyal & Liu, ECCV 2022) and LPIPS (Zhang et al. 2018).

ST-LPIPS weights are read as data (`weights_only=True`) from the wheel `stlpips-pytorch`; its
modules are not imported.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.environment import declare_torchvision_ops
from img2img.errors import UserError
from img2img.models.blocks import channels_last

PerceptualNetwork = Literal["stlpips_vgg", "stlpips_alex", "lpips_vgg", "lpips_alex"]
NETWORKS: tuple[PerceptualNetwork, ...] = ("stlpips_vgg", "stlpips_alex", "lpips_vgg", "lpips_alex")
_TORCHVISION_FILES = {"lpips_vgg": "vgg16-397923af.pth", "lpips_alex": "alexnet-owt-7be5be79.pth"}


class BlurDown(nn.Module):
    """Anti-aliased stride-2 subsampling (Zhang 2019): reflection pad of 2 on all sides, 3x3
    binomial filter.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", torch.zeros(channels, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        # A depthwise bf16 convolution is slower on a CPU than fp32.
        with torch.autocast(x.device.type, enabled=False):
            x = F.pad(x.float(), (2, 2, 2, 2), mode="reflect")
            return F.conv2d(x, self.get_buffer("filt").float(), stride=2, groups=x.shape[1])


class SinglePrecisionPool(nn.MaxPool2d):
    """Max pooling on fp32, for any input: several times faster than bf16 on a CPU, and BlurDown
    follows in fp32.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


def _alexnet() -> tuple[list[nn.Module], list[int]]:
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 11, padding=2), BlurDown(64), nn.ReLU(),
        nn.MaxPool2d(3, stride=1), BlurDown(64), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, stride=1), BlurDown(192), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    ]  # fmt: skip
    return layers, [3, 7, 11, 13, 15]


def _vgg16() -> tuple[list[nn.Module], list[int]]:
    layers: list[nn.Module] = []
    cuts: list[int] = []
    channels = 3
    for widths in ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3):
        if layers:
            layers += [SinglePrecisionPool(2, stride=1), BlurDown(channels)]
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        cuts.append(len(layers))
    return layers, cuts


class STLPIPS(nn.Module):
    """Shift-tolerant LPIPS. Calling it on RGB in [0,1], (B,3,H,W) each, gives the distance per
    picture, (B,).

    Gradients reach the pictures, never the weights. Features follow the caller's autocast,
    distances are fp32.
    """

    def __init__(self, trunk: Literal["vgg", "alex"]) -> None:
        super().__init__()
        layers, self.cuts = _vgg16() if trunk == "vgg" else _alexnet()
        self.layers = nn.ModuleList(layers)
        state = torch.load(_stlpips_file(trunk), map_location="cpu", weights_only=True)
        own = {
            f"layers.{name.split('.', 2)[2]}": v
            for name, v in state.items()
            if name.startswith("net.")
        }
        self.load_state_dict(own, strict=True)
        self.heads = nn.ParameterList([state[f"lin{i}.model.1.weight"] for i in range(5)])
        self.register_buffer("shift", state["scaling_layer.shift"], persistent=False)
        self.register_buffer("scale", state["scaling_layer.scale"], persistent=False)
        self.eval().requires_grad_(False)

    def features(self, rgb: Tensor) -> list[Tensor]:
        """The five feature maps of RGB in [0,1], (B,3,H,W), before normalisation."""
        x = (rgb * 2 - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        maps = []
        for index, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if index in self.cuts:
                maps.append(x)
        return maps

    def forward(self, rgb: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.features(target)
        pairs = zip(self.features(rgb), wanted, self.heads, strict=True)
        return torch.stack([_Distance.apply(f, w, head) for f, w, head in pairs]).sum(0)


class _Distance(torch.autograd.Function):
    """Mean over pixels of Σ head · (f/|f| - w/|w|)², one distance a picture, and its gradient with
    respect to f alone.

    Value and gradient are computed together, a picture at a time: autograd's dozen passes over the
    whole batch in fp32 cost more than the convolutions that made the features.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, wanted: Tensor, head: Tensor) -> Tensor:
        head, pixels = head.float().flatten(), features.shape[-2] * features.shape[-1]
        wanted = wanted.expand_as(features)  # one target may serve several pictures
        slope = torch.empty_like(features) if features.requires_grad else None
        distances = []
        for index in range(len(features)):
            f, w = (x[index].float().flatten(1).T for x in (features, wanted))  # (pixels, channels)
            length = _length(f)
            unit = f / length
            difference = unit - w / _length(w)
            weighted = difference * head
            distances.append((weighted * difference).sum() / pixels)
            if slope is not None:
                weighted *= 2 / pixels
                weighted -= unit * (unit * weighted).sum(1, keepdim=True)
                slope[index] = (weighted / length).T.view_as(slope[index])
        ctx.slope = slope
        return torch.stack(distances)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        slope = ctx.slope
        return (
            None if slope is None else slope * grads[0].to(slope.dtype)[:, None, None, None],
            None,
            None,
        )


class LPIPS(nn.Module):
    """LPIPS of the `lpips` package on RGB in [0,1]; its backbone must already lie in torch's hub
    folder.
    """

    def __init__(self, trunk: Literal["vgg", "alex"]) -> None:
        super().__init__()
        declare_torchvision_ops()
        import lpips

        self.net = lpips.LPIPS(net=trunk, verbose=False).eval().requires_grad_(False)

    def forward(self, rgb: Tensor, target: Tensor) -> Tensor:
        return self.net(rgb, target, normalize=True).flatten()


def _length(features: Tensor) -> Tensor:
    """Of each row of (pixels, channels); never zero, for an all-zero pixel must not turn the
    gradient into NaN.
    """
    return (features.square().sum(1, keepdim=True) + 1e-20).sqrt()


def missing(network: PerceptualNetwork) -> str | None:
    """None when `network` can be used here, else what is missing and how to get it."""
    if network.startswith("stlpips"):
        found = importlib.util.find_spec("stlpips_pytorch") is not None
        return (
            None
            if found
            else "its weights are in the wheel stlpips-pytorch: pip install stlpips-pytorch"
        )
    file = Path(torch.hub.get_dir()) / "checkpoints" / _TORCHVISION_FILES[network]
    return (
        None
        if file.is_file()
        else f"torchvision's backbone is not on this machine: put it at {file}"
    )


@cache
@torch.inference_mode(False)  # first built in a measurement, it must serve training afterwards
def perceptual_distance(network: PerceptualNetwork) -> nn.Module:
    """The network that measures perceptual distance, loaded once; loading it draws no random number
    of the caller's.

    Args:
        network: `stlpips_vgg`, `stlpips_alex`; `lpips_vgg` or `lpips_alex` where torchvision's
            weights are on this machine.

    Returns:
        A module: two batches (B,3,H,W) in [0,1], at least 24 px a side, to distances (B,); 0 for
        equal pictures, about 1 for unrelated ones.

    Raises:
        UserError: its weights are not on this machine; there is no silent substitute.

    Example:
        >>> import torch
        >>> distance = perceptual_distance("stlpips_alex")
        >>> picture = torch.rand(1, 3, 64, 64)
        >>> float(distance(picture, picture)) < 1e-6 < float(distance(picture, 1 - picture))
        True
    """
    reason = missing(network)
    if reason:
        raise UserError(f"perceptual network '{network}' is not available", remedy=reason)
    kind, _, trunk = network.partition("_")
    build = STLPIPS if kind == "stlpips" else LPIPS
    # Layers draw initial weights before they are given the real ones, and the first use may be in a
    # training step: a resumed run, which loads anew, must draw in it what the whole run drew.
    with torch.random.fork_rng(devices=[]):
        return channels_last(build("vgg" if trunk == "vgg" else "alex"))


def _stlpips_file(trunk: str) -> Path:
    spec = importlib.util.find_spec("stlpips_pytorch")
    assert spec is not None and spec.origin is not None, "checked by missing()"
    return Path(spec.origin).parent / "weights" / "vST0.0" / f"{trunk}_shift_tolerant.pth"
