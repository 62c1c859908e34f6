"""A model ready for use: pictures in, pictures out, any size and depth. Command line, app and
evaluation use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Never, TypeVar, Unpack

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from img2img.arguments import check_path, must_be, refuse_unknown
from img2img.conflicts import TaskFacts
from img2img.devices import Precision, pick_device, precision_for
from img2img.errors import Advice, Option, UserError
from img2img.inference.blend import blended
from img2img.inference.ensemble import can_ensemble, ensembled
from img2img.inference.hub import model_folder, push, save_folder
from img2img.inference.options import DEFAULTS, Options, PictureOptions, TensorOptions
from img2img.inference.output_size import OutputSize, SizeOptions, check_grows
from img2img.modelfile import Card
from img2img.models.blocks import channels_last
from img2img.models.two_way import TwoWay
from img2img.pixels.alpha import BLEED, flat_kept, opaque_in, seen
from img2img.pixels.color_space import SRGB, ColorDescription
from img2img.pixels.drawn_masks import drawn_in_array, marked, misfit
from img2img.pixels.hints import hints_in
from img2img.pixels.images import (
    Photo,
    as_srgb,
    drawn_in_pil,
    from_array,
    from_pil,
    quantise,
    read_photo,
    to_array,
    to_float,
    to_pil,
)
from img2img.pixels.reduction import reduced
from img2img.pixels.tensors import as_float
from img2img.pixels.tiling import Tile, TileGrid, middle, tiled
from img2img.pixels.xmp import source_type, with_source_type
from img2img.recipe import Recipe
from img2img.resources import samples_dir
from img2img.runtimes.graph import GraphSource
from img2img.runtimes.network import (
    Backend,
    ExportedNetwork,
    check_backend,
    check_on_cpu,
    first_runtime,
    graphs_of,
)
from img2img.runtimes.onnx_file import read_onnx
from img2img.tasks.finding import FindingTask
from img2img.tasks.forward import (
    ForwardOptions,
    forward,
    forward_in_strips,
    in_own_numbers,
    measured_overlap_px,
)
from img2img.tasks.masked import views_of
from img2img.tasks.photo import PhotoTask, View
from img2img.tasks.unpaired import Direction
from img2img.zoo.catalogue import CATALOGUE, Entry

ImageOrArray = TypeVar("ImageOrArray", Image.Image, np.ndarray)
OnTile = Callable[[int], None]


@dataclass(frozen=True)
class FinishedPart:
    """A finished part of a result: left, top, width and height in its px, and the pixels (h,w,3) at
    its depth, which may change after the call.
    """

    box: tuple[int, int, int, int]
    rgb: np.ndarray

    @classmethod
    def at(cls, top: int, left: int, pixels: Tensor) -> FinishedPart:
        """That of (1,3,h,w) at a place."""
        height, width = pixels.shape[-2:]
        return cls((left, top, width, height), pixels[0].permute(1, 2, 0).numpy())


OnPart = Callable[[FinishedPart], None]


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
        if precision == "auto" and recipe.generator.exact_in_fp32:
            precision = "fp32"
        self.device, self.dtype = device, precision_for(device, precision)
        self.generator = channels_last(generator.to(device)).eval()

    @property
    def photo_task(self) -> PhotoTask:
        """The task, which has to be one on photos. Raises UserError for any other."""
        if isinstance(self.task, PhotoTask):
            return self.task
        raise UserError(
            f"model '{self.name}' makes pictures from noise, not from photos",
            remedy=Advice.run("generate", Option("model", self.name)),
        )

    @property
    def fills(self) -> bool:
        """Whether the task fills the masked part of a photo."""
        return TaskFacts.of(self.task).fills

    def __call__(
        self,
        image: ImageOrArray,
        mask: Any = None,
        hints: Any = None,
        *,
        mask_invert: bool = False,
        **options: Unpack[PictureOptions],
    ) -> ImageOrArray:
        """Apply the model to an image.

        Args:
            image: a PIL image, in the colors its profile says, or an sRGB array (H,W), (H,W,3) or
                (H,W,4) of uint8, uint16 or float in [0,1].
            mask: what is to be filled, for models that fill: a PIL image or an array of the image's
                size, where white, True, opaque strokes or class colors mark it.
            hints: colors for models that take them: the image with strokes painted on it, or a
                transparent image with nothing but them.
            mask_invert: fill what the mask leaves out.
            options: `strength` in [0,1], 0 is the task's trivial answer; `seed` of networks that
                draw; `from_photo` makes the condition (a sketch) from the image; `direction` of a
                model that goes both ways; `self_ensemble` takes the mean over flips and turns.
                `scale`, `longer_side`, `width` or `height`, or both, say how large the result is to
                be: the model's is reduced to it, antialiased, and one that enlarges is left out
                where the image is as large already.

        Returns:
            An image of the same type and depth, with alpha as `run` says; grey where it was grey
            and is so still, else RGB.

        Raises:
            UserError: a mask, hints or options that this model cannot use, an option that there is
                not (a TypeError too), a mask of another size, or a result larger than the model
                makes it.

        Example:
            >>> import numpy as np
            >>> noisy = np.random.default_rng(0).normal(0.5, 0.1, (32, 32, 3)).clip(0, 1)
            >>> clean = load("denoise", device="cpu")(noisy, strength=0.8)
            >>> clean.shape, bool(clean.std() < noisy.std())
            ((32, 32, 3), True)
            >>> load("super_resolve_x4", device="cpu")(noisy, scale=3.5).shape
            (112, 112, 3)
        """
        refuse_unknown("Model.__call__", options, PictureOptions.__annotations__)
        given: dict[str, Any] = {**options}
        sizes = {name: given.pop(name) for name in SizeOptions.__annotations__ if name in given}
        photo = _as_photo(image)
        painted = None if hints is None else hints_in(_as_photo(hints), photo)
        hole = as_mask(mask, photo.size)
        if hole is None and mask_invert:
            raise UserError(
                "there is no mask to turn round", field="mask_invert", remedy=Advice.give("mask")
            )
        if hole is not None and not self.fills:
            raise UserError(f"model '{self.name}' fills nothing", remedy="leave the mask out")
        if hole is not None and mask_invert:
            hole = ~hole
        done = self._sized(photo, hole, Options(**given, hints=painted), OutputSize(**sizes))
        if isinstance(image, Image.Image):
            return to_pil(done)
        array = to_array(done)
        if not done.is_grey:
            return array
        return np.ascontiguousarray(array[..., :1].reshape(*array.shape[:2], *image.shape[2:]))

    @torch.inference_mode()
    def predict_tensor(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        **options: Unpack[TensorOptions],
    ) -> Tensor:
        """Apply the model to a batch of float tensors: prepare, generator (tiled), decode, finish.

        Args:
            x: (B,1,H,W) or (B,3,H,W) in [0,1]; values beyond (noise) are neither rejected nor
                clamped.
            mask: (B,1,H,W), > 0.5 = to be filled; for models that fill.
            options: `strength`, how much of the network's change is applied, 0 to 1; `direction`,
                `AtoB` or `BtoA`, of a model that goes both ways; `self_ensemble`, the mean over
                flips and turns.

        Returns:
            RGB (B,3,H·scale,W·scale) in [0,1], on the device of `x`.

        Raises:
            UserError: another shape, a missing mask, an option that there is not or that the model
                does not have.

        Example:
            >>> import torch
            >>> model = load("super_resolve_x2", device="cpu")
            >>> model.predict_tensor(torch.rand(2, 1, 24, 32)).shape
            torch.Size([2, 3, 48, 64])
        """
        refuse_unknown("Model.predict_tensor", options, TensorOptions.__annotations__)
        chosen = Options(**options)
        chosen.check(self.name, self.photo_task)
        if not isinstance(x, Tensor):
            raise must_be("x", "a tensor (B,1,H,W) or (B,3,H,W)", x)
        if not isinstance(mask, Tensor | None):
            raise must_be("mask", "a tensor (B,1,H,W)", mask)
        if x.dim() != 4 or x.shape[1] not in (1, 3):
            raise UserError(f"predict_tensor takes (B,1,H,W) or (B,3,H,W), not {tuple(x.shape)}")
        if self.fills and mask is None:
            raise UserError(
                f"model '{self.name}' fills masks",
                remedy="give mask (B,1,H,W), > 0.5 = to be filled",
            )
        pictures = x.float().expand(-1, 3, -1, -1) if x.shape[1] == 1 else x.float()
        holes = [None] * len(x) if mask is None else list(mask)
        results = [
            self._apply(p[None], None if m is None else m[None], chosen)
            for p, m in zip(pictures, holes, strict=True)
        ]
        return torch.cat(results).contiguous().to(x.device)

    @torch.inference_mode()
    def run(
        self,
        photo: Photo,
        mask: np.ndarray | None = None,
        options: Options = DEFAULTS,
        dtype: Any = None,
        on_tile: OnTile | None = None,
        on_part: OnPart | None = None,
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
            on_part: called with each part of the picture that is finished, after `on_tile`.

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
        options.check(self.name, self.photo_task)
        self._check(photo, mask)
        wanted = np.dtype(dtype or photo.rgb.dtype)
        filled = mask if self.fills else None
        visible = seen(photo.rgb, photo.alpha, self.recipe.background, filled)
        x = _as_planes(visible)
        holes = None if mask is None else torch.from_numpy(mask)[None, None]
        result = self._apply(x, holes, options, wanted, photo.color, on_tile, on_part)
        # After the picture, which shows more of how far its network looks than an alpha does.
        alpha = self._alpha(photo.alpha, mask, options, wanted, on_tile)
        rgb = np.ascontiguousarray(result[0].permute(1, 2, 0).numpy())
        if filled is not None and visible is not photo.rgb:
            # What is known and hidden comes back too.
            rgb[~filled] = quantise(photo.rgb[~filled], wanted)
        done = replace(photo, rgb=rgb, alpha=alpha)
        return self._with_source_type(replace(done, is_grey=done.shows_grey))

    @torch.inference_mode()
    def find(self, photo: Photo, on_tile: OnTile | None = None) -> np.ndarray:
        """Where a photo is to be filled, boolean (H,W), by a model whose task finds that.

        Args:
            photo: what `read_photo` gives.
            on_tile: as of `run`.

        Raises:
            UserError: the model makes pictures, and finds nothing.
        """
        task = self.photo_task
        if not isinstance(task, FindingTask):
            raise UserError(f"model '{self.name}' finds nothing that is to be filled")
        seen_as = as_srgb(photo)
        pixels = seen(seen_as.rgb, photo.alpha, self.recipe.background)
        found = task.mask_of(self._apply(_as_planes(pixels), None, DEFAULTS, on_tile=on_tile))
        return found if photo.alpha is None else found & (photo.alpha > 0)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Keep the model as a folder of the Hugging Face Hub's form.

        Args:
            folder: where `model.safetensors`, `config.json` and, unless there is one, the card
                `README.md` are written.

        Returns:
            The folder, which `from_pretrained` and `load` take.

        Example:
            >>> load("denoise", device="cpu").save_pretrained("kept").name
            'kept'
            >>> Model.from_pretrained("kept", device="cpu").task.kind
            'denoise'
        """
        check_path("folder", folder, "a folder")
        return save_folder(self, Path(folder))

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, device: str = "auto", precision: Precision = "auto"
    ) -> Model:
        """A model from a folder that `save_pretrained` wrote, or that was fetched from the Hub.

        Args:
            folder: a folder on this machine; nothing is fetched.
            device: as of `load`.
            precision: as of `load`.

        Returns:
            The model, as `load` gives it.

        Raises:
            UserError: there is no such folder, and whatever `load` raises.
        """
        check_path("folder", folder, "a folder")
        return load(model_folder(folder), device=device, precision=precision)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the model to the Hugging Face Hub, as the folder that `save_pretrained` writes.

        Args:
            repo_id: `USER/NAME`; it is created where there is none.
            private: only its owner sees it.
            token: the one that `hf auth login` has stored by default.

        Returns:
            The address of the upload.

        Raises:
            UserError: `huggingface_hub` is not installed (`img2img[hub]`), refuses, or is offline:
                that is the default, and HF_HUB_OFFLINE=0 in the environment ends it.
        """
        return push(self, repo_id, private=private, token=token)

    def _sized(
        self, photo: Photo, mask: np.ndarray | None, options: Options, size: OutputSize
    ) -> Photo:
        """The photo at the size that was asked for, by the model unless it would only enlarge what
        is to be smaller.
        """
        growth, scale = size.growth(photo.size), self.photo_task.scale
        check_grows(growth, scale, f"'{self.name}'")
        if growth is None or growth.factor > 1 or scale == 1:
            done = self.run(photo, mask, options)
        else:
            done = photo
        return reduced(done, size.of(photo.size) or done.size)

    def _with_source_type(self, done: Photo) -> Photo:
        """With a statement in its XMP that pixels were generated, where the task invents them.

        A picture that was generated as a whole stays one, however it is changed.
        """
        kind = self.task.source_type
        if kind is None or source_type(done.xmp) == "trainedAlgorithmicMedia":
            return done
        return replace(done, xmp=with_source_type(done.xmp, kind))

    def _check(self, photo: Photo, mask: np.ndarray | None) -> None:
        if self.fills and mask is None:
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
        on_tile: OnTile | None = None,
        on_part: OnPart | None = None,
    ) -> Tensor:
        """One picture (1,3,H,W) of any depth to the result at `dtype`; only one tile or view is in
        float at a time.
        """
        task = self.photo_task
        if isinstance(self.generator, ExportedNetwork):
            self.generator.check(task, options.seed, options.direction)
        grey = task.keeps_grey and color.keeps_neutral and _is_grey(x)
        how = ForwardOptions(None, options.strength, grey, options.hints, options.seed, color)
        done = 0

        def piece(part: Tensor, hole: Tensor | None = None, view: View | None = None) -> Tensor:
            nonlocal done
            floats = as_float(part.contiguous()).to(self.device)
            if options.from_photo:
                floats = in_own_numbers(task.from_photo, floats, color)
            at_size = replace(how, working_size=view.size) if view else how
            run = partial(self._forward, mask=hole, options=options, how=at_size)
            averaged = options.self_ensemble and can_ensemble(self.recipe)
            rgb = (ensembled(run, floats) if averaged else run(floats)).cpu()
            done += 1
            if on_tile:
                on_tile(done)
            return _finished_as(dtype, task, color, part, rgb)

        if task.tiles:
            return self._tiled(piece, x, on_tile, on_part)
        if task.finishes_in_strips and mask is None and not options.from_photo:
            return _told(self._in_strips(x, options, how, dtype, on_tile), on_part)
        return self._views(piece, x, mask, dtype, on_part)

    def _in_strips(
        self, x: Tensor, options: Options, how: ForwardOptions, dtype: Any, on_tile: OnTile | None
    ) -> Tensor:
        """Predicted at the size of the task's only view, and finished in strips of (1,3,H,W)."""
        task, multiple_of = self.photo_task, self.recipe.generator.multiple_of
        (view,) = task.views((x.shape[-2], x.shape[-1]))
        how = replace(how, working_size=view.size)
        network = self._asked_network(options)
        out = _as_planes(np.empty((*x.shape[-2:], 3), dtype))
        with _seeded(options.seed):
            strips = forward_in_strips(task, network, multiple_of, x, how, self.device)
            for rows, rgb in strips:
                part = _finished_as(dtype, task, how.color, x[..., rows, :], rgb.cpu())
                out[..., rows, :] = part
        if on_tile:
            on_tile(1)
        return out

    def _tiled(
        self,
        piece: Callable[[Tensor], Tensor],
        x: Tensor,
        on_tile: OnTile | None,
        on_part: OnPart | None = None,
    ) -> Tensor:
        """(B,C,H,W) in the generator's tiles; whole where it may not be cut. `on_tile` may cancel
        the measuring before the first.
        """
        generator, scale = self.recipe.generator, self.photo_task.scale
        size = (x.shape[-2], x.shape[-1])

        def done(tile: Tile, core: Tensor) -> None:
            if on_part:
                on_part(FinishedPart.at(tile.core[0] * scale, tile.core[2] * scale, core))

        if not generator.tiles_photo(size):
            return _told(piece(x), on_part)
        if max(size) > generator.tile_px(scale):
            self.card = self.with_measured_overlap(on_tile)
        grid = generator.tile_grid(size, scale, self.card.tile_overlap_px)
        return tiled(piece, x, scale, grid, done)

    def with_measured_overlap(self, on_tile: OnTile | None = None) -> Card:
        """The card with a tile overlap, measured where it told none.

        `on_tile` is called with 0 now and then, and may cancel it.
        """
        if self.card.tile_overlap_px is not None or not self.photo_task.tiles:
            return self.card

        def run(part: Tensor) -> Tensor:
            if on_tile:
                on_tile(0)
            return self._forward(part, None, DEFAULTS, ForwardOptions())

        overlap_px = measured_overlap_px(run, self.photo_task.scale, self.device)
        return self.card.model_copy(update={"tile_overlap_px": overlap_px})

    @torch.inference_mode()
    def tile_difference(self, photo: Photo) -> float | None:
        """The largest difference in [0,1] between a photo's result in tiles (four, if it is large
        enough) and as a whole: the overlap was measured to keep it at 1/255. None for a model that
        cuts no photo of this size.

        Example:
            >>> from img2img.pixels.images import read_photo
            >>> from img2img.resources import inputs_dir
            >>> photo = read_photo(inputs_dir() / "noisy.png")
            >>> load("denoise", device="cpu").tile_difference(photo) < 0.01
            True
        """
        x = as_float(_as_planes(as_srgb(photo).rgb).contiguous()).to(self.device)
        generator, scale = self.recipe.generator, self.photo_task.scale
        size = (x.shape[-2], x.shape[-1])
        if not (self.photo_task.tiles and generator.tiles_photo(size)):
            return None
        overlap_px = self.with_measured_overlap().tile_overlap_px or 0
        align_px = generator.tile_align_px
        most_px = max(size) // 2 + overlap_px + 2 * align_px  # rounded up to the grid
        grid = TileGrid(size, overlap_px, align_px, most_px)

        def run(part: Tensor) -> Tensor:
            return self._forward(part, None, DEFAULTS, ForwardOptions())

        return float((tiled(run, x, scale, grid) - run(x)).abs().max())

    def _views(
        self,
        piece: Callable[..., Tensor],
        x: Tensor,
        mask: Tensor | None,
        dtype: Any,
        on_part: OnPart | None,
    ) -> Tensor:
        """Work view by view; what one view filled is known to the next. The mask is in float as far
        as a view reaches alone.
        """
        size = (x.shape[-2], x.shape[-1])
        hole = None if mask is None else mask > 0.5
        to_fill = None if hole is None else hole[0, 0].cpu().numpy()
        views = views_of(self.photo_task, size, to_fill)
        if len(views) == 1 and views[0].cut(x).shape == x.shape:
            whole = None if hole is None else hole.float().to(self.device)
            return _told(piece(x, whole, views[0]), on_part)
        out = x.clone() if x.numpy().dtype == dtype else _as_depth(as_float(x), dtype)
        for view in views:
            inside = None if hole is None else view.cut(hole).float().to(self.device)
            view.cut(out).copy_(piece(view.cut(out), inside, view))
            if on_part:
                on_part(FinishedPart.at(view.top, view.left, view.cut(out)))
            hole = None if hole is None else view.remaining(hole)
        return out

    def _asked_network(self, options: Options) -> Any:
        """What predicts, in the direction that was asked for."""
        if isinstance(self.generator, ExportedNetwork):
            return self.generator
        return partial(self._network, direction=options.direction)

    def _forward(
        self, x: Tensor, mask: Tensor | None, options: Options, how: ForwardOptions
    ) -> Tensor:
        network = self._asked_network(options)
        with _seeded(options.seed):
            return forward(
                self.photo_task, network, self.recipe.generator.multiple_of, x, mask, how
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
        on_tile: OnTile | None,
    ) -> np.ndarray | None:
        """The result's alpha; it is enlarged as the picture is, by the same network."""
        if alpha is None or self.recipe.background != BLEED:
            return None
        if mask is not None and self.fills:
            alpha = opaque_in(alpha, mask)
        alpha = alpha if alpha.dtype == dtype else quantise(to_float(alpha), dtype)
        enlarges = self.photo_task.scale > 1
        return self._enlarged_alpha(alpha, options, on_tile) if enlarges else alpha

    def _enlarged_alpha(
        self, alpha: np.ndarray, options: Options, on_tile: OnTile | None
    ) -> np.ndarray:
        """Through the network as a grey picture; tiles without an edge in them are spared."""
        own, scale = replace(options, hints=None, from_photo=False), self.photo_task.scale
        # Its tiles may cancel the work, but are not among those of the picture.
        uncounted = None if on_tile is None else (lambda _: on_tile(0))

        def piece(part: Tensor) -> Tensor:
            pixels = part.numpy()
            if (pixels == pixels.flat[0]).all():
                return torch.from_numpy(pixels.repeat(scale, -2).repeat(scale, -1))
            return self._apply(part, None, own, alpha.dtype, on_tile=uncounted)

        x = torch.from_numpy(np.repeat(alpha[None, None], 3, 1))
        larger = self._tiled(piece, x, uncounted)
        return flat_kept(larger[0, 0].numpy(), alpha, scale)


def load(
    name: str | Path | Entry,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    detail: float | None = None,
    backend: Backend | None = None,
    **unknown: Never,
) -> Model:
    """A model ready on a device. Loading never runs code from its file.

    Args:
        name: a model by its name (`img2img models` lists them), a model file of ours or of other
            people, a run's folder, or what the catalogue knows of one.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `auto` (bf16 where the hardware has it), `fp32` or `bf16`.
        detail: 0 to 1, between the model and its crisper half (see `blend`); None leaves it as it
            is.
        backend: what runs its network: `torch` by default, `onnx` or `openvino` (the extra
            `export`; in fp32 on the CPU), or `auto`, the fastest on one tile. Files that
            `img2img export` wrote run on onnx by default.
        unknown: no other keyword is taken; a misspelt one is answered by the one that is near.

    Returns:
        The model; call it with pictures.

    Raises:
        UserError: an unknown name, a file that is not ours, a device that is not on this machine,
            a detail asked of a model without another half, or a keyword that `load` does not have
            (a TypeError too).

    Example:
        >>> import img2img
        >>> model = img2img.load("super_resolve_x2", device="cpu")
        >>> model.task.kind, model.task.scale
        ('super-resolve', 2)
    """
    refuse_unknown("load", unknown, load.__kwdefaults__ or ())
    if not isinstance(name, Entry):
        check_path("name", name, "a model's name, its file or a run's folder")
    entry = name if isinstance(name, Entry) else CATALOGUE.entry(name)
    check_backend(backend, entry.is_graph)
    place, recipe, card = pick_device(device), entry.recipe, entry.card
    if detail is not None:
        recipe, card, generator = blended(entry, detail)
    elif entry.is_graph:
        generator = ExportedNetwork(read_onnx(entry.path)[1], first_runtime(backend))
    else:
        generator = entry.load_generator()
    source = GraphSource(entry.title, recipe, card, generator)
    graphs = graphs_of(source, backend)
    if graphs:
        check_on_cpu(device, precision)
    # Before torch lays out the weights in its own way.
    cpu = torch.device("cpu")
    models = [Model(entry.title, recipe, card, graph, cpu, "fp32") for graph in graphs]
    if not entry.is_graph and backend in (None, "torch", "auto"):
        models.insert(0, Model(entry.title, recipe, card, generator, place, precision))
    return models[0] if len(models) == 1 else min(models, key=seconds_of_a_tile)


def seconds_of_a_tile(model: Model) -> float:
    """What one tile takes a model, the better of two after one to warm up."""
    side = model.recipe.generator.tile_px(model.photo_task.scale)
    tile = as_float(middle(_as_planes(read_photo(samples_dir() / "macaw.jpg").rgb), side))
    hole = torch.zeros_like(tile[:, :1])
    hole[..., side // 3 : side // 2, side // 3 : side // 2] = 1
    seconds = []
    for _ in range(3):
        before = perf_counter()
        model.predict_tensor(tile, hole if model.fills else None)
        seconds.append(perf_counter() - before)
    return min(seconds[1:])


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


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """For networks that draw; the caller's random numbers go on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _told(result: Tensor, on_part: OnPart | None) -> Tensor:
    """A result that was worked on as a whole."""
    if on_part:
        on_part(FinishedPart.at(0, 0, result))
    return result


def _as_planes(pixels: np.ndarray) -> Tensor:
    """(H,W,3) as (1,3,H,W), channels last, of the same memory wherever torch may have it."""
    writable = pixels if pixels.flags.writeable else pixels.copy()
    return torch.from_numpy(np.ascontiguousarray(writable)).permute(2, 0, 1)[None]


def _is_grey(x: Tensor) -> bool:
    """Whether the channels of (1,3,H,W) are equal; a color is mostly found in the first rows."""
    strips = x.split(256, -2)
    return all(bool((s[:, :1] == s[:, 1:]).all()) for s in strips)


def _finished_as(
    dtype: Any, task: PhotoTask, color: ColorDescription, photo: Tensor, rgb: Tensor
) -> Tensor:
    """A result in float at the depth that is wanted, its guarantee kept."""
    if task.finishes_in_srgb and color.transform and np.dtype(dtype).kind == "u":
        own = as_float(photo.contiguous()).numpy()
        return torch.from_numpy(color.quantised(rgb.contiguous().numpy(), own, dtype))
    return _as_depth(rgb, dtype)


def _as_depth(x: Tensor, dtype: Any) -> Tensor:
    return x if np.dtype(dtype) == np.float32 else torch.from_numpy(quantise(x.numpy(), dtype))
