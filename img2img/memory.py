"""The memory that a process holds, as the system tells it, and when it was too little. No torch: a
small process may ask.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_MB = 1e6  # bytes
# torch's words, on a GPU, on Linux and on Windows
_TOO_LITTLE = re.compile("out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was too little memory, of the machine or of its GPU."""
    return isinstance(error, MemoryError) or bool(_TOO_LITTLE.search(str(error)))


def peak_mb(process: int | str = "self") -> float:
    """The most memory that a process has held at once since its start, or since `reset_peak`."""
    return _from_status("VmHWM", process)


def resident_mb() -> float:
    """The memory that this process holds now; where the system does not tell it (macOS), the most
    that it has held.
    """
    return _from_status("VmRSS")


def reset_peak() -> bool:
    """Count the peak from here on, without what imports took; whether the system can (Linux).

    `getrusage` cannot: its maximum is never reset, and begins with that of the parent.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _from_status(field: str, process: int | str = "self") -> float:
    status = Path(f"/proc/{process}/status")
    if status.is_file():  # Linux
        lines = status.read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024 / _MB
    if sys.platform == "win32":
        import psutil

        held = psutil.Process(None if process == "self" else int(process)).memory_info()
        return (held.peak_wset if field == "VmHWM" else held.rss) / _MB
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / _MB
