"""Which device and precision this machine offers."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from img2img.errors import UserError, did_you_mean

Precision = Literal["auto", "fp32", "bf16"]


def pick_device(name: str = "auto") -> torch.device:
    """`auto`: CUDA, then Apple's MPS, then the CPU. Raises UserError for a device that is not here."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"--device: '{name}' is not available here ({str(error).splitlines()[0]}); try auto or cpu"
        ) from error
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device computes bf16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def precision_for(device: torch.device, wanted: Precision) -> torch.dtype:
    """The autocast type: `auto` takes bf16 where the hardware has it. Raises UserError for an unknown word."""
    if wanted not in get_args(Precision):
        raise UserError(f"--precision: unknown '{wanted}'{did_you_mean(wanted, get_args(Precision))}")
    if wanted == "fp32" or (wanted == "auto" and not has_fast_bf16(device)):
        return torch.float32
    return torch.bfloat16
