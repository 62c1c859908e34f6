"""A network that learns: with its optimizer, on the run's device, in its precision and across its
processes.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Adam, Optimizer, RMSprop

from img2img.errors import TrainingError
from img2img.models.blocks import channels_last
from img2img.recipe import OptimizerChoice
from img2img.training.checkpoint import optimizer_tensors, restore_optimizer
from img2img.training.muon import Muon
from img2img.training.processes import reduce_gradients


class OptimizedModule:
    """One side of the game."""

    def __init__(
        self,
        network: nn.Module,
        choice: OptimizerChoice,
        accelerator: Accelerator,
        clip_norm: float | None = None,
    ) -> None:
        self.accelerator, self.choice, self.clip_norm = accelerator, choice, clip_norm
        self.bare = channels_last(network.to(accelerator.device))
        self.plain: Any = (
            self.bare.forward
        )  # before Accelerate wraps it in autocast: penalties run in fp32
        # "Evaluation" keeps Accelerate's wrapper of several processes away: gradients are reduced
        # in `update`.
        self.network = accelerator.prepare_model(self.bare, evaluation_mode=True)
        self.optimizer = accelerator.prepare_optimizer(_optimizer(self.bare, choice, accelerator))
        self.loss = 0.0  # since the last step

    @property
    def unwrapped(self) -> nn.Module:
        """The network without a wrapper of Accelerate's."""
        return self.accelerator.unwrap_model(self.network)

    def set_rate(self, factor: float) -> None:
        """The learning rate of this step, as a part of the recipe's."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.choice.lr * factor

    def backward(self, loss: Tensor, parts: int = 1) -> float:
        """Add a part's gradients to those of the step; returns its share of the loss."""
        share = float(loss.detach()) / parts
        self.loss += share
        if math.isfinite(share):  # else `update` ends the run, in all processes at once
            self.accelerator.backward(loss / parts)
        return share

    def update(self) -> float:
        """The optimizer's step on the gradients of all processes; returns their norm before
        clipping.

        Raises TrainingError for NaN, before it reaches the weights.
        """
        loss, self.loss = reduce_gradients(self.bare.parameters(), self.loss, self.accelerator), 0.0
        if not math.isfinite(loss):
            raise TrainingError("the loss is not a number any more (NaN or infinite)")
        limit = self.clip_norm if self.clip_norm is not None else float("inf")
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), limit))
        if not math.isfinite(norm):
            raise TrainingError("a gradient is not a number any more (NaN or infinite)")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Weights and the optimizer's state, as named tensors."""
        weights = {f"network.{name}": value for name, value in self.unwrapped.state_dict().items()}
        return weights | optimizer_tensors(self.optimizer, "optimizer.")

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up a run from what `state` gave."""
        own = {
            n.removeprefix("network."): v for n, v in tensors.items() if n.startswith("network.")
        }
        self.unwrapped.load_state_dict(own)
        restore_optimizer(
            getattr(self.optimizer, "optimizer", self.optimizer), tensors, "optimizer."
        )


class Ema:
    """The weights that are shipped: an exponential moving average over images, ramped up from zero."""

    def __init__(self, network: nn.Module, halflife_images: float) -> None:
        self.network = channels_last(copy.deepcopy(network).eval().requires_grad_(False))
        self.halflife_images = halflife_images

    def follow(self, source: nn.Module, images: int, number: int) -> None:
        """Take in the weights after a step of `images`; buffers are copied."""
        decay = 0.5 ** (images / self.halflife_images) if self.halflife_images else 0.0
        decay = min(decay, (1 + number) / (10 + number))
        torch._foreach_lerp_(
            list(self.network.parameters()), [p.detach() for p in source.parameters()], 1 - decay
        )
        for mine, theirs in zip(self.network.buffers(), source.buffers(), strict=True):
            mine.copy_(theirs)


def _optimizer(network: nn.Module, choice: OptimizerChoice, accelerator: Accelerator) -> Optimizer:
    if choice.kind == "rmsprop":
        return RMSprop(network.parameters(), lr=choice.lr)
    fused = accelerator.device.type in ("cpu", "cuda")
    if choice.kind == "muon":
        return Muon(network, choice.lr, choice.betas, fused)
    return Adam(network.parameters(), lr=choice.lr, betas=choice.betas, fused=fused)
