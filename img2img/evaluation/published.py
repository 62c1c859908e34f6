"""Figures from the literature on the standard benchmarks, shown with ours when the folder holds
just those photos.
"""

from __future__ import annotations

from pathlib import Path

from img2img.evaluation.report import Row

_PHOTOS = {"cbsd68": 68, "set5": 5, "set14": 14, "bsd100": 100}
_SUPER_RESOLVE = ("×4", "×2")

# task, benchmark, column: settings, then a figure per setting for each method
_FIGURES: dict[
    tuple[str, str], tuple[str, tuple[str, ...], dict[str, tuple[float | None, ...]]]
] = {
    ("denoise", "cbsd68"): (
        "PSNR dB",
        ("σ 15", "σ 25", "σ 50"),
        {
            "CBM3D": (33.52, 30.71, 27.38),
            "DnCNN": (33.90, 31.24, 27.95),
            "FFDNet": (33.87, 31.21, 27.97),
            "DRUNet": (34.30, 31.69, 28.51),
            "SwinIR": (34.41, 31.76, 28.53),
        },
    ),
    ("super-resolve", "set5"): (
        "Y-PSNR dB",
        _SUPER_RESOLVE,
        {
            "bicubic": (28.42, 33.66),
            "SRCNN": (30.48, 36.66),
            "VDSR": (31.35, 37.53),
            "EDSR": (32.46, None),
            "RRDB": (32.73, None),
        },
    ),
    ("super-resolve", "set14"): (
        "Y-PSNR dB",
        _SUPER_RESOLVE,
        {
            "bicubic": (26.00, 30.24),
            "SRCNN": (27.50, 32.42),
            "VDSR": (28.01, 33.03),
            "EDSR": (28.80, None),
            "RRDB": (28.99, None),
        },
    ),
    ("super-resolve", "bsd100"): (
        "Y-PSNR dB",
        _SUPER_RESOLVE,
        {
            "bicubic": (25.96, 29.56),
            "SRCNN": (26.90, 31.36),
            "VDSR": (27.29, 31.90),
            "EDSR": (27.71, None),
            "RRDB": (27.85, None),
        },
    ),
}


def published_rows(task: str, data: Path, photos: int, settings: set[str]) -> list[Row]:
    """Rows for the settings measured, or none when the folder is not the whole benchmark of its
    name.
    """
    name = data.resolve().name.lower()
    if (task, name) not in _FIGURES or photos != _PHOTOS[name]:
        return []
    column, known, methods = _FIGURES[task, name]
    return [
        Row(setting, f"{method} (published)", "published", {column: figures[index]})
        for index, setting in enumerate(known)
        for method, figures in methods.items()
        if setting in settings and figures[index] is not None
    ]
