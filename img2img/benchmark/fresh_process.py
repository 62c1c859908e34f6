"""Work measured in a process of its own, which does nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
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


def _main(module: str, name: str, arguments: str) -> None:
    try:
        print(json.dumps(getattr(import_module(module), name)(**json.loads(arguments))))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(*sys.argv[1:])
