"""CycleGAN: unpaired translation both ways at once (Zhu et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from kornia.metrics import psnr
from torch import Tensor, nn

from img2img.data.sample import Batch
from img2img.losses.reconstruction import PictureLoss
from img2img.pixels.sheets import rows_sheet
from img2img.tasks.base import Row
from img2img.tasks.baseline import trivial_answers
from img2img.tasks.forward import predict_rgb
from img2img.tasks.unpaired import Direction
from img2img.training.discriminator import DiscriminatorTrainer, Shown
from img2img.training.step import Answer, GradientNormProbe, Parts, TrainingStep

Sides = dict[str, Tensor]  # "A" and "B": RGB (B,3,H,W) in [0,1]
INTO: dict[str, Direction] = {"A": "BtoA", "B": "AtoB"}  # the way that ends at a side
OTHER = {"A": "B", "B": "A"}
WATCHED = ("d_loss", "d_accuracy")  # logged for each critic, besides the mean of both


class CycleStep(TrainingStep[Sides]):
    """Two generators G: A → B and F: B → A, each against a critic of the side it makes.

    L = L_GAN(G, D_B) + L_GAN(F, D_A) + λ·(|F(G(a)) - a| + |G(F(b)) - b|) + λ_id·(|F(a) - a| + |G(b)
    - b|), equation 3 and section 5.2. The λ are the weights of the recipe's losses.
    """

    def _critics(self) -> dict[str, DiscriminatorTrainer]:
        return {"critic_B": self._new_critic(), "critic_A": self._new_critic()}

    def _make(self, batch: Batch) -> Sides:
        """The fakes: F(b) in the place of A, G(a) in the place of B."""
        real = _sides(batch)
        return {side: self._into(side, real[OTHER[side]]) for side in real}

    def _critics_learn(self, batches: Sequence[Batch], made: Sequence[Sides]) -> dict[str, float]:
        values: dict[str, float] = {}
        for side in INTO:
            turns = [
                (Shown(_sides(b)[side]), Shown(m[side])) for b, m in zip(batches, made, strict=True)
            ]
            own = self.critics[f"critic_{side}"].learn(turns)
            values |= {f"{name}_{side}": own[name] for name in WATCHED}
            values |= {
                name: values.get(name, 0.0) + value / len(INTO) for name, value in own.items()
            }
        return values

    def _losses(self, batch: Batch, made: Sides, heard: GradientNormProbe | None) -> Parts:
        real, parts = _sides(batch), self._again(_sides(batch), made)
        if heard and self.recipe.adversarial:
            adversarial = [
                self.critics[f"critic_{side}"].g_loss(
                    Shown(real[side]), Shown(heard.fork(made[side]))
                )
                for side in real
            ]
            parts["adversarial"] = (self.recipe.adversarial.weight, torch.stack(adversarial).sum())
        return parts

    def _again(self, real: Sides, made: Sides) -> Parts:
        """Both sides after a full cycle, and after the generator that ends where they already are."""
        losses = [
            loss for loss in self.recipe.losses if isinstance(loss, PictureLoss)
        ]  # others are refused
        asked, parts = {loss.of for loss in losses}, Parts()
        back = (
            {side: self._into(side, made[OTHER[side]]) for side in real} if "cycle" in asked else {}
        )
        same = {side: self._into(side, real[side]) for side in real} if "identity" in asked else {}
        with self.accelerator.autocast():
            for index, loss in enumerate(losses):
                again = back if loss.of == "cycle" else same
                values = [loss(again[side], real[side], None) for side in real]
                name = loss.of if loss.of not in parts else f"{index}_{loss.of}"
                parts[name] = (loss.weight, torch.stack(values).sum())
        return parts

    def _into(self, side: str, picture: Tensor) -> Tensor:
        """A picture translated, so that it belongs to `side`."""
        return self.task.decode(picture, self.player.network(picture, INTO[side]).float())

    def _networks(self) -> Iterable[nn.Module]:
        return self.generator.children()

    # --- validation

    def metrics(self, batch: Batch, rgb: Tensor, strength: float) -> dict[str, float]:
        """PSNR of A → B → A and of B → A → B; of B → A too where the task knows what that should
        be.

        Cycles alone prove nothing: two generators that do nothing close them perfectly.
        """
        real, made, back = self._there_and_back(batch, strength)
        truth = self.task.other_side(real["B"])
        known = (
            {}
            if truth is None
            else {"BtoA_psnr_db": _psnr(made["A"] if strength else real["B"], truth)}
        )
        return known | {f"cycle_{side}_psnr_db": _psnr(back[side], real[side]) for side in real}

    def trivial(self, batch: Batch, mean: Tensor | None) -> dict[str, Answer]:
        """Answers to B → A, where that is known; only mid-grey's cycles count, for the input copied
        closes them all.
        """
        real = _sides(batch)
        truth = self.task.other_side(real["B"])
        found = {
            name: Answer(rgb, {} if truth is None else {"BtoA_psnr_db": _psnr(rgb, truth)})
            for name, rgb in trivial_answers(self.task, real["B"]).items()
        }
        own, cycles = found[self.task.zeros_are], self.metrics(batch, batch.target, strength=0.0)
        return found | {self.task.zeros_are: Answer(own.rgb, cycles | own.metrics)}

    @torch.inference_mode()
    def sheet(self, rows: Sequence[Row]) -> np.ndarray:
        """A row a sample: A, A → B, A → B → A, then B, B → A, B → A → B."""
        cells = []
        for batch, _, _ in rows:
            real, made, back = self._there_and_back(batch, 1.0)
            cells.append([real["A"], made["B"], back["A"], real["B"], made["A"], back["B"]])
        return rows_sheet(cells)

    def _there_and_back(self, batch: Batch, strength: float) -> tuple[Sides, Sides, Sides]:
        """Both sides, what the averaged weights make of them, and the way back from there."""
        real = _sides(batch)
        made = {side: self._average_into(side, real[OTHER[side]], strength) for side in real}
        return (
            real,
            made,
            {side: self._average_into(side, made[OTHER[side]], strength) for side in real},
        )

    def _average_into(self, side: str, picture: Tensor, strength: float) -> Tensor:
        def network(x: Tensor) -> Tensor:
            return self.ema(x, INTO[side])

        return predict_rgb(self.task, network, self.recipe.generator.multiple_of, picture, strength)


def _sides(batch: Batch) -> Sides:
    return {"A": batch.condition, "B": batch.target}


def _psnr(made: Tensor, real: Tensor) -> float:
    return float(psnr(made.float().clamp(0, 1), real.float(), 1.0))
