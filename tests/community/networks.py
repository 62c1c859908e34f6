"""Small networks of spandrel's classes with random weights, saved as their authors save them."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from img2img.environment import declare_torchvision_ops
from img2img.models.spandrel import spandrel

declare_torchvision_ops()


class Known(NamedTuple):
    """A class by architecture and name, how it is built small, and what is to be found of it."""

    architecture: str
    variant: str
    parameters: dict[str, Any]
    task: str = ""
    scale: int = 1
    wrapped: str = ""
    """The key under which training programs save the weights."""


_SWIN = {"embed_dim": 24, "depths": [2, 2], "num_heads": [2, 2], "window_size": 8, "img_size": 32}

KNOWN = (
    Known("ESRGAN", "RRDBNet", {"num_filters": 16, "num_blocks": 2}, "super-resolve", 4),
    Known(
        *("ESRGAN", "RRDBNet", {"num_filters": 16, "num_blocks": 2, "scale": 1}, "restoration"),
        wrapped="params_ema",
    ),
    Known("Compact", "SRVGGNetCompact", {"num_feat": 16, "num_conv": 4}, "super-resolve", 4),
    Known(
        *("SPAN", "SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16, "upscale": 2}),
        *("super-resolve", 2, "params"),
    ),
    Known(
        "SwinIR", "SwinIR", {**_SWIN, "upscale": 2, "upsampler": "pixelshuffle"}, "super-resolve", 2
    ),
    Known(
        "DAT",
        "DAT",
        {
            "embed_dim": 24,
            "depth": [2],
            "num_heads": [2],
            "split_size": [8, 8],
            "expansion_factor": 2.0,
            "upscale": 2,
            "upsampler": "pixelshuffledirect",
        },
        "super-resolve",
        2,
    ),
    Known(
        "OmniSR",
        "OmniSR",
        {"num_feat": 16, "res_num": 1, "block_num": 1, "up_scale": 2},
        "super-resolve",
        2,
    ),
    Known(
        "PLKSR", "RealPLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 4}, "super-resolve", 4
    ),
    Known("SAFMN", "SAFMN", {"dim": 16, "n_blocks": 2, "upscaling_factor": 4}, "super-resolve", 4),
    Known(
        "NAFNet",
        "NAFNet",
        {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]},
        "restoration",
    ),
    Known("SCUNet", "SCUNet", {"config": [1, 1, 1, 1, 1, 1, 1], "dim": 64}, "restoration"),
    Known("DnCNN", "DnCNN", {"in_nc": 1, "out_nc": 1, "nc": 16, "nb": 4}, "restoration"),
    Known(
        "DRUNet", "DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [8, 16, 16, 16], "nb": 2}, "restoration"
    ),
    Known("LaMa", "LaMa", {"in_nc": 4, "out_nc": 3}, "inpaint"),
)

# The rest of what spandrel knows, and the forms in which a class comes.
OTHERS = (
    Known("SwiftSRGAN", "Generator", {"num_channels": 16, "num_blocks": 2, "upscale_factor": 2}),
    Known("HAT", "HAT", {**_SWIN, "upscale": 2, "squeeze_factor": 6}),
    Known(
        "GRL",
        "GRL",
        {
            "img_size": 32,
            "embed_dim": 24,
            "depths": [2],
            "num_heads_window": [2],
            "num_heads_stripe": [2],
            "upscale": 2,
            "upsampler": "pixelshuffle",
        },
    ),
    Known("Swin2SR", "Swin2SR", {**_SWIN, "upscale": 2, "upsampler": "pixelshuffle"}),
    Known("SwinIR", "SwinIR", {**_SWIN, "upscale": 1, "in_chans": 1}),
    Known("GFPGAN", "GFPGANv1Clean", {}),
    Known("RestoreFormer", "RestoreFormer", {}),
    Known("FBCNN", "FBCNN", {"nb": 2}),
    Known("Uformer", "Uformer", {"img_size": 128, "embed_dim": 16, "depths": [1] * 9}),
    Known("RGT", "RGT", {"embed_dim": 24, "depth": [2], "num_heads": [2], "upscale": 2}),
    Known("CRAFT", "CRAFT", {"upscale": 2}),
    Known(
        "KBNet",
        "KBNet_s",
        {"width": 16, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]},
    ),
    Known("DITN", "DITN_Real", {"dim": 12, "upscale": 2}),
    Known(
        "MMRealSR",
        "MMRRDBNet_test",
        {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 16, "num_block": 2, "num_grow_ch": 8},
    ),
    Known(
        "SPAN",
        "SPAN",
        {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16, "upscale": 4, "norm": False},
        wrapped="params_ema",
    ),
    *(Known("RealCUGAN", name, {}) for name in ("UpCunet2x", "UpCunet2x_fast", "UpCunet3x")),
    Known("RealCUGAN", "UpCunet4x", {"pro": True}),
    Known("SAFMNBCIE", "SAFMN_BCIE", {"dim": 16, "n_blocks": 2, "num_layers": 2}),
    Known("DCTLSA", "DCTLSA", {"upscale": 2}),
    Known(
        "FFTformer",
        "FFTformer",
        {"dim": 12, "num_blocks": [1, 1, 1], "num_refinement_blocks": 1},
    ),
    Known(
        "ATD",
        "ATD",
        {
            **_SWIN,
            "upscale": 2,
            "upsampler": "pixelshuffledirect",
            "category_size": 32,
            "num_tokens": 16,
        },
    ),
    Known("MixDehazeNet", "MixDehazeNet", {}),
    Known("DRUNet", "DRUNet", {"in_nc": 2, "out_nc": 1, "nc": [8, 16, 16, 16], "nb": 2}),
    Known("IPT", "IPT", {"n_feats": 12, "num_layers": 1, "scale": [2]}),
    Known(
        "DRCT",
        "DRCT",
        {
            "embed_dim": 24,
            "depths": [6],
            "num_heads": [2],
            "window_size": 8,
            "img_size": 32,
            "upscale": 2,
            "upsampler": "pixelshuffle",
            "gc": 8,
        },
    ),
    *(
        Known("ESRGAN", "RRDBNet", {"num_filters": 16, "num_blocks": 2, **form})
        for form in (
            {"scale": 2, "shuffle_factor": 2},
            {"scale": 2, "plus": True},
            {"scale": 16},
        )
    ),
    Known("PLKSR", "PLKSR", {"dim": 16, "n_blocks": 2}),
    Known("PLKSR", "RealPLKSR", {"dim": 16, "n_blocks": 2, "dysample": True}),
    Known("RetinexFormer", "RetinexFormer", {"n_feat": 16, "stage": 1}),
    Known("HVICIDNet", "CIDNet", {"channels": [12, 12, 24, 48]}),
    Known(
        "SeemoRe",
        "SeemoRe",
        {"scale": 2, "embedding_dim": 16, "num_layers": 2, "num_experts": 3},
    ),
    Known("MoSR", "MoSR", {"n_block": 2, "dim": 16, "upscale": 2}),
    Known("MoESR", "MoESR", {"n_blocks": 2, "n_block": 1, "dim": 16, "scale": 2}),
    *(
        Known(
            "RCAN",
            "RCAN",
            {
                "n_resgroups": 2,
                "n_resblocks": 2,
                "n_feats": 16,
                "reduction": 4,
                "scale": 2,
                "unshuffle_mod": unshuffled,
            },
        )
        for unshuffled in (False, True)
    ),
    Known(
        "FDAT",
        "FDAT",
        {"embed_dim": 16, "num_groups": 1, "depth_per_group": 2, "num_heads": 2, "scale": 2},
    ),
    Known(
        "AuraSR",
        "UnetUpsampler",
        {
            "dim": 8,
            "image_size": None,
            "input_image_size": None,
            "init_dim": 8,
            "style_network": {"dim_in": 16, "dim_out": 64, "depth": 2},
            "skip_connect_scale": 0.4,
        },
    ),
)


def built(known: Known) -> nn.Module:
    """The network, with weights that change the picture but not beyond recognition."""
    package = importlib.import_module(f"spandrel.architectures.{known.architecture}")
    found = {v.__name__: v for v in vars(package).values() if isinstance(v, type)}
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return found[known.variant](**known.parameters).eval()


def saved(known: Known, folder: Path, name: str = "") -> Path:
    """The network's file, as its authors would publish it."""
    state = built(known).state_dict()
    path = folder / (name or f"{known.scale}x-{known.architecture}-{known.variant}.pth")
    torch.save({known.wrapped: state} if known.wrapped else state, path)
    return path


def alone(path: Path, rgb: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """What spandrel's own call makes of a photo, in levels of 255."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        model: Any = spandrel().ModelLoader("cpu").load_from_file(path).eval()
        x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        if mask is not None:
            out = model(x, torch.from_numpy(mask)[None, None].float())
        elif model.input_channels == 1:
            out = torch.cat([model(channel[:, None]) for channel in x.unbind(1)], 1)
        else:
            out = model(x)
    return out[0].permute(1, 2, 0).numpy() * 255


if __name__ == "__main__":  # a checkpoint for `.ci/run`
    written = saved(KNOWN[3], Path(sys.argv[1]).parent, Path(sys.argv[1]).name)
    print(f"{written}: {written.stat().st_size} bytes")
