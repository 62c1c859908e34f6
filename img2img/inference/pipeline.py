"""A model ready for use: pictures in, pictures out, any size and depth. Command line, app and
evaluation use it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from img2img.devices import Precision, pick_device, precision_for
from img2img.errors import Advice, Option, Phrase, UserError
from img2img.inference.blend import blended
from img2img.inference.ensemble import can_ensemble, ensembled
from img2img.modelfile import Card, load_generator
from img2img.models.two_way import TwoWay
from img2img.pixels.alpha import BLEED, flat_kept, opaque_in, seen
from img2img.pixels.color_space import SRGB, ColorDescription
from img2img.pixels.drawn_masks import drawn_in_array, marked, misfit
from img2img.pixels.hints import Hints, hints_in
from img2img.pixels.images import (
    Photo,
    drawn_in_pil,
    from_array,
    from_pil,
    quantise,
    to_array,
    to_float,
    to_pil,
)
from img2img.pixels.tensors import as_float
from img2img.pixels.tiling import tiled
from img2img.pixels.xmp import source_type, with_source_type
from img2img.recipe import Recipe
from img2img.tasks.base import Task
from img2img.tasks.forward import forward, in_own_numbers
from img2img.tasks.masked import MaskedTask
from img2img.tasks.photo import PhotoTask, View
from img2img.tasks.unpaired import DIRECTIONS, Direction
from img2img.zoo.catalogue import CATALOGUE, Entry

Picture = TypeVar("Picture", Image.Image, np.ndarray)
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Options:
    """What a user may ask of one application of a model."""

    strength: float = 1.0  # 0: the task's trivial baseline, 1: the network's full say
    seed: int = 0
    from_photo: bool = False  # make the condition (a sketch) from the photo first
    direction: Direction | None = None  # of a model that goes both ways; AtoB unless asked for
    self_ensemble: bool = False  # the mean over flips and turns, by models that know turned photos
    hints: Hints | None = None  # colors a person painted, for tasks that take them

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UserError(f"{self.strength} is not between 0 and 1", field="strength")
        if self.direction not in (None, *DIRECTIONS):
            raise UserError(
                f"'{self.direction}' is none of {', '.join(DIRECTIONS)}", field="direction"
            )
        if self.from_photo and self.direction == "BtoA":
            raise UserError(
                Phrase(
                    *(Option("from_photo"), " makes side A's picture, and "),
                    *(Option("direction", "BtoA"), " takes side B's"),
                ),
                remedy="leave one out",
            )

    def check_hints(self, name: str, task: Task) -> None:
        """Raise UserError when colors are given to a model that does not color."""
        if self.hints is not None and not task.takes_hints:
            raise UserError(
                f"model '{name}' colors nothing", field="hints", remedy="leave the hints out"
            )

    def check_direction(self, name: str, task: Task) -> None:
        """Raise UserError when a direction is asked of a model that has but one."""
        if self.direction is not None and not task.unpaired:
            raise UserError(
                f"model '{name}' goes one way only",
                field="direction",
                remedy=Advice.leave_out("direction"),
            )


class Model:
    """A trained network with its task.

    `model(image)` takes and returns PIL or numpy; `predict_tensor` does the same work on float
    tensors.
    """

    def __init__(
        self,
        name: str,
        recipe: Recipe,
        card: Card,
        generator: nn.Module,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self.name, self.recipe, self.card, self.task = name, recipe, card, recipe.task
        self.device, self.dtype = device, precision_for(device, precision)
        self.generator = generator.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # torch's stubs lack it

    @property
    def photo_task(self) -> PhotoTask:
        """The task, which has to be one on photos. Raises UserError for any other."""
        if isinstance(self.task, PhotoTask):
            return self.task
        raise UserError(
            f"model '{self.name}' makes pictures from noise, not from photos",
            remedy=Advice.run("generate", Option("model", self.name)),
        )

    def __call__(
        self,
        image: Picture,
        mask: Any = None,
        hints: Any = None,
        *,
        mask_invert: bool = False,
        **options: Any,
    ) -> Picture:
        """Apply the model to a PIL image or an (H,W), (H,W,3) or (H,W,4) array of uint8, uint16 or
        float in [0,1].

        The result is of the same type and depth, with alpha as `run` says; grey where the picture
        was grey and is so still, else RGB. Arrays are sRGB, PIL images what their profile says.
        `mask`: PIL or array of the photo's size, read as `drawn_masks.marked` says (white, True,
        opaque strokes or class colors = fill), turned round by `mask_invert`. `hints`: the photo
        with colors painted on it, or a transparent picture with nothing but them. Options are those
        of `Options`. Raises UserError.
        """
        photo = _as_photo(image)
        painted = None if hints is None else hints_in(_as_photo(hints), photo)
        hole = as_mask(mask, photo.size)
        if hole is None and mask_invert:
            raise UserError(
                "there is no mask to turn round", field="mask_invert", remedy=Advice.give("mask")
            )
        if hole is not None and not self.task.needs_mask:
            raise UserError(f"model '{self.name}' fills nothing", remedy="leave the mask out")
        done = self.run(
            photo,
            ~hole if mask_invert and hole is not None else hole,
            Options(**options, hints=painted),
        )
        if isinstance(image, Image.Image):
            return to_pil(done)
        made = to_array(done)
        return (
            np.ascontiguousarray(made[..., :1].reshape(*made.shape[:2], *image.shape[2:]))
            if done.is_grey
            else made
        )

    @torch.inference_mode()
    def predict_tensor(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        strength: float = 1.0,
        direction: Direction | None = None,
        self_ensemble: bool = False,
    ) -> Tensor:
        """Apply the model to a batch of float tensors: prepare, generator (tiled), decode, finish.

        Args:
            x: (B,1,H,W) or (B,3,H,W) in [0,1]; values beyond (noise) are neither rejected nor
                clamped.
            mask: (B,1,H,W), > 0.5 = to be filled; for models that fill.
            strength: how much of the network's change is applied, 0 to 1.
            direction: `AtoB` or `BtoA`, of a model that goes both ways.
            self_ensemble: the mean over flips and turns.

        Returns:
            RGB (B,3,H·scale,W·scale) in [0,1], on the device of `x`.

        Raises:
            UserError: another shape, a missing mask, or an option that the model does not have.

        Example:
            >>> import torch
            >>> model = load("super_resolve_x2", device="cpu")
            >>> model.predict_tensor(torch.rand(2, 1, 24, 32)).shape
            torch.Size([2, 3, 48, 64])
        """
        options = Options(strength=strength, direction=direction, self_ensemble=self_ensemble)
        options.check_direction(self.name, self.task)
        if x.dim() != 4 or x.shape[1] not in (1, 3):
            raise UserError(f"predict_tensor takes (B,1,H,W) or (B,3,H,W), not {tuple(x.shape)}")
        if self.task.needs_mask and mask is None:
            raise UserError(
                f"model '{self.name}' fills masks",
                remedy="give mask (B,1,H,W), > 0.5 = to be filled",
            )
        pictures = x.float().expand(-1, 3, -1, -1) if x.shape[1] == 1 else x.float()
        holes = [None] * len(x) if mask is None else list(mask)
        made = [
            self._apply(p[None], None if m is None else m[None], options)
            for p, m in zip(pictures, holes, strict=True)
        ]
        return torch.cat(made).to(x.device)

    @torch.inference_mode()
    def run(
        self,
        photo: Photo,
        mask: np.ndarray | None = None,
        options: Options = Options(),
        dtype: Any = None,
        on_tile: Progress | None = None,
    ) -> Photo:
        """Apply the model to a photo as it was read from a file.

        Metadata are kept, and so is the alpha, but for what was filled, which becomes opaque, and
        for tasks that read transparency as paper. What lies under alpha 0 has no part in what is
        visible.

        Args:
            photo: what `read_photo` gives.
            mask: boolean (H,W), True = to be filled; for models that fill.
            options: strength, seed and the like.
            dtype: the result's depth; the photo's own by default.
            on_tile: called with the number of tiles done; raising in it cancels the work.

        Returns:
            The photo with the new pixels.

        Raises:
            UserError: a mask is missing or of another size, or the model lacks an option.

        Example:
            >>> from img2img.pixels.images import read_photo
            >>> from img2img.resources import inputs_dir
            >>> photo = read_photo(inputs_dir() / "small.jpg")
            >>> done = load("denoise", device="cpu").run(photo, options=Options(strength=0.5))
            >>> done.size == photo.size, done.exif == photo.exif
            (True, True)
        """
        options.check_direction(self.name, self.task)
        options.check_hints(self.name, self.task)
        self._check(photo, mask)
        wanted = np.dtype(dtype or photo.rgb.dtype)
        alpha = self._alpha(photo.alpha, mask, options, wanted, on_tile)
        visible = seen(
            photo.rgb, photo.alpha, self.recipe.background, mask if self.task.needs_mask else None
        )
        x = torch.from_numpy(np.ascontiguousarray(visible.transpose(2, 0, 1)))[None]
        holes = None if mask is None else torch.from_numpy(mask.astype(np.float32))[None, None]
        made = self._apply(x, holes, options, wanted, photo.color, on_tile)
        rgb = np.ascontiguousarray(made[0].permute(1, 2, 0).numpy())
        if mask is not None and self.task.needs_mask and visible is not photo.rgb:
            rgb[~mask] = quantise(
                photo.rgb[~mask], wanted
            )  # also what is known and hidden comes back
        made_photo = replace(photo, rgb=rgb, alpha=alpha)
        return self._signed(replace(made_photo, is_grey=made_photo.shows_grey))

    def _signed(self, made: Photo) -> Photo:
        """With a statement in its XMP that a network made pixels of it, where the task invents.

        A picture that a network made as a whole stays one, whatever is done to it.
        """
        kind = self.task.source_type
        if kind is None or source_type(made.xmp) == "trainedAlgorithmicMedia":
            return made
        return replace(made, xmp=with_source_type(made.xmp, kind))

    def _check(self, photo: Photo, mask: np.ndarray | None) -> None:
        if self.task.needs_mask and mask is None:
            raise UserError(
                f"model '{self.name}' fills masks",
                remedy=Advice("give one with ", Option("mask"), " (white = fill)"),
            )
        if mask is not None and mask.shape != photo.rgb.shape[:2]:
            raise UserError(
                f"mask is {mask.shape[1]}x{mask.shape[0]}, "
                f"photo is {photo.size[0]}x{photo.size[1]}",
                remedy="make them equal",
            )

    def _apply(
        self,
        x: Tensor,
        mask: Tensor | None,
        options: Options,
        dtype: Any = np.float32,
        color: ColorDescription = SRGB,
        on_tile: Progress | None = None,
    ) -> Tensor:
        """One picture (1,3,H,W) of any depth to the result at `dtype`; only one tile or view is in
        float at a time.
        """
        equal = bool((x[:, 0] == x[:, 1]).all() and (x[:, 1] == x[:, 2]).all())
        grey = self.task.keeps_grey and color.keeps_neutral and equal
        done = 0

        def piece(part: Tensor, hole: Tensor | None = None, view: View | None = None) -> Tensor:
            nonlocal done
            floats = as_float(part).to(self.device)
            if options.from_photo:
                floats = in_own_numbers(self.task.from_photo, floats, color)
            size = view.size if view else None
            forward = partial(
                self._forward, mask=hole, size=size, options=options, grey=grey, color=color
            )
            rgb = (
                ensembled(forward, floats)
                if options.self_ensemble and can_ensemble(self.recipe)
                else forward(floats)
            )
            done += 1
            if on_tile:
                on_tile(done)
            if self.task.finishes_in_srgb and color.transform and np.dtype(dtype).kind == "u":
                return torch.from_numpy(
                    color.quantised(rgb.cpu().numpy(), as_float(part).numpy(), dtype)
                )
            return _as_depth(rgb.cpu(), dtype)

        if self.task.tiles:
            return tiled(
                piece,
                x,
                self.task.scale,
                self.card.tile_overlap_px,
                self.recipe.generator.multiple_of,
            )
        return self._views(piece, x, mask, dtype)

    def _views(
        self, piece: Callable[..., Tensor], x: Tensor, mask: Tensor | None, dtype: Any
    ) -> Tensor:
        """Work view by view; what one view filled is known to the next."""
        size = (x.shape[-2], x.shape[-1])
        hole = None if mask is None else (mask > 0.5).float()
        if isinstance(self.task, MaskedTask):
            views = self.task.views(size, None if hole is None else hole[0, 0].bool().cpu().numpy())
        else:
            views = self.photo_task.views(size)
        if len(views) == 1 and views[0].cut(x).shape == x.shape:
            return piece(x, None if hole is None else hole.to(self.device), views[0])
        out = _as_depth(as_float(x), dtype) if _depth(x) != dtype else x.clone()
        for view in views:
            inside = None if hole is None else view.cut(hole)
            view.cut(out).copy_(
                piece(view.cut(out), None if inside is None else inside.to(self.device), view)
            )
            if inside is not None:
                inside.zero_()
        return out

    def _forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        size: tuple[int, int] | None,
        options: Options,
        grey: bool,
        color: ColorDescription,
    ) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            network = partial(self._network, direction=options.direction)
            multiple_of, strength, hints = (
                self.recipe.generator.multiple_of,
                options.strength,
                options.hints,
            )
            return forward(
                self.photo_task, network, multiple_of, x, mask, size, strength, grey, hints, color
            )

    def _network(self, condition: Tensor, direction: Direction | None = None) -> Tensor:
        condition = condition.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            if isinstance(self.generator, TwoWay):
                return self.generator(condition, direction)
            return self.generator(condition)

    def _alpha(
        self,
        alpha: np.ndarray | None,
        mask: np.ndarray | None,
        options: Options,
        dtype: np.dtype[Any],
        on_tile: Progress | None,
    ) -> np.ndarray | None:
        """The result's alpha; it is enlarged as the picture is, by the same network."""
        if alpha is None or self.recipe.background != BLEED:
            return None
        if mask is not None and self.task.needs_mask:
            alpha = opaque_in(alpha, mask)
        alpha = alpha if alpha.dtype == dtype else quantise(to_float(alpha), dtype)
        return alpha if self.task.scale == 1 else self._enlarged_alpha(alpha, options, on_tile)

    def _enlarged_alpha(
        self, alpha: np.ndarray, options: Options, on_tile: Progress | None
    ) -> np.ndarray:
        """Through the network as a grey picture; tiles without an edge in them are spared."""
        own = replace(options, hints=None, from_photo=False)
        # Its tiles may cancel the work, but are not among those of the picture.
        uncounted = None if on_tile is None else (lambda _: on_tile(0))

        def piece(part: Tensor) -> Tensor:
            pixels, scale = part.numpy(), self.task.scale
            if (pixels == pixels.flat[0]).all():
                return torch.from_numpy(pixels.repeat(scale, -2).repeat(scale, -1))
            return self._apply(part, None, own, alpha.dtype, on_tile=uncounted)

        x = torch.from_numpy(np.repeat(alpha[None, None], 3, 1))
        made = tiled(
            piece, x, self.task.scale, self.card.tile_overlap_px, self.recipe.generator.multiple_of
        )
        return flat_kept(made[0, 0].numpy(), alpha, self.task.scale)


def load(
    name: str | Path | Entry,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    detail: float | None = None,
) -> Model:
    """A model ready on a device. Loading never runs code from its file.

    Args:
        name: a shipped model (`img2img models` lists them), a model file, a run's folder, or what
            the catalogue knows of one.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `auto` (bf16 where the hardware has it), `fp32` or `bf16`.
        detail: 0 to 1, between the model and its crisper half (see `blend`); None leaves it as it
            is.

    Returns:
        The model; call it with pictures.

    Raises:
        UserError: an unknown name, a file that is not ours, a device that is not on this machine,
            or a detail asked of a model without another half.

    Example:
        >>> import img2img
        >>> model = img2img.load("super_resolve_x2", device="cpu")
        >>> model.task.kind, model.task.scale
        ('super-resolve', 2)
    """
    entry = name if isinstance(name, Entry) else CATALOGUE.entry(name)
    if detail is not None:
        return Model(entry.title, *blended(entry, detail), pick_device(device), precision)
    header, generator = load_generator(entry.path, entry.header)
    return Model(entry.title, header.recipe, header.card, generator, pick_device(device), precision)


def as_mask(mask: Any, size: tuple[int, int]) -> np.ndarray | None:
    """A PIL or array mask as boolean (H,W), True = fill, read as `drawn_masks.marked` says.

    `size` is the photo's (width, height). Raises UserError for another size, and for a mask that
    marks nothing or all.
    """
    if mask is None:
        return None
    numbers = not isinstance(mask, Image.Image) or mask.mode in ("I", "F")
    drawn = drawn_in_array(np.asarray(mask), size) if numbers else drawn_in_pil(mask)
    wrong = misfit("mask is", drawn.rgb.shape[1::-1], size)
    if wrong:
        raise UserError(wrong, remedy="make them equal")
    return marked(drawn).checked("mask")


def _as_photo(image: Any) -> Photo:
    return from_pil(image) if isinstance(image, Image.Image) else from_array(image)


def _as_depth(x: Tensor, dtype: Any) -> Tensor:
    return x if np.dtype(dtype) == np.float32 else torch.from_numpy(quantise(x.numpy(), dtype))


def _depth(x: Tensor) -> Any:
    return x.numpy().dtype
