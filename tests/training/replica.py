"""A process of several, for the tests: trains recipes by the public road and keeps what it holds in
the end.

python -m torch.distributed.run --nproc_per_node 2 replica.py FOLDER FAULT: each FOLDER/*.yaml into
FOLDER/<its name>. `first_RANK.safetensors` are the gradients that the first optimizer steps of each
side saw, `last_RANK.safetensors` all that a checkpoint would hold. FAULT (or "none") happens to the
last process alone, in its third step; with "resume" instead, runs that are there go on.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from img2img.recipe import Recipe
from img2img.training.optimized import OptimizedModule
from img2img.training.step import TrainingStep
from img2img.training.trainer import Trainer

RANK, LAST = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")) - 1


def optimized_modules(step: TrainingStep) -> dict[str, OptimizedModule]:
    """Generator and discriminators, by the names under which their state is saved."""
    return {"generator": step.generator} | {
        name: discriminator.optimized for name, discriminator in step.discriminators.items()
    }


def watched(optimized: OptimizedModule, name: str, seen: dict[str, Tensor]) -> None:
    """Keep the gradients of its first step."""
    take = optimized.optimizer.step

    def step(*args: Any) -> None:
        for index, parameter in enumerate(optimized.module.parameters()):
            if parameter.grad is not None:
                seen.setdefault(f"{name}.{index}", parameter.grad.detach().clone().contiguous())
        take(*args)

    optimized.optimizer.step = step  # type: ignore[method-assign]


def not_a_number(trainer: Trainer, batches: list[Any]) -> None:
    batches[0].target.fill_(float("nan"))


def disk_is_broken(trainer: Trainer, batches: list[Any]) -> None:
    raise OSError(5, "Input/output error", "photo.jpg")


def asked_to_stop(trainer: Trainer, batches: list[Any]) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


FAULTS: dict[str, Callable[[Trainer, list[Any]], None]] = {
    "nan": not_a_number, "disk": disk_is_broken, "stop": asked_to_stop,
}  # fmt: skip


def faulty(trainer: Trainer, fault: Callable[[Trainer, list[Any]], None]) -> None:
    """Let it happen in the third step."""
    coming = trainer.batches

    def batches() -> Iterator[tuple[int, list[Any]]]:
        for step, found in coming():
            if step == 2:
                fault(trainer, found)
            yield step, found

    trainer.batches = batches  # type: ignore[method-assign]


def main(folder: Path, fault: str) -> None:
    """Train every recipe of a folder, in this process."""
    for recipe in sorted(folder.glob("*.yaml")):
        out = folder / recipe.stem
        trainer = Trainer(Recipe.load(recipe), out, resume=fault == "resume")
        seen: dict[str, Tensor] = {}
        for name, optimized in optimized_modules(trainer.step).items():
            watched(optimized, name, seen)
        if fault in FAULTS and RANK == LAST:
            faulty(trainer, FAULTS[fault])
        with torch.random.fork_rng(devices=[]):
            trainer.run()
        save_file(seen, out / f"first_{RANK}.safetensors")
        state = {
            name: value.contiguous()
            for name, value in trainer.step.state().items()
            if ".replay." not in name
        }
        save_file(state, out / f"last_{RANK}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
