"""What could leave this machine, what could run code that is not img2img's, and what reads which
file (`img2img env --security`): facts of this installation, each in a line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec

from img2img.environment import QUIET

Facts = list[tuple[str, str]]


def security_facts() -> Mapping[str, Facts]:
    """By heading: what and, of this installation, how it stands."""
    return {
        "could reach out, and only when asked": _doors(),
        "switched off in packages that would reach out (a value of yours wins)": _switches(),
        "could run code that is not ours": _foreign_code(),
        "what reads which file": list(_READERS.items()),
    }


def _doors() -> Facts:
    return [
        ("img2img app", "listens on 127.0.0.1, unless it is given another address"),
        ("push_to_hub(…)", f"uploads a model; {_package('huggingface_hub')}, {_hub_state()}"),
        (
            "data.urls (shards)",
            f"reads what http(s):// and s3:// name; {_package('fsspec')}, {_s3()}",
        ),
        *((f"train.track: {name}", f"{_package(name)}, {where}") for name, where in _trackers()),
        ("several processes", "torchrun and accelerate connect them, where they are told to"),
        ("folders on Ray", f"{_package('ray')}, {_cluster()}"),
        ("photos and results by URL", f"{_package('fsspec')}; s3:// and http(s)://, those named"),
        ("all else", "opens no connection: models, networks for losses, pages lie in packages"),
    ]


def _cluster() -> str:
    """How a run on Ray would find its processes."""
    address = os.environ.get("RAY_ADDRESS")
    if address:
        return f"joins the cluster at {address} (RAY_ADDRESS), which can run code here"
    return "opens ports on 127.0.0.1 while it runs, with a token; no dashboard"


def _hub_state() -> str:
    offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE")
    return "offline (HF_HUB_OFFLINE=0 allows it)" if offline else "allowed by HF_HUB_OFFLINE"


def _s3() -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return f"S3 at {endpoint or 'AWS'} with the credentials that AWS's tools find"


def _trackers() -> Facts:
    mlflow = os.environ.get("MLFLOW_TRACKING_URI")
    return [
        ("wandb", f"WANDB_MODE={os.environ.get('WANDB_MODE', '')}"),
        ("mlflow", f"to {mlflow}" if mlflow else "into the run's folder"),
        ("trackio", "on this machine"),
    ]


def _switches() -> Facts:
    facts = []
    for name, ours in QUIET.items():
        value = os.environ.get(name, "")
        facts.append(
            (name, value if value == ours else f"{value or 'empty'} (yours; ours is {ours})")
        )
    return facts


def _foreign_code() -> Facts:
    plugins = [
        (f"{point.group}: {point.name}", f"{point.value}, of {_owner(point.dist)}")
        for group in PLUGIN_GROUPS
        for point in entry_points(group=group)
        if _owner(point.dist) != "img2img"
    ]
    return [
        *(plugins or [("tasks and protocols of other packages", "none installed")]),
        ("train.compile", "off by default; torch then starts this machine's C++ compiler"),
        (
            "img2img eval, rivals",
            "those that are installed run when asked for, each in a process of its own",
        ),
        ("files", "none: no pickle is executed, no TorchScript is opened, no path is imported"),
    ]


PLUGIN_GROUPS = ("img2img.tasks", "img2img.protocols")

_READERS = {
    "photos, masks, hints": "OpenCV, Pillow, tifffile; with the extra 'formats' pi_heif, "
    "pyjpegxl, rawpy; in this process, sizes checked in the header first",
    "model files (.safetensors)": "safetensors; recipe and card in the header are JSON, checked "
    "against the schema",
    "other people's (.pth, .ckpt)": "opcodes are read and never executed; tensors are copied out",
    "ncnn's (.param, .bin)": "text and numbers, by img2img",
    "ONNX files of img2img": "checked from their own bytes, then onnxruntime or OpenVINO",
    "shards (.tar) and their index": "ranges of bytes, with checksums; the index is JSON; no file "
    "is opened or written by a name in them",
    "checkpoints of runs": "safetensors and JSON, with checksums",
    "recipes": "YAML without tags or objects, checked against the schema",
    "models inside packages": "as files; the package is never imported",
}


def _package(name: str) -> str:
    return "installed" if find_spec(name) else "not installed"


def _owner(package: object) -> str:
    return str(getattr(package, "name", "an unknown package"))
