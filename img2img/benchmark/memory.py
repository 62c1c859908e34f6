"""The memory that work takes: measured in a process of its own, which does nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from img2img.errors import UserError


class MeasurementFailed(Exception):
    """A process that measured something ended without a result; says why."""


def in_fresh_process(
    function: Callable[..., dict[str, Any]], *, timeout_s: float | None = None, **arguments: Any
) -> dict[str, Any]:
    """What a module's function returns in a new process, with as many threads as this one; plain
    data in and out. Raises MeasurementFailed for an error, a kill or a timeout.
    """
    words = [function.__module__, function.__name__, json.dumps(arguments)]
    threads = str(torch.get_num_threads())
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, *words],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
    except subprocess.TimeoutExpired:
        raise MeasurementFailed(f"ended after {timeout_s:.0f} s") from None
    if done.returncode < 0:
        raise MeasurementFailed(f"killed by signal {-done.returncode}: too little memory?")
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise MeasurementFailed(lines[-1] if lines else f"ended with code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_mb(process: int | str = "self") -> float:
    """The most memory that a process has held at once since its start, or since `reset_peak`."""
    return _from_status("VmHWM", process)


def resident_mb() -> float:
    """The memory that this process holds now."""
    return _from_status("VmRSS")


def reset_peak() -> None:
    """Count the peak from here on, where the system can (Linux): without what imports took."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _from_status(field: str, process: int | str = "self") -> float:
    status = Path(f"/proc/{process}/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024**2 if sys.platform == "darwin" else 1024)


def _main(module: str, name: str, arguments: str) -> None:
    try:
        print(json.dumps(getattr(import_module(module), name)(**json.loads(arguments))))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(*sys.argv[1:])
