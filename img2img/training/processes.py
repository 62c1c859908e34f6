"""Several processes that train one model: what they exchange, so that after every step all hold the
same bits.

Each computes gradients on its own samples; one flat all_reduce before the optimizer's step averages
them over the processes, as in stylegan3's training loop. There is no DistributedDataParallel: it
reduces gradients while the last micro-batch's backward runs, which goes wrong where its forward ran
outside of `no_sync`, and it expects each network to run once a step. All processes call these
functions in the same order; one that fails alone leaves, and the others raise ProcessLost. With one
process nothing is exchanged.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from img2img.errors import Advice, TrainingError, UserError

Decided = TypeVar("Decided")


class ProcessLost(TrainingError):
    """Another process of the run has ended with an error of its own."""


def check_processes(device: torch.device) -> None:
    """Raise UserError where the launcher started more processes than this machine can train one
    model in.
    """
    started, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if started == 1:
        return
    if device.type == "mps":
        raise UserError(
            f"{started} processes were started, and Apple's GPU takes one",
            field="device",
            remedy=Advice.set("device", "cpu"),
        )
    if device.type == "cuda" and here > torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UserError(
            f"{here} processes were started, and {found} GPU found",
            field="device",
            remedy=Advice(f"start {found}") | Advice.set("device", "cpu"),
        )


def reduce_gradients(
    parameters: Iterable[nn.Parameter], loss: Tensor, accelerator: Accelerator
) -> Tensor:
    """Average the gradients over the processes in place, by one all_reduce; returns the mean loss.

    A gradient that is missing in some processes counts as 0 there; one that is missing in all stays
    None.
    """
    if accelerator.num_processes == 1:
        return loss
    learning = [p for p in parameters if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
    has_gradient = [float(p.grad is not None) for p in learning]
    facts = torch.cat([torch.tensor(has_gradient, device=loss.device), loss.reshape(1)])
    flat = torch.cat([*(g.flatten() for g in gradients), facts])
    with _connected():
        dist.all_reduce(flat)
    flat /= accelerator.num_processes
    *means, facts = flat.split([*(g.numel() for g in gradients), len(facts)])
    *shares, _ = facts.tolist()  # of the processes that have the gradient
    for parameter, gradient, mean, share in zip(learning, gradients, means, shares, strict=True):
        if share:
            parameter.grad = gradient.copy_(mean.view(gradient.shape))
    return facts[-1]


@torch.no_grad()
def reduce_buffers(networks: Iterable[nn.Module], accelerator: Accelerator) -> None:
    """Average batch norm's running statistics over the processes; other buffers (spectral norm's
    vectors) become the first process's.

    Called before the EMA copies buffers and a checkpoint saves them.
    """
    if accelerator.num_processes == 1:
        return
    found: list[tuple[Tensor, bool]] = []  # buffers, and whether they are averaged
    for module in (module for network in networks for module in network.modules()):
        # Statistics change in this step; those of frozen layers stay as they are, bit for bit.
        gathers = isinstance(module, _NormBase) and module.training and module.track_running_stats
        buffers = (b for b in module.buffers(recurse=False) if b.is_floating_point())
        found += [(buffer, gathers) for buffer in buffers]
    if not found:
        return
    # The first process's value plus zeros of the others is exact, and keeps what is equal equal; a
    # mean would drift by rounding.
    mine = torch.clone if accelerator.is_main_process else torch.zeros_like
    parts = [b / accelerator.num_processes if averaged else mine(b) for b, averaged in found]
    flat = torch.cat([part.float().flatten() for part in parts])
    with _connected():
        dist.all_reduce(flat)
    for (buffer, _), value in zip(found, flat.split([b.numel() for b, _ in found]), strict=True):
        buffer.copy_(value.view(buffer.shape))


def of_the_first(tensors: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """Broadcast the first process's tensors, by name, to all."""
    named = decided([(n, v.shape, v.dtype) for n, v in tensors.items()], accelerator)
    shared = {}
    for name, shape, dtype in named:
        given = (
            tensors[name].detach()
            if accelerator.is_main_process
            else torch.empty(shape, dtype=dtype)
        )
        value = given.to(accelerator.device).contiguous()
        with _connected():
            dist.broadcast(value, 0)
        shared[name] = value.to(given.device)
    return shared


def decided(value: Decided, accelerator: Accelerator) -> Decided:
    """Broadcast the first process's value to all."""
    if accelerator.num_processes == 1:
        return value
    with _connected():
        (shared,) = broadcast_object_list([value])
    return shared


def first_decides(decide: Callable[[], Decided], accelerator: Accelerator) -> Decided:
    """Call `decide` in the first process and broadcast its result; raise its UserError in all."""
    found: tuple[Any, UserError | None] = (None, None)
    if accelerator.is_main_process:
        try:
            found = decide(), None
        except UserError as error:
            found = None, error
    value, refusal = decided(found, accelerator)
    if refusal is not None:
        raise refusal
    return value


def of_all(value: Decided, accelerator: Accelerator) -> list[Decided]:
    """The value of each process, in their order."""
    with _connected():
        values: list[Decided] = gather_object([value])
    return values


def anywhere(flag: bool, accelerator: Accelerator) -> bool:
    """Whether the flag is set in any of the processes."""
    if accelerator.num_processes == 1:
        return flag
    found = torch.tensor(float(flag), device=accelerator.device)
    with _connected():
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return bool(found)


def wait_for_all(accelerator: Accelerator) -> None:
    """Block until every process has come here."""
    with _connected():
        accelerator.wait_for_everyone()


@atexit.register
def leave() -> None:
    """Close the connections to the other processes, which fail at once. At exit, and not after each
    run: the next run uses them again.
    """
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # of gloo and NCCL: a peer's connection is closed
        raise ProcessLost("another process of this run has ended") from error
