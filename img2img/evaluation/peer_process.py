"""The process of one method, `python -m img2img.evaluation.peer_process`: it measures the time and
the memory of its own work, and another process reads results from its pipe.

The first message names the method's factory; each further one is a case.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

import numpy as np

from img2img.errors import one_line
from img2img.evaluation.exchange import ArrayMethod, Given, receive, send
from img2img.memory import peak_mb, reset_peak, resident_mb
from img2img.pixels.images import to_float


def main() -> None:
    """Serve until the other side closes the pipe."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the messages
    with suppress(EOFError, BrokenPipeError):
        serve(requests, replies)


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer each case with its result, seconds and peak memory, or with what went wrong."""
    order, _ = receive(requests)
    try:
        module, function = order["factory"].split(":")
        factory: Callable[..., ArrayMethod] = getattr(importlib.import_module(module), function)
        for library in order["libraries"]:
            name, _, loader = library.partition(":")
            imported = importlib.import_module(name)
            if loader:
                getattr(imported, loader)()
        limit_threads(order["threads"])
        idle_mb = resident_mb()
        method = factory(**order["arguments"])
    except Exception as error:
        return send(replies, {"error": one_line(error)})
    send(replies, {})
    while True:
        fields, arrays = receive(requests)
        given = Given(**arrays, sigma_255=fields["sigma_255"], scale=fields["scale"])
        send(replies, *measured(method, given, idle_mb))


def measured(
    method: ArrayMethod, given: Given, idle_mb: float
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Seconds, peak memory over the idle process, and the result (H,W,3) float32; or the error."""
    resettable = reset_peak()
    start = time.perf_counter()
    try:
        rgb = to_float(method(given))
    except Exception as error:
        return {"error": one_line(error)}, {}
    seconds = time.perf_counter() - start
    above_idle_mb = max(0.0, peak_mb() - idle_mb) if resettable and not on_gpu() else None
    return {"seconds": seconds, "peak_mb": above_idle_mb}, {"rgb": rgb}


def limit_threads(threads: int) -> None:
    """As many for every method; a small convolution touches what torch loads on first use, so that
    it counts as the idle process.
    """
    import cv2

    cv2.setNumThreads(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
        torch.nn.functional.conv2d(torch.zeros(1, 3, 16, 16), torch.zeros(3, 3, 3, 3))


def on_gpu() -> bool:
    """Whether a GPU's memory was used, of which the system's numbers tell nothing."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


if __name__ == "__main__":
    main()
