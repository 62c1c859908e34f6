"""The processor that everything is measured on, and who else is using it."""

from __future__ import annotations

import logging
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from img2img.cores import SYSTEM_CORES, CoreLoad, usable_cores
from img2img.devices import cpu_has

log = logging.getLogger("img2img")

LOOKED_AT_S = 0.5  # for how long the load of other processes is measured


@dataclass(frozen=True)
class Machine:
    """The processor, and how busy it was before the first measurement."""

    cpu: str
    cores: int
    """that this process may use"""
    threads: int
    """that torch uses"""
    amx: bool
    avx512_bf16: bool
    load: float | None
    """cores that others kept busy at the start; None where the system does not say"""
    torch: str

    name: ClassVar[str] = "machine"

    @property
    def warning(self) -> str | None:
        """What to mend before a number is believed; None on an idle machine."""
        busy = self.load or 0.0
        if busy + self.threads <= self.cores + SYSTEM_CORES:
            return None
        if busy <= SYSTEM_CORES:
            return f"torch uses {self.threads} threads on {self.cores} cores: fewer are faster"
        return (
            f"others keep {busy:.1f} of {self.cores} cores busy, and torch uses {self.threads} "
            "threads: seconds and shares of the ceiling are too poor; stop them and measure again"
        )

    def fields(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self) | {"warning": self.warning}

    def rows(self) -> list[tuple[str, ...]]:
        """A line each."""
        bf16 = [name for name in ("amx", "avx512_bf16") if getattr(self, name)]
        load = "unknown" if self.load is None else f"{self.load:.2f} cores"
        return [
            ("processor", self.cpu),
            ("cores, threads", f"{self.cores}, {self.threads}"),
            ("bf16 in hardware", " and ".join(bf16) or "no"),
            ("load by others", load),
            ("torch", self.torch),
        ]


def describe_machine() -> Machine:
    """This machine as it is now, with a warning in the log where others use it."""
    machine = Machine(
        cpu=_cpu_model(),
        cores=usable_cores(),
        threads=torch.get_num_threads(),
        amx=cpu_has("amx_tile"),
        avx512_bf16=cpu_has("avx512_bf16"),
        load=_busy_cores(LOOKED_AT_S),
        torch=torch.__version__,
    )
    if machine.warning:
        log.warning("%s", machine.warning)
    return machine


def _cpu_model() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _busy_cores(seconds: float) -> float | None:
    """How many of its cores others keep busy while this process sleeps; the load of the last minute
    where the system does not count ticks, None where it says nothing.
    """
    load = CoreLoad()
    time.sleep(seconds)
    others = load.by_others()
    if others is None and hasattr(os, "getloadavg"):
        return os.getloadavg()[0]
    return others
