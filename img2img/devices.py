"""Which device and precision this machine offers."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal, get_args

import torch

from img2img.errors import UserError, did_you_mean

Precision = Literal["auto", "fp32", "bf16"]
DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps")


def pick_device(name: str = "auto") -> torch.device:
    """`auto`: CUDA, then Apple's MPS, then the CPU. Raises UserError for a missing device."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = _parsed(name)
    missing = _missing(device)
    if missing:
        raise UserError(
            f"'{name}' is not here ({missing})", field="device", remedy="use auto or cpu"
        )
    return device


def _parsed(name: str) -> torch.device:
    """The device by its name, whether it is here or not. Raises UserError for one that we do not
    run on.
    """
    with suppress(RuntimeError, TypeError):
        device = torch.device(name)
        if device.type in DEVICES:
            return device
    *most, last = DEVICES
    use = f": use {', '.join(most)} or {last}"
    like = str(name).lower().replace("gpu", "cuda")  # by its letters alone, gpu would be cpu
    raise UserError(f"unknown device '{name}'{did_you_mean(like, DEVICES, use)}", field="device")


def _missing(device: torch.device) -> str | None:
    """What this machine lacks to run on a device, None when it is here; asks without waking a GPU
    up.
    """
    if device.type == "cuda":
        if not torch.backends.cuda.is_built():
            return "this torch is built without CUDA"
        found = torch.cuda.device_count()
        return (
            None if (device.index or 0) < found else f"CUDA devices found: {found}, counted from 0"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        return "no Apple GPU found"
    return None


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device computes bf16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    return cpu_has("avx512_bf16") or cpu_has("amx_tile")


def cpu_has(instructions: Literal["avx512_bf16", "amx_tile"]) -> bool:
    """Whether the processor has these instructions; torch may not say so, and then it has not."""
    return bool(getattr(torch.cpu, f"_is_{instructions}_supported", lambda: False)())


def precision_for(device: torch.device, wanted: Precision) -> torch.dtype:
    """The autocast type: `auto` takes bf16 where the hardware has it. Raises UserError for an
    unknown word.
    """
    if wanted not in get_args(Precision):
        raise UserError(
            f"unknown '{wanted}'{did_you_mean(str(wanted), get_args(Precision))}", field="precision"
        )
    if wanted == "fp32" or (wanted == "auto" and not has_fast_bf16(device)):
        return torch.float32
    return torch.bfloat16
