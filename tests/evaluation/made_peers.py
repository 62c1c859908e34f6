"""Methods for processes of their own: one that works, and ways to fail."""

import os
import signal
import sys
import time

import numpy as np


def echo(brightness: float = 0.0):
    """The input itself, or a little brighter; it prints, as some libraries do."""

    def apply(given):
        print("a library says something")
        os.write(1, b"and so does its C code\n")
        return given.rgb + brightness

    return apply


def hungry(megabytes: int):
    def apply(given):
        block = np.ones(megabytes * 1_000_000, np.uint8)
        return given.rgb * block[0]

    return apply


def what_is_given():
    """A picture of hole, σ and scale."""

    def apply(given):
        hole = np.zeros(given.rgb.shape[:2]) if given.hole is None else given.hole
        plane = np.full(hole.shape, given.sigma_255 / 100)
        return np.stack([hole, plane, np.full(hole.shape, given.scale / 10)], -1)

    return apply


def failing():
    def apply(given):
        raise MemoryError("17 GB are too much")

    return apply


def failing_from(limit_255: int):
    """Fails once the noise is strong."""

    def apply(given):
        if given.sigma_255 >= limit_255:
            raise ValueError("too\nnoisy")
        return given.rgb

    return apply


def unbuildable():
    raise ImportError("a library is broken")


def ending():
    def apply(given):
        print("the last words", file=sys.stderr, flush=True)
        os._exit(3)

    return apply


def killed():
    return lambda given: os.kill(os.getpid(), signal.SIGKILL)


def sleeping():
    return lambda given: time.sleep(600)


def too_small():
    return lambda given: given.rgb[1:]


def not_finite():
    return lambda given: given.rgb * np.nan
