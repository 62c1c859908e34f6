"""What validation measures and draws, for each training method.

On frozen batches, of the averaged weights and of the task's trivial answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.data.sample import Batch
from img2img.diagnostics.vitals import noise_signs, vital_signs
from img2img.losses.kid import kid_of_sets
from img2img.pixels.psnr import psnr_db
from img2img.pixels.sheets import grid_sheet, rows_sheet
from img2img.tasks.autoencoder import AutoencoderTask
from img2img.tasks.base import SheetRow
from img2img.tasks.baseline import trivial_answers
from img2img.tasks.forward import predict_rgb
from img2img.tasks.generate import sliced_wasserstein
from img2img.tasks.unpaired import UnpairedTask
from img2img.training.autoencode import AutoencoderStep, decode_codes
from img2img.training.cycle import INTO, OTHER, CycleStep, Sides, sides
from img2img.training.step import TrainingStep

SHEET_COLUMNS = 10
KID_IMAGES, KID_PX = 100, 24  # KID of fewer or smaller images says nothing

AnyStep = TypeVar("AnyStep", bound=TrainingStep)


class MeasuredAnswer(NamedTuple):
    """Images for a validated batch, RGB, and their metrics."""

    rgb: Tensor
    metrics: dict[str, float]


class MethodMetrics(Generic[AnyStep]):
    """The task's own metrics and sheet: results are compared with a target, or with sets."""

    def __init__(self, step: AnyStep) -> None:
        self.step, self.task, self.recipe = step, step.task, step.recipe

    @property
    def has_truth(self) -> bool:
        """A target is the answer to its condition; else targets are examples of answers."""
        return not self.task.condition_is_noise

    def metrics(self, batch: Batch, rgb: Tensor, strength: float) -> dict[str, float]:
        """Metrics of what the averaged weights generated (strength 1), or of a trivial answer."""
        return dict(self.task.metrics(rgb, batch))

    def trivial(self, batch: Batch, mean: Tensor | None) -> dict[str, MeasuredAnswer]:
        """The task's trivial answers to a batch; `mean` is the mean training target."""
        found = trivial_answers(self.task, batch.condition, batch.mask, mean)
        return {
            name: MeasuredAnswer(rgb, self.metrics(batch, rgb, strength=0.0))
            for name, rgb in found.items()
        }

    def sheet(self, rows: Sequence[SheetRow]) -> np.ndarray:
        """A picture of validated rows, (H,W,3) in [0,1]."""
        return self.task.sheet(rows, self.step.score_function)

    def vitals(self, rows: Sequence[SheetRow]) -> dict[str, float]:
        """Vital signs of validated outputs, for the doctor."""
        outputs, targets = [rgb for _, _, rgb in rows], [batch.target for batch, _, _ in rows]
        if not self.has_truth:
            return noise_signs(outputs, targets)
        return vital_signs([batch.condition for batch, _, _ in rows], outputs, targets)


class CycleMetrics(MethodMetrics[CycleStep]):
    """PSNR of cycles, and of B → A where the task knows the true side A."""

    has_truth = False

    def metrics(self, batch: Batch, rgb: Tensor, strength: float) -> dict[str, float]:
        """PSNR of A → B → A and of B → A → B; of B → A too where its truth is known.

        Cycles alone prove nothing: two generators that do nothing close them perfectly.
        """
        real, fake, back = self._there_and_back(batch, strength)
        found, truth = {}, self._side_a_of(real["B"])
        if truth is not None:
            found["BtoA_psnr_db"] = psnr_db(fake["A"] if strength else real["B"], truth)
        return found | {f"cycle_{side}_psnr_db": psnr_db(back[side], real[side]) for side in real}

    def _side_a_of(self, photo: Tensor) -> Tensor | None:
        """What side A shows of side B's photo, where the task knows that."""
        assert isinstance(self.task, UnpairedTask), "no other task is taken"
        return self.task.other_side(photo)

    def trivial(self, batch: Batch, mean: Tensor | None) -> dict[str, MeasuredAnswer]:
        """Answers to B → A, where that is known; only mid-grey's cycles count, for the input copied
        closes them all.
        """
        photo = sides(batch)["B"]
        truth = self._side_a_of(photo)
        found = {
            name: MeasuredAnswer(
                rgb, {} if truth is None else {"BtoA_psnr_db": psnr_db(rgb, truth)}
            )
            for name, rgb in trivial_answers(self.task, photo).items()
        }
        own, cycles = found[self.task.zeros_are], self.metrics(batch, batch.target, strength=0.0)
        return found | {self.task.zeros_are: MeasuredAnswer(own.rgb, cycles | own.metrics)}

    @torch.inference_mode()
    def sheet(self, rows: Sequence[SheetRow]) -> np.ndarray:
        """A row a sample: A, A → B, A → B → A, then B, B → A, B → A → B."""
        cells = []
        for batch, _, _ in rows:
            real, fake, back = self._there_and_back(batch, 1.0)
            cells.append([real["A"], fake["B"], back["A"], real["B"], fake["A"], back["B"]])
        return rows_sheet(cells)

    def _there_and_back(self, batch: Batch, strength: float) -> tuple[Sides, Sides, Sides]:
        """Both real sides, their translations by the averaged weights, and the way back."""

        def translated(images: Sides) -> Sides:
            found: Sides = {}
            for side in images:
                network = partial(self.step.ema.module, direction=INTO[side])
                multiple_of, image = self.recipe.generator.multiple_of, images[OTHER[side]]
                found[side] = predict_rgb(self.task, network, multiple_of, image, strength)
            return found

        real = sides(batch)
        fake = translated(real)
        return real, fake, translated(fake)


class AutoencoderMetrics(MethodMetrics[AutoencoderStep]):
    """Reconstructions, and images of codes drawn from the prior."""

    def metrics(self, batch: Batch, rgb: Tensor, strength: float) -> dict[str, float]:
        """How near and how sharp reconstructions are, and how like real images draws from the prior
        are.
        """
        numbers = super().metrics(batch, rgb, strength)
        numbers["sharpness_gap"] = sharpness_gap(rgb, batch.target)
        if self.recipe.has_prior:
            drawn = self._drawn(batch) if strength else rgb  # a trivial answer draws nothing else
            if len(batch.target) >= KID_IMAGES and min(batch.target.shape[-2:]) >= KID_PX:
                kid = kid_of_sets(drawn, batch.target)  # None without its network
                numbers |= {} if kid is None else {"prior_kid": kid}
            numbers["prior_sliced_wasserstein"] = sliced_wasserstein(
                drawn.flatten(1), batch.target.flatten(1)
            )
            numbers["prior_sharpness_gap"] = sharpness_gap(drawn, batch.target)
        return numbers

    def sheet(self, rows: Sequence[SheetRow]) -> np.ndarray:
        """A row of originals, one of damaged inputs where they differ, one of reconstructions, and
        three of draws from the prior.
        """
        batch, _, reconstructed = rows[0]
        channels = self.step.generator.module.channels
        seen = batch.condition[:, :channels].clamp(0, 1).expand(-1, 3, -1, -1)
        damaged = [] if torch.equal(seen, batch.target) else [seen]
        parts = [x[:SHEET_COLUMNS] for x in (batch.target, *damaged, reconstructed)]
        if self.recipe.has_prior:
            parts.append(self._drawn(batch)[: 3 * SHEET_COLUMNS])
        filled = [F.pad(x, (0, 0) * 3 + (0, -len(x) % SHEET_COLUMNS), value=1.0) for x in parts]
        return grid_sheet(F.interpolate(torch.cat(filled), scale_factor=2), SHEET_COLUMNS)

    @torch.inference_mode()
    def _drawn(self, batch: Batch) -> Tensor:
        """Images of the prior by the averaged weights, of the same draws at every validation, with
        the batch's labels.
        """
        assert isinstance(self.task, AutoencoderTask)
        chance = torch.Generator().manual_seed(self.recipe.seed)
        code = torch.randn(len(batch), self.task.bottleneck.latent, generator=chance)
        return decode_codes(self.step, self.step.ema.module, code.to(batch.condition.device), batch)


def sharpness_gap(fake: Tensor, real: Tensor) -> float:
    """How far the differences of neighbouring pixels are from those of real images, as a share: 0
    as sharp, 1 one grey; noise is no better than blur."""
    fake_steps, real_steps = (
        x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean()
        for x in (fake.float(), real.float())
    )
    return float(abs(1 - fake_steps / real_steps))
