"""Training steps, one class a family of methods, each reading like its paper."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from img2img.data.sample import Batch
from img2img.models.blocks import channels_last
from img2img.pixels.colour import resize
from img2img.recipe import Recipe
from img2img.training.checkpoint import optimizer_tensors, restore_optimizer
from img2img.training.schedule import learning_rate_factor


class TrainingError(Exception):
    """The run cannot go on (NaN); what was saved is good."""


class PairedStep:
    """Conditional GAN on pairs (pix2pix and everything after it); without a discriminator, plain regression."""

    def __init__(self, recipe: Recipe, accelerator: Accelerator) -> None:
        self.recipe, self.accelerator, self.task = recipe, accelerator, recipe.task
        generator = recipe.generator.build(recipe.task)
        self.ema = copy.deepcopy(generator).eval().requires_grad_(False)
        self.objective = recipe.adversarial.build() if recipe.adversarial else None
        self.generator, self.g_optimizer = self._ready(generator, recipe.train.lr, recipe.train.betas)
        self.ema = channels_last(self.ema.to(accelerator.device))
        self.discriminator: nn.Module | None = None
        if recipe.discriminator and recipe.adversarial:
            a = recipe.adversarial
            channels = 3 + recipe.task.condition_channels * ("condition" in a.sees) + ("mask" in a.sees)
            network = recipe.discriminator.build(channels)
            self.discriminator, self.d_optimizer = self._ready(network, a.lr or recipe.train.lr, a.betas)

    def start_from(self, weights: dict[str, Tensor] | None) -> None:
        """Begin with given generator weights (fine-tuning), or with what the network's own config starts from."""
        generator = self.accelerator.unwrap_model(self.generator)
        if weights is None:
            self.recipe.generator.start(generator)
        else:
            generator.load_state_dict(weights)
        self.ema.load_state_dict(generator.state_dict())

    def step(self, micro_batches: Sequence[Batch], number: int) -> dict[str, float]:
        """One optimizer step of each player whose turn it is; returns losses and gradient norms by name."""
        self.generator.train()
        self._set_rates(number)
        made = [self._make(batch) for batch in micro_batches] if self._g_learns(number) else None
        values: dict[str, float] = {}
        if self._d_learns(number):
            values |= self._discriminator_step(micro_batches, made)
        if made is not None:
            values |= self._generator_step(micro_batches, made, joint=self._d_learns(number))
            self._average(number)
        return values

    def _discriminator_step(self, batches: Sequence[Batch], made: list[Tensor] | None) -> dict[str, float]:
        assert self.discriminator is not None and self.objective is not None and self.recipe.adversarial is not None
        self.discriminator.requires_grad_(True).train()
        total = 0.0
        for batch, last in _with_last(range(len(batches))):
            fake = made[batch].detach() if made is not None else self._make_quietly(batches[batch])
            with self._sync(self.discriminator, last):
                real_logits = self._judge(self.discriminator, batches[batch], batches[batch].target)
                fake_logits = self._judge(self.discriminator, batches[batch], fake)
                loss = self.objective.d_loss(real_logits, fake_logits) * self.recipe.adversarial.d_loss_weight
                total += self._backward(loss, len(batches))
        return {"d_loss": total, "d_grad_norm": self._update(self.discriminator, self.d_optimizer)}

    def _generator_step(self, batches: Sequence[Batch], made: list[Tensor], joint: bool) -> dict[str, float]:
        values: dict[str, float] = {}
        for place, last in _with_last(range(len(batches))):
            batch, rgb = batches[place], made[place]
            with self._sync(self.generator, last):
                parts = self._reconstruction(batch, rgb)
                if joint:
                    parts["adversarial"] = self._adversarial(batch, rgb)
                loss = torch.stack([weight * value for weight, value in parts.values()]).sum()
                total = self._backward(loss, len(batches))
            for name, (_, value) in parts.items():
                values[name] = values.get(name, 0.0) + float(value.detach()) / len(batches)
            values["g_loss"] = values.get("g_loss", 0.0) + total
        values["g_grad_norm"] = self._update(self.generator, self.g_optimizer)
        return values

    def _reconstruction(self, batch: Batch, rgb: Tensor) -> dict[str, tuple[float, Tensor]]:
        with self.accelerator.autocast():
            return {
                f"{loss.kind}" if len(self.recipe.losses) == 1 else f"{index}_{loss.kind}": (
                    loss.weight,
                    loss(rgb, batch.target, batch.mask, batch.local_centre),
                )
                for index, loss in enumerate(self.recipe.losses)
            }

    def _adversarial(self, batch: Batch, rgb: Tensor) -> tuple[float, Tensor]:
        assert self.discriminator is not None and self.objective is not None and self.recipe.adversarial is not None
        # Through the bare network, frozen: DDP's hooks must not count this pass as one of D's own.
        judge = self.accelerator.unwrap_model(self.discriminator).requires_grad_(False)
        return self.recipe.adversarial.weight, self.objective.g_loss(None, self._judge(judge, batch, rgb))

    def _judge(self, discriminator: nn.Module, batch: Batch, picture: Tensor) -> Tensor:
        """Logits (fp32) of a picture beside what the recipe lets the discriminator see."""
        assert self.recipe.adversarial is not None
        seen = [picture]
        if "condition" in self.recipe.adversarial.sees:
            seen.append(resize(batch.condition, (picture.shape[-2], picture.shape[-1])))
        if "mask" in self.recipe.adversarial.sees and batch.mask is not None:
            seen.append(batch.mask)
        joined = torch.cat(seen, 1).contiguous(memory_format=torch.channels_last)
        return discriminator(joined, batch.local_centre).float()

    def _make(self, batch: Batch) -> Tensor:
        return self.task.decode(batch.condition, self.generator(batch.condition).float(), batch.mask)

    def _make_quietly(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            return self._make(batch)

    def _backward(self, loss: Tensor, parts: int) -> float:
        """Refuse NaN before it reaches the weights."""
        value = float(loss.detach())
        if value != value or value in (float("inf"), float("-inf")):
            raise TrainingError("the loss is not a number any more (NaN or infinite)")
        self.accelerator.backward(loss / parts)
        return value / parts

    def _update(self, module: nn.Module, optimizer: Optimizer) -> float:
        limit = self.recipe.train.clip_norm
        norm = float(nn.utils.clip_grad_norm_(module.parameters(), limit if limit is not None else float("inf")))
        if norm != norm or norm == float("inf"):
            raise TrainingError("a gradient is not a number any more (NaN or infinite)")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return norm

    def _average(self, number: int) -> None:
        """Exponential moving average over images, ramped up from zero; buffers are copied."""
        train = self.recipe.train
        images = train.batch_size * train.accumulate * self.accelerator.num_processes
        decay = 0.5 ** (images / train.ema_halflife_images) if train.ema_halflife_images else 0.0
        decay = min(decay, (1 + number) / (10 + number))
        source = self.accelerator.unwrap_model(self.generator)
        torch._foreach_lerp_(list(self.ema.parameters()), [p.detach() for p in source.parameters()], 1 - decay)
        for mine, theirs in zip(self.ema.buffers(), source.buffers(), strict=True):
            mine.copy_(theirs)

    def _d_learns(self, number: int) -> bool:
        a = self.recipe.adversarial
        return a is not None and number >= a.turns(self.recipe.train.steps)[0]

    def _g_learns(self, number: int) -> bool:
        """All the time but for the steps in which the discriminator learns alone (GLCIC's second phase)."""
        a = self.recipe.adversarial
        if a is None:
            return True
        d_starts, both_start = a.turns(self.recipe.train.steps)
        return not d_starts <= number < both_start

    def _set_rates(self, number: int) -> None:
        train, a = self.recipe.train, self.recipe.adversarial
        factor = learning_rate_factor(train, number)
        _set_rate(self.g_optimizer, train.lr * factor)
        if self.discriminator is not None and a is not None:
            _set_rate(self.d_optimizer, (a.lr or train.lr) * factor)

    def _ready(self, network: nn.Module, lr: float, betas: tuple[float, float]) -> tuple[nn.Module, Optimizer]:
        network = channels_last(network.to(self.accelerator.device))
        optimizer = Adam(
            network.parameters(), lr=lr, betas=betas, fused=self.accelerator.device.type in ("cpu", "cuda")
        )
        return self.accelerator.prepare(network, optimizer)

    @contextmanager
    def _sync(self, module: nn.Module, last: bool) -> Iterator[None]:
        """Processes exchange gradients only with the last of accumulated batches."""
        if last:
            yield
        else:
            with self.accelerator.no_sync(module):
                yield

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = _named("generator.", self.accelerator.unwrap_model(self.generator)) | _named("ema.", self.ema)
        tensors |= optimizer_tensors(self.g_optimizer, "g_optimizer.")
        if self.discriminator is not None and self.objective is not None:
            tensors |= _named("discriminator.", self.accelerator.unwrap_model(self.discriminator))
            tensors |= optimizer_tensors(self.d_optimizer, "d_optimizer.")
            tensors |= {f"objective.{name}": value for name, value in self.objective.state_dict().items()}
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up a run from what `state` gave."""
        _load("generator.", self.accelerator.unwrap_model(self.generator), tensors)
        _load("ema.", self.ema, tensors)
        restore_optimizer(_inner(self.g_optimizer), tensors, "g_optimizer.")
        if self.discriminator is not None and self.objective is not None:
            _load("discriminator.", self.accelerator.unwrap_model(self.discriminator), tensors)
            restore_optimizer(_inner(self.d_optimizer), tensors, "d_optimizer.")
            self.objective.load_state_dict(_under("objective.", tensors))


def _inner(optimizer: Any) -> Optimizer:
    """The torch optimizer inside Accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


def _set_rate(optimizer: Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def _named(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in module.state_dict().items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _load(prefix: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    module.load_state_dict(_under(prefix, tensors))


def _with_last(places: Iterable[int]) -> Iterator[tuple[int, bool]]:
    known = list(places)
    for place in known:
        yield place, place == known[-1]
