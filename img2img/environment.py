"""What must be settled before third-party packages are imported: no network, no telemetry, a
torchvision that loads.
"""

from __future__ import annotations

import importlib.util
import os
import re
from functools import cache
from pathlib import Path

QUIET = {
    "NO_ALBUMENTATIONS_UPDATE": "1",  # asks PyPI for a newer version at import otherwise
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "offline",
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def work_offline() -> None:
    """Switch off every phone-home of our dependencies; a variable the user has set wins."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


@cache
def declare_torchvision_ops() -> None:
    """Let `import torchvision` (timm and lpips need it) succeed with a torch of another build.

    PyPI's torchvision for Linux is compiled for CUDA. With a CPU-only torch its operators cannot
    load, and the import fails with "operator torchvision::nms does not exist". We call none of
    those operators: declaring their names is enough. Does nothing where torchvision is whole. The
    registration must outlive this call, hence the module-level list.
    """
    from torch import library

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _compiled_ops_load(Path(spec.origin).parent):
        return
    source = Path(spec.origin).with_name("_meta_registrations.py").read_text()
    ops = library.Library("torchvision", "FRAGMENT")
    for name in sorted(set(re.findall(r'register_fake\("torchvision::(\w+)"\)', source))):
        ops.define(f"{name}(Tensor input) -> Tensor")
    _libraries.append(ops)


_libraries: list[object] = []


def _compiled_ops_load(package: Path) -> bool:
    import torch

    for path in package.glob("_C*.so"):
        try:
            torch.ops.load_library(str(path))
        except OSError:
            return False
    return True
