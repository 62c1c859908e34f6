"""A module in training with its optimizer, on the run's device, in its precision and across its
processes; the average of its weights; and a way to freeze it for a while.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer, RMSprop

from img2img.diagnostics.runlog import Number, read
from img2img.errors import TrainingError
from img2img.models.blocks import channels_last
from img2img.optimizer import OptimizerChoice
from img2img.training.adam import DenseAdam
from img2img.training.checkpoint import optimizer_tensors, restore_optimizer
from img2img.training.muon import Muon
from img2img.training.processes import reduce_gradients


class Logs(dict[str, Number]):
    """A step's losses and measures by name: sums of what each micro-batch contributes. They stay on
    the run's device until a row is logged, since reading one waits for all that was begun there.
    """

    def add(self, shares: Mapping[str, Number]) -> None:
        """Add one micro-batch's shares (values already divided by the number of micro-batches)."""
        for name, share in shares.items():
            self[name] = self.get(name, 0.0) + share

    def read(self) -> dict[str, float]:
        """All as Python's numbers, by one copy from the device."""
        return dict(zip(self, read([*self.values()]), strict=True))


class OptimizedModule:
    """A module with its optimizer: `backward` for each micro-batch, then `update`."""

    def __init__(
        self,
        module: nn.Module,
        choice: OptimizerChoice,
        accelerator: Accelerator,
        clip_norm: float | None = None,
    ) -> None:
        self.accelerator, self.choice, self.clip_norm = accelerator, choice, clip_norm
        self.module = channels_last(module.to(accelerator.device))
        self.forward_fp32: Callable[..., Tensor] = self.module.forward
        """The forward pass without autocast: gradient penalties need fp32."""
        # Puts autocast around `forward`, in place; in evaluation mode, so that nothing
        # wraps the module for several processes: `update` reduces the gradients itself.
        accelerator.prepare_model(self.module, evaluation_mode=True)
        # Not Accelerate's: in each step it would look for a package on the disk, twice.
        self.optimizer = _optimizer(self.module, choice, accelerator)
        self.loss = torch.zeros((), device=accelerator.device)
        """of the micro-batches since the last update"""

    def set_rate(self, factor: float) -> None:
        """Set the learning rate to the recipe's times `factor`."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.choice.lr * factor

    def backward(self, loss: Tensor, micro_batches: int = 1) -> Tensor:
        """Accumulate the gradients of one of the micro-batches; returns its share of the loss."""
        loss = loss / micro_batches
        self.accelerator.backward(loss)
        share = loss.detach()
        self.loss = self.loss + share
        return share

    def update(self) -> float:
        """One optimizer step on the gradients' mean over all processes; returns their norm before
        clipping.

        Processes exchange gradients here, once a step and after all micro-batches: so accumulation
        and several processes give what one process gives for the same samples.
        Raises TrainingError for NaN, before it reaches the weights.
        """
        parameters = list(self.module.parameters())
        mean_loss = reduce_gradients(parameters, self.loss, self.accelerator)
        self.loss = torch.zeros_like(mean_loss)
        total = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        # All that a step reads from its device: NaN must not reach the weights.
        loss, norm = torch.stack([mean_loss, total.to(mean_loss)]).tolist()
        if not math.isfinite(loss):
            raise TrainingError("the loss is not a number any more (NaN or infinite)")
        if not math.isfinite(norm):
            raise TrainingError("a gradient is not a number any more (NaN or infinite)")
        if self.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.clip_norm, total)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Weights and the optimizer's state, as named tensors."""
        weights = {f"network.{name}": value for name, value in self.module.state_dict().items()}
        return weights | optimizer_tensors(self.optimizer, "optimizer.")

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state` gave."""
        self.module.load_state_dict(under("network.", tensors))
        restore_optimizer(self.optimizer, tensors, "optimizer.")


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Within the context, gradients flow through the modules to their input, and their parameters
    collect none.
    """
    learning = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


class Ema:
    """Exponential moving average of a module's weights, with a half-life in training images; the
    weights that are shipped.
    """

    def __init__(self, module: nn.Module, halflife_images: float, images_per_update: int) -> None:
        self.averaged = channels_last(copy.deepcopy(module).eval().requires_grad_(False))
        self.behind: nn.Module | None = None
        """Without a half-life, the module whose weights are to be copied once they are asked for"""
        self.decay = 0.5 ** (images_per_update / halflife_images) if halflife_images else 0.0

    def update(self, source: nn.Module, num_updates: int) -> None:
        """Average in the weights of `source` after its `num_updates` earlier updates; copy buffers.

        The decay ramps up as in TensorFlow's ExponentialMovingAverage(num_updates=…):
        min(decay, (1 + num_updates) / (10 + num_updates)), so that the random start is soon
        forgotten.
        """
        decay = min(self.decay, (1 + num_updates) / (10 + num_updates))
        if decay:
            weights = [parameter.detach() for parameter in source.parameters()]
            torch._foreach_lerp_(list(self.averaged.parameters()), weights, 1 - decay)
        else:
            self.behind = source
        for averaged, current in zip(self.averaged.buffers(), source.buffers(), strict=True):
            averaged.copy_(current)

    @property
    def module(self) -> nn.Module:
        """The network with the averaged weights, in evaluation mode."""
        if self.behind is not None:
            weights = [parameter.detach() for parameter in self.behind.parameters()]
            torch._foreach_copy_(list(self.averaged.parameters()), weights)
            self.behind = None
        return self.averaged


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _optimizer(module: nn.Module, choice: OptimizerChoice, accelerator: Accelerator) -> Optimizer:
    if choice.kind == "rmsprop":
        return RMSprop(module.parameters(), lr=choice.lr)
    fused = accelerator.device.type in ("cpu", "cuda")
    if choice.kind == "muon":
        return Muon(module, choice.lr, choice.betas, fused)
    return DenseAdam(module.parameters(), lr=choice.lr, betas=choice.betas, fused=fused)
