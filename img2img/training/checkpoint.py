"""Checkpoints: whole or not at all, checksummed, the last two kept. Safetensors and JSON only:
nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer

from img2img.files import (
    atomic_path,
    remove_unfinished,
    sha256_of,
    write_tensors,
    write_text,
)

log = logging.getLogger("img2img")

KEPT = 2  # checkpoints
OWN_SHA256 = "facts_sha256"  # in the facts: of all others of them; files of before have none


@dataclass
class Checkpoint:
    """Tensors by name, and plain facts: step, images, seconds trained, recipe."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the tensors, then the facts with the checksums of both: without facts there is no
    checkpoint.

    Only then are older ones deleted, and those of later steps: a run that went on from before them
    has found them damaged.
    """
    path = folder / f"step_{checkpoint.facts['step']:08d}.safetensors"
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()
    }
    with atomic_path(path) as temporary:
        write_tensors(temporary, tensors)
        checksum = sha256_of(temporary)
    facts = {**checkpoint.facts, "sha256": checksum}
    write_text(path.with_suffix(".json"), json.dumps({**facts, OWN_SHA256: _own_sha256(facts)}))
    kept = [p.stem for p in sorted(folder.glob("step_*.json")) if p.stem <= path.stem][-KEPT:]
    remove_unfinished(folder, "step_*.safetensors", "step_*.json")
    for old in folder.glob("step_*"):
        if old.is_file() and old.name.split(".")[0] not in kept:
            old.unlink(missing_ok=True)
    return path


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None; damaged ones are skipped with a warning."""
    checkpoint, damage = whole_checkpoint(folder)
    for line in damage:
        log.warning("checkpoint %s: trying the one before", line)
    return checkpoint


def whole_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, or None, and what is wrong with each newer one."""
    damage: list[str] = []
    for name in sorted({path.stem for path in folder.glob("step_*")}, reverse=True):
        try:
            return _read(folder / name), damage
        except FileNotFoundError as error:
            damage.append(f"{name} has no {Path(error.filename).suffix} file")
        except OSError as error:
            damage.append(f"{name} cannot be read ({error.strerror})")
        except (ValueError, KeyError, TypeError, SafetensorError):
            damage.append(f"{name} is damaged")
    return None, damage


def _read(path: Path) -> Checkpoint:
    """Raises the errors of reading its two files, ValueError for a wrong checksum."""
    facts = dict(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    weights = path.with_suffix(".safetensors")
    own = facts.pop(OWN_SHA256, None)
    *_, last = facts  # of every version; another is a name that was damaged
    if last != "sha256" or own not in (None, _own_sha256(facts)):
        raise ValueError("facts")
    if sha256_of(weights) != facts["sha256"]:
        raise ValueError("tensors")
    return Checkpoint(load_file(weights), facts)


def optimizer_tensors(optimizer: Optimizer, prefix: str) -> dict[str, Tensor]:
    """The optimizer's state as named tensors, by position of the parameter."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}{index}.{key}": value
        for index, entry in state.items()
        for key, value in entry.items()
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], prefix: str) -> None:
    """Restore what `optimizer_tensors` gave, in the memory layout of each parameter: fused kernels
    rely on it.
    """
    parameters = [
        (p, bool(group.get("fused"))) for group in optimizer.param_groups for p in group["params"]
    ]
    for index, (parameter, fused) in enumerate(parameters):
        entry = {
            name.rsplit(".", 1)[1]: v
            for name, v in tensors.items()
            if name.startswith(f"{prefix}{index}.")
        }
        if entry:
            optimizer.state[parameter] = {
                key: _like(value, parameter, fused) for key, value in entry.items()
            }


def _like(value: Tensor, parameter: Tensor, fused: bool) -> Tensor:
    if value.shape == parameter.shape:
        return torch.empty_like(parameter).copy_(value)
    # The count of steps: fused kernels read it on the parameter's device, all others on the CPU.
    return value.to(parameter.device, copy=True) if fused else value.clone()


def _own_sha256(facts: dict[str, Any]) -> str:
    """Of facts as JSON, whether they come from a file or are on the way there."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
