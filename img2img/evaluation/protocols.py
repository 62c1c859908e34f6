"""The protocols of the built-in tasks, and the default of any other: the cases made of a photo, the
baselines, and the numbers reported.

Randomness is frozen per photo (its place in the folder) and setting, so all models meet the same
noise and holes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from img2img.data.sample import PairSample, PhotoSample, Sample, as_picture, as_tensor, sample_rng
from img2img.errors import UserError
from img2img.evaluation import baselines, metrics
from img2img.evaluation.case import Case, Method, as_8_bit
from img2img.evaluation.metrics import PERCEPTUAL_METRICS, Column
from img2img.evaluation.ours import in_a_row
from img2img.evaluation.peers import Peer, denoisers, enlargers, fills
from img2img.evaluation.protocol import Protocol, Scores, mean
from img2img.pixels import degrade, masks
from img2img.pixels.augment import Augment
from img2img.pixels.color import downscale, from_lab, luminance
from img2img.pixels.print_damage import damaged_print
from img2img.tasks.base import COPIED
from img2img.tasks.degradation import Degradation
from img2img.tasks.photo import PhotoTask
from img2img.tasks.translate import Translate
from img2img.tasks.unpaired import UnpairedTask
from img2img.zoo.catalogue import CATALOGUE

SEED = 0

_PSNR = Column("PSNR dB", "higher", 2)
_Y_PSNR, _Y_SSIM = Column("Y-PSNR dB", "higher", 2), Column("Y-SSIM", "higher", 4)
_SSIM = Column("SSIM", "higher", 4)
_F1 = Column("F1", "higher", 3)
_HOLE_L1 = Column("hole L1", "lower", 4)
_CIEDE = Column("CIEDE2000", "lower", 2)
# Fields of report.json and photos.csv keep the spelling that they began with.
_RATIO = Column("colour ratio", None, 2)
_NEUTRAL_SHIFT = Column("neutral shift a*b*", "lower", 2)
_STRAY_RATIO = Column("stray edge ratio", "lower", 2)
_STRAY, _TRUE_STRAY = "stray edges", "stray edges of the truth"
_COLORFULNESS, _TRUE_COLORFULNESS = "colourfulness", "colourfulness of the truth"
_KID = Column("KID", "lower", 3)


class DenoiseProtocol(Protocol):
    """Gaussian noise of σ 15, 25 and 50, the levels of the literature."""

    statement = (
        "additive Gaussian noise, σ on the 0–255 scale, one draw per photo from a fixed seed, not "
        "clipped; results clipped and rounded to 8 bits; PSNR over RGB; OpenCV's non-local means "
        "is told σ"
    )
    own_columns = (_PSNR,)
    ranked_by = _PSNR
    called = MappingProxyType({COPIED: "noisy"})
    sigmas_255: ClassVar[tuple[int, ...]] = (15, 25, 50)

    def baselines(self) -> dict[str, Method]:
        return {"non-local means": baselines.classic("non_local_means")}

    def peers(self) -> tuple[Peer, ...]:
        return denoisers()

    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        truth = _photo(sample)
        for sigma in self.sigmas_255:
            noisy = degrade.gaussian_noise(
                as_picture(truth), sigma, sample_rng(SEED, 0, sample.number)
            )
            yield Case(photo, f"σ {sigma}", as_tensor(noisy), truth, sigma_255=sigma)

    def measure(self, case: Case, rgb: Tensor) -> Scores:
        return {_PSNR.name: metrics.psnr_db(rgb, case.truth)}


class FoundPhotoProtocol(DenoiseProtocol):
    """The damage of a cheap camera or a scanner, for models of photos as they are found."""

    statement = (
        "blur of 0.2–0.8 px (half of the photos), shot noise of 60–600 photons at white (70 %), "
        "correlated noise of σ 2–25, all noise alike in all channels (40 %), JPEG of quality 40–95 "
        "(80 %), drawn per photo from a fixed seed; results clipped and rounded to 8 bits; PSNR "
        "over RGB; OpenCV's non-local means is told the RMS of the damage"
    )

    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        truth = _photo(sample)
        damaged = as_tensor(degrade.camera(as_picture(truth), sample_rng(SEED, 1, sample.number)))
        yield Case(
            photo,
            "camera",
            damaged,
            truth,
            sigma_255=255 * float((damaged - truth).square().mean().sqrt()),
        )


class SuperResolveProtocol(Protocol):
    """Bicubic reduction, luma PSNR and SSIM."""

    statement = (
        "photos cut to a multiple of the scale, reduced by antialiased bicubic and rounded to 8 "
        "bits; results rounded to 8 bits; PSNR and SSIM on Y (BT.601 studio range) without a "
        "border of `scale` pixels; grey photos as 3 channels"
    )
    own_columns = (_Y_PSNR, _Y_SSIM)
    called = MappingProxyType({"bicubic enlargement": "bicubic"})
    ranked_by = _Y_PSNR
    reports_perceptual = True

    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        truth, scale = _photo(sample), self.task.scale
        height, width = (n - n % scale for n in truth.shape[-2:])
        truth = truth[..., :height, :width].contiguous()
        yield Case(photo, f"×{scale}", as_8_bit(downscale(truth, scale)), truth)

    def peers(self) -> tuple[Peer, ...]:
        return enlargers(self.task.scale)

    def measure(self, case: Case, rgb: Tensor) -> Scores:
        psnr, ssim = metrics.y_psnr_ssim(rgb, case.truth, case.scale)
        return {_Y_PSNR.name: psnr, _Y_SSIM.name: ssim}


class FoundEnlargementProtocol(SuperResolveProtocol):
    """Small photos as they are found, for models that learned from such."""

    statement = (
        "photos cut to a multiple of the scale and damaged from a fixed seed per photo as "
        "published for Real-ESRGAN (two rounds of blur, resizing, noise and JPEG, a low pass and "
        "JPEG), reduced by the scale on the way and rounded to 8 bits; results rounded to 8 bits; "
        "PSNR and SSIM on Y (BT.601 studio range) without a border of `scale` pixels"
    )
    ranked_by = Column(PERCEPTUAL_METRICS["stlpips_alex"], "lower", 4)

    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        for case in super().cases(photo, sample):
            rng = sample_rng(SEED, 3, sample.number)
            small = Degradation()(as_picture(case.truth), rng, self.task.scale)
            yield replace(case, given=as_8_bit(as_tensor(small)))

    def baselines(self) -> dict[str, Method]:
        """What was shipped before: damage taken away, then enlarged."""
        first = CATALOGUE.default("denoise", found_photo=True)
        then = CATALOGUE.default("super-resolve", self.task.scale)
        return {f"{first.name}, {then.name}": in_a_row(first, then, device=str(self.device))}


class InpaintProtocol(Protocol):
    """Free-form holes of three sizes."""

    statement = (
        "256×256 center crops (smaller photos as far as they reach); free-form masks from a fixed "
        "seed per photo and range, 10–20, 20–30 and 30–40 % of the pixels missing and given to "
        "nobody; results rounded to 8 bits; L1 in the hole (0–1), the rest over the whole crop; "
        "Telea and Navier–Stokes by OpenCV, biharmonic by scikit-image"
    )
    own_columns = (_HOLE_L1, _PSNR, _SSIM)
    ranked_by = _PSNR
    reports_perceptual = True
    crop_px: ClassVar[int] = 256
    hole_shares: ClassVar[tuple[tuple[float, float], ...]] = ((0.1, 0.2), (0.2, 0.3), (0.3, 0.4))

    def baselines(self) -> dict[str, Method]:
        return {
            "Telea": baselines.classic("telea"),
            "Navier–Stokes": baselines.classic("navier_stokes"),
            "biharmonic": baselines.classic("biharmonic"),
        }

    def peers(self) -> tuple[Peer, ...]:
        return fills()

    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        truth = _center(_photo(sample), self.crop_px)
        for index, share in enumerate(self.hole_shares):
            rng = sample_rng(SEED, 1 + index, sample.number)
            hole = masks.free_form((truth.shape[-2], truth.shape[-1]), rng, share)
            mask = as_tensor(hole.astype(np.float32))
            yield Case(
                photo,
                f"{100 * share[0]:.0f}–{100 * share[1]:.0f} %",
                truth * (1 - mask),
                truth,
                mask,
            )

    def measure(self, case: Case, rgb: Tensor) -> Scores:
        assert case.mask is not None
        return {
            _HOLE_L1.name: metrics.hole_l1(rgb, case.truth, case.mask),
            _PSNR.name: metrics.psnr_db(rgb, case.truth),
            _SSIM.name: metrics.ssim(rgb, case.truth),
        }


class RepairProtocol(Protocol):
    """Damage drawn on a photo: what of it is found, and how well that is filled."""

    statement = (
        "640×640 center crops (smaller photos as far as they reach) made old prints (tone, grain), "
        "then damaged (scratches, hairs, dust, cracks, folds, torn corners and blotches, a thin "
        "scratch being 0.8–2 px wide), then scanned (blur, JPEG), from a fixed seed per photo; "
        "results rounded to 8 bits; PSNR over RGB against the print before; F1 at 1 px between the "
        "damage and the pixels that a method changes; found pixels are filled by the shipped model "
        "that fills"
    )
    own_columns = (_F1, _PSNR)
    ranked_by = _PSNR
    reports_perceptual = True
    reports_niqe = False  # grain belongs to the prints
    crop_px: ClassVar[int] = 640
    unit_px: ClassVar[tuple[float, float]] = (0.8, 2.0)

    def __init__(self, task: PhotoTask, crop: Augment, device: torch.device | str = "cpu") -> None:
        super().__init__(task, crop, device)
        self.damage: dict[str, np.ndarray] = {}

    def baselines(self) -> dict[str, Method]:
        return {"median 5×5": baselines.classic("median")}

    def trivial(self, case: Case) -> dict[str, Tensor]:
        return {"the damaged print": case.given}

    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        rgb = as_picture(_center(_photo(sample), self.crop_px))
        worn = damaged_print(rgb, sample_rng(SEED, 2, sample.number), self.unit_px)
        self.damage[photo] = worn.mask
        yield Case(photo, "", as_8_bit(as_tensor(worn.damaged)), as_8_bit(as_tensor(worn.truth)))

    def measure(self, case: Case, rgb: Tensor) -> Scores:
        changed = (rgb != case.given).any(1)[0].numpy()
        return {
            _F1.name: masks.f1(changed, self.damage[case.photo]),
            _PSNR.name: metrics.psnr_db(rgb, case.truth),
        }


class ColorizeProtocol(Protocol):
    """Grey in, color out."""

    statement = (
        "input is the photo's luminance (the grey picture of the same L*); results rounded to 8 "
        "bits; PSNR over RGB, mean CIEDE2000; color ratio: mean colorfulness (Hasler–Süsstrunk) "
        "over the truth's; neutral shift: distance of mean a*, b* from the truth's where its C* < "
        "6 (a veil); stray edge ratio: share of ‖∇a*b*‖ where ‖∇L*‖ < 1 (halos) over the truth's"
    )
    own_columns = (_PSNR, _CIEDE, _RATIO, _NEUTRAL_SHIFT, _STRAY_RATIO)
    called = MappingProxyType({"leaving it grey": "grey"})
    ranked_by = _CIEDE
    reports_perceptual = True
    reports_niqe = False  # it looks at lightness alone, which is given

    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        truth = _photo(sample)
        luma = luminance(truth) * 100
        chroma = torch.zeros_like(luma).expand(-1, 2, -1, -1)
        yield Case(photo, "", from_lab(torch.cat([luma, chroma], 1)), truth)

    def measure(self, case: Case, rgb: Tensor) -> Scores:
        return {
            _PSNR.name: metrics.psnr_db(rgb, case.truth),
            _CIEDE.name: metrics.ciede2000(rgb, case.truth),
            _COLORFULNESS: metrics.colorfulness(rgb),
            _TRUE_COLORFULNESS: metrics.colorfulness(case.truth),
            _NEUTRAL_SHIFT.name: metrics.neutral_shift(rgb, case.truth),
            _STRAY: metrics.stray_edges(rgb),
            _TRUE_STRAY: metrics.stray_edges(case.truth),
        }

    def summary(self, setting: str, method: str, scores: Sequence[Scores]) -> Scores:
        return {
            **super().summary(setting, method, scores),
            _RATIO.name: _ratio(scores, _COLORFULNESS, _TRUE_COLORFULNESS),
            _STRAY_RATIO.name: _ratio(scores, _STRAY, _TRUE_STRAY),
        }


class TranslateProtocol(Protocol):
    """A condition in, a photo out; perceptual metrics alone, since many photos fit one sketch."""

    statement = (
        "the recipe's middle crop of each photo; the condition is made from the photo or is its "
        "pair; results rounded to 8 bits; perceptual distance to the truth, and KID on the "
        "features of ST-LPIPS AlexNet"
    )
    own_columns = (_KID,)
    called = MappingProxyType({COPIED: "the condition itself"})
    reports_perceptual = True
    ranked_by = Column(PERCEPTUAL_METRICS["stlpips_alex"], "lower", 4)

    def __init__(self, task: PhotoTask, crop: Augment, device: torch.device | str = "cpu") -> None:
        super().__init__(task, crop, device)
        self.features: dict[tuple[str, str], list[Tensor]] = defaultdict(list)

    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        sample = sample.augmented(self.crop.center)
        if isinstance(sample, PairSample) and isinstance(self.task, Translate):
            # what training changes of a pair has no part in the truth
            yield Case(photo, "", *self.task.sides(sample))
        elif isinstance(sample, PairSample):
            pair = self.task.make_pair(sample, sample_rng(SEED, 0, sample.number))
            yield Case(photo, "", pair.condition, pair.target)
        else:
            truth = _photo(sample)
            yield Case(photo, "", self.task.from_photo(truth).contiguous(), truth)

    def measure(self, case: Case, rgb: Tensor) -> Scores:
        return {}

    def score(self, case: Case, results: Mapping[str, Tensor]) -> dict[str, Scores]:
        for name, rgb in {**results, "": case.truth}.items():
            features = metrics.kid_features(rgb.to(self.device))
            if features is not None:
                self.features[case.setting, name].append(features)
        return super().score(case, results)

    def summary(self, setting: str, method: str, scores: Sequence[Scores]) -> Scores:
        ours, true = self.features[setting, method], self.features[setting, ""]
        enough = min(len(ours), len(true)) >= 2
        distance = metrics.kid(torch.cat(ours), torch.cat(true)) if enough else None
        return {**super().summary(setting, method, scores), _KID.name: distance}


class PairProtocol(Protocol):
    """The default, for any task on photos: its own pairs, as in training."""

    statement = (
        "the recipe's middle crop of each photo; the task's own pair of it, drawn from a fixed "
        "seed per photo; results rounded to 8 bits; PSNR over RGB, SSIM"
    )
    own_columns = (_PSNR, _SSIM)
    called = MappingProxyType({COPIED: "the input itself"})
    ranked_by = _PSNR
    reports_perceptual = True

    def cases(self, photo: str, sample: Sample) -> Iterator[Case]:
        sample = sample.augmented(self.crop.center)
        pair = self.task.make_pair(sample, sample_rng(SEED, 0, sample.number))
        given, mask = pair.condition, pair.mask
        if mask is not None:
            given = pair.target * (1 - mask)
        if given.shape[1] not in (1, 3):
            raise UserError(
                f"the condition of task '{self.task.kind}' is no picture that a model could be "
                "given",
                remedy="write a protocol for it (entry point group img2img.protocols)",
            )
        target = pair.target.expand(-1, 3, -1, -1).contiguous()
        yield Case(photo, "", given.expand(-1, 3, -1, -1).contiguous(), as_8_bit(target), mask)

    def measure(self, case: Case, rgb: Tensor) -> Scores:
        return {
            _PSNR.name: metrics.psnr_db(rgb, case.truth),
            _SSIM.name: metrics.ssim(rgb, case.truth),
        }


PROTOCOLS: dict[str, type[Protocol]] = {
    "denoise": DenoiseProtocol,
    "super-resolve": SuperResolveProtocol,
    "inpaint": InpaintProtocol,
    "repair": RepairProtocol,
    "colorize": ColorizeProtocol,
    "translate": TranslateProtocol,
}
FOUND_PHOTOS: dict[str, type[Protocol]] = {
    "denoise": FoundPhotoProtocol,
    "super-resolve": FoundEnlargementProtocol,
}
ENTRY_POINTS = "img2img.protocols"


def protocol_for(task: PhotoTask, crop: Augment, device: torch.device | str = "cpu") -> Protocol:
    """The protocol that a task's models are measured by: the published one of a built-in task, the
    one that a package offers in the entry-point group `img2img.protocols` under the task's kind, or
    else its own pairs.

    Args:
        task: the task of the model to measure.
        crop: how the model's recipe cuts photos.
        device: where perceptual networks run.

    Raises:
        UserError: the task learns two sides without pairs, so that no photo is another's truth, or
            a package's protocol cannot be imported.
    """
    if isinstance(task, UnpairedTask):
        raise UserError(
            "it learned from two sides, and no photo is another's truth",
            field="model",
            remedy="name a model of pairs",
        )
    known = {**PROTOCOLS, **FOUND_PHOTOS} if task.for_found_photos else PROTOCOLS
    protocol = known.get(task.kind) or _installed(task.kind) or PairProtocol
    return protocol(task, crop, device)


def _installed(kind: str) -> type[Protocol] | None:
    """The protocol that an installed package offers for a kind of task, or None."""
    for found in entry_points(group=ENTRY_POINTS, name=kind):
        try:
            protocol = found.load()
        except Exception as error:
            raise UserError(
                f"the protocol '{found.value}' of task '{kind}' cannot be imported: {error}"
            ) from error
        if not (isinstance(protocol, type) and issubclass(protocol, Protocol)):
            raise UserError(
                f"'{found.value}' is no protocol for task '{kind}'",
                remedy="derive it from img2img.evaluation.protocol.Protocol",
            )
        return protocol
    return None


def _ratio(scores: Sequence[Scores], name: str, of_truth: str) -> float | None:
    """Mean of a number over the truth's mean; a folder of grey photos has none."""
    ours, true = mean(scores, name), mean(scores, of_truth)
    return ours / true if ours is not None and true else None


def _photo(sample: Sample) -> Tensor:
    assert isinstance(sample, PhotoSample)
    return as_tensor(sample.photo)


def _center(x: Tensor, most_px: int) -> Tensor:
    height, width = (min(n, most_px) for n in x.shape[-2:])
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width].contiguous()
