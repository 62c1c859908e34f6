"""Pictures from noise: samples by number, walks from one to another, sums of several, and files of
them.

A sample seed is a picture: number i of `--seed S` is drawn from seed S + i alone, whatever else is
asked for. So the picture in the grid of seed 0 at place 12 is seed 12 in a walk or a sum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2img.data.sample import sample_rng
from img2img.errors import Advice, Option, UserError, did_you_mean
from img2img.files import atomic_path
from img2img.inference.pipeline import Model
from img2img.pixels.images import from_array, output_format, write_photo
from img2img.pixels.sheets import write_sheet
from img2img.pixels.xmp import with_source_type
from img2img.tasks import AutoencoderTask, NoiseTask
from img2img.tasks.forward import predict_rgb

OnSamples = Callable[[int], None]
STREAM = 4  # of randomness; training has others
# always so many at once, so that a sample's rounding does not depend on how many are asked for
BATCH = 64
_SUM = re.compile(r"\s*\d+(\s*,\s*\d+)*\s*([+-]\s*\d+(\s*,\s*\d+)*\s*)*")


@dataclass(frozen=True)
class GenerateRequest:
    """The samples to generate: how many, from which seeds and labels. Raises UserError for what
    cannot be meant.
    """

    count: int = 64
    seed: int = 0
    label: str | None = None
    """A class by number or name; None: every class in turn."""
    interpolate: tuple[int, int] | None = None
    """The seeds of the two samples to go between."""
    arithmetic: str | None = None
    """`12 - 3 + 7`, each a seed, or seeds to average: `1,2,3`."""
    code: int | None = None
    """The number of a continuous code to walk along."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"{self.count} is nothing", field="count", remedy="give 1 or more")
        if min(self.seed, *(self.interpolate or (0,))) < 0:
            raise UserError("seeds are 0 or more", field="seed")
        walks = ("interpolate", "arithmetic", "code")
        asked = tuple(name for name in walks if getattr(self, name) is not None)
        if len(asked) > 1:
            raise UserError("are different pictures", field=asked[:2], remedy="leave one out")
        if self.arithmetic is not None and not _SUM.fullmatch(self.arithmetic):
            raise UserError(
                f"'{self.arithmetic}' is no sum of seeds such as 12 - 3 + 7 or 1,2 - 3,4 + 5",
                field="arithmetic",
            )


@dataclass(frozen=True)
class Latents:
    """A generator's inputs: noise (N,Z), labels (N,) and codes (N,K) where the model knows them."""

    noise: Tensor
    label: Tensor | None = None
    code: Tensor | None = None
    columns: int | None = None
    """Of the grid in which the pictures are shown."""

    def with_noise(self, noise: Tensor) -> Latents:
        """Other noise under the label and the code of the first of these."""
        label, code = (
            None if x is None else x[:1].expand(len(noise), *x.shape[1:])
            for x in (self.label, self.code)
        )
        return Latents(noise, label, code)


def generate(
    model: Model, request: GenerateRequest, on_samples: OnSamples | None = None
) -> tuple[Tensor, int | None]:
    """Make pictures, or points, from noise.

    Args:
        model: one that was trained to.
        request: how many, from which seeds and labels.
        on_samples: called after every batch with how many there are; raising in it cancels.

    Returns:
        Pictures (N,3,S,S) in [0,1], or points (N,2,1,1), and the columns to show them in.

    Raises:
        UserError: the model takes photos, or has no such label or code.

    Example:
        >>> from img2img.inference.pipeline import load
        >>> model = load("fashion_mnist", device="cpu")
        >>> pictures, _ = generate(model, GenerateRequest(count=2, label="Coat", seed=7))
        >>> again, _ = generate(model, GenerateRequest(count=1, label="Coat", seed=8))
        >>> pictures.shape, bool(torch.allclose(pictures[1:], again, atol=1e-4))
        (torch.Size([2, 3, 28, 28]), True)
    """
    task = noise_task(model)
    label = label_number(request.label, task.classes, model.card.class_names)
    drawn = latents(task, request, label)
    conditions = task.condition(drawn.noise, drawn.label, drawn.code)
    return generated(model, conditions, on_samples), drawn.columns


def noise_task(model: Model) -> NoiseTask:
    """The task of making pictures from noise, or from an autoencoder's codes. Raises UserError if
    there is none.
    """
    if isinstance(model.task, NoiseTask):
        return model.task
    if isinstance(model.task, AutoencoderTask):
        if model.recipe.has_prior:
            return model.task.prior
        raise UserError(
            f"the codes of '{model.name}' follow no prior to draw from",
            field="model",
            remedy="train one with a loss of kind kl (vae), "
            "or adversarial.discriminates: latent (aae)",
        )
    raise UserError(
        f"'{model.name}' changes photos and makes none from noise",
        field="model",
        remedy=Advice.run("infer", Option("input", "PHOTO"), Option("model", model.name)),
    )


@torch.inference_mode()
def generated(model: Model, conditions: Tensor, on_samples: OnSamples | None = None) -> Tensor:
    """Pictures of conditions (N,C,1,1), on the CPU, in fp32: points need their digits."""
    task, pictures, network = noise_task(model), list[Tensor](), model.generator
    if task is not model.task:  # the prior of an autoencoder
        network = network.get_submodule("decoder")
    for batch in conditions.split(BATCH):
        full = torch.cat([batch, batch[-1:].expand(BATCH - len(batch), -1, -1, -1)])
        rgb = predict_rgb(task, network, model.recipe.generator.multiple_of, full.to(model.device))
        pictures.append(task.finish(rgb)[: len(batch)].cpu())
        if on_samples:
            on_samples(sum(len(picture) for picture in pictures))
    return torch.cat(pictures)


def latents(task: NoiseTask, request: GenerateRequest, label: int | None) -> Latents:
    """The noise, labels and codes of a request."""
    if request.interpolate is not None:
        ends = samples(task, request.interpolate, label)
        return ends.with_noise(
            slerp(ends.noise[0], ends.noise[1], torch.linspace(0, 1, request.count))
        )
    if request.arithmetic is not None:
        return _sum(task, request.arithmetic, label)
    if request.code is not None:
        return _code_walk(task, request, label)
    drawn = samples(task, range(request.seed, request.seed + request.count), label)
    by_class = task.classes if label is None and 1 < task.classes <= 16 else None
    return Latents(drawn.noise, drawn.label, drawn.code, by_class)


def samples(task: NoiseTask, seeds: Sequence[int], label: int | None) -> Latents:
    """One sample a seed; without a label, every class in turn."""
    noise, codes = [], []
    for seed in seeds:
        rng = sample_rng(seed, STREAM, 0)
        noise.append(task.draw_noise(rng))
        codes.append(task.draw_code(rng))
    labels = (
        [seed % task.classes if label is None else label for seed in seeds]
        if task.classes
        else None
    )
    return Latents(
        torch.cat(noise),
        None if labels is None else torch.tensor(labels),
        torch.cat([code for code in codes if code is not None]) if sum(task.code_sizes) else None,
    )


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """From a (Z,) to b along the sphere, on which normal noise lies (White 2016): (N,Z) for shares
    (N,) in [0,1].
    """
    cosine = (a @ b / (a.norm() * b.norm() + 1e-12)).clamp(-1, 1)
    angle, t = torch.acos(cosine), share[:, None]
    if math.sin(float(angle)) < 1e-4:  # the same or opposite: no one way round
        return (1 - t) * a + t * b
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def _sum(task: NoiseTask, text: str, label: int | None) -> Latents:
    """The operands, each the mean of its seeds' noise, and last their sum (Radford et al. 2016,
    section 6.3.2).
    """
    signs = [-1.0 if sign == "-" else 1.0 for sign in ["+", *re.findall(r"[+-]", text)]]
    operands = [[int(seed) for seed in part.split(",")] for part in re.split(r"[+-]", text)]
    first = samples(task, operands[0], label)
    means = torch.cat(
        [samples(task, seeds, label).noise.mean(0, keepdim=True) for seeds in operands]
    )
    total = (torch.tensor(signs)[:, None] * means).sum(0, keepdim=True)
    walked = first.with_noise(torch.cat([means, total]))
    return Latents(walked.noise, walked.label, walked.code, len(walked.noise))


def _code_walk(task: NoiseTask, request: GenerateRequest, label: int | None) -> Latents:
    """One noise under all codes: a row a value of the categorical code, a continuous one from -1 to
    1 along it.
    """
    categorical, continuous = task.code_sizes
    assert request.code is not None
    if not 0 <= request.code < continuous:
        has = (
            f"{continuous} continuous codes, counted from 0"
            if continuous
            else "no continuous codes"
        )
        raise UserError(f"{request.code}: the model has {has}", field="code")
    rows = max(1, categorical)
    columns = max(2, request.count // rows)
    code = torch.zeros(rows, columns, categorical + continuous)
    code[..., :categorical] = torch.eye(categorical)[:, None]
    code[..., categorical + request.code] = torch.linspace(-1, 1, columns)
    one = samples(task, [request.seed], label)
    walked = one.with_noise(one.noise.expand(rows * columns, -1))
    return Latents(walked.noise, walked.label, code.flatten(0, 1), columns)


def label_number(label: str | None, classes: int, names: Sequence[str] = ()) -> int | None:
    """A class by its name or number. Raises UserError for an unknown one."""
    if label is None:
        return None
    if not classes:
        raise UserError(
            "the model knows no classes", field="label", remedy=Advice.leave_out("label")
        )
    known = {name.casefold(): number for number, name in enumerate(names)}
    if label.casefold() in known:
        return known[label.casefold()]
    if label.isdecimal() and int(label) < classes:
        return int(label)
    hint = did_you_mean(label, names) if names else f": classes are 0 to {classes - 1}"
    raise UserError(f"unknown class '{label}'{hint}", field="label")


# --- files


def check_places(output: str | None, grid: str | None) -> None:
    """Raise UserError, before any work, for names nothing can be written to."""
    if grid is not None:
        output_format(grid)
    if output is None or Path(output).is_dir() or Path(output).suffix == ".npy":
        return
    if Path(output).is_file() or Path(output).suffix:
        raise UserError(
            f"'{output}' is one file",
            field="output",
            remedy=Advice(
                "give a folder for one PNG each, NAME.npy for the numbers, or ",
                *(Option("grid", output), " for one picture of all"),
            ),
        )


def default_grid(model: str) -> Path:
    """`<model>.generate.png` next to a run or a model file; in this folder for a shipped model."""
    path = Path(model)
    name = path.stem if path.is_file() else path.resolve().name
    return (path.parent if path.exists() else Path()) / f"{name}.generate.png"


def write_samples(task: NoiseTask, pictures: Tensor, output: Path) -> None:
    """`NAME.npy` for all as one array, else a folder of PNGs. Raises UserError for pictures of
    points.
    """
    array = task.as_array(pictures)
    if output.suffix == ".npy":
        with atomic_path(output) as temporary:
            np.save(temporary, array)
        return
    if array.ndim == 2:
        raise UserError(
            "points are numbers",
            field="output",
            remedy=f"give a file NAME.npy, not '{output}'",
        )
    stated = None if task.source_type is None else with_source_type(None, task.source_type)
    for number, picture in enumerate(array):
        photo = from_array(picture[..., 0] if picture.shape[2] == 1 else picture)
        write_photo(output / f"{number:05d}.png", replace(photo, xmp=stated))


def write_grid(task: NoiseTask, pictures: Tensor, columns: int | None, path: Path) -> None:
    """All pictures as one."""
    write_sheet(path, task.overview(pictures, columns), task.source_type)
